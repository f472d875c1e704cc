"""What tools returned and were given, as JSON: marks in one packed text for each call."""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from typing import Any

from agentguard.core.text.told import SIZE, Returned, Telling, Told
from agentguard.core.values import Json


def write_telling(telling: Telling) -> Json:
    """What one call brought."""
    return [telling.tool, telling.call, _pack(telling.returned), _pack(telling.given), telling.own, telling.lost]


def read_telling(stored: Any) -> Telling:
    """The other way."""
    tool, call, returned, given, own, lost = stored
    return Telling(tool, call, _unpack(returned), _unpack(given), own, lost)


def write_told(told: Told) -> Json:
    """Everything that was brought."""
    calls: list[Json] = [
        [one.tool, one.call, one.ended, _pack(one.returned), _pack(one.given), one.own] for one in told.calls
    ]
    coarse = b64encode(zlib.compress(told.coarse, 1)).decode() if told.coarse else ""
    lost: list[Json] = [*sorted(told.lost)]
    ended: list[Json] = [*sorted(told.ended)]
    return [calls, coarse, lost, ended]


def read_told(stored: Any) -> Told:
    """The other way."""
    calls, coarse, lost, ended = stored
    read = (
        Returned(tool, call, at, _unpack(returned), _unpack(given), own)
        for tool, call, at, returned, given, own in calls
    )
    return Told(tuple(read), zlib.decompress(b64decode(coarse)) if coarse else b"", frozenset(lost), frozenset(ended))


def _pack(marks: frozenset[bytes]) -> str:
    return b64encode(b"".join(sorted(marks))).decode()


def _unpack(packed: str) -> frozenset[bytes]:
    raw = b64decode(packed)
    return frozenset(raw[at : at + SIZE] for at in range(0, len(raw), SIZE))
