"""What servers really send and clients really take: calls of compatible servers, cut streams, answers to be sent."""

from __future__ import annotations

import asyncio
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
from openai._models import construct_type
from openai.types.chat import ChatCompletion
from openai.types.responses import ResponseFunctionToolCall, ResponseStreamEvent
from pydantic import BaseModel, ConfigDict
from small_bundle import TEXT, WHOLE, guard_of

from agentguard import ConfigurationError
from agentguard.integrations.openai import OpenAITools, StreamCut, assemble_chat, assemble_responses
from integrations.conftest import Doorkeeper
from integrations.model_server import chunks, model_server
from integrations.test_openai_client import client

ran: list[Any] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    ran.clear()


def ping() -> str:
    ran.append("ping")
    return "pong"


def pay(cents: int) -> str:
    ran.append(cents)
    return "paid"


def tools_of(keeper: Doorkeeper, *bodies: Any) -> OpenAITools:
    keeper.permit()
    return OpenAITools(keeper, bodies or [ping])  # type: ignore[arg-type]


def chat(**call: Any) -> dict[str, Any]:
    sent = {"id": "a", "type": "function", "function": {"name": "ping", "arguments": "{}"}, **call}
    return {"role": "assistant", "tool_calls": [{key: value for key, value in sent.items() if value != "left out"}]}


@pytest.mark.parametrize("message", [
    chat(function={"name": "ping", "arguments": None}),
    chat(function={"name": "ping"}),
    chat(function={"name": "ping", "arguments": ""}),
    chat(function={"name": "ping", "arguments": " \n"}),
    chat(function={"name": "ping", "arguments": "null"}),
    chat(type=None),
    chat(type=""),
    chat(type="left out"),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_call_as_compatible_servers_send_it_is_answered(message: Any, asynchronous: bool, keeper: Doorkeeper) -> None:
    tools = tools_of(keeper)
    (answer,) = asyncio.run(tools.aanswer(message)) if asynchronous else tools.answer(message)
    assert (answer["tool_call_id"], answer["content"]) == ("a", "pong")


@pytest.mark.parametrize("given", ["", None, 7, "left out"])
def test_a_call_without_id_gets_one_that_the_message_has_too(given: Any, keeper: Doorkeeper) -> None:
    """Else the server could not tell which call was answered."""
    message = chat(id=given)
    message["tool_calls"] *= 2
    message["tool_calls"] = [dict(call) for call in message["tool_calls"]]
    first, second = tools_of(keeper).answer(message)

    assert [call["id"] for call in message["tool_calls"]] == [first["tool_call_id"], second["tool_call_id"]]
    assert first["tool_call_id"] != second["tool_call_id"]
    assert [call_id for _, _, call_id in keeper.judged] == [first["tool_call_id"], second["tool_call_id"]]


def test_an_item_without_id_gets_one_that_the_response_has_too(keeper: Doorkeeper) -> None:
    item = ResponseFunctionToolCall(type="function_call", call_id="", name="ping", arguments="{}")
    (answer,) = tools_of(keeper).answer([item])
    assert answer["call_id"] == item.call_id != ""


def test_an_id_that_cannot_be_put_into_the_message_stops_the_program(keeper: Doorkeeper) -> None:
    class Fixed(SimpleNamespace):
        def __setattr__(self, name: str, value: Any) -> None:
            raise AttributeError(name)

    call = Fixed(id="", type="function", function={"name": "ping", "arguments": "{}"})
    with pytest.raises(ConfigurationError, match="without `id` cannot be answered; nothing ran"):
        tools_of(keeper).answer({"role": "assistant", "tool_calls": [call]})
    assert ran == []


@pytest.mark.parametrize("space", ["crm", "ping", " ", 5])
def test_a_function_of_a_namespace_is_not_its_namesake(space: Any, keeper: Doorkeeper) -> None:
    item = {"type": "function_call", "call_id": "a", "name": "ping", "arguments": "{}", "namespace": space}
    (answer,) = tools_of(keeper).answer([item])
    assert "no such tool" in answer["output"] or "not text" in answer["output"]
    assert ran == [] and keeper.judged == []
    assert keeper.misread == [(f"{space}.ping" if isinstance(space, str) else "", "a")]


def test_a_function_is_found_under_its_namespace_and_name(keeper: Doorkeeper) -> None:
    definition = {"type": "function", "name": "crm.ping"}
    item = {"type": "function_call", "call_id": "a", "name": "ping", "arguments": "{}"}
    tools = tools_of(keeper, (definition, ping))
    assert [tools.answer([{**item, "namespace": space}])[0]["output"] for space in ("crm", "", None)] == [
        "pong", '{"error": "there is no such tool"}', '{"error": "there is no such tool"}',
    ]  # fmt: skip


def event(kind: str, **members: Any) -> Any:
    return construct_type(
        type_=ResponseStreamEvent, value={"type": f"response.{kind}", "sequence_number": 0, **members}
    )


CALL = {"type": "function_call", "id": "f", "call_id": "c", "name": "ping", "arguments": "{}", "status": "completed"}
RESPONSE = {
    "id": "r", "object": "response", "created_at": 1, "model": "m", "output": [], "status": "completed",
    "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
}  # fmt: skip
MESSAGE = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": []}


def stream(*items: Any, **response: Any) -> list[Any]:
    done = [event("output_item.done", output_index=index, item=item) for index, item in enumerate(items)]
    return [*reversed(done), event("completed", response={**RESPONSE, **response})]


def test_a_finished_call_whose_response_has_no_output_is_answered(keeper: Doorkeeper) -> None:
    other = {**CALL, "call_id": "d"}
    response = assemble_responses(stream(CALL, MESSAGE, other))
    assert [item.type for item in response.output] == ["function_call", "message", "function_call"]
    assert [answer["call_id"] for answer in tools_of(keeper).answer(response)] == ["c", "d"]

    as_dict = SimpleNamespace(type="response.completed", response={"status": "completed"})
    (answer,) = tools_of(keeper).answer(assemble_responses([*stream(CALL)[:-1], as_dict]))
    assert answer["call_id"] == "c"


@pytest.mark.parametrize("events", [
    stream(CALL, output=[MESSAGE]),
    stream(CALL, output=[{**CALL, "arguments": '{"all": true}'}]),
    stream(CALL, output=[{**CALL, "namespace": "crm"}]),
    stream({**CALL, "type": "custom_tool_call", "input": "x"}, output=[MESSAGE]),
    [event("output_item.added", output_index=0, item=CALL), stream()[-1]],
    [*stream(CALL)[:-1], SimpleNamespace(type="response.completed", response=object())],
], ids=["left out", "other arguments", "other namespace", "custom", "unfinished", "no response"])  # fmt: skip
def test_a_stream_that_lost_a_call_runs_nothing(events: Any) -> None:
    with pytest.raises(StreamCut):
        assemble_responses(events)


def test_a_stream_whose_response_holds_what_it_told_is_as_it_was() -> None:
    response = assemble_responses(stream(CALL, MESSAGE, output=[CALL, MESSAGE]))
    assert len(response.output) == 2


def test_a_short_response_that_told_its_calls_runs_nothing(keeper: Doorkeeper) -> None:
    response = assemble_responses(stream(CALL, status="incomplete"))
    assert "cut short" in tools_of(keeper).answer(response)[0]["output"]
    assert ran == []


STREAMED = chunks(
    {"role": "assistant", "content": "one moment"},
    {"tool_calls": [{"index": 0, "id": "", "type": "function", "function": {"name": "ping", "arguments": "{}"}}]},
)
SAID = chunks({"role": "assistant", "content": "done"})


def test_an_assembled_chat_goes_through_the_loop_of_the_docs(keeper: Doorkeeper) -> None:
    tools = tools_of(keeper)
    messages: list[Any] = [{"role": "user", "content": "ping"}]
    with model_server(STREAMED, SAID) as server:
        while True:
            create = client(server.url).chat.completions.create
            completion = assemble_chat(create(model="m", messages=messages, tools=tools.chat_tools, stream=True))
            messages.append(completion.choices[0].message)
            answers = tools.answer(completion)
            if not answers:
                break
            messages += answers

    assert completion.choices[0].message.content == "done"
    assert completion.choices[0].message.tool_calls is None
    sent = server.requests[1]["messages"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] != ""
    assert set(sent[2]) == {"role", "tool_call_id", "content"}
    with pytest.raises(AttributeError):
        completion.no_member_of_a_completion  # noqa: B018


def test_an_assembled_chat_reads_as_the_clients_own_objects_do() -> None:
    with model_server(STREAMED) as server:
        whole = assemble_chat(client(server.url).chat.completions.create(model="m", messages=[], stream=True))
    assert set(whole) <= set(ChatCompletion.model_fields)
    assert json.loads(json.dumps(whole))["choices"][0]["finish_reason"] == whole.choices[0].finish_reason


class Loud(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    value: float


HALF = "\ud83d"
SAYINGS: list[tuple[Any, str]] = [
    (math.nan, "null"),
    ({"a": [math.inf, -math.inf, 1.5]}, '{"a":[null,null,1.5]}'),
    (Loud(value=math.nan), '{"value":null}'),
    ({"a": [Loud(value=math.inf)]}, '{"a":[{"value":null}]}'),
    ({"text": "NaN and Infinity"}, '{"text":"NaN and Infinity"}'),
    ([{"a": HALF + "x"}], '[{"a":"\ufffdx"}]'),
    (HALF, "\ufffd"),
    (HALF + "\ude00", "\U0001f600"),
    ("\U0001f600", "\U0001f600"),
]


@pytest.mark.parametrize(("result", "text"), SAYINGS, ids=ascii)
def test_what_leaves_in_an_answer_can_be_sent_and_read_by_anybody(result: Any, text: str, keeper: Doorkeeper) -> None:
    def say() -> Any:
        return result

    (answer,) = tools_of(keeper, say).answer(
        [{"type": "function_call", "call_id": "a", "name": "say", "arguments": "{}"}]
    )
    assert answer["output"] == text
    answer["output"].encode()


def test_what_a_developer_says_of_an_error_can_be_sent(keeper: Doorkeeper) -> None:
    def fail() -> str:
        raise ValueError

    keeper.permit()
    tools = OpenAITools(keeper, [fail], on_error=lambda name, error: HALF)  # type: ignore[arg-type]
    (answer,) = tools.answer([{"type": "function_call", "call_id": "a", "name": "fail", "arguments": "{}"}])
    assert answer["output"] == "\ufffd"


def calls(*named: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"type": "function_call", "call_id": str(number), "name": name, "arguments": json.dumps(arguments)}
        for number, (name, arguments) in enumerate(named)
    ]


class Stop(BaseException):
    """As a cancellation."""


@pytest.mark.parametrize("error", [ConfigurationError("x"), KeyError("x"), Stop()], ids=repr)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_is_raised_carries_the_answers_of_calls_that_ran(
    error: BaseException, asynchronous: bool, keeper: Doorkeeper
) -> None:
    """Without them a loop would send the whole message again, and pay again."""

    def stop(n: int) -> str:
        raise error

    def on_error(name: str, error: Exception) -> str | None:
        raise error

    keeper.permit()
    tools = OpenAITools(keeper, [pay, stop], on_error=on_error)  # type: ignore[arg-type]
    message = calls(("pay", {"cents": 5}), ("stop", {"n": 1}), ("pay", {"cents": 6}))
    with pytest.raises(type(error)) as raised:
        asyncio.run(tools.aanswer(message)) if asynchronous else tools.answer(message)
    assert raised.value.answers == [{"type": "function_call_output", "call_id": "0", "output": "paid"}]  # type: ignore[attr-defined]
    assert ran == [5]


def test_a_refusal_can_be_read_by_a_program() -> None:
    """The model is told an id; a loop must know whether to wait, and for which approval."""
    policy = {"pay": {"args": {"cents": WHOLE}, "approval": True}, "ping": {"args": {"x": TEXT}}}
    with guard_of(policy) as guard:
        tools = OpenAITools(guard, [pay, ping])
        with guard.run("w", requester="user:eli") as run:
            pending, denied, wrong = tools.answer(calls(("pay", {"cents": 5}), ("ping", {}), ("pay", {"cents": "x"})))
        ids = [record["decision_id"] for record in guard.records(kind="decision")]
        guard.operations.answer(run.waiting[0], approver="user:dana", approve=True)
        with guard.resume(run.id):
            (paid,) = tools.answer(calls(("pay", {"cents": 5})))

    assert pending.artifact == {"status": "pending", "decision_id": ids[0], "approval_id": run.waiting[0]}
    assert denied.artifact == {"status": "denied", "decision_id": ids[1], "approval_id": None}
    assert wrong.artifact is None and paid.artifact is None
    assert set(pending) == {"type", "call_id", "output"}  # nothing of it is sent
    assert run.waiting[0] not in json.dumps(pending)
