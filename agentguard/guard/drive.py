"""Drives one order of events, synchronously or asynchronously. No decision is made here."""

from __future__ import annotations

import asyncio
import time
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


def finish(events: Events, error: BaseException | None) -> None:
    """Tell the events how the streamed tool ended. Raises ``error`` again where there is one."""
    try:
        if error is None:
            events.send(None)
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
    wrapped = asyncio.wrap_future(future)
    cancelled: asyncio.CancelledError | None = None
    while not wrapped.done():
        try:
            await asyncio.shield(wrapped)
        except asyncio.CancelledError as error:
            cancelled = error
        except BaseException:
            if not wrapped.done():
                raise
            break
    if cancelled is not None:
        if not wrapped.cancelled():
            wrapped.exception()  # seen, so that asyncio does not warn about it
        raise cancelled
    return wrapped.result()
