"""Runs that outlive a block: a conversation over web requests, a thread of LangGraph, a job that is tried again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from persistqueue import SQLiteAckQueue

from agentguard import Guard
from examples.help_desk.shop import Shop
from examples.support.bundle import bundle
from examples.support.checks import Checks
from examples.support.timeline import Timeline

# What whoever watched it may do next.
NEXT = ("agentguard test workflows/help_desk", "docs/long-runs.md")
ROOT = Path(__file__).parents[2]  # where `examples` is found, and perhaps nothing else
WORKERS = 4


def run(timeline: Timeline, folder: Path, checks: Checks) -> None:
    """The whole example."""
    bundle("help_desk", folder / "policy", {})
    shop = Shop(folder)
    timeline.title("A conversation over web requests", f"{WORKERS} worker processes, thirty messages at once")
    with serving(folder) as url, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: message(url, "ann", f"ORD-{number}"), range(30)))
        workers = {answer["worker"] for answer in answers}
        timeline.say("help desk", f"{len(answers)} requests were answered by {len(workers)} processes")
        runs = {answer["run"] for answer in answers}
        checks.that("they are one run", len(runs) == 1, runs)
        other = message(url, "bob", "ORD-99")
        checks.that("another customer's thread of the same name is another", other["run"] not in runs, other)
        httpx.delete(f"{url}/threads/thread-1", headers={"user": "ann"}).raise_for_status()
        again = message(url, "ann", "ORD-31")
        timeline.say("help desk", f"after the conversation was closed: {again['answer']}")
        checks.that("closing it gives no fresh limit", "not allowed" in again["answer"], again)
    paid = [cents for customer, _, cents in shop.refunds() if customer == "ann"]
    checks.that("exactly the 100.00 of one conversation were paid", sum(paid) == 10_000, paid)

    timeline.title("LangGraph with a checkpointer", "interrupted in one process, resumed in another")
    asked = said(timeline, "graph", folder)
    done = said(timeline, "graph", folder, "700")
    checks.that("both are in the run of the thread", asked.split()[0] == done.split()[0], (asked, done))
    checks.that("what was looked up before counts", ("cid", "ORD-7", 700) in shop.refunds(), shop.refunds())

    timeline.title("A task queue", "the worker is killed in the middle of a job, and another takes it up")
    orders = ["ORD-51", "ORD-52", "ORD-53"]
    SQLiteAckQueue(str(folder / "queue")).put({"id": "job-5", "customer": "dora", "orders": orders})
    first = said(timeline, "jobs", folder, "ORD-52")
    second = said(timeline, "jobs", folder)
    checks.that("the second try goes on with the run of the first", first.split()[0] == second.split()[0], second)
    got = [order for customer, order, _ in shop.refunds() if customer == "dora"]
    checks.that("each order was refunded once", got == orders, got)
    with Guard.load(folder / "policy", home=folder / "home") as guard:
        statuses = {str(run.key): str(run.status) for run in guard.operations.runs(key="job-5")}
    checks.that("and the job's run has ended", statuses == {"job-5": "ended"}, statuses)


def message(url: str, user: str, order: str) -> dict[str, Any]:
    """One message of a conversation, over a connection of its own."""
    answer = httpx.post(f"{url}/threads/thread-1/{order}", headers={"user": user}, timeout=120).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The web service, until it is left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "uvicorn", "examples.help_desk.app:app", "--workers", str(WORKERS), "--port", port]
    environment = {**os.environ, "HELP_DESK": str(folder)}
    server = subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 180
        while True:
            try:
                httpx.get(f"{url}/docs", timeout=60)
                break
            except httpx.TransportError:
                if server.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(60)


def said(timeline: Timeline, module: str, folder: Path, *words: str) -> str:
    """What one process of the example says."""
    command = [sys.executable, "-m", f"examples.help_desk.{module}", str(folder), *words]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    for line in ended.stdout.splitlines():
        timeline.say(module, line)
    if ended.returncode < 0:
        timeline.say(module, "was killed")
    return ended.stdout or ended.stderr
