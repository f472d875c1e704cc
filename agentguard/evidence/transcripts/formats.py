"""How each format says that a tool was called: one function a format, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from agentguard.evidence.transcripts.events import (
    Called,
    NotATranscript,
    Trace,
    arguments,
    members,
    moment,
    result,
    tool_name,
)


class Find(Protocol):
    """Finds the run of a name, or None where it is not looked at. ``begun``: of a log that names no runs, how many of
    them its lines have begun so far."""

    begun: int

    def __call__(self, name: str) -> Trace | None:
        """The run."""


class Format(NamedTuple):
    """``fits``: whether a line looks like one of it. ``read``: the line's calls go into their runs."""

    fits: Callable[[Any], bool]
    read: Callable[[Any, int, Find], None]


def _openai_fits(line: Any) -> bool:
    return _messages(line) is not None


def _messages(line: Any) -> list[Any] | None:
    if isinstance(line, list):
        return line
    if not isinstance(line, dict):
        return None
    for part in (line, line.get("request"), line.get("body")):
        for name in ("messages", "items", "input"):
            if isinstance(part, dict) and isinstance(part.get(name), list):
                found: list[Any] = part[name]
                return [*found, *_response(line)]
    return None


def _response(line: Mapping[str, Any]) -> Iterator[Any]:
    response = line.get("response")
    if isinstance(response, dict):
        yield from (c["message"] for c in response.get("choices") or () if isinstance(c, dict) and "message" in c)
        yield from response.get("output") or ()
    yield from line.get("output") or () if isinstance(line.get("output"), list) else ()


def _openai(line: Any, number: int, find: Find) -> None:
    about = line if isinstance(line, dict) else {}
    trace = find(str(about.get("id") or about.get("conversation_id") or f"line-{number}"))
    if trace is None:
        return
    trace.about(about)
    trace.about(about.get("metadata"))
    at = moment(about.get("created") or about.get("created_at"))
    for message in members(_messages(line), "messages, each an object with `role` and `content`"):
        kind = message.get("type")
        if kind == "function_call":
            _call(trace, message.get("call_id"), message.get("name"), message.get("arguments"), number, at)
        elif kind == "function_call_output":
            trace.answered(message.get("call_id"), result(message.get("output")))
        elif message.get("role") == "assistant":
            for call in members(message.get("tool_calls") or [], "`tool_calls`, a list of objects"):
                function = call.get("function")
                if isinstance(function, dict):
                    _call(trace, call.get("id"), function.get("name"), function.get("arguments"), number, at)
        elif message.get("role") == "tool":
            said = message.get("content")
            failed = message.get("status") == "error" or (isinstance(said, str) and said.startswith(_FAILURES))
            trace.answered(message.get("tool_call_id"), result(said), failed=failed)


# OpenAI's messages have no word for a failure. These are how agents' frameworks begin one; to be wrong here means that
# a call teaches nothing.
_FAILURES = ("Error:", "Error ", "Traceback (most recent call last)")


def _call(trace: Trace, key: Any, name: Any, given: Any, number: int, at: Any) -> None:
    trace.asked(key, Called(tool_name(name), arguments(given), (len(trace.calls),), at=at, line=number))


def _langsmith_fits(line: Any) -> bool:
    return isinstance(line, dict) and "run_type" in line


def _langsmith(line: Any, number: int, find: Find) -> None:
    trace = find(str(line.get("trace_id") or line.get("id") or ""))
    if trace is None:
        return
    extra = line.get("extra")
    trace.about(extra.get("metadata") if isinstance(extra, dict) else None)
    if line.get("run_type") != "tool":
        return
    given, outputs = line.get("inputs"), line.get("outputs")
    if isinstance(given, dict) and set(given) == {"input"}:
        given = given["input"] if isinstance(given["input"], dict | str) else given
    if isinstance(outputs, dict) and set(outputs) == {"output"}:
        outputs = outputs["output"]
    if isinstance(outputs, dict) and isinstance(outputs.get("content"), str | list) and outputs.get("type") == "tool":
        outputs = outputs["content"]
    order = (str(line.get("dotted_order") or line.get("start_time") or ""), number)
    trace.calls.append(
        Called(
            tool_name(line.get("name")),
            arguments(given),
            order,
            result(outputs),
            returned=outputs is not None,
            failed=bool(line.get("error")),
            at=moment(line.get("start_time")),
            line=number,
        )
    )


def _otel_fits(line: Any) -> bool:
    return isinstance(line, dict) and ("resourceSpans" in line or ("attributes" in line and "name" in line))


def _otel(line: Any, number: int, find: Find) -> None:
    for span in _spans(line):
        trace = find(str(span.get("traceId") or span.get("trace_id") or _context(span).get("trace_id") or ""))
        if trace is None:
            continue
        about = _attributes(span.get("attributes"))
        trace.about(about)
        if about.get("gen_ai.operation.name") != "execute_tool":
            continue
        began = span.get("startTimeUnixNano") or span.get("start_time")
        status = span.get("status")
        code = status.get("code") if isinstance(status, dict) else None
        returned = about.get("gen_ai.tool.call.result")
        trace.calls.append(
            Called(
                tool_name(about.get("gen_ai.tool.name")),
                _known(about.get("gen_ai.tool.call.arguments")),
                (str(began or "").rjust(32, "0"), number),
                result(returned),
                returned=returned is not None,
                failed="error.type" in about or code in (2, "ERROR", "STATUS_CODE_ERROR"),
                at=moment(began),
                line=number,
            )
        )


def _known(given: Any) -> Any:
    """Arguments are opt-in there: a span without them does not say that there were none."""
    return None if given is None else arguments(given)


def _spans(line: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "resourceSpans" not in line:
        yield line
        return
    for resource in members(line["resourceSpans"], "`resourceSpans`, a list of objects"):
        for scope in members(resource.get("scopeSpans") or [], "`scopeSpans`, a list of objects"):
            yield from members(scope.get("spans") or [], "`spans`, a list of objects")


def _context(span: Mapping[str, Any]) -> Mapping[str, Any]:
    found = span.get("context")
    return found if isinstance(found, dict) else {}


def _attributes(found: Any) -> dict[str, Any]:
    if isinstance(found, dict):
        return found
    plain: dict[str, Any] = {}
    for entry in members(found or [], "`attributes`, an object or a list of `key` and `value`"):
        plain[str(entry.get("key"))] = _value(entry.get("value"))
    return plain


def _value(value: Any) -> Any:
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, held),) = value.items()
    if kind == "kvlistValue" and isinstance(held, dict):
        return _attributes(held.get("values"))
    if kind == "arrayValue" and isinstance(held, dict):
        return [_value(item) for item in held.get("values") or ()]
    return int(held) if kind == "intValue" and isinstance(held, str) and held.lstrip("-").isdigit() else held


def _mcp_fits(line: Any) -> bool:
    return isinstance(_message(line), dict)


def _message(line: Any) -> Any:
    if not isinstance(line, dict):
        return None
    if "jsonrpc" in line:
        return line
    return next((line[name] for name in ("message", "payload", "data") if _is_rpc(line.get(name))), None)


def _is_rpc(value: Any) -> bool:
    return isinstance(value, dict) and "jsonrpc" in value


def _mcp(line: Any, number: int, find: Find) -> None:
    message = _message(line)
    if message is None:
        raise NotATranscript("expected a JSON-RPC message with `jsonrpc`, or one under `message`")
    named = next((line[name] for name in ("session", "session_id", "sessionId", "mcp-session-id") if name in line), "")
    # A log of one connection after the other, as a server writes it on its own: each begins with `initialize`.
    find.begun += message.get("method") == "initialize" and not named
    trace = find(str(named) or f"session-{find.begun}")
    if trace is None:
        return
    trace.about(line)
    at = moment(line.get("timestamp") or line.get("time"))
    parameters = message.get("params")
    if message.get("method") == "tools/call" and isinstance(parameters, dict):
        _call(trace, message.get("id"), parameters.get("name"), parameters.get("arguments"), number, at)
    elif "method" not in message and "id" in message:
        answer = message.get("result")
        known = answer if isinstance(answer, dict) else {}
        returned = known.get("structuredContent", result(known.get("content")))
        trace.answered(message["id"], returned, failed="error" in message or known.get("isError") is True)


# Tried in this order: a JSON-RPC message is nothing else, and messages stand in much.
FORMATS: Mapping[str, Format] = {
    "mcp": Format(_mcp_fits, _mcp),
    "langsmith": Format(_langsmith_fits, _langsmith),
    "otel": Format(_otel_fits, _otel),
    "openai": Format(_openai_fits, _openai),
}
