# ruff: noqa: UP007, UP045  (as people write it)
"""The context object of a framework is no argument: never judged, never recorded, and handed on as it came."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Annotated, Any, Generic, Optional, TypedDict, TypeVar, Union

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, ToolRuntime
from left_out import left_out
from pydantic import BaseModel, ConfigDict
from small_bundle import TEXT, guard_of

from agentguard import ConfigurationError, ToolCallDenied
from agentguard.guard.arguments.contexts import is_context
from agentguard.integrations.openai import OpenAITools

LOOK = {"look": {"args": {"text": TEXT}}}
KEY = "KEY-1"
T = TypeVar("T")


@dataclasses.dataclass
class Session:
    user: str = "eli"
    api_key: str = KEY


@dataclasses.dataclass
class RunContext(Generic[T]):
    """As pydantic-ai's: a dataclass, which pydantic would write down whole."""

    deps: T


RunContext.__module__ = "pydantic_ai._run_context"


class OwnContext(RunContext[T]):
    """A developer's own, made of the framework's."""


class Holder(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    text: str
    context: RunContext[Session]


class Typed(TypedDict):
    context: RunContext[Session]


CONTEXT = RunContext(Session())


def recorded(guard: Any) -> str:
    return json.dumps(list(guard.records()), default=str)


@pytest.mark.parametrize("hint", [
    RunContext[Session], RunContext, OwnContext[Session], Optional[RunContext[Session]], RunContext[Session] | None,
    Annotated[RunContext[Session], "metadata"], Annotated[RunContext[Session] | None, "metadata"],
    Union[RunContext[Session], OwnContext[Session]],
], ids=str)  # fmt: skip
@pytest.mark.parametrize("by_name", [False, True])
def test_a_context_is_set_aside_however_it_is_annotated(hint: Any, by_name: bool) -> None:
    got: list[Any] = []

    def look(context: Any, text: str, /) -> str:
        got.append(context)
        return text

    def named(text: str, context: Any) -> str:
        got.append(context)
        return text

    body: Any = named if by_name else look
    body.__annotations__["context"] = hint
    body.__name__ = "look"
    with guard_of(LOOK) as guard:
        guarded = guard.wrap(body)
        with guard.run("w"):
            assert (guarded("x", context=CONTEXT) if by_name else guarded(CONTEXT, "x")) == "x"
        (decision,) = guard.records(kind="decision")
        assert left_out(recorded(guard), KEY)

    assert decision["arguments"] == {"text": "x"}
    assert got[0] is CONTEXT


def look_sync(context: RunContext[Session], text: str) -> str:
    return f"{text} for {context.deps.user}"


async def look_async(context: RunContext[Session], text: str) -> str:
    return f"{text} for {context.deps.user}"


def look_stream(context: RunContext[Session], text: str) -> Any:
    yield f"{text} for {context.deps.user}"


async def look_async_stream(context: RunContext[Session], text: str) -> Any:
    yield f"{text} for {context.deps.user}"


async def first(items: Any) -> Any:
    return await anext(items)


@pytest.mark.parametrize(("body", "take"), [
    (look_sync, lambda result: result),
    (look_async, asyncio.run),
    (look_stream, next),
    (look_async_stream, lambda items: asyncio.run(first(items))),
])  # fmt: skip
def test_every_kind_of_function_may_take_one(body: Any, take: Callable[[Any], Any]) -> None:
    with guard_of({body.__name__: LOOK["look"]}) as guard:
        guarded = guard.wrap(body)
        with guard.run("w"):
            assert take(guarded(CONTEXT, "x")) == "x for eli"
        assert left_out(recorded(guard), KEY)


@pytest.mark.parametrize("lie", [{"deps": {"user": "root"}}, "root", None, 1, Session("root"), [CONTEXT]])
def test_what_a_model_could_write_is_no_context(lie: Any) -> None:
    with guard_of({"look_sync": LOOK["look"]}) as guard:
        guarded = guard.wrap(look_sync)
        with guard.run("w"), pytest.raises(ToolCallDenied) as refused:
            guarded(lie, "x")
        assert "`context` takes the context of a framework" in str(refused.value.__cause__)
        (decision,) = guard.records(kind="decision")
    assert (decision["effect"], decision["reasons"]) == ("deny", ["arguments_invalid"])


def test_none_is_taken_where_the_signature_says_so() -> None:
    def look(text: str, context: RunContext[Session] = None) -> str:  # type: ignore[assignment]
        return f"{text} {context}"

    with guard_of(LOOK) as guard, guard.run("w"):
        guarded = guard.wrap(look)
        assert guarded("x") == guarded("x", None) == "x None"


@pytest.mark.parametrize("hint", [
    RunContext[Session] | str, list[RunContext[Session]], dict[str, RunContext[Session]], Holder, list[Holder], Typed,
    RunnableConfig, Optional[RunnableConfig],
], ids=str)  # fmt: skip
def test_a_context_that_cannot_be_told_from_an_argument_is_refused_when_wrapping(hint: Any) -> None:
    def look(text: str, given: Any) -> str:
        raise AssertionError

    look.__annotations__["given"] = hint
    with guard_of(LOOK) as guard, pytest.raises(ConfigurationError, match="`given` may hold a `Run"):
        guard.wrap(look)


def test_a_parameter_that_a_framework_fills_in_by_its_name_is_refused_without_annotation() -> None:
    def look(text: str, tool_context) -> str:  # type: ignore[no-untyped-def]
        raise AssertionError

    with guard_of(LOOK) as guard, pytest.raises(ConfigurationError, match="`tool_context` has no annotation"):
        guard.wrap(look)


def test_a_context_given_for_an_argument_is_refused_and_not_recorded() -> None:
    """pydantic-ai and openai-agents hand one over where they were told to, whatever the annotation says."""

    def look(context, text: str) -> str:  # type: ignore[no-untyped-def]
        raise AssertionError

    with guard_of(
        {"look": {"args": {"text": TEXT, "context": {"type": "object", "additionalProperties": True}}}}
    ) as guard:
        guarded = guard.wrap(look)
        with guard.run("w"), pytest.raises(ToolCallDenied, match="not allowed"):
            guarded(CONTEXT, "x")
        assert left_out(recorded(guard), KEY)


def test_a_model_is_not_shown_a_context_and_cannot_write_one() -> None:
    def look(text: str, context: RunContext[Session] | None = None) -> str:
        return f"{text} {context}"

    def call(**arguments: Any) -> list[Any]:
        return [{"type": "function_call", "call_id": "c", "name": "look", "arguments": json.dumps(arguments)}]

    with guard_of(LOOK) as guard:
        tools = OpenAITools(guard, [look])
        assert list(tools.responses_tools[0]["parameters"]["properties"]) == ["text"]
        with guard.run("w"):
            assert tools.answer(call(text="x"))[0]["output"] == "x None"
            assert "context" in tools.answer(call(text="x", context={"deps": 1}))[0]["output"]
        with pytest.raises(ConfigurationError, match="nobody would fill in its context `context`"):
            OpenAITools(guard, [_named(look_sync, "look")])


def _named(body: Callable[..., Any], name: str) -> Callable[..., Any]:
    def look(context: RunContext[Session], text: str) -> str:
        return str(body(context, text))

    look.__name__ = name
    return look


def node(guarded: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([guarded]))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    return graph.compile()


def typed(text: str, runtime: ToolRuntime) -> str:
    """Look."""
    return f"{text} {type(runtime).__name__}"


def untyped(text: str, runtime: Any) -> str:
    """Look."""
    return f"{text} {type(runtime).__name__}"


@pytest.mark.parametrize("body", [typed, untyped])
def test_langgraphs_runtime_is_set_aside_also_where_only_its_name_says_what_it_is(body: Callable[..., str]) -> None:
    """The graph fills in `runtime` by its name: its state, its config and its keys stood in the ledger."""
    made = StructuredTool.from_function(body, name="look")
    call = {"type": "tool_call", "id": "c", "name": "look", "args": {"text": "x"}}
    with guard_of(LOOK) as guard:
        guarded = guard.wrap(made)
        with guard.run("w"):
            state = {"messages": [AIMessage("", tool_calls=[call])]}
            answer = node(guarded).invoke(state, {"configurable": {"api_key": KEY}})["messages"][-1]
        assert answer.content == "x ToolRuntime"
        (decision,) = guard.records(kind="decision")
        assert decision["arguments"] == {"text": "x"}
        assert left_out(recorded(guard), KEY)


def test_a_runtime_that_a_model_writes_is_judged() -> None:
    made = StructuredTool.from_function(untyped, name="look")
    with guard_of(LOOK) as guard:
        guarded = guard.wrap(made)
        with guard.run("w"), pytest.raises(ToolCallDenied):
            guarded.invoke({"text": "x", "runtime": {"state": {}}})


def test_the_fake_of_these_tests_is_told_as_the_real_one_is() -> None:
    assert is_context(CONTEXT) and is_context(OwnContext(1))
    assert not is_context(Session()) and not is_context("RunContext")


# With the real packages, where they are installed.


def test_openai_agents_context_is_no_argument() -> None:
    agents = pytest.importorskip("agents")
    from agents.tool_context import ToolContext

    def look(context: Any, text: str) -> str:
        """Look."""
        return f"{text} for {context.context.user}"

    for hint in (agents.RunContextWrapper[Session], ToolContext[Session]):
        look.__annotations__["context"] = hint
        with guard_of(LOOK) as guard:
            tool = agents.function_tool(guard.wrap(look))
            assert list(tool.params_json_schema["properties"]) == ["text"]

            async def ask(guard: Any = guard, tool: Any = tool) -> Any:
                async with guard.run("w"):
                    context = ToolContext(
                        context=Session(), tool_name="look", tool_call_id="c", tool_arguments='{"text":"x"}'
                    )
                    return await tool.on_invoke_tool(context, '{"text":"x"}')

            assert asyncio.run(ask()) == "x for eli"
            assert left_out(recorded(guard), KEY)


def test_pydantic_ais_context_is_no_argument() -> None:
    ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.test import TestModel

    def look(context: Any, text: str) -> str:
        return f"{text} for {context.deps.user}"

    look.__annotations__["context"] = ai.RunContext[Session]
    with guard_of(LOOK) as guard:
        agent = ai.Agent(TestModel(), deps_type=Session, tools=[guard.wrap(look)])
        with guard.run("w"):
            said = agent.run_sync("look", deps=Session())
        assert said.output == '{"look":"a for eli"}'
        assert left_out(recorded(guard), KEY)


@pytest.mark.parametrize("package", ["mcp.server.mcpserver", "mcp.server.fastmcp", "fastmcp"])
def test_an_mcp_servers_context_is_no_argument(package: str) -> None:
    module = pytest.importorskip(package)
    server = (getattr(module, "MCPServer", None) or module.FastMCP)("s")

    def look(text: str, ctx: Any) -> str:
        return f"{text} {type(ctx).__name__}"

    look.__annotations__["ctx"] = module.Context
    with guard_of(LOOK) as guard:
        server.tool()(guard.wrap(look))

        async def ask() -> Any:
            async with guard.run("w"):
                return await server.call_tool("look", {"text": "x"})

        assert "x Context" in str(asyncio.run(ask()))
        (decision,) = guard.records(kind="decision")
        assert decision["arguments"] == {"text": "x"}


def test_adks_context_is_no_argument() -> None:
    pytest.importorskip("google.adk")
    from google.adk.tools import FunctionTool, ToolContext

    def look(text: str, tool_context: Any) -> str:
        """Look."""
        return f"{text} {tool_context.state['user']}"

    look.__annotations__["tool_context"] = ToolContext
    context: Any = object.__new__(ToolContext)
    context._state = {"user": "eli", "api_key": KEY}
    with guard_of(LOOK) as guard:
        tool = FunctionTool(guard.wrap(look))

        async def ask() -> Any:
            async with guard.run("w"):
                return await tool.run_async(args={"text": "x"}, tool_context=context)

        assert asyncio.run(ask()) == "x eli"
        assert left_out(recorded(guard), KEY)
