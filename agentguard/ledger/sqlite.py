"""The ledger on SQLite: one file that several processes may share."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar, cast

from agentguard.core.facts import Answer, RunState, RunStatus
from agentguard.core.signals import Signal
from agentguard.core.values import Risk
from agentguard.errors import LedgerError
from agentguard.ledger import admission, changes, questions, reading, sources
from agentguard.ledger.contract import (
    Admission,
    Admitted,
    ApprovalRequest,
    ApprovalRow,
    Closing,
    Outcome,
    RecordData,
    RecordFilter,
    Refused,
    StreamState,
)
from agentguard.ledger.encode import (
    decode_record,
    encode_admission,
    encode_closing,
    encode_record,
    encode_values,
    known_text,
    micros,
)
from agentguard.ledger.files import LedgerFile, open_file
from agentguard.ledger.store import Store
from agentguard.ledger.writer import Need, Operation, Writer

A = TypeVar("A")
R = TypeVar("R")

# Records read at a time: about a millisecond of the ledger's thread.
_PAGE = 200

_LIVE: weakref.WeakSet[Writer] = weakref.WeakSet()


class SqliteLedger:
    """See ``Ledger`` in the contract. Made by ``open_ledger`` and ``memory_ledger``."""

    def __init__(self, open_it: Callable[[], LedgerFile]) -> None:
        self._writer = Writer(open_it)
        _LIVE.add(self._writer)
        # A daemon, so that it never keeps a finished program alive; the finalizer, which also runs at exit, ends it
        # in order, with everything that was queued made durable.
        self._thread = threading.Thread(target=self._writer.run, name="agentguard-ledger", daemon=True)
        self._thread.start()
        self._finalizer = weakref.finalize(self, _stop, self._writer, self._thread)

    def start_run(self, run: RunState, record: RecordData) -> Future[RunState]:
        """Create a run (version 1, active, nothing spent) with its record."""
        return self._submit(Need.DURABLE, changes.start_run, lambda: _start(run, record))

    def run(self, run_id: str, *, at: datetime, windows: Mapping[str, timedelta | None]) -> Future[RunState | None]:
        """The run as it is now, with what its budgets have spent."""
        return self._submit(Need.READ, _read_run, lambda: (known_text(run_id, "a run id"), micros(at), windows))

    def admit(self, admission_: Admission, *, windows: Mapping[str, timedelta | None]) -> Future[Admitted | Refused]:
        """Make one decision durable, in one transaction, if the world is still as it saw it."""
        return self._submit(Need.DURABLE, admission.admit, lambda: encode_admission(admission_, windows))

    def close(self, closing: Closing) -> Future[RunState | None]:
        """Write the outcome and the kept values; answered before it is durable."""
        return self._submit(
            Need.LAZY, admission.close, lambda: encode_closing(closing), plainly=admission.close_plainly
        )

    def settle(self, decision_id: str, *, outcome: Outcome, record: RecordData) -> Future[RunState]:
        """What a person says of a call whose outcome is unknown."""
        return self._submit(
            Need.DURABLE,
            changes.settle,
            lambda: (known_text(decision_id, "a decision id"), _settled(outcome), encode_record(record)),
        )

    def change_run(
        self,
        run_id: str,
        *,
        at: datetime,
        record: RecordData,
        status: str | None = None,
        risk: Risk | None = None,
    ) -> Future[RunState]:
        """End or stop a run, or set its risk."""
        return self._submit(Need.DURABLE, changes.change_run, lambda: _change(run_id, status, risk, record))

    def hold_run(self, run_id: str) -> Future[bool]:
        """Be the one who is inside a run. False: somebody is already."""
        return self._submit(Need.DURABLE, changes.hold_run, lambda: known_text(run_id, "a run id"))

    def let_go(self, run_id: str) -> Future[None]:
        """Nobody who uses this object is inside the run any more."""
        return self._submit(Need.DURABLE, changes.let_go, lambda: known_text(run_id, "a run id"))

    def holders(self) -> Future[Mapping[str, bool]]:
        """The active runs that somebody is, or was, inside: whether that process is alive."""
        return self._submit(Need.READ, changes.holders, lambda: None)

    def suspend_subject(self, subject: str, *, at: datetime, record: RecordData, suspended: bool) -> Future[None]:
        """Refuse, or accept again, every call of a subject."""
        return self._submit(
            Need.DURABLE,
            changes.suspend_subject,
            lambda: (known_text(subject, "a subject"), _flag(suspended), encode_record(record)),
        )

    def revoke_credential(self, name: str, *, at: datetime, record: RecordData, state: str) -> Future[None]:
        """Set a registered credential's state."""
        return self._submit(
            Need.DURABLE,
            changes.revoke_credential,
            lambda: (known_text(name, "a credential"), _credential_state(state), encode_record(record)),
        )

    def credential_states(self, names: Sequence[str]) -> Future[Mapping[str, str]]:
        """The states of these credentials; one never heard of is missing."""
        return self._submit(
            Need.READ, changes.credential_states, lambda: [known_text(name, "a credential") for name in names]
        )

    def signal(
        self,
        identifier: tuple[str, str],
        signals: Sequence[Signal],
        *,
        at: datetime,
        records: Sequence[RecordData],
        status: str | None = None,
    ) -> Future[bool]:
        """Let signals take effect, once for each (issuer, jti). False: heard before, and nothing was written."""
        return self._submit(
            Need.DURABLE, sources.signal, lambda: sources.encode_signals(identifier, signals, at, records, status)
        )

    def stream_heard(
        self, name: str, *, at: datetime, status: str = "enabled", record: RecordData | None = None
    ) -> Future[None]:
        """A stream showed that it is alive, or changed its status."""
        return self._submit(Need.DURABLE, sources.stream_heard, lambda: sources.encode_stream(name, at, status, record))

    def streams(self) -> Future[Mapping[str, StreamState]]:
        """Every stream that was ever heard of, by name."""
        return self._submit(Need.READ, sources.streams, lambda: None)

    def ask(self, request: ApprovalRequest, record: RecordData) -> Future[ApprovalRow]:
        """Store a question, unless the same one is open."""
        return self._submit(
            Need.DURABLE, questions.ask, lambda: questions.encode_question(request, encode_record(record))
        )

    def answer(self, approval_id: str, answer: Answer, record: RecordData) -> Future[ApprovalRow]:
        """Add one person's answer."""
        return self._submit(
            Need.DURABLE, questions.answer, lambda: questions.encode_reply(approval_id, answer, encode_record(record))
        )

    def approval(self, approval_id: str) -> Future[ApprovalRow | None]:
        """One approval request."""
        return self._submit(Need.READ, questions.approval, lambda: known_text(approval_id, "an approval id"))

    def approval_for(self, request_digest: str) -> Future[ApprovalRow | None]:
        """The latest request for this digest."""
        return self._submit(Need.READ, questions.approval_for, lambda: known_text(request_digest, "a digest"))

    def approvals(self, *, open_at: datetime | None = None, run_id: str | None = None) -> Future[Sequence[ApprovalRow]]:
        """All requests, newest first; with ``open_at``, those that waited for somebody then, of a run or of all."""
        return self._submit(Need.READ, questions.approvals, lambda: (open_at, run_id))

    def append(self, record: RecordData) -> Future[int]:
        """A record that belongs to no admission."""
        return self._submit(Need.DURABLE, Store.append, lambda: encode_record(record))

    def runs(self, *, active_only: bool = False) -> Future[Sequence[RunState]]:
        """All runs, newest first."""
        return self._submit(Need.READ, changes.runs, lambda: bool(active_only))

    def open_calls(self) -> Future[Sequence[RecordData]]:
        """Decision records of admitted calls that have no outcome yet."""
        return self._submit(Need.READ, changes.open_calls, lambda: None)

    def recover(self, *, at: datetime) -> Future[Sequence[RecordData]]:
        """Give every open call whose process is gone the outcome ``unknown``; the decision records of those."""
        is_dead = self._writer.file.is_dead
        return self._submit(Need.DURABLE, changes.recover, lambda: (_utc(at), is_dead))

    def records(
        self, wanted: RecordFilter, *, after: int = 0, limit: int | None = None, newest: bool = False
    ) -> Iterator[RecordData]:
        """Durable records in order, each with ``seq``; with ``newest``, the last ``limit`` of them, still in order."""
        if limit is not None and limit < 0:
            raise LedgerError(f"the limit is {limit}; expected a number from 0 up")
        if newest and limit is not None:
            return iter(list(self._pages(wanted, after, limit, newest=True))[::-1])
        return self._pages(wanted, after, limit, newest=False)

    def private(self, seq: int) -> Future[Mapping[str, str]]:
        """The salts that were kept beside a record."""
        return self._submit(Need.DURABLE_READ, reading.private, lambda: seq)

    def shut(self) -> None:
        """Finish what is queued, make it durable, stop. Raises LedgerError where outcomes could not be stored."""
        if self._finalizer.detach() is not None:
            _stop(self._writer, self._thread)
            if self._writer.error is not None:
                raise self._writer.error

    def _pages(self, wanted: RecordFilter, after: int, limit: int | None, *, newest: bool) -> Iterator[RecordData]:
        before: int | None = None
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            asked = reading.Page(wanted, after, before, size, newest)
            found = self._page(asked)
            for seq, body in found:
                yield decode_record(seq, body)
            if len(found) < size:
                return
            left = None if left is None else left - size
            if newest:
                before = found[-1][0]
            else:
                after = found[-1][0]

    def _page(self, asked: reading.Page) -> list[tuple[int, bytes]]:
        return self._submit(Need.DURABLE_READ, reading.page, lambda: asked).result()

    def _submit(
        self,
        need: Need,
        function: Callable[[Store, A], R],
        encode: Callable[[], A],
        *,
        plainly: Callable[[Store, A], R] | None = None,
    ) -> Future[R]:
        """Encode here, in the caller's thread; queue what is left. Whatever is wrong is in the future."""
        writer = self._writer
        operation = Operation(need, function, None, plainly)
        future = cast(Future[R], operation.future)
        try:
            operation.argument = encode()
        except Exception as error:  # a wrong value is refused, not raised half-way
            future.set_exception(_unfit(error))
            return future
        if writer.pid != os.getpid():
            future.set_exception(
                LedgerError("this ledger was opened before the process forked; open it after the fork, and not before")
            )
            return future
        if writer.finished():
            future.set_exception(writer.refusal())
            return future
        (writer.inbox.put_quietly if need is Need.LAZY else writer.inbox.put)(operation)
        if writer.finished():
            # It finished between the question and the queueing: nobody else would answer.
            writer.fail_rest()
        return future


def open_ledger(path: str | Path, *, at: datetime | None = None) -> SqliteLedger:
    """Open the ledger at ``path``, or make it, and give calls that a dead process left open the outcome ``unknown``.

    ``at`` is the time those outcomes carry, now by default. Raises LedgerError with the remedy.
    """
    where = Path(path)
    ledger = SqliteLedger(lambda: open_file(where))
    try:
        ledger.recover(at=datetime.now(UTC) if at is None else at).result()
    except BaseException:
        _stop(ledger._writer, ledger._thread)
        raise
    ledger._writer.file.tidy()
    return ledger


def _read_run(store: Store, asked: tuple[str, int, Mapping[str, timedelta | None]]) -> RunState | None:
    run = store.run(asked[0])
    return None if run is None else store.state(run, asked[1], asked[2])


def _start(run: RunState, record: RecordData) -> changes.Start:
    for text in (run.id, run.workflow, run.workflow_digest, run.subject, run.requester or ""):
        known_text(text, "a part of a run")
    micros(run.started_at)
    return changes.Start(
        run, encode_values(run.inputs, "an input"), encode_values(run.kept, "a kept value"), encode_record(record)
    )


def _change(run_id: str, status: str | None, risk: Risk | None, record: RecordData) -> changes.Change:
    known_text(run_id, "a run id")
    try:
        return changes.Change(
            run_id,
            None if status is None else RunStatus(status),
            None if risk is None else Risk(risk),
            encode_record(record),
        )
    except ValueError as error:
        raise LedgerError(f"run `{run_id}` cannot be changed so: {error}") from None


def _settled(outcome: Outcome) -> Outcome:
    if outcome not in (Outcome.SUCCEEDED, Outcome.FAILED):
        raise LedgerError(f"a call is settled as `{outcome}`; expected succeeded or failed")
    return Outcome(outcome)


def _flag(value: bool) -> bool:
    if type(value) is not bool:
        raise LedgerError(f"`suspended` is {type(value).__name__}; expected true or false")
    return value


def _credential_state(state: str) -> str:
    if state not in changes.CREDENTIAL_STATES:
        raise LedgerError(
            f"`{state}` is not a credential's state; expected one of {', '.join(changes.CREDENTIAL_STATES)}"
        )
    return state


def _utc(at: datetime) -> datetime:
    micros(at)
    return at.astimezone(UTC)


def _unfit(error: Exception) -> LedgerError:
    if isinstance(error, LedgerError):
        return error
    return LedgerError(f"this cannot be stored: {type(error).__name__}: {error}")


def _stop(writer: Writer, thread: threading.Thread) -> None:
    if writer.pid != os.getpid():
        return
    writer.inbox.put(None)
    if threading.current_thread() is not thread:
        thread.join()


def _after_fork() -> None:
    """In a forked child: never touch the parent's connection again, not even to close it, and let its lock go.

    The SQLite documentation (How To Corrupt, section 2.6) forbids carrying a connection over a fork; one more
    reference keeps the interpreter from closing it when it ends.
    """
    for writer in list(_LIVE):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(writer.file.connection))
        if writer.file.owner is not None:
            writer.file.owner.let_go()


os.register_at_fork(after_in_child=_after_fork)
