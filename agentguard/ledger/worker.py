"""Does what was asked of a ledger, many operations with one append. Used under the ledger's lock.

1. A durable operation is answered after the append that holds it. If that fails, every operation of the batch is
   answered with ``LedgerError`` and nothing of it happened.
2. An outcome (lazy) is answered at once and counts at once. It is written with the next records, or by the ledger's
   thread. Until then it is owed, and stays owed however often writing fails.
3. An operation that breaks must not hurt the others: operations look before they write, so a refusal needs no undoing;
   on any other error each operation of the batch is tried alone.
4. An exception may come between any two instructions (Ctrl-C, ``SystemExit`` in a thread, no memory). The log changes
   in one call; so does what is in memory. Before the append, ``_attempt`` says what is about to be true. Whoever works
   next looks into the log whether it became true, and goes on from there (``_heal``). Nothing is torn or done twice.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from agentguard.errors import LedgerError
from agentguard.ledger.cells import Cell
from agentguard.ledger.entry import Entry
from agentguard.ledger.listeners import Listeners
from agentguard.ledger.log import Behind, Key, Log
from agentguard.ledger.mirror import Mirror
from agentguard.ledger.promise import Promise, hand_out
from agentguard.ledger.world import World

# What an operation needs. SETTLED: what is owed is written. LISTS: that, and the store has kept every cell. DURABLE: it
# may append. SWEEPS: both of the last.
READ, LAZY, SETTLED, LISTS, DURABLE, SWEEPS = range(6)

# Records that the store's cells may lag behind: caught up in quiet moments past the first, in any case past the second.
LAG = 512
LAG_MOST = 4096
# How often an operation that only reads begins anew because others wrote in between.
_MOST_BEHIND = 1000
_OUTCOMES = {LAZY}


class _Attempt(NamedTuple):
    """What is true once the row of this number is in the log, and who is to be told what."""

    first: int
    entries: list[Entry]
    owed: int
    changed: dict[Key, Cell | None]
    answers: list[tuple[Promise[Any], Any, LedgerError | None]]


class Worker:
    """See the module. ``mirror``: the fold in memory. ``late``: outcomes that could not even be begun, oldest first:
    they are done before anything else."""

    def __init__(self, log: Log, listeners: Listeners) -> None:
        self.log = log
        self.mirror = Mirror(log)
        self.late: list[Promise[Any]] = []
        # Whether the store's cells lag behind so far that somebody should save them.
        self.lags = False
        # What was asked after so many that are being done.
        self.joins: Callable[[int], list[Promise[Any]]] = lambda _: []
        self._listeners = listeners
        self._torn = True
        self._attempt: _Attempt | None = None

    def do(self, batch: list[Promise[Any]], *, alone: bool = False) -> list[Promise[Any]]:
        """Do these, after the outcomes that could not even be begun and with what was asked meanwhile; or this one
        ``alone``."""
        late: list[Promise[Any]] = []
        if self.late and not alone:
            late = [promise for promise in self.late if not promise.done and promise not in batch]
            batch = [*late, *batch]
        asked = None if alone else len(late)
        told: list[Promise[Any]] = []
        try:
            for _ in range(_MOST_BEHIND):
                try:
                    fresh = self._torn
                    if fresh:
                        told += self._heal()
                    told += self._batch(batch, fresh=fresh, asked=asked)
                except Behind:
                    self._torn = True
                    continue
                if self.late:
                    self.late = [promise for promise in self.late if not promise.done]
                return told
            raise LedgerError(f"`{self.log.place}`: others write faster than anything can be read; repeat the call")
        except Exception as error:  # rule 4
            self._undo()
            everybody = isinstance(error, LedgerError) or self.log.concerns_everybody(error)
            if everybody or len(batch) == 1:
                return self._refuse(batch, error, broke=not everybody)
        return [each for promise in batch if not promise.done for each in self.do([promise], alone=True)]

    def _undo(self) -> None:
        self._torn = True
        with contextlib.suppress(Exception):
            hand_out(self._heal())

    def _refuse(self, batch: list[Promise[Any]], error: Exception, *, broke: bool) -> list[Promise[Any]]:
        """Nothing of these happened, and the outcomes among them are owed (rule 3)."""
        text = str(self.log.explain(error))
        for promise in batch:
            if promise.done:
                continue
            if promise.need == LAZY:
                if broke and promise.plainly is not None:
                    promise.function, promise.plainly = promise.plainly, None
                if promise not in self.late:
                    self.late = [*self.late, promise]
                    logging.getLogger("agentguard").error(
                        "an outcome could not be recorded, and is tried again: %s", text
                    )
            else:
                # One error object for each: it is raised in many threads, and each adds its own traceback.
                promise.answer(None, LedgerError(text))
        return [promise for promise in batch if promise.done]

    def _batch(self, batch: list[Promise[Any]], *, fresh: bool, asked: int | None) -> list[Promise[Any]]:
        """``fresh``: what others wrote was folded in a moment ago. ``asked``: where in the batch that begins which was
        asked for; None where nothing else may join it."""
        mirror = self.mirror
        # One alone, as most are, is read without a look at what was done of it before.
        needs = {batch[0].need} if len(batch) == 1 else {promise.need for promise in batch if not promise.done}
        lists = LISTS in needs or SWEEPS in needs
        settled = lists or SETTLED in needs
        # A list is read from the store's cells, so whatever others wrote, too, must be among them first.
        write = DURABLE in needs or lists or (settled and bool(mirror.owed))
        # An outcome counts on top of whatever others write meanwhile (``Mirror.catch_up``), so it need not look first.
        looks = write or needs != _OUTCOMES
        self._torn = True
        if not looks:
            self.log.check()
        elif self.log.enter(write=write):
            mirror.catch_up(write=write)
        if write and asked is not None and not settled:
            # To wait for the turn took its time, and whoever came meanwhile is done in it, too.
            batch += self.joins(len(batch) - asked)
        if settled and write:
            self._pay()
            if lists and mirror.unsaved:
                mirror.save()
        owed = mirror.owed.entries if write and mirror.owed else []
        first = mirror.folded + 1
        world = World(mirror, first + len(owed), fresh=fresh or looks)
        answers: list[tuple[Promise[Any], Any, LedgerError | None]] = []
        for promise in batch:
            if promise.done:
                continue
            try:
                answer, refused = promise.function(world, promise.argument), None
            except LedgerError as error:
                answer, refused = None, error
            answers.append((promise, answer, refused))
        if write:
            entries = [*owed, *world.entries] if owed else world.entries
            self._append(_Attempt(first, entries, len(owed), world.changed, answers))
        else:
            if world.entries:
                mirror.owe(world.entries, world.changed)
            self.log.leave()
        told = self._tell(answers)
        self._attempt = None
        if write:
            unsaved = mirror.unsaved
            self.lags = unsaved >= LAG
            if unsaved >= LAG_MOST:
                if self.log.enter(write=True):
                    mirror.catch_up(write=True)
                mirror.save()
                self.log.leave()
        self._torn = False
        return told

    def _append(self, attempt: _Attempt) -> None:
        if attempt.entries:
            self._attempt = attempt
            self.log.append(attempt.first, [entry.row for entry in attempt.entries])
        self.log.leave()
        self._true_now(attempt)
        self._listeners.remember(attempt.entries)

    def _true_now(self, attempt: _Attempt) -> None:
        """What was attempted stands in the log. May be said twice."""
        mirror = self.mirror
        if attempt.entries and mirror.folded < attempt.first:
            changed = attempt.changed
            if attempt.owed:
                changed = mirror.owed.cells
                changed.update(attempt.changed)
            mirror.take(attempt.first + len(attempt.entries) - 1, changed)
        if attempt.owed:
            mirror.paid(attempt.owed)

    def _tell(self, answers: list[tuple[Promise[Any], Any, LedgerError | None]]) -> list[Promise[Any]]:
        """Give the answers. Those for whom a task waits: it looks by itself whether it is done after it began to."""
        told: list[Promise[Any]] = []
        for promise, answer, refused in answers:
            promise.answer(answer, refused)
            if promise.waiter is not None:
                told.append(promise)
        return told

    def _heal(self) -> list[Promise[Any]]:
        """Somebody was interrupted. What the log holds is true; what was attempted and is not in it did not happen."""
        told: list[Promise[Any]] = []
        self.log.undo()
        self.mirror.distrust()
        self.log.enter(write=False)
        attempt = self._attempt
        if attempt is not None:
            if self._stands(attempt):
                self._true_now(attempt)
                self._listeners.remember(attempt.entries)
                told = self._tell(attempt.answers)
            self._attempt = None
        self.mirror.catch_up(write=False)
        self.log.leave()
        self._torn = False
        return told

    def _stands(self, attempt: _Attempt) -> bool:
        last = attempt.first + len(attempt.entries) - 1
        return self.log.last() >= last and self.log.row(last)[0] == attempt.entries[-1].row.body

    def _pay(self) -> None:
        """Write what is owed, alone. Within an ``enter`` that may write, and so is what follows."""
        mirror = self.mirror
        owed = mirror.owed.entries
        if owed:
            self._append(_Attempt(mirror.folded + 1, list(owed), len(owed), {}, []))
            self._attempt = None
            if self.log.enter(write=True):
                mirror.catch_up(write=True)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """The turn to write, with all that others wrote folded in. What breaks inside leaves it torn, to be healed."""
        if self._torn:
            hand_out(self._heal())
        self._torn = True
        if self.log.enter(write=True):
            self.mirror.catch_up(write=True)
        yield
        self.log.leave()
        self._torn = False

    def flush(self) -> bool:
        """Write what is owed. False where it could not be written, and stays owed."""
        if self.late:
            hand_out(self.do([]))
        try:
            if self._torn:
                hand_out(self._heal())
            if self.mirror.owed:
                with self._turn():
                    self._pay()
        except Exception:
            self._undo()
            return False
        return not self.late

    def tidy(self) -> bool:
        """A little of what can wait. True where there is more of it."""
        try:
            with self._turn():
                if self.mirror.unsaved >= LAG:
                    self.mirror.save()
                more = self.log.index()
        except Exception:  # cells and an index that lag are slower, not wrong
            self._undo()
            return False
        return more

    def purge(self) -> None:
        """Leave nothing of what was erased in any file. Raises LedgerError."""
        try:
            with self._turn():
                self.mirror.save()
                self.log.purge()
        except Exception as error:
            self._undo()
            raise self.log.explain(error) from None

    def close(self) -> None:
        """Let the store keep every cell, and close it."""
        with contextlib.suppress(Exception):
            if self.log.enter(write=True):
                self.mirror.catch_up(write=True)
            self.mirror.save()
            self.log.leave()
        with contextlib.suppress(Exception):
            self.log.undo()
        with contextlib.suppress(Exception):
            self.log.close()
