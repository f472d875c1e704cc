"""Finding records, a page at a time: by the index where one covers the filter, and by looking where none does."""

from __future__ import annotations

import sqlite3
from typing import Any

from agentguard.ledger.entry import micros
from agentguard.ledger.sqlite import schema
from agentguard.ledger.values import RecordFilter

# The most telling field first: the index is entered by one field, and the others are compared.
_INDEXED = ("decision_id", "run_id", "reason", "effect", "kind", "subject", "tool")

_REASON = "EXISTS (SELECT 1 FROM json_each(r.reasons) AS j WHERE j.value = :reason)"
_BY_INDEX = """
SELECT r.seq, r.body FROM postings AS p
CROSS JOIN records AS r ON r.seq BETWEEN p.block * 256 + 1 AND p.block * 256 + 256
WHERE p.field = :field AND p.value = :value AND p.block BETWEEN (:low - 1) / 256 AND (:high - 1) / 256
AND r.seq BETWEEN :low AND :high"""
_BY_LOOKING = "SELECT r.seq, r.body FROM records AS r WHERE r.seq BETWEEN :low AND :high"


class Index:
    """The index over one ledger's records. ``indexed``: every record up to that number is in it."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self.indexed = 0

    def look(self) -> None:
        """See how far others have come."""
        self.indexed = int(self._cursor.execute(schema.BLOCKS).fetchone()[0]) * schema.BLOCK

    def extend(self, last: int, most_blocks: int) -> bool:
        """Index the next full blocks, up to so many. True where there are more. Within a transaction that writes."""
        self.look()
        for _ in range(most_blocks):
            if last - self.indexed < schema.BLOCK:
                return False
            first, end = self.indexed + 1, self.indexed + schema.BLOCK
            stretch = {"block": self.indexed // schema.BLOCK, "first": first, "last": end}
            self._cursor.execute(schema.ADD_POSTINGS, stretch)
            self._cursor.execute(schema.ADD_BLOCK, stretch)
            self.indexed = end
        return last - self.indexed >= schema.BLOCK

    def page(
        self, wanted: RecordFilter, after: int, before: int | None, size: int, last: int, *, newest: bool
    ) -> list[tuple[int, bytes]]:
        """The first records of a range that match, in order; with ``newest`` the last of them, backwards."""
        self.look()
        bound, conditions = _conditions(wanted)
        low, indexed_high, high = self._limits(wanted, after, before, last)
        field = next((name for name in _INDEXED if name in bound), None)
        if field is not None:
            bound |= {"field": field, "value": bound[field]}
        parts = [
            (_BY_LOOKING if field is None else _BY_INDEX, low, indexed_high),
            (_BY_LOOKING, max(low, self.indexed + 1), high),
        ]
        found: list[tuple[int, bytes]] = []
        for text, start, end in reversed(parts) if newest else parts:
            left = size - len(found)
            if left > 0 and start <= end:
                order = "DESC" if newest else "ASC"
                key = f"p.block {order}, r.seq {order}" if text is _BY_INDEX else f"r.seq {order}"
                sql = f"{text}{conditions} ORDER BY {key} LIMIT :size"
                found += self._cursor.execute(sql, {**bound, "low": start, "high": end, "size": left}).fetchall()
        return found

    def _limits(self, wanted: RecordFilter, after: int, before: int | None, last: int) -> tuple[int, int, int]:
        """The numbers that can match: from, to as far as the index goes, and to. ``blocks`` knows when they were."""
        low = after + 1
        high = last if before is None else before - 1
        indexed_high = min(high, self.indexed)
        if wanted.since is not None:
            first = self._cursor.execute(schema.FIRST_BLOCK_REACHING, (micros(wanted.since),)).fetchone()[0]
            low = max(low, self.indexed + 1 if first is None else int(first) * schema.BLOCK + 1)
        if wanted.until is not None:
            end = self._cursor.execute(schema.LAST_BLOCK_FROM, (micros(wanted.until),)).fetchone()[0]
            indexed_high = min(indexed_high, 0 if end is None else (int(end) + 1) * schema.BLOCK)
        return low, indexed_high, high


def _conditions(wanted: RecordFilter) -> tuple[dict[str, Any], str]:
    bound: dict[str, Any] = {}
    text = ""
    for name in _INDEXED:
        value = getattr(wanted, name)
        if value is not None:
            bound[name] = value
            text += f" AND {_REASON}" if name == "reason" else f" AND r.{name} = :{name}"
    for name, compare in (("since", ">="), ("until", "<=")):
        value = getattr(wanted, name)
        if value is not None:
            bound[name] = micros(value)
            text += f" AND r.time {compare} :{name}"
    return bound, text
