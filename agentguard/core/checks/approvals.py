"""Checks: what people have answered, who may, and what is still to be asked."""

from __future__ import annotations

from collections.abc import Sequence

from agentguard.core.case import NOTHING, Case, StepResult, deny, explained, new_zones, refuse
from agentguard.core.decision import Finding
from agentguard.core.people import person, same_person
from agentguard.core.plan import speaks_where
from agentguard.core.policy import ApprovalRule, Step, Zone
from agentguard.core.reasons import Reason
from agentguard.core.values import Effect, Unavailable


def no_person_said_no(case: Case) -> tuple[Finding, ...]:
    """A refusal stands for this request, whatever the predicate that asked says the second time."""
    approval = case.facts.approval
    if isinstance(approval, Unavailable):
        return deny(approval.reason, approval.detail)
    if approval is not None and any(answer.approve is not True for answer in approval.answers):
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
        left = _who_could_agree(rule, case)
        if left is not None and left < max(rule.quorum, 1):
            asked = f"{rule.quorum} of {', '.join(rule.approvers) or 'nobody'}"
            refuse(result, step, Reason.APPROVAL_IMPOSSIBLE, f"it asks {asked}, of whom {left} may agree to this call")
            continue
        if zone is not None:
            reason, detail = Reason.ZONE_FIRST_CONTACT, f"first contact with zone `{zone.name}`: {detail}"
        result.findings.append(Finding(Effect.ESCALATE, reason, detail, step.name))
    if unmet:
        result.ask = _together([rule for rule, _ in asking])
    else:
        result.approval = case.approval.id if case.approval is not None else None


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
        because=tuple(dict.fromkeys(text for rule in rules for text in rule.because)),
        show={label: path for rule in rules for label, path in rule.show.items()},
    )


def _approval_gap(case: Case, step: Step, rule: ApprovalRule) -> tuple[Reason | None, str]:
    """What is missing before the answers given lift this step; (None, "") where nothing is."""
    approval, now = case.approval, case.now
    if approval is None or now is None:
        where = "" if rule.when is None else f"; somebody must be, as {explained(case, rule.when, True)}"
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


def _who_could_agree(rule: ApprovalRule, case: Case) -> int | None:
    """How many people could agree to this call at all; None where anybody may, or nobody knows whose run it is."""
    if "anyone" in rule.approvers or case.run is None:
        return None
    named = {name for name in rule.approvers if not name.startswith("group:")}
    for name in set(rule.approvers) - named:
        named.update(case.policy.groups.get(name.removeprefix("group:"), ()))
    return len({person(name) for name in named if may_approve(name, rule, case)})


def may_approve(approver: str, rule: ApprovalRule, case: Case) -> bool:
    """A person the rule names, who is neither the workload nor the one it acts for, however either is written."""
    if case.run is None or not approver.startswith("user:"):
        return False  # only people approve: nobody can be called `anyone` or `group:…`
    if any(same_person(approver, other) for other in (case.run.subject, case.run.requester, *case.above)):
        return False
    for named in rule.approvers:
        if named in (approver, "anyone"):
            return True
        if named.startswith("group:") and approver in case.policy.groups.get(named.removeprefix("group:"), ()):
            return True
    return False
