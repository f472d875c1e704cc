"""Whoever waits for people in a program of its own knows what is waited for, and when it was answered."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from agentguard.approvals import ApprovalStatus
from agentguard.errors import ApprovalPending, ConfigurationError, ToolCallRefused
from agentguard.guard import Guard
from agentguard.guard.run import RunContext

from .conftest import Clock, Tools
from .test_waiting_runs import BIG, TICKET, answered, run, wrapped

__all__ = ["run"]


def asked(guard: Guard, tools: Tools) -> Callable[..., Any]:
    look, export = wrapped(guard, tools)
    look("EXP-7")
    with contextlib.suppress(ToolCallRefused):
        export(**BIG)
    return export


def test_what_a_run_waits_for_is_known_inside_it_as_of_now(guard: Guard, tools: Tools, run: RunContext) -> None:
    with run:
        assert run.waiting == ()
        export = asked(guard, tools)
        (row,) = guard.operations.approvals()
        assert run.waiting == (row.request.id,)

        answered(guard)
        assert run.waiting == (row.request.id,), "agreed, and not used yet: the call can be made again"
        assert export(**BIG) == "done"
        assert run.waiting == ()


@pytest.mark.parametrize(("agree", "status"), [(True, ApprovalStatus.APPROVED), (False, ApprovalStatus.DENIED)])
def test_a_task_waits_until_people_have_answered(
    guard: Guard, tools: Tools, run: RunContext, agree: bool, status: ApprovalStatus
) -> None:
    async def main() -> None:
        async with run:
            asked(guard, tools)
            (approval,) = run.waiting
            task = asyncio.create_task(run.until_answered(approval))
            await asyncio.sleep(0)
            assert not task.done()
            answered(guard, agree)
            assert await task == {approval: status}

    asyncio.run(main())


def test_a_thread_waits_until_people_have_answered(guard: Guard, tools: Tools, run: RunContext) -> None:
    with run:
        export = asked(guard, tools)
        (approval,) = run.waiting
        people = threading.Timer(0.05, answered, [guard])
        people.start()
        assert run.wait_until_answered() == {approval: ApprovalStatus.APPROVED}
        people.join()
        assert export(**BIG) == "done"
        assert run.wait_until_answered() == {}
        assert run.wait_until_answered(approval) == {approval: ApprovalStatus.SUCCEEDED}


def test_nothing_is_waited_for_past_the_time_the_request_or_the_run(
    guard: Guard, tools: Tools, run: RunContext, clock: Clock
) -> None:
    """Nobody answers a question whose time is up, or whose run was stopped; whoever waits is told so."""
    with run:
        asked(guard, tools)
        (approval,) = run.waiting
        assert run.wait_until_answered(within=timedelta(0)) == {approval: ApprovalStatus.PENDING}
        guard.operations.stop_run(run.id, by="user:sam", why="enough")
        assert run.wait_until_answered(approval) == {approval: ApprovalStatus.CANCELLED}
        clock.pass_by(30 * 60)
        assert run.wait_until_answered(approval) == {approval: ApprovalStatus.CANCELLED}


def test_one_run_cannot_wait_for_the_question_of_another(guard: Guard, tools: Tools, run: RunContext) -> None:
    with run:
        asked(guard, tools)
        (approval,) = run.waiting
    with guard.run("customer-export", inputs=TICKET) as other:
        for wrong in (approval, "a_none"):
            with pytest.raises(ConfigurationError, match="asked no question"):
                other.wait_until_answered(wrong)


def test_waiting_in_a_task_on_its_thread_is_an_error_and_not_a_stopped_loop(
    guard: Guard, tools: Tools, run: RunContext
) -> None:
    async def main() -> None:
        async with run:
            asked(guard, tools)
            with pytest.raises(ConfigurationError):
                run.wait_until_answered()

    asyncio.run(main())


def test_a_wait_that_is_cancelled_can_be_begun_again(guard: Guard, tools: Tools, run: RunContext) -> None:
    async def main() -> None:
        async with run:
            asked(guard, tools)
            (approval,) = run.waiting
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await run.until_answered()
            answered(guard)
            assert await run.until_answered() == {approval: ApprovalStatus.APPROVED}

    asyncio.run(main())


def test_pending_is_still_said_while_somebody_waits(guard: Guard, tools: Tools, run: RunContext) -> None:
    """To wait is no answer: the call made again meanwhile asks nobody anew, and does not run."""
    with run:
        export = asked(guard, tools)
        with pytest.raises(ApprovalPending) as pending:
            export(**BIG)
        assert run.waiting == (pending.value.approval_id,)
        assert len(guard.operations.approvals()) == 1
