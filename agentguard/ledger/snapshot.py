"""Snapshot records: the fold of what came before them, where the log does not hold all of that itself.

The cells are the record's private part: they hold kept values, and what outsiders wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import orjson

from agentguard.core.canonical import canonical_bytes, commitment
from agentguard.jose.nonce import nonce
from agentguard.ledger import stored
from agentguard.ledger.cells import Cell
from agentguard.ledger.entry import CHANGES, COMMITMENTS, micros
from agentguard.ledger.log import Key, Row

KIND, CELLS = "snapshot", "cells"
# Cells in one record, and their bytes: a store holds no value of any size. Most ledgers need one record.
MOST_CELLS = 20_000
MOST_BYTES = 64 * 1024 * 1024


def snapshots(found: Iterable[tuple[Key, Cell]], at: datetime, *, by: str, why: str) -> Iterator[Row]:
    """The records that put these cells in their places, in order. One at least."""
    held: list[tuple[str, str, str]] = []
    size = 0
    wrote = False
    for (kind, known_as), cell in found:
        value = stored.encode(cell)
        held.append((kind, known_as, value.decode()))
        size += len(value) + len(known_as)
        if len(held) >= MOST_CELLS or size >= MOST_BYTES:
            yield _row(held, at, by, why)
            held, size, wrote = [], 0, True
    if held or not wrote:
        yield _row(held, at, by, why)


def _row(held: list[tuple[str, str, str]], at: datetime, by: str, why: str) -> Row:
    """Lists of texts have one way to be written, so these bytes are canonical, however many they are."""
    salt, part = nonce(), orjson.dumps(held)
    record = {
        "kind": KIND,
        "time": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "by": by,
        "why": why,
        CHANGES: [["carry"]],
        COMMITMENTS: {CELLS: commitment(salt, part)},
    }
    private = orjson.dumps({CELLS: [salt, orjson.Fragment(part)]})
    return Row(micros(at), KIND, None, None, None, None, None, None, canonical_bytes(record), private)
