"""Does what is asked of a ledger: compare, append, answer.

1. Operations are done in the order in which they were asked, many of them with one append (``_work``). Whoever waits on
   a thread does the work of all, where nobody is at it; whoever waits in a task lets the ledger's own thread do it, so
   that no event loop waits for a disk.
2. A durable operation is answered after the append that holds it. If that fails, every operation of the batch is
   answered with ``LedgerError`` and nothing of it happened.
3. An outcome (lazy) is answered at once and counts at once. It is written with the next records, or within
   ``FLUSH_SECONDS`` by the ledger's thread. Until then it is owed, and stays owed however often writing fails.
4. An operation that breaks must not hurt the others: operations look before they write, so a refusal needs no undoing;
   on any other error each operation of the batch is tried alone.
5. An exception may come between any two instructions (Ctrl-C, ``SystemExit`` in a thread, no memory). The log changes
   in one call; so does what is in memory. Before the append, ``_attempt`` says what is about to be true. Whoever works
   next looks into the log whether it became true, and goes on from there (``_heal``). Nothing is torn or done twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from agentguard.errors import LedgerError
from agentguard.ledger.cells import Cell
from agentguard.ledger.entry import Entry
from agentguard.ledger.log import Behind, Key, Log, Opener
from agentguard.ledger.mirror import Mirror
from agentguard.ledger.promise import Promise
from agentguard.ledger.world import World

R = TypeVar("R")

# What an operation needs. SETTLED: what is owed is written. LISTS: that, and the store has kept every cell. DURABLE: it
# may append. SWEEPS: both of the last.
READ, LAZY, SETTLED, LISTS, DURABLE, SWEEPS = range(6)
_QUICK = (READ, LAZY)
_ALONE = (SETTLED, LISTS, SWEEPS)

# Most operations in one append: bounds how long the first of them waits for the last.
MOST_AT_ONCE = 1024
# Most outcomes that are owed before whoever owes the next one writes them.
MOST_OWED = 512
FLUSH_SECONDS = 0.005
# How often outcomes that could not be stored are tried again while nothing else is asked.
RETRY_SECONDS = 0.5
# Records that the store's cells may lag behind: caught up in quiet moments past the first, in any case past the second.
LAG = 512
LAG_MOST = 4096
# How long a waiter sleeps before it looks by itself whether anybody is at work.
_NAP_SECONDS = 0.02
# How often an operation that only reads begins anew because others wrote in between.
MOST_BEHIND = 1000


class _Attempt(NamedTuple):
    """What is true once the row of this number is in the log, and who is to be told what."""

    first: int
    entries: list[Entry]
    owed: int
    changed: dict[Key, Cell | None]
    answers: list[tuple[Promise[Any], Any, LedgerError | None]]


class Engine:
    """See the module. It does not know the ledger object, so that one nobody uses any more can be collected."""

    def __init__(self, open_it: Opener, *, threaded: bool) -> None:
        self.pid = os.getpid()
        self.log: Log = open_it()
        self.error: LedgerError | None = None
        self._lock = threading.Lock()
        self._queue: deque[Promise[Any]] = deque()
        self._torn = True
        # Outcomes that could not even be begun, oldest first: they are done before anything else.
        self._late: list[Promise[Any]] = []
        self._attempt: _Attempt | None = None
        self._shut = False
        self._mirror = Mirror(self.log)
        self._threaded = threaded
        self._thread: threading.Thread | None = None
        self._bell = threading.Lock()
        self._bell.acquire()
        self._asleep = False
        # Who is shown the public bytes of each record, once they are durable; and those that were not shown yet.
        self._listeners: tuple[Callable[[bytes], None], ...] = ()
        self._unshown: deque[bytes] = deque()
        self._showing = threading.Lock()
        self._to_ring: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    # --- asking

    def ask(
        self,
        need: int,
        function: Callable[[World, Any], R],
        check: Callable[[], Any],
        *,
        plainly: Callable[[World, Any], R] | None = None,
    ) -> Promise[R]:
        """Queue an operation. ``check`` makes its argument; whatever it raises is the answer.

        ``plainly`` does what must happen even where ``function`` breaks.
        """
        promise: Promise[R] = Promise(self, need, function, None)
        promise.plainly = plainly
        try:
            promise.argument = check()
        except Exception as error:  # a wrong value is refused, not raised half-way
            promise.answer(None, _unfit(error))
            return promise
        if self.pid != os.getpid():
            text = "this ledger was opened before the process forked; open it after the fork, and not before"
            promise.answer(None, LedgerError(text))
            return promise
        if self._shut:
            promise.answer(None, self._refusal())
            return promise
        self._queue.append(promise)
        if not self._threaded:
            self.lead(promise)
        elif need in _QUICK:
            # At once where that keeps nobody waiting; else with what was asked before it.
            if len(self._queue) == 1 and not self._lock.locked():
                self._work_now()
            if need == LAZY and (not promise.done or self._mirror.owed.entries):
                self._start()
                if self._asleep:
                    self._ring()
        return promise

    def lead(self, promise: Promise[Any]) -> None:
        """Do what is queued on this thread, unless somebody is at it already; then wait a little."""
        if self._lock.locked():
            promise.pause(_NAP_SECONDS)
            if promise.done or self._lock.locked():
                return
        self._work_now()

    def _work_now(self) -> None:
        # `with` on a C lock is the only way to take one that an exception between two instructions cannot leak.
        with self._lock:
            try:
                told = self._work()
            except BaseException:  # interrupted: whoever works next heals, and no other process waits for that
                with contextlib.suppress(Exception):
                    self.log.undo()
                raise
        self._hand_out(told)
        if self._queue:
            with contextlib.suppress(IndexError):
                self._queue[0].nudge()
        if self._threaded and self._mirror.unsaved >= LAG:
            self._start()
            if self._asleep:
                self._ring()

    def wake(self) -> None:
        """Let the ledger's thread do what is queued."""
        self._start()
        self._ring()

    def ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the ledger's thread do what is queued, at the end of this turn of the loop."""
        self._start()
        if loop not in self._to_ring:
            self._to_ring.add(loop)
            loop.call_soon(self._turn_ends, loop)

    def _turn_ends(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._threaded and self._lock.locked():
            loop.call_later(_NAP_SECONDS, self._turn_ends, loop)
            return
        self._to_ring.discard(loop)
        if self._threaded:
            self._ring()
        else:
            self._work_now()

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has rung already
            self._bell.release()

    def _refusal(self) -> LedgerError:
        return LedgerError("this ledger was shut; open it again" if self.error is None else str(self.error))

    # --- working, under the lock

    def _work(self) -> list[Promise[Any]]:
        """Do what is queued. Returns whose answer must be carried to a task."""
        told: list[Promise[Any]] = []
        while self._queue:
            batch = self._next()
            told += self._do(batch)
            self._drop_done()
        return told

    def _next(self) -> list[Promise[Any]]:
        """The oldest that go together. What reads the store itself goes alone, after what was asked before it."""
        batch: list[Promise[Any]] = []
        for n in range(min(len(self._queue), MOST_AT_ONCE)):
            promise = self._queue[n]
            if promise.need in _ALONE:
                return batch or [promise]
            batch.append(promise)
        return batch

    def _drop_done(self) -> None:
        waiting = {id(promise) for promise in self._late}
        while self._queue and (self._queue[0].done or id(self._queue[0]) in waiting):
            self._queue.popleft()

    def _do(self, batch: list[Promise[Any]]) -> list[Promise[Any]]:
        """Do these, after the outcomes that could not even be begun."""
        late = [promise for promise in self._late if not promise.done and promise not in batch]
        try:
            for _ in range(MOST_BEHIND):
                with contextlib.suppress(Behind):
                    told = self._heal() if self._torn else []
                    told += self._batch([*late, *batch])
                    self._late = [promise for promise in self._late if not promise.done]
                    return told
                self._torn = True
            raise LedgerError(f"`{self.log.place}`: others write faster than anything can be read; repeat the call")
        except Exception as error:  # rule 4
            self._undo()
            everybody = isinstance(error, LedgerError) or self.log.concerns_everybody(error)
            if everybody or len(batch) + len(late) == 1:
                return self._refuse([*late, *batch], error, broke=not everybody)
        return [each for promise in (*late, *batch) if not promise.done for each in self._do([promise])]

    def _undo(self) -> None:
        self._torn = True
        with contextlib.suppress(Exception):
            self._hand_out(self._heal())

    def _refuse(self, batch: list[Promise[Any]], error: Exception, *, broke: bool) -> list[Promise[Any]]:
        """Nothing of these happened, and the outcomes among them are owed (rule 3)."""
        text = str(self.log.explain(error))
        for promise in batch:
            if promise.done:
                continue
            if promise.need == LAZY:
                if broke and promise.plainly is not None:
                    promise.function, promise.plainly = promise.plainly, None
                if promise not in self._late:
                    self._late = [*self._late, promise]
                    logging.getLogger("agentguard").error(
                        "an outcome could not be recorded, and is tried again: %s", text
                    )
            else:
                # One error object for each: it is raised in many threads, and each adds its own traceback.
                promise.answer(None, LedgerError(text))
        return [promise for promise in batch if promise.done]

    def _batch(self, batch: list[Promise[Any]]) -> list[Promise[Any]]:
        mirror = self._mirror
        needs = {promise.need for promise in batch if not promise.done}
        lists = LISTS in needs or SWEEPS in needs
        settled = lists or SETTLED in needs
        # A list is read from the store's cells, so whatever others wrote, too, must be among them first.
        write = DURABLE in needs or lists or (settled and bool(mirror.owed.entries))
        self._torn = True
        if self.log.enter(write=write):
            mirror.catch_up(write=write)
        if settled and write:
            self._pay()
            if lists and mirror.unsaved:
                mirror.save()
        owed = mirror.owed.entries if write else ()
        first = mirror.folded + 1
        world = World(mirror, first + len(owed))
        answers: list[tuple[Promise[Any], Any, LedgerError | None]] = []
        lazy: list[Entry] = []
        for promise in batch:
            if promise.done:
                continue
            before = len(world.entries)
            try:
                answer, refused = promise.function(world, promise.argument), None
            except LedgerError as error:
                answer, refused = None, error
            answers.append((promise, answer, refused))
            if promise.need == LAZY and not write:
                lazy += world.entries[before:]
        if write:
            self._append(_Attempt(first, [*owed, *world.entries], len(owed), world.changed, answers))
        else:
            if world.entries:
                mirror.owe(world.entries, world.changed)
            self.log.leave()
        told = self._tell(answers)
        self._attempt = None
        if write and mirror.unsaved >= LAG_MOST:
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
        self._remember_to_show(attempt)

    def _remember_to_show(self, attempt: _Attempt) -> None:
        if self._listeners:
            self._unshown.extend([entry.row.body for entry in attempt.entries])

    def _true_now(self, attempt: _Attempt) -> None:
        """What was attempted stands in the log. May be said twice."""
        mirror = self._mirror
        if attempt.entries and mirror.folded < attempt.first:
            changed = {**mirror.owed.cells, **attempt.changed} if attempt.owed else attempt.changed
            mirror.take(attempt.first + len(attempt.entries) - 1, changed)
        if attempt.owed:
            mirror.paid(attempt.owed)

    def _tell(self, answers: list[tuple[Promise[Any], Any, LedgerError | None]]) -> list[Promise[Any]]:
        for promise, answer, refused in answers:
            promise.answer(answer, refused)
        return [promise for promise, _, _ in answers]

    def _heal(self) -> list[Promise[Any]]:
        """Somebody was interrupted. What the log holds is true; what was attempted and is not in it did not happen."""
        told: list[Promise[Any]] = []
        self.log.undo()
        self._mirror.distrust()
        self.log.enter(write=False)
        attempt = self._attempt
        if attempt is not None:
            if self._stands(attempt):
                self._true_now(attempt)
                self._remember_to_show(attempt)
                told = self._tell(attempt.answers)
            self._attempt = None
        self._mirror.catch_up(write=False)
        self.log.leave()
        self._torn = False
        return told

    def _stands(self, attempt: _Attempt) -> bool:
        last = attempt.first + len(attempt.entries) - 1
        return self.log.last() >= last and self.log.row(last)[0] == attempt.entries[-1].row.body

    def _pay(self) -> None:
        """Write what is owed, alone. Within an ``enter`` that may write, and so is what follows."""
        mirror = self._mirror
        owed = mirror.owed.entries
        if owed:
            self._append(_Attempt(mirror.folded + 1, list(owed), len(owed), {}, []))
            self._attempt = None
            if self.log.enter(write=True):
                mirror.catch_up(write=True)

    def flush(self) -> bool:
        """Write what is owed. False where it could not be written, and stays owed."""
        with self._lock:
            return self._flush()

    def _flush(self) -> bool:
        if self._late:
            self._hand_out(self._do([]))
        try:
            if self._torn:
                self._hand_out(self._heal())
            if self._mirror.owed.entries:
                self._torn = True
                if self.log.enter(write=True):
                    self._mirror.catch_up(write=True)
                self._pay()
                self.log.leave()
                self._torn = False
        except Exception:
            self._undo()
            return False
        return not self._late

    def tidy(self) -> bool:
        """A little of what can wait. True where there is more of it."""
        with self._lock:
            try:
                if self._torn:
                    self._hand_out(self._heal())
                self._torn = True
                if self.log.enter(write=True):
                    self._mirror.catch_up(write=True)
                if self._mirror.unsaved >= LAG:
                    self._mirror.save()
                more = self.log.index()
                self.log.leave()
                self._torn = False
            except Exception:  # cells and an index that lag are slower, not wrong
                self._undo()
                return False
        return more

    # --- the ledger's thread

    def _start(self) -> None:
        if self._thread is None and self._threaded and not self._shut:
            thread = threading.Thread(target=self._body, name="agentguard-ledger", daemon=True)
            self._thread = thread
            thread.start()

    def _body(self) -> None:
        while not self._shut:
            if not self._busy():
                self._asleep = True
                if not self._busy() and not self._shut:
                    self._bell.acquire()
                self._asleep = False
            self._round()

    def _busy(self) -> bool:
        return bool(self._queue or self._late or self._mirror.owed.entries or self._mirror.unsaved >= LAG)

    def _round(self) -> None:
        try:
            if self._queue:
                self._work_now()
            elif self._late:
                self._bell.acquire(timeout=RETRY_SECONDS)
                self.flush()
            elif self._mirror.owed.entries:
                oldest = self._mirror.owed.entries[:1]
                self._bell.acquire(timeout=FLUSH_SECONDS)
                if not self._queue and oldest and oldest == self._mirror.owed.entries[:1] and not self.flush():
                    self._bell.acquire(timeout=RETRY_SECONDS)
            if self._mirror.unsaved >= LAG:
                while not self._queue and self.tidy():
                    pass
        except Exception:  # whoever waits looks by itself; the next round begins anew
            time.sleep(FLUSH_SECONDS)

    def _hand_out(self, told: list[Promise[Any]]) -> None:
        """Wake the tasks that wait: many of one loop for the price of one."""
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for promise in told:
            waiter = promise.waiter
            if waiter is not None:
                by_loop.setdefault(waiter.get_loop(), []).append(waiter)
        for loop, waiters in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(_wake, waiters)
        if self._unshown:
            self._show()

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """Show the public bytes of every record that this object writes, once they are durable, in order."""
        self._listeners = (*self._listeners, listener)

    def _show(self) -> None:
        """Outside the ledger's lock: whoever listens may be slow. What fails there changes nothing here."""
        while self._unshown and not self._showing.locked():
            with self._showing:
                while self._unshown:
                    body = self._unshown.popleft()
                    for listener in self._listeners:
                        try:
                            listener(body)
                        except Exception:
                            text = "a record could not be shown to a log or hook; it stands in the ledger"
                            logging.getLogger("agentguard").warning(text)

    # --- the end

    def shut(self) -> None:
        """Finish what is queued, make it durable, stop. Idempotent."""
        if self._shut or self.pid != os.getpid():
            return
        with self._lock:
            told = self._work()
            wrote = self._flush()
            self._shut = True
            lost = len(self._mirror.owed.entries) + len(self._late)
            if not wrote and lost:
                self.error = LedgerError(
                    f"`{self.log.place}`: the outcomes of the last {lost} calls could not be stored and will show as "
                    "`unknown`"
                )
            with contextlib.suppress(Exception):
                if self.log.enter(write=True):
                    self._mirror.catch_up(write=True)
                self._mirror.save()
                self.log.leave()
            with contextlib.suppress(Exception):
                self.log.undo()
            with contextlib.suppress(Exception):
                self.log.close()
        self._hand_out(told)
        self._ring()
        for promise in (*self._queue, *self._late):
            promise.answer(None, self._refusal())


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def _unfit(error: Exception) -> LedgerError:
    if isinstance(error, LedgerError):
        return error
    return LedgerError(f"this cannot be stored: {type(error).__name__}: {error}")
