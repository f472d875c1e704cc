"""Where the values of a call stood before, by path: what somebody needs who learns a policy from records.

A record holds no results. So while a run is observed, the process that makes its calls remembers where the texts and
numbers of each result stood, and the record of a later call says of each argument in which places exactly it was seen:
``inputs.payee``, ``list_files[*].id``. It says paths and never a value. A path that begins with ``~`` is one that
outsiders can write. What a tool only gives back of what it was asked is no place.

Nothing of this stands in the ledger: a run that another process goes on with has lost it, and its records say
so by null.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import to_jsonable_python

from agentguard.core.credentials import without_credentials
from agentguard.core.paths import EVERY, VALUES, Values
from agentguard.core.values import Json
from agentguard.guard.provenance import PLAIN
from agentguard.guard.result_paths import ResultPath
from agentguard.policy.keeps import structure

# What one run remembers; past it nothing new is, and a record says null: not known.
MAX_VALUES = 20_000
MAX_PATHS = 500
# Parts of one argument, and places named for it.
_MOST_PARTS = 100
_MOST_PLACES = 20
# A longer text is a body, and not a name of something.
_LONGEST = 256
# An object with more members than a type has is a map, and the names of its members are somebody's values.
_MOST_MEMBERS = 40
_MAX_DEPTH = 32
_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
OUTSIDERS = "~"


class SeenIn:
    """What one run has seen so far, as this process knows it."""

    __slots__ = ("_at", "_full", "_values")

    def __init__(self) -> None:
        self._at: dict[str, set[tuple[bool, Any]]] = {}
        self._values = 0
        self._full = False

    def remember(
        self,
        tool: str,
        result: Any,
        given: Mapping[str, Json],
        outsiders: Sequence[ResultPath] = (),
        *,
        whole: bool = True,
    ) -> None:
        """What a call returned that was given these arguments. Not ``whole``: the result was not seen. Never raises."""
        if not whole:
            self._full = True
            return
        echoed = {_key(leaf) for leaf in _leaves(dict(given), _MOST_PARTS)}
        try:
            for path, leaf in _walk(tool, result, tuple(outsiders), 0):
                key = _key(leaf)
                if key not in echoed:
                    self._put(path, key)
        except Exception:  # a result of any kind
            self._full = True

    def _put(self, path: str, key: tuple[bool, Any]) -> None:
        held = self._at.get(path)
        if held is None:
            if len(self._at) >= MAX_PATHS:
                self._full = True
                return
            held = self._at[path] = set()
        if key in held:
            return
        if self._values >= MAX_VALUES:
            self._full = True
            return
        held.add(key)
        self._values += 1

    def of(
        self, arguments: Mapping[str, Json], inputs: Mapping[str, Json], hidden: Collection[str] = ()
    ) -> dict[str, list[str]] | None:
        """In which places each argument was seen: of a list or an object, all of it. None: not everything is known.

        ``hidden``: arguments that no record holds, of which nothing is said here either.
        """
        if self._full:
            return None
        given = {f"inputs.{name}": set(map(_key, _leaves(value, MAX_VALUES))) for name, value in inputs.items()}
        places = {**given, **self._at}
        found: dict[str, list[str]] = {}
        for name, value in arguments.items():
            keys = {_key(leaf) for leaf in _leaves(value, _MOST_PARTS + 1)}
            if not keys or len(keys) > _MOST_PARTS or name in hidden or without_credentials(name) != name:
                continue
            holding = [path for path, held in places.items() if keys <= held]
            if holding:
                found[name] = holding[:_MOST_PLACES]
        return found


def _walk(path: str, value: Any, outsiders: tuple[ResultPath, ...], depth: int) -> Iterator[tuple[str, Json]]:
    """Every text and number of a result with its path, elements of a list under one. ``outsiders``: what is left of
    the declared paths that lead here; what they end at, or do not fit, is theirs, and keeps its own names to itself."""
    if depth > _MAX_DEPTH:
        return
    inside = structure(value)
    if isinstance(inside, PLAIN):
        inside = to_jsonable_python(inside)
    kind = dict if isinstance(inside, dict) else list if isinstance(inside, list) else None
    if inside is not None and not all(
        rest and kind is (dict if isinstance(rest[0], str | Values) else list) for rest in outsiders
    ):
        place = OUTSIDERS + path.removeprefix(OUTSIDERS)
        yield from ((place, leaf) for leaf in _leaves(to_jsonable_python(value), MAX_VALUES))
    elif isinstance(inside, dict):
        is_map = len(inside) > _MOST_MEMBERS or not all(
            isinstance(name, str) and _MEMBER.fullmatch(name) for name in inside
        )
        for name, item in inside.items():
            left = tuple(rest[1:] for rest in outsiders if rest[0] in (VALUES, name))
            yield from _walk(f"{path}.*" if is_map else f"{path}.{name}", item, left, depth + 1)
    elif isinstance(inside, list):
        size = len(inside)
        for at, item in enumerate(inside):
            left = tuple(rest[1:] for rest in outsiders if rest[0] in (EVERY, at, at - size))
            yield from _walk(f"{path}[*]", item, left, depth + 1)
    else:
        yield from ((path, leaf) for leaf in _leaves(inside, 1))


def _leaves(value: Any, most: int) -> Iterator[Json]:
    """Every text and number in a value that can be a name of something, up to so many."""
    pending: list[Any] = [value]
    while pending and most > 0:
        item = pending.pop()
        if isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, list | tuple):
            pending += item
        elif _is_name(item):
            most -= 1
            yield item


def _is_name(item: Any) -> bool:
    if isinstance(item, str):
        return 0 < len(item) <= _LONGEST
    return isinstance(item, int | float) and not isinstance(item, bool)


def _key(leaf: Json) -> tuple[bool, Any]:
    """One text or number, so that ``5`` is ``5.0`` and neither is ``"5"``."""
    return isinstance(leaf, str), leaf
