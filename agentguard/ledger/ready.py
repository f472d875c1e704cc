"""A record that is encoded without another look at what it holds.

Most of a record is written by us: names of the policy, ids, digests, words. Its maker knows that these are texts, whole
numbers, nothing, or lists and objects of such, and has the bytes of the rest (the arguments) already. Then the bytes
are put together in one step of C. They are those that ``canonical_bytes`` makes, and where that is not certain nobody
uses this: ``public_bytes`` gives None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from agentguard.core.canonical import MAX_BYTES, MAX_DEPTH, MAX_NODES
from agentguard.ledger.cells import micros

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
# A record takes a level and some hundred values for itself; its lists are as short as the policy's are.
_DEEP = MAX_DEPTH - 2
_MANY = MAX_NODES // 2


class ReadyRecord(dict[str, Any]):
    """See the module. ``at`` is its time, in microseconds since 1970 UTC; ``encoded`` are members' canonical bytes."""

    __slots__ = ("at", "encoded")

    def __init__(self, members: Mapping[str, Any], at: datetime, encoded: Mapping[str, bytes]) -> None:
        super().__init__(members)
        self.at = micros(at)
        self.encoded = encoded

    def public_bytes(self, commitments: Mapping[str, str], changes: Sequence[Sequence[Any]]) -> bytes | None:
        """The canonical bytes of the record with what the ledger adds. None where the long way must find out."""
        whole: dict[str, Any] = dict(self)
        if commitments:
            whole["commitments"] = commitments
        if changes:
            whole["changes"] = changes
        for name, data in self.encoded.items():
            # Upper bounds, quickly had: what may nest too deep or hold too much inside a record is looked at.
            if data.count(b"[") + data.count(b"{") > _DEEP or data.count(b",") > _MANY:
                return None
            whole[name] = orjson.Fragment(data)
        try:
            body = orjson.dumps(whole, option=_OPTIONS)
        except orjson.JSONEncodeError:
            return None
        if len(body) > MAX_BYTES:
            return None
        return body if body.isascii() or self._names_are_plain(commitments, changes) else None

    def _names_are_plain(self, commitments: Mapping[str, str], changes: Sequence[Sequence[Any]]) -> bool:
        """Whether every name beside those in ``encoded`` is ASCII: the two orders of names differ past that."""
        if self.get("order") or self.get("seen_in") or not "".join(commitments).isascii():
            return False
        return all(type(part) is not dict or "".join(part).isascii() for change in changes for part in change)
