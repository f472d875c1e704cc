"""The same call, made again by the graph after a question: the stored answer, never a second run, never a refusal."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt
from small_bundle import TEXT, WHOLE, guard_of

THREAD: Any = {"configurable": {"thread_id": "1"}}


def node(tools: list[Any]) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    return graph.compile(checkpointer=InMemorySaver())


def call(name: str, arguments: dict[str, Any], call_id: str = "c") -> Any:
    return {"type": "tool_call", "id": call_id, "name": name, "args": arguments}


def told(state: Any) -> list[Any]:
    return [message.content for message in state["messages"] if isinstance(message, ToolMessage)]


@tool
def ask(text: str) -> str:
    """Ask."""
    return str(interrupt(text))


def test_a_call_that_the_graph_makes_again_after_a_question_is_not_called_refused() -> None:
    paid: list[int] = []

    @tool
    def pay(cents: int) -> str:
        """Pay."""
        paid.append(cents)
        return "paid"

    policy = {"ask": {"args": {"text": TEXT}}, "pay": {"args": {"cents": WHOLE}, "effect": "write", "at_most": 1}}
    with guard_of(policy) as guard:
        app = node(guard.wrap([ask, pay]))
        with guard.run("w"):
            calls = [call("pay", {"cents": 5}), call("ask", {"text": "to whom?"}, "c1")]
            app.invoke({"messages": [AIMessage("", tool_calls=calls)]}, THREAD)
            state = app.invoke(Command(resume="bob"), THREAD)
    assert paid == [5]
    assert told(state) == ["paid", "bob"]


def test_a_tool_that_asks_inside_can_go_on_with_its_one_call() -> None:
    with guard_of({"ask": {"args": {"text": TEXT}, "at_most": 1}}) as guard:
        app = node([guard.wrap(ask)])
        with guard.run("w"):
            app.invoke({"messages": [AIMessage("", tool_calls=[call("ask", {"text": "who?"})])]}, THREAD)
            assert told(app.invoke(Command(resume="bob"), THREAD)) == ["bob"]
