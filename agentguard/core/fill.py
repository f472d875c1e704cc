"""Arguments that the guard fills: from the run's inputs, from what it kept, or with the one place that is listed.

The rules:

1. A filled argument holds the value of its source, exactly; a number may be written whole or with decimals (``5``,
   ``5.0``). Whoever gives another is refused, and so is a call in which nothing stands there.
2. A source that holds nothing is no value: the step is refused.
3. Null and absent are one where the schema says so: then null is judged as absent, and the tool gets its own default.

Pure, and the same where a call is filled and where that is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from agentguard.core.paths import Missing, Path, value_at
from agentguard.core.reaches import Reach
from agentguard.core.values import Json


@dataclass(frozen=True, slots=True)
class Listed:
    """The one place in the catalog that an argument can be (``fill: catalog``)."""

    value: str

    def __str__(self) -> str:
        return "catalog"


Source: TypeAlias = "Path | Listed"


@dataclass(frozen=True, slots=True)
class Filling:
    """What some steps of one tool do to a call's arguments. Steps that do the same share one.

    ``fills``: where each argument's value comes from. ``nulls``: arguments for which null and absent are one.
    ``reaches``: what the call reaches under these steps beside its arguments' destinations.
    """

    steps: frozenset[str]
    fills: Mapping[str, Source]
    nulls: frozenset[str]
    reaches: tuple[Reach, ...] = ()


def value_of(source: Source, inputs: Mapping[str, Json], kept: Mapping[str, Json], args: Mapping[str, Any]) -> Any:
    """The value of a source in a run as it is now, or Missing."""
    if isinstance(source, Listed):
        return source.value
    return value_at(source, {"inputs": inputs, "kept": kept, "args": args})


def same_json(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: of the same kind all through, where ``5`` and ``5.0`` are one number."""
    pending = [(one, other)]
    while pending:
        a, b = pending.pop()
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            if a.keys() != b.keys():
                return False
            pending += [(a[name], b[name]) for name in a]
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return False
            pending += zip(a, b, strict=True)
        elif isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
            if a is not b:
                return False
        elif isinstance(a, str) is not isinstance(b, str) or a != b:
            return False
    return True


def without_nulls(arguments: Mapping[str, Json], nulls: frozenset[str]) -> Mapping[str, Json]:
    """The arguments as they are judged: without those that are null where that means absent."""
    if not nulls or not any(arguments.get(name, "") is None for name in nulls):
        return arguments
    return {name: value for name, value in arguments.items() if value is not None or name not in nulls}


def fillings(steps: Iterable[Any]) -> Mapping[str, tuple[Filling, ...]]:
    """The fillings of each tool that has any, in the order of the steps; those of no step are left out."""
    found: dict[str, dict[Any, list[Any]]] = {}
    for step in steps:
        filled = tuple(sorted((name, _text(source)) for name, source in step.fills.items()))
        key = (filled, step.null_is_absent, repr([reach.key for reach in step.reaches]))
        found.setdefault(step.tool, {}).setdefault(key, []).append(step)
    return MappingProxyType(
        {
            tool: tuple(
                Filling(
                    frozenset(step.name for step in group), group[0].fills, group[0].null_is_absent, group[0].reaches
                )
                for group in groups.values()
            )
            for tool, groups in found.items()
            if any(group[0].fills or group[0].null_is_absent or group[0].reaches for group in groups.values())
        }
    )


def filled_by(steps: Iterable[Any]) -> tuple[frozenset[str], frozenset[str]]:
    """Of all steps that name a tool: the arguments that each of them fills, and those that only some of them fill."""
    each = [frozenset(step.fills) for step in steps]
    if not each:
        return frozenset(), frozenset()
    every, some = frozenset.intersection(*each), frozenset[str]().union(*each)
    return every, some - every


def _text(source: Source) -> str:
    return f"catalog {source.value}" if isinstance(source, Listed) else source.text


__all__ = ["Filling", "Listed", "Missing", "Source", "filled_by", "fillings", "same_json", "value_of", "without_nulls"]
