"""What a ledger must do: one transactional store for runs, budgets, replay, approvals and records.

A ledger is handed complete values and answers with complete values; it decides nothing but whether the world is
still as the decision saw it. Every method that writes is one transaction: all of it is durable when the future
resolves, or none of it happened. Times are UTC; amounts are millionths.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from agentguard.core.facts import Answer, ApprovalState, RunState
from agentguard.core.policy import Counted
from agentguard.core.provenance import Brought
from agentguard.core.signals import Signal
from agentguard.core.values import Json, Risk, Sensitivity
from agentguard.errors import LedgerError

RecordData = dict[str, Any]

# A framework that retries what raised does so at once, or after 1, 2 and 4 seconds. What comes later is another try.
REPEATED = timedelta(seconds=10)


class Unstorable(LedgerError):
    """What was handed over is no value that the ledger can hold: too large, or no JSON. Nothing was written."""


class Refusal(enum.StrEnum):
    """Why an admission did not happen. Nothing of it was written."""

    RUN_MOVED = "run_moved"
    ASSERTION_USED = "assertion_used"
    STEP_USED_UP = "step_used_up"
    BUDGET_EXCEEDED = "budget_exceeded"
    APPROVAL_USED = "approval_used"


@dataclass(frozen=True, slots=True)
class Charge:
    """What one call takes of one budget. ``per`` None: per run; else the sliding window before ``Admission.at``."""

    budget: str
    amount: int
    at_most: int
    per: timedelta | None


@dataclass(frozen=True, slots=True)
class Watch:
    """A rule that raises the run's risk by itself, to ``to`` and as ``source``, once ``at_least`` of what it counts
    happened ``within`` the time before ``Admission.at``, this one included. ``record`` is written when it does.

    ``call`` names what is made again when somebody repeats it: within ``REPEATED`` that counts once. None: each counts.
    """

    source: str
    to: Risk
    counts: Counted
    at_least: int
    within: timedelta
    record: RecordData
    call: str | None = None


@dataclass(frozen=True, slots=True)
class FirstUse:
    """A rule that raises the run's risk, to ``to`` and as ``source``, when a permit reaches one of ``values`` that no
    permit of its subject has reached. ``kind``: ``zone`` or ``destination``. ``record`` is written when it does."""

    source: str
    to: Risk
    kind: str
    values: frozenset[str]
    record: RecordData


@dataclass(frozen=True, slots=True)
class Admission:
    """One decision, to be made durable. Only a permit takes anything; a denial writes its record, and is counted.

    ``run_version`` is the version the decision saw; any other version now is ``RUN_MOVED``. ``assertion_key`` is
    (issuer, jti) and is remembered until ``assertion_until``; a used one is refused whatever the effect.
    ``record`` is the decision record without ``seq``; ``private`` the salts of its commitments, by JSON pointer: kept
    beside the record, and read by nobody who reads records. ``zones`` are those the call reaches: the run has been
    there then, and its subject too; where that is new, every run of the subject gets a new version. ``keeps`` are the
    names of what its step keeps. ``watches`` count this very decision; ``first_uses`` look at what it reaches.
    """

    decision_id: str
    permit: bool
    run_id: str | None
    run_version: int | None
    workflow: str | None
    step: str | None
    at: datetime
    record: RecordData
    private: Mapping[str, str] = field(default_factory=dict)
    step_at_most: int | None = None
    charges: tuple[Charge, ...] = ()
    assertion_key: tuple[str, str] | None = None
    assertion_until: datetime | None = None
    approval_id: str | None = None
    read_sensitivity: Sensitivity | None = None
    zones: frozenset[str] = frozenset()
    keeps: frozenset[str] = frozenset()
    watches: tuple[Watch, ...] = ()
    first_uses: tuple[FirstUse, ...] = ()


@dataclass(frozen=True, slots=True)
class Admitted:
    """The admission is durable. ``run`` is the run as it is now; None where there was no run. ``raised``: the records
    of rules that raised its risk now."""

    seq: int
    run: RunState | None
    raised: tuple[RecordData, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was written. ``run`` is the run as it is now, so that the caller can decide again."""

    reason: Refusal
    run: RunState | None


class Outcome(enum.StrEnum):
    """How an admitted call ended. ``unknown``: the process died, or was cancelled, while the tool ran; the call is
    among the run's ``unsettled`` until somebody says what happened."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Closing:
    """The outcome of one admitted call. Closing a call twice changes nothing the second time.

    ``kept`` and ``dropped`` are of a call that succeeded: together, the names of all that its step keeps, so that what
    the run has kept of a step is always of one call. ``dropped`` could not be kept this time, and is forgotten.
    ``brought`` is what the run has seen by it, in the same transaction; forgotten when the run ends or is stopped.
    """

    decision_id: str
    run_id: str
    step: str
    outcome: Outcome
    at: datetime
    record: RecordData
    kept: Mapping[str, Json] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    brought: Brought | None = None


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A durable question to a person about exactly one request digest under one policy revision.

    ``shown`` is what approvers see (arguments redacted and escaped later, at display).
    """

    id: str
    request_digest: str
    policy_revision: str
    run_id: str
    workflow: str
    step: str
    tool: str
    subject: str
    requester: str | None
    approvers: tuple[str, ...]
    quorum: int
    requested_at: datetime
    expires_at: datetime
    shown: RecordData


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """An approval request with where it stands."""

    request: ApprovalRequest
    answers: tuple[Answer, ...]
    consumed: bool

    def state(self) -> ApprovalState:
        """The part the decision judges."""
        asked = self.request
        return ApprovalState(
            asked.id,
            asked.request_digest,
            asked.policy_revision,
            asked.step,
            asked.requested_at,
            asked.expires_at,
            self.answers,
            self.consumed,
        )


class StreamStatus(enum.StrEnum):
    """Whether a stream is meant to send. Only an enabled one counts as heard."""

    ENABLED = "enabled"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream of signals: when it last spoke, and whether it is meant to."""

    name: str
    heard_at: datetime
    status: StreamStatus

    @property
    def last_heard(self) -> datetime | None:
        """When it was last heard; None while it is paused or disabled, whatever it still sends."""
        return self.heard_at if self.status is StreamStatus.ENABLED else None


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records to read. Every given field must match; ``since``/``until`` bound the record's time."""

    run_id: str | None = None
    subject: str | None = None
    tool: str | None = None
    effect: str | None = None
    reason: str | None = None
    kind: str | None = None
    decision_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Ledger(Protocol):
    """The one store. Safe to use from any thread; several processes may share one SQLite file.

    Methods that return a Future run on the ledger's own thread, which a caller's cancellation cannot reach. A future
    fails with ``LedgerError`` and with nothing else. Methods that return values block; call them off an event loop.
    """

    def start_run(self, run: RunState, record: RecordData) -> Future[RunState]:
        """Create a run (version 1) with its record."""

    def run(self, run_id: str, *, at: datetime, windows: Mapping[str, timedelta | None]) -> Future[RunState | None]:
        """The run as it is now, ``spent`` filled for the budgets in ``windows`` (name to window)."""

    def admit(self, admission: Admission, *, windows: Mapping[str, timedelta | None]) -> Future[Admitted | Refused]:
        """Make one decision durable, in one transaction, if the world is still as it saw it.

        Fails with ``Unstorable`` where its record is larger than a record may be."""

    def close(self, closing: Closing) -> Future[RunState | None]:
        """Write the outcome and the kept values. Takes effect for every later operation at once; the future resolves
        then; made durable with the next durable operation, or within 10 ms. Until then it is owed: where it could not
        even begin, or its commit failed, it is done first in every later transaction."""

    def settle(self, decision_id: str, *, outcome: Outcome, record: RecordData) -> Future[RunState]:
        """A person says how a call ended whose outcome is unknown: ``succeeded`` or ``failed``. What its step kept
        before is forgotten where it succeeded, for what is kept is of the last call that did."""

    def change_run(
        self,
        run_id: str,
        *,
        at: datetime,
        record: RecordData,
        status: str | None = None,
        risk: Risk | None = None,
    ) -> Future[RunState]:
        """End or stop a run, or set what operations think of its risk. A run that ended or stopped never becomes
        active again."""

    def hold_run(self, run_id: str) -> Future[bool]:
        """Be the one who is inside an active run, as whoever starts one is. False, and nothing is changed, where
        somebody is inside already: here, or in another process that is alive."""

    def let_go(self, run_id: str) -> Future[None]:
        """Nobody here is inside the run any more, and it goes on. One that ends is let go by that."""

    def holders(self) -> Future[Mapping[str, bool]]:
        """The active runs that somebody is inside: whether that process is alive, or gone without having left it."""

    def suspend_subject(self, subject: str, *, at: datetime, record: RecordData, suspended: bool) -> Future[None]:
        """Refuse (or accept again) every call of a subject, in every run. Bumps the version of its active runs."""

    def revoke_credential(self, name: str, *, at: datetime, record: RecordData, state: str) -> Future[None]:
        """Set what operations say of a credential: ``active``, ``rotated`` or ``revoked``. Never undoes a signal."""

    def credential_states(self, names: Sequence[str]) -> Future[Mapping[str, str]]:
        """The states of these credentials; one that operations never registered is missing, or revoked by a signal."""

    def signal(
        self,
        identifier: tuple[str, str],
        signals: Sequence[Signal],
        *,
        at: datetime,
        records: Sequence[RecordData],
        status: str | None = None,
    ) -> Future[bool]:
        """Let signals take effect, once for each (issuer, jti). False: heard before, and nothing was written.

        What is said is kept by source. A source takes back only what it said itself, and what it said later stands: a
        signal older than its last about the same is ignored, and of two for the same moment the worse counts.
        Every run that is touched gets a new version; the signals' streams count as heard at ``at``. ``status`` is what
        they say they are from then on (``enabled``, ``paused``, ``disabled``); None: as before."""

    def stream_heard(
        self, name: str, *, at: datetime, status: str = "enabled", record: RecordData | None = None
    ) -> Future[None]:
        """A stream showed that it is alive, or changed its status (``enabled``, ``paused``, ``disabled``)."""

    def streams(self) -> Future[Mapping[str, StreamState]]:
        """Every stream that was ever heard of, by name."""

    def ask(self, request: ApprovalRequest, record: RecordData) -> Future[ApprovalRow]:
        """Store a question. If an unexpired, unconsumed one for the same digest and revision exists, that one is
        returned and nothing is written. Fails with ``Unstorable`` where it is larger than a question may be."""

    def answer(self, approval_id: str, answer: Answer, record: RecordData) -> Future[ApprovalRow]:
        """Add one person's answer. One answer a person; an answer after expiry or consumption is a LedgerError."""

    def approval(self, approval_id: str) -> Future[ApprovalRow | None]:
        """One approval request."""

    def approval_for(self, request_digest: str) -> Future[ApprovalRow | None]:
        """The latest request for this digest: the one a repeated call goes by."""

    def approvals(self, *, open_at: datetime | None = None, run_id: str | None = None) -> Future[Sequence[ApprovalRow]]:
        """All requests, newest first; with ``open_at``, those not expired, denied or consumed at that time, and of
        those with ``run_id`` the ones of that run."""

    def append(self, record: RecordData) -> Future[int]:
        """A record that belongs to no admission (a reload, a canary). Returns its sequence number."""

    def runs(self, *, active_only: bool = False) -> Future[Sequence[RunState]]:
        """All runs, newest first."""

    def open_calls(self) -> Future[Sequence[RecordData]]:
        """Decision records of admitted calls that have no outcome yet."""

    def recover(self, *, at: datetime) -> Future[Sequence[RecordData]]:
        """Give every open call whose process is gone the outcome ``unknown``; the decision records of those.
        Opening a ledger does this. A call of a live process is never marked."""

    def records(
        self, wanted: RecordFilter, *, after: int = 0, limit: int | None = None, newest: bool = False
    ) -> Iterator[RecordData]:
        """Records in order, each with ``seq``; with ``newest``, the last ``limit`` of them, still in order."""

    def private(self, seq: int) -> Future[Mapping[str, str]]:
        """The salts that were kept beside a record, by JSON pointer; empty where there are none."""

    def shut(self) -> None:
        """Finish what is queued, make it durable, stop. Idempotent."""
