"""One run of one workflow: started by trusted code, found by every guarded call made inside it."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing
from types import FrameType, TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from agentguard.core.canonical import NotCanonical, canonical_bytes, read_canonical, sha256
from agentguard.core.facts import RunState, RunStatus
from agentguard.core.reasons import Reason
from agentguard.core.values import Identity, Json, Unavailable
from agentguard.errors import ApprovalPending, ConfigurationError, ToolCallDenied
from agentguard.guard.asks import Ask, Identify, Wait
from agentguard.guard.drive import Shield, drive, drive_async
from agentguard.guard.engine import Engine
from agentguard.guard.observing import observed_words
from agentguard.guard.places import Place, innermost
from agentguard.guard.records import RecordData, new_id, record
from agentguard.guard.seen_in import SeenIn
from agentguard.jose.nonce import nonce
from agentguard.ledger import Admitted, ApprovalRow, Promise
from agentguard.loops import sleep

P = ParamSpec("P")
R = TypeVar("R")


class RunContext:
    """``with guard.run(...)`` or ``async with guard.run(...)``. Leaving it ends the run.

    A run that is left while a call of it waits for a person stays open, and ``waiting`` names the approvals: go on with
    ``guard.resume(run_id)``. One that is left by an error of the program ends. Whatever interrupts the leaving (a
    cancelled task, a scope, Ctrl-C) is raised when the run has ended, or waits. Whoever resumes a run that somebody is
    inside is their guest: only they end it.
    """

    def __init__(
        self,
        guard: Engine,
        workflow: str,
        inputs: Mapping[str, Json],
        requester: str | None,
        run_id: str | None = None,
    ) -> None:
        self.guard = guard
        self.workflow = workflow
        self.id = run_id or new_id("r")
        self.entered = self._started = False
        self.waiting: tuple[str, ...] = ()
        self._inputs = inputs
        self._requester = requester
        self._resumed = run_id is not None
        self._guest = False
        # While the run is observed. Whoever goes on with a run has not seen what it saw before.
        self.seen_in = SeenIn() if run_id is None else None
        self._place: Place | None = None
        self._last_seen: Admitted | RunState | None = None
        self._coming: Promise[Any] | None = None

    def carry(self, function: Callable[P, R]) -> Callable[P, R]:
        """The same function, in this run wherever it is called: by a pool's thread, or a framework's worker.

        Once the run is left, tools that it calls are refused. Functions, async functions and generators can be carried.
        """
        return _carried(self, function)

    def remember(self, run: Admitted | RunState | None) -> None:
        """Keep what the ledger said of this run."""
        self._last_seen, self._coming = run, None

    def expect(self, run: Promise[Any]) -> None:
        """Keep what the ledger is about to say of this run."""
        self._coming = run

    def recall(self) -> RunState | None:
        """The run as it was last seen; None before that, and once it was left.

        It may be out of date in everything that can change: only a permit may be tried with it, because only a permit
        is checked against the run as it is.
        """
        coming = self._coming
        if coming is not None and coming.done:
            self.remember(coming.result() if coming.exception() is None else None)
        if not self.entered:
            return None
        seen = self._last_seen  # looked at once: another call of the run may put what it saw there
        return seen.run if isinstance(seen, Admitted) else seen

    def __enter__(self) -> Self:
        caller, shield = sys._getframe(1), Shield()
        drive(self._start(), self.guard.identify, _no_tool, shield=shield)
        if shield.held is not None:
            drive(self._end(shield.held), self.guard.identify, _no_tool, shield=shield)
            raise shield.held
        return self._enter(caller)

    async def __aenter__(self) -> Self:
        caller, shield = sys._getframe(1), Shield()
        await drive_async(self._start(), self.guard.identify_async, _no_tool, shield=shield)
        try:
            await sleep(0)  # a cancellation on the way in comes here, at the latest
        except BaseException as interruption:
            shield.hold(interruption)
        if shield.held is not None:
            await drive_async(self._end(shield.held), self.guard.identify_async, _no_tool, shield=shield)
            raise shield.held
        return self._enter(caller)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        shield = Shield()
        self._leave()
        drive(self._end(error), self.guard.identify, _no_tool, shield=shield)
        if shield.held is not None and not _interrupts(error):
            raise shield.held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        shield = Shield()
        self._leave()
        await drive_async(self._end(error), self.guard.identify_async, _no_tool, shield=shield)
        if shield.held is not None and not _interrupts(error):
            raise shield.held

    def _enter(self, caller: FrameType) -> Self:
        self._check_entry()  # again: another thread may have come first
        self.entered = self._started = True
        self._place = Place(self).enter(caller)
        return self

    def _leave(self) -> None:
        self.entered = False
        if self._place is not None:
            self._place.__exit__()
            self._place = None

    def _check_entry(self) -> None:
        if self.entered or (self._started and not self._resumed):
            raise ConfigurationError(
                f"run `{self.id}` has been entered already; start another with guard.run(...), or go on with one that "
                "waits for a person with guard.resume(run.id)"
            )

    def _start(self) -> Generator[Ask, Any, None]:
        self._check_entry()
        guard = self.guard
        workflow = guard.bundle.policy.workflows.get(self.workflow)
        if workflow is None:
            known = ", ".join(sorted(guard.bundle.policy.workflows))
            raise ConfigurationError(f"there is no workflow `{self.workflow}`; this bundle has {known}")
        inputs = self._checked_inputs()
        digest = sha256(canonical_bytes({"inputs": inputs, "run": self.id, "v": 1, "workflow": self.workflow}))
        identity = yield Identify(digest, guard.subject_for(workflow))
        if isinstance(identity, Unavailable) or identity.subject not in workflow.subjects:
            yield from self._refuse(identity)
        assert isinstance(identity, Identity)  # noqa: S101  _refuse always raises
        if self._resumed:
            yield from self._check_resumed(identity)
            return
        at = guard.last_known_time
        state = RunState(
            id=self.id,
            workflow=self.workflow,
            workflow_digest=workflow.digest,
            subject=identity.subject,
            status=RunStatus.ACTIVE,
            version=1,
            started_at=at,
            requester=self._requester,
            inputs=inputs,
            salt=nonce(),
            observed=guard.observed_today(self.workflow),
        )
        data = record(
            "run",
            at,
            run_id=self.id,
            workflow=self.workflow,
            workflow_version=workflow.version,
            policy_revision=guard.bundle.revision,
            subject=identity.subject,
            issuer=identity.issuer,
            assurance=identity.assurance.word,
            requester=self._requester,
            enforced=state.observed is None,
            outcome="started",
            why=observed_words(state.observed),
        )
        yield Wait(guard.ledger.start_run(state, data))

    def _checked_inputs(self) -> dict[str, Json]:
        try:
            given = dict(self._inputs)
        except (TypeError, ValueError):
            example = 'a mapping of names to values, such as {"ticket": "EXP-7"}'
            raise ConfigurationError(f"inputs={type(self._inputs).__name__}: expected {example}") from None
        try:
            inputs: dict[str, Json] = read_canonical(canonical_bytes(given))
        except NotCanonical as error:
            raise ConfigurationError(f"the inputs of `{self.workflow}` are not JSON: {error}") from None
        shape = None if self._resumed else self.guard.bundle.workflows_inputs.get(self.workflow)
        refusal = shape.refusal(inputs) if shape is not None else None
        if refusal is not None:
            raise ConfigurationError(f"the inputs of `{self.workflow}` do not fit: {refusal}")
        return inputs

    def _refuse(
        self, identity: Identity | Unavailable, reason: Reason = Reason.SUBJECT_NOT_ALLOWED
    ) -> Generator[Ask, Any, None]:
        decision_id = new_id("d")
        reason = identity.reason if isinstance(identity, Unavailable) else reason
        data = record(
            "run",
            self.guard.last_known_time,
            decision_id=decision_id,
            effect="deny",
            reasons=[str(reason)],
            run_id=self.id,
            workflow=self.workflow,
            policy_revision=self.guard.bundle.revision,
            subject=None if isinstance(identity, Unavailable) else identity.subject,
            why=identity.detail if isinstance(identity, Unavailable) else None,
            outcome="refused",
        )
        yield Wait(self.guard.ledger.append(data))
        raise ToolCallDenied(decision_id)

    def _check_resumed(self, identity: Identity) -> Generator[Ask, Any, None]:
        state = yield Wait(self.guard.ledger.run(self.id, at=self.guard.last_known_time, windows={}))
        if not isinstance(state, RunState) or state.status is not RunStatus.ACTIVE:
            raise ConfigurationError(f"run `{self.id}` is not open; start another with guard.run(...)")
        if state.subject != identity.subject:
            yield from self._refuse(identity, Reason.SUBJECT_CHANGED)
        self._guest = not (yield Wait(self.guard.ledger.hold_run(self.id, self._record(state, "resumed"))))

    def _end(self, error: BaseException | None) -> Generator[Ask, Any, None]:
        waits = _is_a_wait(error)
        if waits or error is None or _interrupts(error):
            self.waiting = yield from self._still_open()
        if self._guest:
            return
        state = yield Wait(self.guard.ledger.run(self.id, at=self.guard.last_known_time, windows={}))
        if not isinstance(state, RunState) or state.status is not RunStatus.ACTIVE:
            return
        if waits or self.waiting:
            yield Wait(self.guard.ledger.let_go(self.id, self._record(state, "left open")))
            return
        at = self.guard.last_known_time
        data = self._record(state, "ended", error=None if error is None else type(error).__name__)
        yield Wait(self.guard.ledger.change_run(self.id, at=at, record=data, status=str(RunStatus.ENDED)))

    def _record(self, state: RunState, outcome: str, *, error: str | None = None) -> RecordData:
        return record(
            "run",
            self.guard.last_known_time,
            run_id=self.id,
            workflow=self.workflow,
            policy_revision=self.guard.bundle.revision,
            subject=state.subject,
            requester=state.requester,
            enforced=state.observed is None,
            outcome=outcome,
            error=error,
        )

    def _still_open(self) -> Generator[Ask, Any, tuple[str, ...]]:
        """The questions of this run that can still lead to a permit: not refused, not used, not expired."""
        now = self.guard.last_known_time
        rows: Sequence[ApprovalRow] = yield Wait(self.guard.ledger.approvals(open_at=now, run_id=self.id))
        return tuple(row.request.id for row in rows)


def current_run(guard: Engine) -> RunContext | None:
    """The run that this call is in, if this guard started it and it has not been left."""
    place = innermost()
    context = None if place is None else place.context
    return context if isinstance(context, RunContext) and context.guard is guard and context.entered else None


def _is_a_wait(error: BaseException | None) -> bool:
    """Whether a run was left because a call waits; tasks of a group raise theirs together."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(ApprovalPending) is not None
    return isinstance(error, ApprovalPending)


def _interrupts(error: BaseException | None) -> bool:
    """Whether a run was left by what ends a task, generator or program from outside, and not by an error in it."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(Exception) is None
    return error is not None and not isinstance(error, Exception)


def _carried(context: RunContext, function: Callable[P, R]) -> Callable[P, R]:
    carried: Callable[..., Any]
    if inspect.isasyncgenfunction(function):

        async def carried_asyncgen(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Any]:
            with Place(context):
                async with aclosing(function(*args, **kwargs)) as items:
                    async for item in items:
                        yield item

        carried = carried_asyncgen
    elif inspect.isgeneratorfunction(function):

        def carried_generator(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
            with Place(context):
                return (yield from function(*args, **kwargs))

        carried = carried_generator
    elif inspect.iscoroutinefunction(function):

        async def carried_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            with Place(context):
                return await function(*args, **kwargs)

        carried = carried_async
    else:

        def carried_function(*args: P.args, **kwargs: P.kwargs) -> R:
            with Place(context):
                return function(*args, **kwargs)

        carried = carried_function
    return cast("Callable[P, R]", functools.wraps(function)(carried))


def _no_tool(_: dict[str, Any]) -> Any:
    raise AssertionError("starting or ending a run runs no tool")
