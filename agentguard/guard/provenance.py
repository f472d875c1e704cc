"""What one result brings into its run: exact values, and text that outsiders could write. See ``core.provenance``.

A result is read in its JSON form. Where a declared path meets something of another shape than it says, all of that is
taken for outsiders'. What has no JSON form, or is too large, is lost, and then nothing is known in that run any more.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import pathlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_jsonable_python

from agentguard.core.provenance import MAX_VALUES, Brought, digest, digests, outsiders_text
from agentguard.core.values import Json
from agentguard.guard.result_paths import ResultPath
from agentguard.policy.keeps import structure

# Members and elements of one result, outsiders' included.
MAX_NODES = 50_000
MAX_DEPTH = 64

# What has one JSON form and is no container. Reading anything else could use it up (an iterator) or run its code.
PLAIN = (
    *(datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, pathlib.PurePath),
    *(enum.Enum, bytes, set, frozenset),
)


def brought(
    tool: str, paths: Sequence[ResultPath], call: int, result: Any, kept: Mapping[str, Json] | None = None
) -> Brought:
    """What a result brings, and what was kept of it. Never raises."""
    walk = _Walk()
    try:
        walk.visit(result, tuple(paths), 0)
        text = outsiders_text(walk.outside)
    except Exception:  # a result of any kind
        return lost(tool, call)
    if text is None or len(walk.clean) > MAX_VALUES:
        return lost(tool, call)
    clean = {tool: frozenset(walk.clean)}
    clean |= {f"kept.{name}": digests(value) for name, value in (kept or {}).items()}
    return Brought(tool, call, clean, text)


def brought_by_error(tool: str, paths: Sequence[ResultPath], call: int, error: BaseException) -> Brought | None:
    """What a failure brings: its text is outsiders' where they can write in the tool's results. Never raises."""
    if not paths:
        return None
    try:
        text = outsiders_text([str(error), repr(error)])
    except Exception:
        return lost(tool, call)
    return lost(tool, call) if text is None else Brought(tool, call, {}, text)


def lost(tool: str, call: int) -> Brought:
    """Something came in that could not be followed."""
    return Brought(tool, call, {}, lost=True)


class _Walk:
    """One walk over one result."""

    def __init__(self) -> None:
        self.clean: set[bytes] = set()
        self.outside: list[Json] = []
        self._nodes = 0
        self._texts: set[str] = set()

    def visit(self, value: Any, paths: tuple[ResultPath, ...], depth: int) -> None:
        """``paths``: what is left of the declared paths that lead here."""
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError("too large")
        inside = structure(value)
        if isinstance(inside, PLAIN):
            inside = to_jsonable_python(inside)
        wanted = dict if isinstance(inside, dict) else list if isinstance(inside, list) else None
        if not all(path and wanted is (list if path[0] is None else dict) for path in paths) and inside is not None:
            self._outsiders(inside, depth)
        elif isinstance(inside, dict):
            for key, item in inside.items():
                self.visit(item, tuple(path[1:] for path in paths if path[0] == _text(key)), depth + 1)
        elif isinstance(inside, list):
            for item in inside:
                self.visit(item, tuple(path[1:] for path in paths), depth + 1)
        else:
            self._keep(inside)

    def _outsiders(self, value: Any, depth: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError("too large")
        inside = structure(value)
        if isinstance(inside, PLAIN):
            inside = to_jsonable_python(inside)
        if isinstance(inside, dict):
            for key, item in inside.items():
                self.outside.append(_text(key))
                self._outsiders(item, depth + 1)
        elif isinstance(inside, list):
            for item in inside:
                self._outsiders(item, depth + 1)
        else:
            self.outside.append(_scalar(inside))

    def _keep(self, value: Any) -> None:
        plain = _scalar(value)
        if isinstance(plain, str):
            if plain in self._texts:  # one long text may stand in a result a thousand times, for the price of one
                return
            self._texts.add(plain)
        key = digest(plain)
        if key is not None:
            self.clean.add(key)


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError("a key is not text")
    return str(key)


def _scalar(value: Any) -> Json:
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            plain: Json = kind(value)
            return plain
    raise TypeError("not JSON")
