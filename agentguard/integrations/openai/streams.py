"""Puts a stream together before anything of it is answered. What was cut off is never half answered."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from agentguard.errors import AgentGuardError


class StreamCut(AgentGuardError):
    """The stream ended early or contradicts itself; nothing ran. Ask the model again."""


@dataclass(slots=True)
class _Partial:
    id: str = ""
    name: str = ""
    kind: str = ""
    arguments: list[str] = field(default_factory=list)


class Assembled(dict[str, Any]):
    """A part of a message as the API writes it. Its members can be read as the client's: ``.choices[0].message``."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        if name in _ABSENT:  # what the client's own objects have, and this message does not
            return None
        raise AttributeError(name)


_ABSENT = frozenset({
    "annotations", "audio", "content", "created", "function_call", "id", "logprobs", "model", "refusal",
    "service_tier", "system_fingerprint", "tool_calls", "usage",
})  # fmt: skip


class _Chat:
    """One chat message, built of chunks."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._refusal: list[str] = []
        self._content: list[str] = []
        self._calls: dict[int, _Partial] = {}
        self._finish: str | None = None

    def add(self, chunk: Any) -> None:
        for name in ("id", "created", "model", "usage"):
            if getattr(chunk, name, None):
                self._head[name] = getattr(chunk, name)
        for choice in chunk.choices:
            if choice.index != 0:
                raise StreamCut("the stream holds several choices; ask for one (`n=1`)")
            if self._finish is not None:
                raise StreamCut("the stream goes on after its end; nothing ran")
            delta = choice.delta
            if getattr(delta, "content", None):
                self._content.append(delta.content)
            if getattr(delta, "refusal", None):
                self._refusal.append(delta.refusal)
            if getattr(delta, "function_call", None) is not None:
                raise StreamCut("the stream uses the retired `function_call`; send `tools`, not `functions`")
            for piece in getattr(delta, "tool_calls", None) or ():
                self._add_call(piece)
            self._finish = choice.finish_reason

    def _add_call(self, piece: Any) -> None:
        call = self._calls.setdefault(piece.index, _Partial())
        call.id = _once(call.id, piece.id, "id")
        call.kind = _once(call.kind, getattr(piece, "type", None), "type")
        function = piece.function
        if function is not None:
            call.name = _once(call.name, function.name, "name")
            if function.arguments:
                call.arguments.append(function.arguments)

    def message(self) -> Assembled:
        """The completion, in the API's own form."""
        if self._finish is None:
            raise StreamCut("the stream ended before the message did; nothing ran")
        message = Assembled(role="assistant", content="".join(self._content) or None)
        if self._refusal:
            message["refusal"] = "".join(self._refusal)
        calls = [_written(self._calls[index]) for index in sorted(self._calls)]
        if calls:
            message["tool_calls"] = calls
        choice = Assembled(index=0, finish_reason=self._finish, message=message)
        return Assembled(**self._head, object="chat.completion", choices=[choice])


def _once(before: str, piece: str | None, what: str) -> str:
    """An id, type or name comes whole and once; a second, different one is another call's."""
    if not piece or piece == before:
        return before
    if before:
        raise StreamCut(f"the stream gives one call two values of `{what}`; nothing ran")
    return piece


def _written(call: _Partial) -> Assembled:
    function = Assembled(name=call.name, arguments="".join(call.arguments))
    return Assembled(id=call.id, type=call.kind or "function", function=function)


def assemble_chat(stream: Iterable[Any]) -> Assembled:
    """The chat completion that a stream of chunks spells, for ``OpenAITools.answer``. Raises StreamCut.

    A loop uses it as the client's own: the assistant message, to append to ``messages``, is ``.choices[0].message``.
    """
    chat = _Chat()
    for chunk in stream:
        chat.add(chunk)
    return chat.message()


async def aassemble_chat(stream: AsyncIterable[Any]) -> Assembled:
    """As ``assemble_chat``, for an asynchronous stream."""
    chat = _Chat()
    async for chunk in stream:
        chat.add(chunk)
    return chat.message()


_LAST = ("response.completed", "response.incomplete", "response.failed")


class _Response:
    """One response, and the items that its stream finished."""

    def __init__(self) -> None:
        self._last: Any = None
        self._items: dict[int, Any] = {}

    def add(self, event: Any) -> None:
        if event.type in _LAST:
            self._last = event.response
        elif event.type in ("response.output_item.added", "response.output_item.done"):
            self._items[event.output_index] = event.item if event.type.endswith("done") else None

    def whole(self) -> Any:
        """The response. Servers that leave its output away at the end have told it in items before."""
        if self._last is None:
            raise StreamCut("the stream ended before the response did; nothing ran")
        told = _member(self._last, "output")
        if self._items and not told:
            return _with_output(self._last, [self._items[index] for index in sorted(self._items)])
        ends = list(map(_call, told or ()))
        for item in self._items.values():
            if item is not None and _call(item) is not None and _call(item) not in ends:
                raise StreamCut("the stream finished a call that its response does not hold; nothing ran")
        return self._last


def _with_output(response: Any, items: list[Any]) -> Any:
    if None in items:
        raise StreamCut("the stream began an item and did not finish it; nothing ran")
    if isinstance(response, Mapping):
        return {**response, "output": items}
    if isinstance(response, BaseModel):
        return response.model_copy(update={"output": items})
    raise StreamCut("the response at the end of the stream has no output; nothing ran")


def _call(item: Any) -> tuple[Any, ...] | None:
    """What must be the same of one call wherever the stream tells it."""
    kind = _member(item, "type")
    if not isinstance(kind, str) or not kind.endswith("_call"):
        return None
    return (kind, *(_member(item, name) for name in ("call_id", "namespace", "name", "arguments")))


def _member(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def assemble_responses(stream: Iterable[Any]) -> Any:
    """The whole response at the end of a stream of events, for ``OpenAITools.answer``. Raises StreamCut."""
    response = _Response()
    for event in stream:
        response.add(event)
    return response.whole()


async def aassemble_responses(stream: AsyncIterable[Any]) -> Any:
    """As ``assemble_responses``, for an asynchronous stream."""
    response = _Response()
    async for event in stream:
        response.add(event)
    return response.whole()
