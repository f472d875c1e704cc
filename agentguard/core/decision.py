"""What a decision is: its effect, every finding, and what a permit takes from budgets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
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


@dataclass(frozen=True, slots=True)
class Ask:
    """The question of an escalated call: each rule that asks, with everybody whose yes counts for each of its needs
    (None: anybody's), and the ``basis`` that an answer rests on (``core.basis``)."""

    rules: tuple[ApprovalRule, ...]
    people: tuple[tuple[tuple[str, ...] | None, ...], ...]
    basis: str

    @property
    def approvers(self) -> tuple[str, ...]:
        """Everybody who is named."""
        return tuple(dict.fromkeys(name for rule in self.rules for need in rule.needs for name in need.approvers))

    @property
    def quorum(self) -> int:
        """How many answers it takes, where nobody can give one for two rules: those that ask the same people count
        once."""
        quorums: dict[frozenset[str], int] = {}
        for rule in self.rules:
            for need in rule.needs:
                people = frozenset(need.approvers)
                quorums[people] = max(quorums.get(people, 0), need.quorum)
        return sum(quorums.values())

    @property
    def within(self) -> timedelta:
        """The shortest time that any rule gives people."""
        return min(rule.within for rule in self.rules)

    @property
    def use_within(self) -> timedelta | None:
        """The shortest time that any rule gives the agent."""
        return min((rule.use_within for rule in self.rules if rule.use_within is not None), default=None)

    @property
    def deny_quorum(self) -> int:
        """The fewest noes that are final for any rule."""
        return min(rule.deny_quorum for rule in self.rules)


@sealed
@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one call, and every reason.

    ``step`` is the step the call was permitted or escalated under. ``spends`` are taken when the call is admitted.
    ``approval`` is the approval this permit uses up; ``ask`` is the question that an escalated call puts to people.
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
    ask: Ask | None = None
    tool_effect: ToolEffect | None = None
    tallies: tuple[str, ...] = ()
    repeats: str | None = None

    def __bool__(self) -> NoReturn:
        raise TypeError("compare the effect; a decision is not a yes or a no")

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons, each once, in a fixed order."""
        return tuple(sorted({finding.reason for finding in self.findings}))
