"""How many runs that a draft was not learnt from it leaves as they were, and which it does not, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from agentguard import display
from agentguard.core.values import Effect
from agentguard.evidence.past import Facts, Judge
from agentguard.evidence.traffic import PastCall, PastRun, Ran
from agentguard.guard.in_force import UsableBundle


@dataclass(frozen=True, slots=True)
class Touched:
    """A call that would have gone another way. ``effect``: ``deny``, ``escalate``; None where nobody can judge it."""

    run: str
    call: int
    tool: str
    effect: str | None
    reasons: tuple[str, ...]
    detail: str


@dataclass(slots=True)
class HeldBack:
    """``untouched``: every call that did something is permitted without a person. ``asked``: so it is with a person's
    yes. ``refused``: the others."""

    untouched: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    touched: list[Touched] = field(default_factory=list)
    failed_anyway: int = 0

    @property
    def runs(self) -> int:
        """How many were looked at."""
        return len(self.untouched) + len(self.asked) + len(self.refused)


def try_out(usable: UsableBundle, workflow: str, runs: Iterable[PastRun]) -> HeldBack:
    """These runs, decided by the draft as if it were in force."""
    found = HeldBack()
    for run in runs:
        worst = Effect.PERMIT
        judge = Judge(usable, workflow)
        progress = judge.begin(run.inputs or {}, None, run.requester)
        for number, call in enumerate(run.calls, 1):
            if call.ran is Ran.NOT_RUN:
                continue
            verdict = judge.decide(progress, call, Facts())
            if verdict.effect is Effect.PERMIT:
                judge.happened(progress, call, verdict, Facts())
                continue
            if call.ran is Ran.FAILED:
                found.failed_anyway += 1  # whoever is refused what does not work has lost nothing
                continue
            judge.happened(progress, call, verdict, Facts())
            asked = verdict.effect is Effect.ESCALATE
            if not asked or worst is Effect.PERMIT:
                worst = Effect.ESCALATE if asked else Effect.DENY
            found.touched.append(_touched(run, number, call, verdict.effect, verdict.reasons, verdict.unknown, judge))
        place = {Effect.PERMIT: found.untouched, Effect.ESCALATE: found.asked, Effect.DENY: found.refused}
        place[worst].append(run.id)
    return found


def _touched(
    run: PastRun,
    number: int,
    call: PastCall,
    effect: Effect | None,
    reasons: tuple[str, ...],
    unknown: str,
    judge: Judge,
) -> Touched:
    word = None if effect is None else str(effect)
    detail = f"nobody knows {unknown}" if effect is None else ", ".join(reasons)
    return Touched(run.id, number, call.tool, word, reasons, display.plain(detail))
