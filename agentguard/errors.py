"""Every exception that leaves the package, by whose turn it is.

``ToolCallRefused`` is nobody's fault: the guard did its work. ``PolicyError`` is the workflow owner's turn,
``ConfigurationError`` the developer's, ``LedgerError`` operations'. Whatever may reach a model carries the decision
id, and a fixed hint where the workflow's owner wrote one; nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "AgentGuardError",
    "ApprovalPending",
    "ApprovalRefused",
    "CallRepeated",
    "ConfigurationError",
    "LedgerError",
    "PolicyError",
    "PolicyProblem",
    "ToolCallDenied",
    "ToolCallRefused",
]


class AgentGuardError(Exception):
    """Anything agentguard raises on purpose."""


class ToolCallRefused(AgentGuardError):
    """The tool did not run. The text is safe to show a model."""

    status: ClassVar[str] = "denied"
    approval_id: str | None = None

    def __init__(self, decision_id: str, hint: str | None = None) -> None:
        """``hint``: the owner's fixed words for a run that has come so far (``core.hints``)."""
        told = "" if hint is None else f"; {hint}"
        super().__init__(f"this tool call was not allowed (decision `{decision_id}`){told}")
        self.decision_id = decision_id
        self.hint = hint

    @property
    def artifact(self) -> dict[str, str | None]:
        """For programs: ``status`` (``denied``, ``pending`` or ``refused``), ``decision_id`` and ``approval_id``."""
        return {"status": self.status, "decision_id": self.decision_id, "approval_id": self.approval_id}

    def __reduce__(self) -> tuple[type[ToolCallRefused], tuple[str | None, ...]]:
        return type(self), (self.decision_id, self.hint)


class ToolCallDenied(ToolCallRefused):
    """The decision was deny. Repeating the same call changes nothing by itself."""


class ApprovalPending(ToolCallRefused):
    """A person has been asked; repeat the call once ``approval_id`` has been answered."""

    status = "pending"
    approval_id: str

    def __init__(self, decision_id: str, approval_id: str) -> None:
        super().__init__(decision_id)
        self.args = (f"this tool call waits for a person (decision `{decision_id}`)",)
        self.approval_id = approval_id

    def __reduce__(self) -> tuple[type[ToolCallRefused], tuple[str | None, ...]]:
        return type(self), (self.decision_id, self.approval_id)


class ApprovalRefused(ToolCallRefused):
    """A person was asked and said no, or nobody answered in time."""

    status = "refused"


# What is told of a call that was made before, by how far it has come.
_REPEATED = {
    "succeeded": "has succeeded, and its answer was not kept",
    "failed": "has failed",
    "running": "is still under way",
    "unknown": "may have run: nobody knows yet how it ended",
}


class CallRepeated(AgentGuardError):
    """This very call was made before, so its tool did not run again; what it gave out cannot be told. The text is safe
    to show a model.

    ``status`` is how far the first has come: ``running``, ``unknown``, ``failed``, or ``succeeded`` where its answer
    was not kept. ``repeats`` is the decision on the first, ``decision_id`` the one on this. It was not refused.
    """

    approval_id = None

    def __init__(self, decision_id: str, repeats: str, status: str) -> None:
        told = _REPEATED.get(status, status)
        super().__init__(f"this tool call was made before and {told}; it was not made again (decision `{decision_id}`)")
        self.decision_id = decision_id
        self.repeats = repeats
        self.status = status

    @property
    def artifact(self) -> dict[str, str | None]:
        """For programs: ``status``, ``decision_id``, ``approval_id`` (always None) and ``repeats``."""
        return {
            "status": self.status, "decision_id": self.decision_id, "approval_id": None, "repeats": self.repeats
        }  # fmt: skip

    def __reduce__(self) -> tuple[type[CallRepeated], tuple[str, str, str]]:
        return type(self), (self.decision_id, self.repeats, self.status)


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One thing wrong with a policy file. ``line`` counts from 1; 0 means the whole file."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


class PolicyError(AgentGuardError):
    """The bundle cannot be loaded: file, line, what was found, what was expected. All problems at once."""

    def __init__(self, problems: Sequence[PolicyProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class ConfigurationError(AgentGuardError):
    """The code that sets agentguard up is wrong, and the text says what to write instead."""


class LedgerError(AgentGuardError):
    """The ledger could not do what was asked, so nothing ran. The text says what to do."""
