"""Rules that raise a run's risk by themselves, as the ledger counts them with each admission."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from agentguard.core.facts import RunState
from agentguard.core.policy import Counted, RiskTrigger, Workflow
from agentguard.core.signals import SignalEffect, rule_source
from agentguard.core.values import Effect, Unavailable
from agentguard.guard.records import RecordData, record, rfc3339
from agentguard.ledger import Watch

# An escalation is neither: once people have answered, the same call is one or the other.
_COUNTED_AS: Mapping[str, Counted] = MappingProxyType({Effect.PERMIT: Counted.CALLS, Effect.DENY: Counted.DENIALS})


def risk_watches(
    workflow: Workflow | None, run: RunState | Unavailable, decision: RecordData, at: datetime
) -> tuple[Watch, ...]:
    """What this decision counts for, each with the record of the rise it may cause."""
    if workflow is None or not workflow.raise_risk or not isinstance(run, RunState):
        return ()
    counted = _COUNTED_AS.get(decision["effect"])
    return tuple(
        Watch(
            source=rule_source(rule.name),
            to=rule.to,
            counts=rule.counts,
            at_least=rule.at_least,
            within=rule.within,
            record=_rise(rule, run, decision, at),
        )
        for rule in workflow.raise_risk
        if rule.counts is counted
    )


def _rise(rule: RiskTrigger, run: RunState, decision: RecordData, at: datetime) -> RecordData:
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
        signal={"event": "raise_risk", "time": rfc3339(at), "credential": None},
        risk=rule.to.word,
        outcome=str(SignalEffect.SET_RISK),
        by=rule_source(rule.name),
        why=f"{rule.at_least} {rule.counts} within {rule.within}",
    )
