"""Which call of which message this is: how a call is known again that a framework makes a second time."""

from __future__ import annotations

import hashlib
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class CallRef:
    """A call's id, and its ``turn``: what names the model's message that it stands in, the same whenever that message
    is answered and another for every other message.

    None: there is none, or it was made up on this side. A call without id or turn is like no other.
    """

    id: str | None = None
    turn: str | None = None

    def key(self, run_id: str) -> str | None:
        """One name for this call in this run; None where it is like no other."""
        if not self.id or not self.turn:
            return None
        parts = [part.encode("utf-8", "surrogatepass") for part in (run_id, self.turn, self.id)]
        return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()


_TURNS: ContextVar[tuple[tuple[object, CallRef], ...]] = ContextVar("agentguard_turns", default=())


class Turn:
    """``with run.turn("message-id"):``, or ``async with``. Made by a run."""

    def __init__(self, run: object, ref: CallRef) -> None:
        self._run, self._ref = run, ref
        self._tokens: list[Token[tuple[tuple[object, CallRef], ...]]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_TURNS.set((*_TURNS.get(), (self._run, self._ref))))
        return self

    def __exit__(self, *_: object) -> None:
        _TURNS.reset(self._tokens.pop())

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()


def known_as(given: str | CallRef | None, run: object) -> CallRef:
    """Which call this is, by its adapter's word; and where that has none, by the turn that is open for its run."""
    ref = given if isinstance(given, CallRef) else CallRef(given if isinstance(given, str) else None)
    turns = _TURNS.get()
    if ref.turn is None and turns and run is not None:
        told = next((told for whose, told in reversed(turns) if whose is run), None)
        if told is not None:
            return CallRef(told.id if ref.id is None else ref.id, told.turn)
    return ref
