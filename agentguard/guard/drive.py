"""Drives one order of events, synchronously or asynchronously. No decision is made here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from agentguard.core.values import Identity, Unavailable
from agentguard.errors import ConfigurationError
from agentguard.guard.asks import Ask, Events, Identify, Look, Pause, RunTool, Wait
from agentguard.ledger import Promise
from agentguard.loops import done_in_trio, in_a_task, in_thread, running_trio, sleep

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
    while not ask.answer.done:
        try:
            ask.answer.exception()
        except BaseException as again:
            shield.hold(again)
    error = ask.answer.exception()
    return (ask.answer.result(), None) if error is None else (None, error)


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
        return ask.answer.result()
    if isinstance(ask, Look):
        return ask.work()
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
        return await settled(ask.answer)
    if isinstance(ask, Look):
        return await in_thread(ask.work)
    if isinstance(ask, Identify):
        return await identify(ask)
    if isinstance(ask, Pause) and ask.seconds:
        await sleep(ask.seconds)
    return None


async def settled(promise: Promise[Any]) -> Any:
    """What a ledger answers, in a task. A cancellation is raised only once the answer is there."""
    trio = running_trio()
    if trio is not None:
        await done_in_trio(trio, promise)
        return promise.result()
    return await promise
