"""What may be done to a ledger, each as one compare-and-append. Each function looks first and writes when nothing can
refuse any more; what it writes says by ``changes`` what it changes (``fold``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from agentguard.core.answers import why_not
from agentguard.core.canonical import MAX_INTEGER
from agentguard.core.facts import Answer, RunState, RunStatus
from agentguard.core.people import who
from agentguard.core.policy import Counted
from agentguard.core.signals import Signal, SignalEffect, stream_of
from agentguard.core.values import Json, Risk
from agentguard.errors import LedgerError
from agentguard.ledger import cells, fold
from agentguard.ledger.cells import (
    ApprovalCell,
    AskedCell,
    CallCell,
    CredentialCell,
    RunCell,
    StreamCell,
    moment,
    name,
    write_brought,
)
from agentguard.ledger.entry import SALTS, Change, canonical, encode, key_digest, known_text, micros
from agentguard.ledger.values import (
    REPEATED,
    Admission,
    Admitted,
    ApprovalRequest,
    ApprovalRow,
    Charge,
    Closing,
    FirstUse,
    Outcome,
    RecordData,
    Refusal,
    Refused,
    StreamState,
    StreamStatus,
    Watch,
)
from agentguard.ledger.world import Windows, World

# A sum past what 64 bits hold is refused, never wrapped.
MAX_AMOUNT = 2**63 - 1
# What one message may hold; a real one holds a handful.
MOST_SIGNALS = 1_000
CREDENTIAL_STATES = ("active", "rotated", "revoked")
_CREDENTIAL_EFFECTS = (SignalEffect.REFUSE_CREDENTIAL, SignalEffect.RESTORE_CREDENTIAL)
_MICROSECOND = timedelta(microseconds=1)
_NO_WINDOWS: Windows = {}


# --- runs


class Start(NamedTuple):
    """A run to start."""

    run: RunState
    record: RecordData
    at: int


def check_start(run: RunState, record: RecordData) -> Start:
    """Raises LedgerError for what cannot be stored."""
    for text in (run.id, run.workflow, run.workflow_digest, run.subject, run.requester or ""):
        known_text(text, "a part of a run")
    for value in (*run.inputs, *run.kept):
        known_text(value, "an input")
    return Start(run, record, micros(run.started_at))


def start(world: World, asked: Start) -> RunState:
    """Start a run; whatever the caller claims, it has no past."""
    run = asked.run
    if world.run(run.id) is not None:
        raise LedgerError(f"there is a run `{run.id}` already; a run's id is used once")
    change = (
        "start", run.id, run.workflow, run.workflow_digest, run.subject, run.requester, asked.at, int(run.risk),
        world.below.owner,
    )  # fmt: skip
    private: dict[str, Json] = {"inputs": dict(run.inputs), "salt": run.salt}
    if run.kept:
        private["kept"] = dict(run.kept)
    world.write(asked.record, [change], private)
    return world.state(run.id, world.must_run(run.id))


def read_run(world: World, asked: tuple[str, int, Windows]) -> RunState | None:
    """The run as it is now."""
    run_id, at, windows = asked
    run = world.run(run_id)
    return None if run is None else world.state(run_id, run, at, windows)


class ChangeOfRun(NamedTuple):
    """A run to change."""

    run_id: str
    status: RunStatus | None
    risk: Risk | None
    record: RecordData


def check_change(run_id: str, status: str | None, risk: Risk | None, record: RecordData) -> ChangeOfRun:
    """Raises LedgerError for what is no change of a run."""
    known_text(run_id, "a run id")
    try:
        return ChangeOfRun(
            run_id, None if status is None else RunStatus(status), None if risk is None else Risk(risk), record
        )
    except ValueError as error:
        raise LedgerError(f"run `{run_id}` cannot be changed so: {error}") from None


def change_run(world: World, asked: ChangeOfRun) -> RunState:
    """End or stop a run, or set what operations think of its risk."""
    run = world.must_run(asked.run_id)
    now = world.status(asked.run_id, run)
    if asked.status is RunStatus.ACTIVE and now != RunStatus.ACTIVE:
        raise LedgerError(f"run `{asked.run_id}` is {now} and never becomes active again; start a new run")
    changes: list[Change] = []
    if asked.status is not None and asked.status is not RunStatus.ACTIVE:
        changes.append(("end", asked.run_id, str(asked.status)))
    if asked.risk is not None:
        changes.append(("risk", asked.run_id, int(asked.risk)))
    world.write(asked.record, changes or [("touch", asked.run_id)])
    return world.state(asked.run_id, world.must_run(asked.run_id))


class Held(NamedTuple):
    """A run that somebody enters, or leaves open."""

    run_id: str
    record: RecordData


def hold_run(world: World, asked: Held) -> bool:
    """Be the one who is inside a run, unless another ledger object that is alive, or this one, is already."""
    run = world.must_run(asked.run_id)
    taken = run.holder is not None and not world.below.is_dead(run.holder)
    if taken or world.status(asked.run_id, run) != RunStatus.ACTIVE:
        return False
    world.write(asked.record, [("hold", asked.run_id, world.below.owner)])
    return True


def let_go(world: World, asked: Held) -> None:
    """Nobody of this ledger object is inside the run any more."""
    run = world.must_run(asked.run_id)
    world.write(asked.record, [("hold", asked.run_id, None)] if run.holder == world.below.owner else ())


def holders(world: World, of: Sequence[str] | None) -> Mapping[str, bool]:
    """The active runs that somebody is inside, or was when the process ended: whether that process is alive."""
    if of is None:
        listed = [(run_id, cell) for run_id, cell in world.below.listed(cells.RUN, live=True)]
    else:
        listed = [(run_id, cell) for run_id in of if (cell := world.run(run_id)) is not None]
    found = [(run_id, cell) for run_id, cell in listed if isinstance(cell, RunCell)]
    return {run_id: not world.below.is_dead(cell.holder) for run_id, cell in found if cell.holder is not None}


# --- one call


class ReadyAdmission(NamedTuple):
    """An admission, checked."""

    asked: Admission
    at: int
    assertion: str | None
    until: int | None
    windows: Windows


def check_admission(asked: Admission, windows: Windows) -> ReadyAdmission:
    """Raises LedgerError for what is no admission."""
    if type(asked.permit) is not bool:
        raise LedgerError(f"an admission's `permit` is {type(asked.permit).__name__}; expected true or false")
    known_text(asked.decision_id, "a decision id")
    if asked.permit and (asked.run_id is None or asked.step is None):
        raise LedgerError("a permit names no run or no step; only a call inside a run can be admitted")
    for charge in asked.charges:
        _check_charge(charge)
    for zone in asked.zones:
        known_text(zone, "a zone")
    for first in asked.first_uses:
        _check_first_use(first)
    for watch in asked.watches:
        _check_watch(watch)
    used, until = asked.assertion_key, asked.assertion_until
    return ReadyAdmission(
        asked,
        micros(asked.at),
        None if used is None else key_digest(used),
        None if until is None else min(micros(until), MAX_INTEGER),
        windows,
    )


def admit(world: World, ready: ReadyAdmission) -> Admitted | Refused:
    """One decision made durable, or the reason why not with nothing written.

    The order in which it is refused: the run moved on, the assertion was used, the step is used up, a budget does not
    hold the amount, the approval is gone.
    """
    asked = ready.asked
    run = None if asked.run_id is None else world.run(asked.run_id)
    if asked.permit and not _as_decided(world, run, asked):
        return _refused(world, ready, Refusal.RUN_MOVED, run)
    if asked.permit and world.get((cells.CALL, asked.decision_id)) is not None:
        raise LedgerError(f"decision `{asked.decision_id}` was admitted before; each call needs its own decision id")
    if ready.assertion is not None and world.get((cells.USED, ready.assertion)) is not None:
        return _refused(world, ready, Refusal.ASSERTION_USED, run)
    if asked.permit and run is not None:
        refusal = _step_or_budget(world, ready, run) or _approval_gone(world, ready)
        if refusal is not None:
            return _refused(world, ready, refusal, run)
    world.below.note(ready.at)
    due = _due(world, ready, run)
    private: dict[str, Json] = {SALTS: dict(asked.private)} if asked.private else {}
    number = world.add(encode(asked.record, _taken(world, ready, run), private))
    for _, entry in due:
        world.add(entry)
    after = (
        None
        if run is None or asked.run_id is None
        else world.state(asked.run_id, world.must_run(asked.run_id), ready.at, ready.windows)
    )
    return Admitted(number, after, tuple(rule.record for rule, _ in due))


def _as_decided(world: World, run: RunCell | None, asked: Admission) -> bool:
    return (
        run is not None
        and asked.run_id is not None
        and run.workflow == asked.workflow
        and world.is_as_decided(asked.run_id, run, asked.run_version)
    )


def _step_or_budget(world: World, ready: ReadyAdmission, run: RunCell) -> Refusal | None:
    asked = ready.asked
    if asked.step_at_most is not None and run.counts.get(asked.step or "", 0) >= asked.step_at_most:
        return Refusal.STEP_USED_UP
    taken: dict[str, int] = {}
    for charge in asked.charges:
        total = taken.get(charge.budget, 0) + charge.amount
        taken[charge.budget] = total
        after = world.spent(run, charge.budget, charge.per, ready.at) + total
        if after > charge.at_most or after > MAX_AMOUNT:
            return Refusal.BUDGET_EXCEEDED
    return None


def _approval_gone(world: World, ready: ReadyAdmission) -> Refusal | None:
    """An approval that was named but cannot be used: missing, consumed, expired, or another run's."""
    asked = ready.asked
    if asked.approval_id is None:
        return None
    found = world.get((cells.APPROVAL, asked.approval_id))
    usable = (
        isinstance(found, ApprovalCell)
        and not found.consumed
        and found.run_id == asked.run_id
        and ready.at < found.expires_at
    )
    return None if usable else Refusal.APPROVAL_USED


def _taken(world: World, ready: ReadyAdmission, run: RunCell | None) -> list[Change]:
    """What an admission changes."""
    asked = ready.asked
    changes: list[Change] = []
    if ready.assertion is not None:
        changes.append(("use", ready.assertion, ready.until))
    if asked.permit and run is not None:
        per_run: dict[str, int] = {}
        windowed: dict[str, int] = {}
        for charge in asked.charges:
            into = per_run if charge.per is None else windowed
            into[charge.budget] = into.get(charge.budget, 0) + charge.amount
        read = None if asked.read_sensitivity is None else int(asked.read_sensitivity)
        zones = sorted(asked.zones)
        changes.append(
            (
                "call",
                asked.decision_id,
                asked.run_id,
                asked.step or "",
                world.below.owner,
                sorted(asked.keeps),
                _texts(per_run),
                read,
                zones,
            )
        )
        for budget, amount in windowed.items():
            changes.append(("spend", asked.decision_id, run.workflow, budget, ready.at, str(amount)))
        if asked.approval_id is not None:
            changes.append(("consume", asked.approval_id))
    if run is None or not (asked.watches or asked.first_uses):
        return changes
    reaches: dict[str, set[str]] = {}
    for first in asked.first_uses if asked.permit else ():
        reaches.setdefault(first.kind, set()).update(first.values)
    changes += [("reach", run.subject, kind, sorted(values)) for kind, values in sorted(reaches.items())]
    longest: dict[str, timedelta] = {}
    calls: dict[str, str | None] = {}
    for watch in _news(run, asked.watches, ready.at):
        longest[watch.counts] = max(watch.within, longest.get(watch.counts, watch.within))
        calls[watch.counts] = watch.call
    for what, within in longest.items():
        since = ready.at - within // _MICROSECOND
        changes.append(("count", asked.run_id, str(what), ready.at, since, calls[what]))
    return changes


def _texts(amounts: Mapping[str, int]) -> dict[str, Json]:
    """As text, because a record's numbers end at 2^53."""
    return {budget: str(amount) for budget, amount in amounts.items()}


def _due(world: World, ready: ReadyAdmission, run: RunCell | None) -> list[tuple[Watch | FirstUse, Any]]:
    """The rules whose number or first use this admission is, for the first time in this run, with each one's record."""
    asked = ready.asked
    if run is None or asked.run_id is None or not (asked.watches or asked.first_uses):
        return []
    if world.status(asked.run_id, run) != RunStatus.ACTIVE:
        return []
    reached: list[Watch | FirstUse] = [
        watch for watch in _news(run, asked.watches, ready.at) if _counted(run, watch, ready.at) + 1 >= watch.at_least
    ]
    if asked.permit:
        reached += [first for first in asked.first_uses if _is_first(world, run, first)]
    words = fold.said_of(world, "run", asked.run_id).words
    due = [rule for rule in reached if _level(words, rule.source) < rule.to]
    return [(rule, encode(rule.record, [("raise", asked.run_id, rule.source, int(rule.to), ready.at)])) for rule in due]


def _level(words: Mapping[str, cells.Word], source: str) -> int:
    found = words.get(source)
    return 0 if found is None else found.risk or 0


def _is_first(world: World, run: RunCell, first: FirstUse) -> bool:
    known = fold.contacts_of(world, run.subject).zones if first.kind == "zone" else frozenset()
    return any(
        value not in known and world.get((cells.REACHED, name(run.subject, first.kind, value))) is None
        for value in first.values
    )


def _counted(run: RunCell, watch: Watch, at: int) -> int:
    since = at - watch.within // _MICROSECOND
    return sum(time > since for time, _ in run.happened.get(str(watch.counts), ()))


def _news(run: RunCell, watches: Sequence[Watch], at: int) -> list[Watch]:
    """The rules for which this is not what was counted a moment ago, repeated."""
    since = at - REPEATED // _MICROSECOND
    return [
        watch
        for watch in watches
        if watch.call is None
        or not any(time > since and call == watch.call for time, call in run.happened.get(str(watch.counts), ()))
    ]


def _refused(world: World, ready: ReadyAdmission, why: Refusal, run: RunCell | None) -> Refused:
    run_id = ready.asked.run_id
    if run is None or run_id is None:
        return Refused(why, None)
    return Refused(why, world.state(run_id, run, ready.at, ready.windows))


def check_closing(asked: Closing) -> Closing:
    """Raises LedgerError for what cannot be stored."""
    for value in asked.kept:
        known_text(value, "a kept value")
    return asked


def close(world: World, asked: Closing) -> RunState | None:
    """The outcome of one admitted call; the second time, nothing."""
    call = world.get((cells.CALL, asked.decision_id))
    run = world.run(asked.run_id)
    if call is None:
        if not world.was_recorded(asked.decision_id):
            raise LedgerError(f"decision `{asked.decision_id}` was never admitted, so it has no outcome")
    elif isinstance(call, CallCell) and (call.run_id, call.step) != (asked.run_id, asked.step):
        raise LedgerError(f"decision `{asked.decision_id}` was admitted for another run or step than it is closed for")
    else:
        private: dict[str, Json] = {}
        if asked.kept:
            private["kept"] = dict(asked.kept)
        if asked.brought is not None:
            private["brought"] = write_brought(asked.brought)
        change = ("close", asked.decision_id, asked.run_id, asked.step, str(asked.outcome), sorted(asked.dropped))
        world.write(asked.record, [change], private)
    after = world.run(asked.run_id)
    return None if run is None or after is None else world.state(asked.run_id, after)


def close_plainly(world: World, asked: Closing) -> RunState | None:
    """The outcome of a call of which no more can be stored than that it is unknown."""
    record = {**asked.record, "outcome": Outcome.UNKNOWN.value, "kept": []}
    return close(world, replace(asked, outcome=Outcome.UNKNOWN, record=record, kept={}, brought=None))


# --- what people and streams say


def suspend_subject(world: World, asked: tuple[str, bool, RecordData]) -> None:
    """Refuse, or accept again, every call of a subject."""
    subject, suspended, record = asked
    world.write(record, [("suspend", subject, suspended)])


def set_credential(world: World, asked: tuple[str, str, RecordData]) -> None:
    """Set what operations say of a credential."""
    credential, state, record = asked
    world.write(record, [("credential", credential, state)])


def credential_states(world: World, names: Sequence[str]) -> Mapping[str, str]:
    """The states of those that were ever set, or refused by a source."""
    states = {}
    for credential in names:
        cell = world.get((cells.CREDENTIAL, who(credential)))
        if fold.said_of(world, "credential", who(credential)).refused:
            states[credential] = "revoked"  # whatever operations say: not active anywhere is not active
        elif isinstance(cell, CredentialCell):
            states[credential] = cell.state
    return states


class ReadySignals(NamedTuple):
    """One message's signals, checked."""

    key: str
    signals: Sequence[tuple[Signal, int]]
    at: int
    records: Sequence[RecordData]
    status: StreamStatus | None


def check_signals(
    identifier: tuple[str, str], signals: Sequence[Signal], at: datetime, records: Sequence[RecordData],
    status: str | None,
) -> ReadySignals:  # fmt: skip
    """Raises LedgerError for what is no signal."""
    if len(identifier) != 2:
        raise LedgerError("a signal's identifier is not a pair; expected (issuer, jti)")
    if len(signals) > MOST_SIGNALS:
        raise LedgerError(f"{len(signals)} signals came at once; expected at most {MOST_SIGNALS}")
    for signal in signals:
        _check_signal(signal)
    # Two streams of one issuer may each be sent the same token, and each be believed about others.
    streams = "\n".join(sorted({stream_of(signal.source) or "" for signal in signals}))
    return ReadySignals(
        name(key_digest(identifier, "a signal's issuer or jti"), streams),
        [(signal, micros(signal.at)) for signal in signals],
        micros(at),
        records,
        None if status is None else _status(status),
    )


def signal(world: World, ready: ReadySignals) -> bool:
    """All of one message's signals, unless it was heard before."""
    if world.get((cells.HEARD, ready.key)) is not None:
        return False
    changes: list[Change] = [("hear", ready.key)]
    status = None if ready.status is None else str(ready.status)
    for said, at in ready.signals:
        risk = None if said.risk is None else int(said.risk)
        for kind, about in _things(said):
            changes.append(("say", kind, about, said.source, str(said.effect), at, risk))
            if said.effect is SignalEffect.END_RUNS:
                changes += [("end", run_id, str(RunStatus.STOPPED)) for run_id in _under_way(world, kind, about, at)]
        stream = stream_of(said.source)
        if stream is not None:
            changes.append(("stream", stream, ready.at, status))
    records = ready.records or [{}]
    for number, record in enumerate(records):
        world.write(record, changes if number == 0 else ())
    return True


def _under_way(world: World, kind: str, about: str, at: int) -> list[str]:
    """The active runs that a word is about, begun up to then. Those begun by others meanwhile are stopped by the word
    itself; these are named, so that what they hold of outsiders is gone at once."""
    found: list[str] = []
    for run_id, run in world.below.listed(cells.RUN, live=True):
        meant = run_id == about if kind == "run" else isinstance(run, RunCell) and about in fold.parties(run)
        if meant and isinstance(run, RunCell) and run.started <= at:
            found.append(run_id)
    return found


def _things(said: Signal) -> list[tuple[str, str]]:
    """What a signal is about, as (kind, name)."""
    if said.effect is SignalEffect.NOTE:
        return []
    if said.credential is not None and said.effect in _CREDENTIAL_EFFECTS:
        return [("credential", who(said.credential))]
    whom = None if said.about is None else who(said.about)
    named = [("party", whom), ("run", said.run_id)]
    return [(kind, about) for kind, about in named if about is not None]


class ReadyStream(NamedTuple):
    """A sign of life, checked."""

    name: str
    at: int
    status: StreamStatus
    record: RecordData


def check_stream(stream: str, at: datetime, status: str, record: RecordData) -> ReadyStream:
    """Raises LedgerError for what is no stream."""
    if not known_text(stream, "a stream's name") or stream_of(stream) != stream:
        raise LedgerError(f"`{stream}` is not a stream's name; expected one of `streams` in Trust")
    return ReadyStream(stream, micros(at), _status(status), record)


def stream_heard(world: World, ready: ReadyStream) -> None:
    """A sign of life, or a change of status."""
    world.write(ready.record, [("stream", ready.name, ready.at, str(ready.status))])


def streams(world: World, _: None) -> Mapping[str, StreamState]:
    """Every stream that was ever heard of."""
    found = sorted(world.below.listed(cells.STREAM))
    return {
        stream: StreamState(stream, moment(cell.heard_at), StreamStatus(cell.status))
        for stream, cell in found
        if isinstance(cell, StreamCell)
    }


# --- approvals

_TEXTS = ("id", "request_digest", "policy_revision", "run_id", "workflow", "step", "tool", "subject")


class Question(NamedTuple):
    """An approval request, checked."""

    asked: ApprovalRequest
    requested_at: int
    expires_at: int
    record: RecordData


def check_question(asked: ApprovalRequest, record: RecordData) -> Question:
    """Raises LedgerError for what cannot be stored."""
    for each in _TEXTS:
        known_text(getattr(asked, each), f"an approval request's {each}")
    canonical(_body(asked), "an approval request")
    return Question(asked, micros(asked.requested_at), micros(asked.expires_at), record)


def _body(asked: ApprovalRequest) -> dict[str, Json]:
    return {each: getattr(asked, each) for each in _TEXTS} | {
        "requester": asked.requester,
        "approvers": list(asked.approvers),
        "quorum": asked.quorum,
        "shown": asked.shown,
    }


def ask(world: World, question: Question) -> ApprovalRow:
    """Store a question, unless the same one is open already: then that one."""
    asked = question.asked
    for approval_id in reversed(_asked(world, asked.request_digest)):
        found = world.get((cells.APPROVAL, approval_id))
        if (
            isinstance(found, ApprovalCell)
            and found.revision == asked.policy_revision
            and not found.consumed
            and found.expires_at > question.requested_at
        ):
            return _row(found)
    if world.get((cells.APPROVAL, asked.id)) is not None:
        raise LedgerError(f"there is an approval request `{asked.id}` already; each request needs its own id")
    change = (
        "ask", asked.id, asked.request_digest, asked.policy_revision, asked.run_id, question.requested_at,
        question.expires_at,
    )  # fmt: skip
    world.write(question.record, [change], {"request": _body(asked)})
    return ApprovalRow(asked, (), False)


class Reply(NamedTuple):
    """One person's answer, checked."""

    approval_id: str
    answer: Answer
    at: int
    record: RecordData


def check_reply(approval_id: str, answer: Answer, record: RecordData) -> Reply:
    """Raises LedgerError for what is no answer."""
    known_text(answer.approver, "an approver")
    if type(answer.approve) is not bool:
        raise LedgerError(f"an answer is {type(answer.approve).__name__}; expected true or false")
    return Reply(known_text(approval_id, "an approval id"), answer, micros(answer.at), record)


def answer(world: World, reply: Reply) -> ApprovalRow:
    """Add one person's answer, and make a decision that was taken without it come to nothing."""
    approval_id, given = reply.approval_id, reply.answer
    found = world.get((cells.APPROVAL, approval_id))
    if not isinstance(found, ApprovalCell):
        raise LedgerError(f"there is no approval request `{approval_id}`; `agentguard approvals list` shows them")
    asked = _row(found)
    at = moment(reply.at)
    problem = why_not(asked.request, asked.answers, asked.consumed, given.approver, agree=given.approve, at=at)
    if problem is not None:
        raise LedgerError(problem)
    world.write(reply.record, [("answer", approval_id, given.approver, given.approve, reply.at)])
    after = world.get((cells.APPROVAL, approval_id))
    return _row(after) if isinstance(after, ApprovalCell) else _row(found)


def approval(world: World, approval_id: str) -> ApprovalRow | None:
    """One request."""
    found = world.get((cells.APPROVAL, approval_id))
    return _row(found) if isinstance(found, ApprovalCell) and found.body is not None else None


def approval_for(world: World, digest: str) -> ApprovalRow | None:
    """The latest request for a digest.

    A refusal stands for the request, also where it was asked again under another revision before somebody said no.
    """
    found = [world.get((cells.APPROVAL, each)) for each in reversed(_asked(world, digest))]
    known = [each for each in found if isinstance(each, ApprovalCell) and each.body is not None]
    refused = [each for each in known if any(not approve for _, approve, _ in each.answers)]
    return _row((refused or known)[0]) if known else None


def approvals(world: World, asked: tuple[datetime | None, str | None]) -> Sequence[ApprovalRow]:
    """All requests, newest first; or those that still wait for somebody at a time, perhaps of one run alone."""
    open_at, run_id = asked
    listed = world.below.listed(cells.APPROVAL, live=open_at is not None)
    found = [each for _, each in listed if isinstance(each, ApprovalCell) and each.body is not None]
    if open_at is None:
        return [_row(each) for each in found]
    at = micros(open_at)
    waiting = [each for each in found if not each.consumed and each.expires_at > at]
    waiting = [each for each in waiting if run_id is None or each.run_id == run_id]
    return [_row(each) for each in waiting if all(approve for _, approve, _ in each.answers)]


def _asked(world: World, digest: str) -> tuple[str, ...]:
    found = world.get((cells.ASKED, digest))
    return found.ids if isinstance(found, AskedCell) else ()


def _row(cell: ApprovalCell) -> ApprovalRow:
    body: Any = cell.body
    if body is None:
        raise LedgerError("what was asked in this approval request was erased; nobody can answer it any more")
    asked = ApprovalRequest(
        **{each: body[each] for each in _TEXTS},
        requester=body["requester"],
        approvers=tuple(body["approvers"]),
        quorum=body["quorum"],
        requested_at=moment(cell.requested_at),
        expires_at=moment(cell.expires_at),
        shown=body["shown"],
    )
    return ApprovalRow(asked, cell.given(), cell.consumed)


# --- records and lists


def private(world: World, number: int) -> Mapping[str, Json]:
    """The private parts that are kept beside a record, with what opens their commitments."""
    return world.below.row(number)[1]


def append(world: World, record: RecordData) -> int:
    """A record that changes nothing."""
    return world.write(record)


class WantedRuns(NamedTuple):
    """Which runs are listed. ``before``: only those that began before that run did."""

    status: str | None
    workflow: str | None
    subject: str | None
    before: str | None
    limit: int | None


def runs(world: World, wanted: WantedRuns) -> Sequence[RunState]:
    """Runs, newest first."""
    before = None if wanted.before is None else world.must_run(wanted.before).number
    found: list[RunState] = []
    live = wanted.status == RunStatus.ACTIVE
    for run_id, cell in world.below.listed(cells.RUN, live=live, about=wanted.subject, before=before):
        if wanted.limit is not None and len(found) >= wanted.limit:
            break
        if isinstance(cell, RunCell) and _is_wanted(world, run_id, cell, wanted):
            found.append(world.state(run_id, cell))
    return found


def _is_wanted(world: World, run_id: str, cell: RunCell, wanted: WantedRuns) -> bool:
    if wanted.workflow not in (None, cell.workflow):
        return False
    return wanted.status is None or world.status(run_id, cell) == wanted.status


def open_calls(world: World, _: None) -> Sequence[RecordData]:
    """Decision records of admitted calls without an outcome, oldest first."""
    found = [cell for _, cell in world.below.listed(cells.CALL) if isinstance(cell, CallCell)]
    return [world.below.row(cell.number)[0] for cell in reversed(found)]


def recover(world: World, at: datetime) -> Sequence[RecordData]:
    """Write the outcome `unknown` for every open call whose ledger object is gone; the decision records of those.

    Deadness is for ever (an owner's name is never used twice), and nobody else appends meanwhile, so of several
    recovering processes each call is marked by exactly one.
    """
    found = [(each, cell) for each, cell in world.below.listed(cells.CALL) if isinstance(cell, CallCell)]
    dead = {
        owner
        for owner in {cell.owner for _, cell in found}
        if owner != world.below.owner and world.below.is_dead(owner)
    }
    marked: list[RecordData] = []
    for decision_id, cell in reversed(found):
        if cell.owner not in dead:
            continue
        decision = world.below.row(cell.number)[0]
        changes: list[Change] = [
            ("close", decision_id, cell.run_id, cell.step, str(Outcome.UNKNOWN), []),
        ]
        world.write(unknown_outcome(decision, at), changes)
        marked.append(decision)
    return marked


def settle(world: World, asked: tuple[str, Outcome, RecordData]) -> RunState:
    """What a person says of a call whose outcome is unknown."""
    decision_id, outcome, record = asked
    call = world.get((cells.UNSETTLED, decision_id))
    if not isinstance(call, CallCell):
        raise LedgerError(f"`{decision_id}` cannot be settled: {_why_not_unsettled(world, decision_id)}")
    world.write(record, [("settle", call.run_id, decision_id, str(outcome))])
    return world.state(call.run_id, world.must_run(call.run_id))


def _why_not_unsettled(world: World, decision_id: str) -> str:
    if world.get((cells.CALL, decision_id)) is not None:
        return "the call is under way; its outcome is recorded when it ends"
    if world.was_recorded(decision_id):
        return "nothing is unknown of it; `agentguard audit --decision` shows its records"
    return "there is no such decision in this ledger; `agentguard runs show RUN` lists what is unsettled"


def check_settlement(decision_id: str, outcome: Outcome, record: RecordData) -> tuple[str, Outcome, RecordData]:
    """Raises LedgerError for what settles nothing."""
    if outcome not in (Outcome.SUCCEEDED, Outcome.FAILED):
        raise LedgerError(f"a call is settled as `{outcome}`; expected succeeded or failed")
    return known_text(decision_id, "a decision id"), Outcome(outcome), record


def unknown_outcome(decision: RecordData, at: datetime) -> RecordData:
    """The outcome record of a call that nobody will ever hear of again: the decision's words, without its reasons."""
    dropped = ("seq", "changes", "commitments")
    record = {key: value for key, value in decision.items() if key not in dropped}
    if "arguments" in record:
        record["arguments"] = None
    return record | {
        "kind": "outcome",
        "time": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "reasons": [],
        "findings": [],
        "outcome": Outcome.UNKNOWN.value,
        "error": None,
        "why": "the process ended before the outcome was recorded",
    }


# --- checks of shape


def check_credential(credential: str, state: str, record: RecordData) -> tuple[str, str, RecordData]:
    """Raises LedgerError for what is no credential's state."""
    if state not in CREDENTIAL_STATES:
        raise LedgerError(f"`{state}` is not a credential's state; expected one of {', '.join(CREDENTIAL_STATES)}")
    return known_text(credential, "a credential"), state, record


def check_suspension(subject: str, suspended: bool, record: RecordData) -> tuple[str, bool, RecordData]:
    """Raises LedgerError for what is no suspension."""
    if type(suspended) is not bool:
        raise LedgerError(f"`suspended` is {type(suspended).__name__}; expected true or false")
    return known_text(subject, "a subject"), suspended, record


def _status(word: str) -> StreamStatus:
    if word not in set(StreamStatus):
        raise LedgerError(f"`{word}` is not a stream's status; expected one of {', '.join(StreamStatus)}")
    return StreamStatus(word)


def _check_charge(charge: Charge) -> None:
    if type(charge.amount) is not int or charge.amount < 0:
        raise LedgerError(f"budget `{charge.budget}`: the amount is not a whole number of millionths from 0 up")
    if type(charge.at_most) is not int:
        raise LedgerError(f"budget `{charge.budget}`: the limit is not a whole number of millionths")
    if charge.per is not None and charge.per <= timedelta(0):
        raise LedgerError(f"budget `{charge.budget}`: the window is not longer than nothing")
    known_text(charge.budget, "a budget's name")


def _check_first_use(first: FirstUse) -> None:
    known_text(first.source, "a rule's name")
    if type(first.to) is not Risk or first.kind not in ("zone", "destination"):
        raise LedgerError(f"rule `{first.source}` looks at or raises what nobody knows; expected values of core")
    for value in first.values:
        known_text(value, f"a {first.kind}")


def _check_watch(watch: Watch) -> None:
    known_text(watch.source, "a rule's name")
    if type(watch.to) is not Risk or type(watch.counts) is not Counted:
        raise LedgerError(f"rule `{watch.source}` counts or raises what nobody knows; expected values of core")
    if type(watch.at_least) is not int or watch.at_least < 1:
        raise LedgerError(f"rule `{watch.source}`: the number to reach is not a whole number from 1 up")
    if watch.within <= timedelta(0):
        raise LedgerError(f"rule `{watch.source}`: the time it looks back is not longer than nothing")


def _check_signal(said: Signal) -> None:
    if type(said.effect) is not SignalEffect:
        raise LedgerError(f"a signal's effect is `{said.effect}`; expected one of {', '.join(SignalEffect)}")
    if not known_text(said.source, "a signal's source"):
        raise LedgerError("a signal names no source; expected a stream's name")
    for each in ("about", "run_id", "credential"):
        value = getattr(said, each)
        if value is not None and not known_text(value, f"a signal's {each}"):
            raise LedgerError(f"a signal's {each} is empty; expected a name, or None")
    if (type(said.risk) is Risk) is not (said.effect is SignalEffect.SET_RISK):
        raise LedgerError(f"a signal of effect `{said.effect}` has risk `{said.risk}`; expected one for set_risk alone")
    if stream_of(said.source) == "":
        raise LedgerError(f"a signal's source is `{said.source}`; expected a stream's name, or NAME/OPINION")
