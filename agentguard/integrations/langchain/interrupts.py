"""For LangGraph: a call that waits for a person interrupts its graph, and is made again when the graph is woken.

``ToolNode(tools, wrap_tool_call=wait_in_graph, awrap_tool_call=await_in_graph)``; the same two fit a middleware of
``create_agent``. The graph then stops with an interrupt that says what is waited for: ``status``, ``decision_id`` and
``approval_id``. What it is resumed with only wakes it: the call is decided anew by what people have answered, and the
graph is interrupted once more while they have not. Calls of the same message that ran before give their stored answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.messages import ToolMessage

from agentguard.errors import ApprovalPending


def wait_in_graph(request: Any, execute: Callable[[Any], Any]) -> Any:
    """What a tool gives out; or the graph is interrupted, for as long as the call waits for a person."""
    while True:
        answer = execute(request)
        waits = _waits(answer)
        if waits is None:
            return answer
        _interrupt(waits)


async def await_in_graph(request: Any, execute: Callable[[Any], Awaitable[Any]]) -> Any:
    """As ``wait_in_graph``, in a task."""
    while True:
        answer = await execute(request)
        waits = _waits(answer)
        if waits is None:
            return answer
        _interrupt(waits)


def _waits(answer: object) -> dict[str, Any] | None:
    """What is waited for, as the refusal of a guarded tool says it."""
    said = answer.artifact if isinstance(answer, ToolMessage) and answer.status == "error" else None
    waits = isinstance(said, dict) and said.get("status") == ApprovalPending.status
    return said if waits else None


def _interrupt(waits: dict[str, Any]) -> None:
    """Stop the graph here. It returns where the graph was woken, whatever it was woken with."""
    from langgraph.types import interrupt

    interrupt(waits)
