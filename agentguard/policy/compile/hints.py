"""``hint`` of a step and of its conditions: the owner's words for the model, and what each waits for."""

from __future__ import annotations

from collections.abc import Sequence

from agentguard.core.policy import Hint
from agentguard.policy import models
from agentguard.policy.cel.conditions import CompiledCondition


def hints_of(step: models.StepEntry, conditions: Sequence[CompiledCondition | None]) -> tuple[Hint, ...]:
    """The hints of a step: those of its conditions, in their order, and its own last."""
    reads = [frozenset() if condition is None else _kept(condition) for condition in conditions]
    found = [
        Hint(entry.hint, read, of_step=False)
        for entry, read in zip(step.require, reads, strict=True)
        if entry.hint is not None
    ]
    if step.hint is not None:
        found.append(Hint(step.hint, frozenset[str]().union(*reads)))
    return tuple(found)


def _kept(condition: CompiledCondition) -> frozenset[str]:
    """The kept values that a condition cannot do without. One that it asks for with ``has`` it can."""
    found = condition.found
    names = {place[1] for place in found.reads if place[0] == "kept" and len(place) > 1}
    return frozenset(names - {place[1] for place in found.tested if place[0] == "kept" and len(place) > 1})
