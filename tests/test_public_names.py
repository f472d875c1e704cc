"""What the package promises: these names, and nothing loaded before it is used."""

from __future__ import annotations

import agentguard

PROMISED = {
    "AgentGuardError", "ApprovalPending", "ApprovalRefused", "Assurance", "CallRepeated", "ConfigurationError",
    "Effect", "Gate", "Guard", "LedgerError", "Operations", "PolicyError", "Risk", "RunContext", "Sensitivity",
    "ToolCallDenied", "ToolCallRefused", "ToolEffect",
}  # fmt: skip


def test_the_public_names_are_the_written_list() -> None:
    assert set(agentguard.__all__) == PROMISED


def test_every_public_name_is_there() -> None:
    for name in agentguard.__all__:
        assert getattr(agentguard, name).__name__ == name


def test_any_other_name_is_an_attribute_error() -> None:
    assert not hasattr(agentguard, "Guardian")
