"""The hint of a refusal, through every door: the same text for every variant of a call in one state of a run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any

import pytest
from langchain_core.tools import StructuredTool
from small_bundle import TEXT, WHOLE, guard_of

from agentguard.errors import PolicyError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.integrations.openai import OpenAITools

FIRST = "look the customer's profile up first"
TOOLS = {
    "profile": {"args": {"user": TEXT}, "keep": {"user": "result.id"}},
    "change": {
        "args": {"user": TEXT, "amount": WHOLE, "note": {**TEXT, "optional": True}},
        "effect": "write",
        "require": [{"that": "args.user == kept.user", "hint": FIRST}, "args.amount <= 100"],
        "hint": "a change of more than 100 needs a colleague",
        "at_most": 1,
    },
}


def profile(user: str) -> dict[str, str]:
    """Look a profile up."""
    return {"id": user}


def change(user: str, amount: int) -> str:
    """Change an order."""
    return "done"


@pytest.fixture
def guard() -> Iterator[Guard]:
    with guard_of(TOOLS) as made:
        yield made


def refusal(call: Any) -> ToolCallDenied:
    with pytest.raises(ToolCallDenied) as refused:
        call()
    return refused.value


def test_a_thousand_variants_of_arguments_in_one_state_get_the_same_hint(guard: Guard) -> None:
    """Else an attacker finds out by the text which arguments would pass."""
    look, guarded = guard.wrap([profile, change])
    random = Random(7)

    def variants() -> Iterator[dict[str, Any]]:
        for _ in range(500):
            yield {
                "user": random.choice(["ann", "eve", "", "x" * 50, "ann\n"]),
                "amount": random.choice([-1, 0, 101, 10**9, "1", True, None, 1.5, [1]]),
                **({"other": 1} if random.random() < 0.2 else {}),
            }

    with guard.run("w"):
        before = {refusal(partial(guarded, **given)).hint for given in variants()}
        look("ann")
        after = {refusal(partial(guarded, **{**given, "user": "eve"})).hint for given in variants()}

    assert before == {FIRST}
    assert after == {"a change of more than 100 needs a colleague"}


OPEN = "only an open order can be changed"


def test_each_hint_is_told_while_its_own_need_is_not_met() -> None:
    """A map by key may lack the one that is meant; a condition on what is kept says by itself whether it holds."""
    tools = {
        "order": {"args": {"id": TEXT}, "keep": {"orders": {"by": "args.id", "value": "result"}}},
        "profile": {"args": {"user": TEXT}, "keep": {"user": "result.id", "state": "result.state"}},
        "change": {
            "args": {"id": TEXT, "to": {**TEXT, "enum": "kept.user"}},
            "effect": "write",
            "hint": "look the profile up",
            "require": [
                {"that": "kept.orders[args.id].owner == kept.user", "hint": "look the order up first"},
                {"that": "kept.state == 'open'", "hint": OPEN},
            ],
        },
    }
    with guard_of(tools) as guard, guard.run("w"):

        def order(id: str) -> dict[str, str]:
            return {"owner": "ann"}

        def profile(user: str) -> dict[str, str]:
            return {"id": user, "state": "open" if user == "ann" else "shut"}

        def change(id: str, to: str) -> str:
            return "done"

        ask, look, guarded = guard.wrap([order, profile, change])
        both = f"look the order up first; {OPEN}"
        assert refusal(partial(guarded, "7", "ann")).hint == both
        look("ann")
        assert refusal(partial(guarded, "7", "ann")).hint == "look the order up first"
        ask("8")
        assert refusal(partial(guarded, "7", "ann")).hint == "look the order up first; look the profile up"
        look("eve")
        assert OPEN in str(refusal(partial(guarded, "8", "eve")).hint)


def test_the_hint_stands_in_the_record(guard: Guard) -> None:
    """The reviewer sees what the model was told; a permit tells nothing."""
    look, guarded = guard.wrap([profile, change])
    with guard.run("w"):
        refusal(lambda: guarded("ann", 5))
        look("ann")
        guarded("ann", 5)

    assert [record["hint"] for record in guard.records(kind="decision")] == [FIRST, None, None]


def test_langchain_tells_the_hint(guard: Guard) -> None:
    """As a ToolMessage where the call has an id, else as a ToolException."""
    guarded = guard.wrap(StructuredTool.from_function(change))
    call = {"type": "tool_call", "id": "c-1", "name": "change", "args": {"user": "ann", "amount": 5}}
    with guard.run("w"):
        said = guarded.invoke(dict(call))
        raised = refusal(lambda: guarded.invoke(call["args"]))

    assert said.content.endswith(f"; {FIRST}")
    assert str(raised).endswith(f"; {FIRST}")


def test_openai_tells_the_hint(guard: Guard) -> None:
    """In the answer to the call."""
    tools = OpenAITools(guard, [change])
    asked = {
        "role": "assistant",
        "tool_calls": [
            {"id": "c-1", "type": "function", "function": {"name": "change", "arguments": '{"user":"a","amount":5}'}}
        ],
    }
    with guard.run("w"):
        (answer,) = tools.answer(asked)

    assert answer["content"].endswith(f"; {FIRST}")


@pytest.mark.parametrize("text", ["", " first", "first ", "two\nlines", "x" * 301, "\x07", 7])
def test_a_hint_is_one_short_line(text: object) -> None:
    """It is put between a decision's id and whatever the framework adds."""
    with pytest.raises(PolicyError), guard_of({"change": {**TOOLS["change"], "hint": text}}):
        pass
