"""The order of events; the only place that runs a tool."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentguard.guard.arguments.given import Given
    from agentguard.guard.arguments.json_schema import JsonShape
    from agentguard.guard.arguments.signature import Signature
    from agentguard.guard.canary import CanaryGate
    from agentguard.guard.gate import Gate
    from agentguard.guard.guard import Guard
    from agentguard.guard.operations import Operations
    from agentguard.guard.run import RunContext, current_run
    from agentguard.guard.turns import CallRef

__all__ = [
    "CallRef", "CanaryGate", "Gate", "Given", "Guard", "JsonShape", "Operations", "RunContext", "Signature",
    "current_run",
]  # fmt: skip

# Where each name lives; loaded on first use, so that a guard is imported without what only wrapped tools need.
_HOME = {
    "CallRef": "turns",
    "CanaryGate": "canary",
    "Gate": "gate",
    "Given": "arguments.given",
    "Guard": "guard",
    "JsonShape": "arguments.json_schema",
    "Operations": "operations",
    "RunContext": "run",
    "Signature": "arguments.signature",
    "current_run": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module `agentguard.guard` has no attribute `{name}`")
    return getattr(import_module(f"agentguard.guard.{_HOME[name]}"), name)
