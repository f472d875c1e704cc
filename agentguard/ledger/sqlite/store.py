"""The log in a SQLite file that several processes may share."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agentguard.errors import LedgerError
from agentguard.ledger.entry import damaged
from agentguard.ledger.log import NOWHERE, Behind, Key, Place, Row, SavedCell
from agentguard.ledger.sqlite import schema
from agentguard.ledger.sqlite.files import LedgerFile, concerns_everybody, explain
from agentguard.ledger.sqlite.index import Index
from agentguard.ledger.values import RecordFilter

# How long another program may hold the file before an operation gives up; nothing has run by then.
BUSY_SECONDS = 20.0
# Rows in one statement: a record has eleven columns, and any SQLite takes 999 parameters.
_AT_ONCE = 64
_PAGE = 1000
_INDEX_BLOCKS = 4
# What is never without a place.
_IN_ORDER = ("run", "approval", "call", "unsettled")
_ROW_MARKS = f"({','.join('?' * 11)})"
_INSERTS = [f"{schema.ADD_RECORDS} {','.join([_ROW_MARKS] * size)}" for size in range(_AT_ONCE + 1)]


class SqliteLog:
    """See ``Log``."""

    def __init__(self, file: LedgerFile) -> None:
        self.file = file
        self.owner = file.owner_id
        self.place = file.place
        self._connection = file.connection
        self._cursor = file.connection.cursor()
        self._execute = self._cursor.execute
        self._index = Index(file.connection.cursor())
        self._version: int | None = None
        self._saved = 0
        self._last = 0
        # Whether the journal is still to be looked at, before anybody is told what a turn to write came to.
        self._unproved = False
        self._see()

    # --- transactions

    def enter(self, *, write: bool) -> bool:
        """Begin. True where another connection has written since the last time."""
        self._unproved = write
        if not write:
            self.file.check_in_place()
            if self._data_version() == self._version:
                return False
            self._execute(schema.BEGIN_READ)
            self._see()
            return True
        self.file.check_named()  # its journal is looked at once more when all is written
        if self._connection.in_transaction:
            self._execute(schema.COMMIT)
        self.file.turns.take()
        self._begin()
        if self._data_version() == self._version:
            return False
        self._see()
        return True

    def check(self) -> None:
        """Whether the file is there."""
        self.file.check_named()

    def leave(self) -> None:
        """The end."""
        if self._connection.in_transaction:
            self._execute(schema.COMMIT)
        self.file.turns.give()
        if self._unproved:  # nothing was appended, but what was looked at may be a journal that is gone
            self._unproved = False
            self.file.check_in_place()

    def undo(self) -> None:
        """As if it had not begun."""
        self._version = None
        self._unproved = False
        if self._connection.in_transaction:
            self._execute(schema.ROLLBACK)
        self.file.turns.give()

    def _begin(self) -> None:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._execute(schema.BEGIN_WRITE)
            except sqlite3.OperationalError as error:
                # Nothing of this transaction has run yet, so asking again repeats nothing.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            else:
                return

    def _data_version(self) -> int:
        version: int = self._execute(schema.DATA_VERSION).fetchone()[0]
        return version

    def _see(self) -> None:
        self._last = int(self._execute(schema.LAST).fetchone()[0])
        self._saved = int(self._execute(schema.KEPT).fetchone()[0])
        self._version = self._data_version()

    # --- records

    def last(self) -> int:
        """The number of the last row."""
        return self._last

    def append(self, first: int, rows: Sequence[Row]) -> None:
        """Add rows, all or none."""
        number = first
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            flat: list[Any] = []
            for row in part:
                flat.append(number)
                flat += row
                number += 1
            self._execute(_INSERTS[len(part)], flat)
        self._execute(schema.COMMIT)
        self._last = number - 1
        self._unproved = False
        self.file.check_in_place()  # what was written to a journal that is gone by now is lost with it

    def rows(self, after: int) -> Iterator[tuple[int, bytes, bytes | None]]:
        """Every row after a number."""
        while True:
            found = self._execute(schema.ROWS, (after, _PAGE)).fetchall()
            for number, body, private in found:
                if number != after + 1:
                    raise damaged(after + 1)
                after = number
                yield number, body, private
            if len(found) < _PAGE:
                return

    def row(self, number: int) -> tuple[bytes, bytes | None]:
        """One row."""
        found = self._execute(schema.ROW, (number,)).fetchone()
        if found is None:
            raise damaged(number)
        return found[0], found[1]

    def find(
        self, wanted: RecordFilter, after: int, before: int | None, size: int, *, newest: bool
    ) -> list[tuple[int, bytes]]:
        """By the index, as far as it goes."""
        return self._index.page(wanted, after, before, size, self._last, newest=newest)

    def index(self) -> bool:
        """Index a few blocks more. Within an ``enter`` that may write."""
        return self._index.extend(self._last, _INDEX_BLOCKS)

    def erase(self, number: int, private: bytes | None) -> None:
        """Put other private parts in the place of a row's, in this transaction."""
        self._execute(schema.ERASE, (private, number))

    def purge(self) -> None:
        """What a row held is overwritten when it is changed (``secure_delete``). But SQLite moves rows between pages,
        and their old place may still hold them, so the cells are written anew. The journal is emptied."""
        for statement in schema.WRITE_CELLS_ANEW:
            self._execute(statement)
        self._execute(schema.COMMIT)
        deadline = time.monotonic() + BUSY_SECONDS
        while self._execute(schema.EMPTY_JOURNAL).fetchone()[0]:
            if time.monotonic() > deadline:
                raise LedgerError(
                    f"`{self.place}`: it is erased, but another process reads the journal in which it stood, and keeps "
                    "it from being emptied; end that process, and erase it again"
                )

    # --- cells

    def saved(self) -> int:
        """How far the kept cells have come."""
        return self._saved

    def save(self, upto: int, cells: Iterable[SavedCell]) -> None:
        """Keep cells."""
        put: list[tuple[Any, ...]] = []
        drop: list[Key] = []
        for cell in cells:
            if cell.value is None:
                drop.append(cell.key)
            else:
                put.append((*cell.key, cell.live, cell.about, cell.order, cell.value))
        self._cursor.executemany(schema.DROP_CELL, drop)
        self._cursor.executemany(schema.PUT_CELL, put)
        self._execute(schema.KEEP, (upto,))
        self._execute(schema.COMMIT)
        self._saved = upto
        self._begin()  # what follows is appended whole or not at all; the turn was not given up in between

    def load(self, key: Key) -> bytes | None:
        """One kept cell. Raises Behind where others have written since this operation began."""
        if not self._connection.in_transaction:
            self._execute(schema.BEGIN_READ)
            if self._data_version() != self._version:
                self._execute(schema.COMMIT)
                raise Behind
        found = self._execute(schema.CELL, key).fetchone()
        return None if found is None else found[0]

    def list(
        self,
        kind: str,
        *,
        live: bool = False,
        about: str | None = None,
        after: int | None = None,
        before: int | None = None,
        equal: Mapping[Place, str] = NOWHERE,
        above: Mapping[Place, int] = NOWHERE,
    ) -> Iterator[tuple[str, bytes]]:
        """The cells of a kind, newest first, a page at a time."""
        text = "SELECT name, value, place FROM cells WHERE kind = ?"
        bound: list[str | int] = [kind]
        for condition, value in ((" AND about = ?", about), (" AND place > ?", after)):
            if value is not None:
                text, bound = text + condition, [*bound, value]
        if kind in _IN_ORDER:
            text += " AND place > 0"  # as the index says
        if live:
            text += f" AND live AND kind = '{kind}'"
        for condition, wanted in ((schema.EQUAL_AT, equal), (schema.ABOVE_AT, above)):
            for at, value in wanted.items():
                text, bound = text + condition, [*bound, _json_path(at), value]
        high = (text, bound) if before is None else (f"{text} AND place < ?", [*bound, before])
        while True:
            page, more = high
            found = self._cursor.execute(f"{page} ORDER BY place DESC, name DESC LIMIT ?", [*more, _PAGE]).fetchall()
            for name, value, _ in found:
                yield name, value
            if len(found) < _PAGE:
                return
            name, _, place = found[-1]
            high = f"{text} AND (place, name) < (?, ?)", [*bound, place, name]

    def forget(self, kind: str | None, *, before: int | None = None) -> None:
        """Drop cells. Within an ``enter`` that may write."""
        if kind is None:
            self._execute(schema.FORGET_ALL)
            self._execute(schema.KEEP, (0,))
            self._saved = 0
        else:
            self._execute(schema.FORGET_BEFORE, (kind, before))

    # --- owners, and the end

    def is_dead(self, owner: str) -> bool:
        """Whether the ledger object of that name is gone."""
        return self.file.is_dead(owner)

    def explain(self, error: Exception) -> LedgerError:
        """What a database error means to operations."""
        return explain(error, self.place)

    def concerns_everybody(self, error: Exception) -> bool:
        """Whether an error is about the file or disk."""
        return concerns_everybody(error)

    def close(self) -> None:
        """Nothing is done with this object any more."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._execute(schema.ROLLBACK)
        self.file.close()


def _json_path(at: Place) -> str:
    """A place in the words of SQLite."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at)
