"""Which call of which message this is: how a call is known again that a framework makes a second time."""

from __future__ import annotations

import hashlib
from contextvars import ContextVar, Token
from typing import Self


class CallRef(str):
    """A call's id that knows its ``turn``: what names the model's message that it stands in, the same whenever that
    message is answered and another for every other message.

    A plain id is one of a call of which nobody knows the message; it is like no other call.
    """

    turn: str

    def __new__(cls, call_id: str, turn: str) -> Self:
        """Both are needed. What was made up on this side is neither."""
        made = super().__new__(cls, call_id)
        made.turn = turn
        return made


def key_of(call_id: str | None, run_id: str) -> str | None:
    """One name for this call of this run; None where it is like no other."""
    if not isinstance(call_id, CallRef) or not call_id or not call_id.turn:
        return None
    parts = [part.encode("utf-8", "surrogatepass") for part in (run_id, call_id.turn, str(call_id))]
    return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()


# The turns that are open, the newest last: of which run, the message and the call.
_TURNS: ContextVar[tuple[tuple[object, str, str | None], ...]] = ContextVar("agentguard_turns", default=())


class Turn:
    """``with run.turn("message-id"):``, or ``async with``. Made by a run."""

    def __init__(self, run: object, message_id: str, call_id: str | None) -> None:
        self._open = (run, message_id, call_id)
        self._tokens: list[Token[tuple[tuple[object, str, str | None], ...]]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_TURNS.set((*_TURNS.get(), self._open)))
        return self

    def __exit__(self, *_: object) -> None:
        _TURNS.reset(self._tokens.pop())

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()


def known_as(call_id: str | None, run: object) -> str | None:
    """The id of a call: by its adapter's word; and where that does not know the message, in the turn that is open."""
    turns = _TURNS.get()
    if not turns or run is None or isinstance(call_id, CallRef):
        return call_id
    for whose, message_id, told in reversed(turns):
        if whose is run:
            found = told if call_id is None else call_id
            return found if found is None else CallRef(found, message_id)
    return call_id
