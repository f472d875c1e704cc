"""Limits hold when everything happens at once."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agentguard.errors import ToolCallDenied
from agentguard.guard import Guard
from agentguard.guard.operations import Operations
from agentguard.guard.run import RunContext
from agentguard.ledger import Admitted, memory_ledger, open_ledger

from .conftest import EXPORTER, FILES, Tools

TICKET = {"ticket": "EXP-7"}
CALLS = 200


def only_one(bundle: Path) -> Path:
    file = bundle / "customer-export.yaml"
    file.write_text(FILES["customer-export.yaml"].replace("at_most: 5", "at_most: 1"))
    return bundle


def attempt(call: Any) -> int:
    try:
        call("EXP-7")
    except ToolCallDenied:
        return 0
    return 1


def test_of_200_parallel_threads_with_a_limit_of_one_one_runs(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    with Guard.load(only_one(bundle), ledger=tmp_path / "l.sqlite3", home=tmp_path) as guard:
        look, _ = guard.wrap(tools.functions())
        with guard.run("customer-export", inputs=TICKET), ThreadPoolExecutor(32) as pool:
            contexts = [contextvars.copy_context() for _ in range(CALLS)]
            ran = sum(pool.map(lambda context: context.run(attempt, look), contexts))

        assert (ran, len(tools.ran)) == (1, 1)
        effects = [r["effect"] for r in guard.records(kind="decision")]
        assert (effects.count("permit"), effects.count("deny")) == (1, CALLS - 1)


def test_of_200_parallel_tasks_with_a_limit_of_one_one_runs(bundle: Path, tmp_path: Path) -> None:
    ran = []

    async def get_ticket(ticket_id: str) -> dict[str, Any]:
        ran.append(ticket_id)
        await asyncio.sleep(0)
        return {"tables": []}

    with Guard.load(only_one(bundle), ledger=tmp_path / "l.sqlite3", home=tmp_path) as guard:
        look = guard.wrap(get_ticket)

        async def main() -> list[Any]:
            async with guard.run("customer-export", inputs=TICKET):
                return await asyncio.gather(*(look("EXP-7") for _ in range(CALLS)), return_exceptions=True)

        results = asyncio.run(main())

    assert len(ran) == 1
    assert sum(isinstance(result, ToolCallDenied) for result in results) == CALLS - 1


def test_a_budget_is_reached_exactly_and_never_exceeded(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    """Ten thousand rows a day: of forty parallel exports of 300, thirty-three fit."""
    file = bundle / "customer-export.yaml"
    file.write_text(FILES["customer-export.yaml"].replace("at_most: 2", "at_most: 100"))
    with Guard.load(bundle, ledger=tmp_path / "l.sqlite3", home=tmp_path) as guard:
        look, export = guard.wrap(tools.functions())

        with guard.run("customer-export", inputs=TICKET), ThreadPoolExecutor(16) as pool:
            look("EXP-7")
            contexts = [contextvars.copy_context() for _ in range(40)]
            assert sum(pool.map(lambda context: context.run(attempt_export, export), contexts)) == 33


def test_a_thread_that_was_given_no_context_is_in_no_run(guard: Guard, tools: Tools) -> None:
    """A pool shared by two tenants must not lend one the other's run."""
    look, _ = guard.wrap(tools.functions())

    with guard.run("customer-export", inputs=TICKET), ThreadPoolExecutor(1) as pool:
        assert pool.submit(attempt, look).result() == 0

    assert tools.ran == []


def test_two_tasks_are_each_in_their_own_run(bundle: Path, tmp_path: Path) -> None:
    async def get_ticket(ticket_id: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"tables": []}

    with Guard.load(bundle, ledger=memory_ledger(), home=tmp_path) as guard:
        look = guard.wrap(get_ticket)

        async def tenant(ticket: str) -> str:
            async with guard.run("customer-export", inputs={"ticket": ticket}) as run:
                for _ in range(3):
                    await look(ticket)
                return run.id

        async def main() -> list[str]:
            return await asyncio.gather(*(tenant(f"EXP-{number}") for number in range(10)))

        ids = asyncio.run(main())
        for number, run_id in enumerate(ids):
            found = [r["arguments"]["ticket_id"] for r in guard.records(kind="decision", run_id=run_id)]
            assert found == [f"EXP-{number}"] * 3


PROCESS = """
import sys
from agentguard.guard import Guard
from agentguard.errors import ToolCallDenied
bundle, home, run_id, side = sys.argv[1:]
def get_ticket(ticket_id: str) -> dict:
    with open(side, "a") as file:
        file.write("ran\\n")
    return {"tables": []}
with Guard.load(bundle, home=home) as guard:
    look = guard.wrap(get_ticket)
    context = guard.resume(run_id)
    context.__enter__()
    for _ in range(5):
        try:
            look("EXP-7")
        except ToolCallDenied:
            pass
"""


def test_of_parallel_processes_with_a_limit_of_one_one_runs(bundle: Path, tmp_path: Path) -> None:
    side = tmp_path / "side"
    with Guard.load(only_one(bundle), home=tmp_path) as guard, guard.run("customer-export", inputs=TICKET) as run:
        command = [sys.executable, "-c", PROCESS, str(bundle), str(tmp_path), run.id, str(side)]
        children = [subprocess.Popen(command) for _ in range(4)]
        assert [child.wait(timeout=60) for child in children] == [0] * 4
        records = list(guard.records(kind="decision", run_id=run.id))

    assert side.read_text() == "ran\n"
    assert [r["effect"] for r in records].count("permit") == 1
    assert len(records) == 20


CHANGES = {
    "risk_too_high": lambda operations, run: operations.set_risk(run, "high", by="user:soc", why="alarm"),
    "run_stopped": lambda operations, run: operations.stop_run(run, by="user:soc", why="alarm"),
    "subject_suspended": lambda operations, run: operations.suspend_subject(EXPORTER, by="user:soc", why="alarm"),
}


@pytest.mark.parametrize("reason", CHANGES)
def test_what_somebody_else_changes_between_two_calls_is_seen_by_the_next(
    reason: str, bundle: Path, tmp_path: Path, tools: Tools
) -> None:
    """The guard remembers the run from call to call; what it remembers never permits anything."""
    file = tmp_path / "l.sqlite3"
    with Guard.load(bundle, ledger=file, home=tmp_path) as guard, another_process(file) as operations:
        look, export = guard.wrap(tools.functions())
        with guard.run("customer-export", inputs=TICKET) as run:
            look("EXP-7")
            assert settled(run)
            CHANGES[reason](operations, run.id)
            assert attempt_export(export) == 0

        *_, last = guard.records(kind="decision")
        assert reason in last["reasons"]
        assert len(tools.ran) == 1


def test_a_risk_lowered_between_two_calls_is_seen_by_the_next(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    """A refusal is never given by what is remembered, and leaves no record of having been tried."""
    file = tmp_path / "l.sqlite3"
    with Guard.load(bundle, ledger=file, home=tmp_path) as guard, another_process(file) as operations:
        look, export = guard.wrap(tools.functions())
        with guard.run("customer-export", inputs=TICKET) as run:
            look("EXP-7")
            operations.set_risk(run.id, "high", by="user:soc", why="alarm")
            assert attempt_export(export) == 0
            assert settled(run)
            operations.set_risk(run.id, "low", by="user:soc", why="false alarm")
            assert attempt_export(export) == 1

        assert [r["effect"] for r in guard.records(kind="decision")] == ["permit", "deny", "permit"]


def attempt_export(export: Any) -> int:
    try:
        export("orders", 300, "https://files.corp.example/x")
    except ToolCallDenied:
        return 0
    return 1


@contextlib.contextmanager
def another_process(file: Path) -> Iterator[Operations]:
    """What shares nothing with the guard but the ledger's file."""
    ledger = open_ledger(file)
    try:
        yield Operations(ledger)
    finally:
        ledger.shut()


def settled(run: RunContext) -> bool:
    """Whether the run is remembered, once the ledger has answered all it was asked."""
    run.guard.operations.run(run.id)
    return run.recall() is not None


def test_a_run_may_be_forgotten_while_another_call_of_it_looks_at_it(bundle: Path, tmp_path: Path) -> None:
    """What was seen last is one field for all calls of a run; an outcome that could not be written empties it."""

    class Raced:
        def __init__(self) -> None:
            self.values: list[Any] = [Admitted(1, None), None]

        def __get__(self, _: object, __: type) -> Any:
            return self.values.pop(0) if len(self.values) > 1 else self.values[0]

        def __set__(self, _: object, value: object) -> None:
            pass

    class Shared(RunContext):
        _last_seen = Raced()

    with Guard.load(bundle, ledger=memory_ledger(), home=tmp_path) as guard:
        context = Shared(guard, "customer-export", TICKET, None)
        context.entered = True

        assert context.recall() is None
