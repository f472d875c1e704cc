"""What had always come before, and where in a run a step usually stands."""

from __future__ import annotations

from collections.abc import Sequence

from agentguard.evidence.learn.learnt import LearntStep
from agentguard.evidence.traffic import PastRun, Ran

# What must have come before in all runs is learnt from so many, not from three.
ORDER_FROM = 8


def put_in_order(steps: Sequence[LearntStep], runs: Sequence[PastRun]) -> None:
    """What had succeeded before a tool that more than reads, in every run that uses it."""
    by_tool = {step.tool: step for step in steps}
    for step in steps:
        if step.reads:
            continue
        before: list[set[str]] = []
        for run in runs:
            done: set[str] = set()
            for call in run.calls:
                if call.tool == step.tool and call.ran is not Ran.NOT_RUN:
                    before.append(set(done))
                    break
                if call.ran is Ran.SUCCEEDED and call.tool in by_tool:
                    done.add(call.tool)
        if len(before) < ORDER_FROM:
            continue
        always = set.intersection(*before) - {step.tool}
        # A step that asks each time stands in the way of what waits for it: only what runs by itself is waited for.
        firm = {tool for tool in always if not by_tool[tool].questions}
        for tool in sorted(firm):
            step.after[by_tool[tool].name] = f"{len(before)} of {len(before)} runs"
    for step in steps:  # what is waited for already by what is waited for
        implied = {name for other in step.after for name in next(s.after for s in steps if s.name == other)}
        step.after = {name: said for name, said in step.after.items() if name not in implied}


def first_place(step: LearntStep, runs: Sequence[PastRun]) -> float:
    """Where in a run the tool is called first, on average: the order in which a reader expects the steps."""
    places = [
        next(at for at, call in enumerate(run.calls) if call.tool == step.tool) / max(1, len(run.calls))
        for run in runs
        if any(call.tool == step.tool for call in run.calls)
    ]
    return sum(places) / len(places) if places else 1.0
