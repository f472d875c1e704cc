"""A call runs once: the same call of the same message gets what the first gave out, or is told how far it has come."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from small_bundle import WHOLE, guard_of

from agentguard import ApprovalPending, CallRepeated, ToolCallDenied
from agentguard.guard import Guard
from agentguard.integrations.openai import OpenAITools

WRITES = {"pay": {"args": {"cents": WHOLE}, "effect": "write", "at_most": 1}}


def completion(message_id: str, *calls: tuple[str, str, str]) -> ChatCompletion:
    made = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in calls
    ]
    message = {"role": "assistant", "content": None, "tool_calls": made}
    choices = [{"index": 0, "finish_reason": "tool_calls", "message": message}]
    whole = {"id": message_id, "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
    return ChatCompletion.model_validate(whole)


def response(message_id: str, *calls: tuple[str, str, str]) -> Response:
    output = [
        {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name, "arguments": arguments}
        for call_id, name, arguments in calls
    ]
    whole = {
        "id": message_id, "object": "response", "created_at": 1, "model": "m", "output": output, "status": "completed",
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    }  # fmt: skip
    return Response.model_validate(whole)


class Payments:
    """Tools that note what they did."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.answer: Any = "paid"

    def pay(self, cents: int) -> Any:
        """Pay."""
        self.paid.append(cents)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def apay(self, cents: int) -> Any:
        """Pay."""
        return self.pay(cents)


def outcomes(guard: Guard) -> list[str]:
    return [each["outcome"] for each in guard.records(kind="outcome")]


def made_by(guard: Guard, payments: Payments, way: str) -> Callable[..., Any]:
    """``call(cents, message, id)`` in one of the ways that adapters make a call; what it says, or raises."""
    if way == "function":
        pay = guard.wrap(payments.pay)

        def by_function(run: Any, cents: int, message: str = "m1", call_id: str = "c1") -> Any:
            with run.turn(message, call_id):
                return pay(cents)

        return by_function
    if way == "async function":
        apay = guard.wrap(payments.apay)

        def by_async(run: Any, cents: int, message: str = "m1", call_id: str = "c1") -> Any:
            async def made() -> Any:
                async with run.turn(message, call_id):
                    return await apay(cents)

            return asyncio.run(made())

        return by_async
    tools = OpenAITools(guard, [payments.pay])
    make = completion if way.startswith("chat") else response

    def by_openai(run: Any, cents: int, message: str = "m1", call_id: str = "c1") -> Any:
        made = make(message, (call_id, "pay", f'{{"cents": {cents}}}'))
        found = asyncio.run(tools.aanswer(made)) if way.endswith("async") else tools.answer(made)
        return found[0].get("content") or found[0].get("output")

    return by_openai


WAYS = ["function", "async function", "chat", "chat async", "responses", "responses async"]


def a_guard(**of_tool: Any) -> Any:
    policy = {"pay": {**WRITES["pay"], **of_tool}}
    return guard_of({**policy, "apay": policy["pay"]})


@pytest.mark.parametrize("way", WAYS)
def test_the_same_call_of_the_same_message_gets_the_stored_answer(way: str) -> None:
    payments = Payments()
    with a_guard() as guard, guard.run("w") as run:
        call = made_by(guard, payments, way)
        assert [call(run, 5), call(run, 5)] == ["paid", "paid"]
        assert payments.paid == [5]
        assert outcomes(guard) == ["succeeded"]
        first, *_ = guard.records(kind="decision")
        (again,) = guard.records(kind="repetition")
        assert (again["effect"], again["repeats"]) == ("permit", first["decision_id"])
        assert again["decision_id"] != first["decision_id"]


NEAR_MISSES: Mapping[str, tuple[dict[str, Any], ...]] = {
    "another message": ({"message": "m2"},),
    "another id": ({"call_id": "c2"},),
    "the id of the other": ({"message": "c1", "call_id": "m1"},),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("other", NEAR_MISSES.values(), ids=NEAR_MISSES)
def test_another_message_or_id_is_another_call(way: str, other: tuple[dict[str, Any], ...]) -> None:
    payments = Payments()
    with a_guard(at_most=2) as guard, guard.run("w") as run:
        call = made_by(guard, payments, way)
        call(run, 5)
        call(run, 5, **other[0])
        assert payments.paid == [5, 5]
        assert not [*guard.records(kind="repetition")]


@pytest.mark.parametrize("way", ["function", "chat", "responses"])
def test_one_id_with_other_arguments_is_refused_with_a_code_of_its_own(way: str) -> None:
    payments = Payments()
    with a_guard(at_most=2) as guard, guard.run("w") as run:
        call = made_by(guard, payments, way)
        call(run, 5)
        try:
            said = call(run, 6)
        except ToolCallDenied as refused:
            said = str(refused)
        assert "not allowed" in said
        assert payments.paid == [5]
        assert [each["reasons"] for each in guard.records(kind="decision", effect="deny")] == [["call_differs"]]


def test_calls_without_a_turn_match_nothing() -> None:
    """Bare items, a message alone, the id left empty, and plain functions: they run as often as they are made."""
    payments = Payments()
    with a_guard(at_most=9) as guard, guard.run("w"):
        tools, pay = OpenAITools(guard, [payments.pay]), guard.wrap(payments.apay)
        bare = response("m1", ("c1", "pay", '{"cents": 1}')).output
        alone = completion("m1", ("c1", "pay", '{"cents": 2}')).choices[0].message
        for _ in range(2):
            tools.answer(bare)
            tools.answer(alone)
            tools.answer(completion("m1", ("", "pay", '{"cents": 3}')))
            asyncio.run(pay(4))
        assert payments.paid == [1, 2, 3, 4, 1, 2, 3, 4]


def test_the_turn_that_is_open_names_the_message_of_bare_items() -> None:
    payments = Payments()
    with a_guard() as guard, guard.run("w") as run:
        tools = OpenAITools(guard, [payments.pay])
        bare = response("m1", ("c1", "pay", '{"cents": 1}')).output
        for _ in range(2):
            with run.turn("m1"):
                assert tools.answer(bare)[0]["output"] == "paid"
        assert payments.paid == [1]


KEPT: list[Any] = [
    "", "grüße \u2028", None, True, 0, -0.0, 1.0, 1e300, 2**80, [], {}, {"b": 1, "a": [1.0, "1", None]}, ["x"] * 1000,
]  # fmt: skip


@pytest.mark.parametrize("answer", KEPT, ids=lambda value: repr(value)[:30])
def test_the_stored_answer_is_equal_in_value_and_type(answer: Any) -> None:
    payments = Payments()
    payments.answer = answer
    with a_guard() as guard, guard.run("w") as run:
        call = made_by(guard, payments, "function")
        first, again = call(run, 5), call(run, 5)
        assert repr(again) == repr(first)
        assert payments.paid == [5]


class Number(int):
    pass


NOT_KEPT: dict[str, Any] = {
    "a tuple": (1, 2),
    "a subclass": Number(3),
    "bytes": b"x",
    "not a number": float("nan"),
    "a key that is no text": {1: "x"},
    "half a character": "\ud800",
    "too large": "x" * (64 * 1024),
    "a credential": "postgres://bob:hunter22secret@db.example/x",
}


@pytest.mark.parametrize("answer", NOT_KEPT.values(), ids=NOT_KEPT)
def test_what_cannot_be_kept_is_told_as_succeeded(answer: Any) -> None:
    payments = Payments()
    payments.answer = answer
    with a_guard() as guard, guard.run("w") as run:
        call = made_by(guard, payments, "function")
        call(run, 5)
        with pytest.raises(CallRepeated) as told:
            call(run, 5)
        (first,) = guard.records(kind="decision")
        (again,) = guard.records(kind="repetition")
        expected = ("succeeded", again["decision_id"], first["decision_id"])
        assert (told.value.status, told.value.decision_id, told.value.repeats) == expected
        assert payments.paid == [5]


def test_what_one_run_keeps_is_bounded() -> None:
    payments = Payments()
    payments.answer = "x" * (60 * 1024)
    with a_guard(at_most=50) as guard, guard.run("w") as run:
        call = made_by(guard, payments, "function")
        for number in range(20):
            call(run, 5, call_id=str(number))
        kept = 0
        for number in range(20):
            try:
                kept += call(run, 5, call_id=str(number)) == payments.answer
            except CallRepeated as told:
                assert told.status == "succeeded"
        assert kept == 16  # of 61 KiB each
        assert len(payments.paid) == 20


@pytest.mark.parametrize("of_tool", [{"keep_answer": False}, {"personal_results": ["name"]}])
def test_a_tool_can_be_kept_from_storing_answers(of_tool: dict[str, Any]) -> None:
    payments = Payments()
    with a_guard(tool=of_tool) as guard, guard.run("w") as run:
        call = made_by(guard, payments, "function")
        call(run, 5)
        with pytest.raises(CallRepeated):
            call(run, 5)
        assert not any("answer" in guard.ledger.private(each["seq"]).result() for each in guard.records())


@pytest.mark.parametrize("way", ["function", "chat"])
def test_a_call_that_failed_is_told_again_and_not_made_again(way: str) -> None:
    payments = Payments()
    payments.answer = ValueError("no such account")
    with a_guard(at_most=5) as guard, guard.run("w") as run:
        call = made_by(guard, payments, way)
        for _ in range(3):
            try:
                said = call(run, 5)
            except CallRepeated as told:
                said, status = str(told), told.status
                assert status == "failed"
            except ValueError as error:
                said = str(error)
        assert "failed" in said
        assert payments.paid == [5]
        assert outcomes(guard) == ["failed"]


@pytest.mark.parametrize("of", [{"effect": "read"}, {"tool": {"failure_did_nothing": True}}])
def test_a_failure_that_did_nothing_is_tried_again_and_counted_anew(of: dict[str, Any]) -> None:
    payments = Payments()
    payments.answer = ValueError("busy")
    with a_guard(at_most=2, **of) as guard, guard.run("w") as run:
        call = made_by(guard, payments, "function")
        for _ in range(2):
            with pytest.raises(ValueError, match="busy"):
                call(run, 5)
        with pytest.raises(ToolCallDenied):
            call(run, 5)
        assert payments.paid == [5, 5]


def test_a_failure_that_was_returned_is_told_again() -> None:
    payments = Payments()
    payments.answer = {"isError": True, "content": "closed"}
    with a_guard() as guard, guard.run("w") as run:
        call = made_by(guard, payments, "function")
        assert call(run, 5) == call(run, 5) == payments.answer
        assert payments.paid == [5]
        assert outcomes(guard) == ["failed"]


def test_a_call_that_is_under_way_is_told_so() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def pay(cents: int) -> str:
        inside.set()
        assert go_on.wait(60)
        return "paid"

    with a_guard() as guard, guard.run("w") as run, ThreadPoolExecutor(1) as pool:
        paying = guard.wrap(pay)

        def once() -> Any:
            with run.turn("m1", "c1"):
                return paying(5)

        first = pool.submit(run.carry(once))
        assert inside.wait(60)
        with pytest.raises(CallRepeated) as told:
            once()
        go_on.set()
        assert told.value.status == "running"
        assert first.result() == once() == "paid"


def test_of_many_threads_with_the_same_call_exactly_one_runs_it() -> None:
    payments = Payments()
    with a_guard(at_most=50) as guard, guard.run("w") as run, ThreadPoolExecutor(8) as pool:
        call = made_by(guard, payments, "function")

        def once(_: int) -> str:
            try:
                return str(call(run, 5))
            except CallRepeated as told:
                return told.status

        said = set(pool.map(run.carry(once), range(40)))
        assert payments.paid == [5]
        assert said <= {"paid", "running"}


def test_a_call_that_waits_for_a_person_waits_for_the_same_answer() -> None:
    payments = Payments()
    with a_guard(approval=True) as guard:
        with guard.run("w", requester="user:eli") as run:
            call = made_by(guard, payments, "function")
            asked = []
            for _ in range(2):
                with pytest.raises(ApprovalPending) as pending:
                    call(run, 5)
                asked.append(pending.value.approval_id)
        assert asked[0] == asked[1]
        guard.operations.answer(asked[0], approver="user:dana", approve=True)
        with guard.resume(run.id) as resumed:
            assert [call(resumed, 5), call(resumed, 5)] == ["paid", "paid"]
        assert payments.paid == [5]


def test_it_is_decided_all_the_same() -> None:
    """A run that was stopped tells nobody anything any more."""
    payments = Payments()
    with a_guard() as guard, guard.run("w") as run:
        call = made_by(guard, payments, "function")
        call(run, 5)
        guard.operations.stop_run(run.id, by="user:dana", why="odd")
        with pytest.raises(ToolCallDenied):
            call(run, 5)
        assert [each["reasons"] for each in guard.records(effect="deny")] == [["run_stopped"]]
        assert not any(
            "answer" in guard.ledger.private(each["seq"]).result()
            for each in guard.records()
            if guard.ledger.private(each["seq"]).result().get("answer") is not None
        )


def test_what_was_given_out_goes_with_the_run() -> None:
    payments = Payments()
    with a_guard() as guard:
        with guard.run("w") as run:
            made_by(guard, payments, "function")(run, 5)
            held = [guard.ledger.private(each["seq"]).result().get("answer") for each in guard.records()]
            assert '"paid"' in held
        held = [guard.ledger.private(each["seq"]).result().get("answer") for each in guard.records()]
        assert set(held) == {None}
