"""Which call of which message this is: how a call is known again that a framework makes a second time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Self, TypeAlias


class CallRef(str):
    """A call's id that knows its ``turn``: what names the model's message that it stands in, the same whenever that
    message is answered and another for every other message.

    A plain id is one of a call of which nobody knows the message; it is like no other call.
    """

    turn: str
    # Where somebody goes on with a call that waited: the approval that it runs under, or not at all.
    approval: str | None

    def __new__(cls, call_id: str, turn: str, approval: str | None = None) -> Self:
        """Id and turn are needed. What was made up on this side is neither."""
        made = super().__new__(cls, call_id)
        made.turn = turn
        made.approval = approval
        return made


def key_of(call_id: str | None, run_id: str) -> str | None:
    """One name for this call of this run; None where it is like no other."""
    if not isinstance(call_id, CallRef) or not call_id or not call_id.turn:
        return None
    parts = [part.encode("utf-8", "surrogatepass") for part in (run_id, call_id.turn, str(call_id))]
    return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()


# The turns that are open, the newest last: of which run, the message, the call, and the approval that it runs under.
_Open: TypeAlias = tuple[object, str, str | None, str | None]
_TURNS: ContextVar[tuple[_Open, ...]] = ContextVar("agentguard_turns", default=())


class Turn:
    """``with run.turn("message-id"):``, or ``async with``. Made by a run."""

    def __init__(self, run: object, message_id: str, call_id: str | None, approval: str | None = None) -> None:
        self._open: _Open = (run, message_id, call_id, approval)
        self._tokens: list[Token[tuple[_Open, ...]]] = []

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
    for whose, message_id, told, approval in reversed(turns):
        if whose is run:
            found = told if call_id is None else call_id
            return found if found is None else CallRef(found, message_id, approval)
    return call_id


def turn_is_open() -> bool:
    """Whether any is."""
    return bool(_TURNS.get())


@contextmanager
def no_turn() -> Iterator[None]:
    """While a tool's body runs: the calls that it makes are other calls than its own."""
    token = _TURNS.set(())
    try:
        yield
    finally:
        _TURNS.reset(token)
