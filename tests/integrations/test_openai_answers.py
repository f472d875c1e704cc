"""Every call id of a model's message is answered, and a call runs only through its gate."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import pydantic_function_tool
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel, Field, field_validator

from agentguard.errors import ApprovalPending, ConfigurationError, LedgerError, ToolCallDenied
from agentguard.integrations.openai import OpenAITools
from agentguard.integrations.openai.calls import MAX_CALLS
from integrations.conftest import Doorkeeper
from integrations.model_server import chat, chat_call, function_call, response

ran: list[Any] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    ran.clear()


def pay(to: str, cents: int = 5) -> str:
    """Pay somebody."""
    ran.append((to, cents))
    return f"paid {cents} to {to}"


async def look(on: date) -> dict[str, str]:
    """Look something up."""
    ran.append(on)
    return {"on": on.isoformat()}


def crash() -> str:
    """Crash."""
    raise RuntimeError("password=hunter2")


HANDMADE = {
    "type": "function",
    "function": {
        "name": "send",
        "description": "Send.",
        "parameters": {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]},
        "strict": True,
    },
}


def send(to: str) -> list[str]:
    ran.append(to)
    return [to]


def as_chat(*calls: tuple[str, str, str], **kwargs: Any) -> Any:
    return ChatCompletion.model_validate(chat(*(chat_call(*call) for call in calls), **kwargs))


def as_message(*calls: tuple[str, str, str]) -> Any:
    return as_chat(*calls).choices[0].message


def as_dict(*calls: tuple[str, str, str]) -> Any:
    return as_chat(*calls).choices[0].message.model_dump()


def as_response(*calls: tuple[str, str, str], **kwargs: Any) -> Any:
    return Response.model_validate(response(*(function_call(*call) for call in calls), **kwargs))


def as_items(*calls: tuple[str, str, str]) -> Any:
    return as_response(*calls).output


FORMS = [as_chat, as_message, as_dict, as_response, as_items]


def answers(tools: OpenAITools, message: Any, asynchronous: bool = False) -> dict[str, str]:
    """Call id → text, however the API writes it."""
    items = asyncio.run(tools.aanswer(message)) if asynchronous else tools.answer(message)
    texts = [
        (item.get("tool_call_id") or item.get("call_id"), item.get("content", item.get("output"))) for item in items
    ]
    assert len(dict(texts)) == len(texts)
    return dict(texts)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_each_call_is_judged_then_answered(form: Any, asynchronous: bool, keeper: Doorkeeper) -> None:
    """Defaults are in what the policy sees; the call's id is in the record."""
    tools = OpenAITools(keeper, [pay, (HANDMADE, send)])  # type: ignore[arg-type]
    message = form(("c1", "pay", '{"to": "bob"}'), ("c2", "send", '{"to": "eve"}'))
    refused = "this tool call was not allowed (decision `d-1`)"
    assert answers(tools, message, asynchronous) == {"c1": refused, "c2": refused}
    assert ran == []
    keeper.permit()
    keeper.judged.clear()

    assert answers(tools, message, asynchronous) == {"c1": "paid 5 to bob", "c2": '["eve"]'}
    assert keeper.judged == [("pay", {"to": "bob", "cents": 5}, "c1"), ("send", {"to": "eve"}, "c2")]
    assert ran == [("bob", 5), "eve"]


def test_the_answers_have_the_form_of_their_api(keeper: Doorkeeper) -> None:
    """They are appended to `messages` or `input` as they are."""
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    keeper.permit()
    call = ("c1", "pay", '{"to": "bob"}')

    assert tools.answer(as_chat(call)) == [{"role": "tool", "tool_call_id": "c1", "content": "paid 5 to bob"}]
    output = {"type": "function_call_output", "call_id": "c1", "output": "paid 5 to bob"}
    assert tools.answer(as_response(call)) == [output]


BROKEN = {
    "unknown tool": ("payy", "{}", "no such tool"),
    "prefix of a tool": ("pa", "{}", "no such tool"),
    "other case": ("Pay", '{"to": "bob"}', "no such tool"),
    "no name": ("", "{}", "no such tool"),
    "not JSON": ("pay", '{"to": ', "not JSON"),
    "two values": ("pay", '{"to": "bob", "to": "eve"}', "given twice"),
    "two values inside": ("send", '{"to": {"a": 1, "a": 2}}', "given twice"),
    "not an object": ("pay", '["bob"]', "not a JSON object"),
    "JSON in a text": ("pay", '"{\\"to\\": \\"bob\\"}"', "not a JSON object"),
    "NaN": ("pay", '{"to": "bob", "cents": NaN}', "NaN"),
    "trailing": ("pay", '{"to": "bob"} {"to": "eve"}', "not JSON"),
    "too deep": ("pay", '{"to": ' + "[" * 100 + "]" * 100 + "}", "nested deeper"),
    "missing": ("pay", "{}", "to: Field required"),
    "empty": ("pay", "", "to: Field required"),
    "wrong type": ("pay", '{"to": 5}', "to: Input should be a valid string"),
    "extra": ("pay", '{"to": "bob", "admin": true}', "admin: Extra inputs are not permitted"),
    "wrong type by schema": ("send", '{"to": 5}', "to: the value is not of type"),
    "missing by schema": ("send", "{}", "required"),
}


@pytest.mark.parametrize(("name", "arguments", "says"), BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("form", [as_chat, as_response])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_call_that_cannot_be_read_runs_nothing_and_is_answered(
    form: Any, name: str, arguments: str, says: str, asynchronous: bool, keeper: Doorkeeper
) -> None:
    """The model may try again; the good call beside it is answered too."""
    tools = OpenAITools(keeper, [pay, (HANDMADE, send)])  # type: ignore[arg-type]
    keeper.permit()
    said = answers(tools, form(("bad", name, arguments), ("good", "pay", '{"to": "bob"}')), asynchronous)

    assert says in json.loads(said["bad"])["error"]
    assert said["good"] == "paid 5 to bob"
    assert ran == [("bob", 5)]


@pytest.mark.parametrize("written", [{"cents": 900}, b'{"cents": 900}', ["{}"], 5], ids=str)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_arguments_that_are_no_text_are_not_taken_for_none(
    written: object, asynchronous: bool, keeper: Doorkeeper
) -> None:
    """A message that was parsed on its way would run a tool whose arguments all have defaults, with the defaults."""

    def pay_all(cents: int = 5) -> str:
        ran.append(cents)
        return "paid"

    tools = OpenAITools(keeper, [pay_all])  # type: ignore[arg-type]
    keeper.permit()
    function = {"name": "pay_all", "arguments": written}
    for message in (
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        [{"type": "function_call", "call_id": "c1", **function}],
    ):
        (answer,) = asyncio.run(tools.aanswer(message)) if asynchronous else tools.answer(message)
        assert "not text" in (answer.get("content") or answer["output"])

    assert ran == [] and keeper.judged == []


GOOD = ("pay", '{"to": "bob"}')
WHOLE = {
    "an id twice": (lambda f: f(("c1", *GOOD), ("c1", *GOOD), ("c2", *GOOD)), {"c1", "c2"}, "used twice"),
    "too many": (
        lambda f: f(*((f"c{n}", *GOOD) for n in range(MAX_CALLS + 1))),
        {f"c{n}" for n in range(MAX_CALLS + 1)},
        "more than",
    ),
}


@pytest.mark.parametrize(("make", "ids", "says"), WHOLE.values(), ids=WHOLE.keys())
@pytest.mark.parametrize("form", FORMS)
def test_a_message_that_cannot_be_trusted_runs_nothing(
    form: Any, make: Any, ids: set[str], says: str, keeper: Doorkeeper
) -> None:
    """All of it is answered and none of it runs."""
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    keeper.permit()
    said = answers(tools, make(form))

    assert said.keys() == ids
    assert all(says in text for text in said.values())
    assert ran == [] and keeper.judged == []


def test_as_many_calls_as_allowed_run(keeper: Doorkeeper) -> None:
    """The near miss of the limit."""
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    keeper.permit()

    assert len(tools.answer(as_chat(*((f"c{n}", *GOOD) for n in range(MAX_CALLS))))) == MAX_CALLS == len(ran)


@pytest.mark.parametrize(
    "message",
    [
        as_chat(("c1", *GOOD), finish="length"),
        as_chat(("c1", *GOOD), finish="content_filter"),
        as_response(("c1", *GOOD), status="incomplete"),
        as_response(("c1", *GOOD), status="in_progress"),
        [function_call("c1", *GOOD, status="incomplete")],
    ],
)
def test_a_message_cut_short_runs_nothing(message: Any, keeper: Doorkeeper) -> None:
    """Its arguments may be half of what the model wanted."""
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    keeper.permit()

    assert "cut short" in answers(tools, message)["c1"]
    assert ran == [] and keeper.judged == []


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (
            {
                "role": "assistant",
                "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "pay", "input": "x"}}],
            },
            {"role": "tool", "tool_call_id": "c1"},
        ),
        (
            [{"type": "custom_tool_call", "call_id": "c1", "name": "pay", "input": "x"}],
            {"type": "custom_tool_call_output", "call_id": "c1"},
        ),
        (
            [{"type": "mcp_approval_request", "id": "c1", "name": "pay", "arguments": "{}", "server_label": "s"}],
            {"type": "mcp_approval_response", "approval_request_id": "c1", "approve": False},
        ),
    ],
)
def test_custom_calls_and_hosted_approvals_are_answered_with_no(
    message: Any, answer: dict[str, Any], keeper: Doorkeeper
) -> None:
    """Free text cannot be judged; an approval given here would run a tool that never passes us."""
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    keeper.permit()
    (given_,) = tools.answer(message)

    assert answer.items() <= given_.items()
    assert "nothing ran" in given_.get("content", given_.get("output", "nothing ran"))
    assert ran == [] and keeper.judged == []


HOSTED = ["web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call",
          "computer_call", "local_shell_call", "shell_call", "apply_patch_call", "tool_search_call", "program",
          "something_new", None]  # fmt: skip


@pytest.mark.parametrize("kind", HOSTED)
def test_tools_executed_elsewhere_stop_the_program(kind: str | None, keeper: Doorkeeper) -> None:
    """They never pass us; that is a mistake in the request, and nothing beside them runs."""
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    keeper.permit()

    with pytest.raises(ConfigurationError, match="remove that tool from the request"):
        tools.answer([function_call("c1", *GOOD), {"type": kind, "id": "x", "status": "completed"}])
    assert ran == [] and keeper.judged == []


@pytest.mark.parametrize(
    "message",
    [
        "text", None, {}, {"role": "user"}, {"role": "assistant", "function_call": {"name": "pay", "arguments": "{}"}},
        {"role": "assistant", "tool_calls": [{"id": "c"}]}, [{"type": "mcp_approval_request", "id": ""}],
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "web", "function": {}}]},
        {"choices": []}, {"choices": [{}, {}]},
    ],
)  # fmt: skip
def test_what_is_no_model_message_is_an_error(message: Any, keeper: Doorkeeper) -> None:
    """A clear word to the developer, no guess."""
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    keeper.permit()

    with pytest.raises(ConfigurationError):
        tools.answer(message)
    assert ran == []


def test_a_message_without_calls_has_no_answers(keeper: Doorkeeper) -> None:
    """The loop ends there."""
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]

    assert tools.answer(as_chat(text="done")) == tools.answer(as_response()) == []


def test_a_tools_own_exception_is_answered_neutrally(keeper: Doorkeeper, caplog: pytest.LogCaptureFixture) -> None:
    """No traceback and no message: it may hold what a model must not see. The log has the type."""
    tools = OpenAITools(keeper, [crash])  # type: ignore[arg-type]
    keeper.permit()

    assert answers(tools, as_chat(("c1", "crash", "{}"))) == {"c1": '{"error": "the tool failed"}'}
    assert "RuntimeError" in caplog.text and "hunter2" not in caplog.text


def test_on_error_sees_the_exception_and_may_word_or_raise_it(keeper: Doorkeeper) -> None:
    """What a model is told of a failure is the developer's choice."""
    keeper.permit()
    seen: list[Any] = []

    def say(name: str, error: Exception) -> str | None:
        seen.append((name, type(error)))
        return "try later" if len(seen) == 1 else None

    tools = OpenAITools(keeper, [crash], on_error=say)  # type: ignore[arg-type]
    message = as_chat(("c1", "crash", "{}"))
    assert [answers(tools, message)["c1"], answers(tools, message)["c1"]] == [
        "try later",
        '{"error": "the tool failed"}',
    ]
    assert seen == [("crash", RuntimeError)] * 2

    def throw(name: str, error: Exception) -> str | None:
        raise error

    with pytest.raises(RuntimeError, match="hunter2"):
        OpenAITools(keeper, [crash], on_error=throw).answer(message)  # type: ignore[arg-type]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_is_for_people_raises(asynchronous: bool, keeper: Doorkeeper) -> None:
    """A ledger that cannot be written is not the model's to work round."""
    tools = OpenAITools(keeper, [pay], on_error=lambda name, error: "fine")  # type: ignore[arg-type]
    keeper.refusal = LedgerError("the disk is full")

    with pytest.raises(LedgerError):
        answers(tools, as_chat(("c1", *GOOD)), asynchronous)


def test_a_call_that_waits_for_a_person_is_answered(keeper: Doorkeeper) -> None:
    """The model hears that it waits; the others still get their answers."""
    tools = OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    keeper.refusal = ApprovalPending("d-1", "a-1")

    assert answers(tools, as_chat(("c1", *GOOD)))["c1"] == "this tool call waits for a person (decision `d-1`)"


def test_async_functions_are_awaited_and_never_forgotten(keeper: Doorkeeper) -> None:
    """`answer` meets one: nothing of the message runs, and the error says what to write."""
    tools = OpenAITools(keeper, [pay, look])  # type: ignore[arg-type]
    keeper.permit()
    message = as_chat(("c1", *GOOD), ("c2", "look", '{"on": "2026-01-02"}'))

    with pytest.raises(ConfigurationError, match="aanswer"):
        tools.answer(message)
    assert ran == []
    assert answers(tools, message, True) == {"c1": "paid 5 to bob", "c2": '{"on":"2026-01-02"}'}
    assert ran == [("bob", 5), date(2026, 1, 2)]


def test_results_are_text_or_json(keeper: Doorkeeper) -> None:
    """An object that is neither shows the model nothing of itself."""

    class Out(BaseModel):
        n: int

    results = iter(["plain", Out(n=1), None, {"a": [1]}, object()])

    def give() -> Any:
        """Give."""
        return next(results)

    tools = OpenAITools(keeper, [give])  # type: ignore[arg-type]
    keeper.permit()
    said = [answers(tools, as_chat(("c1", "give", "{}")))["c1"] for _ in range(5)]

    assert said[:4] == ["plain", '{"n":1}', "null", '{"a":[1]}']
    assert "cannot be written as JSON" in said[4]


def test_definitions_come_from_the_functions(keeper: Doorkeeper) -> None:
    """What the model is shown is what the guard's fingerprint covers; changing the list changes nothing."""
    tools = OpenAITools(keeper, [pay, (HANDMADE, send)])  # type: ignore[arg-type]
    shown = tools.chat_tools
    assert shown[0]["function"]["name"] == "pay" and shown[0]["function"]["description"] == "Pay somebody."
    assert shown[0]["function"]["parameters"]["required"] == ["to"]
    assert shown[1] == HANDMADE
    assert tools.responses_tools[1] == {"type": "function", **HANDMADE["function"]}
    assert tools.responses_tools[0]["strict"] is False
    assert keeper.definitions["pay"]["parameters"] == shown[0]["function"]["parameters"]
    shown[0]["function"]["parameters"]["properties"].clear()

    assert tools.chat_tools[0]["function"]["parameters"]["properties"].keys() == {"to", "cents"}


def test_a_definition_of_the_clients_own_helper_works(keeper: Doorkeeper) -> None:
    """`pydantic_function_tool` makes the definition; the body gets the model it was made of."""

    class Pay(BaseModel):
        """Pay somebody."""

        to: str

    tools = OpenAITools(keeper, [(pydantic_function_tool(Pay), lambda order: order.to)])  # type: ignore[arg-type]
    keeper.permit()

    assert answers(tools, as_chat(("c1", "Pay", '{"to": "bob"}'))) == {"c1": "bob"}


def test_what_a_models_validators_make_of_the_arguments_is_judged(keeper: Doorkeeper) -> None:
    """The body gets dollars; a limit in cents must not be asked about the number that was written."""

    class Pay(BaseModel):
        """Pay somebody."""

        to: str = Field(alias="To")
        sum: str

        @field_validator("sum")
        @classmethod
        def digits(cls, value: str) -> str:
            return value.replace("k", "000")

    ran: list[Pay] = []
    tools = OpenAITools(keeper, [(pydantic_function_tool(Pay), ran.append)])  # type: ignore[arg-type]
    keeper.permit()
    answers(tools, as_chat(("c1", "Pay", '{"To": "bob", "sum": "5k"}')))

    assert keeper.arguments == [{"To": "bob", "sum": "5000"}]
    assert ran == [Pay(To="bob", sum="5000")]


def test_a_model_that_changes_what_was_judged_does_not_run(keeper: Doorkeeper) -> None:
    class Pay(BaseModel):
        """Pay somebody."""

        cents: int

        @field_validator("cents")
        @classmethod
        def hundredfold(cls, value: int) -> int:
            return value * 100

    ran: list[Pay] = []
    tools = OpenAITools(keeper, [(pydantic_function_tool(Pay), ran.append)])  # type: ignore[arg-type]
    keeper.permit()
    with pytest.raises(ConfigurationError, match="not what was judged"):
        answers(tools, as_chat(("c1", "Pay", '{"cents": 5}')))

    assert ran == []


def _generator() -> Any:
    """Yield."""
    yield 1


UNGUARDABLE = {
    "hosted": ([({"type": "web_search"}, send)], "executed outside the guard"),
    "hosted alone": ([{"type": "web_search"}], "executed outside the guard"),
    "custom": ([({"type": "custom", "custom": {"name": "x"}}, send)], "executed outside the guard"),
    "definition alone": ([HANDMADE], "a definition alone runs nothing"),
    "no body": ([(HANDMADE, None)], "cannot be called"),
    "no name": ([({"type": "function", "function": {}}, send)], "without a `name`"),
    "bad schema": (
        [({"type": "function", "name": "x", "parameters": {"type": "objec"}}, send)],
        "JSON Schema is wrong",
    ),
    "not an object": ([({"type": "function", "name": "x", "parameters": {"type": "array"}}, send)], "not of an object"),
    "generator": ([_generator], "is a generator"),
    "generator body": ([(HANDMADE, _generator)], "is a generator"),
    "stars": ([lambda **kw: kw], "hides arguments"),
    "a class": ([dict], "cannot be guarded"),
    "a name twice": ([pay, pay], "two functions are called"),
}


@pytest.mark.parametrize(("functions", "says"), UNGUARDABLE.values(), ids=UNGUARDABLE.keys())
def test_what_cannot_be_guarded_is_refused(functions: Any, says: str, keeper: Doorkeeper) -> None:
    """Better no tool than one with an open door."""
    with pytest.raises(ConfigurationError, match=says):
        OpenAITools(keeper, functions)  # type: ignore[arg-type]


def test_each_door_is_proved_by_a_canary(keeper: Doorkeeper) -> None:
    """And the body is not run by it."""
    OpenAITools(keeper, [pay, look])  # type: ignore[arg-type]

    both = ["aanswer(chat)", "aanswer(responses)", "async_registered"]
    assert sorted(keeper.proved["look"]) == both
    assert sorted(keeper.proved["pay"]) == sorted([*both, "answer(chat)", "answer(responses)", "registered"])
    assert ran == [] and keeper.judged == []


def test_a_door_that_stops_refusing_is_noticed(keeper: Doorkeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal worded as anything else fails at start-up."""
    monkeypatch.setattr("agentguard.integrations.openai.tools.explain", lambda name, error, on_error: "fine")

    with pytest.raises(ConfigurationError, match="did not refuse a canary call"):
        OpenAITools(keeper, [pay])  # type: ignore[arg-type]
    assert keeper.proved == {}


_DENYING = Doorkeeper(refusal=ToolCallDenied("d-1"))
_DENYING_TOOLS = OpenAITools(_DENYING, [pay, (HANDMADE, send)])  # type: ignore[arg-type]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "d"]),
            st.sampled_from(["pay", "send", "other"]),
            st.sampled_from(["{}", '{"to":"x"}', '{"to":"x","to":"y"}', "[", '{"to":1}', '{"to":"x","z":1}'])
            | st.text(),
        ),
        max_size=6,
    )
)
def test_whatever_the_model_writes_every_id_is_answered_once_and_nothing_runs(calls: list[Any]) -> None:
    """Property, under a guard that refuses everything."""
    ran.clear()
    for form in (as_chat, as_response):
        assert answers(_DENYING_TOOLS, form(*calls)).keys() == {call_id for call_id, _, _ in calls}
    assert ran == []


def test_definitions_are_answered_where_the_client_is_not_installed(
    keeper: Doorkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever speaks to a model in another way needs no `openai`; to look into a package that is not there raises."""

    def find_spec(name: str) -> None:
        if "." in name:
            raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    assert OpenAITools(keeper, [(HANDMADE, send)]).chat_tools[0]["function"]["name"] == "send"
