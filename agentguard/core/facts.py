"""What was found out for one decision. Each fact is a value or ``Unavailable``; nothing is trusted but measured."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from agentguard.core.provenance import NOTHING_SEEN, Seen
from agentguard.core.sealed import sealed
from agentguard.core.tallies import Tally
from agentguard.core.values import Destination, Identity, Json, Risk, Sensitivity, Unavailable

_NOTHING: Mapping[str, int] = MappingProxyType({})
_UNSPELT: Mapping[str, str] = MappingProxyType({})
_NOTHING_QUOTABLE: Mapping[str, Json] = MappingProxyType({})
_UNHEARD: Mapping[str, datetime | None] = MappingProxyType({})


class RunStatus(enum.StrEnum):
    """Where a run stands. Only an active run permits anything."""

    ACTIVE = "active"
    STOPPED = "stopped"
    ENDED = "ended"


class Observed(NamedTuple):
    """That a run began observed: until which day (UTC) it lasts, of which steps (None: all), and what would have been
    refused and asked so far."""

    until: date
    steps: frozenset[str] | None = None
    refused: int = 0
    asked: int = 0


class Family(NamedTuple):
    """Where a run stands in a tree of runs. ``parent``: the run that delegated it; None: nobody did. ``root``: the
    first of the tree, which began at ``began_at``. ``steps``: those it may take; None: all of its workflow.
    ``children``: the runs that it delegated and that have not ended. ``above``: other subjects than its own of the runs
    above it."""

    parent: str | None
    root: str
    began_at: datetime
    steps: frozenset[str] | None = None
    children: tuple[str, ...] = ()
    above: tuple[str, ...] = ()


@sealed
@dataclass(frozen=True, slots=True)
class RunState:
    """One run as the ledger holds it. ``version`` grows with every change that a decision could see.

    ``counts``: calls admitted per step, finished or not. ``succeeded``: steps with a call that succeeded.
    ``spent``: what each budget holds now, in millionths; a budget that is missing has spent nothing.
    ``high_water``: the most sensitive destination this run has read, None before the first.
    ``risk``: the highest that operations, a rule or a stream says of the run, its subject or its requester.
    ``issued_after``: assertions issued before it are refused. ``credential_refused``: all of them are.
    ``seen``: what tools returned in it, where its workflow asks where values come from.
    ``salt``: what keeps its request digests from being searched; known to the ledger alone, never in a record.
    ``unsettled``: decisions on calls of it whose outcome nobody knows; it has lost track until somebody says.
    ``erased``: what of it was erased, for ever (``inputs``, ``kept``); what was followed goes with what was kept.
    ``tallies``: calls of steps that are counted by a value or by success, each under its key (``core.tallies``).
    ``zones``: where its calls have been. ``contacts``: where any admitted call of its subject has been, in any run.
    ``observed``: None: every decision in it is enforced (``core.observing``).
    ``lasts``, ``idle``: how long it lasts and may be idle, as its workflow said when it began (``core.lasting``).
    ``last_call_at``: when its last call was admitted, where ``idle`` asks for that.
    ``family``: where it stands in a tree of runs; None: it is alone. What a run is given, keeps, counts and has read is
    its tree's, and so are ``lasts``, ``idle`` and ``last_call_at``.
    ``key``: by which it is found; ``carries``: the run of that key that it goes on counting from.
    """

    id: str
    workflow: str
    workflow_digest: str
    subject: str
    status: RunStatus
    version: int
    started_at: datetime
    requester: str | None = None
    risk: Risk = Risk.LOW
    inputs: Mapping[str, Json] = field(default_factory=dict)
    kept: Mapping[str, Json] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    succeeded: frozenset[str] = frozenset()
    spent: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    high_water: Sensitivity | None = None
    subject_suspended: bool = False
    issued_after: datetime | None = None
    credential_refused: bool = False
    zones: frozenset[str] = frozenset()
    contacts: frozenset[str] = frozenset()
    seen: Seen = field(default=NOTHING_SEEN, repr=False)
    unsettled: frozenset[str] = frozenset()
    salt: str = field(default="", repr=False)
    erased: frozenset[str] = frozenset()
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    observed: Observed | None = None
    lasts: timedelta | None = None
    idle: timedelta | None = None
    last_call_at: datetime | None = None
    key: str | None = None
    carries: str | None = None
    family: Family | None = None

    @property
    def began_at(self) -> datetime:
        """When it began, or the first run of its tree: by that it lasts."""
        return self.started_at if self.family is None else self.family.began_at


class CallStatus(enum.StrEnum):
    """How far a call has come that ran, or runs. ``suspended``: its tool interrupted itself, and goes on when the same
    call is made again."""

    RUNNING = "running"
    SUSPENDED = "suspended"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class MadeBefore:
    """The call that was made before under the same run, turn and call id: its decision, request, step and how far it
    has come. ``answered``: what it gave out is kept."""

    decision_id: str
    request_digest: str
    step: str
    status: CallStatus
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One person's answer to one approval request. ``approver`` is ``user:NAME`` as the channel authenticated it."""

    approver: str
    approve: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class ApprovalState:
    """The approval request for exactly this request digest, and the answers so far. Evidence, not a verdict.

    ``basis``: the part of the policy that it rests on (``core.basis``); "": all of ``policy_revision``.
    ``expires_at``: until when people may answer. ``deny_quorum`` noes are final. ``editors`` changed the call.
    """

    id: str
    request_digest: str
    policy_revision: str
    run_id: str
    subject: str
    requester: str | None
    step: str
    requested_at: datetime
    expires_at: datetime
    answers: tuple[Answer, ...] = ()
    consumed: bool = False
    basis: str = ""
    deny_quorum: int = 1
    editors: tuple[str, ...] = ()


@sealed
@dataclass(frozen=True, slots=True)
class Facts:
    """All facts of one decision. ``approval`` None means: nobody has been asked about this request.

    ``definition`` is the fingerprint measured on the wrapped tool now; ``arguments`` are the values re-read from the
    canonical bytes; ``credentials_revoked`` names the tool's registered credentials that are not active; ``streams``
    says when each stream of signals was last heard, None for never or paused. ``as_called`` are the arguments as they
    were given, before destinations in them became canonical; None where that is the same. ``spellings``: texts that
    name a destination of this call in another spelling, each with the canonical one. ``unread``: why the arguments
    could not be read as they were given; then nothing is known of them, and nothing is said of them. ``made``: the call
    of the same run, turn and call id that was made before; None: this is the first.
    """

    now: datetime | Unavailable
    identity: Identity | Unavailable
    run: RunState | Unavailable
    destinations: tuple[Destination, ...] | Unavailable
    approval: ApprovalState | Unavailable | None = None
    definition: str | None = None
    credentials_revoked: tuple[str, ...] | Unavailable = ()
    streams: Mapping[str, datetime | None] | Unavailable = field(default_factory=lambda: _UNHEARD)
    as_called: Mapping[str, Json] | None = None
    spellings: Mapping[str, str] = field(default_factory=lambda: _UNSPELT)
    quotable: Mapping[str, Json] = field(default_factory=lambda: _NOTHING_QUOTABLE)
    unread: Unavailable | None = None
    made: MadeBefore | None = None
