"""Puts a stream together before anything of it is answered. What was cut off is never half answered."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass, field
from typing import Any

from agentguard.errors import AgentGuardError


class StreamCut(AgentGuardError):
    """The stream ended early or contradicts itself; nothing ran. Ask the model again."""


@dataclass(slots=True)
class _Partial:
    id: str = ""
    name: str = ""
    kind: str = ""
    arguments: list[str] = field(default_factory=list)


class _Chat:
    """One chat message, built of chunks."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._calls: dict[int, _Partial] = {}
        self._finish: str | None = None

    def add(self, chunk: Any) -> None:
        for choice in chunk.choices:
            if choice.index != 0:
                raise StreamCut("the stream holds several choices; ask for one (`n=1`)")
            if self._finish is not None:
                raise StreamCut("the stream goes on after its end; nothing ran")
            delta = choice.delta
            if getattr(delta, "content", None):
                self._content.append(delta.content)
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

    def message(self) -> dict[str, Any]:
        """The completion as a dict of the API's own form."""
        if self._finish is None:
            raise StreamCut("the stream ended before the message did; nothing ran")
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._content) or None}
        calls = [_written(self._calls[index]) for index in sorted(self._calls)]
        if calls:
            message["tool_calls"] = calls
        return {"choices": [{"index": 0, "finish_reason": self._finish, "message": message}]}


def _once(before: str, piece: str | None, what: str) -> str:
    """An id, type or name comes whole and once; a second, different one is another call's."""
    if not piece or piece == before:
        return before
    if before:
        raise StreamCut(f"the stream gives one call two values of `{what}`; nothing ran")
    return piece


def _written(call: _Partial) -> dict[str, Any]:
    function = {"name": call.name, "arguments": "".join(call.arguments)}
    return {"id": call.id, "type": call.kind or "function", "function": function}


def assemble_chat(stream: Iterable[Any]) -> dict[str, Any]:
    """The chat completion that a stream of chunks spells, for ``OpenAITools.answer``. Raises StreamCut.

    The assistant message, to append to ``messages``, is ``["choices"][0]["message"]`` of the result.
    """
    chat = _Chat()
    for chunk in stream:
        chat.add(chunk)
    return chat.message()


async def aassemble_chat(stream: AsyncIterable[Any]) -> dict[str, Any]:
    """As ``assemble_chat``, for an asynchronous stream."""
    chat = _Chat()
    async for chunk in stream:
        chat.add(chunk)
    return chat.message()


_LAST = ("response.completed", "response.incomplete", "response.failed")


def assemble_responses(stream: Iterable[Any]) -> Any:
    """The whole response at the end of a stream of events, for ``OpenAITools.answer``. Raises StreamCut."""
    last = None
    for event in stream:
        last = event.response if event.type in _LAST else last
    return _whole(last)


async def aassemble_responses(stream: AsyncIterable[Any]) -> Any:
    """As ``assemble_responses``, for an asynchronous stream."""
    last = None
    async for event in stream:
        last = event.response if event.type in _LAST else last
    return _whole(last)


def _whole(response: Any) -> Any:
    if response is None:
        raise StreamCut("the stream ended before the response did; nothing ran")
    return response
