"""The decision. Pure: no clock, file, network, log, randomness or await.

The rules:

1. No matching step, no permit. All of nothing is no.
2. One deny denies. A deny is never lifted, by anyone, in this call.
3. What could not be found out never permits.
4. An approval lifts ``escalate`` to ``permit`` and nothing else.
5. Same input, same answer; the order of files, steps' checks and findings does not matter.
6. Every check runs, so the record shows every reason, not the first.

If a check raises, the decision is a deny (``internal_error``).

A call is judged against each step that names its tool. It takes the first in the file that permits, else the first
that escalates; else it is denied with the findings of all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

from agentguard.core.facts import ApprovalState, Facts, RunState, RunStatus
from agentguard.core.people import person, same_person
from agentguard.core.policy import (
    ApprovalRule,
    Budget,
    Condition,
    Explained,
    Fault,
    Policy,
    Step,
    Tool,
    View,
    Workflow,
    Zone,
)
from agentguard.core.provenance import CATALOG, Origins, Trail
from agentguard.core.reasons import Reason
from agentguard.core.request import Request
from agentguard.core.spellings import respelt
from agentguard.core.values import Destination, Effect, Identity, Sensitivity, ToolEffect, Unavailable

# Somebody stops the program. Everything else that a check raises, a Rust panic too, is the check's own failure.
STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check found. ``effect`` is what it alone would say; ``detail`` is for reviewers, never a model."""

    effect: Effect
    reason: Reason
    detail: str = ""
    step: str | None = None


@dataclass(frozen=True, slots=True)
class Spend:
    """What the chosen step takes of one budget, in millionths."""

    budget: Budget
    amount: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one call, and every reason.

    ``step`` is the step the call was permitted or escalated under. ``spends`` are taken when the call is admitted.
    ``approval`` is the approval this permit uses up; ``ask`` is the rule an escalated call must be put to people by.
    ``tool_effect`` is what the tool was taken to do; None where that is not known.
    """

    effect: Effect
    findings: tuple[Finding, ...]
    step: Step | None = None
    spends: tuple[Spend, ...] = ()
    approval: str | None = None
    ask: ApprovalRule | None = None
    tool_effect: ToolEffect | None = None

    def __bool__(self) -> NoReturn:
        raise TypeError("compare the effect; a decision is not a yes or a no")

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons, each once, in a fixed order."""
        return tuple(sorted({finding.reason for finding in self.findings}))


@dataclass(slots=True)
class _Case:
    """Everything the checks of one call look at, unpacked once. A fact is None here where it could not be found out."""

    request: Request
    policy: Policy
    facts: Facts
    now: datetime | None
    identity: Identity | None
    run: RunState | None
    places: tuple[Destination, ...] | None
    approval: ApprovalState | None
    workflow: Workflow | None
    tool: Tool | None
    effect: ToolEffect | None
    _view: View | None = None
    _trail: Trail | None = None

    @property
    def view(self) -> View:
        if self._view is None:
            self._view = _view_of(self)
        return self._view

    def origins(self, run: RunState, argument: str) -> Origins | None:
        """Where an argument came from, or None where that cannot be found out."""
        if run.unsettled:
            return None
        if self._trail is None:
            self._trail = Trail(run.inputs, run.kept, run.seen)
        value = self.request.arguments[argument]
        return self._trail.origins(value, (self.facts.as_called or self.request.arguments).get(argument, value))


@dataclass(slots=True)
class _StepResult:
    findings: list[Finding] = field(default_factory=list)
    spends: list[Spend] = field(default_factory=list)
    approval: str | None = None
    ask: ApprovalRule | None = None
    effect: Effect = Effect.PERMIT


def decide(request: Request, policy: Policy, facts: Facts) -> Decision:
    """Decide one call. Never raises: a check that fails makes the answer a deny."""
    try:
        return _decide(request, policy, facts)
    except STOPS:
        raise
    except BaseException as error:  # rule 3: a bug in a check, or a panic in Rust, must not let a call through
        finding = Finding(Effect.DENY, Reason.INTERNAL_ERROR, f"a check raised {type(error).__name__}")
        return Decision(Effect.DENY, (finding,))


def _decide(request: Request, policy: Policy, facts: Facts) -> Decision:
    run = _known(facts.run, RunState)
    places = _known(facts.destinations, tuple)
    tool = policy.tools.get(request.tool)
    workflow = policy.workflows.get(request.workflow)
    # By position, in the order of the class: by name it takes twice as long.
    case = _Case(
        request,
        policy,
        facts,
        _utc(_known(facts.now, datetime)),
        _known(facts.identity, Identity),
        run,
        places,
        None if facts.approval is None else _known(facts.approval, ApprovalState),
        workflow,
        tool,
        _effect(tool, places, run, workflow),
    )
    findings: list[Finding] = []
    for check in CALL_CHECKS:
        if found := check(case):
            findings += found
    steps = case.workflow.steps_by_tool.get(request.tool, ()) if case.workflow is not None else ()
    results = [(step, _judge(case, step)) for step in steps]

    # Rule 2: what denies the call denies it under every step. Rule 1: without a step there is nothing to permit.
    if not findings:
        for wanted in _BEST_FIRST:
            for step, result in results:
                if result.effect is wanted:
                    return Decision(
                        wanted,
                        _in_order(result.findings),
                        step,
                        tuple(result.spends),
                        result.approval,
                        result.ask,
                        case.effect,
                    )
    for _, result in results:
        findings.extend(result.findings)
    return Decision(Effect.DENY, _in_order(findings), tool_effect=case.effect)


def _effect(
    tool: Tool | None, places: tuple[Destination, ...] | None, run: RunState | None, workflow: Workflow | None
) -> ToolEffect | None:
    """What the tool does. Reading from where an outsider said tells the outsider something: that is sending."""
    if tool is None or tool.effect is not ToolEffect.READ or run is None or not places:
        return None if tool is None else tool.effect
    lost = bool(run.unsettled) and workflow is not None and workflow.follows
    if not run.seen.marks and not run.seen.overflowed and not lost:
        return tool.effect
    chosen = [text for place in places if place.chosen for text in _names(place)]
    return ToolEffect.SEND if chosen and (lost or run.seen.holds(*chosen)) else tool.effect


# The host in a canonical id: of a URL, an address of e-mail, or `host:port`. `sql:…` and `slack:…` have none.
_HOST = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/?#]*@)?(\[[^\]]*\]|[^/:?#]+)(?=[/?#]|:[0-9]{1,5}(?:[/?#]|\Z)|\Z)")


def _names(place: Destination) -> Iterator[str]:
    """How outsiders may have named a place: all of it, or its host. Below a domain of theirs every name is theirs, too,
    and could carry a secret away; where the catalog lists the place, its owner has looked at whose it is."""
    yield place.id
    found = _HOST.match(place.id)
    if found is None:
        return
    host = found[1]
    yield from _written(host)
    labels = host.split(".")
    if place.sensitivity is None and not labels[-1].isdigit():
        for first in range(1, len(labels) - 1):
            yield from _written(".".join(labels[first:]))


def _written(host: str) -> tuple[str, ...]:
    """A host as canonical ids have it, and as people write it."""
    if "xn--" not in host:
        return (host,)
    try:
        labels = [x[4:].encode("ascii").decode("punycode") if x.startswith("xn--") else x for x in host.split(".")]
    except UnicodeError:
        return (host,)
    return (host, ".".join(labels))


_T = TypeVar("_T")


def _known(fact: object, kind: type[_T]) -> _T | None:
    """The fact, or None where it is Unavailable. Anything else is a lie: raises TypeError, so the call is denied."""
    if isinstance(fact, kind):
        return fact
    if isinstance(fact, Unavailable):
        return None
    raise TypeError(f"a fact is {type(fact).__name__}, not {kind.__name__}")


def _utc(now: datetime | None) -> datetime | None:
    return now if now is not None and (now.tzinfo is UTC or now.utcoffset() == _ZERO) else None


def _judge(case: _Case, step: Step) -> _StepResult:
    result = _StepResult()
    for check in STEP_CHECKS if case.facts.unread is None else _WITHOUT_ARGUMENTS:
        check(case, step, result)
    for finding in result.findings:
        if finding.effect is Effect.DENY:
            result.effect = Effect.DENY
            break
        result.effect = Effect.ESCALATE
    return result


def _in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Rule 5: the same findings in the same order, each once, however they were come by."""
    if not findings:
        return ()
    return tuple(sorted(set(findings), key=lambda found: (found.effect, found.reason, found.step or "", found.detail)))


def _deny(reason: Reason, detail: str = "") -> tuple[Finding, ...]:
    return (Finding(Effect.DENY, reason, detail),)


_NONE: tuple[Finding, ...] = ()
_ZERO = timedelta(0)
# Looking a member up in its enum takes as long as a whole check; these two stand on the way of every permit.
_BEST_FIRST = (Effect.PERMIT, Effect.ESCALATE)
_ACTIVE = RunStatus.ACTIVE
_MAPPINGS = (dict, MappingProxyType)


# Checks of the call: each looks at the case and says what is wrong with it under any step.


def clock_is_known(case: _Case) -> tuple[Finding, ...]:
    if case.now is not None:
        return _NONE
    now = case.facts.now
    if isinstance(now, Unavailable):
        return _deny(now.reason, now.detail)
    return _deny(Reason.CLOCK_UNTRUSTED, "the decision's time is not in UTC")


def arguments_were_read(case: _Case) -> tuple[Finding, ...]:
    unread = case.facts.unread
    return _NONE if unread is None else _deny(unread.reason, unread.detail)


def run_is_active(case: _Case) -> tuple[Finding, ...]:
    run = case.facts.run
    if isinstance(run, Unavailable):
        return _deny(run.reason, run.detail)
    if run.id != case.request.run_id or run.workflow != case.request.workflow:
        return _deny(Reason.RUN_UNAVAILABLE, "the run found is not the run asked for")
    if run.status is not _ACTIVE:
        stopped = run.status is RunStatus.STOPPED
        return _deny(Reason.RUN_STOPPED if stopped else Reason.RUN_ENDED, f"run is {run.status}")
    return _NONE


def workflow_is_in_force(case: _Case) -> tuple[Finding, ...]:
    workflow = case.workflow
    if workflow is None:
        if not case.request.workflow and _is_outside_a_run(case.facts):
            return _NONE  # there is no workflow to know; the run's check has said why
        return _deny(Reason.WORKFLOW_UNKNOWN, f"no workflow `{case.request.workflow}` in this revision")
    found = _NONE
    if case.run is not None and case.run.workflow_digest != workflow.digest:
        found += _deny(Reason.WORKFLOW_CHANGED, "the run was started under another version of its workflow")
    if case.now is not None and case.now.date() > workflow.review_by:
        found += _deny(Reason.WORKFLOW_OVERDUE, f"review was due by {workflow.review_by}")
    if case.request.tool not in workflow.steps_by_tool:
        found += _deny(Reason.NO_MATCHING_STEP, f"no step uses `{case.request.tool}`")
    return found


def _is_outside_a_run(facts: Facts) -> bool:
    return isinstance(facts.run, Unavailable) and facts.run.reason is Reason.NO_RUN


def tool_is_as_approved(case: _Case) -> tuple[Finding, ...]:
    tool = case.tool
    if tool is None:
        return _deny(Reason.TOOL_UNKNOWN, f"`{case.request.tool}` is not in Tools")
    if tool.fingerprint is not None and tool.fingerprint != case.facts.definition:
        return _deny(Reason.TOOL_CHANGED, f"its definition is now {case.facts.definition or 'unknown'}")
    return _NONE


def subject_is_allowed(case: _Case) -> tuple[Finding, ...]:
    identity = case.facts.identity
    if isinstance(identity, Unavailable):
        return _deny(identity.reason, identity.detail)
    found = _NONE
    if case.workflow is not None and identity.subject not in case.workflow.subjects:
        found += _deny(Reason.SUBJECT_NOT_ALLOWED, "the workflow does not list this subject")
    if case.run is not None and case.run.subject != identity.subject:
        found += _deny(Reason.SUBJECT_CHANGED, "the run belongs to another subject")
    if case.run is not None and case.run.subject_suspended:
        found += _deny(Reason.SUBJECT_SUSPENDED, "the subject is suspended")
    return found


def identity_is_valid_now(case: _Case) -> tuple[Finding, ...]:
    """The verifier judged skew and lifetime; between it and now the assertion must not have run out."""
    identity = case.identity
    if identity is None or case.now is None:
        return _NONE
    found = _NONE
    if identity.bound_to is not None and identity.bound_to != case.request.digest:
        found += _deny(Reason.IDENTITY_NOT_BOUND, "the proof covers another call")
    if case.now >= identity.expires_at + SKEW:
        found += _deny(Reason.IDENTITY_EXPIRED, "the assertion has expired")
    if identity.issued_at > case.now + SKEW:
        found += _deny(Reason.IDENTITY_NOT_YET_VALID, "the assertion was issued in the future")
    return found


def no_signal_refuses_the_proof(case: _Case) -> tuple[Finding, ...]:
    """What the caller proves itself with may have been revoked, or only what was issued before a moment."""
    run, identity = case.run, case.identity
    if run is None:
        return _NONE
    found = _NONE
    if run.credential_refused:
        found += _deny(Reason.CREDENTIAL_REVOKED, "assertions of the workload, or of whom it works for, are refused")
    # A proof is made at each call, by whoever holds the key; what it proves is as old as the token.
    issued = None if identity is None else identity.token_issued_at or identity.issued_at
    if run.issued_after is not None and issued is not None and issued < run.issued_after:
        found += _deny(Reason.IDENTITY_OUTDATED, f"assertions issued before {run.issued_after} are refused")
    return found


def streams_are_heard(case: _Case) -> tuple[Finding, ...]:
    """A silent stream may have something to say: until it is heard, what depends on it is refused."""
    heard = case.facts.streams
    if isinstance(heard, Unavailable):
        return _deny(heard.reason, heard.detail)
    # Asking an abstract class takes as long as two whole checks, so the usual kinds come first.
    if type(heard) not in _MAPPINGS and not isinstance(heard, Mapping):
        raise TypeError("streams is not a mapping")
    if not case.policy.streams or not case.places or case.now is None:
        return _NONE
    levels = {_level(place) for place in case.places}
    return tuple(
        Finding(Effect.DENY, Reason.SIGNALS_UNAVAILABLE, f"stream `{name}` is silent")
        for name, rule in case.policy.streams.items()
        if not levels.isdisjoint(rule.sensitivities) and not _is_heard(heard.get(name), case.now, rule.max_silence)
    )


def _is_heard(at: datetime | None, now: datetime, max_silence: timedelta) -> bool:
    return at is not None and -SKEW <= now - at <= max_silence


def _level(place: Destination) -> Sensitivity:
    """An unclassified destination is treated as the most sensitive there is."""
    return Sensitivity.SECRET if place.sensitivity is None else place.sensitivity


def credentials_are_active(case: _Case) -> tuple[Finding, ...]:
    revoked = case.facts.credentials_revoked
    if isinstance(revoked, Unavailable):
        return _deny(revoked.reason, revoked.detail)
    if not isinstance(revoked, tuple):
        raise TypeError("credentials_revoked is not a tuple")
    if not revoked:
        return _NONE
    return tuple(Finding(Effect.DENY, Reason.CREDENTIAL_REVOKED, f"`{name}` is not active") for name in revoked)


def destinations_are_known(case: _Case) -> tuple[Finding, ...]:
    destinations = case.facts.destinations
    if isinstance(destinations, Unavailable):
        return _deny(destinations.reason, destinations.detail)
    return _NONE


def zones_are_reachable(case: _Case) -> tuple[Finding, ...]:
    """Where the bundle draws zones, a destination in a zone needs a way there from the workload's own."""
    if not case.places or not case.policy.zones or case.identity is None:
        return _NONE
    start = case.policy.zone_by_subject.get(case.identity.subject)
    reaches = case.policy.zones[start].reaches if start is not None else MappingProxyType({})
    found = _NONE
    for place in case.places:
        if place.zone is None and place.sensitivity is None:
            continue  # unlisted: whether that is allowed is the step's to say
        if not _within(place, reaches):
            way = f"from zone `{start or 'none'}` to `{place.zone or 'none'}`"
            found += _deny(Reason.ZONE_NOT_REACHABLE, f"{way}: {place.said} is too sensitive or out of reach")
    return found


def _within(place: Destination, reaches: Mapping[str, Sensitivity]) -> bool:
    """Whether a place is in one of these zones, and no more sensitive than it says there."""
    ceiling = reaches.get(place.zone) if place.zone is not None else None
    return ceiling is not None and place.sensitivity is not None and place.sensitivity <= ceiling


def zones_allow_going_on(case: _Case) -> tuple[Finding, ...]:
    """Where the run has been may narrow where it may still go. The call's own zones count: nobody knows their order."""
    if not case.places or not case.policy.zones or case.run is None:
        return _NONE
    been = case.run.zones
    found = _NONE
    for name in been | {place.zone for place in case.places if place.zone is not None}:
        zone = case.policy.zones.get(name)
        if zone is None or zone.then is None:
            continue
        for place in case.places:
            if place.zone == name and name not in been:
                continue
            if not _within(place, zone.then):
                way = f"after zone `{name}`, `{place.zone or 'none'}`"
                found += _deny(Reason.ZONE_NOT_REACHABLE, f"{way}: {place.said} is too sensitive or out of reach")
    return found


def zones_are_known_to_the_subject(case: _Case) -> tuple[Finding, ...]:
    """Some zones admit nobody new. Those that ask a person first are judged with the step's own approval."""
    if not case.places or not case.policy.zones:
        return _NONE
    return tuple(
        Finding(Effect.DENY, Reason.ZONE_FIRST_CONTACT, f"the subject has never reached zone `{zone.name}`")
        for zone in _new_zones(case)
        if zone.first_contact == "deny"
    )


def _new_zones(case: _Case) -> Sequence[Zone]:
    """The zones with a rule for it that this call would be the subject's first contact with, by name."""
    if not case.places or not case.policy.zones or case.run is None:
        return ()
    touched = {place.zone for place in case.places if place.zone is not None} - case.run.contacts
    zones = (case.policy.zones.get(name) for name in sorted(touched))
    return [zone for zone in zones if zone is not None and zone.first_contact is not None]


def nothing_is_written_down(case: _Case) -> tuple[Finding, ...]:
    """A run that has read something may not send or write below it, where its workflow says no write down."""
    run, tool = case.run, case.tool
    if case.workflow is None or not case.workflow.no_write_down or run is None or run.high_water is None:
        return _NONE
    if tool is None or case.effect is ToolEffect.READ or not case.places:
        return _NONE
    high = run.high_water
    return tuple(
        Finding(Effect.DENY, Reason.WRITE_DOWN, f"the run has read {high.word}; {place.said} is below that")
        for place in case.places
        if place.sensitivity is None or place.sensitivity < high
    )


def risk_leaves_the_effect(case: _Case) -> tuple[Finding, ...]:
    if case.run is None or case.workflow is None or case.tool is None:
        return _NONE
    rule = case.workflow.risk.get(case.run.risk)
    if rule is None:
        return _deny(Reason.RISK_UNAVAILABLE, f"no rule for risk {case.run.risk.word}")
    if rule.effects is not None and case.effect not in rule.effects:
        how = "" if case.effect is case.tool.effect else ": an outsider chose where it reads"
        return _deny(Reason.RISK_TOO_HIGH, f"risk {case.run.risk.word} takes away {case.effect}{how}")
    return _NONE


def risk_leaves_the_destination(case: _Case) -> tuple[Finding, ...]:
    """What a level of risk takes away it takes away at every higher one."""
    if not case.policy.risk_ceilings or not case.places or case.run is None:
        return _NONE
    risk = case.run.risk
    ceilings = [ceiling for level, ceiling in case.policy.risk_ceilings.items() if level <= risk]
    if not ceilings:
        return _NONE
    ceiling = min(ceilings)
    return tuple(
        Finding(Effect.DENY, Reason.RISK_TOO_HIGH, f"risk {risk.word} leaves nothing over {ceiling.word}; {place.said}")
        for place in case.places
        if _level(place) > ceiling
    )


def no_person_said_no(case: _Case) -> tuple[Finding, ...]:
    """A refusal stands for this request, whatever the predicate that asked says the second time."""
    approval = case.facts.approval
    if isinstance(approval, Unavailable):
        return _deny(approval.reason, approval.detail)
    if approval is not None and any(answer.approve is not True for answer in approval.answers):
        return _deny(Reason.APPROVAL_REFUSED, f"approval {approval.id} was refused")
    return _NONE


# Clocks of issuers and ours may differ by this much (the verifier's own limit is never looser than 60 s).
SKEW = timedelta(seconds=60)

CALL_CHECKS: tuple[Callable[[_Case], tuple[Finding, ...]], ...] = (
    clock_is_known,
    arguments_were_read,
    run_is_active,
    workflow_is_in_force,
    tool_is_as_approved,
    subject_is_allowed,
    identity_is_valid_now,
    no_signal_refuses_the_proof,
    streams_are_heard,
    credentials_are_active,
    destinations_are_known,
    zones_are_reachable,
    zones_allow_going_on,
    zones_are_known_to_the_subject,
    nothing_is_written_down,
    risk_leaves_the_effect,
    risk_leaves_the_destination,
    no_person_said_no,
)


# Checks of one step: each adds its findings to the step's result.


def _no(result: _StepResult, step: Step, reason: Reason, detail: str) -> None:
    result.findings.append(Finding(Effect.DENY, reason, detail, step.name))


def order_is_kept(case: _Case, step: Step, result: _StepResult) -> None:
    run = case.run
    if run is None:
        return
    for name in step.after:
        if name not in run.succeeded:
            _no(result, step, Reason.STEP_OUT_OF_ORDER, f"`{name}` has not succeeded in this run")
    if step.after_any and run.succeeded.isdisjoint(step.after_any):
        _no(result, step, Reason.STEP_OUT_OF_ORDER, f"none of {', '.join(step.after_any)} has succeeded in this run")
    for name in step.not_after:
        # A call that was admitted may have happened, whatever its outcome says.
        if run.counts.get(name, 0) > 0:
            _no(result, step, Reason.STEP_EXCLUDED, f"`{name}` has been called in this run")


def step_is_not_used_up(case: _Case, step: Step, result: _StepResult) -> None:
    if step.at_most is None or case.run is None:
        return
    used = case.run.counts.get(step.name, 0)
    if used >= step.at_most:
        _no(result, step, Reason.STEP_USED_UP, f"{used} of {step.at_most} calls are used")


def nothing_too_sensitive_was_read(case: _Case, step: Step, result: _StepResult) -> None:
    high = None if case.run is None else case.run.high_water
    if step.not_above is not None and high is not None and high > step.not_above:
        _no(result, step, Reason.WRITE_DOWN, f"the run has read {high.word}, above {step.not_above.word}")


def arguments_fit(case: _Case, step: Step, result: _StepResult) -> None:
    refusal = step.arguments.refusal(case.request.arguments)
    if refusal is not None:
        _no(result, step, Reason.ARGUMENTS_INVALID, refusal)


def the_run_has_not_lost_track(case: _Case, step: Step, result: _StepResult) -> None:
    """While nobody knows how a call ended, nobody knows what it kept or what outsiders wrote in its result."""
    if case.run is None or not case.run.unsettled:
        return
    if step.rests_on_run or not step.sources.keys().isdisjoint(case.request.arguments):
        calls = ", ".join(f"`{name}`" for name in sorted(case.run.unsettled)[:_MOST_NAMED])
        _no(result, step, Reason.RUN_LOST_TRACK, f"nobody knows how these calls ended: {calls}; settle them")


# Calls that one finding names.
_MOST_NAMED = 5


def values_come_from_where_they_must(case: _Case, step: Step, result: _StepResult) -> None:
    if case.run is None:
        return
    for name, sources in step.sources.items():
        if name in case.request.arguments:
            gap = _origin_gap(case, case.run, name, sources)
            if gap is not None:
                _no(result, step, Reason.PROVENANCE_UNMET, f"`{name}` {gap}")


def _origin_gap(case: _Case, run: RunState, name: str, sources: frozenset[str]) -> str | None:
    """Why an argument does not count as coming from one of these sources, without its value; None where it does."""
    found = case.origins(run, name)
    if found is None:
        return "may come from anywhere: not all that was returned in this run could be followed"
    listed = CATALOG in sources and case.places and all(place.sensitivity is not None for place in case.places)
    for part in found.parts:
        if part.outsider_first:
            return f"was first in what outsiders can write: {', '.join(sorted(part.outsiders))}"
        if not listed and sources.isdisjoint(part.clean):
            return f"comes from {', '.join(found.words)}; expected {' or '.join(sorted(sources))}"
    return None


def conditions_hold(case: _Case, step: Step, result: _StepResult) -> None:
    for condition in step.require:
        answer = condition.holds(case.view)
        if answer is True:
            continue
        reason = Reason.CONDITION_FALSE if answer is False else Reason.CONDITION_FAILED
        _no(result, step, reason, _explained(case, condition, answer))


# What conditions see that is in the record anyway, or says nothing of anybody. A place's `id` may hold a secret.
_QUOTABLE = ("origins", "subject", "assurance", "risk", "now")
_QUOTABLE_OF_A_PLACE = ("kind", "sensitivity", "zone", "owner", "category")


def _explained(case: _Case, condition: Condition, answer: object) -> str:
    """Why a condition gave what it gave, for reviewers; nothing that a record must not hold."""
    if not isinstance(condition, Explained):
        return f"`{condition.text}`" if answer is False else f"`{condition.text}`: {_why(answer)}"
    names = case.view.names
    quotable: dict[str, Any] = {name: names[name] for name in _QUOTABLE if name in names}
    if case.run is not None and case.workflow is not None:
        quotable["counts"] = {step.name: case.run.counts.get(step.name, 0) for step in case.workflow.steps}
    if "now" in quotable:
        quotable["now"] = names["now"].isoformat()
    if "destination" in names:
        quotable["destination"] = {key: names["destination"][key] for key in _QUOTABLE_OF_A_PLACE}
    return condition.explain(case.view, {**quotable, **case.facts.quotable})


def _why(answer: object) -> str:
    """What an expression gave instead of what it must give."""
    return answer.detail if isinstance(answer, Fault) else f"gave {type(answer).__name__}"


def identity_is_fresh(case: _Case, step: Step, result: _StepResult) -> None:
    """The strictest of the workflow's, the step's and the destinations' maximum age wins."""
    identity, now = case.identity, case.now
    if identity is None or now is None:
        return
    age, limit = now - identity.issued_at, step.max_age
    whole = None if case.workflow is None else case.workflow.max_age
    if whole is not None and (limit is None or whole < limit):
        limit = whole
    for other in _per_sensitivity(case, case.policy.max_age_by_sensitivity):
        if limit is None or other < limit:
            limit = other
    if limit is not None and age > limit:
        _no(result, step, Reason.IDENTITY_STALE, f"issued {age.total_seconds():g}s ago; {limit} is the limit")


def assurance_is_enough(case: _Case, step: Step, result: _StepResult) -> None:
    identity = case.identity
    if identity is None:
        return
    wanted = step.minimum_assurance
    for other in _per_sensitivity(case, case.policy.assurance_by_sensitivity):
        if wanted is None or other > wanted:
            wanted = other
    if wanted is not None and identity.assurance < wanted:
        _no(result, step, Reason.ASSURANCE_TOO_LOW, f"{identity.assurance.word} is below {wanted.word}")
    if step.bound_to_call and identity.bound_to != case.request.digest:
        _no(result, step, Reason.IDENTITY_NOT_BOUND, "the step demands a proof for this very call")


def _per_sensitivity(case: _Case, limits: Mapping[Sensitivity, _T]) -> Sequence[_T]:
    """The limits that the call's worst destination brings: what is demanded at a level is demanded above it too."""
    if not limits or not case.places:
        return ()
    worst = max(map(_level, case.places))
    return [limit for level, limit in limits.items() if level <= worst]


def destinations_are_within_reach(case: _Case, step: Step, result: _StepResult) -> None:
    if not case.places:
        return
    ceiling = _ceiling(case, step)
    for place in case.places:
        if place.sensitivity is None:
            if not step.allow_unclassified:
                _no(result, step, Reason.DESTINATION_UNCLASSIFIED, f"{place.said} is not in the catalog")
        elif step.up_to is None:
            _no(result, step, Reason.DESTINATION_NOT_ALLOWED, f"the step allows no destination; {place.said}")
        elif place.sensitivity > ceiling:
            allowed = "none" if ceiling < 0 else Sensitivity(ceiling).word
            _no(
                result,
                step,
                Reason.DESTINATION_TOO_SENSITIVE,
                f"{place.said} is {place.sensitivity.word}, over {allowed}",
            )


def _ceiling(case: _Case, step: Step) -> int:
    """How sensitive a destination may be, after what the run's risk takes away; below nought where nothing is left."""
    if step.up_to is None or case.run is None or case.workflow is None:
        return -1
    rule = case.workflow.risk.get(case.run.risk)
    return -1 if rule is None else step.up_to - rule.lower_ceiling_by


def budgets_suffice(case: _Case, step: Step, result: _StepResult) -> None:
    if case.workflow is None or case.run is None:
        return
    for budget in case.workflow.budgets:
        if step.name not in budget.steps:
            continue
        amount = MICRO_CALL if budget.amount is None else budget.amount.of(case.view)
        if type(amount) is not int or amount < 0:
            detail = "negative" if type(amount) is int else _why(amount)
            _no(result, step, Reason.BUDGET_UNAVAILABLE, f"budget `{budget.name}`: {detail}")
            continue
        spent = case.run.spent.get(budget.name, 0)
        if spent + amount > budget.at_most:
            _no(result, step, Reason.BUDGET_EXCEEDED, f"budget `{budget.name}` would be exceeded")
        result.spends.append(Spend(budget, amount))


MICRO_CALL = 1_000_000


def a_person_agrees(case: _Case, step: Step, result: _StepResult) -> None:
    """Each rule that asks, the step's and those of zones never reached before, by its own people and quorum."""
    asking: list[tuple[ApprovalRule, Zone | None]] = []
    if step.approval is not None and _is_asked(case, step, step.approval, result):
        asking.append((step.approval, None))
    if case.policy.zones:
        asking += [(z.first_contact, z) for z in _new_zones(case) if isinstance(z.first_contact, ApprovalRule)]
    if not asking:
        return
    unmet = False
    for rule, zone in asking:
        reason, detail = _approval_gap(case, step, rule)
        if reason is None:
            continue
        unmet = True
        left = _who_could_agree(rule, case)
        if left is not None and left < max(rule.quorum, 1):
            asked = f"{rule.quorum} of {', '.join(rule.approvers) or 'nobody'}"
            _no(result, step, Reason.APPROVAL_IMPOSSIBLE, f"it asks {asked}, of whom {left} may agree to this call")
            continue
        if zone is not None:
            reason, detail = Reason.ZONE_FIRST_CONTACT, f"first contact with zone `{zone.name}`: {detail}"
        result.findings.append(Finding(Effect.ESCALATE, reason, detail, step.name))
    if unmet:
        result.ask = _together([rule for rule, _ in asking])
    else:
        result.approval = case.approval.id if case.approval is not None else None


def _is_asked(case: _Case, step: Step, rule: ApprovalRule, result: _StepResult) -> bool:
    """Whether this call needs the step's approval. What cannot be evaluated is a finding of its own."""
    if rule.when is None:
        return True
    needed = rule.when.holds(case.view)
    if needed is True or needed is False:
        return needed
    _no(result, step, Reason.CONDITION_FAILED, _explained(case, rule.when, needed))
    return False


def _together(rules: Sequence[ApprovalRule]) -> ApprovalRule:
    """One question for all rules: everybody who may answer any, how many it takes, and the shortest time."""
    if len(rules) == 1:
        return rules[0]
    quorums: dict[frozenset[str], int] = {}
    for rule in rules:
        people = frozenset(rule.approvers)
        quorums[people] = max(quorums.get(people, 0), rule.quorum)
    return ApprovalRule(
        when=None,
        approvers=tuple(dict.fromkeys(approver for rule in rules for approver in rule.approvers)),
        quorum=sum(quorums.values()),
        within=min(rule.within for rule in rules),
    )


def _approval_gap(case: _Case, step: Step, rule: ApprovalRule) -> tuple[Reason | None, str]:
    """What is missing before the answers given lift this step; (None, "") where nothing is."""
    approval, now = case.approval, case.now
    if approval is None or now is None:
        where = "" if rule.when is None else f"; somebody must be, as {_explained(case, rule.when, True)}"
        return Reason.APPROVAL_REQUIRED, f"nobody has been asked about this call{where}"
    if (
        approval.request_digest != case.request.digest
        or approval.policy_revision != case.policy.revision
        or approval.step != step.name
        or approval.consumed
    ):
        return Reason.APPROVAL_MISMATCH, f"approval {approval.id} is for another call, step or policy, or used up"
    if now >= approval.expires_at:
        return Reason.APPROVAL_EXPIRED, f"approval {approval.id} has expired"
    agreed = {
        person(answer.approver)
        for answer in approval.answers
        if answer.approve is True
        and approval.requested_at <= answer.at < approval.expires_at
        and may_approve(answer.approver, rule, case)
    }
    if len(agreed) < rule.quorum or not agreed:
        return Reason.APPROVAL_PENDING, f"{len(agreed)} of {rule.quorum} have agreed"
    return None, ""


def _who_could_agree(rule: ApprovalRule, case: _Case) -> int | None:
    """How many people could agree to this call at all; None where anybody may, or nobody knows whose run it is."""
    if "anyone" in rule.approvers or case.run is None:
        return None
    named = {name for name in rule.approvers if not name.startswith("group:")}
    for name in set(rule.approvers) - named:
        named.update(case.policy.groups.get(name.removeprefix("group:"), ()))
    return len({person(name) for name in named if may_approve(name, rule, case)})


def may_approve(approver: str, rule: ApprovalRule, case: _Case) -> bool:
    """A person the rule names, who is neither the workload nor the one it acts for, however either is written."""
    if case.run is None or not approver.startswith("user:"):
        return False  # only people approve: nobody can be called `anyone` or `group:…`
    if any(same_person(approver, other) for other in (case.run.subject, case.run.requester)):
        return False
    for named in rule.approvers:
        if named in (approver, "anyone"):
            return True
        if named.startswith("group:") and approver in case.policy.groups.get(named.removeprefix("group:"), ()):
            return True
    return False


STEP_CHECKS: tuple[Callable[[_Case, Step, _StepResult], None], ...] = (
    order_is_kept,
    step_is_not_used_up,
    nothing_too_sensitive_was_read,
    arguments_fit,
    the_run_has_not_lost_track,
    values_come_from_where_they_must,
    conditions_hold,
    identity_is_fresh,
    assurance_is_enough,
    destinations_are_within_reach,
    budgets_suffice,
    a_person_agrees,
)
# What can be said of a step without knowing the arguments: of those that nobody could read, none is missing.
_ABOUT_ARGUMENTS = frozenset({
    arguments_fit, values_come_from_where_they_must, conditions_hold,
    destinations_are_within_reach, budgets_suffice, a_person_agrees,
})  # fmt: skip
_WITHOUT_ARGUMENTS = tuple(check for check in STEP_CHECKS if check not in _ABOUT_ARGUMENTS)


def _view_of(case: _Case) -> View:
    """The names a condition may see. A fact that could not be found out is not among them, so it faults."""
    names: dict[str, Any] = {"args": case.request.arguments}
    run, identity = case.run, case.identity
    if case.now is not None:
        names["now"] = case.now
    if run is not None:
        names["inputs"], names["counts"], names["risk"] = run.inputs, run.counts, run.risk.word
        if not run.unsettled:
            names["kept"] = run.kept
        traced = _traced_arguments(case)
        if traced is not None:
            found = {name: case.origins(run, name) for name in traced}
            # One that cannot be found out takes the whole name away: `has(origins.x)` must fault, not be false.
            known = {name: origins.words for name, origins in found.items() if origins is not None}
            if len(known) == len(found):
                names["origins"] = known
    if identity is not None:
        names["subject"], names["claims"], names["assurance"] = (
            identity.subject,
            identity.claims,
            identity.assurance.word,
        )
    if case.places is not None:
        shown = [
            {
                "kind": place.kind,
                "id": place.id,
                "sensitivity": "unclassified" if place.sensitivity is None else place.sensitivity.word,
                "zone": place.zone or "",
                "owner": place.owner or "",
                "category": place.category or "",
            }
            for place in sorted(case.places, key=_worst_first)
        ]
        names["destinations"] = shown
        if shown:
            names["destination"] = shown[0]
    spellings = case.facts.spellings
    if not spellings:
        return View(names)
    one_spelling = {name: respelt(names[name], spellings) for name in _COMPARED & names.keys()}
    return View(names, View(names | one_spelling))


_COMPARED = frozenset({"args", "inputs", "kept"})


def _traced_arguments(case: _Case) -> list[str] | None:
    """The arguments of this call that a condition may ask about; None where its workflow follows no values."""
    if case.workflow is None or not case.workflow.follows:
        return None
    steps = case.workflow.steps_by_tool.get(case.request.tool, ())
    named = frozenset[str]().union(*(step.traced for step in steps))
    return sorted(named & case.request.arguments.keys())


def _worst_first(place: Destination) -> tuple[int | str, ...]:
    """Rule 5: every field takes part, so that no two orders of the same destinations show the same one first."""
    worst = -len(Sensitivity) if place.sensitivity is None else -place.sensitivity
    return worst, place.id, place.kind, place.zone or "", place.owner or "", place.category or ""
