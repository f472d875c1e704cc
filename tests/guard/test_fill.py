"""Arguments that the guard fills, through every door: what is judged, recorded and run holds them."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.tools import StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from openai import pydantic_function_tool
from openai.lib.responses_tool_runner import RegisteredFunction
from pydantic import BaseModel
from small_bundle import TEXT, guard_of

from agentguard.errors import ToolCallDenied
from agentguard.guard import Guard
from agentguard.integrations.openai import OpenAITools

NUMBER = {"type": "number"}
LOOK = {"args": {"user": TEXT}, "keep": {"account": "result.account"}}
PAY = {
    "effect": "send",
    "args": {"account": {**TEXT, "fill": "kept.account"}, "amount": NUMBER, "note": {**TEXT, "null_is_absent": True}},
}
STRICT = {
    "type": "object",
    "properties": {"account": TEXT, "amount": NUMBER, "note": {"type": ["string", "null"]}},
    "required": ["account", "amount", "note"],
    "additionalProperties": False,
}


class Pay(BaseModel):
    """Pay."""

    account: str
    amount: float
    note: str | None = None


class Desk:
    """A bank that remembers what it was asked."""

    def __init__(self) -> None:
        self.paid: list[tuple[Any, ...]] = []

    def functions(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        def look(user: str) -> dict[str, str]:
            """Look a user up."""
            return {"account": f"acc-{user}"}

        def pay(account: str, amount: float, note: str | None = None) -> str:
            """Pay."""
            self.paid.append((account, amount, note))
            return "paid"

        return look, pay


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def guard() -> Iterator[Guard]:
    with guard_of({"look": LOOK, "pay": PAY}) as made:
        yield made


def reasons(guard: Guard) -> list[str]:
    return list(guard.records(kind="decision"))[-1]["reasons"]


def test_the_model_leaves_out_what_the_guard_fills(guard: Guard, desk: Desk) -> None:
    """What was judged, recorded and run is the filled call."""
    look, pay = map(guard.wrap, desk.functions())
    with guard.run("w"):
        look("ann")
        pay(amount=5)

    assert desk.paid == [("acc-ann", 5.0, None)]
    assert list(guard.records(kind="decision"))[-1]["arguments"] == {"account": "acc-ann", "amount": 5, "note": None}


def test_the_same_call_has_one_digest_whoever_gave_the_value(guard: Guard, desk: Desk) -> None:
    """An approval for one is an approval for the other: they are one call."""
    look, pay = map(guard.wrap, desk.functions())
    with guard.run("w"):
        look("ann")
        pay(amount=5)
        pay("acc-ann", 5)
        pay(amount=5, account=None, note=None)
        pay(amount=5, note="x")
    found = [record["request_digest"] for record in guard.records(kind="decision")][1:]

    assert found[0] == found[1] == found[2] != found[3]


@pytest.mark.parametrize("account", ["acc-eve", "acc-ann ", "ACC-ANN", "", "acc-annx"])
def test_another_value_than_is_filled_is_refused_and_recorded(guard: Guard, desk: Desk, account: str) -> None:
    """What the model tried stands in the record."""
    look, pay = map(guard.wrap, desk.functions())
    with guard.run("w"):
        look("ann")
        with pytest.raises(ToolCallDenied):
            pay(account, 5)

    assert desk.paid == [] and reasons(guard) == ["argument_is_filled"]
    assert list(guard.records(kind="decision"))[-1]["arguments"]["account"] == account


def test_a_source_that_holds_nothing_fills_nothing(guard: Guard, desk: Desk) -> None:
    """Neither nothing nor what the model says instead is taken."""
    _, pay = map(guard.wrap, desk.functions())
    with guard.run("w"):
        for call in (lambda: pay(amount=5), lambda: pay("acc-ann", 5)):
            with pytest.raises(ToolCallDenied):
                call()
            assert reasons(guard) == ["fill_unavailable"]

    assert desk.paid == []


def test_a_default_that_stands_where_nothing_can_be_filled_is_no_wrong_argument() -> None:
    """The reason is the source that is missing, and the hint says what to do about it."""
    with guard_of({"look": LOOK, "pay": {**PAY, "hint": "look the account up first"}}) as guard, guard.run("w"):

        def pay(amount: float, account: str | None = None, note: str | None = None) -> str:
            return str(account)

        (guarded,) = guard.wrap([pay])
        for given in ({}, {"account": None}):
            with pytest.raises(ToolCallDenied) as refused:
                guarded(amount=5.0, **given)
            assert refused.value.hint == "look the account up first"
            assert list(guard.records(kind="decision"))[-1]["reasons"] == ["fill_unavailable"]


def test_the_record_names_what_the_guard_has_filled(guard: Guard, desk: Desk) -> None:
    """By their names; a value that the model gave, it gave."""
    look, pay = guard.wrap([*desk.functions()])
    with guard.run("w"):
        look(user="ann")
        pay(amount=5.0)
        pay(amount=5.0, account="acc-ann")
    assert [record["filled"] for record in guard.records(kind="decision")] == [[], ["account"], []]


def test_what_is_filled_is_what_the_run_holds_now(guard: Guard, desk: Desk) -> None:
    """Kept values change while the run goes on."""
    look, pay = map(guard.wrap, desk.functions())
    with guard.run("w"):
        for user in ("ann", "bob"):
            look(user)
            pay(amount=1)

    assert [account for account, _, _ in desk.paid] == ["acc-ann", "acc-bob"]


def test_outside_a_run_nothing_is_filled(guard: Guard, desk: Desk) -> None:
    """There is nothing to fill it from."""
    _, pay = map(guard.wrap, desk.functions())
    with pytest.raises(ToolCallDenied):
        pay("acc-ann", 5)
    with pytest.raises(ToolCallDenied):
        pay(amount=5)

    assert desk.paid == []


def test_what_is_wrong_with_the_rest_of_the_call_is_told_as_ever(guard: Guard, desk: Desk) -> None:
    """Python's own errors, and a denial on record."""
    look, pay = map(guard.wrap, desk.functions())
    with guard.run("w"):
        look("ann")
        for call in (lambda: pay(), lambda: pay(amount="x"), lambda: pay(amount=1, other=2)):
            with pytest.raises((TypeError, ValueError)) as wrong:
                call()
            assert isinstance(wrong.value, ToolCallDenied) and reasons(guard) == ["arguments_invalid"]


def test_a_plain_function_is_shown_without_what_is_filled(guard: Guard, desk: Desk) -> None:
    """Frameworks read the signature and the annotations."""
    pay = guard.wrap(desk.functions()[1])

    assert list(inspect.signature(pay).parameters) == ["amount", "note"]
    assert "account" not in pay.__annotations__


def test_async_functions_and_streams_are_filled(guard: Guard) -> None:
    """Each kind of function has a door of its own."""
    ran: list[str] = []

    def look(user: str) -> dict[str, str]:
        return {"account": user}

    async def pay(account: str, amount: float, note: str | None = None) -> str:
        ran.append(account)
        return "paid"

    guarded = guard.wrap(look)
    apay = guard.wrap(pay)

    async def main() -> None:
        with guard.run("w"):
            guarded("ann")
            assert await apay(amount=1) == "paid"

    asyncio.run(main())
    with guard_of({"look": LOOK, "pay": PAY}) as other:

        def pay_all(account: str, amount: float, note: str | None = None) -> Iterator[str]:
            ran.append(account)
            yield "paid"

        pay_all.__name__ = "pay"
        look_again, paying = other.wrap(look), other.wrap(pay_all)
        with other.run("w"):
            look_again("bob")
            assert list(paying(amount=1)) == ["paid"]

    assert ran == ["ann", "bob"]


def langchain_tools(desk: Desk) -> list[Any]:
    pay = desk.functions()[1]
    schema = {**STRICT, "title": "pay", "required": ["account", "amount"]}
    return [
        StructuredTool.from_function(pay),
        StructuredTool.from_function(pay, args_schema=Pay, name="pay"),
        StructuredTool.from_function(pay, args_schema=schema, name="pay"),
    ]


@pytest.mark.parametrize("kind", range(3))
def test_langchain_fills_and_hides(guard: Guard, desk: Desk, kind: int) -> None:
    """Whatever the tool's schema is made of."""
    look, _ = desk.functions()
    guarded, tool = guard.wrap(look), guard.wrap(langchain_tools(desk)[kind])
    shown = convert_to_openai_tool(tool)["function"]["parameters"]
    with guard.run("w"):
        guarded("ann")
        tool.invoke({"amount": 5})
        tool.func(amount=5)
        asyncio.run(tool.ainvoke({"amount": 5, "account": "acc-ann"}))
        with pytest.raises(ToolCallDenied):
            tool.invoke({"amount": 5, "account": "acc-eve"})

    assert "account" not in json.dumps(shown) and shown["required"] == ["amount"]
    assert "account" not in tool.args
    assert [account for account, _, _ in desk.paid] == ["acc-ann"] * 3


def openai_definitions(desk: Desk) -> list[Any]:
    pay = desk.functions()[1]
    strict = {"type": "function", "function": {"name": "pay", "strict": True, "parameters": STRICT}}
    return [pay, (strict, pay), (pydantic_function_tool(Pay, name="pay"), lambda read: pay(**read.model_dump()))]


@pytest.mark.parametrize("kind", range(3))
def test_openai_fills_and_hides(guard: Guard, desk: Desk, kind: int) -> None:
    """Definitions of functions, of JSON Schemas in strict mode, and of models."""
    look, _ = desk.functions()
    guarded, tools = guard.wrap(look), OpenAITools(guard, [openai_definitions(desk)[kind]])
    (shown,) = tools.chat_tools
    asked = {"role": "assistant", "tool_calls": [
        {"id": "c-1", "type": "function", "function": {"name": "pay", "arguments": '{"amount": 5, "note": null}'}}
    ]}  # fmt: skip
    with guard.run("w"):
        guarded("ann")
        (answer,) = tools.answer(asked)

    assert answer["content"] == "paid" and [paid[:2] for paid in desk.paid] == [("acc-ann", 5)]
    assert "account" not in json.dumps(shown) and "amount" in shown["function"]["parameters"]["required"]


def test_a_registered_function_is_offered_without_what_is_filled(guard: Guard, desk: Desk) -> None:
    """The client's own runner would refuse arguments that its model lacks."""
    look, pay = desk.functions()
    definition: Any = {"type": "function", "name": "pay", "parameters": STRICT, "strict": True}
    registered = guard.wrap(RegisteredFunction(definition, lambda arguments: pay(**arguments)))
    guarded = guard.wrap(look)
    with guard.run("w"):
        guarded("ann")
        assert registered.execute({"amount": 5, "note": None}) == "paid"

    assert "account" not in json.dumps(registered.tool) and desk.paid == [("acc-ann", 5, None)]


# Steps of one tool that fill differently.

TWO = {
    "look": LOOK,
    "pay": PAY,
    "refund": {
        **PAY,
        "args": {"account": TEXT, "amount": {**NUMBER, "maximum": 10}, "note": {**TEXT, "optional": True}},
    },
}


@pytest.fixture
def two() -> Iterator[Guard]:
    with guard_of(TWO, tool_of={"refund": "pay"}) as made:
        yield made


def test_each_step_is_judged_with_its_own_filling(two: Guard, desk: Desk) -> None:
    """The first step in the file that permits is taken, each with the call as it wants it."""
    look, pay = map(two.wrap, desk.functions())
    with two.run("w"):
        pay("acc-bob", 5, "x")
        look("ann")
        pay(amount=50)
        pay("acc-bob", 5, "x")
        with pytest.raises(ToolCallDenied):
            pay("acc-bob", 50)

    assert [record["step"] for record in two.records(kind="decision")] == ["refund", "look", "pay", "refund", None]
    assert desk.paid == [("acc-bob", 5, "x"), ("acc-ann", 50, None), ("acc-bob", 5, "x")]
    assert set(reasons(two)) == {"argument_is_filled", "arguments_invalid"}


def test_each_filling_has_a_proof_of_its_own(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof that covers a call covers no other, and the call filled otherwise is another."""
    asked: list[str] = []
    bound = Guard.identity_at_once

    def at_once(self: Guard, digest: str, subject: str | None, now: Any) -> Any:
        asked.append(digest)
        return replace(bound(self, digest, subject, now), bound_to=digest)  # type: ignore[type-var]

    def pay(amount: float, account: str = "house") -> str:
        desk.paid.append((account, amount))
        return "paid"

    small = {**PAY, "args": {"account": {**TEXT, "fill": "kept.account"}, "amount": {**NUMBER, "maximum": 1}}}
    large = {**PAY, "args": {"account": TEXT, "amount": NUMBER}}
    monkeypatch.setattr(Guard, "identity_at_once", at_once)
    with guard_of({"look": LOOK, "pay": small, "house": large}, tool_of={"house": "pay"}) as guard, guard.run("w"):
        guarded, paying = guard.wrap(desk.functions()[0]), guard.wrap(pay)
        guarded("ann")
        paying(amount=5)
        paying(amount=1)

    assert desk.paid == [("house", 5.0), ("acc-ann", 1.0)]
    assert len(set(asked[-4:])) == 4


def test_what_only_some_steps_fill_may_be_left_out(two: Guard, desk: Desk) -> None:
    """In strict mode it may be null."""
    pay = desk.functions()[1]
    strict = {"type": "function", "function": {"name": "pay", "strict": True, "parameters": STRICT}}
    shown = OpenAITools(two, [(strict, pay)]).chat_tools[0]["function"]["parameters"]
    parameter = inspect.signature(two.wrap(pay)).parameters["account"]

    assert shown["properties"]["account"] == {"type": ["string", "null"]} and "account" in shown["required"]
    assert parameter.default is None and parameter.kind is parameter.KEYWORD_ONLY


def test_null_is_judged_as_null_where_nobody_says_that_it_is_absent(desk: Desk) -> None:
    """Null deletes in some tools."""
    plain = {**PAY, "args": {"account": TEXT, "amount": NUMBER, "note": {**TEXT, "optional": True}}}
    with guard_of({"pay": plain}) as guard, guard.run("w"), pytest.raises(ToolCallDenied):
        guard.wrap(desk.functions()[1])("a", 1)

    assert desk.paid == []


def test_where_null_is_absent_a_condition_sees_no_argument_and_the_tool_gets_its_own_default() -> None:
    """`has(args.note)` is false of both."""
    ran: list[Any] = []

    def pay(note: str | None = "none given") -> str:
        ran.append(note)
        return "paid"

    entry = {"args": {"note": {**TEXT, "null_is_absent": True}}, "require": ['!has(args.note) || args.note != "x"']}
    with guard_of({"pay": entry}) as guard, guard.run("w"):
        guarded = guard.wrap(pay)
        guarded()
        guarded(None)
        guarded("y")
        with pytest.raises(ToolCallDenied):
            guarded("x")

    assert ran == ["none given", "none given", "y"]
