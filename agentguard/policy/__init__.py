"""The policy bundle: YAML files into core values, strictly, all or nothing, under one revision."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentguard.policy.bundle import Bundle
    from agentguard.policy.cases import Case, load_case_file, load_cases
    from agentguard.policy.editor_schemas import schemas
    from agentguard.policy.keeps import Keep
    from agentguard.policy.loader import load
    from agentguard.policy.reloader import Reloader

__all__ = ["Bundle", "Case", "Keep", "Reloader", "load", "load_case_file", "load_cases", "schemas"]

# Where each name lives; loaded on first use, so that a guard is imported without what reads YAML and conditions.
_HOME = {
    "Bundle": "bundle",
    "Case": "cases",
    "Keep": "keeps",
    "Reloader": "reloader",
    "load": "loader",
    "load_case_file": "cases",
    "load_cases": "cases",
    "schemas": "editor_schemas",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module `agentguard.policy` has no attribute `{name}`")
    return getattr(import_module(f"agentguard.policy.{_HOME[name]}"), name)
