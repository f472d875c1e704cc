"""``hint`` of a step and of its conditions: the owner's words for the model, and what each waits for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from agentguard.core.paths import parse
from agentguard.core.policy import Hint
from agentguard.policy import models
from agentguard.policy.cel.conditions import CompiledCondition

# What of a run its progress is: a condition that reads no more says nothing of the call.
_PROGRESS = frozenset({"kept", "counts"})


def hints_of(
    step: models.StepEntry, conditions: Sequence[CompiledCondition | None], growing: Collection[str]
) -> tuple[Hint, ...]:
    """The hints of a step: those of its conditions, in their order, and its own last. ``growing``: the kept values that
    grow over several calls."""
    compiled = [condition for condition in conditions if condition is not None]
    found = [
        _hint(entry.hint, [condition], growing, of_step=False)
        for entry, condition in zip(step.require, conditions, strict=True)
        if entry.hint is not None and condition is not None
    ]
    if step.hint is not None:
        found.append(_hint(step.hint, compiled, growing, frozenset(_needed(step.arguments)), of_step=True))
    return tuple(found)


def _needed(arguments: Mapping[str, models.Schema]) -> Iterator[str]:
    """The kept values without which an argument that must be there can have no value."""
    for schema in arguments.values():
        texts = [schema.get(word) for word in ("fill", "enum", "from")]
        for text in texts if not (schema.get("optional") or schema.get("null_is_absent")) else ():
            try:
                path = parse(text, ("inputs", "kept")) if isinstance(text, str) else None
            except ValueError:  # the name of a tool, or told elsewhere
                continue
            yield from (
                () if path is None else (str(p.steps[0]) for p in path.references() if p.root == "kept" and p.steps)
            )


def _hint(
    text: str,
    conditions: Sequence[CompiledCondition],
    growing: Collection[str],
    needed: frozenset[str] = frozenset(),
    *,
    of_step: bool,
) -> Hint:
    reads = needed.union(*(_kept(condition) for condition in conditions))
    of_progress = tuple(condition for condition in conditions if condition.found.roots <= _PROGRESS)
    unknown = of_step and any(not _kept(each) for each in conditions if each not in of_progress)
    return Hint(text, reads, of_step, unknown or not reads.isdisjoint(growing), of_progress)


def _kept(condition: CompiledCondition) -> frozenset[str]:
    """The kept values that a condition cannot do without. One that it asks for with ``has`` it can."""
    found = condition.found
    names = {place[1] for place in found.reads if place[0] == "kept" and len(place) > 1}
    return frozenset(names - {place[1] for place in found.tested if place[0] == "kept" and len(place) > 1})
