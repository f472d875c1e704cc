"""Durable calls: how many a second, and how long each takes, at rising numbers of threads and tasks.

Every caller has a run of its own. Beside it, on the same file system: a bare SQLite commit with ``synchronous=FULL``
and a raw ``fdatasync``.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentguard import Guard
from benchmarks.bundles import ARGUMENTS, write_bundle
from benchmarks.calls import aplain, plain
from benchmarks.measure import Effort, Tick, percentile


def measure(effort: Effort, folder: Path, tick: Tick) -> dict[str, Any]:
    """Calls a second, p50 and p99 in microseconds."""
    policy = write_bundle(folder / "durable", 10)
    seconds = effort.seconds * effort.rounds
    found: dict[str, Any] = {}
    with Guard.load(policy, home=folder / "home-durable") as guard:
        tick("one durable call beside a bare commit")
        found["in_turn"] = _in_turn(guard, folder, 3 * seconds)
        for kind, measured in (("threads", _threads), ("tasks", _in_loop)):
            found[kind] = {}
            for callers in effort.callers:
                tick(f"durable calls: {callers} {kind}")
                found[kind][str(callers)] = measured(guard, callers, seconds)
    return found


def _in_turn(guard: Guard, folder: Path, seconds: float) -> dict[str, Any]:
    """One of each, over and over: a disk's mood changes within seconds, and must hit all three alike."""
    tool = guard.wrap(plain)
    calls: dict[str, Callable[[], object]] = {
        "raw_fdatasync": _sync(folder / "raw"),
        "bare_sqlite_commit": _commit(folder / "bare.sqlite3"),
        "guarded_call": lambda: tool(**ARGUMENTS),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    until = time.perf_counter() + seconds
    with guard.run("wf-5", inputs={"ticket": "EXP-7"}):
        while time.perf_counter() < until:
            for name, call in calls.items():
                started = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - started)
    return {name: _summary(taken, sum(taken)) for name, taken in times.items()}


def _summary(times: list[float], elapsed: float) -> dict[str, float]:
    micros = [taken * 1e6 for taken in times]
    return {
        "per_second": len(times) / elapsed,
        "p50_us": percentile(micros, 0.50),
        "p99_us": percentile(micros, 0.99),
    }


def _commit(path: Path) -> Callable[[], object]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute("create table rows (id integer primary key, text text)")
    # A journal that has had its full size before, as any has after some seconds: to write where a file has been before
    # takes a third less time.
    connection.execute("pragma cache_size = 10")
    connection.execute("begin immediate")
    connection.execute("create table grown (x)")
    for _ in range(64):
        connection.execute("insert into grown values (zeroblob(131072))")
    connection.execute("rollback")
    text = "x" * 1_000  # about what one decision record takes
    return lambda: connection.execute("insert into rows (text) values (?)", [text])


def _sync(path: Path) -> Callable[[], object]:
    handle = os.open(path, os.O_CREAT | os.O_WRONLY)
    block = b"x" * 4096

    def sync() -> None:
        os.pwrite(handle, block, 0)
        os.fdatasync(handle)

    return sync


def _threads(guard: Guard, callers: int, seconds: float) -> dict[str, float]:
    tool = guard.wrap(plain)
    ready = threading.Barrier(callers + 1)
    times: list[list[float]] = [[] for _ in range(callers)]
    stop = threading.Event()

    def call(mine: list[float]) -> None:
        with guard.run("wf-5", inputs={"ticket": "EXP-7"}):
            ready.wait()
            while not stop.is_set():
                started = time.perf_counter()
                tool(**ARGUMENTS)
                mine.append(time.perf_counter() - started)

    threads = [threading.Thread(target=call, args=(mine,)) for mine in times]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    elapsed = time.perf_counter() - began
    for thread in threads:
        thread.join()
    return _summary([taken for mine in times for taken in mine], elapsed)


def _in_loop(guard: Guard, callers: int, seconds: float) -> dict[str, float]:
    return asyncio.run(_tasks(guard, callers, seconds))


async def _tasks(guard: Guard, callers: int, seconds: float) -> dict[str, float]:
    tool = guard.wrap(aplain)
    times: list[float] = []
    ready = asyncio.Barrier(callers + 1)
    stop = asyncio.Event()

    async def call() -> None:
        async with guard.run("wf-5", inputs={"ticket": "EXP-7"}):
            await ready.wait()
            while not stop.is_set():
                started = time.perf_counter()
                await tool(**ARGUMENTS)
                times.append(time.perf_counter() - started)

    tasks = [asyncio.create_task(call()) for _ in range(callers)]
    await ready.wait()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    stop.set()
    elapsed = time.perf_counter() - began
    await asyncio.gather(*tasks)
    return _summary(times, elapsed)
