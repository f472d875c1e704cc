"""Where the texts and numbers of a result stand, by path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

from pydantic_core import to_jsonable_python

from agentguard.core.paths import EVERY, VALUES, Values
from agentguard.core.values import Json
from agentguard.guard.names import names_in
from agentguard.guard.provenance import MAX_NODES, PLAIN
from agentguard.guard.result_paths import ResultPath
from agentguard.policy.keeps import structure

# What a path begins with that outsiders can write.
OUTSIDERS = "~"
# An object with more members than a type has is a map, and the names of its members are somebody's values.
_MOST_MEMBERS = 40
_MAX_DEPTH = 32
_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


def places_in(path: str, value: Any, outsiders: tuple[ResultPath, ...]) -> Iterator[tuple[str, Json]]:
    """Every text and number of a result with its path, elements of a list under one. ``outsiders``: the declared paths;
    what they end at, or do not fit, is theirs, and keeps its own names to itself. Raises ValueError for what is too
    large: a few lines of YAML with aliases hold one list a million million times."""
    return _places(path, value, outsiders, 0, count(1))


def _places(
    path: str, value: Any, outsiders: tuple[ResultPath, ...], depth: int, nodes: Iterator[int]
) -> Iterator[tuple[str, Json]]:
    """``outsiders``: what is left of the declared paths that lead here. ``nodes`` counts."""
    if depth > _MAX_DEPTH:
        return
    inside = _inside(value, nodes)
    kind = dict if isinstance(inside, dict) else list if isinstance(inside, list) else None
    if inside is not None and not all(
        rest and kind is (dict if isinstance(rest[0], str | Values) else list) for rest in outsiders
    ):
        place = OUTSIDERS + path.removeprefix(OUTSIDERS)
        yield from ((place, leaf) for leaf in _names(inside, depth, nodes))
    elif isinstance(inside, dict):
        is_map = len(inside) > _MOST_MEMBERS or not all(
            isinstance(name, str) and _MEMBER.fullmatch(name) for name in inside
        )
        for name, item in inside.items():
            left = tuple(rest[1:] for rest in outsiders if rest[0] in (VALUES, name))
            yield from _places(f"{path}.*" if is_map else f"{path}.{name}", item, left, depth + 1, nodes)
    elif isinstance(inside, list):
        size = len(inside)
        for at, item in enumerate(inside):
            left = tuple(rest[1:] for rest in outsiders if rest[0] in (EVERY, at, at - size))
            yield from _places(f"{path}[*]", item, left, depth + 1, nodes)
    else:
        yield from ((path, leaf) for leaf in names_in(inside, 1))


def _names(inside: Any, depth: int, nodes: Iterator[int]) -> Iterator[Json]:
    """Every text and number in what is outsiders'."""
    held = inside.values() if isinstance(inside, dict) else inside if isinstance(inside, list) else None
    if held is None:
        yield from names_in(inside, 1)
    for item in held or ():
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        yield from _names(_inside(item, nodes), depth + 1, nodes)


def _inside(value: Any, nodes: Iterator[int]) -> Any:
    """A value as it is walked through: a plain dict or list, or what stands in one."""
    if next(nodes) > MAX_NODES:
        raise ValueError("too large")
    inside = structure(value)
    return to_jsonable_python(inside) if isinstance(inside, PLAIN) else inside
