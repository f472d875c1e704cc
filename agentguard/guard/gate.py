"""One guarded tool. A gate is the only thing that runs a tool, and only after a durable permit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias, TypeVar

from agentguard.core.reasons import Reason
from agentguard.core.values import Json, Unavailable
from agentguard.errors import ConfigurationError, ToolCallRefused
from agentguard.guard.arguments.given import Given
from agentguard.guard.arguments.late import Change, Late, as_late
from agentguard.guard.arguments.misfits import what_is_wrong
from agentguard.guard.asks import Events
from agentguard.guard.call.order import events
from agentguard.guard.canary import CanaryGate
from agentguard.guard.drive import advance, advance_async, drive, drive_async, finish
from agentguard.guard.engine import Engine
from agentguard.guard.failures import says_failed
from agentguard.guard.records import record
from agentguard.guard.results import refuse_work
from agentguard.guard.run import RunContext, current_run

R = TypeVar("R")
Arguments: TypeAlias = Given | Late | Mapping[str, Json]


class Gate:
    """Judges every call of one tool. ``tool`` is its name in the policy, ``name`` the one it was wrapped under.

    ``arguments`` are those of one call as they were given; a mapping is JSON that is handed on as it is. ``run`` gets
    what they make ready of the bytes that were judged, before the call is admitted. ``hidden``: the arguments that
    every step of the tool fills, ``optional``: those that some do; adapters do not show the one, and open the other.
    """

    def __init__(
        self,
        guard: Engine,
        tool: str,
        name: str,
        definition: str,
        framework: str,
        hidden: frozenset[str] = frozenset(),
        optional: frozenset[str] = frozenset(),
    ) -> None:
        self.tool = tool
        self.name = name
        self.definition = definition
        self.framework = framework
        self.hidden = hidden
        self.optional = optional
        self.canary = CanaryGate()
        self._guard = guard

    def given(
        self,
        read: Callable[[Change | None], Given],
        told: Callable[[Exception, ToolCallRefused], Exception] | None = None,
    ) -> Given | Late:
        """One call's arguments, read at once; or how they are read, where the guard fills some of them in this run.

        ``read`` gets what is to be done to the arguments as they came, before the tool's own types read them. ``told``
        makes of its error and the refusal what the caller gets where they are read late. Raises what ``read`` raises.
        """
        if not self._is_filled(current_run(self._guard)):
            return read(None)
        return Late(read) if told is None else Late(read, told)

    def _is_filled(self, context: RunContext | None) -> bool:
        if context is None:
            return False
        workflow = self._guard.bundle.policy.workflows.get(context.workflow)
        return workflow is not None and self.tool in workflow.fillings

    def call(self, arguments: Arguments, run: Callable[[Any], R], *, call_id: str | None = None) -> R:
        """Run the tool if it may run. Raises ToolCallRefused, LedgerError, or what the tool raises."""

        def run_now(values: dict[str, Any]) -> R:
            result = run(values)
            refuse_work(result, self.name)
            return result

        result: R = drive(self._events(arguments, call_id), self._guard.identify, run_now)
        return result

    async def acall(
        self,
        arguments: Arguments,
        run: Callable[[Any], Awaitable[R]],
        *,
        call_id: str | None = None,
    ) -> R:
        """As ``call``, for a tool that is awaited."""

        async def run_now(values: dict[str, Any]) -> R:
            result = await run(values)
            refuse_work(result, self.name)
            return result

        result: R = await drive_async(self._events(arguments, call_id), self._guard.identify_async, run_now)
        return result

    def stream(
        self,
        arguments: Arguments,
        run: Callable[[Any], Iterator[R]],
        *,
        call_id: str | None = None,
    ) -> Iterator[R]:
        """As ``call``, for a tool that yields. Decided before the first item, in the run it was called in."""
        pending = self._events(arguments, call_id, streamed=True)
        return self._stream(pending, run)

    def _stream(self, pending: Events, run: Callable[[Any], Iterator[R]]) -> Iterator[R]:
        try:
            values = advance(pending, self._guard.identify)
            items = _Items(run(values), self.name)
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
        arguments: Arguments,
        run: Callable[[Any], AsyncGenerator[R, None]],
        *,
        call_id: str | None = None,
    ) -> AsyncIterator[R]:
        """As ``stream``, for a tool that yields asynchronously."""
        pending = self._events(arguments, call_id, streamed=True)
        return self._astream(pending, run)

    async def _astream(self, pending: Events, run: Callable[[Any], AsyncGenerator[R, None]]) -> AsyncIterator[R]:
        try:
            values = await advance_async(pending, self._guard.identify_async)
            failure: object = None
            try:
                async with aclosing(run(values)) as items:
                    async for item in items:
                        refuse_work(item, self.name)
                        failure = item if failure is None and says_failed(item) is not None else failure
                        yield item
            except BaseException as error:
                finish(pending, error)
                raise
            finish(pending, None, failure)
        finally:
            pending.close()

    def misread(self, why: Exception | str, *, call_id: str | None = None) -> ToolCallRefused:
        """Record, as a denial, that a call could not be read. Whoever called is then told why, or gets this refusal.

        Raises LedgerError where nothing could be recorded.
        """
        try:
            drive(self._misread(why, call_id), self._guard.identify, _nothing)
        except ToolCallRefused as refused:
            return refused
        return _nothing(None)

    async def amisread(self, why: Exception | str, *, call_id: str | None = None) -> ToolCallRefused:
        """As ``misread``, from a task."""
        try:
            await drive_async(self._misread(why, call_id), self._guard.identify_async, _nothing)
        except ToolCallRefused as refused:
            return refused
        return _nothing(None)

    def proved(self, entries: Sequence[str]) -> None:
        """Record that these public entries of the wrapped tool were seen to refuse."""
        data = record(
            "canary",
            self._guard.last_known_time,
            tool=self.tool,
            framework=self.framework,
            definition=self.definition,
            policy_revision=self._guard.bundle.revision,
            why=f"refused through {', '.join(entries)}",
            outcome="refused",
        )
        self._guard.ledger.append(data).result()

    def _misread(self, why: Exception | str, call_id: str | None) -> Events:
        detail = why if isinstance(why, str) else f"could not be read: {what_is_wrong(why)}"
        return self._events(Unavailable(Reason.ARGUMENTS_INVALID, detail), call_id)

    def _events(self, arguments: Arguments | Unavailable, call_id: str | None, *, streamed: bool = False) -> Events:
        if not isinstance(arguments, Given | Late | Unavailable):
            arguments = Given(arguments)
        context = current_run(self._guard)
        if isinstance(arguments, Given) and self._is_filled(context):
            arguments = as_late(arguments)
        return events(self._guard, self, arguments, call_id, context, streamed=streamed)


class _Items(Generator[R, Any, Any]):
    """A tool's own generator, watched for an item that says it failed, or that is no data."""

    def __init__(self, items: Iterator[R], name: str) -> None:
        self._items: Any = items
        self._name = name
        self.failure: object = None

    def send(self, value: Any) -> R:
        return self._seen(self._items.send(value))

    def throw(self, *error: Any) -> R:
        return self._seen(self._items.throw(*error))

    def _seen(self, item: R) -> R:
        try:
            refuse_work(item, self._name)
        except ConfigurationError:
            self._items.close()
            raise
        if self.failure is None and says_failed(item) is not None:
            self.failure = item
        return item


def _nothing(ready: Any) -> NoReturn:
    raise AssertionError("a call that could not be read was permitted")
