"""How often a step runs, and how much it moves: what the traffic supports, and what it leaves to an owner."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil

from agentguard.core.values import Json
from agentguard.evidence.draft.words import is_money
from agentguard.evidence.learn.arguments import above
from agentguard.evidence.learn.learnt import OWNER, LearntBudget, LearntStep
from agentguard.evidence.traffic import PastCall, PastRun, Ran

# Calls of a reading tool in one run: so much more than ever seen, because agents try again.
READ_AGAIN, READ_AT_LEAST = 3, 10
# Of the runs that use a tool that more than reads, so many must make do with one call, or one for each value.
ENOUGH_CALLS = 0.95


def limit(step: LearntStep, runs: Collection[PastRun]) -> None:
    """How often. What more than reads is called once, or once for each value of an argument, or an owner is asked."""
    tried = [[call for call in run.calls if call.tool == step.tool and call.ran is not Ran.NOT_RUN] for run in runs]
    most = max(map(len, tried))
    if step.reads:
        step.at_most, step.most_calls = max(READ_AT_LEAST, READ_AGAIN * most), f"at most {most} in one run were seen"
        return
    needed = ceil(ENOUGH_CALLS * len(tried))
    for name in (None, *(name for name, each in step.arguments.items() if each.rests_on not in ("", "text"))):
        fits = sum(len(calls) <= 1 if name is None else _differ(calls, name) for calls in tried)
        if fits >= needed:
            step.per = None if name is None else f"args.{name}"
            step.most_calls = f"enough for {fits} of {len(tried)} runs; {len(tried) - fits} would break it"
            return
    step.at_most, step.most_calls = most, f"{OWNER}: so many were seen in one run"
    step.questions.append("how often it may be called in one run")


def budgets(step: LearntStep, runs: Sequence[PastRun]) -> None:
    """What a step that does more than read moved: for each argument with an amount that has a source.

    A limit of one run is drafted where a run may call it several times, with as much room again as was ever needed. How
    much one day may be worth, traffic does not say: that is only shown.
    """
    for name, learnt in step.arguments.items() if not step.reads else ():
        if learnt.rests_on in ("", "text") or learnt.schema.get("type") not in ("number", "integer"):
            continue
        may_be_missing = not {"optional", "null_is_absent"}.isdisjoint(learnt.schema)
        if may_be_missing or not name.isidentifier() or not is_money(name):
            continue
        by_run: list[float] = []
        by_day: dict[str, float] = {}
        for run in runs:
            moved = [c.arguments.get(name) for c in run.calls if c.tool == step.tool and c.ran is Ran.SUCCEEDED]
            amounts = [amount for amount in map(_amount, moved) if amount is not None]
            if len(amounts) < len(moved):
                return  # a budget would refuse it
            by_run += [sum(amounts)] if amounts else []
            by_day[run.day] = by_day.get(run.day, 0) + sum(amounts)
        if by_run:
            several = step.per is not None or step.at_most > 1
            room = above(max(by_run)) if several and max(by_run) > 0 else None
            most = round(max(by_run), 6), round(max(by_day.values()), 6)
            step.budgets.append(LearntBudget(step.name, name, room, *most, len(by_day)))


def _amount(value: Json) -> float | None:
    """A number that a budget can add up, no less than nothing and exact to six decimals; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if value >= 0 and round(value, 6) == value else None


def _differ(calls: Sequence[PastCall], name: str) -> bool:
    values = [repr(call.arguments.get(name)) for call in calls if name in call.arguments]
    return len(values) == len(calls) == len(set(values))
