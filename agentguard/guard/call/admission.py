"""4. What the ledger is asked to admit: the record of the decision, and everything that counts with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from agentguard.core.canonical import NotCanonical, canonical_bytes, commitment, member_order
from agentguard.core.decision import Decision, Spend
from agentguard.core.facts import Facts, RunState
from agentguard.core.observing import Unenforced
from agentguard.core.policy import Policy, Tool
from agentguard.core.values import Assurance, Effect, Identity, Json, Sensitivity, ToolEffect, Unavailable
from agentguard.guard.call.plan import GuardedTool
from agentguard.guard.call.prepare import Call, zones_of
from agentguard.guard.call.risk_rules import first_uses, risk_watches
from agentguard.guard.engine import Engine
from agentguard.guard.records import decision_record, new_id
from agentguard.guard.seen_in import SeenIn
from agentguard.identity import IN_PROCESS
from agentguard.jose.nonce import nonce
from agentguard.ledger import Admission, Charge, FirstUse, Watch

# How long an assertion's id is remembered past its expiry: the largest clock skew an issuer may be granted.
REPLAY_MARGIN = timedelta(seconds=60)


def admission_of(
    guard: Engine,
    gate: GuardedTool,
    call: Call,
    policy: Policy,
    facts: Facts,
    decision: Decision,
    *,
    readable: bool,
    observed: Unenforced | None = None,
    seen: SeenIn | None = None,
) -> Admission:
    """The record of a decision, and what the ledger is asked to make durable with it.

    Where its arguments were not ``readable``, a call that looks like another may be a different one. ``observed``: how
    it runs though the decision is not enforced. ``seen``: what is remembered of its run, while that is observed.
    """
    decision_id = new_id("d")
    now = facts.now if isinstance(facts.now, datetime) else guard.last_known_time
    places = () if isinstance(facts.destinations, Unavailable) else facts.destinations
    salts: dict[str, str] = {}
    commitments: list[str | None] = []
    for n, place in enumerate(places):
        if place.shown is None:
            commitments.append(None)
        else:
            salts[f"/destinations/{n}/commitment"] = salt = nonce()
            commitments.append(commitment(salt, place.id.encode()))
    salts["/arguments_digest"] = salt = nonce()
    # Then what is shown are the arguments themselves.
    whole = not call.told.redacted and not call.told.personal and call.unread is None
    data = decision_record(
        now,
        decision_id,
        decision,
        call.request,
        policy,
        facts,
        arguments=call.told.shown,
        arguments_digest=commitment(salt, call.request.canonical),
        redacted=call.told.redacted,
        personal=sorted(call.told.personal) if call.told.personal else (),
        commitments=commitments,
        unsaid=call.told.unsaid,
        coerced=call.coerced,
        filled=call.filled,
        order=_IN_ORDER if call.request.in_order is call.request.canonical and whole else member_order(call.told.shown),
        framework=gate.framework,
        encoded=call.request.canonical if whole else _encoded(call.told.shown),
        step=decision.step if observed is None else observed.step,
        enforced=observed is None,
        seen_in=None if seen is None or observed is None else _seen_in(seen, call, facts),
    )
    watches: tuple[Watch, ...] = ()
    first: tuple[FirstUse, ...] = ()
    if call.plan.raises_risk:
        workflow = policy.workflows.get(call.request.workflow)
        watches = risk_watches(workflow, facts.run, data, now, readable=readable)
        if decision.effect is Effect.PERMIT or observed is not None:
            first = first_uses(workflow, facts.run, facts.destinations, data, now)
    admission = _admission(decision_id, decision, call, policy, facts, now, data, salts, watches, first)
    return admission if observed is None else _as_it_runs(admission, decision, observed)


def _as_it_runs(admission: Admission, decision: Decision, observed: Unenforced) -> Admission:
    """A call that is observed takes what its step takes, apart, and uses nobody's approval up. Only what would have
    been permitted keeps to its limits: past them it would have been refused, and is decided anew."""
    step = observed.step
    return replace(
        admission,
        step="" if step is None else step.name,
        step_at_most=admission.step_at_most if decision.effect is Effect.PERMIT else None,
        charges=_charges(observed.spends),
        approval_id=None,
        tallies=observed.tallies,
        counts_successes=step is not None and step.counts_successes,
        observed=str(decision.effect),
    )


_IN_ORDER: Mapping[str, Sequence[str]] = MappingProxyType({})


def _seen_in(seen: SeenIn, call: Call, facts: Facts) -> Mapping[str, Sequence[str]] | None:
    """Where the arguments were seen, of those that the record holds in full."""
    pointers = (*call.told.redacted, *call.told.personal)
    hidden = {pointer.split("/")[1].replace("~1", "/").replace("~0", "~") for pointer in pointers if "/" in pointer}
    inputs = facts.run.inputs if isinstance(facts.run, RunState) else {}
    given = call.request.arguments if facts.as_called is None else facts.as_called
    return seen.of(given, inputs, hidden)


def _encoded(shown: Json) -> bytes | None:
    """The canonical bytes of what is shown of the arguments; None where it has none, which the ledger will say."""
    try:
        return canonical_bytes(shown)
    except NotCanonical:
        return None


def _admission(
    decision_id: str,
    decision: Decision,
    call: Call,
    policy: Policy,
    facts: Facts,
    now: datetime,
    data: dict[str, Any],
    salts: Mapping[str, str],
    watches: tuple[Watch, ...],
    first: tuple[FirstUse, ...],
) -> Admission:
    run = facts.run if isinstance(facts.run, RunState) else None
    identity = facts.identity if isinstance(facts.identity, Identity) else None
    single_use = None if identity is None or _may_come_again(identity) else identity
    permit = data["enforced"] is False or decision.effect is Effect.PERMIT
    step, tool = decision.step, policy.tools.get(call.request.tool)
    # By position, in the order of the class: by name it takes three times as long, and a call makes one.
    return Admission(
        decision_id,
        permit,
        None if run is None else run.id,
        None if run is None else run.version,
        call.request.workflow or None,
        None if step is None else step.name,
        now,
        data,
        salts,
        call.told.personal,
        None if step is None else step.at_most,
        _charges(decision.spends) if permit and decision.spends else (),
        None if single_use is None else (single_use.issuer, single_use.assertion_id),
        None if single_use is None else single_use.expires_at + REPLAY_MARGIN,
        decision.approval if permit else None,  # approval_id
        _read_sensitivity(tool, facts) if permit and facts.destinations else None,
        zones_of(facts.destinations) if permit and facts.destinations else _NO_ZONES,
        _NO_ZONES,
        watches,
        first,
        decision.tallies if permit else (),
        step is not None and step.counts_successes,
        _did_nothing(tool, decision),
    )


_NO_ZONES = frozenset[str]()


def _charges(spends: Sequence[Spend]) -> tuple[Charge, ...]:
    return tuple(
        Charge(s.budget.name, s.amount, s.budget.at_most, s.budget.per, s.budget.counts_successes) for s in spends
    )


def _did_nothing(tool: Tool | None, decision: Decision) -> bool:
    """Whether a failure of this call did nothing: it only reads, and tells nobody by that; or its owner says so."""
    return decision.tool_effect is ToolEffect.READ or (tool is not None and tool.failure_did_nothing)


def _may_come_again(identity: Identity) -> bool:
    """A bearer token is what Trust calls `single_use: false`: it may be used again, and the record says so.

    What this process proved to itself never left this call: nobody can bring it again, and no decision happens twice.
    """
    if identity.assurance is Assurance.BEARER:
        return True
    return identity.assurance is Assurance.LOCAL and identity.assertion_id.startswith(IN_PROCESS)


def _read_sensitivity(tool: Tool | None, facts: Facts) -> Sensitivity | None:
    """The most sensitive place this call reads. What nobody classified may be anything, so it counts as the worst."""
    if tool is None or tool.effect is not ToolEffect.READ or isinstance(facts.destinations, Unavailable):
        return None
    levels = (place.sensitivity for place in facts.destinations)
    return max((Sensitivity.SECRET if level is None else level for level in levels), default=None)
