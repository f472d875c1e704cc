"""JSON read strictly: one meaning or none.

Python's ``json`` keeps the last of two equal members, reads NaN and follows any depth; each has let a checker and a
reader see different values. Here duplicates (escaped ones too), NaN, Infinity and depth past the limit are refused.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, cast

from agentguard.core.reasons import Reason
from agentguard.core.values import Json
from agentguard.jose.refusal import Refused, shown

# Real tokens and key sets nest four or five levels. Past this, the text was made to exhaust a reader.
MAX_DEPTH = 32
# RFC 7493: integers past this change on their way through other readers.
_MAX_INTEGER = 2**53 - 1


def parse_object(data: bytes, what: str) -> dict[str, Json]:
    """Read one JSON object. Raises Refused (malformed, too large) naming ``what`` was read."""
    try:
        value = _DECODER.decode(data.decode("utf-8", "strict"))
    except RecursionError:
        raise Refused(Reason.ASSERTION_TOO_LARGE, f"the {what} is nested too deeply") from None
    except ValueError as error:
        raise Refused(Reason.ASSERTION_MALFORMED, f"the {what} is not strict JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refused(Reason.ASSERTION_MALFORMED, f"the {what} is not a JSON object")
    # Cheap first look: fewer brackets than the limit cannot nest deeper than it.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Refused(Reason.ASSERTION_TOO_LARGE, f"the {what} is nested deeper than {MAX_DEPTH}")
    return cast("dict[str, Json]", value)


def cannot_be_recorded(value: Json) -> str | None:
    """Why this value has no canonical JSON form (RFC 8785), or None where it has one."""
    if isinstance(value, str):
        # `isascii` is one look at a flag; only other text can hold a lone surrogate.
        return None if value.isascii() or _encodes(value) else "a lone surrogate"
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return None if -_MAX_INTEGER <= value <= _MAX_INTEGER else "an integer past 2^53"
    if isinstance(value, float):
        return None if math.isfinite(value) else "a number that is not finite"
    if isinstance(value, list):
        return next(filter(None, map(cannot_be_recorded, value)), None)
    keys = next(filter(None, map(cannot_be_recorded, value)), None)
    return keys or next(filter(None, map(cannot_be_recorded, value.values())), None)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"member {shown(twice)} occurs twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# One decoder for all calls: `json.loads` with hooks builds a new one each time.
_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_constant)


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _depth(value: Any) -> int:
    deepest, todo = 0, [(value, 1)]
    while todo:
        item, depth = todo.pop()
        deepest = max(deepest, depth)
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        todo.extend((child, depth + 1) for child in children if isinstance(child, dict | list))
    return deepest
