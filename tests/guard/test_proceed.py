"""Whoever has the id of an approval can go on with exactly the call that waits for it: once, anywhere, decided anew."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from integrations.model_server import chat, chat_call
from langchain_core.tools import tool as langchain_tool
from openai.types.chat import ChatCompletion
from small_bundle import TEXT, WHOLE, guard_of, small_bundle

from agentguard import ApprovalPending, ApprovalRefused, CallRepeated, ConfigurationError, Guard, ToolCallDenied
from agentguard.integrations.openai import OpenAITools

PAY = {"args": {"to": TEXT, "cents": WHOLE}, "effect": "write", "approval": True}
POLICY: dict[str, dict[str, Any]] = {"pay": PAY, "look": {"args": {"to": TEXT}}}


class Payments:
    """Tools that remember what they were called with."""

    def __init__(self) -> None:
        self.paid: list[tuple[str, int]] = []

    def pay(self, to: str, cents: int) -> str:
        """Pay somebody."""
        self.paid.append((to, cents))
        return f"paid {cents} to {to}"

    def look(self, to: str) -> str:
        """Look somebody up."""
        return to


@pytest.fixture
def payments() -> Payments:
    return Payments()


@pytest.fixture
def guard() -> Iterator[Guard]:
    with guard_of(POLICY) as made:
        yield made


def asked(pay: Callable[..., Any], *given: Any) -> str:
    with pytest.raises(ApprovalPending) as waits:
        pay(*given)
    return waits.value.approval_id


def answer(guard: Guard, approval_id: str, agree: bool = True) -> None:
    guard.operations.answer(approval_id, approver="user:dana", approve=agree)


def asked_in_a_run(guard: Guard, pay: Callable[..., Any], *given: Any) -> str:
    with guard.run("w") as run:
        approval_id = asked(pay, *given)
        run.leave()
    return approval_id


def test_the_call_that_waits_runs_with_what_was_asked(guard: Guard, payments: Payments) -> None:
    pay = guard.wrap(payments.pay)
    approval_id = asked_in_a_run(guard, pay, "bob", 500)
    with pytest.raises(ApprovalPending) as waits:
        guard.proceed(approval_id)
    assert waits.value.approval_id == approval_id
    assert len(guard.operations.approvals()) == 1, "nobody is asked anew"

    answer(guard, approval_id)
    assert guard.proceed(approval_id) == "paid 500 to bob"
    assert payments.paid == [("bob", 500)]


def test_a_second_time_gives_the_answer_of_the_first(guard: Guard, payments: Payments) -> None:
    pay = guard.wrap(payments.pay)
    approval_id = asked_in_a_run(guard, pay, "bob", 500)
    answer(guard, approval_id)
    assert [guard.proceed(approval_id) for _ in range(3)] == ["paid 500 to bob"] * 3
    assert payments.paid == [("bob", 500)]


def test_a_framework_that_repeats_its_call_gets_the_answer_too(guard: Guard, payments: Payments) -> None:
    pay = guard.wrap(payments.pay)
    with guard.run("w") as run:
        with run.turn("m1", "c1"):
            approval_id = asked(pay, "bob", 500)
        answer(guard, approval_id)
        assert guard.proceed(approval_id) == "paid 500 to bob"
        with run.turn("m1", "c1"):
            assert pay("bob", 500) == "paid 500 to bob"
        with run.turn("m2", "c1"):
            assert asked(pay, "bob", 500) != approval_id, "another turn is another call"
    assert payments.paid == [("bob", 500)]


def test_an_approval_that_the_call_itself_used_is_used(guard: Guard, payments: Payments) -> None:
    """Nor is another that was given to the same arguments later taken for it."""
    pay = guard.wrap(payments.pay)
    with guard.run("w"):
        first = asked(pay, "bob", 500)
        answer(guard, first)
        assert pay("bob", 500) == "paid 500 to bob"
        second = asked(pay, "bob", 500)
        answer(guard, second)
        with pytest.raises(ToolCallDenied):
            guard.proceed(first)
        assert list(guard.records(kind="decision"))[-1]["reasons"] == ["approval_required"], "and nobody was asked"
        assert payments.paid == [("bob", 500)]
        assert guard.proceed(second) == "paid 500 to bob"
    assert len(payments.paid) == 2


def test_a_no_stays_a_no(guard: Guard, payments: Payments) -> None:
    pay = guard.wrap(payments.pay)
    approval_id = asked_in_a_run(guard, pay, "bob", 500)
    answer(guard, approval_id, agree=False)
    with pytest.raises(ApprovalRefused):
        guard.proceed(approval_id)
    assert payments.paid == []


def test_the_run_stays_open_and_is_entered_as_always(guard: Guard, payments: Payments) -> None:
    pay = guard.wrap(payments.pay)
    approval_id = asked_in_a_run(guard, pay, "bob", 500)
    answer(guard, approval_id)
    guard.proceed(approval_id)
    (run,) = guard.operations.runs()
    assert str(run.status) == "active"

    other = asked_in_a_run(guard, pay, "eve", 1)
    answer(guard, other)
    (row,) = [each for each in guard.operations.approvals() if each.request.id == other]
    guard.operations.stop_run(row.request.run_id, by="user:ops", why="enough")
    with pytest.raises(ConfigurationError, match="is not open"):
        guard.proceed(other)
    assert payments.paid == [("bob", 500)]


@pytest.mark.parametrize(
    ("wrapped", "approval", "says"),
    [(True, "a-nobody", "there is no approval request"), (False, None, "is not wrapped in this process")],
)
def test_what_cannot_be_gone_on_with_is_said(wrapped: bool, approval: str | None, says: str, tmp_path: Path) -> None:
    payments = Payments()
    folder = bundle(tmp_path)
    with Guard.load(folder, home=tmp_path / "home") as one:
        approval_id = asked_in_a_run(one, one.wrap(payments.pay), "bob", 500)
        answer(one, approval_id)
    with Guard.load(folder, home=tmp_path / "home") as other:
        if wrapped:
            other.wrap(payments.pay)
        with pytest.raises(ConfigurationError, match=says):
            other.proceed(approval or approval_id)
    assert payments.paid == []


def test_a_call_with_secrets_waits_where_it_was_made(payments: Payments) -> None:
    with guard_of({"pay": {**PAY, "tool": {"secrets": ["to"]}}}) as guard:
        pay = guard.wrap(payments.pay)
        with guard.run("w"):
            approval_id = asked(pay, "pass-word-1", 500)
            answer(guard, approval_id)
            with pytest.raises(ConfigurationError, match="holds secrets"):
                guard.proceed(approval_id)
            assert pay("pass-word-1", 500) == "paid 500 to pass-word-1"
        stored = json.dumps([row.request.shown for row in guard.operations.approvals(open_only=False)])
    assert "pass-word-1" not in stored


def test_erased_means_nobody_goes_on(guard: Guard, payments: Payments) -> None:
    pay = guard.wrap(payments.pay)
    approval_id = asked_in_a_run(guard, pay, "bob", 500)
    answer(guard, approval_id)
    (row,) = guard.operations.approvals()
    guard.operations.erase(run_id=row.request.run_id, by="user:ops", why="asked to")
    with pytest.raises(ConfigurationError, match="erased"):
        guard.proceed(approval_id)
    assert payments.paid == []


def test_what_stands_in_no_record_or_listing(guard: Guard, payments: Payments) -> None:
    """The bytes of a waiting call lie beside the log."""
    pay = guard.wrap(payments.pay)
    asked_in_a_run(guard, pay, "marker-7Q", 500)
    assert "marker-7Q" not in json.dumps([record for record in guard.records() if record["kind"] == "approval"])


def test_a_body_that_calls_other_tools_makes_calls_of_their_own(guard: Guard, payments: Payments) -> None:
    """The approval is for the one call, and so is the id under which it is known."""
    look = guard.wrap(payments.look)

    def pay(to: str, cents: int) -> str:
        """Pay somebody."""
        return look(to)

    guarded = guard.wrap(pay)
    with guard.run("w"):
        approval_id = asked(guarded, "bob", 500)
        answer(guard, approval_id)
        assert guard.proceed(approval_id) == "bob"
    with guard.run("w") as run, run.turn("m", "c"):
        assert look("x") == "x"


def test_tasks_go_on_too() -> None:
    paid: list[str] = []

    async def pay(to: str, cents: int) -> str:
        """Pay somebody."""
        paid.append(to)
        return "paid"

    def look(to: str) -> str:
        """Look."""
        paid.append(to)
        return "looked"

    async def main(guard: Guard) -> None:
        guarded, looks = guard.wrap(pay), guard.wrap(look)
        async with guard.run("w") as run:
            with pytest.raises(ApprovalPending) as waits:
                await guarded("bob", 1)
            with pytest.raises(ApprovalPending) as looking:
                looks("eve")
            run.leave()
        for each in (waits, looking):
            answer(guard, each.value.approval_id)
        with pytest.raises(ConfigurationError, match="aproceed"):
            guard.proceed(waits.value.approval_id)
        both = await asyncio.gather(
            *(guard.aproceed(waits.value.approval_id) for _ in range(5)), return_exceptions=True
        )
        assert all(each == "paid" or isinstance(each, CallRepeated) for each in both) and "paid" in both
        assert await guard.aproceed(looking.value.approval_id) == "looked"

    with guard_of({"pay": PAY, "look": {"args": {"to": TEXT}, "approval": True}}) as guard:
        asyncio.run(main(guard))
    assert paid == ["bob", "eve"]


def test_many_threads_go_on_and_one_runs(guard: Guard, payments: Payments) -> None:
    pay = guard.wrap(payments.pay)
    approval_id = asked_in_a_run(guard, pay, "bob", 500)
    answer(guard, approval_id)
    told: list[Any] = []
    start = threading.Barrier(8)

    def go() -> None:
        start.wait()
        try:
            told.append(guard.proceed(approval_id))
        except CallRepeated as repeated:
            told.append(repeated.status)

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert payments.paid == [("bob", 500)]
    assert set(told) <= {"paid 500 to bob", "running"} and "paid 500 to bob" in told


def test_langchain_and_openai_tools_are_gone_on_with_too() -> None:
    paid: list[str] = []

    @langchain_tool
    def pay(to: str, cents: float) -> str:
        """Pay somebody."""
        paid.append(f"{to} {cents!r}")
        return "paid"

    with guard_of({"pay": {**PAY, "args": {"to": TEXT, "cents": {"type": "number"}}}}) as guard:
        guarded = guard.wrap(pay)
        with guard.run("w"):
            asking = {"name": "pay", "args": {"to": "bob", "cents": 5.0}, "id": "c1", "type": "tool_call"}
            approval_id = guarded.invoke(asking).artifact["approval_id"]
            answer(guard, approval_id)
            assert guard.proceed(approval_id) == "paid"
            assert paid == ["bob 5.0"]

    def payout(to: str, cents: int) -> str:
        """Pay somebody."""
        paid.append(to)
        return "paid"

    with guard_of({"payout": PAY}) as guard:
        tools = OpenAITools(guard, [payout])
        with guard.run("w"):
            call = chat_call("c1", "payout", '{"to": "eve", "cents": 1}')
            tools.answer(ChatCompletion.model_validate(chat(call)))
            (row,) = guard.operations.approvals()
            answer(guard, row.request.id)
            assert guard.proceed(row.request.id) == "paid"
    assert paid == ["bob 5.0", "eve"]


def bundle(folder: Path) -> Path:
    (folder / "policy").mkdir(exist_ok=True)
    for name, text in small_bundle(POLICY).items():
        (folder / "policy" / name).write_text(text)
    return folder / "policy"


CHILD = """
import sys
from agentguard import CallRepeated, Guard
folder, home, paid, approval_id = sys.argv[1:]
def pay(to: str, cents: int) -> str:
    '''Pay somebody.'''
    with open(paid, "a") as file:
        file.write(f"{to} {cents}\\n")
    return "paid"
with Guard.load(folder, home=home) as guard:
    guard.wrap(pay)
    try:
        print(guard.proceed(approval_id))
    except CallRepeated as repeated:
        print(repeated.status)
"""


def test_other_processes_go_on_and_one_runs(tmp_path: Path) -> None:
    """Also where the policy was read anew there, and where whoever asked is gone."""
    folder, home, paid = bundle(tmp_path), tmp_path / "home", tmp_path / "paid"
    payments = Payments()
    with Guard.load(folder, home=home) as guard:

        def pay(to: str, cents: int) -> str:
            """Pay somebody."""
            return payments.pay(to, cents)

        approval_id = asked_in_a_run(guard, guard.wrap(pay), "bob", 500)
        answer(guard, approval_id)
    command = [sys.executable, "-c", CHILD, str(folder), str(home), str(paid), approval_id]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = sorted(child.communicate(timeout=60)[0].strip() for child in children)
    assert set(told) <= {"paid", "running"} and "paid" in told, told
    assert paid.read_text() == "bob 500\n"
    assert payments.paid == []
