"""The real openai client against a model on loopback: loops, streams, and the client's own tool runner."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI, pydantic_responses_function_tool
from openai.lib.responses_tool_runner import (
    AsyncRegisteredFunction,
    AsyncResponsesToolRunner,
    RegisteredFunction,
    ResponsesToolRunner,
)
from pydantic import BaseModel

from agentguard.errors import ConfigurationError
from agentguard.integrations.openai import (
    OpenAITools,
    StreamCut,
    aassemble_chat,
    aassemble_responses,
    assemble_chat,
    assemble_responses,
    wrap,
)
from integrations.conftest import Doorkeeper
from integrations.model_server import chat, chat_call, chunks, function_call, model_server, response, said

REFUSED = "this tool call was not allowed (decision `d-1`)"
ran: list[str] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    ran.clear()


def pay(to: str) -> str:
    """Pay somebody."""
    ran.append(to)
    return f"paid {to}"


def client(url: str) -> OpenAI:
    return OpenAI(api_key="none", base_url=url, max_retries=0)


def aclient(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="none", base_url=url, max_retries=0)


def test_a_chat_loop_runs_to_its_end(keeper: Doorkeeper) -> None:
    """Definitions out, calls in, answers appended, the model's last word."""
    keeper.permit()
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    calls = chat(chat_call("c1", "pay", '{"to": "bob"}'), chat_call("c2", "pay", '{"to": "eve"}'))
    with model_server(calls, chat(text="done")) as server:
        messages: list[Any] = [{"role": "user", "content": "pay them"}]
        while True:
            completion = client(server.url).chat.completions.create(
                model="m", messages=messages, tools=tools.chat_tools
            )
            messages.append(completion.choices[0].message)
            answers = tools.answer(completion)
            if not answers:
                break
            messages.extend(answers)

    assert messages[-1].content == "done"
    assert ran == ["bob", "eve"]
    sent = server.requests[1]["messages"]
    assert [item["content"] for item in sent if item["role"] == "tool"] == ["paid bob", "paid eve"]
    assert server.requests[0]["tools"][0]["function"]["name"] == "pay"


def test_a_responses_loop_runs_to_its_end(keeper: Doorkeeper) -> None:
    """The same over the other API."""
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    with model_server(response(function_call("c1", "pay", '{"to": "bob"}')), response(said("sorry"))) as server:
        api = client(server.url)
        first = api.responses.create(model="m", input="pay", tools=tools.responses_tools)
        follow = [*first.output, *tools.answer(first)]
        last = api.responses.create(model="m", input=follow, tools=tools.responses_tools)

    assert last.output_text == "sorry" and tools.answer(last) == []
    assert server.requests[1]["input"][-1] == {"type": "function_call_output", "call_id": "c1", "output": REFUSED}
    assert ran == []


SPLIT = chunks(
    {"role": "assistant", "content": "I "},
    {"content": "pay"},
    {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "pay", "arguments": ""}}]},
    {"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "pay", "arguments": '{"to": '}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": '{"to": "bob"}'}}]},
    {"tool_calls": [{"index": 1, "function": {"arguments": '"eve"}'}}]},
)


def test_a_streamed_chat_is_assembled_first(keeper: Doorkeeper) -> None:
    """Pieces of two calls arrive mixed; nothing runs before all of it is there."""
    keeper.permit()
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    with model_server(SPLIT, SPLIT) as server:
        stream = client(server.url).chat.completions.create(model="m", messages=[], stream=True)
        whole = assemble_chat(stream)

        async def assemble() -> Any:
            return await aassemble_chat(
                await aclient(server.url).chat.completions.create(model="m", messages=[], stream=True)
            )

        assert asyncio.run(assemble()) == whole

    assert whole["choices"][0]["message"]["content"] == "I pay"
    assert ran == []
    assert [answer["content"] for answer in tools.answer(whole)] == ["paid bob", "paid eve"]


def _piece(**function: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, **function}]}


FIRST = _piece(id="c1", type="function", function={"name": "pay", "arguments": '{"to": "bob"}'})
CUT = {
    "no end": chunks(FIRST, finish=None),
    "nothing": [],
    "another id": chunks(FIRST, _piece(id="c2")),
    "another name": chunks(FIRST, _piece(function={"name": "admin"})),
    "another type": chunks(FIRST, _piece(type="custom")),
    "after its end": [*chunks(FIRST), *chunks({"content": "x"})],
    "retired form": chunks({"function_call": {"name": "pay", "arguments": "{}"}}),
}


@pytest.mark.parametrize("events", CUT.values(), ids=CUT.keys())
def test_a_stream_that_is_cut_or_contradicts_itself_runs_nothing(events: Any) -> None:
    """Half a message is not a message."""
    with model_server(events) as server:
        stream = client(server.url).chat.completions.create(model="m", messages=[], stream=True)
        with pytest.raises(StreamCut):
            assemble_chat(stream)


def test_a_stream_of_several_choices_is_refused() -> None:
    """Which one would run?"""
    events = chunks({"content": "a"})
    events[0]["choices"][0]["index"] = 1
    with model_server(events) as server, pytest.raises(StreamCut, match="n=1"):
        assemble_chat(client(server.url).chat.completions.create(model="m", messages=[], stream=True))


def test_a_chat_stream_stopped_by_its_length_runs_nothing(keeper: Doorkeeper) -> None:
    """The end is there, but not the whole of the arguments."""
    keeper.permit()
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    with model_server(chunks(FIRST, finish="length")) as server:
        stream = client(server.url).chat.completions.create(model="m", messages=[], stream=True)
        (answer,) = tools.answer(assemble_chat(stream))

    assert "cut short" in answer["content"] and ran == []


def test_a_streamed_response_is_assembled_first(keeper: Doorkeeper) -> None:
    """The whole response comes with its last event; without one, nothing runs."""
    keeper.permit()
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    whole = response(function_call("c1", "pay", '{"to": "bob"}'))
    started = {
        "type": "response.created",
        "sequence_number": 0,
        "response": {**whole, "output": [], "status": "in_progress"},
    }
    done = {"type": "response.completed", "sequence_number": 1, "response": whole}
    stopped = {"type": "response.incomplete", "sequence_number": 1, "response": {**whole, "status": "incomplete"}}
    with model_server([started, done], [started, done], [started], [started, stopped]) as server:
        api = client(server.url)
        first = assemble_responses(api.responses.create(model="m", input="x", stream=True))

        async def assemble() -> Any:
            return await aassemble_responses(
                await aclient(server.url).responses.create(model="m", input="x", stream=True)
            )

        assert asyncio.run(assemble()) == first
        with pytest.raises(StreamCut):
            assemble_responses(api.responses.create(model="m", input="x", stream=True))
        short = assemble_responses(api.responses.create(model="m", input="x", stream=True))

    assert tools.answer(first)[0]["output"] == "paid bob"
    assert "cut short" in tools.answer(short)[0]["output"]
    assert ran == ["bob"]


DEFINITION: Any = {
    "type": "function", "name": "pay", "description": "Pay.", "strict": False,
    "parameters": {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]},
}  # fmt: skip


def _registered(keeper: Doorkeeper, source: str) -> Any:
    if source == "tools":
        return OpenAITools(keeper, [pay]).registered[0]  # type: ignore[arg-type]
    return wrap(keeper, RegisteredFunction(DEFINITION, lambda arguments: pay(**arguments), independent=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["tools", "wrapped"])
@pytest.mark.parametrize("permitted", [False, True])
def test_the_clients_own_tool_runner_calls_guarded_functions(source: str, permitted: bool, keeper: Doorkeeper) -> None:
    """The runner calls what was registered; that goes through the gate, and a refusal does not end the run."""
    function = _registered(keeper, source)
    if permitted:
        keeper.permit()
    script = (response(function_call("c1", "pay", '{"to": "bob"}')), response(said("done")))
    with model_server(*script) as server:
        runner = ResponsesToolRunner(functions=[function])
        result = runner.run(client(server.url), {"model": "m", "input": "pay"})

    assert result.output_text == "done"
    assert server.requests[1]["input"][-1]["output"] == ("paid bob" if permitted else REFUSED)
    assert ran == (["bob"] if permitted else [])
    assert keeper.arguments == [{"to": "bob"}]


def test_the_asynchronous_tool_runner_too(keeper: Doorkeeper) -> None:
    """Its functions are awaited."""
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    script = (response(function_call("c1", "pay", '{"to": "bob"}')), response(said("done")))
    with model_server(*script) as server:

        async def run() -> Any:
            return await AsyncResponsesToolRunner(functions=tools.async_registered).run(
                aclient(server.url), {"model": "m", "input": "pay"}
            )

        assert asyncio.run(run()).output_text == "done"
    assert server.requests[1]["input"][-1]["output"] == REFUSED and ran == []


def test_a_wrapped_registered_function_is_what_it_was(keeper: Doorkeeper) -> None:
    """The same class, definition and switches; copies of it are guarded too; the original is left alone."""
    original = RegisteredFunction(DEFINITION, lambda arguments: pay(**arguments), allow_output_override=True)
    guarded = wrap(keeper, original)  # type: ignore[arg-type]

    assert type(guarded) is RegisteredFunction and guarded.tool == DEFINITION and guarded.allow_output_override
    assert guarded.execute({"to": "bob"}) == dataclasses.replace(guarded).execute({"to": "bob"}) == REFUSED
    assert "Input" in guarded.execute({"to": 5}) or "not of type" in guarded.execute({"to": 5})
    assert json.loads(guarded.execute("x"))["error"] == "the arguments are not a JSON object"
    assert ran == [] and original.execute({"to": "bob"}) == "paid bob"
    with pytest.raises(ConfigurationError, match="guarded already"):
        wrap(keeper, guarded)  # type: ignore[arg-type]


def test_typed_registered_functions_get_their_model_back(keeper: Doorkeeper) -> None:
    """`from_tool` hands the body a pydantic model; ours is made again from what was judged."""

    class Pay(BaseModel):
        """Pay."""

        to: str

    async def typed(order: Any) -> str:
        return pay(order.to)

    made = AsyncRegisteredFunction.from_tool(pydantic_responses_function_tool(Pay), execute=typed)
    guarded = wrap(keeper, made)  # type: ignore[arg-type]
    assert asyncio.run(guarded.execute(Pay(to="bob"))) == REFUSED
    keeper.permit()

    assert asyncio.run(guarded.execute(Pay(to="bob"))) == "paid bob"
    assert keeper.arguments == [{"to": "bob"}] * 2


def test_the_clients_other_tools_are_refused(keeper: Doorkeeper) -> None:
    """A browser or computer driver acts outside the guard."""
    from openai.lib import computer

    with pytest.raises(ConfigurationError, match="only registered functions can"):
        wrap(keeper, object.__new__(computer.ComputerToolset))  # type: ignore[arg-type]
