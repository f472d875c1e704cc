"""Reading records back, a page at a time, by index where one covers the filter and by looking where none does."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from agentguard.errors import LedgerError
from agentguard.ledger import schema
from agentguard.ledger.contract import RecordFilter
from agentguard.ledger.encode import micros
from agentguard.ledger.store import Store

# The most telling field first: the index is entered by one field, and the others are compared.
_INDEXED = ("decision_id", "run_id", "reason", "effect", "kind", "subject", "tool")

_REASON = "EXISTS (SELECT 1 FROM json_each(r.reasons) AS j WHERE j.value = :reason)"
_BY_INDEX = """
SELECT r.seq, r.body FROM postings AS p
CROSS JOIN records AS r ON r.seq BETWEEN p.block * 256 + 1 AND p.block * 256 + 256
WHERE p.field = :field AND p.value = :value AND p.block BETWEEN (:low - 1) / 256 AND (:high - 1) / 256
AND r.seq BETWEEN :low AND :high"""
_BY_LOOKING = "SELECT r.seq, r.body FROM records AS r WHERE r.seq BETWEEN :low AND :high"


class Page(NamedTuple):
    """Which records to read: those after ``after`` and before ``before``, at most ``size``."""

    wanted: RecordFilter
    after: int
    before: int | None
    size: int
    newest: bool


def page(store: Store, asked: Page) -> list[tuple[int, bytes]]:
    """The first records of the page's range that match, in order; with ``newest`` the last of them, backwards."""
    store.flush()
    bound, conditions = _conditions(asked.wanted)
    low, indexed_high, high = _limits(store, asked)
    field = next((name for name in _INDEXED if name in bound), None)
    if field is not None:
        bound |= {"field": field, "value": bound[field]}
    parts = [
        (_BY_LOOKING if field is None else _BY_INDEX, low, indexed_high),
        (_BY_LOOKING, max(low, store.indexed() + 1), high),
    ]
    found: list[tuple[int, bytes]] = []
    for text, first, last in reversed(parts) if asked.newest else parts:
        size = asked.size - len(found)
        if size > 0 and first <= last:
            order = "DESC" if asked.newest else "ASC"
            key = f"p.block {order}, r.seq {order}" if text is _BY_INDEX else f"r.seq {order}"
            sql = f"{text}{conditions} ORDER BY {key} LIMIT :size"
            found += store.cursor.execute(sql, {**bound, "low": first, "high": last, "size": size}).fetchall()
    return found


def private(store: Store, seq: int) -> dict[str, str]:
    """What is kept beside a record."""
    store.flush()
    found = store.cursor.execute(schema.PRIVATE, (seq,)).fetchone()
    if found is None:
        raise LedgerError(f"there is no record {seq} in this ledger")
    return {} if found[0] is None else dict(json.loads(found[0]))


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


def _limits(store: Store, asked: Page) -> tuple[int, int, int]:
    """The numbers that can match: from, to as far as the index goes, and to. ``blocks`` knows when they were."""
    low = asked.after + 1
    high = store.last_seq() if asked.before is None else asked.before - 1
    indexed = store.indexed()
    indexed_high = min(high, indexed)
    if asked.wanted.since is not None:
        first = store.cursor.execute(schema.FIRST_BLOCK_REACHING, (micros(asked.wanted.since),)).fetchone()[0]
        low = max(low, indexed + 1 if first is None else int(first) * schema.BLOCK + 1)
    if asked.wanted.until is not None:
        last = store.cursor.execute(schema.LAST_BLOCK_FROM, (micros(asked.wanted.until),)).fetchone()[0]
        indexed_high = min(indexed_high, 0 if last is None else (int(last) + 1) * schema.BLOCK)
    return low, indexed_high, high
