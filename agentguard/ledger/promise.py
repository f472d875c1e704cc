"""An answer to come from the ledger, as light as it can be: two are made for every call.

Nobody can cancel it, only stop waiting: what was asked of the ledger happens. Whoever waits for it on a thread does the
work, where nobody else is at it; whoever waits in a task lets the ledger's thread do it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any, Generic, Protocol, TypeVar

R = TypeVar("R")


class Later:
    """An answer that is made when somebody asks for it. It rests on nothing that changes."""

    __slots__ = ()

    def made(self) -> Any:
        """The answer itself."""
        raise NotImplementedError


class Works(Protocol):
    """Who does what is queued."""

    def lead(self, promise: Promise[Any]) -> None:
        """Do what is queued on this thread, unless somebody is at it already. Raises only what interrupts."""

    def wake(self) -> None:
        """Let the ledger's thread do what is queued."""

    def ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the ledger's thread do what is queued, at the end of this turn of the loop."""


class Promise(Generic[R]):
    """See the module. Used as ``promise.result()`` or ``await promise``."""

    __slots__ = (
        "_callbacks",
        "_lock",
        "_result",
        "_works",
        "argument",
        "done",
        "error",
        "function",
        "need",
        "plainly",
        "waiter",
    )

    def __init__(self, works: Works, need: int, function: Callable[[Any, Any], R | Later], argument: Any) -> None:
        self.plainly: Callable[[Any, Any], R | Later] | None = None
        self.need = need
        self.function = function
        self.argument = argument
        self.done = False
        self._works = works
        self._result: Any = None
        # The error, if that is the answer, once it is ``done``.
        self.error: Exception | None = None
        self._lock: threading.Lock | None = None
        # Who waits for it in a task.
        self.waiter: asyncio.Future[None] | None = None
        self._callbacks: list[Callable[[Promise[R]], object]] | None = None

    def result(self, timeout: float | None = None) -> R:
        """The answer. Raises LedgerError; TimeoutError when it takes longer than ``timeout`` seconds.

        An interruption is raised once the answer is there, so that its fate is known.
        """
        if not self.done:
            self._wait(timeout)
        if self.error is not None:
            raise self.error
        found: Any = self._result  # looked at once: another thread may ask for it, too, and put what it made there
        if isinstance(found, Later):
            self._result = found = found.made()
        answer: R = found
        return answer

    def exception(self, timeout: float | None = None) -> Exception | None:
        """The error, if that is the answer."""
        if not self.done:
            self._wait(timeout)
        return self.error

    def __await__(self) -> Generator[Any, None, R]:
        """The answer, in a task. A cancellation is raised once it is there."""
        cancelled: asyncio.CancelledError | None = None
        while not self.done:
            waiter = self.waiter
            if waiter is None or waiter.done():
                loop = asyncio.get_running_loop()
                self.waiter = waiter = loop.create_future()
                if self._is_done():  # whoever answers looks for a waiter after that
                    break
                self._works.ring(loop)
            try:
                yield from waiter.__await__()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        return self.result()

    def add_done_callback(self, callback: Callable[[Promise[R]], object]) -> None:
        """Call this once when the answer is there, perhaps on the ledger's thread: quickly, and without blocking."""
        self._callbacks = [*(self._callbacks or ()), callback]
        if self.done:
            self._call_back()
        else:
            self._works.wake()

    def answer(self, result: Any, error: Exception | None) -> None:
        """Give the answer, once."""
        if self.done:
            return
        self._result, self.error = result, error
        self.done = True
        lock = self._lock
        if lock is not None:
            with contextlib.suppress(RuntimeError):
                lock.release()
        if self._callbacks is not None:
            self._call_back()

    def _is_done(self) -> bool:
        return self.done

    def nudge(self) -> None:
        """Let whoever waits for this on a thread look whether nobody is at work."""
        lock = self._lock
        if lock is not None:
            with contextlib.suppress(RuntimeError):
                lock.release()

    def pause(self, seconds: float) -> None:
        """Wait a little for the answer, or for a nudge."""
        lock = self._lock
        if lock is None:
            lock = threading.Lock()
            lock.acquire()
            self._lock = lock
        if not self.done:
            lock.acquire(timeout=seconds)

    def _wait(self, timeout: float | None) -> None:
        until = None if timeout is None else time.monotonic() + timeout
        interrupted: BaseException | None = None
        while not self.done:
            try:
                self._works.lead(self)
            except BaseException as error:
                interrupted = error
            if until is not None and not self.done and time.monotonic() > until:
                raise TimeoutError
        if interrupted is not None:
            raise interrupted

    def _call_back(self) -> None:
        callbacks, self._callbacks = self._callbacks or [], None
        for callback in callbacks:
            with contextlib.suppress(Exception):
                callback(self)


def hand_out(told: Iterable[Promise[Any]]) -> None:
    """Wake the tasks that wait for these answers: many of one loop for the price of one."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for promise in told:
        waiter = promise.waiter
        if waiter is not None:
            by_loop.setdefault(waiter.get_loop(), []).append(waiter)
    for loop, waiters in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(_wake, waiters)


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
