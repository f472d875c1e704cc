"""Decides at every tool call of an AI agent whether it may run, and records why."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentguard.core.values import Assurance, Effect, Risk, Sensitivity, ToolEffect
    from agentguard.errors import (
        AgentGuardError,
        ApprovalPending,
        ApprovalRefused,
        CallRepeated,
        ConfigurationError,
        LedgerError,
        PolicyError,
        ToolCallDenied,
        ToolCallRefused,
    )
    from agentguard.guard import Gate, Guard, Operations, RunContext

__version__ = "0.1.0"

__all__ = [
    "AgentGuardError",
    "ApprovalPending",
    "ApprovalRefused",
    "Assurance",
    "CallRepeated",
    "ConfigurationError",
    "Effect",
    "Gate",
    "Guard",
    "LedgerError",
    "Operations",
    "PolicyError",
    "Risk",
    "RunContext",
    "Sensitivity",
    "ToolCallDenied",
    "ToolCallRefused",
    "ToolEffect",
]

# Where each name lives; loaded on first use, so that importing agentguard stays light.
_HOME = {
    "agentguard.core.values": ("Assurance", "Effect", "Risk", "Sensitivity", "ToolEffect"),
    "agentguard.guard": ("Gate", "Guard", "Operations", "RunContext"),
    "agentguard.errors": (
        "AgentGuardError",
        "ApprovalPending",
        "ApprovalRefused",
        "CallRepeated",
        "ConfigurationError",
        "LedgerError",
        "PolicyError",
        "ToolCallDenied",
        "ToolCallRefused",
    ),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module `agentguard` has no attribute `{name}`")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
