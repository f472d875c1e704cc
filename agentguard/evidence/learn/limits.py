"""How often a step runs, and how much it moves: what the traffic supports, and what it leaves to an owner."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil

from agentguard.evidence.learn.learnt import OWNER, LearntStep
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


def _differ(calls: Sequence[PastCall], name: str) -> bool:
    values = [repr(call.arguments.get(name)) for call in calls if name in call.arguments]
    return len(values) == len(calls) == len(set(values))
