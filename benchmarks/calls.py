"""A bare call beside a guarded one: function, async function, LangChain tool, and a LangChain tool with everything.

Processor time, the least of several rounds: it hardly depends on who else uses the machine. For a durable call that
says nothing of the disk, which has a table of its own (``durable``).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from langchain_core.tools import StructuredTool

from agentguard import Guard, RunContext
from agentguard.ledger import memory_ledger, open_ledger
from benchmarks.bundles import ARGUMENTS, FULL_ARGUMENTS, write_bundle, write_full_bundle
from benchmarks.measure import Effort, Tick, compare_work

BATCH = 50
TICKET = {"ticket": "EXP-7"}


def plain(table: str, rows: int, ticket: str) -> str:
    """A tool that does nothing worth waiting for."""
    return table


async def aplain(table: str, rows: int, ticket: str) -> str:
    """The same, to be awaited."""
    return table


def look(ticket: str) -> dict[str, Any]:
    """What a ticket says."""
    return {"tables": ["orders"], "note": "as asked"}


def fetch(table: str, rows: int, target: str, ticket: str) -> str:
    """A tool that goes to a place with what another one found."""
    return table


def measure(effort: Effort, folder: Path, tick: Tick) -> dict[str, Any]:
    """Microseconds of processor time a call, for each kind of tool: bare, and guarded over three ledgers."""
    found: dict[str, Any] = {}
    bare = StructuredTool.from_function(plain, name="tool")
    with ExitStack() as stack:
        guards = _guards(stack, write_bundle(folder / "calls", 10), folder / "ten")
        for kind, tool in (("function", plain), ("async_function", aplain), ("langchain_tool", bare)):
            tick(f"calls: {kind}")
            calls = {"bare": _caller(tool, None)}
            calls |= {name: _caller(guard.wrap(tool), guard) for name, guard in guards.items()}
            scale = BATCH if kind == "async_function" else 1
            found[kind] = {name: time / scale for name, time in compare_work(calls, effort).items()}
    with ExitStack() as stack:
        tick("calls: with everything")
        guards = _guards(stack, write_full_bundle(folder / "calls-full"), folder / "full")
        tool = StructuredTool.from_function(fetch, name="fetch")
        calls = {"bare": lambda: tool.invoke(FULL_ARGUMENTS)}
        calls |= {name: _full_caller(guard, tool) for name, guard in guards.items()}
        found["langchain_tool_with_everything"] = compare_work(calls, effort)
    return found


def _guards(stack: ExitStack, policy: Path, home: Path) -> dict[str, Guard]:
    def load(name: str, **how: Any) -> Guard:
        return stack.enter_context(Guard.load(policy, home=home / name, **how))

    (home / "unsynced").mkdir(parents=True)
    unsynced = open_ledger(home / "unsynced" / "ledger.sqlite3")
    unsynced.engine.log._connection.execute("PRAGMA synchronous = OFF")  # type: ignore[attr-defined]
    return {
        "guarded_in_memory": load("memory", ledger=memory_ledger()),
        "guarded_unsynced": load("unsynced", ledger=unsynced),
        "guarded_durable": load("durable"),
    }


def _caller(tool: Any, guard: Guard | None) -> Callable[[], object]:
    """A call in a run of its own: each enters its own context, so that runs of two guards stay apart."""
    context = contextvars.copy_context()
    run = guard.run("wf-5", inputs=TICKET) if guard is not None else None
    if asyncio.iscoroutinefunction(tool):
        return _async_caller(tool, run, context)
    if run is not None:
        context.run(run.__enter__)
    if isinstance(tool, StructuredTool):
        return lambda: context.run(tool.invoke, ARGUMENTS)
    return lambda: context.run(lambda: tool(**ARGUMENTS))


def _full_caller(guard: Guard, tool: StructuredTool) -> Callable[[], object]:
    context = contextvars.copy_context()
    context.run(guard.run("full", inputs=TICKET).__enter__)
    context.run(guard.wrap(look), TICKET["ticket"])
    guarded = guard.wrap(tool)
    return lambda: context.run(guarded.invoke, FULL_ARGUMENTS)


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
