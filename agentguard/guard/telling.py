"""What one call returned and was given, as marks, where its workflow asks what a text carries: ``core.text.told``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import to_jsonable_python

from agentguard.core.text.rules import texts_of
from agentguard.core.text.told import Telling
from agentguard.core.values import Json
from agentguard.guard.provenance import MAX_DEPTH, MAX_NODES, PLAIN
from agentguard.policy.keeps import structure

# Characters of one result. Of a longer one nobody knows what is in it.
MAX_RETURNED = 1024 * 1024


def telling(tool: str, call: int, given: Json, result: Any, *, failed: bool = False) -> Telling:
    """What a call brought. What a failure says is its tool's, and no source for anything. Never raises."""
    from agentguard.core.text.marks import marks_in

    try:
        marks = frozenset(mark for mark, _ in marks_in(_bounded(result)))
    except Exception:  # a result of any kind
        return unread(tool, call, given)
    return Telling(tool, call, marks, _given(given), own=not failed)


def unread(tool: str, call: int, given: Json) -> Telling:
    """A call whose result could not be read, or was never seen whole."""
    return Telling(tool, call, frozenset(), _given(given), own=False, lost=True)


def not_run(tool: str, call: int, given: Json) -> Telling:
    """A call whose tool never started."""
    return Telling(tool, call, frozenset(), _given(given), own=False)


def _given(arguments: Json) -> frozenset[bytes]:
    from agentguard.core.text.marks import DISGUISED, marks_in

    found = marks_in(list(texts_of(arguments)), written=True)
    return frozenset(mark for mark, what in found if what not in DISGUISED)


def _bounded(result: Any) -> list[str]:
    texts = []
    length = 0
    for text in _texts(result):
        texts.append(text)
        length += len(text)
        if length > MAX_RETURNED or len(texts) > MAX_NODES:
            raise ValueError("too large")
    return texts


def _texts(result: Any) -> Iterator[str]:
    """Every text and number in a result, names of members too, in order."""
    pending: list[tuple[Any, int]] = [(result, 0)]
    nodes = 0
    while pending:
        value, depth = pending.pop()
        nodes += 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError("too large")
        inside = structure(value)
        if isinstance(inside, PLAIN):
            inside = to_jsonable_python(inside)
        if isinstance(inside, dict):
            for name, item in reversed(list(inside.items())):
                pending += [(item, depth + 1), (name, depth + 1)]
        elif isinstance(inside, list):
            pending += [(item, depth + 1) for item in reversed(inside)]
        elif isinstance(inside, str) or (isinstance(inside, int | float) and not isinstance(inside, bool)):
            yield str(inside)
        elif inside is not None and not isinstance(inside, bool):
            raise TypeError("not JSON")
