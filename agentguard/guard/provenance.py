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
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_jsonable_python

from agentguard.core.coarse import pieces_of
from agentguard.core.paths import EVERY, VALUES, Path, Step, Values, leaves_at
from agentguard.core.provenance import MAX_TEXT, Brought, digest, digests, outsiders_text
from agentguard.core.values import Json
from agentguard.guard.result_paths import ResultPath
from agentguard.policy.keeps import Keep, structure

# Members and elements of one result, outsiders' included.
MAX_NODES = 200_000
MAX_DEPTH = 64

# What has one JSON form and is no container. Reading anything else could use it up (an iterator) or run its code.
PLAIN = (
    *(datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, pathlib.PurePath),
    *(enum.Enum, bytes, set, frozenset),
)


# In place of what is outsiders', in a result without it. No path leads on from here, and it is no value.
OUTSIDE: Any = object()


def brought(
    tool: str,
    paths: Sequence[ResultPath],
    call: int,
    result: Any,
    kept: Mapping[str, Json] | None = None,
    *,
    asked: Asked | None = None,
    room: int = MAX_TEXT,
) -> Brought:
    """What a result brings, and what was kept of it. Never raises.

    ``asked``: the named places that the workflow asks for. ``room``: how much of outsiders' text is kept letter by
    letter; a longer one is brought in pieces.
    """
    walk = _Walk()
    try:
        view = walk.visit(result, tuple(paths), 0)
        text = outsiders_text(walk.outside)
    except Exception:  # a result of any kind
        return lost(tool, call)
    if text is None:
        return lost(tool, call)
    clean = {tool: frozenset(walk.clean)}
    clean |= {f"kept.{name}": digests(value) for name, value in (kept or {}).items()}
    if asked is not None:
        clean |= asked.found(tool, view)
    if len(text) > room:
        return Brought(tool, call, clean, pieces=pieces_of(tool, text))
    return Brought(tool, call, clean, text)


@dataclass(frozen=True, slots=True)
class Asked:
    """The named places that a workflow asks for, and what the call's step keeps; ``roots`` as for ``Keep.extract``."""

    places: Mapping[str, Path]
    keeps: Sequence[Keep] = ()
    roots: Mapping[str, Any] = field(default_factory=dict)

    def found(self, tool: str, view: Any) -> dict[str, frozenset[bytes]]:
        """What stood at each place that this call brings, and was not outsiders'. ``view``: the result without that."""
        found: dict[str, frozenset[bytes]] = {}
        for source, path in self.places.items():
            if path.root == tool:
                found[source] = _digests(path.steps, view)
            elif path.root == "kept":
                for keep in self.keeps:
                    if keep.name == path.steps[0]:
                        found[source] = _digests(path.steps[1:], keep.shape_of(view, self.roots))
        return found


def _digests(steps: Sequence[Step], value: Any) -> frozenset[bytes]:
    return frozenset(key for key in map(digest, leaves_at(steps, value)) if key is not None)


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
    """One walk over one result. What it gives back is the result as plain JSON, with nothing that is outsiders'."""

    def __init__(self) -> None:
        self.clean: set[bytes] = set()
        self.outside: list[Json] = []
        self._nodes = 0
        self._texts: set[str] = set()

    def visit(self, value: Any, paths: tuple[ResultPath, ...], depth: int) -> Any:
        """``paths``: what is left of the declared paths that lead here."""
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError("too large")
        inside = structure(value)
        if isinstance(inside, PLAIN):
            inside = to_jsonable_python(inside)
        kind = dict if isinstance(inside, dict) else list if isinstance(inside, list) else None
        if inside is not None and not all(path and kind is (dict if _of_object(path[0]) else list) for path in paths):
            self._outsiders(inside, depth)
            return OUTSIDE
        if isinstance(inside, dict):
            return {
                name: self.visit(item, tuple(path[1:] for path in paths if path[0] in (VALUES, name)), depth + 1)
                for name, item in ((_text(key), item) for key, item in inside.items())
            }
        if isinstance(inside, list):
            size = len(inside)
            return [
                self.visit(item, tuple(path[1:] for path in paths if path[0] in (EVERY, at, at - size)), depth + 1)
                for at, item in enumerate(inside)
            ]
        return self._keep(inside)

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

    def _keep(self, value: Any) -> Json:
        plain = _scalar(value)
        if isinstance(plain, str):
            if plain in self._texts:  # one long text may stand in a result a thousand times, for the price of one
                return plain
            self._texts.add(plain)
        key = digest(plain)
        if key is not None:
            self.clean.add(key)
        return plain


def _of_object(step: Step) -> bool:
    return isinstance(step, str | Values)


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
