"""What a decision case is, once it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agentguard.core.facts import RunStatus
from agentguard.core.reasons import Reason
from agentguard.core.values import Assurance, Destination, Effect, Json, Risk, Sensitivity


@dataclass(frozen=True, slots=True)
class CaseSeen:
    """What one earlier call returned."""

    tool: str
    result: Json


@dataclass(frozen=True, slots=True)
class CaseCalled:
    """One call of the story that a case tells: how it was made and what came of it.

    ``error`` None means that it succeeded. ``approved_by``: who agreed, where it asks people.
    """

    tool: str
    arguments: Mapping[str, Json]
    result: Json
    error: str | None = None
    approved_by: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class CaseRun:
    """The run before the call. ``counts`` holds one for each step done that the case does not count itself.

    ``spent`` is in millionths, by budget. ``contacts`` None means that the subject has been in every zone before.
    ``age``: how long ago it began, ``idle`` how long ago its last call was permitted; None: just now.
    ``calls``: the story so far. Then what was done, counted, kept, spent and seen follows from it.
    """

    inputs: Mapping[str, Json]
    kept: Mapping[str, Json]
    done: frozenset[str]
    counts: Mapping[str, int]
    spent: Mapping[str, int]
    risk: Risk
    status: RunStatus
    suspended: bool
    high_water: Sensitivity | None
    requester: str | None
    zones: frozenset[str] = frozenset()
    contacts: frozenset[str] | None = None
    credential_refused: bool = False
    issued_after: datetime | None = None
    seen: tuple[CaseSeen, ...] = ()
    calls: tuple[CaseCalled, ...] = ()
    age: timedelta | None = None
    idle: timedelta | None = None


@dataclass(frozen=True, slots=True)
class CaseIdentity:
    """The caller's identity. ``subject`` None means the workflow's own; ``assurance`` None what the step demands."""

    subject: str | None
    age: timedelta
    assurance: Assurance | None
    claims: Mapping[str, Json]
    bound_to_call: bool


@dataclass(frozen=True, slots=True)
class CaseAnswer:
    """One person's answer to the approval request for exactly this call."""

    approver: str
    approve: bool


@dataclass(frozen=True, slots=True)
class CaseCall:
    """The call. ``destinations`` None means: derive them from the arguments, as the bundle says."""

    tool: str
    arguments: Mapping[str, Json]
    destinations: tuple[Destination, ...] | None


@dataclass(frozen=True, slots=True)
class Expectation:
    """The decision expected. ``reasons`` must all be among those given; empty means any."""

    effect: Effect
    reasons: frozenset[Reason]
    step: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """One decision case. ``identity`` None means that none could be had; ``now`` None means the present.

    ``answers`` None means that nobody has been asked. Streams of signals were heard just now, but for the silent ones.
    """

    file: str
    line: int
    name: str
    workflow: str
    run: CaseRun
    call: CaseCall
    identity: CaseIdentity | None
    answers: tuple[CaseAnswer, ...] | None
    revoked_credentials: tuple[str, ...]
    now: datetime | None
    expect: Expectation
    silent_streams: frozenset[str] = frozenset()
