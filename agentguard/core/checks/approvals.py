"""Checks: what people have answered, who may, and what is still to be asked."""

from __future__ import annotations

from agentguard.core.answers import REQUESTER, Asked, agreed_at, are_enough, counts_for, is_denied
from agentguard.core.basis import basis_of, members
from agentguard.core.case import NOTHING, Case, StepResult, deny, explained, new_zones, refuse
from agentguard.core.decision import Ask, Finding
from agentguard.core.facts import ApprovalState
from agentguard.core.people import person
from agentguard.core.plan import speaks_where
from agentguard.core.policy import ApprovalRule, Step, Zone
from agentguard.core.reasons import Reason
from agentguard.core.values import Effect, Unavailable


def no_person_said_no(case: Case) -> tuple[Finding, ...]:
    """A refusal stands for this request, whatever the predicate that asked says the second time."""
    approval = case.facts.approval
    if isinstance(approval, Unavailable):
        return deny(approval.reason, approval.detail)
    if approval is not None and is_denied(approval.answers, approval.deny_quorum):
        return deny(Reason.APPROVAL_REFUSED, f"approval {approval.id} was refused")
    return NOTHING


@speaks_where(lambda policy, workflow, step: step.approval is not None or policy.zones)
def a_person_agrees(case: Case, step: Step, result: StepResult) -> None:
    """Each rule that asks, the step's and those of zones never reached before, by its own people and quorum."""
    asking: list[tuple[ApprovalRule, Zone | None]] = []
    if step.approval is not None and _is_asked(case, step, step.approval, result):
        asking.append((step.approval, None))
    if case.policy.zones:
        asking += [(z.first_contact, z) for z in new_zones(case) if isinstance(z.first_contact, ApprovalRule)]
    if not asking:
        return
    unmet = False
    for rule, zone in asking:
        reason, detail = _approval_gap(case, step, rule)
        if reason is None:
            continue
        unmet = True
        if not _could_agree(rule, case):
            asked = " and ".join(f"{n.quorum} of {', '.join(n.approvers) or 'nobody'}" for n in rule.needs)
            refuse(result, step, Reason.APPROVAL_IMPOSSIBLE, f"it asks {asked}; too few of them may agree to this call")
            continue
        if zone is not None:
            reason, detail = Reason.ZONE_FIRST_CONTACT, f"first contact with zone `{zone.name}`: {detail}"
        result.findings.append(Finding(Effect.ESCALATE, reason, detail, step.name))
    if unmet:
        rules = tuple(rule for rule, _ in asking)
        people = tuple(tuple(map(_known, _asked(rule, case))) for rule in rules)
        result.ask = Ask(rules, people, basis_of(case, step))
    else:
        result.approval = case.approval.id if case.approval is not None else None


def _known(asked: Asked) -> tuple[str, ...] | None:
    people = asked[1]
    return None if people is None else tuple(people)


def _is_asked(case: Case, step: Step, rule: ApprovalRule, result: StepResult) -> bool:
    """Whether this call needs the step's approval. What cannot be evaluated is a finding of its own."""
    if rule.when is None:
        return True
    asked = False
    for view in case.views:
        needed = rule.when.holds(view)
        if needed is True or needed is False:
            asked = asked or needed
        else:
            refuse(result, step, Reason.CONDITION_FAILED, explained(case, rule.when, needed, view))
    return asked


def _approval_gap(case: Case, step: Step, rule: ApprovalRule) -> tuple[Reason | None, str]:
    """What is missing before the answers given lift this step; (None, "") where nothing is."""
    approval, now = case.approval, case.now
    if approval is None or now is None:
        where = "" if rule.when is None else f"; somebody must be, as {explained(case, rule.when, True)}"
        return Reason.APPROVAL_REQUIRED, f"nobody has been asked about this call{where}"
    if _is_for_another(approval, case, step) or _stands_too_long(approval, rule):
        return Reason.APPROVAL_MISMATCH, f"approval {approval.id} is for another call, step or policy, or used up"
    yes = [
        (answer.approver, answer.at)
        for answer in approval.answers
        if answer.approve is True and approval.requested_at <= answer.at < approval.expires_at
    ]
    asked, requester, others = _asked(rule, case), _requester(case), _others(case, approval)
    since = agreed_at(asked, yes, requester, others)
    until = approval.expires_at if since is None or rule.use_within is None else since + rule.use_within
    if now >= until:
        return Reason.APPROVAL_EXPIRED, f"approval {approval.id} has expired"
    if since is None:
        agreed = {person(who) for who, _ in yes if any(counts_for(who, each, requester, others) for each in asked)}
        return Reason.APPROVAL_PENDING, f"{len(agreed)} of {sum(need.quorum for need in rule.needs)} have agreed"
    return None, ""


def _is_for_another(approval: ApprovalState, case: Case, step: Step) -> bool:
    """Whether anything is not what people agreed to, or was used. Their time is asked elsewhere."""
    run = case.run
    return (
        run is None
        or approval.request_digest != case.request.digest
        or approval.run_id != run.id
        or approval.subject != run.subject
        or approval.requester != run.requester
        or approval.step != step.name
        or approval.consumed
        or _rests_on_another(approval, case, step)
    )


def _stands_too_long(approval: ApprovalState, rule: ApprovalRule) -> bool:
    """Whether people are said to have had longer than the rule gives them. Of questions that rest on a whole revision
    nobody knows what was said."""
    return bool(approval.basis) and approval.expires_at > approval.requested_at + rule.within


def _rests_on_another(approval: ApprovalState, case: Case, step: Step) -> bool:
    if not approval.basis:
        return approval.policy_revision != case.policy.revision
    return approval.basis != basis_of(case, step)


def _asked(rule: ApprovalRule, case: Case) -> list[Asked]:
    """Whom a rule needs, with everybody whose yes counts, as the bundle says now."""
    return [(need, members(need.approvers, case.policy)) for need in rule.needs]


def _requester(case: Case) -> str | None:
    return None if case.run is None else case.run.requester


def _others(case: Case, approval: ApprovalState | None) -> tuple[str | None, ...]:
    """Whose call it is besides: the workload's, those of the runs above, and who changed it."""
    editors = () if approval is None else approval.editors
    return (None if case.run is None else case.run.subject, *case.above, *editors)


def _could_agree(rule: ApprovalRule, case: Case) -> bool:
    """Whether so many as it needs could agree to this call at all, or nobody knows whose run it is."""
    if case.run is None:
        return True
    requester, others = case.run.requester, _others(case, case.approval)
    asked = [(need, people) for need, people in _asked(rule, case) if people is not None]
    named = {name for _, people in asked for name in people}
    if requester is not None and any(REQUESTER in need.approvers for need, _ in asked):
        named.add(f"user:{person(requester)}")
    able: dict[str, set[int]] = {}
    for name in named:
        able.setdefault(person(name), set()).update(
            n for n, each in enumerate(asked) if counts_for(name, each, requester, others)
        )
    return not asked or are_enough([need.quorum for need, _ in asked], [*map(sorted, able.values())])
