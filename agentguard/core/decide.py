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

A call that was made before (``Facts.made``: same run, turn and call id) runs nothing again, so what only counts or
orders does not speak: limits, budgets, the order of steps, answers of people, what was kept and read since. Who calls,
whether the run goes on, what was revoked and the risk are asked all the same, under the step of the first. It is the
same call only with the same request digest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agentguard.core.case import Case, StepResult, unpack
from agentguard.core.checks import approvals, destinations, fill, identity, text, workflow
from agentguard.core.decision import Decision, Finding
from agentguard.core.facts import Facts, MadeBefore
from agentguard.core.plan import Checks, Plan, PlannedStep, plan_of
from agentguard.core.policy import Policy, Step, Workflow
from agentguard.core.reasons import Reason
from agentguard.core.request import Request
from agentguard.core.values import Effect

# The table: each check stands in the file of its topic, and says there where it can say anything (``core.plan``).
# Checks of the call look at the case and say what is wrong with it under any step.
CALL_CHECKS: tuple[Callable[[Case], tuple[Finding, ...]], ...] = (
    workflow.clock_is_known,
    workflow.arguments_were_read,
    workflow.run_is_active,
    workflow.run_is_not_over,
    workflow.workflow_is_in_force,
    workflow.tool_is_as_approved,
    identity.subject_is_allowed,
    identity.identity_is_valid_now,
    identity.no_signal_refuses_the_proof,
    identity.streams_are_heard,
    identity.credentials_are_active,
    destinations.destinations_are_known,
    destinations.zones_are_reachable,
    destinations.zones_allow_going_on,
    destinations.zones_are_known_to_the_subject,
    destinations.nothing_is_written_down,
    destinations.risk_leaves_the_effect,
    destinations.risk_leaves_the_destination,
    approvals.no_person_said_no,
)

# Checks of one step: each adds its findings to the step's result.
STEP_CHECKS: tuple[Callable[[Case, Step, StepResult], None], ...] = (
    workflow.step_was_delegated,
    workflow.order_is_kept,
    workflow.step_is_not_used_up,
    destinations.nothing_too_sensitive_was_read,
    workflow.arguments_fit,
    fill.arguments_are_filled,
    workflow.the_run_has_not_lost_track,
    workflow.values_come_from_where_they_must,
    text.texts_lead_where_they_may,
    text.texts_carry_nothing_of,
    workflow.conditions_hold,
    identity.identity_is_fresh,
    identity.assurance_is_enough,
    destinations.destinations_are_within_reach,
    workflow.budgets_suffice,
    approvals.a_person_agrees,
)
# What can be said of a step without knowing the arguments: of those that nobody could read, none is missing.
_ABOUT_ARGUMENTS = frozenset({
    workflow.arguments_fit, fill.arguments_are_filled, workflow.values_come_from_where_they_must,
    text.texts_lead_where_they_may, text.texts_carry_nothing_of, workflow.conditions_hold,
    destinations.destinations_are_within_reach, workflow.budgets_suffice, approvals.a_person_agrees,
})  # fmt: skip

# Of a call that was made before: what is not asked again, because nothing runs; and what still is of its step.
_NOT_OF_A_REPETITION = frozenset({
    destinations.zones_allow_going_on, destinations.zones_are_known_to_the_subject,
    destinations.nothing_is_written_down, approvals.no_person_said_no,
})  # fmt: skip
_OF_A_REPETITION = frozenset({identity.identity_is_fresh, identity.assurance_is_enough})

# Looking a member up in its enum takes as long as a whole check; these two stand on the way of every permit.
_BEST_FIRST = (Effect.PERMIT, Effect.ESCALATE)

# Somebody stops the program. Everything else that a check raises, a Rust panic too, is the check's own failure.
STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit)


def decide(request: Request, policy: Policy, facts: Facts) -> Decision:
    """Decide one call. Never raises: a check that fails makes the answer a deny."""
    try:
        return _decide(request, policy, facts)
    except STOPS:
        raise
    except BaseException as error:  # rule 3: a bug in a check, or a panic in Rust, must not let a call through
        finding = Finding(Effect.DENY, Reason.INTERNAL_ERROR, f"a check raised {type(error).__name__}")
        return Decision(Effect.DENY, (finding,))


def plan_for(policy: Policy, workflow: Workflow | None, tool: str) -> Plan:
    """What is asked of each call of this tool, of all that the table names."""
    return plan_of(policy, workflow, tool, CALL_CHECKS, STEP_CHECKS, _ABOUT_ARGUMENTS)


def _decide(request: Request, policy: Policy, facts: Facts) -> Decision:
    case = unpack(request, policy, facts)
    plan = plan_of(policy, case.workflow, request.tool, CALL_CHECKS, STEP_CHECKS, _ABOUT_ARGUMENTS)
    steps = plan.steps
    if request.steps is not None:
        steps = tuple(planned for planned in steps if planned.step.name in request.steps)
    if facts.made is not None:
        return _made_before(case, plan.of_the_call, steps, facts.made)
    findings: list[Finding] = []
    for check in plan.of_the_call:
        if found := check(case):
            findings += found
    results: list[tuple[Step, StepResult]] = []
    for planned in steps:
        results.append((planned.step, _judge(case, planned)))  # noqa: PERF401  a list made in one go is a call of its own

    # Rule 2: what denies the call denies it under every step. Rule 1: without a step there is nothing to permit.
    if not findings:
        for wanted in _BEST_FIRST:
            for step, result in results:
                if result.effect is wanted:
                    return Decision(
                        wanted,
                        _in_order(result.findings) if result.findings else (),
                        step,
                        tuple(result.spends),
                        result.approval,
                        result.ask,
                        case.effect,
                        result.tallies,
                    )
    for _, result in results:
        findings.extend(result.findings)
    return Decision(Effect.DENY, _in_order(findings), tool_effect=case.effect)


def _made_before(case: Case, of_the_call: Checks, steps: Sequence[PlannedStep], made: MadeBefore) -> Decision:
    """A call that is made again: denied, or a permit that takes nothing."""
    if not isinstance(made, MadeBefore):
        raise TypeError("made is not a call")
    findings: list[Finding] = []
    if made.request_digest != case.request.digest:
        detail = f"another call has this id in the same message: decision {made.decision_id}"
        findings.append(Finding(Effect.DENY, Reason.CALL_DIFFERS, detail))
    for check in of_the_call:
        if check not in _NOT_OF_A_REPETITION:
            findings += check(case)
    planned = next((each for each in steps if each.step.name == made.step), None)
    result = StepResult()
    for check in () if planned is None else planned.checks:
        if planned is not None and check in _OF_A_REPETITION:
            check(case, planned.step, result)
    findings += result.findings
    if planned is None and made.step:
        findings.append(Finding(Effect.DENY, Reason.NO_MATCHING_STEP, f"`{made.step}`, under which it ran, is gone"))
    effect = Effect.DENY if findings else Effect.PERMIT
    taken = planned.step if effect is Effect.PERMIT and planned is not None else None
    return Decision(effect, _in_order(findings), taken, tool_effect=case.effect, repeats=made.decision_id)


def judged_under(request: Request, policy: Policy, facts: Facts, step: Step) -> StepResult:
    """What one step takes of a call that it may not permit. Raises what a check raises."""
    case = unpack(request, policy, facts)
    planned = next(each for each in plan_for(policy, case.workflow, step.tool).steps if each.step is step)
    return _judge(case, planned)


def best_of(decisions: Sequence[Decision], workflow: Workflow) -> tuple[int, Decision]:
    """Of several decisions on one call, each under other steps of its tool: which one stands, and what it is.

    As if all steps had been judged at once: the first in the file that permits, else the first that escalates, else a
    denial with the findings of all.
    """
    places = {step.name: place for place, step in enumerate(workflow.steps)}
    for wanted in _BEST_FIRST:
        found = [
            (places.get(decision.step.name, len(places)), at)
            for at, decision in enumerate(decisions)
            if decision.effect is wanted and decision.step is not None
        ]
        if found:
            at = min(found)[1]
            return at, decisions[at]
    findings = [finding for decision in decisions for finding in decision.findings]
    return 0, Decision(Effect.DENY, _in_order(findings), tool_effect=decisions[0].tool_effect)


def _judge(case: Case, planned: PlannedStep) -> StepResult:
    result, step = StepResult(), planned.step
    for check in planned.checks if case.facts.unread is None else planned.without_arguments:
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
