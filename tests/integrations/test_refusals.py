"""A refusal can be read by a program in every framework, and not only by whoever understands its prose."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from small_bundle import WHOLE, guard_of

from agentguard import ApprovalPending, ApprovalRefused, ToolCallDenied, ToolCallRefused
from agentguard.integrations.langchain import DeniedTool, PendingTool, RefusedTool

POLICY = {"pay": {"args": {"cents": WHOLE}, "require": ["args.cents < 100"], "approval": True}}


@tool
def pay(cents: int) -> str:
    """Pay."""
    return "paid"


def node(guarded: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([guarded]))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    return graph.compile()


@pytest.mark.parametrize("way", ["invoke", "graph"])
def test_a_refused_langchain_call_has_an_artifact(way: str) -> None:
    def answer(cents: int) -> ToolMessage:
        call = {"type": "tool_call", "id": "c", "name": "pay", "args": {"cents": cents}}
        if way == "invoke":
            said: ToolMessage = guarded.invoke(call)
        else:
            said = node(guarded).invoke({"messages": [AIMessage("", tool_calls=[call])]})["messages"][-1]
        return said

    with guard_of(POLICY) as guard:
        guarded = guard.wrap(pay)
        with guard.run("w", requester="user:eli") as run:
            denied, pending = answer(500), answer(5)
        (approval,) = run.waiting
        ids = [record["decision_id"] for record in guard.records(kind="decision")]
        guard.operations.answer(approval, approver="user:dana", approve=True)
        with guard.resume(run.id):
            paid = answer(5)

    assert denied.artifact == {"status": "denied", "decision_id": ids[0], "approval_id": None}
    assert pending.artifact == {"status": "pending", "decision_id": ids[1], "approval_id": approval}
    assert approval not in str(pending.content)
    assert (paid.content, paid.artifact) == ("paid", None)


@pytest.mark.parametrize(("refused", "status", "approval"), [
    (ToolCallDenied("d"), "denied", None), (DeniedTool("d"), "denied", None),
    (ApprovalPending("d", "a"), "pending", "a"), (PendingTool("d", "a"), "pending", "a"),
    (ApprovalRefused("d"), "refused", None), (RefusedTool("d"), "refused", None),
], ids=repr)  # fmt: skip
def test_each_refusal_says_what_it_is(refused: ToolCallRefused, status: str, approval: str | None) -> None:
    """Also after it was sent from a worker process."""
    for error in (refused, pickle.loads(pickle.dumps(refused))):
        assert error.artifact == {"status": status, "decision_id": "d", "approval_id": approval}


def test_a_refusal_raised_through_another_framework_is_told_to_its_handler() -> None:
    """openai-agents hands the exception to `failure_error_function`."""
    agents = pytest.importorskip("agents")
    import asyncio

    from agents.tool_context import ToolContext

    seen: list[Any] = []

    def plain(cents: int) -> str:
        """Pay."""
        raise AssertionError

    def handler(context: Any, error: Exception) -> str:
        seen.append(error.artifact if isinstance(error, ToolCallRefused) else error)
        return str(error)

    plain.__name__ = "pay"
    with guard_of(POLICY) as guard:
        made = agents.function_tool(guard.wrap(plain), failure_error_function=handler)

        async def ask() -> Any:
            async with guard.run("w"):
                given = '{"cents": 500}'
                context = ToolContext(context=None, tool_name="pay", tool_call_id="c", tool_arguments=given)
                return await made.on_invoke_tool(context, given)

        asyncio.run(ask())
        (record,) = guard.records(kind="decision")
    assert seen == [{"status": "denied", "decision_id": record["decision_id"], "approval_id": None}]
