"""Takes what is asked of a ledger, and sees that somebody does it.

Operations are done in the order in which they were asked, many of them with one append. Whoever waits on a thread does
the work of all, where nobody is at it; whoever waits in a task lets the ledger's own thread do it, so that no event
loop waits for a disk. What is done, and how it survives an interruption, is in ``worker``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from itertools import islice, takewhile
from typing import Any, TypeVar

from agentguard.errors import LedgerError
from agentguard.ledger.listeners import Listener, Listeners
from agentguard.ledger.log import Log, Opener
from agentguard.ledger.promise import Later, Promise, hand_out
from agentguard.ledger.worker import LAG, LAZY, LISTS, READ, SETTLED, SWEEPS, Worker
from agentguard.ledger.world import World

R = TypeVar("R")

_QUICK = (READ, LAZY)
_ALONE = (SETTLED, LISTS, SWEEPS)

# Most operations in one append: bounds how long the first of them waits for the last.
MOST_AT_ONCE = 1024
FLUSH_SECONDS = 0.005
# How often outcomes that could not be stored are tried again while nothing else is asked.
RETRY_SECONDS = 0.5
# How long a waiter sleeps before it looks by itself whether anybody is at work.
_NAP_SECONDS = 0.02


class Engine:
    """See the module. It does not know the ledger object, so that one nobody uses any more can be collected."""

    def __init__(self, open_it: Opener, *, threaded: bool) -> None:
        self.pid = os.getpid()
        self.log: Log = open_it()
        self.error: LedgerError | None = None
        self.listeners = Listeners()
        self.worker = Worker(self.log, self.listeners)
        self.worker.joins = self._next
        self._lock = threading.Lock()
        self._queue: deque[Promise[Any]] = deque()
        self._shut = False
        self._threaded = threaded
        self._thread: threading.Thread | None = None
        self._bell = threading.Lock()
        self._bell.acquire()
        self._asleep = self._rung = False
        self._to_ring: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    # --- asking

    def ask(
        self,
        need: int,
        function: Callable[[World, Any], R | Later],
        check: Callable[..., Any],
        *asked: Any,
        plainly: Callable[[World, Any], R | Later] | None = None,
    ) -> Promise[R]:
        """Queue an operation. ``check`` makes its argument of what is ``asked``; whatever it raises is the answer.

        ``plainly`` does what must happen even where ``function`` breaks.
        """
        promise: Promise[R] = Promise(self, need, function, None)
        promise.plainly = plainly
        try:
            promise.argument = check(*asked)
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
            # Whoever is at work takes an outcome with it; where nobody did in a while, the ledger's thread does.
            if need == LAZY and (not promise.done or self.worker.mirror.owed):
                self._start()
                if self._asleep:
                    self._ring()
                elif self._thread is None and not promise.done:
                    self._work_now()
        return promise

    def lead(self, promise: Promise[Any]) -> None:
        """Do what is queued on this thread, unless somebody is at it already; then wait a little."""
        if self._lock.locked():
            # Many who wait look as often together as one who waits alone.
            promise.pause(_NAP_SECONDS * (1 + len(self._queue) / 8))
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
        if told:
            hand_out(told)
        if self.listeners.unshown:
            self.listeners.show()
        if self._queue:
            with contextlib.suppress(IndexError):
                self._queue[0].nudge()
        if self.worker.lags and self._threaded:
            self._start()
            if self._asleep:
                self._ring()

    def wake(self) -> None:
        """Let the ledger's thread do what is queued."""
        self._start()
        self._ring()
        if self._threaded and self._thread is None:
            self._work_now()

    def ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the ledger's thread do what is queued, at the end of this turn of the loop."""
        self._start()
        if loop not in self._to_ring:
            self._to_ring.add(loop)
            loop.call_soon(self._turn_ends, loop)

    def _turn_ends(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._thread is None and self._lock.locked():
            loop.call_later(_NAP_SECONDS, self._turn_ends, loop)
            return
        self._to_ring.discard(loop)
        if self._thread is not None:
            self._ring()
        else:
            self._work_now()

    def _ring(self) -> None:
        self._rung = True
        with contextlib.suppress(RuntimeError):  # it has rung already
            self._bell.release()

    def _refusal(self) -> LedgerError:
        return LedgerError("this ledger was shut; open it again" if self.error is None else str(self.error))

    # --- working, under the lock

    def _work(self) -> list[Promise[Any]]:
        """Do what is queued. Returns whose answer must be carried to a task."""
        told: list[Promise[Any]] = []
        queue, worker = self._queue, self.worker
        while queue:
            told += worker.do([queue[0]] if len(queue) == 1 else self._next(0) or [queue[0]])
            while queue and (queue[0].done or queue[0] in worker.late):
                queue.popleft()
        return told

    def _next(self, after: int) -> list[Promise[Any]]:
        """The oldest that go together, after so many. What reads the store itself goes alone, after what was asked
        before it."""
        if len(self._queue) <= after:
            return []
        found = list(islice(self._queue, after, MOST_AT_ONCE))
        return list(takewhile(lambda promise: promise.need not in _ALONE, found))

    def flush(self) -> bool:
        """Write what is owed. False where it could not be written, and stays owed."""
        with self._lock:
            wrote = self.worker.flush()
        self.listeners.show()
        return wrote

    def purge(self) -> None:
        """Leave nothing of what was erased in any file. Raises LedgerError."""
        with self._lock:
            self.worker.purge()

    def tidy(self) -> bool:
        """A little of what can wait. True where there is more of it."""
        with self._lock:
            return self.worker.tidy()

    # --- the ledger's thread

    def _start(self) -> None:
        if self._thread is None and self._threaded and not self._shut:
            thread = threading.Thread(target=self._body, name="agentguard-ledger", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:  # none to be had now: whoever asks does the work, and the next one tries again
                self._thread = None

    def _body(self) -> None:
        while not self._shut:
            if not self._busy():
                self._asleep = True
                if not self._busy() and not self._shut:
                    self._bell.acquire()
                self._asleep = False
            self._round()

    def _busy(self) -> bool:
        mirror = self.worker.mirror
        return bool(self._rung or self._queue or self.worker.late or mirror.owed or mirror.unsaved >= LAG)

    def _round(self) -> None:
        mirror = self.worker.mirror
        try:
            if self._rung:
                self._rung = False
                if self._queue:
                    self._work_now()
            elif self.worker.late:
                self._bell.acquire(timeout=RETRY_SECONDS)
                self.flush()
            elif self._queue or mirror.owed:
                # What is queued is done by whoever waits for it, and takes with it what is owed.
                before = self._oldest()
                self._bell.acquire(timeout=FLUSH_SECONDS)
                if not self._rung and any(before) and before == self._oldest():
                    self._do_what_is_left()
            if mirror.unsaved >= LAG:
                while not self._queue and self.tidy():
                    pass
        except Exception:  # whoever waits looks by itself; the next round begins anew
            self._rung = True
            time.sleep(FLUSH_SECONDS)

    def _oldest(self) -> tuple[int, int]:
        """What has waited for the longest time: in the queue, and of what is owed. 0: nothing."""
        first, owed = next(iter(self._queue.copy()), None), self.worker.mirror.owed.oldest
        return (0 if first is None else id(first)), (0 if owed is None else id(owed))

    def _do_what_is_left(self) -> None:
        """Nobody has done anything for a while."""
        if self._queue:
            self._work_now()
        elif not self.flush():
            self._bell.acquire(timeout=RETRY_SECONDS)

    def listen(self, listener: Listener) -> None:
        """Show the public bytes of every record that this object writes, once they are durable, in order."""
        self.listeners.add(listener)

    # --- the end

    def shut(self) -> None:
        """Finish what is queued, make it durable, stop. Idempotent."""
        if self._shut or self.pid != os.getpid():
            return
        with self._lock:
            told = self._work()
            wrote = self.worker.flush()
            self._shut = True
            lost = len(self.worker.mirror.owed) + len(self.worker.late)
            if not wrote and lost:
                self.error = LedgerError(
                    f"`{self.log.place}`: the outcomes of the last {lost} calls could not be stored and will show as "
                    "`unknown`"
                )
            self.worker.close()
        hand_out(told)
        self.listeners.show()
        self._ring()
        for promise in (*self._queue, *self.worker.late):
            promise.answer(None, self._refusal())


def _unfit(error: Exception) -> LedgerError:
    if isinstance(error, LedgerError):
        return error
    return LedgerError(f"this cannot be stored: {type(error).__name__}: {error}")
