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
from agentguard.errors import ConfigurationError
from agentguard.guard.order import Ask, Events, Identify, Pause, RunTool, Wait
from agentguard.loops import done_in_trio, in_a_task, running_trio, sleep

WhoIsIt = Callable[[Identify], Identity | Unavailable]
WhoIsItAsync = Callable[[Identify], Awaitable[Identity | Unavailable]]


def drive(events: Events, identify: WhoIsIt, run: Callable[[Any], Any], *, shield: Shield | None = None) -> Any:
    """Run the events to their end on this thread. ``shield`` holds what interrupts a wait for the ledger."""
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
                reply, error = _kept_off(shield, ask, raised)
    finally:
        events.close()  # an interruption between two lines above: the events still write how the call ended


async def drive_async(
    events: Events,
    identify: WhoIsItAsync,
    run: Callable[[Any], Awaitable[Any]],
    *,
    shield: Shield | None = None,
) -> Any:
    """As ``drive``, on this task."""
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
                reply, error = _kept_off(shield, ask, raised)
    finally:
        events.close()


class Shield:
    """Keeps interruptions (a cancellation, Ctrl-C) away from events that must come to their end."""

    def __init__(self) -> None:
        self.held: BaseException | None = None

    def hold(self, interruption: BaseException) -> None:
        """Keep the first one, for the caller to raise."""
        self.held = self.held or interruption


def _kept_off(shield: Shield | None, ask: Ask, raised: BaseException) -> tuple[Any, BaseException | None]:
    """What the events are told: what was raised; or, behind a shield, what the ledger said meanwhile."""
    if shield is None or isinstance(raised, Exception) or not isinstance(ask, Wait):
        return None, raised
    shield.hold(raised)
    while not ask.future.done():  # only a second Ctrl-C ends a wait before the ledger is done
        try:
            wait([ask.future])
        except BaseException as again:
            shield.hold(again)
    error = ask.future.exception()
    return (ask.future.result(), None) if error is None else (None, error)


def advance(events: Events, identify: WhoIsIt) -> Any:
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


async def advance_async(events: Events, identify: WhoIsItAsync) -> Any:
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
        if in_a_task():
            raise ConfigurationError(
                "this call waits for a person, as `wait` says, and would stop the event loop that it was made in; "
                "make the tool async, call it through asyncio.to_thread, or load the guard without `wait`"
            )
        if ask.seconds:
            time.sleep(ask.seconds)
    return None


async def _perform_async(ask: Ask, identify: WhoIsItAsync) -> Any:
    if isinstance(ask, Wait):
        return await settle_async(ask.future)
    if isinstance(ask, Identify):
        return await identify(ask)
    if isinstance(ask, Pause) and ask.seconds:
        await sleep(ask.seconds)
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
    if not future.done():
        trio = running_trio()
        if trio is not None:
            await done_in_trio(trio, future)
        else:
            await _done_in_asyncio(future)
    return future.result()


async def _done_in_asyncio(future: Future[Any]) -> None:
    mailbox = _mailbox(asyncio.get_running_loop())
    while not future.done():
        try:
            await mailbox.arrival(future)
        except asyncio.CancelledError:
            # A scope of anyio cancels again and again; ``wait`` leaves alone what it waits for.
            arrival = mailbox.arrival(future)
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait((arrival,))
            raise


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
