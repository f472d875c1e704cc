"""One guarded tool. A gate is the only thing that runs a tool, and only after a durable permit."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pydantic import ValidationError

from agentguard.core.reasons import Reason
from agentguard.core.values import Json, Unavailable
from agentguard.errors import ToolCallDenied, ToolCallRefused
from agentguard.guard.deferred import refuse_deferred
from agentguard.guard.drive import advance, advance_async, drive, drive_async, finish
from agentguard.guard.failures import says_failed
from agentguard.guard.order import Events, events
from agentguard.guard.places import current_run

if TYPE_CHECKING:
    from agentguard.guard.guard import Guard

R = TypeVar("R")


class Gate:
    """Judges every call of one tool. ``tool`` is its name in the policy, ``name`` the one it was wrapped under.

    ``arguments`` are JSON values, bound and validated. ``run`` gets a fresh dict, read from the bytes that were judged.
    """

    def __init__(self, guard: Guard, tool: str, name: str, definition: str, framework: str) -> None:
        self.tool = tool
        self.name = name
        self.definition = definition
        self.framework = framework
        self.canary = CanaryGate()
        self._guard = guard

    def call(
        self, arguments: Mapping[str, Json], run: Callable[[dict[str, Any]], R], *, call_id: str | None = None
    ) -> R:
        """Run the tool if it may run. Raises ToolCallRefused, LedgerError, or what the tool raises."""

        def run_now(values: dict[str, Any]) -> R:
            result = run(values)
            refuse_deferred(result, self.name)
            return result

        result: R = drive(self._events(arguments, call_id), self._guard.identify, run_now)
        return result

    async def acall(
        self,
        arguments: Mapping[str, Json],
        run: Callable[[dict[str, Any]], Awaitable[R]],
        *,
        call_id: str | None = None,
    ) -> R:
        """As ``call``, for a tool that is awaited."""

        async def run_now(values: dict[str, Any]) -> R:
            result = await run(values)
            refuse_deferred(result, self.name)
            return result

        result: R = await drive_async(self._events(arguments, call_id), self._guard.identify_async, run_now)
        return result

    def stream(
        self, arguments: Mapping[str, Json], run: Callable[[dict[str, Any]], Iterator[R]], *, call_id: str | None = None
    ) -> Iterator[R]:
        """As ``call``, for a tool that yields. Decided before the first item, in the run it was called in."""
        pending = self._events(arguments, call_id, streamed=True)
        return self._stream(pending, run)

    def _stream(self, pending: Events, run: Callable[[dict[str, Any]], Iterator[R]]) -> Iterator[R]:
        try:
            values = advance(pending, self._guard.identify)
            items = _Items(run(values))
            try:
                yield from items
            except BaseException as error:
                finish(pending, error)
                raise
            finish(pending, None, items.failure)
        finally:
            pending.close()

    def astream(
        self,
        arguments: Mapping[str, Json],
        run: Callable[[dict[str, Any]], AsyncGenerator[R, None]],
        *,
        call_id: str | None = None,
    ) -> AsyncIterator[R]:
        """As ``stream``, for a tool that yields asynchronously."""
        pending = self._events(arguments, call_id, streamed=True)
        return self._astream(pending, run)

    async def _astream(
        self, pending: Events, run: Callable[[dict[str, Any]], AsyncGenerator[R, None]]
    ) -> AsyncIterator[R]:
        try:
            values = await advance_async(pending, self._guard.identify_async)
            failure: object = None
            try:
                async with aclosing(run(values)) as items:
                    async for item in items:
                        failure = item if failure is None and says_failed(item) is not None else failure
                        yield item
            except BaseException as error:
                finish(pending, error)
                raise
            finish(pending, None, failure)
        finally:
            pending.close()

    def misread(self, why: Exception | str, *, call_id: str | None = None) -> None:
        """Record, as a denial, that a call could not be read. Whoever called is then told why.

        Raises LedgerError where nothing could be recorded.
        """
        with suppress(ToolCallRefused):
            drive(self._misread(why, call_id), self._guard.identify, _nothing)

    async def amisread(self, why: Exception | str, *, call_id: str | None = None) -> None:
        """As ``misread``, from a task."""
        with suppress(ToolCallRefused):
            await drive_async(self._misread(why, call_id), self._guard.identify_async, _nothing)

    def proved(self, entries: Sequence[str]) -> None:
        """Record that these public entries of the wrapped tool were seen to refuse."""
        self._guard.record_canary(self, entries)

    def _misread(self, why: Exception | str, call_id: str | None) -> Events:
        detail = why if isinstance(why, str) else f"could not be read: {_kind_of(why)}"
        return self._events(Unavailable(Reason.ARGUMENTS_INVALID, detail), call_id)

    def _events(
        self, arguments: Mapping[str, Json] | Unavailable, call_id: str | None, *, streamed: bool = False
    ) -> Events:
        return events(self._guard, self, arguments, call_id, current_run(self._guard), streamed=streamed)


class _Items(Generator[R, Any, Any]):
    """A tool's own generator, watched for an item that says it failed."""

    def __init__(self, items: Iterator[R]) -> None:
        self._items: Any = items
        self.failure: object = None

    def send(self, value: Any) -> R:
        return self._seen(self._items.send(value))

    def throw(self, *error: Any) -> R:
        return self._seen(self._items.throw(*error))

    def _seen(self, item: R) -> R:
        if self.failure is None and says_failed(item) is not None:
            self.failure = item
        return item


def _kind_of(why: Exception) -> str:
    """The kind of an error, and which arguments it is about. No more of it: its text may hold the values."""
    kind = type(why).__name__
    if not isinstance(why, ValidationError):
        return kind
    details = why.errors(include_url=False, include_context=False, include_input=False)
    places = [(str(detail["loc"][0]), detail["type"]) for detail in details if detail["loc"]]
    named = [f"`{name}` ({wrong})" for name, wrong in places if _WORD.fullmatch(name) and _WORD.fullmatch(wrong)]
    return f"{kind} at {', '.join(list(dict.fromkeys(named))[:_MOST_NAMED])}" if named else kind


# A parameter's name, or pydantic's word for what is wrong with it. A model's own names of arguments may be anything.
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MOST_NAMED = 5


class CanaryGate:
    """A gate that refuses everything. An adapter puts it into a wrapper of its own making and calls every door."""

    def __init__(self) -> None:
        self.refused = 0

    def _refuse(self) -> NoReturn:
        self.refused += 1
        raise ToolCallDenied("canary")

    def call(self, arguments: Mapping[str, Json], run: Callable[..., Any], *, call_id: str | None = None) -> Any:
        """Refuse."""
        self._refuse()

    async def acall(self, arguments: Mapping[str, Json], run: Callable[..., Any], *, call_id: str | None = None) -> Any:
        """Refuse."""
        self._refuse()

    def stream(
        self, arguments: Mapping[str, Json], run: Callable[..., Any], *, call_id: str | None = None
    ) -> Iterator[Any]:
        """Refuse at the first item."""
        for _ in (None,):
            yield self.call(arguments, run)

    async def astream(
        self, arguments: Mapping[str, Json], run: Callable[..., Any], *, call_id: str | None = None
    ) -> AsyncIterator[Any]:
        """Refuse at the first item."""
        for _ in (None,):
            yield self.call(arguments, run)

    def misread(self, why: Exception | str, *, call_id: str | None = None) -> None:
        """Leave no record: the error that follows fails the canary."""

    async def amisread(self, why: Exception | str, *, call_id: str | None = None) -> None:
        """As ``misread``."""


def _nothing(values: dict[str, Any]) -> NoReturn:
    raise AssertionError("a call that could not be read was permitted")
