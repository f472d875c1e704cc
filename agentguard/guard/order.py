"""The order of events of one guarded call, written once.

A generator that asks for what it needs (``Wait``, ``Identify``, ``Pause``, ``RunTool``), driven synchronously
and asynchronously by ``drive``. In order:

1. Arguments become bytes: as they were given, and canonical. Destinations are derived, and put back in canonical form
   where the tool is given that. What the tool gets is read from the bytes, so that nothing can fail after the permit.
2. Facts are gathered: identity by a fresh assertion, the run, approvals, credentials, the clock.
3. ``core.decide``.
4. ``ledger.admit``: one transaction. If the world has moved, gather and decide again.
   The first look may use the run as this guard saw it last: ``admit`` permits nothing by a state that has changed
   since. Everything but a permit is decided again on what the ledger says now.
5. A denial is raised; an escalation asks a person and starts again at 2 once somebody answered, or took power away.
6. Only after a durable permit does the tool run, with what was read from the bytes in 1.
7. The outcome is written.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from agentguard.core.canonical import (
    NotCanonical,
    bytes_in_order,
    canonical_bytes,
    commitment,
    member_order,
    read_canonical,
)
from agentguard.core.decide import STOPS, decide
from agentguard.core.decision import Decision, Finding
from agentguard.core.facts import ApprovalState, Facts, RunState
from agentguard.core.policy import ApprovalRule, Fault, Policy, Tool
from agentguard.core.provenance import Brought
from agentguard.core.reasons import Reason
from agentguard.core.request import Request
from agentguard.core.values import Assurance, Destination, Effect, Identity, Json, Sensitivity, ToolEffect, Unavailable
from agentguard.destinations import compared, derive, other_spellings, rewrite
from agentguard.errors import ApprovalPending, ApprovalRefused, LedgerError, ToolCallDenied
from agentguard.guard.asks import Ask, Events, Identify, Pause, RunTool, Wait
from agentguard.guard.engine import Engine
from agentguard.guard.failures import says_failed
from agentguard.guard.given import Given, what_is_wrong
from agentguard.guard.identities import OUTSIDE_A_RUN
from agentguard.guard.noted import Decided, note
from agentguard.guard.provenance import brought, brought_by_error, lost
from agentguard.guard.raising import first_uses, risk_watches
from agentguard.guard.records import decision_record, new_id, record, redact, rfc3339, storable
from agentguard.guard.run import RunContext
from agentguard.jose.nonce import nonce
from agentguard.ledger import (
    Admission,
    Admitted,
    ApprovalRequest,
    ApprovalRow,
    Charge,
    Closing,
    FirstUse,
    Outcome,
    Promise,
    Refusal,
    Unstorable,
    Watch,
)

if TYPE_CHECKING:
    from agentguard.policy import Bundle
    from agentguard.policy.keeps import Keep

# Each round at least one other call of the run is admitted, so this many rounds serve this many parallel calls.
MAX_ROUNDS = 2_000
# How long an assertion's id is remembered past its expiry: the largest clock skew an issuer may be granted.
REPLAY_MARGIN = timedelta(seconds=60)
# How often a waiting call looks for an answer.
LOOK_EVERY_SECONDS = 0.2


class GuardedTool(Protocol):
    """Which tool is called: its name in the policy, the one it was wrapped under, its definition, its framework."""

    tool: str
    name: str
    definition: str
    framework: str


@dataclass(frozen=True, slots=True)
class _Arguments:
    """The arguments of one call: the caller's object, read once into bytes of our own.

    ``data`` has the members in the order in which they were given. ``made`` is what the tool gets for which bytes, so
    that a call which is decided again and again is made ready once.
    """

    given: Given
    data: bytes
    made: dict[bytes, Any]

    @classmethod
    def read(cls, given: Given) -> _Arguments | Unavailable:
        """Never raises for bad arguments."""
        try:
            data, _ = bytes_in_order(dict(given.values))
        except NotCanonical as error:
            return Unavailable(Reason.ARGUMENTS_INVALID, str(error))
        except Exception as error:  # whatever a hostile mapping raises
            return Unavailable(Reason.ARGUMENTS_INVALID, f"could not be read: {type(error).__name__}")
        return cls(given, data, {})

    def ready(self, data: bytes) -> Any:
        """What the tool gets for these bytes. Raises what the tool's types raise."""
        if data not in self.made:
            self.made.clear()
            self.made[data] = self.given.ready(read_canonical(data))
        return self.made[data]


@dataclass(frozen=True, slots=True)
class _Call:
    """One call before any fact: its request, where it goes, what its tool gets, and what is wrong with it already.

    ``impossible``: this call cannot be made, though the same arguments could be, in another way (awaited, not called).
    ``error`` is what the caller is told instead of a refusal.
    """

    request: Request
    destinations: tuple[Destination, ...] | Unavailable
    as_called: Mapping[str, Json] | None
    spellings: Mapping[str, str]
    shown: Json
    redacted: list[str]
    unsaid: Callable[[str], str]
    coerced: tuple[str, ...]
    problem: Unavailable | None
    unread: Unavailable | None
    ready: Any = None
    impossible: Unavailable | None = None
    error: Exception | None = None


def events(
    guard: Engine,
    gate: GuardedTool,
    arguments: Given | Unavailable,
    call_id: str | None,
    context: RunContext | None,
    *,
    streamed: bool = False,
) -> Events:
    """All events of one call. Returns what the tool returned. Raises a ``ToolCallRefused`` where it
    may not run, a ``LedgerError`` where that could not be recorded, and the tool's own exceptions as they are.

    ``arguments`` that could not even be read are denied here, with a record. ``streamed``: what the tool gives out is
    not seen here.
    """
    flight = _Flight(guard, context, streamed)
    call_id = storable(call_id) if isinstance(call_id, str) else None
    try:
        read = _Arguments.read(arguments) if isinstance(arguments, Given) else arguments
        return (yield from _events(guard, gate, read, call_id, context, flight))
    except BaseException as error:
        flight.broke(error)
        raise


def _events(
    guard: Engine,
    gate: GuardedTool,
    arguments: _Arguments | Unavailable,
    call_id: str | None,
    context: RunContext | None,
    flight: _Flight,
) -> Events:
    call: _Call | None = None
    identity: Identity | Unavailable | None = None
    asked: _Question | None = None
    for look in range(MAX_ROUNDS):
        bundle = guard.bundle
        known = None if look or context is None else context.recall()
        run = guard.with_untold(known or (yield from _run_state(guard, context)))
        call = _prepare(guard, gate, arguments, call_id, context, run)
        if identity is None:
            identity = yield Identify(call.request.digest, run.subject if isinstance(run, RunState) else None)
        facts = yield from _facts(guard, gate, call, run, identity)
        if guard.bundle is not bundle:
            identity = None  # a reload in the middle: all of it again, by the new bundle alone
            continue
        decision, error = _decide(call, bundle.policy, facts)
        if known is not None and decision.effect is not Effect.PERMIT:
            continue
        decision_id = new_id("d")
        now = facts.now if isinstance(facts.now, datetime) else guard.last_known_time
        places = () if isinstance(facts.destinations, Unavailable) else facts.destinations
        pointers = [f"/destinations/{n}/commitment" for n in range(len(places))]
        private = {at: nonce() for at, place in zip(pointers, places, strict=True) if place.shown is not None}
        private["/arguments_digest"] = salt = nonce()
        data = decision_record(
            now,
            decision_id,
            decision,
            call.request,
            bundle.policy,
            facts,
            arguments=call.shown,
            arguments_digest=commitment(salt, call.request.canonical),
            redacted=call.redacted,
            commitments=[
                None if at not in private else commitment(private[at], place.id.encode())
                for place, at in zip(places, pointers, strict=True)
            ],
            unsaid=call.unsaid,
            coerced=call.coerced,
            order=member_order(call.shown),
            framework=gate.framework,
        )
        workflow = bundle.policy.workflows.get(call.request.workflow)
        readable = not isinstance(arguments, Unavailable)
        watches = risk_watches(workflow, facts.run, data, now, readable=readable)
        first = first_uses(workflow, facts.run, facts.destinations, data, now)
        admission = _admission(decision_id, decision, call, bundle.policy, facts, now, data, private, watches, first)
        if admission.permit:
            flight.keeps = _keeps(bundle, admission)
            if flight.keeps:
                admission = replace(admission, keeps=frozenset(keep.name for keep in flight.keeps))
            flight.admission = admission
        windows = {charge.budget: charge.per for charge in admission.charges}
        try:
            answer = yield Wait(guard.ledger.admit(admission, windows=windows))
        except Unstorable:
            arguments, identity, flight.admission = _left_out(arguments), None, None
            continue
        if not isinstance(answer, Admitted):
            flight.admission = None
            if answer.reason is Refusal.ASSERTION_USED:
                identity = Unavailable(Reason.ASSERTION_REPLAYED, "this assertion has been used before")
            continue
        flight.saw(answer.run)
        flight.follow(bundle.policy, call.request, answer.run)
        note(guard, Decided(decision_id, gate.tool, decision.effect, call_id))
        if decision.effect is Effect.PERMIT and decision.step is not None:
            return (yield from _perform(flight, call))
        if decision.effect is Effect.ESCALATE:
            identity = None  # proved again after the wait
            try:
                asked = yield from _ask(guard, decision_id, decision, call, facts, now, asked, gate.tool)
            except Unstorable:
                arguments = _left_out(arguments)
            continue
        if error is not None:
            raise error
        raise (ApprovalRefused if Reason.APPROVAL_REFUSED in decision.reasons else ToolCallDenied)(decision_id)
    yield from _give_up(guard, gate, call)


def _run_state(guard: Engine, context: RunContext | None) -> Generator[Ask, Any, RunState | Unavailable]:
    if context is None or not context.entered:
        return OUTSIDE_A_RUN
    known = guard.bundle.policy.workflows.get(context.workflow)
    windows = {budget.name: budget.per for budget in known.budgets} if known is not None else {}
    state = yield Wait(guard.ledger.run(context.id, at=guard.last_known_time, windows=windows))
    return state if isinstance(state, RunState) else Unavailable(Reason.RUN_UNAVAILABLE, "no such run in this ledger")


def _left_out(arguments: _Arguments | Unavailable) -> Unavailable:
    """In place of arguments that no record can hold: a model can write such, and is denied on record like any other.

    Raises LedgerError where it was not they that could not be stored.
    """
    if isinstance(arguments, Unavailable):
        raise LedgerError("this call cannot be put on record, even without its arguments; nothing ran")
    return Unavailable(Reason.ARGUMENTS_TOO_LARGE, "the record of this call would be larger than a record may be")


def _prepare(
    guard: Engine,
    gate: GuardedTool,
    arguments: _Arguments | Unavailable,
    call_id: str | None,
    context: RunContext | None,
    run: RunState | Unavailable,
) -> _Call:
    """Bytes first; everything later is read from them. Never raises for bad arguments."""
    declaration = guard.bundle.tools.get(gate.tool)
    declared = declaration.destinations if declaration is not None else ()
    unread = arguments if isinstance(arguments, Unavailable) else None
    problem: Unavailable | None = None
    data = b"{}" if isinstance(arguments, Unavailable) else arguments.data
    canonical = b"{}"
    values: dict[str, Json] = read_canonical(data)
    judged, as_called = values, None
    spellings: Mapping[str, str] = {}
    destinations: tuple[Destination, ...] | Unavailable = Unavailable(Reason.ARGUMENTS_INVALID, "no arguments")
    try:
        destinations = derive(declared, values, guard.catalog, guard.secret_paths(gate.tool))
        if not isinstance(destinations, Unavailable):
            values, plain = rewrite(declared, values), read_canonical(canonical_bytes(values))
            judged = compared(declared, plain)
            if judged != plain:
                as_called = plain
            if declared and isinstance(run, RunState):
                spellings = other_spellings(declared, plain, run.inputs, run.kept)
        data, canonical = bytes_in_order(values)
    except NotCanonical as error:
        unread, values, judged = Unavailable(Reason.ARGUMENTS_INVALID, str(error)), {}, {}
        data = canonical = b"{}"
    destinations = destinations if unread is None else unread
    if gate.tool in guard.bundle.tools and guard.bundle.tool_by_alias.get(gate.name) != gate.tool:
        problem = Unavailable(Reason.TOOL_CHANGED, f"`{gate.name}` is not a name of this tool any more")
    shown, redacted, unsaid = redact(values, guard.hidden_paths(gate.tool))
    request = Request.make(
        run_id="" if context is None else context.id,
        workflow="" if context is None else context.workflow,
        tool=gate.tool,
        canonical=canonical,
        arguments=judged,
        in_order=data,
        definition=gate.definition,
        salt=run.salt if isinstance(run, RunState) else nonce(),
        call_id=call_id,
    )
    if isinstance(arguments, Unavailable) or unread is not None:
        return _Call(request, destinations, as_called, spellings, shown, redacted, unsaid, (), problem, unread)
    given = arguments.given
    if problem is None and declaration is not None and declaration.strict and given.retyped:
        detail = f"`strict: true` in Tools: of another type than the tool takes: {', '.join(given.retyped)}"
        problem = Unavailable(Reason.ARGUMENTS_INVALID, detail)
    call = _Call(request, destinations, as_called, spellings, shown, redacted, unsaid, given.coerced, problem, None)
    try:
        return replace(call, ready=arguments.ready(data))
    except NotImplementedError as error:
        impossible = Unavailable(Reason.ARGUMENTS_INVALID, "the tool cannot be called in this way")
        return replace(call, impossible=impossible, error=error)
    except Exception as error:
        detail = f"cannot be handed on as given: {what_is_wrong(error)}"
        return replace(call, problem=problem or Unavailable(Reason.ARGUMENTS_INVALID, detail), error=error)


def _facts(
    guard: Engine, gate: GuardedTool, call: _Call, run: RunState | Unavailable, identity: Identity | Unavailable
) -> Generator[Ask, Any, Facts]:
    approval: ApprovalState | None = None
    # Only where a step, or a zone, may ask. A refusal given before a reload took the step's question away needs no
    # look: the rule is part of the workflow, so its digest changed with it, and the run it was given in is not
    # permitted anything. A zone's rule is not, so wherever zones are reached there is a look.
    workflow = guard.bundle.policy.workflows.get(call.request.workflow)
    steps = workflow.steps_by_tool.get(gate.tool, ()) if workflow is not None else ()
    if any(step.approval is not None for step in steps) or _zones(call.destinations):
        row = yield Wait(guard.ledger.approval_for(call.request.digest))
        approval = row.state() if isinstance(row, ApprovalRow) and _speaks_of(row, guard) else None
    inactive = yield from _inactive_credentials(guard, gate.tool)
    streams: dict[str, datetime | None] = {}
    if guard.bundle.policy.streams and call.destinations:
        states = yield Wait(guard.ledger.streams())
        streams = {name: state.last_heard for name, state in states.items()}
    return Facts(
        now=guard.now(),
        identity=identity,
        run=run,
        destinations=call.destinations,
        approval=approval,
        definition=gate.definition,
        credentials_revoked=inactive,
        streams=streams,
        as_called=call.as_called,
        spellings=call.spellings,
        quotable={"args": call.shown},
        unread=call.unread,
    )


def _inactive_credentials(guard: Engine, tool: str) -> Generator[Ask, Any, tuple[str, ...]]:
    """Which of the credentials this tool uses are not in force. One that was never registered is not."""
    declaration = guard.bundle.tools.get(tool)
    if declaration is None or not declaration.credentials:
        return ()
    states = yield Wait(guard.ledger.credential_states(declaration.credentials))
    return tuple(name for name in declaration.credentials if states.get(name) != "active")


def _speaks_of(row: ApprovalRow, guard: Engine) -> bool:
    """A used-up or expired request is history: the call is judged as if nobody had been asked. A refusal stands."""
    if any(not answer.approve for answer in row.answers):
        return True
    return not row.consumed and row.request.expires_at > guard.last_known_time


def _decide(call: _Call, policy: Policy, facts: Facts) -> tuple[Decision, Exception | None]:
    """The decision, and the error that the caller gets instead of a denial."""
    decision = decide(call.request, policy, facts)
    problem, error = call.problem, call.error
    if problem is None and decision.effect is Effect.PERMIT:
        problem = call.impossible  # people may be asked all the same: the same call can be made in another way
    if problem is None:
        return decision, None
    finding = Finding(Effect.DENY, problem.reason, problem.detail)
    return Decision(Effect.DENY, (*decision.findings, finding)), error


def _admission(
    decision_id: str,
    decision: Decision,
    call: _Call,
    policy: Policy,
    facts: Facts,
    now: datetime,
    data: dict[str, Any],
    private: Mapping[str, str],
    watches: tuple[Watch, ...],
    first: tuple[FirstUse, ...],
) -> Admission:
    run = facts.run if isinstance(facts.run, RunState) else None
    identity = facts.identity if isinstance(facts.identity, Identity) else None
    # A bearer token is what Trust calls `single_use: false`: it may be used again, and the record says so.
    single_use = None if identity is None or identity.assurance is Assurance.BEARER else identity
    permit = decision.effect is Effect.PERMIT
    return Admission(
        decision_id=decision_id,
        permit=permit,
        run_id=None if run is None else run.id,
        run_version=None if run is None else run.version,
        workflow=call.request.workflow or None,
        step=None if decision.step is None else decision.step.name,
        at=now,
        record=data,
        private=private,
        step_at_most=None if decision.step is None else decision.step.at_most,
        charges=tuple(Charge(s.budget.name, s.amount, s.budget.at_most, s.budget.per) for s in decision.spends)
        if permit
        else (),
        assertion_key=None if single_use is None else (single_use.issuer, single_use.assertion_id),
        assertion_until=None if single_use is None else single_use.expires_at + REPLAY_MARGIN,
        approval_id=decision.approval if permit else None,
        read_sensitivity=_read_sensitivity(policy.tools.get(call.request.tool), facts) if permit else None,
        zones=_zones(facts.destinations) if permit else frozenset(),
        watches=watches,
        first_uses=first,
    )


def _read_sensitivity(tool: Tool | None, facts: Facts) -> Sensitivity | None:
    """The most sensitive place this call reads. What nobody classified may be anything, so it counts as the worst."""
    if tool is None or tool.effect is not ToolEffect.READ or isinstance(facts.destinations, Unavailable):
        return None
    levels = (place.sensitivity for place in facts.destinations)
    return max((Sensitivity.SECRET if level is None else level for level in levels), default=None)


def _zones(destinations: tuple[Destination, ...] | Unavailable) -> frozenset[str]:
    places = () if isinstance(destinations, Unavailable) else destinations
    return frozenset(place.zone for place in places if place.zone is not None)


@dataclass(slots=True)
class _Flight:
    """How far a call has come, so that a permit gets its outcome whatever interrupts it, and wherever.

    ``admission`` is the permit that the ledger was asked to make durable, ``keeps`` what its step keeps by the bundle
    that permitted it. ``call`` is its number in a run in which values are followed, else None.
    """

    guard: Engine
    context: RunContext | None
    streamed: bool
    admission: Admission | None = None
    keeps: tuple[Keep, ...] = ()
    tool: str = ""
    call: int | None = None
    started: bool = False
    returned: bool = False

    def broke(self, error: BaseException) -> None:
        """Write how the call ended. An exception is a failure; a cancellation leaves what happened unknown."""
        name = storable(type(error).__name__)
        if self.returned:
            self.close(Outcome.SUCCEEDED, name, {}, None if self.call is None else lost(self.tool, self.call))
        elif self.started:
            outcome = Outcome.FAILED if isinstance(error, Exception) else Outcome.UNKNOWN
            self.close(outcome, name, {}, self._brought_by(error))
        else:
            # The ledger does things in the order they were asked: if it still admits the call, this comes after; if
            # it does not, this comes to nothing.
            self.close(Outcome.FAILED, f"{name} before the tool started", {})

    def saw(self, run: RunState | None) -> None:
        """Remember the run for the next call in it."""
        if self.context is not None:
            self.context.remember(run)

    def follow(self, policy: Policy, request: Request, run: RunState | None) -> None:
        """Remember which call of its run this is, where its workflow asks where values come from."""
        workflow = policy.workflows.get(request.workflow)
        if workflow is not None and workflow.follows and run is not None:
            self.tool, self.call = request.tool, sum(run.counts.values())

    def brought(self, result: Any, kept: Mapping[str, Json]) -> Brought | None:
        """What the result brings into the run."""
        if self.call is None:
            return None
        if self.streamed:
            return lost(self.tool, self.call)
        return brought(self.tool, self.guard.outsiders_paths(self.tool), self.call, result, kept)

    def _brought_by(self, error: BaseException) -> Brought | None:
        """What came of a call that broke: parts of a stream, or an error with outsiders' words in it."""
        if self.call is None:
            return None
        if self.streamed:
            return lost(self.tool, self.call)
        return brought_by_error(self.tool, self.guard.outsiders_paths(self.tool), self.call, error)

    def close(
        self, outcome: Outcome, error: str | None, kept: Mapping[str, Json], brought: Brought | None = None
    ) -> None:
        """Write the outcome, once."""
        if self.admission is not None:
            names = frozenset(keep.name for keep in self.keeps)
            closed = _close(
                self.guard,
                self.admission,
                outcome,
                error=error,
                kept=kept,
                dropped=names - kept.keys(),
                brought=brought,
                admitted=self.started,
            )
            if self.context is not None:
                self.context.expect(closed)
            self.admission = None


def _perform(flight: _Flight, call: _Call) -> Generator[Ask, Any, Any]:
    """Run the tool once."""
    flight.started = True
    result = yield RunTool(call.ready)
    failed = says_failed(result, call.request.call_id)
    if failed is not None:
        flight.close(Outcome.FAILED, f"the tool returned a failure ({failed})", {}, flight.brought(result, {}))
        return result
    flight.returned = True
    kept, trouble = _keep(flight.keeps, result)
    flight.close(Outcome.SUCCEEDED, trouble, kept, flight.brought(result, kept))
    return result


def _keeps(bundle: Bundle, admission: Admission) -> tuple[Keep, ...]:
    return bundle.keeps.get((admission.workflow or "", admission.step or ""), ())


def _keep(keeps: tuple[Keep, ...], result: Any) -> tuple[dict[str, Json], str | None]:
    kept: dict[str, Json] = {}
    missed: list[str] = []
    for keep in keeps:
        try:
            value = keep.extract(result)
            if isinstance(value, Fault):
                raise NotCanonical(value.detail)
            kept[keep.name] = read_canonical(canonical_bytes(value))
        except STOPS:
            raise
        except BaseException:  # a result of any kind: the tool has run, and its outcome must be written
            missed.append(keep.name)
    return kept, f"could not keep {', '.join(missed)}" if missed else None


def _close(
    guard: Engine,
    admission: Admission,
    outcome: Outcome,
    *,
    error: str | None,
    kept: Mapping[str, Json],
    dropped: frozenset[str],
    brought: Brought | None,
    admitted: bool,
) -> Promise[Any]:
    at = guard.last_known_time
    copied = {
        name: admission.record[name]
        for name in ("decision_id", "policy_revision", "workflow", "workflow_version", "step", "run_id", "subject",
                     "tool", "tool_effect", "framework", "call_id", "request_digest")
    }  # fmt: skip
    data = record("outcome", at, outcome=str(outcome), error=error, kept=sorted(kept), **copied)
    closing = Closing(
        decision_id=admission.decision_id,
        run_id=admission.run_id or "",
        step=admission.step or "",
        outcome=outcome,
        at=at,
        record=data,
        kept=kept,
        dropped=dropped,
        brought=brought,
    )
    future = guard.ledger.close(closing)
    if future.done and isinstance(future.exception(), Unstorable):
        data = {**data, "outcome": str(Outcome.UNKNOWN), "error": "its outcome could not be stored", "kept": []}
        plain = replace(closing, outcome=Outcome.UNKNOWN, record=data, kept={}, brought=None)
        future = guard.ledger.close(plain)
    guard.note_close(future, data, admitted=admitted)
    return future


@dataclass(frozen=True, slots=True)
class _Question:
    """The approval this call waits for, and how long it may."""

    row: ApprovalRow
    deadline: datetime


def _ask(
    guard: Engine,
    decision_id: str,
    decision: Decision,
    call: _Call,
    facts: Facts,
    now: datetime,
    asked: _Question | None,
    tool: str,
) -> Generator[Ask, Any, _Question]:
    """Put the question durably; return when the answers or the call's standing changed, or raise that it must wait."""
    rule, run, step = decision.ask, facts.run, decision.step
    if rule is None or step is None or not isinstance(run, RunState):
        raise ToolCallDenied(decision_id)
    if guard.wait:
        yield Pause(0)  # whoever cannot wait says so before anybody is asked
    # No approval among the facts: the one waited for was used up by the same call made elsewhere, or has expired.
    if asked is None or facts.approval is None or asked.row.request.policy_revision != guard.bundle.revision:
        request = ApprovalRequest(
            id=new_id("a"),
            request_digest=call.request.digest,
            policy_revision=guard.bundle.revision,
            run_id=run.id,
            workflow=call.request.workflow,
            step=step.name,
            tool=call.request.tool,
            subject=run.subject,
            requester=run.requester,
            approvers=rule.approvers,
            quorum=rule.quorum,
            requested_at=now,
            expires_at=now + rule.within,
            shown={
                "arguments": call.shown,
                "order": member_order(call.shown),
                "redacted": call.redacted,
                "destinations": _shown(call),
                "because": [call.unsaid(found.detail) for found in decision.findings],
                "people": _people(rule, guard.bundle.policy),
            },
        )
        data = record(
            "approval",
            now,
            decision_id=decision_id,
            approval_id=request.id,
            run_id=run.id,
            workflow=request.workflow,
            step=step.name,
            tool=request.tool,
            subject=run.subject,
            requester=run.requester,
            request_digest=request.request_digest,
            policy_revision=request.policy_revision,
            why=f"asks {rule.quorum} of {', '.join(rule.approvers)} until {rfc3339(request.expires_at)}",
        )
        row: ApprovalRow = yield Wait(guard.ledger.ask(request, data))
        asked = _Question(row, asked.deadline if asked is not None else now + (guard.wait or timedelta(0)))
    seen = len(asked.row.answers)
    while True:
        at = guard.now()
        if isinstance(at, Unavailable) or at >= asked.deadline:
            raise ApprovalPending(decision_id, asked.row.request.id)
        if at >= asked.row.request.expires_at:
            raise ApprovalRefused(decision_id)
        yield Pause(LOOK_EVERY_SECONDS)
        fresh = yield Wait(guard.ledger.approval(asked.row.request.id))
        if isinstance(fresh, ApprovalRow) and len(fresh.answers) != seen:
            return replace(asked, row=fresh)
        if (yield from _moved(guard, run, facts, asked, tool)):
            return asked


def _moved(guard: Engine, run: RunState, facts: Facts, asked: _Question, tool: str) -> Generator[Ask, Any, bool]:
    """Whether somebody took power from a waiting call, or gave it back: then it is decided again at once.

    What the run's own other calls change can wait for the answer; it is judged then with everything else.
    """
    if asked.row.request.policy_revision != guard.bundle.revision:
        return True
    fresh = yield Wait(guard.ledger.run(run.id, at=guard.last_known_time, windows={}))
    if not isinstance(fresh, RunState) or any(getattr(fresh, name) != getattr(run, name) for name in _POWER):
        return True
    inactive = yield from _inactive_credentials(guard, tool)
    return inactive != facts.credentials_revoked


_POWER = ("status", "risk", "subject_suspended", "issued_after", "credential_refused")


def _people(rule: ApprovalRule, policy: Policy) -> Json:
    """Everybody whose yes counts, for those who are asked; None where anybody's does. The decision judges again."""
    if "anyone" in rule.approvers:
        return None
    groups = (
        policy.groups.get(name.removeprefix("group:"), ()) for name in rule.approvers if name.startswith("group:")
    )
    return [*sorted({name for name in rule.approvers if name.startswith("user:")}.union(*groups))]


def _shown(call: _Call) -> Json:
    if isinstance(call.destinations, Unavailable):
        return []
    return [
        {
            "kind": p.kind,
            "id": call.unsaid(p.said),
            "sensitivity": "unclassified" if p.sensitivity is None else p.sensitivity.word,
        }
        for p in call.destinations
    ]


def _give_up(guard: Engine, gate: GuardedTool, call: _Call | None) -> Generator[Ask, Any, None]:
    """The run kept moving under this call. Deny, with a record of its own."""
    decision_id, at = new_id("d"), guard.last_known_time
    data = record(
        "decision",
        at,
        decision_id=decision_id,
        effect=str(Effect.DENY),
        reasons=[str(Reason.CONFLICT)],
        tool=gate.tool,
        framework=gate.framework,
        run_id=None if call is None else call.request.run_id or None,
        request_digest=None if call is None else call.request.digest,
    )
    yield Wait(guard.ledger.append(data))
    raise ToolCallDenied(decision_id)
