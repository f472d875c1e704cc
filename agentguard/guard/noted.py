"""Which decisions were made, for the program that made the calls: a permitted call returns what its tool returns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from agentguard.core.values import Effect


@dataclass(frozen=True, slots=True)
class Decided:
    """One recorded decision: `agentguard audit show ID` shows all of it."""

    decision_id: str
    tool: str
    effect: Effect
    call_id: str | None = None


_NOTING: ContextVar[tuple[tuple[object, list[Decided]], ...]] = ContextVar("agentguard_noting", default=())


@contextmanager
def noting(guard: object) -> Iterator[list[Decided]]:
    """A list to which the decisions of a guard are added: in this task or thread, and where its context is copied."""
    made: list[Decided] = []
    token = _NOTING.set((*_NOTING.get(), (guard, made)))
    try:
        yield made
    finally:
        _NOTING.reset(token)


def is_noted() -> bool:
    """Whether any list is open here."""
    return bool(_NOTING.get())


def note(guard: object, decided: Decided) -> None:
    """Add one to the lists of this guard that are open here."""
    for whose, made in _NOTING.get():
        if whose is guard:
            made.append(decided)
