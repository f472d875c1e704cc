"""The database as the ledger's one thread uses it: a transaction, what it holds in memory, and what it will write.

Operations look before they write, change memory, and leave rows here; ``flush`` writes the rows of all operations of
a transaction in a few statements. What is in memory is true as long as nobody else has written, which SQLite says
(``PRAGMA data_version``); after a rollback all of it is thrown away and read again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from agentguard.core.facts import RunState
from agentguard.errors import LedgerError
from agentguard.ledger import schema
from agentguard.ledger.assertions import Assertions
from agentguard.ledger.encode import MAX_AMOUNT, Row
from agentguard.ledger.files import LedgerFile
from agentguard.ledger.rows import among, put
from agentguard.ledger.runs import Run, load_run
from agentguard.ledger.windows import Windows

# How long another process may hold the file before an operation gives up; nothing has run by then.
BUSY_SECONDS = 20.0
# Runs kept in memory; past this the oldest knowledge is dropped and read again when needed.
MOST_RUNS = 10_000
_MICROSECOND = timedelta(microseconds=1)


class OpenCall(NamedTuple):
    """An admitted call without an outcome."""

    seq: int
    run_id: str
    step: str
    keeps: str = "[]"


class Store:
    """See the module. Used by one thread only."""

    def __init__(self, file: LedgerFile) -> None:
        self.file = file
        self.owner = file.owner_id
        self.connection = file.connection
        self.cursor = file.connection.cursor()
        self.windows = Windows(file.connection.cursor())
        self.assertions = Assertions(file.connection.cursor())
        self.writing = False
        self._data_version: int | None = None
        self._runs: dict[str, Run] = {}
        self._dirty: dict[str, Run] = {}
        self._floors: dict[str, int] = {}
        self._touched: dict[str, int] = {}
        self._shown: dict[str, int] = {}
        self._last_seq: int | None = None
        self._indexed: int | None = None
        self._rows: list[tuple[Any, ...]] = []
        self._calls: dict[str, OpenCall] = {}
        self._calls_opened: dict[int, tuple[int, str, str, str, str, str]] = {}
        self._calls_ended: set[int] = set()

    # --- transactions

    def begin(self, *, write: bool) -> None:
        """Start a transaction, unless the one under way will do."""
        if self.connection.in_transaction:
            if self.writing or not write:
                return
            self.cursor.execute(schema.COMMIT)
            self.assertions.forget()
        self.file.check_in_place()
        if write:
            self._begin_write()
        else:
            self.cursor.execute(schema.BEGIN_READ)
        self.writing = write
        self._refresh()
        if write and self._floors:
            self._raise_versions()

    def commit(self) -> None:
        """Make everything since ``begin`` durable."""
        if self.connection.in_transaction:
            self.flush()
            self.cursor.execute(schema.COMMIT)
            if self.writing:
                self.file.check_in_place()  # what was written to a journal that is gone by now is lost with it
        self.assertions.forget()
        if self.writing:
            self._floors.clear()
            self._touched.clear()
            self._shown.clear()
            self.writing = False
        if len(self._runs) > MOST_RUNS:
            self._runs.clear()

    def rollback(self) -> None:
        """Undo everything since ``begin`` and forget what was in memory."""
        self._floors.update(self._shown)
        self._shown.clear()
        self._touched.clear()
        self._forget()
        self.assertions.forget()
        self.windows.forget()
        self._rows.clear()
        self._dirty.clear()
        self._calls_opened.clear()
        self._calls_ended.clear()
        self._data_version = None
        self.writing = False
        if self.connection.in_transaction:
            self.cursor.execute(schema.ROLLBACK)

    def shown(self) -> None:
        """Callers have been told of what this transaction did, and it is not durable yet."""
        self._shown.update(self._touched)

    def flush(self) -> None:
        """Write what this transaction holds in memory, so that SQL sees it."""
        cursor = self.cursor
        if self._rows:
            put(cursor, schema.ADD_RECORDS, self._rows)
            self._rows.clear()
        if self._calls_ended:
            among(cursor, schema.END_OPEN_CALLS, list(self._calls_ended))
            self._calls_ended.clear()
        if self._calls_opened:
            put(cursor, schema.ADD_OPEN_CALLS, list(self._calls_opened.values()))
            self._calls_opened.clear()
        if self._dirty:
            put(cursor, schema.SAVE_RUN_STATES, [run.saved() for run in self._dirty.values()])
            self._dirty.clear()
        self.assertions.flush()
        self.windows.flush()

    def _begin_write(self) -> None:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self.cursor.execute(schema.BEGIN_WRITE)
            except sqlite3.OperationalError as error:
                # Nothing of this transaction has run yet, so asking again repeats nothing.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            else:
                return

    def _refresh(self) -> None:
        seen = self.cursor.execute(schema.DATA_VERSION).fetchone()[0]
        if seen != self._data_version:
            self._data_version = seen
            self._forget()
            self.windows.catch_up()

    def _forget(self) -> None:
        self._runs.clear()
        self._calls.clear()
        self._last_seq = None
        self._indexed = None

    def _raise_versions(self) -> None:
        """No version that a caller may have seen before a rollback is ever used again for something else."""
        for run_id, floor in self._floors.items():
            run = self.run(run_id)
            if run is not None and run.version <= floor:
                run.version = floor
                self.changed(run)

    # --- records

    def append(self, row: Row) -> int:
        """Add a record to this transaction and number it."""
        seq = self.last_seq() + 1
        self._last_seq = seq
        self._rows.append((seq, *row))
        return seq

    def last_seq(self) -> int:
        """The number of the newest record."""
        if self._last_seq is None:
            self._last_seq = int(self.cursor.execute(schema.LAST_SEQ).fetchone()[0])
        return self._last_seq

    def indexed(self) -> int:
        """The number of the newest record that the index covers."""
        if self._indexed is None:
            self._indexed = int(self.cursor.execute(schema.BLOCKS).fetchone()[0]) * schema.BLOCK
        return self._indexed

    def lag(self) -> int:
        """How many records the index does not cover yet."""
        return self.last_seq() - self.indexed()

    def extend_index(self, most_blocks: int) -> None:
        """Index the next full blocks, up to so many."""
        self.flush()
        for _ in range(min(most_blocks, self.lag() // schema.BLOCK)):
            first = self.indexed() + 1
            last = self.indexed() + schema.BLOCK
            stretch = {"block": self.indexed() // schema.BLOCK, "first": first, "last": last}
            self.cursor.execute(schema.ADD_POSTINGS, stretch)
            self.cursor.execute(schema.ADD_BLOCK, stretch)
            self._indexed = last

    # --- runs

    def run(self, run_id: str) -> Run | None:
        """The run, to be changed within this transaction only and then reported by ``changed``."""
        run = self._runs.get(run_id)
        if run is None:
            run = load_run(self.cursor, run_id)
            if run is not None:
                self._runs[run_id] = run
        return run

    def must_run(self, run_id: str) -> Run:
        """The run. Raises LedgerError where there is none."""
        run = self.run(run_id)
        if run is None:
            raise LedgerError(f"there is no run `{run_id}`; `agentguard runs` lists them")
        return run

    def changed(self, run: Run) -> None:
        """Give a changed run its next version, to be written at the end of this transaction."""
        run.version += 1
        self._dirty[run.id] = run
        self._touched[run.id] = run.version

    def drop_runs(self) -> None:
        """Runs were changed by SQL: read them again."""
        self._touched.update((run_id, run.version + 1) for run_id, run in self._runs.items())
        self._runs.clear()

    def state(self, run: Run, at: int, windows: Mapping[str, timedelta | None]) -> RunState:
        """The run with what each budget has spent at that time."""
        spent = dict(run.spent)
        for budget, per in windows.items():
            if per is not None:
                spent[budget] = self.windows.spent(run.workflow, budget, at - per // _MICROSECOND)
        return run.state(spent)

    def spent(self, run: Run, budget: str, per: timedelta | None, at: int) -> int:
        """What one budget holds at that time."""
        if per is None:
            return run.spent.get(budget, 0)
        return self.windows.spent(run.workflow, budget, at - per // _MICROSECOND)

    def spend(self, run: Run, budget: str, per: timedelta | None, at: int, amount: int) -> None:
        """Take from a budget; the caller has checked the limit."""
        if per is None:
            run.spent[budget] = run.spent.get(budget, 0) + amount
        else:
            self.windows.add(run.workflow, budget, at, amount)

    # --- calls under way

    def open_call(self, decision_id: str, call: OpenCall) -> None:
        """Remember that a call was admitted."""
        self._calls[decision_id] = call
        self._calls_opened[call.seq] = (call.seq, decision_id, call.run_id, call.step, call.keeps, self.owner)

    def is_open(self, decision_id: str) -> bool:
        """Whether this ledger object admitted the call and has not closed it."""
        return decision_id in self._calls

    def find_call(self, decision_id: str) -> OpenCall | None:
        """The admitted call that has no outcome yet, if there is one."""
        call = self._calls.get(decision_id)
        if call is None:
            row = self.cursor.execute(schema.FIND_OPEN_CALL, (decision_id,)).fetchone()
            # Its row stays until the transaction is flushed: a second outcome at once is still a second one.
            call = None if row is None or row[0] in self._calls_ended else OpenCall(*row)
        return call

    def must_call(self, decision_id: str) -> OpenCall:
        """The admitted call. Raises LedgerError where there is none."""
        call = self.find_call(decision_id)
        if call is None:
            raise LedgerError(f"decision `{decision_id}` is no call under way")
        return call

    def end_call(self, decision_id: str, seq: int) -> None:
        """The call has its outcome."""
        self._calls.pop(decision_id, None)
        # One admitted and closed within one transaction never reaches the table.
        if self._calls_opened.pop(seq, None) is None:
            self._calls_ended.add(seq)

    def was_recorded(self, decision_id: str) -> bool:
        """Whether any record of this decision exists."""
        self.flush()
        asked, after = {"decision_id": decision_id}, (self.indexed(), decision_id)
        return (
            self.cursor.execute(schema.DECISION_AFTER, after).fetchone() is not None
            or self.cursor.execute(schema.DECISION_IN_BLOCKS, asked).fetchone() is not None
        )


def fits(total: int, at_most: int) -> bool:
    """Whether a sum is within its limit and within what a column can hold."""
    return total <= at_most and total <= MAX_AMOUNT
