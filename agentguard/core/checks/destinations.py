"""Checks: where a call goes: zones, sensitivity, what the run has read, and what its risk leaves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agentguard.core.case import NOTHING, Case, StepResult, deny, level_of, new_zones, refuse
from agentguard.core.decision import Finding
from agentguard.core.plan import speaks_where
from agentguard.core.policy import Step
from agentguard.core.reasons import Reason
from agentguard.core.values import Destination, Effect, Sensitivity, ToolEffect, Unavailable


def destinations_are_known(case: Case) -> tuple[Finding, ...]:
    destinations = case.facts.destinations
    if isinstance(destinations, Unavailable):
        return deny(destinations.reason, destinations.detail)
    return NOTHING


@speaks_where(lambda policy, workflow: policy.zones)
def zones_are_reachable(case: Case) -> tuple[Finding, ...]:
    """Where the bundle draws zones, a destination in a zone needs a way there from the workload's own."""
    if not case.places or not case.policy.zones or case.identity is None:
        return NOTHING
    found = NOTHING
    for subject in (case.identity.subject, *case.above):
        start = case.policy.zone_by_subject.get(subject)
        reaches = case.policy.zones[start].reaches if start is not None else MappingProxyType({})
        for place in case.places:
            if place.zone is None and place.sensitivity is None:
                continue  # unlisted: whether that is allowed is the step's to say
            if not _within(place, reaches):
                way = f"from zone `{start or 'none'}` to `{place.zone or 'none'}`"
                found += deny(Reason.ZONE_NOT_REACHABLE, f"{way}: {place.said} is too sensitive or out of reach")
    return found


def _within(place: Destination, reaches: Mapping[str, Sensitivity]) -> bool:
    """Whether a place is in one of these zones, and no more sensitive than it says there."""
    ceiling = reaches.get(place.zone) if place.zone is not None else None
    return ceiling is not None and place.sensitivity is not None and place.sensitivity <= ceiling


@speaks_where(lambda policy, workflow: policy.zones)
def zones_allow_going_on(case: Case) -> tuple[Finding, ...]:
    """Where the run has been may narrow where it may still go. The call's own zones count: nobody knows their order."""
    if not case.places or not case.policy.zones or case.run is None:
        return NOTHING
    been = case.run.zones
    found = NOTHING
    for name in been | {place.zone for place in case.places if place.zone is not None}:
        zone = case.policy.zones.get(name)
        if zone is None or zone.then is None:
            continue
        for place in case.places:
            if place.zone == name and name not in been:
                continue
            if not _within(place, zone.then):
                way = f"after zone `{name}`, `{place.zone or 'none'}`"
                found += deny(Reason.ZONE_NOT_REACHABLE, f"{way}: {place.said} is too sensitive or out of reach")
    return found


@speaks_where(lambda policy, workflow: policy.zones)
def zones_are_known_to_the_subject(case: Case) -> tuple[Finding, ...]:
    """Some zones admit nobody new. Those that ask a person first are judged with the step's own approval."""
    if not case.places or not case.policy.zones:
        return NOTHING
    return tuple(
        Finding(Effect.DENY, Reason.ZONE_FIRST_CONTACT, f"the subject has never reached zone `{zone.name}`")
        for zone in new_zones(case)
        if zone.first_contact == "deny"
    )


@speaks_where(lambda policy, workflow: workflow is not None and workflow.no_write_down)
def nothing_is_written_down(case: Case) -> tuple[Finding, ...]:
    """A run that has read something may not send or write below it, where its workflow says no write down."""
    run, tool = case.run, case.tool
    if case.workflow is None or not case.workflow.no_write_down or run is None or run.high_water is None:
        return NOTHING
    if tool is None or case.effect is ToolEffect.READ or not case.places:
        return NOTHING
    high = run.high_water
    return tuple(
        Finding(Effect.DENY, Reason.WRITE_DOWN, f"the run has read {high.word}; {place.said} is below that")
        for place in case.places
        if place.sensitivity is None or place.sensitivity < high
    )


@speaks_where(lambda policy, workflow, step: step.not_above is not None)
def nothing_too_sensitive_was_read(case: Case, step: Step, result: StepResult) -> None:
    high = None if case.run is None else case.run.high_water
    if step.not_above is not None and high is not None and high > step.not_above:
        refuse(result, step, Reason.WRITE_DOWN, f"the run has read {high.word}, above {step.not_above.word}")


def destinations_are_within_reach(case: Case, step: Step, result: StepResult) -> None:
    if not case.places:
        return
    ceiling = _ceiling(case, step)
    for place in case.places:
        if place.sensitivity is None:
            if not step.allow_unclassified:
                refuse(result, step, Reason.DESTINATION_UNCLASSIFIED, f"{place.said} is not in the catalog")
        elif step.up_to is None:
            refuse(result, step, Reason.DESTINATION_NOT_ALLOWED, f"the step allows no destination; {place.said}")
        elif place.sensitivity > ceiling:
            allowed = "none" if ceiling < 0 else Sensitivity(ceiling).word
            refuse(
                result,
                step,
                Reason.DESTINATION_TOO_SENSITIVE,
                f"{place.said} is {place.sensitivity.word}, over {allowed}",
            )


def _ceiling(case: Case, step: Step) -> int:
    """How sensitive a destination may be, after what the run's risk takes away; below nought where nothing is left."""
    if step.up_to is None or case.run is None or case.workflow is None:
        return -1
    rule = case.workflow.risk.get(case.run.risk)
    return -1 if rule is None else step.up_to - rule.lower_ceiling_by


def risk_leaves_the_effect(case: Case) -> tuple[Finding, ...]:
    if case.run is None or case.workflow is None or case.tool is None:
        return NOTHING
    rule = case.workflow.risk.get(case.run.risk)
    if rule is None:
        return deny(Reason.RISK_UNAVAILABLE, f"no rule for risk {case.run.risk.word}")
    if rule.effects is not None and case.effect not in rule.effects:
        how = "" if case.effect is case.tool.effect else ": an outsider chose where it reads"
        return deny(Reason.RISK_TOO_HIGH, f"risk {case.run.risk.word} takes away {case.effect}{how}")
    return NOTHING


@speaks_where(lambda policy, workflow: policy.risk_ceilings)
def risk_leaves_the_destination(case: Case) -> tuple[Finding, ...]:
    """What a level of risk takes away it takes away at every higher one."""
    if not case.policy.risk_ceilings or not case.places or case.run is None:
        return NOTHING
    risk = case.run.risk
    ceilings = [ceiling for level, ceiling in case.policy.risk_ceilings.items() if level <= risk]
    if not ceilings:
        return NOTHING
    ceiling = min(ceilings)
    return tuple(
        Finding(Effect.DENY, Reason.RISK_TOO_HIGH, f"risk {risk.word} leaves nothing over {ceiling.word}; {place.said}")
        for place in case.places
        if level_of(place) > ceiling
    )
