"""Drives one order of events, synchronously or asynchronously. No decision is made here."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from typing import Any

from agentguard.core.values import Identity, Unavailable
from agentguard.guard.order import Ask, Events, Identify, Pause, RunTool, Wait

WhoIsIt = Callable[[Identify], Identity | Unavailable]
WhoIsItAsync = Callable[[Identify], Awaitable[Identity | Unavailable]]


def drive(events: Events, identify: WhoIsIt, run: Callable[[dict[str, Any]], Any]) -> Any:
    """Run the events to their end on this thread."""
    reply: Any = None
    error: BaseException | None = None
    try:
        while True:
            try:
                ask = events.send(reply) if error is None else events.throw(error)
            except StopIteration as done:
                return done.value
            reply, error = None, None
            try:
                reply = run(ask.values) if isinstance(ask, RunTool) else _perform(ask, identify)
            except BaseException as raised:
                error = raised
    finally:
        events.close()  # an interruption between two lines above: the events still write how the call ended


async def drive_async(events: Events, identify: WhoIsItAsync, run: Callable[[dict[str, Any]], Awaitable[Any]]) -> Any:
    """Run the events to their end on this task."""
    reply: Any = None
    error: BaseException | None = None
    try:
        while True:
            try:
                ask = events.send(reply) if error is None else events.throw(error)
            except StopIteration as done:
                return done.value
            reply, error = None, None
            try:
                reply = await run(ask.values) if isinstance(ask, RunTool) else await _perform_async(ask, identify)
            except BaseException as raised:
                error = raised
    finally:
        events.close()


def advance(events: Events, identify: WhoIsIt) -> dict[str, Any]:
    """Run the events up to the moment the tool may run, and return its values. For tools that stream."""
    reply: Any = None
    error: BaseException | None = None
    while True:
        ask = events.send(reply) if error is None else events.throw(error)
        if isinstance(ask, RunTool):
            return ask.values
        reply, error = None, None
        try:
            reply = _perform(ask, identify)
        except BaseException as raised:
            error = raised


async def advance_async(events: Events, identify: WhoIsItAsync) -> dict[str, Any]:
    """As ``advance``, on this task."""
    reply: Any = None
    error: BaseException | None = None
    while True:
        ask = events.send(reply) if error is None else events.throw(error)
        if isinstance(ask, RunTool):
            return ask.values
        reply, error = None, None
        try:
            reply = await _perform_async(ask, identify)
        except BaseException as raised:
            error = raised


def finish(events: Events, error: BaseException | None, failure: object = None) -> None:
    """Tell the events how the streamed tool ended. Raises ``error`` again where there is one.

    ``failure`` is an item of the stream that said so.
    """
    try:
        if error is None:
            events.send(failure)
        else:
            events.throw(error)
    except StopIteration:
        return


def _perform(ask: Ask, identify: WhoIsIt) -> Any:
    if isinstance(ask, Wait):
        return settle(ask.future)
    if isinstance(ask, Identify):
        return identify(ask)
    if isinstance(ask, Pause):
        time.sleep(ask.seconds)
    return None


async def _perform_async(ask: Ask, identify: WhoIsItAsync) -> Any:
    if isinstance(ask, Wait):
        return await settle_async(ask.future)
    if isinstance(ask, Identify):
        return await identify(ask)
    if isinstance(ask, Pause):
        await asyncio.sleep(ask.seconds)
    return None


def settle(future: Future[Any]) -> Any:
    """The future's result. An interruption is raised only once the future is done, so that its fate is known."""
    try:
        return future.result()
    except BaseException:
        if not future.done():
            wait([future])
        raise


async def settle_async(future: Future[Any]) -> Any:
    """As ``settle``: a cancellation is raised only once the future is done."""
    cancelled: asyncio.CancelledError | None = None
    mailbox = None if future.done() else _mailbox(asyncio.get_running_loop())
    while mailbox is not None and not future.done():
        try:
            await mailbox.arrival(future)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return future.result()


class _Mailbox:
    """Wakes the tasks of one event loop from other threads: many at once for the price of one.

    Waking a loop is a system call on the ledger's thread, and that thread answers by the hundred.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._arrived: deque[asyncio.Future[None]] = deque()
        self._called = False

    def arrival(self, future: Future[Any]) -> asyncio.Future[None]:
        """What is done soon after ``future`` is. For a task of this loop."""
        waiter = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self._deliver(waiter))
        return waiter

    def _deliver(self, waiter: asyncio.Future[None]) -> None:
        self._arrived.append(waiter)
        # Whoever is to come has not looked yet, or has said so: what was just put there is found.
        if self._called:
            return
        self._called = True
        loop = self._loop()
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        self._called = False
        while self._arrived:
            waiter = self._arrived.popleft()
            if not waiter.done():
                waiter.set_result(None)


_MAILBOXES: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Mailbox] = weakref.WeakKeyDictionary()


def _mailbox(loop: asyncio.AbstractEventLoop) -> _Mailbox:
    found = _MAILBOXES.get(loop)
    if found is None:
        found = _MAILBOXES[loop] = _Mailbox(loop)
    return found
