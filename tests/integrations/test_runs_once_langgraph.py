"""What LangGraph executes again: the same call of the same message runs once, and a later one is another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, RetryPolicy, Send, interrupt
from small_bundle import TEXT, WHOLE, guard_of
from typing_extensions import TypedDict

THREAD: Any = {"configurable": {"thread_id": "1"}}
POLICY: dict[str, Any] = {
    "pay": {"args": {"cents": WHOLE}, "effect": "write", "at_most": 3},
    "look": {"args": {"cents": WHOLE}},
    "ask": {"args": {"text": TEXT}, "effect": "write", "at_most": 1},
}
RETRIES = RetryPolicy(max_attempts=3, initial_interval=0.0, jitter=False, retry_on=RuntimeError)


class Busy(RuntimeError):
    """A node that fails, and is executed again."""


class Did:
    """What the tools did, and how often the node was executed."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.looked: list[int] = []
        self.asked: list[str] = []
        self.breaks = 0

    def tools(self) -> list[BaseTool]:
        @tool
        def pay(cents: int) -> str:
            """Pay."""
            self.paid.append(cents)
            return f"paid {cents}"

        @tool
        def look(cents: int) -> str:
            """Look."""
            self.looked.append(cents)
            return f"seen {len(self.looked)}"

        @tool
        def ask(text: str) -> str:
            """Ask."""
            self.asked.append(text)
            return str(interrupt(text))

        return [pay, look, ask]


def call(name: str, arguments: dict[str, Any], call_id: str = "c") -> Any:
    return {"type": "tool_call", "id": call_id, "name": name, "args": arguments}


def message(*calls: Any) -> dict[str, Any]:
    return {"messages": [AIMessage("", tool_calls=list(calls))]}


def told(state: Any) -> list[Any]:
    return [each.content for each in state["messages"] if isinstance(each, ToolMessage)]


def graph(
    node: Any, *, saver: bool = True, retry: RetryPolicy | None = None, state: Any = MessagesState, spread: bool = False
) -> Any:
    made = StateGraph(state)
    made.add_node("tools", node, retry_policy=retry)
    if spread:
        made.add_conditional_edges(START, lambda s: [Send("tools", [each]) for each in s["messages"][-1].tool_calls])
    else:
        made.add_edge(START, "tools")
    made.add_edge("tools", END)
    return made.compile(checkpointer=InMemorySaver() if saver else None)


def breaking(tools: list[BaseTool], did: Did, *, times: int, asynchronous: bool) -> Callable[..., Any]:
    """A tool node that has made its calls, and then fails so many times."""
    inner = ToolNode(tools)

    def after(found: Any) -> Any:
        did.breaks += 1
        if did.breaks <= times:
            raise Busy
        return found

    if asynchronous:

        async def anode(state: Any) -> Any:
            return after(await inner.ainvoke(state))

        return anode
    return lambda state: after(inner.invoke(state))


@pytest.mark.parametrize("saver", [True, False])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_node_that_is_executed_again_after_a_failure_makes_no_call_twice(saver: bool, asynchronous: bool) -> None:
    did = Did()
    with guard_of(POLICY) as guard, guard.run("w"):
        node = breaking(guard.wrap(did.tools()), did, times=2, asynchronous=asynchronous)
        app = graph(node, saver=saver, retry=RETRIES)
        calls = message(call("pay", {"cents": 5}), call("look", {"cents": 5}, "c1"))
        state = asyncio.run(app.ainvoke(calls, THREAD)) if asynchronous else app.invoke(calls, THREAD)
        assert (did.breaks, did.paid, did.looked) == (3, [5], [5])
        assert told(state) == ["paid 5", "seen 1"]
        assert [each["outcome"] for each in guard.records(kind="outcome")] == ["succeeded"] * 2
        assert len([*guard.records(kind="repetition")]) == 4


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_after_a_question_nothing_is_done_twice(spread: bool, asynchronous: bool) -> None:
    """With one task for all calls, and with one for each (``Send``), which LangGraph need not execute again."""
    did = Did()
    with guard_of(POLICY) as guard, guard.run("w"):
        app = graph(ToolNode(guard.wrap(did.tools())), spread=spread)
        calls = message(call("pay", {"cents": 5}), call("ask", {"text": "to whom?"}, "c1"))
        if asynchronous:
            asyncio.run(app.ainvoke(calls, THREAD))
            state = asyncio.run(app.ainvoke(Command(resume="bob"), THREAD))
        else:
            app.invoke(calls, THREAD)
            state = app.invoke(Command(resume="bob"), THREAD)
        assert (did.paid, did.asked) == ([5], ["to whom?"] * 2)
        assert sorted(told(state)) == ["bob", "paid 5"]
        assert [each["outcome"] for each in guard.records(kind="outcome")] == ["succeeded"] * 2


def test_a_suspended_call_takes_nothing_more_and_is_on_record() -> None:
    did = Did()
    with guard_of(POLICY) as guard, guard.run("w") as run:
        app = graph(ToolNode(guard.wrap(did.tools())))
        app.invoke(message(call("ask", {"text": "who?"})), THREAD)
        (first,) = guard.records(kind="decision")
        (paused,) = guard.records(kind="suspension")
        assert (paused["decision_id"], paused["run_id"]) == (first["decision_id"], run.id)
        assert not [*guard.records(kind="outcome")]
        app.invoke(Command(resume="bob"), THREAD)
        (again,) = guard.records(kind="repetition")
        (outcome,) = guard.records(kind="outcome")
        assert again["repeats"] == first["decision_id"] == outcome["decision_id"]
        assert guard.operations.run(run.id).counts == {"ask": 1}


def test_a_suspended_call_to_which_nobody_comes_back_is_unknown_when_its_run_ends() -> None:
    did = Did()
    with guard_of(POLICY) as guard:
        with guard.run("w"):
            graph(ToolNode(guard.wrap(did.tools()))).invoke(message(call("ask", {"text": "who?"})), THREAD)
            assert not [*guard.records(kind="outcome")]
        assert [each["outcome"] for each in guard.records(kind="outcome")] == ["unknown"]


def test_a_suspended_call_does_not_go_on_in_a_run_that_was_stopped() -> None:
    did = Did()
    with guard_of(POLICY) as guard, guard.run("w") as run:
        app = graph(ToolNode(guard.wrap(did.tools())))
        app.invoke(message(call("ask", {"text": "who?"})), THREAD)
        guard.operations.stop_run(run.id, by="user:dana", why="odd")
        assert "not allowed" in told(app.invoke(Command(resume="bob"), THREAD))[0]
        assert did.asked == ["who?"]


def test_a_tool_that_asks_twice_goes_on_twice() -> None:
    @tool
    def ask(text: str) -> str:
        """Ask."""
        return f"{interrupt(text)} {interrupt('sure?')}"

    with guard_of(POLICY) as guard, guard.run("w"):
        app = graph(ToolNode([guard.wrap(ask)]))
        app.invoke(message(call("ask", {"text": "who?"})), THREAD)
        app.invoke(Command(resume="bob"), THREAD)
        assert told(app.invoke(Command(resume="yes"), THREAD)) == ["bob yes"]
        assert [each["outcome"] for each in guard.records(kind="outcome")] == ["succeeded"]
        assert len([*guard.records(kind="suspension")]) == 2


def test_a_loop_with_the_same_id_in_each_message_calls_anew() -> None:
    """Some servers count the calls of each message from nought. A read in a later turn reads again."""
    did = Did()

    def model(state: Any) -> Any:
        done = len(told(state)) >= 3
        return {
            "messages": [AIMessage("done") if done else message(call("look", {"cents": 5}, "call_0"))["messages"][0]]
        }

    with guard_of(POLICY) as guard, guard.run("w"):
        loop = StateGraph(MessagesState)
        loop.add_node("model", model)
        loop.add_node("tools", ToolNode(guard.wrap(did.tools())))
        loop.add_edge(START, "model")
        loop.add_conditional_edges("model", lambda state: "tools" if state["messages"][-1].tool_calls else END)
        loop.add_edge("tools", "model")
        state = loop.compile().invoke({"messages": [("user", "hi")]})
        assert told(state) == ["seen 1", "seen 2", "seen 3"]
        assert not [*guard.records(kind="repetition")]


@pytest.mark.parametrize("saver", [True, False])
def test_a_loop_inside_one_node_calls_anew(saver: bool) -> None:
    """Its messages are not in the state, so nobody knows that the second is not the first made again."""
    did = Did()

    def node(state: Any) -> Any:
        calls = [call("look", {"cents": cents}, "call_0") for cents in (1, 1, 2)]
        return {"messages": [tools[0].invoke(each) for each in calls]}

    with guard_of(POLICY) as guard, guard.run("w"):
        tools = [each for each in guard.wrap(did.tools()) if each.name == "look"]
        assert graph(node, saver=saver).invoke({"messages": [("user", "hi")]}, THREAD)
        assert did.looked == [1, 1, 2]


def test_a_node_of_the_developers_own_is_known_too() -> None:
    did = Did()

    def node(state: Any) -> Any:
        answers = [
            tools[each["name"]].invoke({**each, "type": "tool_call"}) for each in state["messages"][-1].tool_calls
        ]
        did.breaks += 1
        if did.breaks == 1:
            raise Busy
        return {"messages": answers}

    with guard_of(POLICY) as guard, guard.run("w"):
        tools = {each.name: each for each in guard.wrap(did.tools())}
        state = graph(node, retry=RETRIES).invoke(message(call("pay", {"cents": 5})), THREAD)
        assert (did.breaks, did.paid, told(state)) == (2, [5], ["paid 5"])


class Chat(TypedDict):
    chat: Annotated[list[AnyMessage], add_messages]


def test_messages_under_another_name_are_found() -> None:
    did = Did()
    with guard_of(POLICY) as guard, guard.run("w"):
        inner = ToolNode(guard.wrap(did.tools()), messages_key="chat")
        made = StateGraph(Chat)

        def node(state: Any) -> Any:
            found = inner.invoke(state)
            did.breaks += 1
            if did.breaks == 1:
                raise Busy
            return found

        made.add_node("tools", node, retry_policy=RETRIES)
        made.add_edge(START, "tools")
        state = made.compile().invoke({"chat": message(call("pay", {"cents": 5}))["messages"]})
        assert did.paid == [5]
        assert [each.content for each in state["chat"] if isinstance(each, ToolMessage)] == ["paid 5"]


def test_a_failure_is_told_as_such_and_never_as_a_refusal() -> None:
    broke: list[int] = []

    @tool
    def pay(cents: int) -> str:
        """Pay."""
        broke.append(cents)
        raise Busy

    with guard_of(POLICY) as guard, guard.run("w"):
        app = graph(ToolNode([guard.wrap(pay)], handle_tool_errors=False), retry=RETRIES)
        _, said = app.invoke(message(call("pay", {"cents": 5})), THREAD)["messages"]
        assert broke == [5]
        assert said.status == "error"
        assert said.artifact["status"] == "failed"
        assert "not allowed" not in said.content


def test_a_later_run_of_the_graph_is_another_turn() -> None:
    did = Did()
    with guard_of(POLICY) as guard, guard.run("w"):
        app = graph(ToolNode(guard.wrap(did.tools())))
        for _ in range(2):
            app.invoke({"messages": [AIMessage("", tool_calls=[call("look", {"cents": 5})], id="m1")]}, THREAD)
        assert did.looked == [5, 5]
