"""The ledger's one thread: it takes what is queued, runs it in one transaction, commits once, then answers.

1. Operations run in the order in which they were queued.
2. A durable operation is answered after the commit that holds it. If that commit fails, every operation of the
   transaction is answered with ``LedgerError`` and nothing of it happened.
3. A lazy operation (an outcome) wakes nobody (``inbox``) and is answered as soon as it has run; its transaction stays
   open for the next durable operation, but no longer than a millisecond of quiet or two in all, because other
   processes may be waiting. It is owed until it is durable: one whose transaction could not begin, or whose commit
   failed, is kept and run again first in every later transaction, so nothing is decided without it.
4. An operation that breaks must not hurt the others: operations look before they write, so a refusal needs no undoing;
   on any other error the transaction is rolled back and each operation is tried in a transaction of its own.
   (This is why there is no savepoint per operation.) A lazy one that breaks is owed in its plainest form instead.
5. A caller that stops waiting changes nothing: the futures cannot be cancelled.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from agentguard.errors import LedgerError
from agentguard.ledger.encode import brought
from agentguard.ledger.files import LedgerFile, concerns_everybody, explain
from agentguard.ledger.inbox import LINGER_SECONDS, Inbox
from agentguard.ledger.pending import Pending
from agentguard.ledger.store import Store

# Most operations in one transaction: bounds how long the first of them waits for the last.
MOST_AT_ONCE = 1024
QUIET_SECONDS = 0.001
OPEN_SECONDS = 0.002
# How often outcomes that could not be stored are tried again while nothing else is asked.
RETRY_SECONDS = 0.5
# Records the index may lag behind: caught up in quiet moments past the first, in any case past the second.
INDEX_LAG = 512
INDEX_LAG_MOST = 8192
INDEX_BLOCKS = 4


class Need(enum.Enum):
    """What an operation needs of the transaction around it."""

    READ = enum.auto()
    DURABLE_READ = enum.auto()
    LAZY = enum.auto()
    DURABLE = enum.auto()


class Operation:
    """One queued operation."""

    __slots__ = ("argument", "function", "future", "need", "plainly")

    def __init__(
        self,
        need: Need,
        function: Callable[[Store, Any], Any],
        argument: Any,
        plainly: Callable[[Store, Any], Any] | None = None,
    ) -> None:
        """``plainly`` does what must happen even where ``function`` breaks."""
        self.need = need
        self.function = function
        self.argument = argument
        self.plainly = plainly
        self.future = Pending()

    def answer(self, answer: Any, refused: LedgerError | None) -> None:
        """Tell the caller, once."""
        if self.future.done():
            return
        if refused is None:
            self.future.set_result(answer)
        else:
            self.future.set_exception(refused)


class Writer:
    """The thread's body. It does not know the ledger object, so that one nobody uses any more can be collected."""

    def __init__(self, open_file: Callable[[], LedgerFile]) -> None:
        self.inbox: Inbox[Operation | None] = Inbox()
        self.pid = os.getpid()
        self._finished = False
        self.error: LedgerError | None = None
        self.file = open_file()
        self._store = Store(self.file)
        self._owed: list[Operation] = []
        self._replay = False
        self._opened_at = 0.0
        self._busy = False
        self._stopping = False

    def run(self) -> None:
        """Work until told to stop."""
        try:
            while not self._stopping:
                self._work(self._next())
            self._settle()
        except BaseException as error:  # whoever waits must hear of it, whatever it is
            self.error = explain(error if isinstance(error, Exception) else LedgerError(repr(error)), self.file.place)
        finally:
            with contextlib.suppress(Exception):
                self._store.rollback()
            with contextlib.suppress(Exception):
                self.file.close()
            self._finished = True
            for operation in self._owed:
                operation.answer(None, self.refusal())
            self.fail_rest()

    def finished(self) -> bool:
        """Whether the thread has ended; it never starts again."""
        return self._finished

    def fail_rest(self) -> None:
        """Answer everything still queued: it will not happen."""
        for operation in self.inbox.take(0, sys.maxsize):
            if operation is not None:
                operation.future.set_exception(self.refusal())

    def refusal(self) -> LedgerError:
        """Why nothing can be asked of this ledger any more."""
        return LedgerError("this ledger was shut; open it again" if self.error is None else str(self.error))

    # --- taking

    def _next(self) -> list[Operation]:
        """The next operations; an empty list when it is time to commit or tidy up instead."""
        found = self.inbox.take(self._patience(), MOST_AT_ONCE)
        if not found and self._busy and not self._store.writing:
            self._busy = False  # a moment of quiet: nobody has left anything
            found = self.inbox.take(self._patience(), MOST_AT_ONCE)
        self._busy = bool(found)
        if None in found:
            self._stopping = True
        return [operation for operation in found if operation is not None]

    def _patience(self) -> float | None:
        """How long to wait for the next operation; None where nothing but an operation matters."""
        if self._store.writing:
            return min(self._opened_at + OPEN_SECONDS - time.monotonic(), QUIET_SECONDS)
        if self._busy:
            return LINGER_SECONDS
        if self._owed:
            return RETRY_SECONDS
        return QUIET_SECONDS if self._lag() >= INDEX_LAG else None

    def _lag(self) -> int:
        try:
            return self._store.lag()
        except Exception:  # the next operation meets the same error and reports it
            return 0

    # --- doing

    def _work(self, batch: list[Operation]) -> None:
        if batch:
            self._do(batch)
            if self._store.writing and time.monotonic() - self._opened_at > OPEN_SECONDS:
                self._settle()
        elif self._store.writing or self._owed:
            self._settle()
        else:
            self._extend_index()

    def _do(self, batch: list[Operation]) -> None:
        try:
            answers = self._attempt(batch)
        except Exception as error:  # rule 4
            try:
                self._undo()
            except Exception as worse:
                self._refuse(batch, worse)
                raise
            everybody = concerns_everybody(error) or isinstance(error, LedgerError)
            if everybody or len(batch) == 1:
                self._refuse(batch, error, broke=not everybody)
            else:
                for operation in batch:
                    self._do([operation])
            return
        for operation, (answer, refused) in zip(batch, answers, strict=True):
            operation.answer(answer, refused)

    def _refuse(self, batch: list[Operation], error: Exception, *, broke: bool = False) -> None:
        """Nothing of these happened, and the outcomes among them are owed."""
        told = str(explain(error, self.file.place))
        for operation in batch:
            if operation.need is not Need.LAZY:
                # One error object for each: it is raised in many threads, and each adds its own traceback.
                operation.answer(None, LedgerError(told))
                continue
            if broke and operation.plainly is not None:
                operation.function, operation.plainly = operation.plainly, None
            self._owed.append(operation)
            self._replay = True
            logging.getLogger("agentguard").error("an outcome could not be recorded, and is tried again: %s", told)

    def _attempt(self, batch: list[Operation]) -> list[tuple[Any, LedgerError | None]]:
        store = self._store
        needs = {operation.need for operation in batch}
        durable = Need.DURABLE in needs
        if Need.DURABLE_READ in needs and store.writing:
            store.commit()
            self._owed.clear()
        self._begin(write=durable or Need.LAZY in needs or self._replay)
        store.assertions.look(brought(operation.argument for operation in batch))
        answers = [self._one(operation) for operation in batch]
        if durable and store.lag() >= INDEX_LAG_MOST:
            store.extend_index(INDEX_BLOCKS)
        if durable or not store.writing or Need.DURABLE_READ in needs:
            store.commit()
            self._owed.clear()
        else:
            store.shown()
            self._owed += [operation for operation in batch if operation.need is Need.LAZY]
        return answers

    def _one(self, operation: Operation) -> tuple[Any, LedgerError | None]:
        try:
            return operation.function(self._store, operation.argument), None
        except LedgerError as refused:
            return None, refused

    def _begin(self, *, write: bool) -> None:
        store = self._store
        if write and not store.writing:
            store.begin(write=True)
            self._opened_at = time.monotonic()
            if self._replay:
                for operation in self._owed:
                    operation.answer(*self._one(operation))
                self._replay = False
        else:
            store.begin(write=write)

    def _undo(self) -> None:
        self._replay = bool(self._owed)
        self._store.rollback()

    def _settle(self) -> None:
        """Make what is open or owed durable."""
        try:
            if self._owed:
                self._begin(write=True)
            self._store.commit()
            self._owed.clear()
        except Exception as error:  # kept, and run again with the next transaction (rule 3)
            self._undo()
            lost = len(self._owed)
            if self._stopping and lost:
                raise LedgerError(
                    f"{explain(error, self.file.place)}; the outcomes of the last {lost} calls could not be stored "
                    "and will show as `unknown`"
                ) from None

    def _extend_index(self) -> None:
        try:
            self._store.begin(write=True)
            self._store.extend_index(INDEX_BLOCKS)
            self._store.commit()
        except Exception:  # an index that lags is slower, not wrong
            self._undo()
