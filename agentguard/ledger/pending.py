"""An answer to come, as light as a future can be: thousands a second are made, and most have one waiter.

The standard class makes a condition, two locks and a queue for each future. This one makes a lock only for somebody
who has to wait, and relies on list operations being atomic. It works with ``result``, ``exception``,
``add_done_callback``, ``asyncio.wrap_future``, ``concurrent.futures.wait`` and ``as_completed``.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, _base
from typing import Any

# ``concurrent.futures.wait`` locks this attribute of every future it is given while it looks at them.
_SHARED = threading.Condition()


class Pending(Future[Any]):
    """See the module. Nobody can cancel it, only stop waiting: what is queued for the ledger happens."""

    def __init__(self) -> None:
        self._condition = _SHARED
        self._state = _base.RUNNING
        self._result: Any = None
        self._exception: BaseException | None = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Callable[[Future[Any]], object]] = []
        self._locks: list[threading.Lock] = []

    def cancel(self) -> bool:
        """Always False."""
        return False

    def result(self, timeout: float | None = None) -> Any:
        """The answer. Raises LedgerError, or TimeoutError when it takes longer than ``timeout`` seconds."""
        self._wait(timeout)
        if self._exception is not None:
            raise self._exception
        return self._result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error, if that is the answer."""
        self._wait(timeout)
        return self._exception

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """Call ``fn`` once when the answer is there: on the ledger's thread, so it must be quick and never block."""
        self._done_callbacks.append(fn)
        if self._state is _base.FINISHED:
            self._call_back()

    def set_result(self, result: Any) -> None:
        """Answer."""
        self._result = result
        self._finish()

    def set_exception(self, exception: BaseException | None) -> None:
        """Answer with an error."""
        self._exception = exception
        self._finish()

    def _wait(self, timeout: float | None) -> None:
        if self._state is _base.FINISHED:
            return
        lock = threading.Lock()
        lock.acquire()
        self._locks.append(lock)
        # Whoever finishes after the line above releases the lock; whoever finished before it is seen here.
        if self._state is not _base.FINISHED and not lock.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
            raise TimeoutError

    def _finish(self) -> None:
        self._state = _base.FINISHED
        for lock in self._locks:
            lock.release()
        if self._done_callbacks:
            self._call_back()
        with _SHARED:
            for waiter in self._waiters:
                (waiter.add_result if self._exception is None else waiter.add_exception)(self)

    def _call_back(self) -> None:
        # Popping is what makes it once: two threads may be here at the same time.
        with contextlib.suppress(IndexError):
            while True:
                self._invoke(self._done_callbacks.pop(0))

    def _invoke(self, fn: Callable[[Future[Any]], object]) -> None:
        try:
            fn(self)
        except Exception:
            _base.LOGGER.exception("exception calling callback for %r", self)
