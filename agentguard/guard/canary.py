"""Proves at wrapping time that each entry of a wrapped tool refuses: the same entries, over a gate that always says no.

What stands behind them is a tripwire, never the tool. A release of a framework that opens a way round is found here,
when the program starts, and not after something ran.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeAlias

from agentguard.errors import ConfigurationError, ToolCallDenied, ToolCallRefused

REFUSED = ToolCallDenied("canary")


class CanaryGate:
    """A gate that refuses everything, unread. It stands in the place of a tool's own gate while entries are proved."""

    hidden: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.refused = 0
        self.reached = False

    def call(self, read: object, run: object, *, call_id: str | None = None, told: object = None) -> Any:
        """Refuse."""
        self._refuse()

    async def acall(self, read: object, run: object, *, call_id: str | None = None, told: object = None) -> Any:
        """Refuse."""
        self._refuse()

    def stream(self, read: object, run: object, *, call_id: str | None = None, told: object = None) -> Iterator[Any]:
        """Refuse at the first item."""
        for _ in (None,):
            yield self._refuse()

    async def astream(
        self, read: object, run: object, *, call_id: str | None = None, told: object = None
    ) -> AsyncIterator[Any]:
        """Refuse at the first item."""
        for _ in (None,):
            yield self._refuse()

    def deny(self, why: str, *, call_id: str | None = None) -> None:
        """Count no refusal: an entry that comes here is not proved."""

    async def adeny(self, why: str, *, call_id: str | None = None) -> None:
        """As ``deny``."""

    def stand_in(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """In place of what a tool runs: a function of the same kind, which only notes that it was reached."""

        async def asyncgen(*_: Any, **__: Any) -> AsyncIterator[None]:
            self.reached = True
            yield

        def generator(*_: Any, **__: Any) -> Iterator[None]:
            self.reached = True
            yield

        async def coroutine(*_: Any, **__: Any) -> None:
            self.reached = True

        def plain(*_: Any, **__: Any) -> None:
            self.reached = True

        if inspect.isasyncgenfunction(function):
            return asyncgen
        if inspect.isgeneratorfunction(function):
            return generator
        return coroutine if inspect.iscoroutinefunction(function) else plain

    def _refuse(self) -> NoReturn:
        self.refused += 1
        raise ToolCallDenied(REFUSED.decision_id)


# Makes the entries of a wrapped tool over a canary: what to call, by the name that stands in the record.
Entries: TypeAlias = Callable[[CanaryGate], Mapping[str, Callable[[], Any]]]
# Whether what an entry returned, or raised, says that it refused.
Refuses: TypeAlias = Callable[[object], bool]


def is_refusal(outcome: object) -> bool:
    """An entry that raises the refusal, as most do."""
    return isinstance(outcome, ToolCallRefused)


def prove(name: str, entries: Entries, refuses: Refuses = is_refusal) -> list[str]:
    """The entries that were seen to refuse: all of them. Raises ConfigurationError where one did not."""
    canary = CanaryGate()
    calls = entries(canary)
    found: list[str | None] = []

    def look() -> None:
        try:
            found.append(_problem(canary, calls, refuses) if calls else "it has no entry")
        except BaseException as error:  # nobody knows then what its entries do
            found.append(f"the proof of its entries broke off ({type(error).__name__})")

    # A thread of its own: the caller may be inside an event loop, and inside a traced call.
    thread = threading.Thread(target=look, name="agentguard-canary")
    thread.start()
    thread.join()
    (problem,) = found
    if problem is not None:
        raise ConfigurationError(
            f"`{name}` cannot be guarded: {problem}; agentguard does not know this release of its framework"
        )
    return list(calls)


def _problem(canary: CanaryGate, calls: Mapping[str, Callable[[], Any]], refuses: Refuses) -> str | None:
    """The first entry that did not refuse, and how."""
    loop = asyncio.Runner()
    try:
        for entry, call in calls.items():
            before = canary.refused
            try:
                outcome = _settled(call(), loop)
            except BaseException as error:
                outcome = error
            if canary.reached:
                return f"its entry `{entry}` reached the tool unguarded"
            if canary.refused == before or not refuses(outcome):
                raised = f" ({type(outcome).__name__}: {outcome})" if isinstance(outcome, BaseException) else ""
                return f"its entry `{entry}` did not refuse a canary call{raised}"
    finally:
        loop.close()
    return None


def _settled(outcome: Any, loop: asyncio.Runner) -> object:
    """What came of a call: awaited, or its first item where it is a stream."""
    if hasattr(outcome, "__anext__"):
        outcome = anext(outcome)
    if inspect.isawaitable(outcome):

        async def settled() -> object:
            return await outcome

        return loop.run(settled())
    return next(outcome) if hasattr(outcome, "__next__") else outcome
