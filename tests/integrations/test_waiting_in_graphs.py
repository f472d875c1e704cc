"""A call that waits for a person interrupts its graph; what the graph is resumed with wakes it, and decides nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command
from small_bundle import TEXT, WHOLE, guard_of

from agentguard import Guard
from agentguard.integrations.langchain import await_in_graph, wait_in_graph

THREAD: Any = {"configurable": {"thread_id": "1"}}
POLICY: dict[str, dict[str, Any]] = {
    "pay": {"args": {"to": TEXT, "cents": WHOLE}, "effect": "write", "approval": True},
    "note": {"args": {"text": TEXT}, "effect": "write", "at_most": 1},
}


class World:
    """A graph of one node, and what its tools have done."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.paid: list[str] = []
        self.noted: list[str] = []
        paid, noted = self.paid, self.noted

        @tool
        def pay(to: str, cents: int) -> str:
            """Pay."""
            paid.append(f"{to} {cents}")
            return "paid"

        @tool
        def note(text: str) -> str:
            """Note."""
            noted.append(text)
            return "noted"

        graph = StateGraph(MessagesState)
        tools = ToolNode(guard.wrap([pay, note]), wrap_tool_call=wait_in_graph, awrap_tool_call=await_in_graph)
        graph.add_node("tools", tools)
        graph.add_edge(START, "tools")
        graph.add_edge("tools", END)
        self.app = graph.compile(checkpointer=InMemorySaver())

    def answer(self, approval_id: str, agree: bool = True) -> None:
        self.guard.operations.answer(approval_id, approver="user:dana", approve=agree)


def message(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    made = [{"type": "tool_call", "id": f"c{n}", "name": name, "args": args} for n, (name, args) in enumerate(calls)]
    return {"messages": [AIMessage("", tool_calls=made)]}


def told(state: Any) -> list[Any]:
    return [each.content for each in state["messages"] if isinstance(each, ToolMessage)]


def waits(state: Any) -> list[str]:
    return [each.value["approval_id"] for each in state["__interrupt__"]]


BOB = ("pay", {"to": "bob", "cents": 5})
EVE = ("pay", {"to": "eve", "cents": 7})
NOTE = ("note", {"text": "n"})


@pytest.mark.parametrize("value", [True, "yes", {"approved": True}, False, "approve"])
def test_what_a_graph_is_resumed_with_decides_nothing(value: object) -> None:
    with guard_of(POLICY) as guard:
        world = World(guard)
        with guard.run("w"):
            state = world.app.invoke(message(BOB), THREAD)
            (approval_id,) = waits(state)
            assert state["__interrupt__"][0].value["status"] == "pending"
            again = world.app.invoke(Command(resume=value), THREAD)
            assert waits(again) == [approval_id], "woken too early, it waits for the same answer"
            assert world.paid == []

            world.answer(approval_id)
            assert told(world.app.invoke(Command(resume=value), THREAD)) == ["paid"]
    assert world.paid == ["bob 5"]


def test_a_no_is_told_to_the_model_and_the_graph_goes_on() -> None:
    with guard_of(POLICY) as guard:
        world = World(guard)
        with guard.run("w"):
            (approval_id,) = waits(world.app.invoke(message(BOB), THREAD))
            world.answer(approval_id, agree=False)
            (said,) = told(world.app.invoke(Command(resume=True), THREAD))
    assert "was not allowed" in said
    assert world.paid == []


def test_calls_beside_it_run_once_and_each_waits_for_its_own_answer() -> None:
    with guard_of(POLICY) as guard:
        world = World(guard)
        with guard.run("w"):
            first = waits(world.app.invoke(message(NOTE, BOB, EVE), THREAD))
            assert world.noted == ["n"]
            rows = {row.request.id: row for row in guard.operations.approvals()}
            assert set(first) <= set(rows)
            for approval_id in rows:
                world.answer(approval_id)
            state = world.app.invoke(Command(resume=True), THREAD)
            for _ in range(3):
                if "__interrupt__" not in state:
                    break
                for approval_id in set(waits(state)) - set(rows):
                    world.answer(approval_id)
                state = world.app.invoke(Command(resume=True), THREAD)
            assert told(state) == ["noted", "paid", "paid"]
    assert sorted(world.paid) == ["bob 5", "eve 7"]
    assert world.noted == ["n"]


def test_tasks_wait_too() -> None:
    async def main(guard: Guard) -> World:
        world = World(guard)
        async with guard.run("w"):
            (approval_id,) = waits(await world.app.ainvoke(message(BOB), THREAD))
            assert waits(await world.app.ainvoke(Command(resume=1), THREAD)) == [approval_id]
            world.answer(approval_id)
            assert told(await world.app.ainvoke(Command(resume=1), THREAD)) == ["paid"]
        return world

    with guard_of(POLICY) as guard:
        assert asyncio.run(main(guard)).paid == ["bob 5"]


def test_whoever_goes_on_by_the_approval_has_answered_the_graph_too() -> None:
    """The worker that hears of the answer runs the call; the graph gets what it gave out."""
    with guard_of(POLICY) as guard:
        world = World(guard)
        with guard.run("w"):
            (approval_id,) = waits(world.app.invoke(message(BOB), THREAD))
            world.answer(approval_id)
            assert guard.proceed(approval_id) == "paid"
            assert told(world.app.invoke(Command(resume=True), THREAD)) == ["paid"]
    assert world.paid == ["bob 5"]
