"""Waiting in a task, under asyncio or trio (and so under anyio, which runs on either)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any, Protocol, TypeVar

R = TypeVar("R")


class Waited(Protocol):
    """An answer to come."""

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Call this once when the answer is there, on any thread."""


def running_trio() -> ModuleType | None:
    """Trio, where this task is one of its; it is never imported here."""
    trio = sys.modules.get("trio")
    return trio if trio is not None and trio.lowlevel.in_trio_run() else None


def in_a_task() -> bool:
    """Whether an event loop is running on this thread, so that to block would stop it."""
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    return running_trio() is not None


async def sleep(seconds: float) -> None:
    """Let some time pass."""
    trio = running_trio()
    await (asyncio.sleep(seconds) if trio is None else trio.sleep(seconds))


async def in_thread(function: Callable[..., R], *args: Any) -> R:
    """Run what may block on a thread."""
    trio = running_trio()
    result: R = await (asyncio.to_thread(function, *args) if trio is None else trio.to_thread.run_sync(function, *args))
    return result


async def done_in_trio(trio: ModuleType, future: Waited) -> None:
    """Return once the future is done, and not before; a cancellation is raised then."""
    arrived, token = trio.Event(), trio.lowlevel.current_trio_token()

    def tell(_: object) -> None:
        with suppress(trio.RunFinishedError):  # nobody waits any more
            token.run_sync_soon(arrived.set)

    future.add_done_callback(tell)
    with trio.CancelScope(shield=True):
        await arrived.wait()
    await trio.lowlevel.checkpoint_if_cancelled()
