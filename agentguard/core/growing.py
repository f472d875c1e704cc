"""Kept values that grow over the calls of a run: a map by key, a list without duplicates, a map by its own names.

A ledger folds each growth in the order of its log, so that of two calls at once neither's is lost. Past the bounds the
value is lost for the rest of the run (``LOST``): a part of it would mislead. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import orjson

from agentguard.core.paths import scalar_key
from agentguard.core.values import Json

# What one kept value may grow to: elements or members, and bytes as JSON.
MAX_ELEMENTS = 20_000
MAX_BYTES = 1024 * 1024

# In place of a value that outgrew its bounds. No kept value is null.
LOST = None

How: TypeAlias = Literal["put", "forget", "add"]


@dataclass(frozen=True, slots=True)
class Growth:
    """What one call adds to a kept value.

    ``put``: ``value`` at ``key`` of a map, in place of an earlier one; ``forget``: nothing is known at ``key`` any
    more. ``add``: the elements of a list, or the members of an object. ``key`` then is the field by which two elements
    are the same one, and the later takes the earlier's place; without it, equal elements are one. Of a list, ``forget``
    takes away the elements whose field is one of ``value``.
    """

    name: str
    how: How
    key: str = ""
    value: Json = None


def grown(before: Mapping[str, Json], growth: Growth) -> tuple[Json, str | None]:
    """The value as it is now, from all that was kept before, and why it has not grown; None where it has.

    ``LOST`` is a value past its bounds.
    """
    had = before.get(growth.name)
    if growth.name in before and had is LOST:
        return LOST, "it has outgrown its bounds in this run"
    if isinstance(growth.value, list) and growth.how != "put":
        if isinstance(had, dict):
            return had, "it is an object, and nothing of a list was added"
        before_it = had if isinstance(had, list) else []
        value: list[Json] | dict[str, Json]
        if growth.how == "add":
            value = _joined(before_it, growth.value, growth.key)
        else:
            gone = set(map(scalar_key, growth.value))
            value = [element for element in before_it if _same(element, growth.key) not in gone]
    else:
        if isinstance(had, list):
            return had, "it is a list, and nothing of an object was added"
        value = {**had} if isinstance(had, dict) else {}
        if growth.how == "add" and isinstance(growth.value, dict):
            value.update(growth.value)
        elif growth.how == "put":
            value[growth.key] = growth.value
        else:
            value.pop(growth.key, None)
    if len(value) > MAX_ELEMENTS:
        return LOST, f"it would hold more than {MAX_ELEMENTS} elements"
    if len(orjson.dumps(value)) > MAX_BYTES:
        return LOST, f"it would be longer than {MAX_BYTES} bytes"
    return value, None


def after_growth(before: Mapping[str, Json], growths: tuple[Growth, ...]) -> tuple[dict[str, Json], dict[str, str]]:
    """All that is kept, and by name why something has not grown."""
    kept, troubles = dict(before), {}
    for growth in growths:
        kept[growth.name], trouble = grown(kept, growth)
        if trouble is not None:
            troubles[growth.name] = trouble
    return kept, troubles


def present(kept: Mapping[str, Json]) -> dict[str, Json]:
    """Without what was lost."""
    return {name: value for name, value in kept.items() if value is not LOST}


def _joined(before: list[Json], more: list[Json], key: str) -> list[Json]:
    found = {_same(element, key): element for element in before}
    found.update((_same(element, key), element) for element in more)
    return [*found.values()]


def _same(element: Json, key: str) -> object:
    """What two elements have in common that are the same one."""
    inside = element.get(key) if key and isinstance(element, dict) else element
    known = scalar_key(inside)
    return known if known is not None else orjson.dumps(inside, option=orjson.OPT_SORT_KEYS)
