"""The part of a policy that an approval rests on, as one digest. Pure.

It covers the workflow and its step, what the tool does, whom each rule that may ask asks, with the members of groups;
the places that the call reaches, with their classes; and what the bundle says of such places: their zones, how fresh
and how strong a proof they need, which streams must be heard, how far a risk lets anybody reach. A bundle in which
none of that has changed is the same for this approval. The places are in it under the run's salt: nobody can search a
record for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from agentguard.core.canonical import canonical_bytes, commitment, sha256
from agentguard.core.case import Case
from agentguard.core.policy import ApprovalRule, Policy, Step, Zone
from agentguard.core.values import Json, Sensitivity

_MICROSECOND = timedelta(microseconds=1)


def basis_of(case: Case, step: Step) -> str:
    """The digest for this call under this step."""
    policy, run, workflow, tool = case.policy, case.run, case.workflow, case.tool
    places = case.places or ()
    touched = {place.sensitivity for place in places if place.sensitivity is not None}
    own = None if run is None else policy.zone_by_subject.get(run.subject)
    zones = {place.zone for place in places if place.zone is not None} | ({own} if own is not None else set())
    reached: list[Json] = [[p.kind, p.id, _level(p.sensitivity), p.zone, p.owner, p.category, p.chosen] for p in places]
    covered: dict[str, Json] = {
        "v": 1,
        "workflow": None if workflow is None else [workflow.name, workflow.digest],
        "step": step.name,
        "tool": None if tool is None else [tool.name, str(tool.effect), tool.fingerprint, tool.failure_did_nothing],
        "asks": _rule(step.approval, policy),
        "places": commitment("" if run is None else run.salt, canonical_bytes(reached)),
        "subject_zone": own,
        "zones": {name: _zone(policy.zones.get(name), policy) for name in zones},
        "ages": {
            each.word: age // _MICROSECOND for each, age in policy.max_age_by_sensitivity.items() if each in touched
        },
        "assurance": {each.word: a.word for each, a in policy.assurance_by_sensitivity.items() if each in touched},
        "streams": {
            name: rule.max_silence // _MICROSECOND
            for name, rule in policy.streams.items()
            if not touched.isdisjoint(rule.sensitivities)
        },
        "ceilings": {risk.word: level.word for risk, level in policy.risk_ceilings.items()},
    }
    return sha256(canonical_bytes(covered))


def members(approvers: Iterable[str], policy: Policy) -> list[str] | None:
    """Everybody whose yes counts where these are asked, as far as the bundle says; None: anybody's."""
    named = [*approvers]
    if "anyone" in named:
        return None
    groups = [policy.groups.get(each.removeprefix("group:"), ()) for each in named if each.startswith("group:")]
    return sorted({each for each in named if each.startswith("user:")}.union(*groups))


def _rule(rule: ApprovalRule | None, policy: Policy) -> Json:
    if rule is None:
        return None
    needs: list[Json] = []
    for need in rule.needs:
        people = members(need.approvers, policy)
        needs.append([_json(sorted(need.approvers)), need.quorum, None if people is None else _json(people)])
    use_within = None if rule.use_within is None else rule.use_within // _MICROSECOND
    return [needs, rule.within // _MICROSECOND, use_within, rule.deny_quorum]


def _zone(zone: Zone | None, policy: Policy) -> Json:
    if zone is None:
        return None
    first = zone.first_contact
    asks = _rule(first, policy) if isinstance(first, ApprovalRule) else first
    return [_levels(zone.reaches), None if zone.then is None else _levels(zone.then), asks]


def _levels(of: Mapping[str, Sensitivity]) -> Json:
    return {name: level.word for name, level in of.items()}


def _level(level: Sensitivity | None) -> Json:
    return None if level is None else level.word


def _json(names: list[str]) -> list[Json]:
    return [*names]
