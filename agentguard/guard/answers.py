"""What a call gave out, as text, for whoever makes it again: only what comes back as it was, in value and in type."""

from __future__ import annotations

import json
from typing import Any

from agentguard.core.credentials import may_hold, without_credentials

# Room for what models are shown; the ledger says how much of it there is in a run.
MOST_BYTES = 64 * 1024
_PLAIN = frozenset({str, int, float, bool, type(None)})
_DEEPEST = 50


def as_kept(result: object) -> str | None:
    """The text; None for what is no plain JSON, is too large, or holds a credential. Never raises."""
    if not _is_plain(result):
        return None
    try:
        text = json.dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = text.encode()
    except (ValueError, RecursionError):
        return None
    if len(data) > MOST_BYTES or (may_hold(data) and without_credentials(text) != text):
        return None
    return text


def from_kept(text: str) -> Any:
    """What the call gave out, made anew."""
    return json.loads(text)


def _is_plain(value: object) -> bool:
    """Whether these are JSON's own types alone: no subclass, no key that is no text, nothing in itself. Bounded by what
    may be kept."""
    pending: list[tuple[object, int]] = [(value, 0)]
    size = 0
    while pending:
        found, depth = pending.pop()
        size += 1
        if type(found) is str:
            size += len(found)
        elif type(found) is list or type(found) is dict:
            if depth >= _DEEPEST or len(found) > MOST_BYTES:
                return False
            if type(found) is dict:
                if any(type(key) is not str for key in found):
                    return False
                size += sum(map(len, found))
            inside = found.values() if type(found) is dict else found
            pending += [(item, depth + 1) for item in inside]
        elif type(found) not in _PLAIN:
            return False
        if size > MOST_BYTES:
            return False
    return True
