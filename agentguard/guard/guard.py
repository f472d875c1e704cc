"""The guard: loads a policy bundle, wraps tools, starts runs. Everything the defaults choose can be passed in."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TextIO, TypeAlias, TypeVar, overload

from agentguard.core.canonical import NotCanonical, canonical_bytes, sha256
from agentguard.core.fill import filled_by
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError, LedgerError, PolicyError
from agentguard.guard.clock import utc_now
from agentguard.guard.delegation import as_it_was
from agentguard.guard.engine import Engine
from agentguard.guard.identities import Identities, Source
from agentguard.guard.in_force import InForce, UsableBundle
from agentguard.guard.noted import Decided, noting
from agentguard.guard.observing import check_observing
from agentguard.guard.operations import Operations
from agentguard.guard.options import check_options
from agentguard.guard.proceed import acalled, door_of, waiting_call
from agentguard.guard.records import RecordData, record, storable, wanted
from agentguard.guard.run import RunContext, current_run
from agentguard.ledger import LogLedger, open_ledger
from agentguard.policy import Bundle, Reloader
from agentguard.policy.observing import observing_notes

if TYPE_CHECKING:
    from agentguard.guard.candidate.beside import Beside
    from agentguard.guard.gate import Gate
    from agentguard.signals import Receiver, Streams

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Many: TypeAlias = list[T] | tuple[T, ...] | set[T] | frozenset[T] | Iterator[T]


class Guard(Engine):
    """Stands between an agent and its tools. Make one with ``Guard.load``; ``shut`` it, or use it in ``with``."""

    def __init__(
        self,
        reloader: Reloader[InForce],
        ledger: LogLedger,
        *,
        wait: timedelta | None = None,
        clock: Callable[[], datetime] = utc_now,
        elapsed: Callable[[], float] | None = None,
        log: bool | TextIO | None = None,
    ) -> None:
        super().__init__(reloader, ledger, wait=wait, clock=clock, elapsed=elapsed, log=log)
        self._reloader: Reloader[InForce] = reloader
        # People stop a run whatever the clock does. What it tells them stands, so that they can put it right.
        self.operations = Operations(ledger, self._watched.told)
        self._candidate: Beside | None = None
        self._tried: Reloader[UsableBundle] | None = None
        self._warn()

    def _warn(self) -> None:
        """Say what is not enforced, where the program's own log shows it."""
        for note in observing_notes(self.bundle, self.last_known_time.date()):
            logging.getLogger("agentguard").warning("%s", note)

    @classmethod
    def load(
        cls,
        directory: str | Path,
        *,
        ledger: str | Path | LogLedger | None = None,
        identity: Source | None = None,
        issuer: str | None = None,
        subject: str | None = None,
        wait: timedelta | None = None,
        home: str | Path | None = None,
        clock: Callable[[], datetime] = utc_now,
        elapsed: Callable[[], float] | None = None,
        log: bool | TextIO | None = None,
        candidate: str | Path | None = None,
    ) -> Guard:
        """Load a bundle and the embedded defaults: a SQLite ledger and a local identity under ``home``.

        ``identity`` is where assertions come from, ``issuer`` the name in Trust that verifies them (needed where Trust
        lists several). Without ``identity`` the local issuer speaks for ``subject``. ``wait`` is how long a call that
        needs a person blocks; None raises ApprovalPending at once. ``log`` True writes JSON lines to standard error.
        ``clock`` tells the time in UTC, ``elapsed`` the seconds passed, so that a clock that stands still is noticed.
        ``candidate`` is another bundle that judges each call beside this one; what it says is recorded, and decides
        nothing (`agentguard compare`).
        Raises PolicyError, ConfigurationError, LedgerError.
        """
        check_options(
            directory=directory, home=home, ledger=ledger, identity=identity, issuer=issuer, subject=subject,
            wait=wait, clock=clock, elapsed=elapsed, log=log, candidate=candidate,
        )  # fmt: skip
        place = Path(home) if home is not None else Path(os.environ.get("AGENTGUARD_HOME") or ".agentguard")
        identities = Identities(home=place, source=identity, issuer=issuer, subject=subject)

        def in_force(bundle: Bundle, before: InForce | None) -> InForce:
            check_observing(bundle, clock)
            usable = UsableBundle.of(bundle)
            return InForce(usable, identities.under(bundle, before=None if before is None else before.verification))

        reloader = Reloader(directory, in_force)
        tried = None if candidate is None else Reloader(candidate, lambda bundle, _: UsableBundle.of(bundle))
        if ledger is None:
            ledger = place / "ledger.sqlite3"
        opened = open_ledger(ledger) if isinstance(ledger, str | Path) else ledger
        try:
            made = cls(reloader, opened, wait=wait, clock=clock, elapsed=elapsed, log=log)
            if tried is not None:
                made._try_out(tried)
            return made
        except BaseException:
            if opened is not ledger:
                opened.shut()
            raise

    def _try_out(self, candidate: Reloader[UsableBundle]) -> None:
        """Let this bundle judge each call, too; where nobody shuts the guard, until it is gone, or the program ends."""
        from agentguard.guard.candidate.beside import Beside

        beside = Beside(candidate.current, self.ledger, self.clock)
        self.beside = self._candidate = beside
        self._tried = candidate
        weakref.finalize(self, beside.shut)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.shut()

    def shut(self) -> None:
        """Make everything durable and close the ledger. Idempotent."""
        if self._candidate is not None:
            self._candidate.shut()
        self.ledger.shut()

    def reload(self) -> None:
        """Take the bundle's files as they are now, and the candidate's: one that cannot be used stays as it was.

        Raises PolicyError, or ConfigurationError where its Trust is not for this guard; then the old bundle stays.
        """
        before = self.bundle.revision
        self._reloader.reload()
        self._warn()
        data = record("reload", self.last_known_time, policy_revision=self.bundle.revision, why=f"was {before}")
        self.ledger.append(data).result()
        if self._candidate is not None and self._tried is not None:
            try:
                self._candidate.take(self._tried.reload())
            except PolicyError as error:
                logging.getLogger("agentguard").error("the candidate stays as it was: %s", error)

    @overload
    def wrap(self, tools: Many[Callable[P, R]]) -> list[Callable[P, R]]: ...
    @overload
    def wrap(self, tools: Many[Callable[..., Any]]) -> list[Callable[..., Any]]: ...
    @overload
    def wrap(self, tools: Many[T]) -> list[T]: ...
    @overload
    def wrap(self, tools: T) -> T: ...
    def wrap(self, tools: Any) -> Any:
        """Guard one tool, or each of several: plain functions, and the tools of frameworks with an adapter.

        Raises ConfigurationError for what could not be guarded, and for a tool that the bundle does not list.
        """
        from agentguard.guard.wrapping import wrap_one

        if isinstance(tools, Mapping):
            raise ConfigurationError(
                "guard.wrap takes a tool or a list of tools; put other names in Tools as `aliases`. A definition runs "
                "nothing: give `OpenAITools(guard, [(definition, function)])` each with its function"
            )
        if isinstance(tools, list | tuple | set | frozenset | Iterator) and not callable(tools):
            return self._wrap_all(tools)
        return wrap_one(self, tools)

    def _wrap_all(self, tools: Iterable[Any]) -> list[Any]:
        wrapped: list[Any] = []
        unlisted: list[str] = []
        for tool in tools:
            try:
                wrapped.append(self.wrap(tool))
            except _Unlisted as error:
                unlisted += error.names
        if unlisted:
            raise _Unlisted(unlisted, self.bundle)
        return wrapped

    def gate(
        self, name: str, *, definition: Json, framework: str, suspends: Callable[[BaseException], bool] | None = None
    ) -> Gate:
        """The gate of one tool, for adapters. Raises ConfigurationError where the bundle does not list the tool.

        ``suspends``: whether what the tool raised says that it interrupted itself, as a question of its framework does,
        and will be entered again by the same call.
        """
        from agentguard.guard.call.outcome import never
        from agentguard.guard.gate import Gate
        from agentguard.policy.json_schema.defaults import definition_notes

        tool = self.bundle.tool_by_alias.get(name)
        if tool is None:
            raise _Unlisted([name], self.bundle)
        try:
            fingerprint = sha256(canonical_bytes(definition))
        except NotCanonical as error:
            raise ConfigurationError(f"`{name}` cannot be guarded: its definition is not JSON: {error}") from None
        pinned = self.bundle.policy.tools[tool].fingerprint
        if pinned is not None and pinned != fingerprint:
            raise ConfigurationError(
                f"`{name}` is not the tool that was approved: its definition is {fingerprint}, Tools pins {pinned}"
            )
        for note in definition_notes(self.bundle.policy, tool, definition):
            logging.getLogger("agentguard").warning("`%s`: %s", name, note)
        workflows = self.bundle.policy.workflows.values()
        filled = filled_by(step for workflow in workflows for step in workflow.steps_by_tool.get(tool, ()))
        return Gate(self, tool, name, fingerprint, framework, *filled, suspends=suspends or never)

    def stray_gate(self, name: str, *, framework: str) -> Gate:
        """A gate to record a call of a name that was never offered: it has no tool to run. For adapters."""
        from agentguard.guard.gate import Gate

        name = storable(name)
        return Gate(self, self.bundle.tool_by_alias.get(name, name), name, "", framework)

    def run(
        self,
        workflow: str,
        *,
        inputs: Mapping[str, Json] | None = None,
        requester: str | None = None,
        key: str | None = None,
    ) -> RunContext:
        """A run of a workflow, for ``with`` or ``async with``. ``requester`` is for whom, and may not approve.

        ``key`` opens the run of that key, or goes on with it, here or in another process: it is left open until
        ``run.end()``. It is one of this workflow, subject and requester, and needs the same inputs each time. It stands
        in records. Raises ConfigurationError for what is no key.
        """
        return RunContext(self, workflow, inputs or {}, requester, key=key)

    def resume(self, run_id: str) -> RunContext:
        """Go on with a run that waits for a person, or was left open. Raises ConfigurationError where there is none
        such."""
        state = self.operations.run(run_id)
        if state is None:
            raise ConfigurationError(f"there is no run `{run_id}` in this ledger; `agentguard runs list` shows them")
        return RunContext(self, state.workflow, {}, None, run_id, below=as_it_was(state))

    def cancel(self, approval_id: str, *, why: str = "") -> None:
        """Take back a question that a call of this agent asks people: nobody needs an answer any more. The same call
        made again asks anew. Raises LedgerError where it is over already, or there is none such."""
        row = self.operations.approval(approval_id)
        if row is None:
            raise LedgerError(f"there is no approval `{approval_id}` in this ledger; `run.waiting` names them")
        self.operations.cancel(approval_id, by=row.request.subject, why=why)

    def proceed(self, approval_id: str) -> Any:
        """Go on with exactly the call that this approval is about, here or in another process, and return what its
        tool gives out. The tool must be wrapped by this guard.

        It is decided anew, and runs once: a second time, and for a framework that makes its call again under the same
        id, the answer is that of the first. Its run stays open. Raises ApprovalPending while people have not agreed,
        ApprovalRefused, ToolCallDenied where the world or the policy has changed, CallRepeated, LedgerError; and
        ConfigurationError where this process cannot go on with it: the tool is awaited (``aproceed``) or not wrapped
        here, the run is over, the call holds secrets, which are not stored.
        """
        call = waiting_call(self.ledger.approval(approval_id).result(), approval_id)
        door = door_of(self.doors, call, awaited=False)
        assert door.call is not None  # noqa: S101 - else it was refused
        inside = current_run(self)
        if inside is not None and inside.id == call.run_id:
            with call.turn(inside):
                return door.call(call.arguments)
        with self.resume(call.run_id) as run:
            try:
                with call.turn(run):
                    return door.call(call.arguments)
            finally:
                run.leave()

    async def aproceed(self, approval_id: str) -> Any:
        """As ``proceed``, in a task. A tool that is not awaited runs on a thread."""
        call = waiting_call(await self.ledger.approval(approval_id), approval_id)
        door = door_of(self.doors, call, awaited=True)
        inside = current_run(self)
        if inside is not None and inside.id == call.run_id:
            async with call.turn(inside):
                return await acalled(door, call)
        async with self.resume(call.run_id) as run:
            try:
                async with call.turn(run):
                    return await acalled(door, call)
            finally:
                await run.aleave()

    def decisions(self) -> AbstractContextManager[list[Decided]]:
        """``with guard.decisions() as made``: a list to which each decision made inside is added, permits too.

        ``made[-1].decision_id`` is the last. It holds for the thread or task that opened it, for the tasks started
        inside, and for `asyncio.to_thread`, as a run does.
        """
        return noting(self)

    def receiver(self) -> Receiver:
        """Takes the security events of the streams that Trust names, as the bundle in force has them.

        Raises ConfigurationError where one of them could not be listened to.
        """

        from agentguard.signals import Receiver, Streams

        def streams() -> Streams:
            bundle = self.bundle
            return Streams(bundle.streams, bundle.directory)

        return Receiver(streams, self.operations, clock=self.clock)

    def records(self, **named: Any) -> Iterator[RecordData]:
        """Records in order; keywords as in ``RecordFilter``. Raises ConfigurationError for a word no record holds."""
        return self.ledger.records(wanted(**named))


class _Unlisted(ConfigurationError):
    """Tools that the bundle does not list."""

    def __init__(self, names: Sequence[str], bundle: Bundle) -> None:
        self.names = names
        known = ", ".join(sorted(bundle.tool_by_alias)) or "none"
        said = " or ".join(f"`{name}`" for name in names)
        super().__init__(f"no tool or alias in this bundle is called {said}; Tools lists: {known}")
