"""Whether a result says that its tool failed: frameworks let a tool return its failure instead of raising it.

A failure is told by the shape of what came back, so no framework is imported:

1. An exception that was returned, as itself or among other results.
2. Anything that carries ``is_error`` or ``isError``, and it is true: MCP's results, FastMCP's, Anthropic's, AutoGen's.
3. A message with the ``status`` "error" (LangChain's ToolMessage), also inside a LangGraph ``Command``.
4. A class that frameworks return for nothing but "it was not done" (``_SAY_NO``), or an outcome other than success.

A dict counts only where a framework reads it as such an answer: data that merely tells of an error elsewhere is data.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Mapping
from typing import Any

from agentguard.policy.keeps import structure

# Frameworks keep what they read of a result near its top. What lies deeper, or past so many parts, is data.
MAX_DEPTH = 8
MAX_PARTS = 50_000

# Package and class: whoever returns one says that the work was not done.
_SAY_NO = frozenset({
    ("mcp", "JSONRPCError"), ("mcp_types", "JSONRPCError"), ("mcp", "ErrorData"), ("mcp_types", "ErrorData"),
    ("mcp", "InputRequiredResult"), ("mcp_types", "InputRequiredResult"),
    ("pydantic_ai", "ToolDenied"), ("pydantic_ai", "RetryPromptPart"),
})  # fmt: skip
# What the members below say when the work was not done.
_BAD = {
    "status": frozenset({"error", "failed", "failure", "cancelled"}),
    "outcome": frozenset({"failed", "denied", "interrupted", "retried"}),
}
# Packages whose own classes are read by these members. Elsewhere a status may be anything's.
_READ = frozenset({"langchain_core", "langgraph", "mcp", "mcp_types", "fastmcp", "pydantic_ai", "agents", "google"})
# A dict with an `error` status is an answer of a tool only beside one of these.
_ANSWERS = frozenset({"tool_call_id", "toolUseId", "error_message"})
_SCALARS = (str, bytes, bytearray, int, float, bool, type(None))
_SAY_NOTHING = frozenset(_SCALARS)
_LISTS = (list, tuple, set, frozenset, deque)
# Classes of frameworks that hold answers, and where.
_HOLDS = {"Command": "update", "ToolMessage": "artifact", "ToolReturn": "return_value"}


def says_failed(result: object, call_id: str | None = None) -> str | None:
    """The type of the part of a result that says its tool failed; None where none does. Never raises.

    ``call_id`` is the call's own: where a result answers it, what the result says of other calls does not count.
    """
    if type(result) in _SAY_NOTHING:
        return None
    answered = False
    failures: list[tuple[str, object]] = []
    pending: deque[tuple[object, int, bool]] = deque([(result, 0, True)])
    seen: set[int] = set()
    while pending and len(seen) < MAX_PARTS:
        value, depth, outside = pending.popleft()
        if _is(value, *_SCALARS) or id(value) in seen:
            continue
        seen.add(id(value))
        try:
            of = _member(value, "tool_call_id")
            failed = _failed(value, outside, depth)
            inside = list(_inside(value)) if depth < MAX_DEPTH else []
        except Exception:  # what cannot be looked at cannot be taken for a success
            of, failed, inside = None, True, []
        answered = answered or (call_id is not None and of == call_id)
        if failed:
            failures.append((type(value).__name__, of))
        pending.extend((part, depth + 1, outside and not _is(value, Mapping)) for part in inside)
    counted = (name for name, of in failures if not answered or of in (None, call_id))
    return next(counted, None)


def _failed(value: Any, outside: bool, depth: int) -> bool:
    if _is(value, Mapping):
        return _failed_dict(value, outside)
    if _is(value, BaseException):
        return True
    kinds = {(cls.__module__.partition(".")[0], cls.__name__) for cls in type(value).__mro__}
    known = not _READ.isdisjoint(package for package, _ in kinds)
    if _member(value, "is_error") is True or _member(value, "isError") is True:
        # In a list of an application's own objects it may be a member of the data.
        return known or depth == 0 or _member(value, "content") is not None
    if not kinds.isdisjoint(_SAY_NO):
        return True
    return known and any(_text(_member(value, name)) in bad for name, bad in _BAD.items())


def _failed_dict(value: Mapping[Any, Any], outside: bool) -> bool:
    """``outside``: no other dict holds it, so it is the answer, or one of several."""
    if value.get("is_error") is True or value.get("isError") is True:
        return (outside and "content" in value) or value.get("type") == "tool_result"
    return value.get("status") == "error" and not _ANSWERS.isdisjoint(value)


def _inside(value: Any) -> Any:
    """The parts of a value in which a framework looks for an answer."""
    if _is(value, Mapping):
        return value.values()
    if _is(value, *_LISTS):
        return value
    names = [cls.__name__ for cls in type(value).__mro__ if cls.__module__.partition(".")[0] in _READ]
    parts = [_member(value, _HOLDS[name]) for name in names if name in _HOLDS]
    return [structure(part) for part in parts] if "Command" in names else parts  # a state may be a model


def _member(value: Any, name: str) -> Any:
    """Data that the object holds. What it would compute, such as ``is_error`` of an HTTP response, is not read."""
    if _is(value, Mapping):
        return value.get(name)
    held = inspect.getattr_static(value, name, None)
    if inspect.ismemberdescriptor(held):  # a slot, which may be empty
        return held.__get__(value, type(value)) if hasattr(value, name) else None
    return None if isinstance(held, property) or inspect.isroutine(held) else held


def _is(value: object, *kinds: type) -> bool:
    """By its type: a result may lie about its class."""
    return issubclass(type(value), kinds)


def _text(value: object) -> str | None:
    return str(getattr(value, "value", value)) if isinstance(value, str) or hasattr(value, "value") else None
