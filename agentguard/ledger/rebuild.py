"""Making a ledger's cells again from its log, and saying what differs from those that were there."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias

from agentguard.errors import LedgerError
from agentguard.ledger import cells
from agentguard.ledger.entry import micros
from agentguard.ledger.mirror import REMEMBERED_MICROS, Mirror, Stored
from agentguard.ledger.sqlite.files import explain, open_file
from agentguard.ledger.sqlite.store import SqliteLog

# Told how much is done, and of how much.
Progress: TypeAlias = "Callable[[int, int], None]"
_EVERY = 1000

_REMEMBER = "CREATE TEMP TABLE before AS SELECT kind, name, value FROM cells"
_INDEX = "CREATE UNIQUE INDEX before_by_name ON before (kind, name)"
_GONE = """
SELECT kind, count(*) FROM before AS b
WHERE NOT EXISTS (SELECT 1 FROM main.cells AS c WHERE c.kind = b.kind AND c.name = b.name) GROUP BY kind"""
_CHANGED = """
SELECT b.kind, count(*) FROM before AS b JOIN main.cells AS c ON c.kind = b.kind AND c.name = b.name
WHERE c.value <> b.value GROUP BY b.kind"""
_NEW = """
SELECT c.kind, count(*) FROM main.cells AS c
WHERE NOT EXISTS (SELECT 1 FROM before AS b WHERE b.kind = c.kind AND b.name = c.name) GROUP BY c.kind"""


class Rebuilt(NamedTuple):
    """What was made again. ``gone``, ``changed`` and ``new``: how many cells of each kind differ from before."""

    records: int
    cells: int
    gone: Mapping[str, int]
    changed: Mapping[str, int]
    new: Mapping[str, int]

    @property
    def differs(self) -> bool:
        """Whether anything was not what the log says."""
        return bool(self.gone or self.changed or self.new)


def rebuild_ledger(path: str | Path, *, progress: Progress | None = None) -> Rebuilt:
    """Throw away what the log of the ledger at ``path`` adds up to, and add it up again. Raises LedgerError.

    Nobody else may have the ledger open. Interrupted, it stands: what is missing is made again when it is next opened.
    """
    file = open_file(Path(path))
    try:
        log = SqliteLog(file)
        log.enter(write=True)
        try:
            if file.others():
                raise LedgerError(
                    f"`{path}` is in use by another process; end whoever has it open, and rebuild it then"
                )
            found = _rebuild(log, file.connection, progress)
        except BaseException:
            log.undo()
            raise
        log.leave()
    except sqlite3.Error as error:
        raise explain(error, file.place) from None
    finally:
        file.close()
    return found


def fold_log(log: SqliteLog, progress: Progress | None = None) -> None:
    """Let the store keep the fold of every record that it has not kept yet. Within an ``enter`` that may write."""
    mirror = Mirror(log)
    last = log.last()

    def watch(rows: Iterator[Stored]) -> Iterator[Stored]:
        for row in rows:
            yield row
            if progress is not None and (row[0] % _EVERY == 0 or row[0] == last):
                progress(row[0], last)

    mirror.catch_up(write=True, watch=watch)
    mirror.save()


def _rebuild(log: SqliteLog, database: sqlite3.Connection, progress: Progress | None) -> Rebuilt:
    fold_log(log)  # what the cells only lag behind in is no difference
    database.execute(_REMEMBER)
    database.execute(_INDEX)
    if not database.in_transaction:
        database.execute("BEGIN IMMEDIATE")
    log.forget(None)
    fold_log(log, progress)
    # A used assertion is forgotten long after it expired; the log remembers it.
    log.forget(cells.USED, before=micros(datetime.now(UTC)) - REMEMBERED_MICROS)
    number = int(database.execute("SELECT count(*) FROM main.cells").fetchone()[0])
    gone, changed, new = (Counter(dict(database.execute(sql).fetchall())) for sql in (_GONE, _CHANGED, _NEW))
    if gone[cells.USED]:  # those that had expired, and had not been forgotten yet
        still = "SELECT count(*) FROM before WHERE kind = ? AND json_extract(CAST(value AS TEXT), '$[0]') < ?"
        limit = micros(datetime.now(UTC)) - REMEMBERED_MICROS
        gone[cells.USED] -= int(database.execute(still, (cells.USED, limit)).fetchone()[0])
    return Rebuilt(log.last(), number, +gone, +changed, +new)
