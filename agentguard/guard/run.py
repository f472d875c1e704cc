"""One run of one workflow: started by trusted code, found by every guarded call made inside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Generator, Mapping
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from agentguard.core.canonical import NotCanonical, canonical_bytes, read_canonical, sha256
from agentguard.core.facts import RunState, RunStatus
from agentguard.core.reasons import Reason
from agentguard.core.values import Identity, Json, Unavailable
from agentguard.errors import ApprovalPending, ConfigurationError, ToolCallDenied
from agentguard.guard import delegation
from agentguard.guard.answered import still_open, until_answered
from agentguard.guard.asks import Ask, Identify, Wait
from agentguard.guard.carried import carried
from agentguard.guard.delegation import Below
from agentguard.guard.drive import Shield, drive, drive_async
from agentguard.guard.engine import Engine
from agentguard.guard.keys import checked_key, differs
from agentguard.guard.observing import observed_words
from agentguard.guard.places import Place, innermost
from agentguard.guard.records import RecordData, new_id, record
from agentguard.guard.seen_in import SeenIn
from agentguard.guard.turns import Turn
from agentguard.jose.nonce import nonce
from agentguard.ledger import Admitted, NotOpened, Opened, Promise, WhyNot
from agentguard.loops import sleep

P = ParamSpec("P")
R = TypeVar("R")

# How a run was left.
_ENDED, _LEFT = "ended", "left open"


class RunContext:
    """``with guard.run(...)`` or ``async with guard.run(...)``. Leaving it ends the run; a run with a key stays open.

    A run that is left while a call of it waits for a person stays open: go on with ``guard.resume(run_id)``. One that
    is left by an error of the program ends. Whatever interrupts the leaving (a cancelled task, a scope, Ctrl-C) is
    raised when the run has ended, or waits. Whoever resumes a run that somebody is inside is their guest: leaving it
    ends it for nobody.

    A run with a ``key`` is left open, however its block is left: ``end`` ends it. Which run it is, ``id``, is known
    once it was entered.
    """

    def __init__(
        self,
        guard: Engine,
        workflow: str,
        inputs: Mapping[str, Json],
        requester: str | None,
        run_id: str | None = None,
        key: str | None = None,
        below: Below | None = None,
    ) -> None:
        self.guard = guard
        self.workflow = workflow
        self.id = run_id or new_id("r")
        self.entered = self._started = False
        self._waiting: tuple[str, ...] = ()
        self.key = None if key is None else checked_key(key)
        self._inputs = inputs
        self._requester = requester
        self._resumed = run_id is not None
        self._guest = False
        # What was said of leaving it inside its block, and how far that was done.
        self._wish: str | None = None
        self._done: str | None = None
        self._leaving: Promise[None] | None = None
        # While the run is observed. Whoever goes on with a run has not seen what it saw before.
        self.seen_in = SeenIn() if run_id is None else None
        self._below = below
        # Who delegates it, here; None: nobody does, or it was delegated before.
        self._parent: RunContext | None = None
        self._place: Place | None = None
        self._last_seen: Admitted | RunState | None = None
        self._coming: Promise[Any] | None = None

    def carry(self, function: Callable[P, R]) -> Callable[P, R]:
        """The same function, in this run wherever it is called: by a pool's thread, or a framework's worker.

        Once the run is left, tools that it calls are refused. Functions, async functions and generators can be carried.
        """
        return carried(self, function)

    def delegate(self, steps: Collection[str] | None = None, *, subject: str | None = None) -> RunContext:
        """A run below this one, for a sub-agent: ``with`` or ``async with``, inside this one's block.

        It may take these ``steps`` of the workflow, None for all that this run may, and counts, keeps and has read what
        this run does: every limit holds over both together. It ends with this run at the latest. ``subject``: who it
        acts as, if not as this run's subject; it is permitted what both are. Go on with one that was left open with
        ``guard.resume(id)``. Entering it raises ConfigurationError for steps that this run does not have, and
        ToolCallDenied where this run was stopped.
        """
        if not self.entered:
            raise ConfigurationError("this run is not entered; it delegates inside its own block")
        below = Below(self.id, self.tree, delegation.checked_steps(steps), subject)
        child = RunContext(self.guard, self.workflow, {}, None, below=below)
        child._parent = self
        return child

    @property
    def tree(self) -> str:
        """The id of the first run of its tree: its own, where nobody delegated it."""
        return self.id if self._below is None else self._below.tree

    def turn(self, message_id: str, call_id: str | None = None) -> Turn:
        """The message of the model that is answered, for ``with`` or ``async with``: a call in it that has an id, or is
        given one here, is known again when the same message is answered once more, and runs once.

        Adapters that know the message say so themselves. Plain functions have no ids: give ``call_id``, for each call.
        """
        return Turn(self, message_id, call_id)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The approvals that calls of the run wait for: not refused, not used, not expired. Inside the block as of now,
        after it as it was left. Raises LedgerError."""
        if self.entered:
            self._waiting = drive(still_open(self.guard, self.id), self.guard.identify, _no_tool)
        return self._waiting

    async def until_answered(self, *approvals: str, within: timedelta | None = None) -> dict[str, str]:
        """Wait until people have answered: these approvals, or all that the run waits for. Then make the calls again.

        Returns where each stands (``approved``, ``denied``, ``expired``, ``cancelled``, ...; docs/approvals.md).
        ``pending`` stands there where the time is up first. None is a permit: each call is decided anew. It may be
        cancelled, and asked again. Raises ConfigurationError for another run's approval, and LedgerError.
        """
        answered: dict[str, str] = await drive_async(
            until_answered(self.guard, self.id, approvals, within), self.guard.identify_async, _no_tool
        )
        return answered

    def wait_until_answered(self, *approvals: str, within: timedelta | None = None) -> dict[str, str]:
        """As ``until_answered``, on this thread."""
        answered: dict[str, str] = drive(
            until_answered(self.guard, self.id, approvals, within), self.guard.identify, _no_tool
        )
        return answered

    def end(self) -> None:
        """End the run, inside its block or after it. Calls in the rest of the block are refused; saying it again does
        nothing. Raises ConfigurationError where it was never entered."""
        self._close_now(_ENDED)

    async def aend(self) -> None:
        """As ``end``, in a task."""
        await self._close_soon(_ENDED)

    def leave(self) -> None:
        """Leave the run open, with or without a key: go on with its key, or with ``guard.resume(run.id)``. Calls in the
        rest of the block are refused; saying it again does nothing. Raises ConfigurationError where it was never
        entered."""
        self._close_now(_LEFT)

    async def aleave(self) -> None:
        """As ``leave``, in a task."""
        await self._close_soon(_LEFT)

    def _close_now(self, wish: str) -> None:
        shield = Shield()
        self._wants(wish)
        drive(self._close(None), self.guard.identify, _no_tool, shield=shield)
        if shield.held is not None:
            raise shield.held

    async def _close_soon(self, wish: str) -> None:
        shield = Shield()
        self._wants(wish)
        await drive_async(self._close(None), self.guard.identify_async, _no_tool, shield=shield)
        if shield.held is not None:
            raise shield.held

    def _wants(self, wish: str) -> None:
        """From here on nothing is called in it. What is not done of the wish, leaving the block does."""
        if not self._started:
            raise ConfigurationError("this run was never entered; write `with guard.run(...) as run:` first")
        self.entered = False
        if self._wish != _ENDED:
            self._wish = wish

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
            self.remember(coming.result() if coming.error is None else None)
        if not self.entered:
            return None
        seen = self._last_seen  # looked at once: another call of the run may put what it saw there
        return seen.run if isinstance(seen, Admitted) else seen

    def __enter__(self) -> Self:
        caller, shield = sys._getframe(1), Shield()
        drive(self._start(), self.guard.identify, _no_tool, shield=shield)
        if shield.held is not None:
            drive(self._close(shield.held), self.guard.identify, _no_tool, shield=shield)
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
            await drive_async(self._close(shield.held), self.guard.identify_async, _no_tool, shield=shield)
            raise shield.held
        return self._enter(caller)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        shield = Shield()
        self._leave()
        drive(self._close(error), self.guard.identify, _no_tool, shield=shield)
        if shield.held is not None and not _interrupts(error):
            raise shield.held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        shield = Shield()
        self._leave()
        await drive_async(self._close(error), self.guard.identify_async, _no_tool, shield=shield)
        if shield.held is not None and not _interrupts(error):
            raise shield.held

    def _enter(self, caller: FrameType) -> Self:
        self._check_entry()  # again: another thread may have come first
        self._wish = self._done = self._leaving = None
        self.entered = self._started = True
        self._place = Place(self).enter(caller)
        return self

    def _leave(self) -> None:
        self.entered = False
        if self._place is not None:
            self._place.__exit__()
            self._place = None

    def _check_entry(self) -> None:
        if self.entered or (self._started and not self._resumed and self.key is None):
            raise ConfigurationError(
                f"run `{self.id}` has been entered already; start another with guard.run(...), or go on with one that "
                "waits for a person or was left open with guard.resume(run.id)"
            )

    def _start(self) -> Generator[Ask, Any, None]:
        self._check_entry()
        if self._started and not self._resumed:
            self.id = new_id("r")  # the one that its key may open now
        if self._below is not None and not self._resumed:
            yield from self._start_below(self._below)
            return
        guard = self.guard
        workflow = guard.bundle.policy.workflows.get(self.workflow)
        if workflow is None:
            known = ", ".join(sorted(guard.bundle.policy.workflows))
            raise ConfigurationError(f"there is no workflow `{self.workflow}`; this bundle has {known}")
        inputs = self._checked_inputs()
        digest = sha256(canonical_bytes({"inputs": inputs, "run": self.id, "v": 1, "workflow": self.workflow}))
        below = self._below
        asserted = guard.subject_for(workflow) if below is None or below.subject is None else below.subject
        identity = yield Identify(digest, asserted)
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
            lasts=workflow.lasts,
            idle=workflow.idle,
            key=self.key,
        )
        about = {
            "workflow": self.workflow,
            "workflow_version": workflow.version,
            "policy_revision": guard.bundle.revision,
            "subject": identity.subject,
            "issuer": identity.issuer,
            "assurance": identity.assurance.word,
            "requester": self._requester,
            "run_key": self.key,
        }
        enforced, why = state.observed is None, observed_words(state.observed)
        data = record("run", at, run_id=self.id, enforced=enforced, outcome="started", why=why, **about)
        if self.key is None:
            yield Wait(guard.ledger.start_run(state, data))
            return
        found, ended = (record("run", at, outcome=outcome, **about) for outcome in ("resumed", "ended"))
        opened: Opened | NotOpened = yield Wait(
            guard.ledger.open_run(state, follows=workflow.follows, started=data, found=found, ended=ended)
        )
        yield from self._take(opened, identity)

    def _start_below(self, below: Below) -> Generator[Ask, Any, None]:
        """Begin a run that another one delegates."""
        if self._parent is None or not self._parent.entered:
            raise ConfigurationError(f"run `{below.parent}` was left; it delegates inside its own block")
        asked = yield from delegation.asked(self.guard, self.id, self.workflow, below)
        identity = yield Identify(asked.digest, asked.parent.subject)
        if isinstance(identity, Unavailable):
            yield from self._refuse(identity)
        assert isinstance(identity, Identity)  # noqa: S101  _refuse always raises
        if identity.subject != asked.parent.subject:
            yield from self._refuse(identity, Reason.SUBJECT_CHANGED)
        if asked.subject not in asked.workflow.subjects:
            yield from self._refuse(identity, why=f"it was to act as {asked.subject}")
        opened = yield from delegation.begun(self.guard, self.id, asked, identity)
        if isinstance(opened, NotOpened):
            if opened.why is WhyNot.STOPPED:
                yield from self._refuse(identity, Reason.RUN_STOPPED, f"run {below.parent} was stopped")
            yield from self._note_refused(identity.subject, opened.why.value)
            raise delegation.not_delegated(opened)
        self.seen_in = self._parent.seen_in

    def _take(self, opened: Opened | NotOpened, identity: Identity) -> Generator[Ask, Any, None]:
        """Be in the run that the key opened; or say why there is none."""
        if isinstance(opened, Opened):
            self.id = opened.run.id
            self.remember(None)
            self.seen_in = SeenIn() if opened.begun else None
            return
        self.id = opened.run_id
        if opened.why is WhyNot.STOPPED:
            why = f"the run of this key was stopped; `agentguard runs free {self.id}` lets the key open another"
            yield from self._refuse(identity, Reason.RUN_STOPPED, why)
        yield from self._note_refused(identity.subject, opened.why.value)
        raise differs(opened)

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
        self, identity: Identity | Unavailable, reason: Reason = Reason.SUBJECT_NOT_ALLOWED, why: str | None = None
    ) -> Generator[Ask, Any, None]:
        decision_id = new_id("d")
        subject = None if isinstance(identity, Unavailable) else identity.subject
        if isinstance(identity, Unavailable):
            reason, why = identity.reason, identity.detail
        yield from self._note_refused(
            subject, why, decision_id=decision_id, effect="deny", reasons=[str(reason)], enforced=True
        )
        raise ToolCallDenied(decision_id)

    def _note_refused(self, subject: str | None, why: str | None, **more: Json) -> Generator[Ask, Any, None]:
        """A record that nobody is let into this run."""
        about = {"run_id": self.id, "workflow": self.workflow, "run_key": self.key, "subject": subject, "why": why}
        about["parent_run"] = None if self._below is None else self._below.parent
        revision = self.guard.bundle.revision
        data = record("run", self.guard.last_known_time, policy_revision=revision, outcome="refused", **about, **more)
        yield Wait(self.guard.ledger.append(data))

    def _check_resumed(self, identity: Identity) -> Generator[Ask, Any, None]:
        state = yield Wait(self.guard.ledger.run(self.id, at=self.guard.last_known_time, windows={}))
        if not isinstance(state, RunState) or state.status is not RunStatus.ACTIVE:
            raise ConfigurationError(f"run `{self.id}` is not open; start another with guard.run(...)")
        if state.subject != identity.subject:
            yield from self._refuse(identity, Reason.SUBJECT_CHANGED)
        self.key = state.key
        self._guest = not (yield Wait(self.guard.ledger.hold_run(self.id, self._record(state, "resumed"))))

    def _close(self, error: BaseException | None) -> Generator[Ask, Any, None]:
        """Leave or end the run, as was said inside its block, or as leaving the block does by itself."""
        wish, waits = self._wish, _is_a_wait(error)
        if self._done == _ENDED or (wish is not None and self._done == wish):
            return
        if wish != _ENDED and (waits or error is None or _interrupts(error)):
            self._waiting = yield from still_open(self.guard, self.id)
        if wish != _ENDED and self._guest:
            self._done = _LEFT
            return
        state = yield Wait(self.guard.ledger.run(self.id, at=self.guard.last_known_time, windows={}))
        if not isinstance(state, RunState) or state.status is not RunStatus.ACTIVE:
            self._done = _ENDED
            return
        name = None if error is None else type(error).__name__
        if wish == _LEFT or (wish is None and (self.key is not None or waits or self._waiting)):
            kept_open = self._record(state, "left open", error=None if self.key is None else name)
            # Said once, however often this is interrupted: another who is inside would be counted out.
            if self._leaving is None or (self._leaving.done and self._leaving.exception() is not None):
                self._leaving = self.guard.ledger.let_go(self.id, kept_open)
            yield Wait(self._leaving)
            self._done = _LEFT
            return
        at = self.guard.last_known_time
        data = self._record(state, "ended", error=name)
        yield Wait(self.guard.ledger.change_run(self.id, at=at, record=data, status=str(RunStatus.ENDED)))
        self._done = _ENDED

    def _record(self, state: RunState, outcome: str, *, error: str | None = None) -> RecordData:
        return record(
            "run",
            self.guard.last_known_time,
            run_id=self.id,
            workflow=self.workflow,
            policy_revision=self.guard.bundle.revision,
            subject=state.subject,
            requester=state.requester,
            run_key=state.key,
            parent_run=None if state.family is None else state.family.parent,
            enforced=state.observed is None,
            outcome=outcome,
            error=error,
        )


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


def _no_tool(_: dict[str, Any]) -> Any:
    raise AssertionError("starting or ending a run runs no tool")
