"""Many rows in one statement.

Each step of a statement lets other threads run and has to wait for its turn again, which under load takes longer than
the row itself. So rows go in by the dozen. Statements come in a few sizes, so that SQLite keeps them all prepared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

# A record has eleven columns: 64 rows are well under the least number of parameters any SQLite takes (999).
_SIZES = (64, 16, 4, 1)


def put(cursor: sqlite3.Cursor, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run ``statement`` (up to and with ``VALUES``) for all the rows, which are of one width."""
    for chunk in _chunks(rows):
        row = f"({','.join('?' * len(chunk[0]))})"
        cursor.execute(f"{statement} {','.join([row] * len(chunk))}", tuple(chain.from_iterable(chunk)))


def among(cursor: sqlite3.Cursor, statement: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run ``statement`` (up to and with ``IN``) for all the keys; the rows it gives."""
    found: list[tuple[Any, ...]] = []
    for chunk in _chunks(keys):
        found += cursor.execute(f"{statement} ({','.join('?' * len(chunk))})", tuple(chunk)).fetchall()
    return found


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    start = 0
    for size in _SIZES:
        while len(items) - start >= size:
            yield items[start : start + size]
            start += size
