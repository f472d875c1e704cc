"""Which message a call of a LangGraph node stands in, and which exceptions say that a tool interrupted itself.

LangGraph executes a node again after a question (``interrupt``) and after a failure (``RetryPolicy``). Its name of that
execution (``checkpoint_ns``) is the same then, and another in every later step; so it is the turn of the calls in the
message that the node answers, the model's newest in the graph's state. A call that does not stand there is made by a
loop inside one node: nobody knows which message it stands in, and it is like no other.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables.config import var_child_runnable_config

from agentguard.guard import CallRef


def known_as(call_id: str | None) -> str | None:
    """The call's id, which knows its message where the config of the tool that runs leads to it."""
    config = None if call_id is None else var_child_runnable_config.get()
    place = config.get("configurable") if isinstance(config, Mapping) else None
    if call_id is None or not isinstance(place, Mapping):
        return call_id
    execution = place.get("checkpoint_ns")
    if not isinstance(execution, str) or not execution:
        return call_id
    answered = any(call.get("id") == call_id for message in _answered(place) for call in message.tool_calls)
    return CallRef(call_id, execution) if answered else call_id


def _answered(place: Mapping[str, Any]) -> Iterable[AIMessage]:
    """The message of the model that the node answers: the newest in each list of messages that the state has."""
    read = place.get("__pregel_read")
    if read is None:
        return
    try:
        lists = [read("messages")]
    except Exception:  # the state has no such part
        lists = _all_of(read)
    for found in lists:
        newest = (
            (message for message in reversed(found) if isinstance(message, AIMessage))
            if isinstance(found, list)
            else ()
        )
        yield from islice(newest, 1)


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
