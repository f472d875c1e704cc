"""Rules that raise a run's risk by themselves, as the ledger counts them with each admission."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from agentguard.core.facts import RunState
from agentguard.core.policy import Counted, FirstUseTrigger, RiskTrigger, Workflow
from agentguard.core.signals import SignalEffect, rule_source
from agentguard.core.values import Destination, Effect, Unavailable
from agentguard.guard.records import RecordData, record, rfc3339
from agentguard.ledger import FirstUse, Watch

# An escalation is neither: once people have answered, the same call is one or the other.
_COUNTED_AS: Mapping[str, Counted] = MappingProxyType({Effect.PERMIT: Counted.CALLS, Effect.DENY: Counted.DENIALS})


def risk_watches(
    workflow: Workflow | None, run: RunState | Unavailable, decision: RecordData, at: datetime, *, readable: bool
) -> tuple[Watch, ...]:
    """What this decision counts for, each with the record of the rise it may cause.

    A framework that retries what raised repeats the same refusal: one denial. Calls whose arguments were not
    ``readable`` look alike, and may all be different; each counts.
    """
    if workflow is None or not workflow.raise_risk or not isinstance(run, RunState):
        return ()
    asked = decision["effect"] == Effect.ESCALATE and decision["enforced"] is False
    counted = Counted.CALLS if asked else _COUNTED_AS.get(decision["effect"])  # nobody is asked, and it runs
    call = f"{decision['request_digest']} {decision['call_id']}" if readable and counted is Counted.DENIALS else None
    return tuple(
        Watch(
            source=rule_source(rule.name),
            to=rule.to,
            counts=rule.counts,
            at_least=rule.at_least,
            within=rule.within,
            record=_rise(rule, run, decision, at, f"{rule.at_least} {rule.counts} within {rule.within}"),
            call=call,
        )
        for rule in workflow.raise_risk
        if rule.counts is counted
    )


def first_uses(
    workflow: Workflow | None,
    run: RunState | Unavailable,
    destinations: tuple[Destination, ...] | Unavailable,
    decision: RecordData,
    at: datetime,
) -> tuple[FirstUse, ...]:
    """What a call that runs reaches that may be new to its subject, each with the record of the rise it may cause."""
    if workflow is None or not workflow.raise_at_first_use or not isinstance(run, RunState):
        return ()
    if isinstance(destinations, Unavailable):
        return ()
    reached = {
        "zone": frozenset(place.zone for place in destinations if place.zone is not None),
        "destination": frozenset(f"{place.kind} {place.id}" for place in destinations),
    }
    return tuple(
        FirstUse(
            source=rule_source(rule.name),
            to=rule.to,
            kind=rule.kind,
            values=reached[rule.kind],
            record=_rise(rule, run, decision, at, f"first use of a {rule.kind}"),
        )
        for rule in workflow.raise_at_first_use
    )


def _rise(
    rule: RiskTrigger | FirstUseTrigger, run: RunState, decision: RecordData, at: datetime, why: str
) -> RecordData:
    return record(
        "signal",
        at,
        decision_id=decision["decision_id"],
        policy_revision=decision["policy_revision"],
        workflow=decision["workflow"],
        workflow_version=decision["workflow_version"],
        run_id=run.id,
        subject=run.subject,
        requester=run.requester,
        enforced=decision["enforced"],
        signal={"event": "raise_risk", "time": rfc3339(at), "credential": None},
        risk=rule.to.word,
        outcome=str(SignalEffect.SET_RISK),
        by=rule_source(rule.name),
        why=why,
    )
