"""A bare call beside a guarded one: function, async function, LangChain tool; without and with the disk."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from langchain_core.tools import StructuredTool

from agentguard import Guard, RunContext
from agentguard.ledger import memory_ledger
from benchmarks.bundles import ARGUMENTS, write_bundle
from benchmarks.measure import Effort, Tick, compare

BATCH = 50


def plain(table: str, rows: int, ticket: str) -> str:
    """A tool that does nothing worth waiting for."""
    return table


async def aplain(table: str, rows: int, ticket: str) -> str:
    """The same, to be awaited."""
    return table


def measure(effort: Effort, folder: Path, tick: Tick) -> dict[str, Any]:
    """Microseconds a call, for each kind of tool: bare, guarded in memory, guarded and durable."""
    policy = write_bundle(folder / "calls", 10)
    bare = StructuredTool.from_function(plain, name="tool")
    found: dict[str, Any] = {}
    with (
        Guard.load(policy, ledger=memory_ledger(), home=folder / "home-memory") as memory,
        Guard.load(policy, home=folder / "home-disk") as disk,
    ):
        for kind, tool in (("function", plain), ("async_function", aplain), ("langchain_tool", bare)):
            tick(f"calls: {kind}")
            calls = {
                "bare": _caller(tool, None),
                "guarded_in_memory": _caller(memory.wrap(tool), memory),
                "guarded_durable": _caller(disk.wrap(tool), disk),
            }
            scale = BATCH if kind == "async_function" else 1
            found[kind] = {name: time / scale for name, time in compare(calls, effort).items()}
    return found


def _caller(tool: Any, guard: Guard | None) -> Callable[[], object]:
    """A call in a run of its own: each enters its own context, so that runs of two guards stay apart."""
    context = contextvars.copy_context()
    run = guard.run("wf-5", inputs={"ticket": "EXP-7"}) if guard is not None else None
    if asyncio.iscoroutinefunction(tool):
        return _async_caller(tool, run, context)
    if run is not None:
        context.run(run.__enter__)
    if isinstance(tool, StructuredTool):
        return lambda: context.run(tool.invoke, ARGUMENTS)
    return lambda: context.run(lambda: tool(**ARGUMENTS))


def _async_caller(tool: Any, run: RunContext | None, context: contextvars.Context) -> Callable[[], object]:
    """Batches of awaited calls on one loop, so that entering a loop is not what is measured."""
    loop = asyncio.new_event_loop()

    def complete(work: Coroutine[Any, Any, object]) -> object:
        return loop.run_until_complete(loop.create_task(work, context=context))

    async def batch() -> None:
        for _ in range(BATCH):
            await tool(**ARGUMENTS)

    if run is not None:
        complete(run.__aenter__())
    return lambda: complete(batch())
