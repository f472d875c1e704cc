"""A call whose arguments cannot be read runs nothing, leaves a denial on record, and gets its framework's own error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from guard.conftest import FILES, Clock
from langchain_core.tools import BaseTool, tool
from left_out import left_out
from openai.lib.responses_tool_runner import RegisteredFunction
from pydantic import ValidationError

from agentguard.errors import LedgerError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.integrations.openai import OpenAITools
from agentguard.integrations.openai.calls import CUSTOM, CUT_SHORT, DUPLICATE
from agentguard.integrations.openai.tools import NO_SUCH_TOOL
from agentguard.ledger import memory_ledger

SECRET = -1_234.25  # not a text, so it does not fit; and it must show up nowhere


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    files = dict(FILES)
    files["customer-export.yaml"] += "raise_risk:\n  - {to: high, after: {denials: 2, within: 10m}}\n"
    directory = tmp_path / "policy"
    directory.mkdir()
    for name, text in files.items():
        (directory / name).write_text(text)
    with Guard.load(directory, ledger=memory_ledger(), home=tmp_path / "home", clock=Clock()) as made:
        yield made


@pytest.fixture
def run(guard: Guard) -> Iterator[None]:
    with guard.run("customer-export", inputs={"ticket": "EXP-7"}):
        yield


def get_ticket(ticket_id: str) -> dict[str, Any]:
    """Look a ticket up."""
    raise AssertionError("it ran")


async def _async(ticket_id: str) -> dict[str, Any]:
    """Look a ticket up."""
    raise AssertionError("it ran")


def _generator(ticket_id: str) -> Iterator[str]:
    """Look a ticket up."""
    raise AssertionError("it ran")
    yield ""


async def _asyncgen(ticket_id: str) -> AsyncIterator[str]:
    """Look a ticket up."""
    raise AssertionError("it ran")
    yield ""


for _function in (_async, _generator, _asyncgen):
    _function.__name__ = "get_ticket"


async def _first(items: AsyncIterator[Any]) -> Any:
    return await anext(items)


def denials(guard: Guard) -> list[dict[str, Any]]:
    return [dict(item) for item in guard.records() if item["kind"] == "decision"]


def the_denial(guard: Guard, *, call_id: str | None = None) -> dict[str, Any]:
    (found,) = denials(guard)
    assert found["effect"] == "deny" and "arguments_invalid" in found["reasons"]
    assert found["arguments"] == {} and left_out(json.dumps(found), str(SECRET))
    assert found["call_id"] == call_id
    return found


PYTHON: list[tuple[Any, Callable[[Any, Any], Any]]] = [
    (get_ticket, lambda f, value: f(value)),
    (_async, lambda f, value: asyncio.run(f(value))),
    (_generator, lambda f, value: next(f(value))),
    (_asyncgen, lambda f, value: asyncio.run(_first(f(value)))),
]


@pytest.mark.parametrize(("function", "call"), PYTHON, ids=["function", "async", "generator", "asyncgen"])
@pytest.mark.parametrize("value", [SECRET, float("nan")], ids=["another type", "no JSON"])
def test_a_function_given_what_does_not_fit_leaves_a_denial(
    function: Any, call: Callable[[Any, Any], Any], value: Any, guard: Guard, run: None
) -> None:
    """Whoever probes a tool with arguments of every shape must be seen to."""
    with pytest.raises(ToolCallDenied) as refused:
        call(guard.wrap(function), value)

    found = the_denial(guard)
    assert isinstance(refused.value.__cause__, ValidationError)
    assert refused.value.decision_id == found["decision_id"]
    assert found["tool"] == "tickets.get" and found["run_id"] and found["assertion_id"]
    assert "could not be read: ValidationError at `ticket_id` (string_type)" in [
        finding["detail"] for finding in found["findings"]
    ]


@pytest.mark.parametrize(("function", "call"), PYTHON, ids=["function", "async", "generator", "asyncgen"])
def test_a_function_called_with_other_arguments_leaves_a_denial(
    function: Any, call: Callable[[Any, Any], Any], guard: Guard, run: None
) -> None:
    """A loop that catches refusals goes on; the record names what was wrong, and nothing that was right."""
    with pytest.raises(ToolCallDenied) as refused:
        call(lambda value: guard.wrap(function)(value, also=1), SECRET)

    found = the_denial(guard)
    assert isinstance(refused.value.__cause__, TypeError)
    assert [finding["detail"] for finding in found["findings"]] == [
        "could not be read: Misnamed at `also` (unexpected)"
    ]


def test_a_generator_is_denied_when_it_is_called(guard: Guard, run: None) -> None:
    """As Python does with its arguments. Whoever probes it without reading an item must be seen to."""
    with pytest.raises(ToolCallDenied):
        guard.wrap(_generator)(SECRET)

    the_denial(guard)


LANGCHAIN: list[Callable[[BaseTool, Any], Any]] = [
    lambda t, args: t.invoke({"type": "tool_call", "id": "call-7", "name": t.name, "args": args}),
    lambda t, args: asyncio.run(t.ainvoke({"type": "tool_call", "id": "call-7", "name": t.name, "args": args})),
]


@pytest.mark.parametrize("function", [get_ticket, _async], ids=["function", "coroutine"])
@pytest.mark.parametrize("invoke", LANGCHAIN, ids=["invoke", "ainvoke"])
def test_a_langchain_call_that_does_not_fit_leaves_a_denial(
    invoke: Callable[[BaseTool, Any], Any], function: Any, guard: Guard, run: None
) -> None:
    """With the id of the model's call; LangChain words its own error."""
    guarded = guard.wrap(tool(function))
    with pytest.raises(ValidationError):
        invoke(guarded, {"ticket_id": SECRET})

    assert the_denial(guard, call_id="call-7")["framework"] == "langchain"


def test_langchains_own_answer_to_bad_arguments_is_kept(guard: Guard, run: None) -> None:
    """A tool may turn validation errors into text for the model; the denial stands all the same."""
    made = tool(get_ticket)
    made.handle_validation_error = True
    guarded = guard.wrap(made)

    assert guarded.invoke({"ticket_id": SECRET}) == "Tool input validation error"
    the_denial(guard)


def test_the_functions_of_a_langchain_tool_record_it_too(guard: Guard, run: None) -> None:
    """`func` and `coroutine` are doors like any other."""
    guarded = guard.wrap(tool(get_ticket))
    with pytest.raises(TypeError):
        guarded.func(other=SECRET)
    waiting = guard.wrap(tool(_async))
    with pytest.raises(TypeError):
        asyncio.run(waiting.coroutine(other=SECRET))

    assert ["arguments_invalid" in item["reasons"] for item in denials(guard)] == [True, True]


def items(name: str, arguments: str, call_id: str = "c1") -> list[dict[str, Any]]:
    return [{"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}]


def answered(tools: OpenAITools, message: Any, asynchronous: bool) -> str:
    answers = asyncio.run(tools.aanswer(message)) if asynchronous else tools.answer(message)
    return str(json.loads(answers[0]["output"])["error"])


@pytest.mark.parametrize("asynchronous", [False, True], ids=["answer", "aanswer"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('{"ticket_id": 1234567890}', "do not fit"),
        ('{"ticket_id": "EXP-7", "ticket_id": "EXP-8"}', "cannot be read"),
        ('{"ticket_id": ', "cannot be read"),
        ("[1234567890]", "not a JSON object"),
        ('{"ticket_id": "EXP-7", "also": 1234567890}', "do not fit"),
    ],
)
def test_an_openai_call_that_cannot_be_read_leaves_a_denial(
    arguments: str, says: str, asynchronous: bool, guard: Guard, run: None
) -> None:
    """The model is told what is wrong, as before; security sees that it happened."""
    tools = OpenAITools(guard, [get_ticket])

    assert says in answered(tools, items("get_ticket", arguments), asynchronous)
    found = the_denial(guard, call_id="c1")
    assert found["framework"] == "openai" and found["tool"] == "tickets.get"


@pytest.mark.parametrize("asynchronous", [False, True], ids=["answer", "aanswer"])
def test_a_call_of_a_tool_that_nobody_offered_leaves_a_denial(asynchronous: bool, guard: Guard, run: None) -> None:
    """A model that tries names is a model to look at. The name is on record, cut to what a name may be long."""
    tools = OpenAITools(guard, [get_ticket])

    assert answered(tools, items("drop_everything" + "!" * 10_000, "{}"), asynchronous) == NO_SUCH_TOOL
    found = the_denial(guard, call_id="c1")
    assert "tool_unknown" in found["reasons"] and "tool_changed" not in found["reasons"]
    assert found["tool"].startswith("drop_everything!") and len(found["tool"]) == 128


def test_a_name_and_an_id_with_half_a_character_leave_a_denial(guard: Guard, run: None) -> None:
    """JSON can spell half a surrogate pair, and no record can hold one: it is written as what it is."""
    tools = OpenAITools(guard, [get_ticket])
    (answer,) = tools.answer([{**items("x", "{}")[0], "name": "drop\ud800", "call_id": "c\udfff"}])

    assert NO_SUCH_TOOL in answer["output"] and answer["call_id"] == "c\udfff"
    assert the_denial(guard, call_id="c\\udfff")["tool"] == "drop\\ud800"


def test_a_tool_of_the_bundle_that_was_not_offered_here_is_denied_under_its_name(guard: Guard, run: None) -> None:
    """The agent has fewer tools than the bundle; the record says which one it reached for."""
    tools = OpenAITools(guard, [get_ticket])

    assert answered(tools, items("export_orders", "{}"), False) == NO_SUCH_TOOL
    assert the_denial(guard, call_id="c1")["tool"] == "warehouse.export"


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (items("get_ticket", '{"ticket_id": "EXP-7"}') * 2, DUPLICATE),
        ([{**items("get_ticket", '{"ticket_id": "EXP-7"}')[0], "status": "incomplete"}], CUT_SHORT),
        ([{"type": "custom_tool_call", "call_id": "c1", "name": "shell", "input": "rm"}], CUSTOM),
    ],
)
def test_a_call_that_was_not_even_tried_leaves_a_denial(message: Any, problem: str, guard: Guard, run: None) -> None:
    """The finding says in words of our own why nothing ran."""
    tools = OpenAITools(guard, [get_ticket])

    assert answered(tools, message, False) == problem
    assert problem in [finding["detail"] for finding in the_denial(guard, call_id="c1")["findings"]]


def test_the_clients_own_tool_runner_leaves_a_denial(guard: Guard, run: None) -> None:
    """The runner hands over parsed arguments; they may still not fit."""
    definition: Any = {
        "type": "function",
        "name": "get_ticket",
        "parameters": {
            "type": "object",
            "properties": {"ticket_id": {"type": "string"}},
            "required": ["ticket_id"],
            "additionalProperties": False,
        },
        "strict": True,
    }
    (guarded,) = guard.wrap([RegisteredFunction(definition, lambda values: "it ran")])

    assert "do not fit" in guarded.execute({"ticket_id": SECRET})
    the_denial(guard)


def test_denials_of_unreadable_calls_raise_the_runs_risk(guard: Guard, run: None) -> None:
    """Probing with broken arguments is what the rule is there for."""
    guarded = guard.wrap(get_ticket)
    for _ in range(2):
        with pytest.raises(ToolCallDenied):
            guarded(SECRET)

    assert [item.risk.word for item in guard.operations.runs()] == ["high"]


def test_an_unreadable_call_outside_a_run_leaves_a_denial(guard: Guard) -> None:
    """There is no run to attach it to; the record says so."""
    with pytest.raises(ToolCallDenied):
        guard.wrap(get_ticket)(SECRET)

    assert "no_run" in the_denial(guard)["reasons"]


def test_where_the_denial_cannot_be_recorded_the_error_is_the_ledgers(guard: Guard) -> None:
    """Operations must hear of a ledger that is shut, whatever the caller did wrong."""
    guarded, tools = guard.wrap(get_ticket), OpenAITools(guard, [get_ticket])
    guard.ledger.shut()

    with pytest.raises(LedgerError):
        guarded(SECRET)
    for message in (items("get_ticket", "["), items("no_such", "{}")):
        with pytest.raises(LedgerError):
            tools.answer(message)
