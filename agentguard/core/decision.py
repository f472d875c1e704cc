"""What a decision is: its effect, every finding, and what a permit takes from budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from agentguard.core.policy import ApprovalRule, Budget, Step
from agentguard.core.reasons import Reason
from agentguard.core.sealed import sealed
from agentguard.core.values import Effect, ToolEffect


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check found. ``effect`` is what it alone would say; ``detail`` is for reviewers, never a model."""

    effect: Effect
    reason: Reason
    detail: str = ""
    step: str | None = None


@dataclass(frozen=True, slots=True)
class Spend:
    """What the chosen step takes of one budget, in millionths."""

    budget: Budget
    amount: int


@sealed
@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one call, and every reason.

    ``step`` is the step the call was permitted or escalated under. ``spends`` are taken when the call is admitted.
    ``approval`` is the approval this permit uses up; ``ask`` is the rule an escalated call must be put to people by.
    ``tool_effect`` is what the tool was taken to do; None where that is not known.
    ``tallies`` are the keys under which the chosen step counts this call.
    ``repeats``: the decision whose call this is, made again. Then a permit runs nothing a second time and takes
    nothing.
    """

    effect: Effect
    findings: tuple[Finding, ...]
    step: Step | None = None
    spends: tuple[Spend, ...] = ()
    approval: str | None = None
    ask: ApprovalRule | None = None
    tool_effect: ToolEffect | None = None
    tallies: tuple[str, ...] = ()
    repeats: str | None = None

    def __bool__(self) -> NoReturn:
        raise TypeError("compare the effect; a decision is not a yes or a no")

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons, each once, in a fixed order."""
        return tuple(sorted({finding.reason for finding in self.findings}))
