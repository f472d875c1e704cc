"""One guarded tool. A gate is the only thing that runs a tool, and only after a durable permit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import aclosing, suppress
from typing import Any, NoReturn, TypeVar

from agentguard.core.reasons import Reason
from agentguard.core.values import Json, Unavailable
from agentguard.errors import ConfigurationError, ToolCallRefused
from agentguard.guard.arguments.given import Given
from agentguard.guard.arguments.late import Late, Misread, Read, Told, as_raised
from agentguard.guard.asks import Events
from agentguard.guard.call.order import events
from agentguard.guard.call.outcome import Suspends, never
from agentguard.guard.canary import Entries, Refuses, is_refusal, prove
from agentguard.guard.drive import advance, advance_async, drive, drive_async, finish
from agentguard.guard.engine import Engine
from agentguard.guard.failures import says_failed
from agentguard.guard.proceed import Door
from agentguard.guard.records import record
from agentguard.guard.results import refuse_work
from agentguard.guard.run import RunContext, current_run
from agentguard.guard.turns import known_as, no_turn, turn_is_open

R = TypeVar("R")


# At the end of what a canary's record says, where the guard also writes its records to a log.
LOGGED = "; records are logged"


class Gate:
    """Judges every call of one tool. ``tool`` is its name in the policy, ``name`` the one it was wrapped under.

    Each entry of a wrapped tool hands over how one call is read, and how the tool is run. ``read`` gets what is done to
    the arguments as they came, before the tool's own types read them (None: nothing), and makes ``Given`` of them; what
    it raises is on record as a denial before the caller gets it, in the words of ``told``. ``run`` gets what the
    arguments make ready of the bytes that were judged. ``hidden``: the arguments that every step of the tool fills,
    ``optional``: those that some do; adapters do not show the one, and open the other. ``suspends``: whether what the
    tool raised says that it interrupted itself, and goes on when the same call is made again.

    ``call_id`` is the call's id; a ``CallRef`` where the adapter knows the message, too, that it stands in.
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
        suspends: Suspends = never,
    ) -> None:
        self.tool = tool
        self.name = name
        self.definition = definition
        self.framework = framework
        self.hidden = hidden
        self.optional = optional
        self._guard = guard
        self._suspends = suspends

    def call(self, read: Read, run: Callable[[Any], R], *, call_id: str | None = None, told: Told = as_raised) -> R:
        """Run the tool if it may run. Raises ToolCallRefused, LedgerError, or what the tool or ``told`` raises."""

        def run_now(values: Any) -> R:
            if not turn_is_open():
                result = run(values)
            else:
                with no_turn():
                    result = run(values)
            refuse_work(result, self.name)
            return result

        result: R = drive(self._events(read, call_id, told), self._guard.identify, run_now)
        return result

    async def acall(
        self,
        read: Read,
        run: Callable[[Any], Awaitable[R]],
        *,
        call_id: str | None = None,
        told: Told = as_raised,
    ) -> R:
        """As ``call``, for a tool that is awaited."""

        async def run_now(values: Any) -> R:
            if not turn_is_open():
                result = await run(values)
            else:
                with no_turn():
                    result = await run(values)
            refuse_work(result, self.name)
            return result

        result: R = await drive_async(self._events(read, call_id, told), self._guard.identify_async, run_now)
        return result

    def stream(
        self,
        read: Read,
        run: Callable[[Any], Iterator[R]],
        *,
        call_id: str | None = None,
        told: Told = as_raised,
    ) -> Iterator[R]:
        """As ``call``, for a tool that yields. Decided before the first item, in the run it was called in.

        What cannot be read is denied at once, as Python does with a generator's arguments.
        """
        context = current_run(self._guard)
        arguments = self._read(read, told, context)
        pending = self._asked(arguments, call_id, context, streamed=True)
        if isinstance(arguments, Misread):
            drive(pending, self._guard.identify, _nothing)
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
        read: Read,
        run: Callable[[Any], AsyncGenerator[R, None]],
        *,
        call_id: str | None = None,
        told: Told = as_raised,
    ) -> AsyncIterator[R]:
        """As ``stream``, for a tool that yields asynchronously. What cannot be read is denied at the first item."""
        return self._astream(self._events(read, call_id, told, streamed=True), run)

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

    def opens(
        self,
        call: Callable[[dict[str, Json]], Any] | None,
        acall: Callable[[dict[str, Json]], Awaitable[Any]] | None,
    ) -> None:
        """How the tool is called with arguments as JSON, through this gate, and waits for nothing: so that
        ``guard.proceed`` can go on with a call of it. None: it cannot be called so."""
        self._guard.doors[self.name] = Door(call, acall)

    def deny(self, why: str, *, call_id: str | None = None) -> None:
        """Record a denial of a call that comes to no tool, and why, in words of our own. Raises LedgerError."""
        with suppress(ToolCallRefused):
            drive(self._denied(why, call_id), self._guard.identify, _nothing)

    async def adeny(self, why: str, *, call_id: str | None = None) -> None:
        """As ``deny``, from a task."""
        with suppress(ToolCallRefused):
            await drive_async(self._denied(why, call_id), self._guard.identify_async, _nothing)

    def prove(self, entries: Entries, *, refuses: Refuses = is_refusal) -> None:
        """Call each entry over a gate that refuses, and record that it did. Raises ConfigurationError if one did not.

        ``entries`` makes them as those of the wrapped tool are made, with the canary for this gate, and its stand-in
        for what runs. ``refuses``: whether what an entry returned, or raised, says that it refused.
        """
        proved = prove(self.name, entries, refuses)
        data = record(
            "canary",
            self._guard.last_known_time,
            tool=self.tool,
            framework=self.framework,
            definition=self.definition,
            policy_revision=self._guard.bundle.revision,
            why=f"refused through {', '.join(proved)}{LOGGED if self._guard.logs else ''}",
            outcome="refused",
        )
        self._guard.ledger.append(data).result()

    def _events(self, read: Read, call_id: str | None, told: Told, *, streamed: bool = False) -> Events:
        context = current_run(self._guard)
        arguments = self._read(read, told, context)
        return self._asked(arguments, call_id, context, streamed=streamed)

    def _asked(
        self,
        arguments: Given | Late | Unavailable,
        call_id: str | None,
        context: RunContext | None,
        *,
        streamed: bool = False,
    ) -> Events:
        known = known_as(_id_of(arguments, call_id), context)
        return events(self._guard, self, arguments, known, context, streamed=streamed, suspends=self._suspends)

    def _read(self, read: Read, told: Told, context: RunContext | None) -> Given | Late:
        """The arguments, read now; or how they are read, where the guard fills some of them in this run."""
        if context is not None and self.tool in self._guard.usable.filled:
            workflow = self._guard.bundle.policy.workflows.get(context.workflow)
            if workflow is not None and self.tool in workflow.fillings:
                return Late(read, told)
        try:
            return read(None)
        except Exception as error:
            return Misread.of(error, told)

    def _denied(self, why: str, call_id: str | None) -> Events:
        unread = Unavailable(Reason.ARGUMENTS_INVALID, why)
        return self._asked(unread, call_id, current_run(self._guard))


def _id_of(arguments: object, call_id: str | None) -> str | None:
    return arguments.call_id if call_id is None and isinstance(arguments, Given) else call_id


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
