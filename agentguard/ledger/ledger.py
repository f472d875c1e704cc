"""The ledger: every operation of the contract, over any store."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice

from agentguard.core.facts import Answer, MadeBefore, RunState, RunStatus
from agentguard.core.signals import Signal
from agentguard.core.values import Json, Risk
from agentguard.errors import LedgerError
from agentguard.ledger.engine import Engine
from agentguard.ledger.entry import decode, known_text, micros, open_private
from agentguard.ledger.log import Opener
from agentguard.ledger.operations import (
    admissions,
    approvals,
    delegated,
    erasing,
    keyed,
    made,
    outcomes,
    records,
    runs,
    said,
)
from agentguard.ledger.promise import Promise
from agentguard.ledger.values import (
    Admission,
    Admitted,
    ApprovalRequest,
    ApprovalRow,
    Closing,
    Erased,
    NotOpened,
    Opened,
    Outcome,
    RecordData,
    RecordFilter,
    Refused,
    StreamState,
    Suspension,
)
from agentguard.ledger.worker import DURABLE, LAZY, LISTS, READ, SETTLED, SWEEPS
from agentguard.ledger.world import Windows, World

# Records read at a time.
_PAGE = 200


class LogLedger:
    """See ``Ledger`` in the contract. Made by ``open_ledger`` and ``memory_ledger``."""

    def __init__(self, open_it: Opener, *, threaded: bool) -> None:
        self.engine = Engine(open_it, threaded=threaded)
        # The runs of which this object may owe what calls gave out.
        self._answered: set[str] = set()
        # Whether a run was delegated by it: then the end of one run is that of others, too.
        self._delegating = False
        # Runs at exit, too: what is owed is written.
        self._finalizer = weakref.finalize(self, Engine.shut, self.engine)

    def start_run(self, run: RunState, record: RecordData) -> Promise[RunState]:
        """Start a run (version 1, active, nothing spent) with its record."""
        return self.engine.ask(DURABLE, runs.start, lambda: runs.check_start(run, record))

    def open_run(
        self, run: RunState, *, follows: bool, started: RecordData, found: RecordData, ended: RecordData
    ) -> Promise[Opened | NotOpened]:
        """Begin the run of a key, or go on with the one there is; the records are of what comes of it.

        ``ended`` is written where the one there is can permit nothing any more, and another begins.
        """
        return self.engine.ask(
            DURABLE,
            keyed.open_run,
            lambda: keyed.check_opening(run, follows=follows, started=started, found=found, ended=ended),
        )

    def delegate(
        self, run: RunState, *, parent: str, steps: Sequence[str] | None, record: RecordData
    ) -> Promise[Opened | NotOpened]:
        """Begin a run below another, which may take these steps; None: those of its parent."""
        self._delegating = True
        given = None if steps is None else tuple(steps)
        return self.engine.ask(
            DURABLE, delegated.delegate, lambda: delegated.check_delegation(run, parent, given, record)
        )

    def free_key(self, run_id: str, record: RecordData) -> Promise[RunState]:
        """Let the key of a stopped run open another."""
        return self.engine.ask(DURABLE, keyed.free, lambda: keyed.Freeing(known_text(run_id, "a run id"), record))

    def run(self, run_id: str, *, at: datetime, windows: Windows) -> Promise[RunState | None]:
        """The run as it is now, with what its budgets have spent."""
        return self.engine.ask(READ, runs.read_run, lambda: (known_text(run_id, "a run id"), micros(at), windows))

    def admit(self, admission: Admission, *, windows: Windows) -> Promise[Admitted | Refused]:
        """Make one decision durable if the world is still as it saw it."""
        return self.engine.ask(DURABLE, admissions.admit, admissions.check_admission, admission, windows)

    def close(self, closing: Closing) -> Promise[RunState | None]:
        """Write the outcome and the kept values; answered before it is durable."""
        if closing.answer is not None:
            self._answered.add(closing.run_id)
        return self.engine.ask(LAZY, outcomes.close, outcomes.check_closing, closing, plainly=outcomes.close_plainly)

    def made(self, key: str) -> Promise[MadeBefore | None]:
        """The call that was made before under this name of a run, a message and an id (``MadeCall.key``)."""
        return self.engine.ask(READ, made.look, lambda: known_text(key, "the name of a call"))

    def answer_of(self, decision_id: str) -> Promise[str | None]:
        """What a call gave out, as ``Closing.answer`` had it; None where it was not kept, or is gone."""
        return self.engine.ask(SETTLED, made.answer, lambda: known_text(decision_id, "a decision id"))

    def suspend(self, suspension: Suspension) -> Promise[None]:
        """The tool of an admitted call interrupted itself; answered before it is durable."""
        return self.engine.ask(LAZY, made.suspend, lambda: suspension)

    def change_run(
        self, run_id: str, *, at: datetime, record: RecordData, status: str | None = None, risk: Risk | None = None
    ) -> Promise[RunState]:
        """End or stop a run, or set its risk."""
        # What is owed may hold answers, which go with the run.
        owes = run_id in self._answered or (self._delegating and bool(self._answered))
        need = SWEEPS if status is not None and owes else DURABLE
        if status is not None:
            self._answered.discard(run_id)
        return self.engine.ask(need, runs.change_run, lambda: runs.check_change(run_id, status, risk, record))

    def settle(self, decision_id: str, *, outcome: Outcome, record: RecordData) -> Promise[RunState]:
        """A person says how a call ended whose outcome is unknown."""
        return self.engine.ask(
            DURABLE, outcomes.settle, lambda: outcomes.check_settlement(decision_id, outcome, record)
        )

    def hold_run(self, run_id: str, record: RecordData, *, alone: bool = False) -> Promise[bool]:
        """Be the one who is inside an active run, as whoever starts one is. False, and nothing is changed, where
        somebody is inside already: here, or in another process that is alive. Of a key's run many are inside, unless
        one wants to be ``alone``."""
        return self.engine.ask(DURABLE, runs.hold_run, lambda: runs.Held(known_text(run_id, "a run id"), record, alone))

    def let_go(self, run_id: str, record: RecordData) -> Promise[None]:
        """Nobody here is inside the run any more, and it goes on. One that ends is let go by that."""
        return self.engine.ask(DURABLE, runs.let_go, lambda: runs.Held(known_text(run_id, "a run id"), record))

    def holders(self, of: Sequence[str] | None = None) -> Promise[Mapping[str, bool]]:
        """The active runs, all or those named, that somebody is inside: whether that process is alive, or gone without
        having left it."""
        return self.engine.ask(LISTS if of is None else READ, runs.holders, lambda: of)

    def suspend_subject(self, subject: str, *, at: datetime, record: RecordData, suspended: bool) -> Promise[None]:
        """Refuse, or accept again, every call of a subject."""
        return self.engine.ask(DURABLE, said.suspend_subject, lambda: said.check_suspension(subject, suspended, record))

    def revoke_credential(self, name: str, *, at: datetime, record: RecordData, state: str) -> Promise[None]:
        """Set a registered credential's state."""
        return self.engine.ask(DURABLE, said.set_credential, lambda: said.check_credential(name, state, record))

    def credential_states(self, names: Sequence[str]) -> Promise[Mapping[str, str]]:
        """The states of these credentials; one never heard of is missing."""
        return self.engine.ask(
            READ, said.credential_states, lambda: [known_text(name, "a credential") for name in names]
        )

    def signal(
        self,
        identifier: tuple[str, str],
        signals: Sequence[Signal],
        *,
        at: datetime,
        records: Sequence[RecordData],
        status: str | None = None,
    ) -> Promise[bool]:
        """Let signals take effect, once for each (issuer, jti). False: heard before, and nothing was written."""
        return self.engine.ask(
            SWEEPS, said.signal, lambda: said.check_signals(identifier, signals, at, records, status)
        )

    def stream_heard(self, name: str, *, at: datetime, record: RecordData, status: str = "enabled") -> Promise[None]:
        """A stream showed that it is alive, or changed its status."""
        return self.engine.ask(DURABLE, said.stream_heard, lambda: said.check_stream(name, at, status, record))

    def streams(self) -> Promise[Mapping[str, StreamState]]:
        """Every stream that was ever heard of, by name."""
        return self.engine.ask(LISTS, said.streams, _nothing)

    def ask(self, request: ApprovalRequest, record: RecordData) -> Promise[ApprovalRow]:
        """Store a question, unless the same one is open."""
        return self.engine.ask(DURABLE, approvals.ask, lambda: approvals.check_question(request, record))

    def answer(self, approval_id: str, answer: Answer, record: RecordData) -> Promise[ApprovalRow]:
        """Add one person's answer."""
        return self.engine.ask(DURABLE, approvals.answer, lambda: approvals.check_reply(approval_id, answer, record))

    def cancel(self, approval_id: str, *, by: str, at: datetime, record: RecordData) -> Promise[ApprovalRow]:
        """Take a question back: whoever asked needs no answer any more."""
        return self.engine.ask(DURABLE, approvals.cancel, lambda: approvals.check_cancel(approval_id, by, at, record))

    def approval(self, approval_id: str) -> Promise[ApprovalRow | None]:
        """One approval request."""
        return self.engine.ask(READ, approvals.approval, lambda: known_text(approval_id, "an approval id"))

    def approval_for(self, request_digest: str) -> Promise[ApprovalRow | None]:
        """The latest request for this digest."""
        return self.engine.ask(READ, approvals.approval_for, lambda: known_text(request_digest, "a digest"))

    def approvals(
        self,
        *,
        open_at: datetime | None = None,
        run_id: str | None = None,
        workflow: str | None = None,
        subject: str | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> Promise[Sequence[ApprovalRow]]:
        """Requests, newest first; with ``open_at``, those that waited for somebody then. ``before``: only those that
        were asked before that one."""
        wanted = approvals.WantedApprovals(open_at, run_id, workflow, subject, before, limit)
        return self.engine.ask(LISTS, approvals.approvals, lambda: wanted)

    def append(self, record: RecordData) -> Promise[int]:
        """A record that belongs to no admission."""
        return self.engine.ask(DURABLE, records.append, lambda: record)

    def erase(
        self,
        record: RecordData,
        *,
        run_id: str | None = None,
        decision_id: str | None = None,
        subject: str | None = None,
    ) -> Promise[Erased]:
        """Erase the private parts of a run, of a decision, or of a subject's calls outside of runs; then ``purge``."""
        return self.engine.ask(
            SWEEPS, erasing.erase, lambda: erasing.check_erasure(run_id, decision_id, subject, record)
        )

    def purge(self) -> None:
        """Leave nothing of what was erased in any file. Raises LedgerError where somebody else keeps it from that."""
        self.engine.purge()

    def private(self, seq: int) -> Promise[Mapping[str, Json]]:
        """The private parts that are kept beside a record. Empty where there are none."""
        return self.engine.ask(SETTLED, records.private, lambda: seq)

    def runs(
        self,
        *,
        active_only: bool = False,
        status: str | None = None,
        workflow: str | None = None,
        subject: str | None = None,
        before: str | None = None,
        limit: int | None = None,
        key: str | None = None,
        parent: str | None = None,
    ) -> Promise[Sequence[RunState]]:
        """Runs, newest first. ``before``: only those that began before that run did."""
        word = str(RunStatus.ACTIVE) if active_only else status
        wanted = runs.WantedRuns(word, workflow, subject, before, limit, key, parent)
        return self.engine.ask(LISTS, runs.runs, lambda: wanted)

    def open_calls(self) -> Promise[Sequence[RecordData]]:
        """Decision records of admitted calls that have no outcome yet."""
        return self.engine.ask(LISTS, outcomes.open_calls, _nothing)

    def recover(self, *, at: datetime) -> Promise[Sequence[RecordData]]:
        """Give every open call whose process is gone the outcome ``unknown``; the decision records of those."""
        return self.engine.ask(SWEEPS, outcomes.recover, lambda: _utc(at))

    def records(
        self,
        wanted: RecordFilter,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        newest: bool = False,
    ) -> Iterator[RecordData]:
        """Durable records in order, each with ``seq``; with ``newest``, the last ``limit`` of them, still in order.
        ``after`` and ``before``: numbers between which they are."""
        if limit is not None and limit < 0:
            raise LedgerError(f"the limit is {limit}; expected a number from 0 up")
        if newest and limit is not None:
            return iter(list(self._pages(wanted, after, before, limit, newest=True))[::-1])
        return self._pages(wanted, after, before, limit, newest=False)

    def history(self, kinds: Collection[str], *, after: int = 0) -> Iterator[tuple[RecordData, Mapping[str, Json]]]:
        """Durable records in order; those of these ``kinds`` with what is kept beside them and was not erased."""
        while True:
            page = self._rows(after)
            for number, body, private in page:
                data = decode(number, body)
                yield data, open_private(number, private) if data.get("kind") in kinds else {}
            if len(page) < _PAGE:
                return
            after = page[-1][0]

    def last(self) -> int:
        """The number of the last durable record."""
        return self.engine.ask(SETTLED, lambda world, _: self.engine.log.last(), _nothing).result()

    def _rows(self, after: int) -> list[tuple[int, bytes, bytes | None]]:
        def look(world: World, _: None) -> list[tuple[int, bytes, bytes | None]]:
            return list(islice(self.engine.log.rows(after), _PAGE))

        return self.engine.ask(SETTLED, look, _nothing).result()

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """Show the public bytes (canonical JSON) of every record that this object writes, once they are durable."""
        self.engine.listen(listener)

    def shut(self) -> None:
        """Finish what is queued, make it durable, stop. Raises LedgerError where outcomes could not be stored."""
        if self._finalizer.detach() is not None:
            self.engine.shut()
            if self.engine.error is not None:
                raise self.engine.error

    def _pages(
        self, wanted: RecordFilter, after: int, before: int | None, limit: int | None, *, newest: bool
    ) -> Iterator[RecordData]:
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            found = self._page(wanted, after, before, size, newest=newest)
            for number, body in found:
                yield decode(number, body)
            if len(found) < size:
                return
            left = None if left is None else left - size
            if newest:
                before = found[-1][0]
            else:
                after = found[-1][0]

    def _page(
        self, wanted: RecordFilter, after: int, before: int | None, size: int, *, newest: bool
    ) -> list[tuple[int, bytes]]:
        def look(world: World, _: None) -> list[tuple[int, bytes]]:
            return self.engine.log.find(wanted, after, before, size, newest=newest)

        return self.engine.ask(SETTLED, look, _nothing).result()


def _nothing() -> None:
    return None


def _utc(at: datetime) -> datetime:
    micros(at)
    return at.astimezone(UTC)
