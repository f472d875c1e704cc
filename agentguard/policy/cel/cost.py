"""What a condition costs: measured by the lists that its loops run over, before it runs.

A *step* is about 30 ns. A pass of a loop is 40 steps, each operation in it ten, a function of ours or a search a
hundred more. What a loop reads again at each pass counts by what is compared: a list by its elements, a text by its
length where that is looked through.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

# About 120 ms of one thread; others go on in between.
MAX_STEPS = 4_000_000
# What one evaluation may do before other threads have their turn: about 5 ms, and the runtime's own limit of passes.
_STEPS_AT_A_TIME = 150_000
PASSES_AT_A_TIME = 5_000
# The runtime stops at 10,000 passes of all loops of one evaluation together.
_MOST_PASSES = 9_000
_PASS, _OPERATION, _CALL = 40, 10, 100
# A value of a list that is read in a loop, each time that the runtime takes the list apart.
_TAKEN_APART = 15
# Characters that are one step: in a comparison, and in what looks at each.
_COMPARED, _LOOKED_AT = 500, 8
# How long a list is taken to be of which nothing says so.
ASSUMED = 1_000

# A value of the view: a name and constant members; `*` stands for some element.
ViewPath: TypeAlias = "tuple[str, ...]"
# What a loop runs over: a list of the view, so many literals, or (None) something that is worked out.
Over: TypeAlias = "ViewPath | int | None"
# How a value is read: compared as a whole, looked at character by character, or only its place.
How: TypeAlias = Literal["whole", "text", "place"]


@dataclass(frozen=True, slots=True)
class Cost:
    """One thing that happens at each pass of these loops, outermost first.

    ``path`` is what is read; without one, ``steps`` are what the operations of the body cost.
    """

    loops: tuple[Over, ...]
    path: ViewPath | None = None
    how: How = "whole"
    steps: int = 0

    @classmethod
    def of_operations(cls, loops: tuple[Over, ...], operations: int, calls: int) -> Cost:
        """A pass of the innermost loop, with so many operations, and so many calls that leave the runtime."""
        return cls(loops, steps=_PASS + _OPERATION * operations + _CALL * calls)


@dataclass(frozen=True, slots=True)
class Bill:
    """What the loops of a condition cost for one call, and which of them costs most.

    ``at_a_time`` is how many elements of a list are looked at before other threads have their turn; None where the
    whole is short.
    """

    steps: int
    at_a_time: int | None
    trouble: str | None


def bill(costs: Iterable[Cost], names: Mapping[str, Any]) -> Bill:
    """The cost of one evaluation over these values."""
    total = passes = dearest = outer = 0
    inner, said, trouble = 1, "", None
    again: set[ViewPath] = set()
    for cost in costs:
        lengths = [_length(path, names) for path in cost.loops]
        times = math.prod(mean for mean, _ in lengths)
        here = times * (cost.steps if cost.path is None else _mean(cost.path, names, cost.how))
        total += here
        again |= {path for path in (cost.path, *cost.loops[1:]) if isinstance(path, tuple) and "*" not in path}
        outer = max(outer, lengths[0][1] if lengths else 0)
        if cost.path is None:
            passes += times
            below = math.prod(most for _, most in lengths[1:]) if len(lengths) > 1 else 0
            inner = max(inner, 1 + below)
            if below > _MOST_PASSES:
                trouble = f"{_loops(cost, lengths)} runs {below:,} times for one element; at most {_MOST_PASSES:,}"
        if here > dearest:
            dearest, said = here, f"{_loops(cost, lengths)}{_reads(cost)} costs {here:,} steps"
    parts, at_a_time = 1, None
    if passes > PASSES_AT_A_TIME or total > _STEPS_AT_A_TIME:
        most = passes * _STEPS_AT_A_TIME // max(total, 1)
        at_a_time = max(1, min(PASSES_AT_A_TIME, _MOST_PASSES // inner, most))
        parts = -(-outer // at_a_time)
    taken = parts * _TAKEN_APART * sum(weight(value, "whole") for path in again for value in _each(path, names))
    if taken > dearest:
        said = f"{said.split(' costs ')[0]} takes other lists apart for {taken:,} steps"
    if total + taken > MAX_STEPS:
        trouble = trouble or f"{said}; the loops of a condition may cost {MAX_STEPS:,} together"
    return Bill(total + taken, at_a_time, trouble)


def estimate(costs: Iterable[Cost], extents: Mapping[ViewPath, int]) -> str | None:
    """What to say at load of loops that are refused over long lists, or None. ``extents`` are from the schemas."""
    for cost in costs:
        known = [over if isinstance(over, int) else extents.get(over or ()) for over in cost.loops]
        each = cost.steps if cost.path is None else extents.get(cost.path, 1)
        for length in known[1:]:
            each *= ASSUMED if length is None else length
        most = MAX_STEPS // max(each, 1)
        first = known[0]
        if first is None and most >= 5 * ASSUMED:
            continue
        if first is not None and first <= most:
            continue
        where = f"the loop over {_written(cost.loops[0])}" + (
            f", which reads {_written(cost.path)}" if cost.path else ""
        )
        return f"{where}, costs about {each:,} steps an element, so it is refused past about {most:,} elements"
    return None


def _loops(cost: Cost, lengths: list[tuple[int, int]]) -> str:
    named = [f"{_written(path)} ({most:,})" for path, (_, most) in zip(cost.loops, lengths, strict=True)]
    return f"the loop over {' and '.join(named)}"


def _reads(cost: Cost) -> str:
    return f", which reads {_written(cost.path)} at each pass," if cost.path else ""


def _written(path: Over) -> str:
    if isinstance(path, int):
        return "literals"
    return "a list that is worked out" if path is None else f"`{'.'.join(path).replace('.*', '[*]')}`"


def _length(path: Over, names: Mapping[str, Any]) -> tuple[int, int]:
    """How long a list is: where it stands in each element of another, in the mean and at most."""
    if path is None or isinstance(path, int):
        return (_MOST_PASSES, _MOST_PASSES) if path is None else (path, path)
    found = [len(value) if isinstance(value, list | dict) else 0 for value in _each(path, names)] or [0]
    return -(-sum(found) // len(found)), max(found)


def _mean(path: ViewPath, names: Mapping[str, Any], how: How) -> int:
    found = [weight(value, how) for value in _each(path, names)]
    return -(-sum(found) // len(found)) if found else 1


def _each(path: ViewPath, names: Mapping[str, Any]) -> list[Any]:
    """What stands at a path, as far as that is plain; behind `*`, in each element."""
    found: list[Any] = [names]
    for part in path:
        if part == "*":
            found = [inner for value in found if isinstance(value, list) for inner in value]
        else:
            found = [value[part] for value in found if isinstance(value, Mapping) and part in value]
    return found


def weight(value: Any, how: How) -> int:
    """The steps of reading a value once."""
    if type(value) is str:
        return 1 + len(value) // (_LOOKED_AT if how == "text" else _COMPARED)
    if how == "place":
        return 1 + (len(value) // 100 if isinstance(value, list | dict) else 0)
    total = 0
    pending = [value]
    while pending and total <= MAX_STEPS:
        item = pending.pop()
        total += 1 + (len(item) // (_LOOKED_AT if how == "text" else _COMPARED) if type(item) is str else 0)
        if type(item) is list:
            pending += item
        elif type(item) is dict:
            pending += item.values()
    return total
