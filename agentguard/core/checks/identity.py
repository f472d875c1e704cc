"""Checks: who calls, how it was proved and how long ago, and what signals say of it since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeVar

from agentguard.core.case import NOTHING, Case, StepResult, deny, level_of, refuse
from agentguard.core.decision import Finding
from agentguard.core.plan import speaks_where
from agentguard.core.policy import Step
from agentguard.core.reasons import Reason
from agentguard.core.values import Effect, Sensitivity, Unavailable

_T = TypeVar("_T")

# Clocks of issuers and ours may differ by this much (the verifier's own limit is never looser than 60 s).
SKEW = timedelta(seconds=60)
# Asking an abstract class takes as long as two whole checks, so the usual kinds come first.
_MAPPINGS = (dict, MappingProxyType)


def subject_is_allowed(case: Case) -> tuple[Finding, ...]:
    identity = case.facts.identity
    if isinstance(identity, Unavailable):
        return deny(identity.reason, identity.detail)
    found = NOTHING
    if case.workflow is not None and identity.subject not in case.workflow.subjects:
        found += deny(Reason.SUBJECT_NOT_ALLOWED, "the workflow does not list this subject")
    if case.run is not None and case.run.subject != identity.subject:
        found += deny(Reason.SUBJECT_CHANGED, "the run belongs to another subject")
    if case.run is not None and case.run.subject_suspended:
        found += deny(Reason.SUBJECT_SUSPENDED, "the subject is suspended")
    return found


def identity_is_valid_now(case: Case) -> tuple[Finding, ...]:
    """The verifier judged skew and lifetime; between it and now the assertion must not have run out."""
    identity = case.identity
    if identity is None or case.now is None:
        return NOTHING
    found = NOTHING
    if identity.bound_to is not None and identity.bound_to != case.request.digest:
        found += deny(Reason.IDENTITY_NOT_BOUND, "the proof covers another call")
    if case.now >= identity.expires_at + SKEW:
        found += deny(Reason.IDENTITY_EXPIRED, "the assertion has expired")
    if identity.issued_at > case.now + SKEW:
        found += deny(Reason.IDENTITY_NOT_YET_VALID, "the assertion was issued in the future")
    return found


def no_signal_refuses_the_proof(case: Case) -> tuple[Finding, ...]:
    """What the caller proves itself with may have been revoked, or only what was issued before a moment."""
    run, identity = case.run, case.identity
    if run is None:
        return NOTHING
    found = NOTHING
    if run.credential_refused:
        found += deny(Reason.CREDENTIAL_REVOKED, "assertions of the workload, or of whom it works for, are refused")
    # A proof is made at each call, by whoever holds the key; what it proves is as old as the token.
    issued = None if identity is None else identity.token_issued_at or identity.issued_at
    if run.issued_after is not None and issued is not None and issued < run.issued_after:
        found += deny(Reason.IDENTITY_OUTDATED, f"assertions issued before {run.issued_after} are refused")
    return found


def credentials_are_active(case: Case) -> tuple[Finding, ...]:
    revoked = case.facts.credentials_revoked
    if isinstance(revoked, Unavailable):
        return deny(revoked.reason, revoked.detail)
    if not isinstance(revoked, tuple):
        raise TypeError("credentials_revoked is not a tuple")
    if not revoked:
        return NOTHING
    return tuple(Finding(Effect.DENY, Reason.CREDENTIAL_REVOKED, f"`{name}` is not active") for name in revoked)


def streams_are_heard(case: Case) -> tuple[Finding, ...]:
    """A silent stream may have something to say: until it is heard, what depends on it is refused."""
    heard = case.facts.streams
    if isinstance(heard, Unavailable):
        return deny(heard.reason, heard.detail)
    if type(heard) not in _MAPPINGS and not isinstance(heard, Mapping):
        raise TypeError("streams is not a mapping")
    if not case.policy.streams or not case.places or case.now is None:
        return NOTHING
    levels = {level_of(place) for place in case.places}
    return tuple(
        Finding(Effect.DENY, Reason.SIGNALS_UNAVAILABLE, f"stream `{name}` is silent")
        for name, rule in case.policy.streams.items()
        if not levels.isdisjoint(rule.sensitivities) and not _is_heard(heard.get(name), case.now, rule.max_silence)
    )


def _is_heard(at: datetime | None, now: datetime, max_silence: timedelta) -> bool:
    return at is not None and -SKEW <= now - at <= max_silence


@speaks_where(
    lambda policy, workflow, step: (
        step.max_age is not None or workflow.max_age is not None or policy.max_age_by_sensitivity
    )
)
def identity_is_fresh(case: Case, step: Step, result: StepResult) -> None:
    """The strictest of the workflow's, the step's and the destinations' maximum age wins."""
    identity, now = case.identity, case.now
    if identity is None or now is None:
        return
    age, limit = now - identity.issued_at, step.max_age
    whole = None if case.workflow is None else case.workflow.max_age
    if whole is not None and (limit is None or whole < limit):
        limit = whole
    by_sensitivity = case.policy.max_age_by_sensitivity
    for other in _per_sensitivity(case, by_sensitivity) if by_sensitivity else ():
        if limit is None or other < limit:
            limit = other
    if limit is not None and age > limit:
        refuse(result, step, Reason.IDENTITY_STALE, f"issued {age.total_seconds():g}s ago; {limit} is the limit")


@speaks_where(
    lambda policy, workflow, step: (
        step.minimum_assurance is not None or step.bound_to_call or policy.assurance_by_sensitivity
    )
)
def assurance_is_enough(case: Case, step: Step, result: StepResult) -> None:
    identity = case.identity
    if identity is None:
        return
    wanted = step.minimum_assurance
    for other in _per_sensitivity(case, case.policy.assurance_by_sensitivity):
        if wanted is None or other > wanted:
            wanted = other
    if wanted is not None and identity.assurance < wanted:
        refuse(result, step, Reason.ASSURANCE_TOO_LOW, f"{identity.assurance.word} is below {wanted.word}")
    if step.bound_to_call and identity.bound_to != case.request.digest:
        refuse(result, step, Reason.IDENTITY_NOT_BOUND, "the step demands a proof for this very call")


def _per_sensitivity(case: Case, limits: Mapping[Sensitivity, _T]) -> Sequence[_T]:
    """The limits that the call's worst destination brings: what is demanded at a level is demanded above it too."""
    if not limits or not case.places:
        return ()
    worst = max(map(level_of, case.places))
    return [limit for level, limit in limits.items() if level <= worst]
