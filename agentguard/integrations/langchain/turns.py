"""Which message a call of a LangGraph node stands in, and which exceptions say that a tool interrupted itself.

LangGraph executes a node again after a question (``interrupt``), after a failure (``RetryPolicy``) and from an earlier
checkpoint. The message with the tool calls stands in the graph's state then, before the node begins; so it is looked up
there, and its id is the turn. Where it has none, the node's execution (``checkpoint_ns``) stands for it: the same when
it is executed again, another in every later step. A call that no message of the state holds is made by a loop inside
one node: nobody knows which message it stands in, and it is like no other.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.messages import AIMessage

from agentguard.guard import CallRef


def ref_of(call_id: str | None, config: object) -> CallRef:
    """The call of this id, made with this config."""
    place = config.get("configurable") if isinstance(config, Mapping) else None
    if call_id is None or not isinstance(place, Mapping):
        return CallRef(call_id)
    execution = place.get("checkpoint_ns")
    if not isinstance(execution, str) or not execution:
        return CallRef(call_id)
    for message in _messages(place):
        if any(call.get("id") == call_id for call in message.tool_calls):
            return CallRef(call_id, f"message {message.id}" if message.id else f"execution {execution}")
    return CallRef(call_id)


def _messages(place: Mapping[str, Any]) -> Iterable[AIMessage]:
    """The model's messages that stand in the state of the graph, newest first."""
    read = place.get("__pregel_read")
    if read is None:
        return
    try:
        state = read("messages")
        lists = [state]
    except Exception:  # the state has no such part
        lists = _all_of(read)
    for found in lists:
        if isinstance(found, list):
            yield from (message for message in reversed(found) if isinstance(message, AIMessage))


def _all_of(read: Any) -> list[Any]:
    """Every part of the state, where its messages have another name."""
    try:
        return [*read(list(read.args[1])).values()]
    except Exception:  # another LangGraph than those we know
        return []


def interrupts_itself(error: BaseException) -> bool:
    """Whether a tool asks something of its graph, which will enter it again. LangGraph need not be installed."""
    errors = sys.modules.get("langgraph.errors")
    kind = getattr(errors, "GraphInterrupt", None)
    return isinstance(kind, type) and isinstance(error, kind)
