"""A failure that a tool returns is a failure: its outcome says so, and what comes `after` its step does not open."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool, tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command
from pydantic import BaseModel
from small_bundle import TEXT, guard_of

from agentguard import ToolCallDenied
from agentguard.guard.failures import MAX_DEPTH, MAX_PARTS, says_failed
from agentguard.integrations.openai import OpenAITools

POLICY = {
    "check": {"args": {"account": TEXT}},
    "pay": {"args": {"account": TEXT}, "effect": "write", "after": ["check"]},
}


def message(status: str = "error", call_id: str = "c", **members: Any) -> ToolMessage:
    return ToolMessage("closed", tool_call_id=call_id, status=status, **members)


class Update(BaseModel):
    messages: list[Any]


@dataclasses.dataclass
class ForeignResult:
    """As AutoGen's and LlamaIndex's."""

    content: str
    is_error: bool


@dataclasses.dataclass
class LogLine:
    text: str
    is_error: bool


class Response:
    """As an HTTP client's: what it would say of itself is worked out, not held."""

    @property
    def is_error(self) -> bool:
        return True


def of(package: str, name: str, **members: Any) -> Any:
    """An object of a framework that need not be installed."""
    made = dataclasses.make_dataclass(name, list(members))
    made.__module__ = f"{package}.somewhere"
    return made(**members)


FAILURES: dict[str, Callable[[], Any]] = {
    "ToolMessage": message,
    "list of ToolMessage": lambda: [message()],
    "Command": lambda: Command(update={"messages": [message()]}),
    "Command with pairs": lambda: Command(update=[("messages", [message()])]),
    "Command with a model": lambda: Command(update=Update(messages=[message()])),
    "Command with a dict for a message": lambda: Command(
        update={"messages": [{"role": "tool", "tool_call_id": "c", "content": "no", "status": "error"}]}
    ),
    "nested list of Command": lambda: [[Command(update={"messages": [message()]})]],
    "content and artifact": lambda: ("closed", {"isError": True, "content": []}),
    "artifact of a message": lambda: message("success", artifact=of("mcp", "CallToolResult", isError=True)),
    "MCP, older": lambda: of("mcp", "CallToolResult", content=[], isError=True),
    "MCP, newer": lambda: of("mcp_types", "CallToolResult", content=[], is_error=True),
    "MCP, as JSON": lambda: {"content": [{"type": "text", "text": "closed"}], "isError": True},
    "MCP, asks for more": lambda: of("mcp_types", "InputRequiredResult"),
    "MCP, an error response": lambda: of("mcp", "JSONRPCError", error=None),
    "MCP, a task": lambda: of("mcp", "Task", status="failed"),
    "FastMCP": lambda: of("fastmcp", "ToolResult", is_error=True),
    "Anthropic": lambda: {"type": "tool_result", "tool_use_id": "t", "is_error": True},
    "Anthropic, several": lambda: [{"type": "tool_result", "tool_use_id": "t", "is_error": True}],
    "ADK": lambda: {"status": "error", "error_message": "closed"},
    "Strands": lambda: {"toolUseId": "t", "status": "error", "content": []},
    "another framework": lambda: ForeignResult("closed", True),
    "an exception": lambda: ValueError("closed"),
    "gathered": lambda: ["done", ValueError("closed")],
    "pydantic-ai, denied": lambda: of("pydantic_ai", "ToolDenied", message="no"),
    "pydantic-ai, a part": lambda: of("pydantic_ai", "ToolReturnPart", content="no", outcome="failed"),
    "pydantic-ai, wrapped": lambda: of("pydantic_ai", "ToolReturn", return_value=ValueError("closed")),
    "openai-agents": lambda: of("agents", "ApplyPatchResult", status="failed"),
}
SUCCESSES: dict[str, Callable[[], Any]] = {
    "text": lambda: "Error: none found",
    "ToolMessage": lambda: message("success"),
    "Command": lambda: Command(update={"messages": [message("success")], "status": "error"}),
    "an earlier call's failure beside the own answer": lambda: Command(
        update={"messages": [message("error", "before"), message("success", "c")]}
    ),
    "MCP": lambda: of("mcp", "CallToolResult", content=[], isError=False),
    "data about jobs": lambda: [{"job": 1, "status": "error"}, {"job": 2, "status": "failed"}],
    "data about errors": lambda: {"lines": [{"text": "x", "is_error": True, "content": "y"}]},
    "rows about errors": lambda: [LogLine("x", True)],
    "data with a word of its own": lambda: {"is_error": True},
    "what would be worked out": Response,
    "another status": lambda: SimpleNamespace(status="error"),
    "the kind of a failure": lambda: ValueError,
    "a day": lambda: datetime.date(2026, 11, 30),
}


@pytest.mark.parametrize("shape", FAILURES)
def test_a_returned_failure_is_told_by_its_shape(shape: str) -> None:
    assert says_failed(FAILURES[shape](), "c") is not None


@pytest.mark.parametrize("shape", SUCCESSES)
def test_data_that_tells_of_errors_is_no_failure(shape: str) -> None:
    assert says_failed(SUCCESSES[shape](), "c") is None


def test_of_several_answers_the_calls_own_counts() -> None:
    mixed = [message("error", "mine"), message("success", "other")]

    assert says_failed(mixed, "mine") == "ToolMessage"
    assert says_failed(mixed, "other") is None
    assert says_failed(mixed, None) == says_failed(mixed, "nobody's") == "ToolMessage"
    assert says_failed([*mixed, ValueError()], "other") == "ValueError"


def test_looking_for_a_failure_ends() -> None:
    """A result is outsiders' data: it may be deep, come back to itself, or hold one list a million times."""
    ring: list[Any] = []
    ring += [ring] * 1_000
    deep: Any = message()
    for _ in range(MAX_DEPTH):
        deep = [deep]

    assert says_failed(ring) is None
    assert says_failed(deep) == "ToolMessage"
    assert says_failed([deep]) is None
    assert says_failed([{} for _ in range(MAX_PARTS)] + [message()]) is None


def test_what_cannot_be_looked_at_is_no_success() -> None:
    class Liar(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise RuntimeError

    assert says_failed(Liar()) == "Liar"


def node(guarded: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([guarded]))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    return graph.compile()


@pytest.mark.parametrize("shape", ["ToolMessage", "Command", "nested list"])
@pytest.mark.parametrize("status", ["error", "success"])
def test_a_step_of_a_graph_that_answered_with_an_error_is_not_done(shape: str, status: str) -> None:
    @tool
    def check(account: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Check."""
        said = message(status, tool_call_id)
        return {"ToolMessage": said, "Command": Command(update={"messages": [said]}), "nested list": [said]}[shape]

    paid: list[str] = []

    @tool
    def pay(account: str) -> str:
        """Pay."""
        paid.append(account)
        return "paid"

    with guard_of(POLICY) as guard:
        checks, pays = guard.wrap([check, pay])
        with guard.run("w"):
            for name, guarded in (("check", checks), ("pay", pays)):
                call = {"type": "tool_call", "id": name, "name": name, "args": {"account": "A"}}
                node(guarded).invoke({"messages": [AIMessage("", tool_calls=[call])]})
        outcomes = [(r["outcome"], r["error"]) for r in guard.records(kind="outcome")]

    if status == "error":
        assert outcomes == [("failed", "the tool returned a failure (ToolMessage)")]
        assert paid == []
    else:
        assert [outcome for outcome, _ in outcomes] == ["succeeded", "succeeded"]
        assert paid == ["A"]


def test_an_artifact_that_says_failed_is_a_failure() -> None:
    def check(account: str) -> Any:
        """Check."""
        return "closed", {"isError": True, "content": []}

    made = StructuredTool.from_function(check, response_format="content_and_artifact")
    with guard_of(POLICY) as guard, guard.run("w"):
        assert guard.wrap(made).invoke({"account": "A"}) == "closed"
        assert [r["outcome"] for r in guard.records(kind="outcome")] == ["failed"]


def failing(account: str) -> Any:
    return {"isError": True, "content": []}


async def afailing(account: str) -> Any:
    return {"isError": True, "content": []}


def streaming(account: str) -> Iterator[Any]:
    yield "begun"
    yield ValueError("closed")
    yield "gone on"


async def astreaming(account: str) -> AsyncIterator[Any]:
    yield "begun"
    yield ValueError("closed")


def call_function(guarded: Any) -> None:
    guarded("A")


def call_coroutine(guarded: Any) -> None:
    asyncio.run(guarded("A"))


def call_generator(guarded: Any) -> None:
    assert len(list(guarded("A"))) == 3


def call_async_generator(guarded: Any) -> None:
    async def drain() -> None:
        assert len([item async for item in guarded("A")]) == 2

    asyncio.run(drain())


@pytest.mark.parametrize(
    ("body", "make"),
    [
        (failing, call_function),
        (afailing, call_coroutine),
        (streaming, call_generator),
        (astreaming, call_async_generator),
    ],
)
def test_every_kind_of_function_may_return_a_failure(body: Any, make: Callable[[Any], None]) -> None:
    """Its caller gets what it returned; nothing is kept of it, and the next step does not open."""
    body.__name__ = "check"
    policy = {**POLICY, "check": {"args": {"account": TEXT}, "keep": {"content": "result.content"}}}

    def pay(account: str) -> str:
        raise AssertionError

    with guard_of(policy) as guard:
        check, pays = guard.wrap([body, pay])
        with guard.run("w"):
            make(check)
            with pytest.raises(ToolCallDenied):
                pays("A")
        outcome = next(iter(guard.records(kind="outcome")))

    assert outcome["outcome"] == "failed"
    assert outcome["kept"] == []


def test_a_generators_caller_still_talks_to_it() -> None:
    heard: list[Any] = []

    def check(account: str) -> Iterator[Any]:
        try:
            heard.append((yield account))
            yield "again"
        except KeyError as error:
            heard.append(error)
        yield "after"

    with guard_of(POLICY) as guard, guard.run("w"):
        items: Any = guard.wrap(check)("A")
        assert [next(items), items.send("word"), items.throw(KeyError("x"))] == ["A", "again", "after"]
        items.close()
        assert [r["outcome"] for r in guard.records(kind="outcome")] == ["unknown"]

    assert heard[0] == "word" and isinstance(heard[1], KeyError)


def test_an_openai_call_may_return_a_failure() -> None:
    def check(account: str) -> Any:
        return {"isError": True, "content": []}

    call = {"type": "function_call", "call_id": "a", "name": "check", "arguments": '{"account": "A"}'}
    with guard_of(POLICY) as guard, guard.run("w"):
        OpenAITools(guard, [check]).answer([call])
        assert [r["outcome"] for r in guard.records(kind="outcome")] == ["failed"]


def test_the_real_mcp_packages_failure_is_told() -> None:
    types = pytest.importorskip("mcp.types")
    failed = types.CallToolResult(content=[types.TextContent(type="text", text="closed")], isError=True)

    assert says_failed(failed) == "CallToolResult"
    assert says_failed(types.CallToolResult(content=[])) is None


def test_the_real_pydantic_ai_packages_failures_are_told() -> None:
    ai = pytest.importorskip("pydantic_ai")
    messages = pytest.importorskip("pydantic_ai.messages")

    assert says_failed(ai.ModelRetry("again")) == "ModelRetry"
    assert says_failed(messages.ToolReturn(return_value=ai.ModelRetry("again"))) == "ModelRetry"
    part = messages.ToolReturnPart(tool_name="t", content="no", tool_call_id="c", outcome="failed")
    assert says_failed(part) == "ToolReturnPart"
    assert says_failed(messages.ToolReturn(return_value="fine")) is None
