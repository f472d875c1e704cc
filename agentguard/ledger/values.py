"""The values that go into the ledger and come out of it.

A ledger is handed complete values and answers with complete values; it decides nothing but whether the world is
still as the decision saw it. Times are UTC; amounts are millionths.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agentguard.core.answers import NEW, ApprovalStatus, Life, Need, status
from agentguard.core.facts import Answer, ApprovalState, MadeBefore, RunState
from agentguard.core.growing import Growth
from agentguard.core.policy import Counted
from agentguard.core.provenance import Brought
from agentguard.core.sealed import sealed
from agentguard.core.values import Json, Risk, Sensitivity
from agentguard.errors import LedgerError
from agentguard.ledger.promise import Later

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
    CALL_MADE = "call_made"


@sealed
@dataclass(frozen=True, slots=True)
class Charge:
    """What one call takes of one budget. ``per`` None: per run; else the sliding window before ``Admission.at``.
    ``returns``: a failure that did nothing gives it back."""

    budget: str
    amount: int
    at_most: int
    per: timedelta | None
    returns: bool = False


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
class MadeCall:
    """How a call is known again: ``key`` names its run, message and id; ``digest`` is its request's.

    ``sees``: the call that its decision saw there; None: there was none, and this one takes the name. ``continues``:
    that one was suspended, and goes on by this.
    """

    key: str
    digest: str
    sees: MadeBefore | None = None
    continues: bool = False


@sealed
@dataclass(frozen=True, slots=True)
class Admission:
    """One decision, to be made durable. Only a permit takes anything; a denial writes its record, and is counted.

    ``run_version`` is the version the decision saw; any other version now is ``RUN_MOVED``. ``assertion_key`` is
    (issuer, jti) and is remembered until ``assertion_until``; a used one is refused whatever the effect.
    ``record`` is the decision record without ``seq``; ``salts`` open its commitments, by JSON pointer, and ``personal``
    are the values that it leaves out, by theirs: both are kept beside the record. ``zones`` are those the call reaches:
    the run has been there then, and its subject too; where that is new, every run of the subject gets a new version.
    ``keeps`` are the names of what its step keeps. ``watches`` count this very decision; ``first_uses`` look at what it
    reaches.
    ``tallies`` are the keys under which its step counts this call (``core.tallies``), each at most ``step_at_most``
    times; ``counts_successes``: without those that were given back. ``failure_did_nothing``: a failure of this call
    gives them back, and every charge that ``returns``.
    ``observed``: what was decided of a call that runs all the same, because its run is observed. Where that is no
    permit, it takes without limits; and what outlasts its run stands apart: it counts for no enforced run.
    ``made``: how it is known again. Where it ``sees`` an earlier call, it is that one, made again: it takes nothing,
    and is no ``permit``; the ledger says only whether what its decision saw is still so.
    """

    decision_id: str
    permit: bool
    run_id: str | None
    run_version: int | None
    workflow: str | None
    step: str | None
    at: datetime
    record: RecordData
    salts: Mapping[str, str] = field(default_factory=dict)
    personal: Mapping[str, Json] = field(default_factory=dict)
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
    tallies: tuple[str, ...] = ()
    counts_successes: bool = False
    failure_did_nothing: bool = False
    observed: str | None = None
    made: MadeCall | None = None


class Admitted:
    """The admission is durable. ``run`` is the run as it is then; None where there was no run. ``raised``: the records
    of rules that raised its risk now."""

    __slots__ = ("_run", "_seq", "raised")

    def __init__(self, seq: int, run: RunState | Later | None, raised: tuple[RecordData, ...] = ()) -> None:
        self._seq, self.raised = seq, raised
        self._run: RunState | Later | None = run

    @property
    def seq(self) -> int:
        """The number of its record."""
        return self._seq

    @property
    def run(self) -> RunState | None:
        """Made when somebody looks at it."""
        run = self._run  # looked at once: another thread may ask for it, too, and put what it made there
        if isinstance(run, Later):
            made: RunState = run.made()
            self._run = run = made
        return run

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Admitted) and _parts(self) == _parts(other)

    def __hash__(self) -> int:
        return hash(self.seq)

    def __repr__(self) -> str:
        return f"Admitted{_parts(self)!r}"


def _parts(admitted: Admitted) -> tuple[int, RunState | None, tuple[RecordData, ...]]:
    return admitted.seq, admitted.run, admitted.raised


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was written. ``run`` is the run as it is now, so that the caller can decide again."""

    reason: Refusal
    run: RunState | None


class WhyNot(enum.StrEnum):
    """Why the run of a key, or a delegated one, was not opened. Nothing of it was written."""

    STOPPED = "stopped"
    OTHER_INPUTS = "other_inputs"
    ENDED = "ended"
    TOO_DEEP = "too_deep"
    TOO_MANY = "too_many"
    WIDER = "wider"
    ANOTHER_SPELLING = "another_spelling"


@dataclass(frozen=True, slots=True)
class Opened:
    """The run of a key, or a delegated one: ``begun`` now, or gone on with."""

    run: RunState
    begun: bool


@dataclass(frozen=True, slots=True)
class NotOpened:
    """The run that a key opened last is in the way; or the one that was to delegate delegates nothing more."""

    why: WhyNot
    run_id: str


class Outcome(enum.StrEnum):
    """How an admitted call ended. ``unknown``: the process died, or was cancelled, while the tool ran; the call is
    among the run's ``unsettled`` until somebody says what happened."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


@sealed
@dataclass(frozen=True, slots=True)
class Closing:
    """The outcome of one admitted call. Closing a call twice changes nothing the second time.

    ``kept``, ``grown`` and ``dropped`` are of a call that succeeded. ``kept`` and ``dropped`` together name all that
    its step keeps of its last call alone; ``dropped`` could not be kept this time, and is forgotten. ``grown`` is what
    it adds to values that grow over calls, folded in the order of the log.
    ``brought`` is what the run has seen by it, in the same transaction; forgotten when the run ends or is stopped.
    ``answer`` is what the call gave out, as text, for whoever makes it again; so is that. ``started``: its tool was
    entered; where it was not, the same call may be made again.
    """

    decision_id: str
    run_id: str
    step: str
    outcome: Outcome
    at: datetime
    record: RecordData
    kept: Mapping[str, Json] = field(default_factory=dict)
    grown: tuple[Growth, ...] = ()
    dropped: frozenset[str] = frozenset()
    brought: Brought | None = None
    answer: str | None = None
    started: bool = True


@dataclass(frozen=True, slots=True)
class Suspension:
    """The tool of an admitted call interrupted itself; it goes on when the same call is made again."""

    decision_id: str
    record: RecordData


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A durable question to people about exactly one request digest; see ``core.answers.Question``.

    ``shown`` is what approvers see besides (arguments redacted and escaped later, at display), ``erased`` whether that
    is gone. ``basis``: a digest of the part of the policy that it rests on; "" of one that was asked before there were
    such, which rests on all of ``policy_revision``. ``use_within`` None: it is used until ``expires_at``.
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
    erased: bool = False
    needs: tuple[tuple[Need, ...], ...] = ()
    deny_quorum: int = 1
    use_within: timedelta | None = None
    editors: tuple[str, ...] = ()
    basis: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """An approval request with where it stands."""

    request: ApprovalRequest
    answers: tuple[Answer, ...]
    life: Life = NEW

    def status(self, at: datetime) -> ApprovalStatus:
        """Where it stands at that time."""
        return status(self.request, self.answers, self.life, at)

    def state(self) -> ApprovalState:
        """The part the decision judges."""
        asked = self.request
        return ApprovalState(
            asked.id,
            asked.request_digest,
            asked.policy_revision,
            asked.run_id,
            asked.subject,
            asked.requester,
            asked.step,
            asked.requested_at,
            asked.expires_at,
            self.answers,
            self.life.claimed or self.life.lapsed is not None,
            asked.basis,
            asked.deny_quorum,
            asked.editors,
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
class Erased:
    """How many records had private parts that are gone now, and how many approval requests can be shown no more."""

    records: int
    approvals: int


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
