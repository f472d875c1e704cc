"""A run that is left while a call of it waits for a person can be gone on with; every other run ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentguard.errors import ApprovalPending, ConfigurationError, ToolCallDenied, ToolCallRefused
from agentguard.guard import Guard
from agentguard.guard.run import RunContext

from .conftest import EXPORTER, Clock, Tools

TICKET = {"ticket": "EXP-7"}
BIG = {"table": "orders", "rows": 2000, "target": "https://files.corp.example/x.csv"}


@pytest.fixture
def run(guard: Guard) -> RunContext:
    return guard.run("customer-export", inputs=TICKET)


def wrapped(guard: Guard, tools: Tools) -> tuple[Callable[..., Any], Callable[..., Any]]:
    look, export = guard.wrap(tools.functions())
    return look, export


def answered(guard: Guard, agree: bool = True) -> None:
    (row,) = guard.operations.approvals(open_only=True)
    for person in ("user:alice", "user:bob") if agree else ("user:alice",):
        guard.operations.answer(row.request.id, approver=person, approve=agree)


def status(guard: Guard, run: RunContext) -> str:
    state = guard.operations.run(run.id)
    assert state is not None
    return str(state.status)


def test_a_run_whose_call_waits_stays_open_though_the_program_took_the_refusal_as_an_answer(
    guard: Guard, tools: Tools, run: RunContext
) -> None:
    """Frameworks give a refusal to the model as a message, so no exception leaves the run."""
    look, export = wrapped(guard, tools)
    with run:
        look("EXP-7")
        with contextlib.suppress(ToolCallRefused):
            export(**BIG)
    (asked,) = guard.operations.approvals(open_only=True)
    assert run.waiting == (asked.request.id,) and status(guard, run) == "active"

    answered(guard)
    with guard.resume(run.id) as resumed:
        assert export(**BIG) == "done"

    assert resumed.waiting == () and status(guard, run) == "ended"
    with pytest.raises(ConfigurationError, match="is not open"), guard.resume(run.id):
        pass


def test_a_run_left_by_the_waits_of_a_group_of_tasks_stays_open(guard: Guard, tools: Tools, run: RunContext) -> None:
    """A task group raises what its tasks raised inside a group of exceptions."""
    look, export = wrapped(guard, tools)

    async def main() -> None:
        async with run:
            look("EXP-7")
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(export, **BIG))

    with pytest.raises(BaseExceptionGroup) as found:
        asyncio.run(main())

    assert found.value.subgroup(ApprovalPending) is not None
    assert status(guard, run) == "active" and len(run.waiting) == 1


@pytest.mark.parametrize("end", ["refused", "used", "expired"])
def test_a_run_whose_question_is_over_ends(guard: Guard, tools: Tools, run: RunContext, clock: Clock, end: str) -> None:
    """Nothing of it can still be permitted by that question."""
    look, export = wrapped(guard, tools)
    with run:
        look("EXP-7")
        with contextlib.suppress(ToolCallRefused):
            export(**BIG)
        if end == "expired":
            clock.pass_by(30 * 60)
        else:
            answered(guard, agree=end == "used")
        if end == "used":
            assert export(**BIG) == "done"

    assert run.waiting == () and status(guard, run) == "ended"


def test_a_run_whose_question_is_answered_but_not_used_stays_open(guard: Guard, tools: Tools, run: RunContext) -> None:
    """People agreed while the program was on its way out; the call may be repeated."""
    look, export = wrapped(guard, tools)
    with run:
        look("EXP-7")
        with contextlib.suppress(ToolCallRefused):
            export(**BIG)
        answered(guard)

    assert len(run.waiting) == 1 and status(guard, run) == "active"


def test_nobody_goes_on_with_the_run_of_another_workload(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    """It may run the same workflow, but what this run was asked and promised is not its own; the record says so."""
    other = "spiffe://corp.example/agent/other"
    for name in ("trust.yaml", "customer-export.yaml"):
        text = (bundle / name).read_text()
        (bundle / name).write_text(
            text.replace(f'["{EXPORTER}"]', f'["{EXPORTER}", "{other}"]').replace(
                f"  - {EXPORTER}\n", f"  - {EXPORTER}\n  - {other}\n"
            )
        )
    file, home = tmp_path / "l.sqlite3", tmp_path / "home"
    with Guard.load(bundle, ledger=file, home=home, subject=EXPORTER) as guard:
        look, export = wrapped(guard, tools)
        with contextlib.suppress(ApprovalPending), guard.run("customer-export", inputs=TICKET) as run:
            look("EXP-7")
            export(**BIG)
    with Guard.load(bundle, ledger=file, home=home, subject=other) as guard:
        with pytest.raises(ToolCallDenied), guard.resume(run.id):
            pytest.fail("entered")
        assert list(guard.records(kind="run"))[-1]["reasons"] == ["subject_changed"]
        assert status(guard, run) == "active"


def test_a_run_left_by_any_other_exception_ends_though_a_call_waits(
    guard: Guard, tools: Tools, run: RunContext
) -> None:
    """The program broke; nobody should find its run open."""
    look, export = wrapped(guard, tools)
    with pytest.raises(ZeroDivisionError), run:
        look("EXP-7")
        with contextlib.suppress(ToolCallRefused):
            export(**BIG)
        raise ZeroDivisionError

    assert run.waiting == () and status(guard, run) == "ended"


def test_a_run_that_is_gone_on_with_for_one_call_stays_open_for_another(
    guard: Guard, tools: Tools, run: RunContext
) -> None:
    """Two calls wait; the answer to the first comes a day before the answer to the second."""
    look, export = wrapped(guard, tools)
    with run:
        look("EXP-7")
        for rows in (2000, 2001):
            with contextlib.suppress(ToolCallRefused):
                export(**(BIG | {"rows": rows}))
    second, first = run.waiting
    for asked, rows in ((first, 2000), (second, 2001)):
        for person in ("user:alice", "user:bob"):
            guard.operations.answer(asked, approver=person, approve=True)
        with guard.resume(run.id) as resumed:
            assert export(**(BIG | {"rows": rows})) == "done"
        assert resumed.waiting == ((second,) if asked == first else ())

    assert status(guard, run) == "ended"


def test_a_question_of_another_run_keeps_no_run_open(guard: Guard, tools: Tools, run: RunContext) -> None:
    """Two tenants in one program: the wait of one is not the wait of the other."""
    look, export = wrapped(guard, tools)
    other = guard.run("customer-export", inputs=TICKET)
    with other:
        with run:
            look("EXP-7")
            with contextlib.suppress(ToolCallRefused):
                export(**BIG)
        look("EXP-7")
        with contextlib.suppress(ToolCallRefused):
            export(**BIG)
        for row in guard.operations.approvals(open_only=True):
            if row.request.run_id == other.id:
                guard.operations.answer(row.request.id, approver="user:alice", approve=False)

    assert (status(guard, run), status(guard, other)) == ("active", "ended")
