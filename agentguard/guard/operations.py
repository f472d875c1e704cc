"""What people do from outside a run: stop it, set its risk, suspend a subject, answer an approval. Each is a record."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from agentguard.core.answers import ApprovalStatus, Question, confirms
from agentguard.core.facts import Answer, RunState, RunStatus
from agentguard.core.lasting import over
from agentguard.core.people import same_person, who
from agentguard.core.signals import OPERATIONS, Signal, SignalEffect
from agentguard.core.values import Json, Risk
from agentguard.errors import ConfigurationError, LedgerError
from agentguard.guard import said as checked
from agentguard.guard.clock import utc_now
from agentguard.guard.records import RecordData, about_question, new_id, record, rfc3339
from agentguard.ledger import ApprovalRequest, ApprovalRow, Erased, LogLedger, Outcome, RecordFilter, StreamState

CREDENTIAL_STATES = ("active", "rotated", "revoked")


class Whereabouts(enum.StrEnum):
    """Where those who are inside an active run are. ``open``: nobody is, and its key goes on with it. ``over``: nobody
    is, and it lasted, or was idle, for longer than its workflow says."""

    INSIDE = "inside"
    WAITING = "waiting"
    GONE = "gone"
    LEFT = "left"
    OPEN = "open"
    OVER = "over"


# Records about questions of one run, since one was asked, in which its words are looked for.
_MOST_WORDS = 1_000
# Past so many runs it is quicker to read every open request than to ask for those of each run.
_MANY = 200
# Records between two words of progress.
_TELL_EVERY = 1_000

_NEEDED = (Whereabouts.INSIDE, Whereabouts.WAITING)
SWEPT = (Whereabouts.GONE, Whereabouts.LEFT, Whereabouts.OVER)


class Operations:
    """The hand on the switch. Every method is durable when it returns and holds for the next decision everywhere.

    ``by`` is who does it, as the caller authenticated them (``user:NAME``), ``why`` what stands in the record. Raises
    LedgerError with the remedy, and ConfigurationError for a name or a reason that is none.
    """

    def __init__(self, ledger: LogLedger, clock: Callable[[], datetime] = utc_now) -> None:
        self._ledger = ledger
        self._clock = clock

    def stop_run(self, run_id: str, *, by: str, why: str) -> RunState:
        """No call of this run is permitted any more."""
        return self._change(run_id, "stop_run", by, why, status=RunStatus.STOPPED, risk=None)

    def free_key(self, run_id: str, *, by: str, why: str) -> RunState:
        """Let the key of a stopped run open another, which goes on counting where this one was stopped."""
        state = self.run(run_id)
        if state is None:
            raise LedgerError(f"there is no run `{run_id}` in this ledger; `agentguard runs list` shows them")
        data = self._said_of(state, "free_key", by, why)
        freed: RunState = self._ledger.free_key(run_id, data).result()
        return freed

    def whereabouts(self, of: Sequence[RunState] | None = None) -> Mapping[str, Whereabouts]:
        """Where those who are inside each active run are, by its id: of all, or of these."""
        runs = self.runs(active_only=True) if of is None else [run for run in of if run.status is RunStatus.ACTIVE]
        if len(runs) > _MANY:
            waiting = {row.request.run_id for row in self.approvals()}
        else:
            waiting = {run.id for run in runs if self.approvals(run_id=run.id, limit=1)}
        alive: Mapping[str, bool] = self._ledger.holders(None if of is None else [run.id for run in runs]).result()
        now = self._clock()
        found = {run.id: _where(run, alive.get(run.id), run.id in waiting, now) for run in runs}
        # Newest first: whoever is inside a run below, or waits in it, is so in each run above it.
        for run in runs:
            above = None if run.family is None else run.family.parent
            if found[run.id] in _NEEDED and above in found and found[above] is not Whereabouts.INSIDE:
                found[above] = found[run.id]
        return found

    def sweep(
        self, run_id: str | None = None, *, older_than: timedelta = timedelta(0), by: str, why: str
    ) -> Sequence[RunState]:
        """End the runs that nobody will ever leave: their process is gone, or nobody went on with them.

        One of them, or all; and of those the ones begun at least ``older_than`` ago. A run that somebody is inside, or
        that waits for a person, is left alone. Raises LedgerError where that is the one named. A run that its key goes
        on with is ended where it is named, or has lasted or been idle for too long.
        """
        now, where = self._clock(), self.whereabouts()
        swept = SWEPT if run_id is None else (*SWEPT, Whereabouts.OPEN)
        if run_id is not None and where.get(run_id) not in swept:
            found = {Whereabouts.INSIDE: "somebody is inside it", Whereabouts.WAITING: "it waits for a person"}
            why_not = found[where[run_id]] if run_id in where else "there is none such under way"
            raise LedgerError(f"run `{run_id}` cannot be swept: {why_not}; `agentguard runs stop` stops any run")
        old = (run for run in self.runs(active_only=True) if now - run.started_at >= older_than)
        chosen = [run for run in old if where.get(run.id) in swept and run_id in (None, run.id)]
        # Whoever goes on with it meanwhile is inside then, and it is not ended under them.
        return [
            self._change(run.id, f"sweep_{where[run.id]}", by, why, status=RunStatus.ENDED, risk=None)
            for run in chosen
            if self._ledger.hold_run(run.id, self._entered(run, by), alone=True).result()
        ]

    def _entered(self, run: RunState, by: str) -> RecordData:
        about = {"run_id": run.id, "workflow": run.workflow, "subject": run.subject, "requester": run.requester}
        enforced = run.observed is None
        return record(
            "run", self._clock(), enforced=enforced, outcome="entered to sweep it", by=checked.who(by), **about
        )

    def set_risk(self, run_id: str, risk: Risk | str, *, by: str, why: str) -> RunState:
        """Set how far people trust the run; what that takes away is the policy's to say. Raises ValueError.

        The highest of all opinions counts: what a stream, a rule or another's word on its subject says stands.
        """
        level = risk if isinstance(risk, Risk) else Risk.parse(risk)
        return self._change(run_id, "set_risk", by, why, status=None, risk=level)

    def _change(
        self, run_id: str, what: str, by: str, why: str, *, status: RunStatus | None, risk: Risk | None
    ) -> RunState:
        at = self._clock()
        state = self._ledger.run(run_id, at=at, windows={}).result()
        if state is None:
            raise LedgerError(f"there is no run `{run_id}` in this ledger; `agentguard runs list` shows them")
        data = {**self._said_of(state, what, by, why), "risk": None if risk is None else risk.word}
        changed: RunState = self._ledger.change_run(
            run_id, at=at, record=data, status=None if status is None else str(status), risk=risk
        ).result()
        return changed

    def _said_of(self, run: RunState, what: str, by: str, why: str) -> RecordData:
        about = {"run_id": run.id, "run_key": run.key, "workflow": run.workflow, "subject": run.subject}
        enforced, by, why = run.observed is None, checked.who(by), checked.reason(why)
        return record("operation", self._clock(), enforced=enforced, outcome=what, by=by, why=why, **about)

    def settle(self, decision_id: str, outcome: Outcome | str, *, by: str, why: str) -> RunState:
        """Say how a call ended whose outcome is unknown: ``succeeded`` or ``failed``. Its run goes on with that.

        A call that succeeded counts for ``after``, and nothing is kept of it. What it returned counts as never read:
        where the agent may have read it, stop the run instead. Raises ValueError for another word.
        """
        if outcome not in (Outcome.SUCCEEDED, Outcome.FAILED):
            raise ValueError(f"`{outcome}` is not one of succeeded, failed")
        found = next(iter(self.records(RecordFilter(decision_id=decision_id, kind="decision"), limit=1)), None)
        if found is None:
            raise LedgerError(f"there is no decision `{decision_id}` in this ledger; `agentguard runs list` shows runs")
        about = (
            "run_id",
            "workflow",
            "workflow_version",
            "step",
            "enforced",
            "subject",
            "tool",
            "tool_effect",
            "call_id",
        )
        data = record(
            "operation",
            self._clock(),
            decision_id=decision_id,
            outcome=f"settled_{outcome}",
            by=checked.who(by),
            why=checked.reason(why),
            **{name: found.get(name) for name in about},
        )
        settled: RunState = self._ledger.settle(decision_id, outcome=Outcome(outcome), record=data).result()
        return settled

    def suspend_subject(self, subject: str, *, by: str, why: str, suspended: bool = True) -> None:
        """Refuse every call of this subject in every run, or accept it again."""
        at = self._clock()
        outcome = "suspend_subject" if suspended else "restore_subject"
        about, by, why = checked.subject(subject), checked.who(by), checked.reason(why)
        data = record("operation", at, subject=about, outcome=outcome, by=by, why=why)
        self._ledger.suspend_subject(subject, at=at, record=data, suspended=suspended).result()

    def set_subject_risk(self, subject: str, risk: Risk | str, *, by: str, why: str) -> None:
        """Set how far people trust a workload, or the person runs are for (``user:NAME``), in every run, also in those
        begun later. Raises ValueError."""
        level = risk if isinstance(risk, Risk) else Risk.parse(risk)
        self._say(subject, SignalEffect.SET_RISK, "set_subject_risk", by, why, risk=level)

    def end_sessions(self, subject: str, *, by: str, why: str) -> None:
        """Stop every run under way of a workload, or for a person (``user:NAME``). Runs begun later are new ones."""
        self._say(subject, SignalEffect.END_RUNS, "end_sessions", by, why, risk=None)

    def _say(self, about: str, effect: SignalEffect, what: str, by: str, why: str, *, risk: Risk | None) -> None:
        at = self._clock()
        about, by, why = checked.subject(about), checked.who(by), checked.reason(why)
        signal = Signal(source=OPERATIONS, event=what, effect=effect, at=at, about=about, risk=risk, why=why)
        word = None if risk is None else risk.word
        data = record("operation", at, subject=about, outcome=what, risk=word, by=by, why=why)
        self._ledger.signal((OPERATIONS, new_id("s")), [signal], at=at, records=[data]).result()

    def apply(
        self,
        identifier: tuple[str, str],
        signals: Sequence[Signal],
        at: datetime,
        *,
        heard: datetime | None = None,
        status: str | None = None,
    ) -> bool:
        """Let what a verified message of a stream says take effect, once for each (issuer, jti), each a record.

        ``at`` is when it was received, ``heard`` when it was sent, if that is known; ``status`` what the stream says it
        is from then on. False: this message was heard before, and nothing was changed.
        """
        records = [_signal_record(identifier, said, at) for said in signals]
        spoken = at if heard is None else min(at, heard)
        news: bool = self._ledger.signal(identifier, signals, at=spoken, records=records, status=status).result()
        return news

    def stream_heard(self, name: str, *, at: datetime, status: str = "enabled", why: str | None = None) -> None:
        """A stream showed that it is alive, or said that it is paused or disabled. Whoever shares the ledger
        hears of it there."""
        outcome = "heard" if status == "enabled" and why is None else status
        data = record("signal", at, outcome=outcome, by=name, why=why)
        self._ledger.stream_heard(name, at=at, status=status, record=data).result()

    def streams(self) -> Mapping[str, StreamState]:
        """Every stream that was ever heard of, by name."""
        found: Mapping[str, StreamState] = self._ledger.streams().result()
        return found

    def set_credential(self, name: str, state: str, *, by: str, why: str) -> None:
        """Register or change a credential that tools use: active, rotated or revoked. Raises ValueError."""
        if state not in CREDENTIAL_STATES:
            raise ValueError(f"`{state}` is not one of {', '.join(CREDENTIAL_STATES)}")
        at = self._clock()
        name, by, why = checked.credential(name), checked.who(by), checked.reason(why)
        data = record("operation", at, outcome=f"credential_{state}", by=by, why=f"{name}: {why}")
        self._ledger.revoke_credential(name, at=at, record=data, state=state).result()

    def credential_states(self, names: Sequence[str]) -> Mapping[str, str]:
        """The states of these credentials, streams' words included; one never registered is missing."""
        found: Mapping[str, str] = self._ledger.credential_states(names).result()
        return found

    def answer(self, approval_id: str, *, approver: str, approve: bool, why: str = "") -> ApprovalRow:
        """Give one person's answer to one request. ``approver`` is whom the channel authenticated: ``user:NAME``.

        ``why``: the words of a no; they stand in its record. A yes has none: it is for the call as it was shown, and a
        condition in words would bind nobody. Raises LedgerError where this person may not answer so
        (``core/answers.py``), and ConfigurationError for words that cannot stand there: nothing is written then.
        """
        words = checked.reason(why).strip()
        if approve and words:
            raise ConfigurationError("a yes carries no words: it is for exactly the call that was shown")
        at, asked = self._clock(), self._asked(approval_id)
        data = record(
            "approval",
            at,
            **about_question(asked),
            outcome=_word(asked, approver, approve),
            why=words or None,
            approved_by=[approver] if approve else [],
            by=approver,
        )
        answered: ApprovalRow = self._ledger.answer(approval_id, Answer(approver, approve, at), data).result()
        return answered

    def words(self, asked: Question) -> Mapping[str, str]:
        """What people said with their no to this request, by who they are."""
        wanted = RecordFilter(run_id=asked.run_id, kind="approval", since=asked.requested_at)
        said = (data for data in self.records(wanted, limit=_MOST_WORDS) if data.get("approval_id") == asked.id)
        return {
            str(data["by"]): str(data["why"])
            for data in said
            if data.get("outcome") == str(ApprovalStatus.DENIED) and data.get("why")
        }

    def cancel(self, approval_id: str, *, by: str, why: str) -> ApprovalRow:
        """Take a question back. ``by`` is whom its call is for, or the workload that asked.

        Raises LedgerError where they may not (``core/answers.py``): nothing is written then.
        """
        at, by = self._clock(), checked.who(by)
        about = about_question(self._asked(approval_id))
        data = record("approval", at, **about, outcome=str(ApprovalStatus.CANCELLED), by=by, why=checked.reason(why))
        cancelled: ApprovalRow = self._ledger.cancel(approval_id, by=by, at=at, record=data).result()
        return cancelled

    def _asked(self, approval_id: str) -> ApprovalRequest:
        row = self.approval(approval_id)
        if row is None:
            raise LedgerError(f"there is no approval `{approval_id}`; `agentguard approvals list` shows them")
        return row.request

    def approval(self, approval_id: str) -> ApprovalRow | None:
        """One approval request, or None."""
        row: ApprovalRow | None = self._ledger.approval(approval_id).result()
        return row

    def approvals(self, *, open_only: bool = True, **wanted: Any) -> Sequence[ApprovalRow]:
        """Approval requests, newest first; ``wanted`` as in the ledger's own ``approvals``."""
        open_at = self._clock() if open_only else None
        rows: Sequence[ApprovalRow] = self._ledger.approvals(open_at=open_at, **wanted).result()
        return rows

    def runs(self, *, active_only: bool = False, **wanted: Any) -> Sequence[RunState]:
        """Runs, newest first; ``wanted`` as in the ledger's own ``runs``."""
        rows: Sequence[RunState] = self._ledger.runs(active_only=active_only, **wanted).result()
        return rows

    def run(self, run_id: str) -> RunState | None:
        """One run, or None."""
        state: RunState | None = self._ledger.run(run_id, at=self._clock(), windows={}).result()
        return state

    def erase(
        self,
        *,
        run_id: str | None = None,
        decision_id: str | None = None,
        subject: str | None = None,
        requester: str | None = None,
        by: str,
        why: str,
    ) -> Erased:
        """Erase what lies beside records: of a run, of one decision, or of all runs of a workload or for a person.

        Personal arguments, inputs, kept values, what was followed and what approvers were shown are gone then, from
        every file of the ledger; records stay as they are, and there is one more that says so. A run that goes on is
        permitted nothing that rests on what is gone. May be said again, and goes on where it was interrupted.
        """
        named = {"run_id": run_id, "decision_id": decision_id, "subject": subject, "requester": requester}
        if sum(each is not None for each in named.values()) != 1:
            raise ConfigurationError("name one of run_id, decision_id, subject and requester")
        by, why = checked.who(by), checked.reason(why)
        records = approvals = 0
        for about in self._to_erase(run_id, decision_id, subject, requester):
            target = {key: about[key] for key in ("run_id", "decision_id", "subject") if key in about}
            data = record("operation", self._clock(), outcome="erase", by=by, why=why, **about)
            done: Erased = self._ledger.erase(data, **dict(list(target.items())[:1])).result()
            records, approvals = records + done.records, approvals + done.approvals
        self._ledger.purge()
        return Erased(records, approvals)

    def _to_erase(
        self, run_id: str | None, decision_id: str | None, subject: str | None, requester: str | None
    ) -> Iterator[dict[str, str | None]]:
        """What is erased one after the other, as records name it; what comes first is what is erased."""
        if decision_id is not None:
            yield {"decision_id": decision_id}
        elif run_id is not None:
            state = self.run(run_id)
            if state is None:
                raise LedgerError(f"there is no run `{run_id}` in this ledger; `agentguard runs list` shows them")
            yield {"run_id": run_id, "subject": state.subject, "requester": state.requester}
        else:
            spellings = {subject} if subject is not None else set()
            for state in self.runs():
                if subject is None and requester is not None:
                    meant = same_person(requester, state.requester)
                else:
                    meant = subject is not None and who(state.subject) == who(subject)
                    spellings |= {state.subject} if meant else set()
                if meant:
                    yield {"run_id": state.id, "subject": state.subject, "requester": state.requester}
            for spelling in sorted(spellings):  # its calls outside of runs
                yield {"subject": spelling}

    def private(self, seq: int) -> Mapping[str, Json]:
        """What lies beside a record and was not erased, by name; None for what was erased."""
        found: Mapping[str, Json] = self._ledger.private(seq).result()
        return found

    def salts(self, seq: int) -> Mapping[str, str]:
        """What opens the commitments of a record, by JSON pointer: for an auditor who is to see what they stand for."""
        found = self.private(seq).get("salts", {})
        return {name: str(salt) for name, salt in found.items()} if isinstance(found, dict) else {}

    def open_calls(self) -> Sequence[RecordData]:
        """Decision records of calls that were admitted and have no outcome yet."""
        rows: Sequence[RecordData] = self._ledger.open_calls().result()
        return rows

    def records(
        self,
        wanted: RecordFilter | None = None,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        newest: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Records in order, each with its sequence number."""
        return self._ledger.records(wanted or RecordFilter(), after=after, before=before, limit=limit, newest=newest)

    def history(
        self, *, kinds: Collection[str], on_record: Callable[[int, int], None] | None = None
    ) -> Iterator[tuple[RecordData, Mapping[str, Json]]]:
        """Every record in order; those of these ``kinds`` with what lies beside them and was not erased.

        ``on_record`` hears (read, in all).
        """
        last = self._ledger.last() if on_record is not None else 0
        for data, private in self._ledger.history(kinds):
            if on_record is not None and data["seq"] % _TELL_EVERY == 0:
                on_record(data["seq"], last)
            yield data, private


def _word(asked: ApprovalRequest, approver: str, approve: bool) -> str:
    """What an answer is, in its record."""
    if not approve:
        return str(ApprovalStatus.DENIED)
    return "confirmed" if confirms(asked, approver) else str(ApprovalStatus.APPROVED)


def _where(run: RunState, alive: bool | None, waiting: bool, now: datetime) -> Whereabouts:
    """``alive``: whether the process that is inside is; None where nobody is."""
    if alive:
        return Whereabouts.INSIDE
    if over(run.began_at, run.last_call_at, now, run.lasts, run.idle) is not None:
        return Whereabouts.OVER
    if waiting:
        return Whereabouts.WAITING
    if run.key is not None:
        return Whereabouts.OPEN
    return Whereabouts.LEFT if alive is None else Whereabouts.GONE


def _signal_record(identifier: tuple[str, str], said: Signal, at: datetime) -> RecordData:
    issuer, jti = identifier
    return record(
        "signal",
        at,
        run_id=said.run_id,
        subject=said.about,
        issuer=issuer,
        assertion_id=jti,
        signal={"event": said.event, "time": rfc3339(said.at), "credential": said.credential},
        risk=None if said.risk is None else said.risk.word,
        outcome=str(said.effect),
        by=said.source,
        why=said.why or None,
    )
