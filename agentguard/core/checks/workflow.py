"""Checks: the run and its workflow, the order of steps, arguments and where they come from, conditions, budgets."""

from __future__ import annotations

from agentguard.core.case import NOTHING, Case, StepResult, deny, explained, refuse, why_not
from agentguard.core.decision import Finding, Spend
from agentguard.core.facts import Facts, RunState, RunStatus
from agentguard.core.lasting import over
from agentguard.core.paths import Missing, Path, Place, place_in_words, value_at
from agentguard.core.plan import speaks_where
from agentguard.core.policy import Step
from agentguard.core.provenance import CATALOG, PLACE
from agentguard.core.reasons import Reason
from agentguard.core.tallies import MOST_VALUES, NEVER, is_full, keys_of
from agentguard.core.values import Unavailable

# What one call takes of a budget that counts calls: one, in millionths.
MICRO_CALL = 1_000_000
# Calls that one finding names.
_MOST_NAMED = 5
# Looking a member up in its enum takes as long as a whole check.
_ACTIVE = RunStatus.ACTIVE


def clock_is_known(case: Case) -> tuple[Finding, ...]:
    if case.now is not None:
        return NOTHING
    now = case.facts.now
    if isinstance(now, Unavailable):
        return deny(now.reason, now.detail)
    return deny(Reason.CLOCK_UNTRUSTED, "the decision's time is not in UTC")


def arguments_were_read(case: Case) -> tuple[Finding, ...]:
    unread = case.facts.unread
    return NOTHING if unread is None else deny(unread.reason, unread.detail)


def run_is_active(case: Case) -> tuple[Finding, ...]:
    run = case.facts.run
    if isinstance(run, Unavailable):
        return deny(run.reason, run.detail)
    if run.id != case.request.run_id or run.workflow != case.request.workflow:
        return deny(Reason.RUN_UNAVAILABLE, "the run found is not the run asked for")
    if run.status is not _ACTIVE:
        stopped = run.status is RunStatus.STOPPED
        return deny(Reason.RUN_STOPPED if stopped else Reason.RUN_ENDED, f"run is {run.status}")
    if run.observed is not None and case.now is not None and case.now.date() > run.observed.until:
        return deny(Reason.OBSERVING_OVER, f"the run was observed until {run.observed.until}; start another")
    return NOTHING


@speaks_where(lambda policy, workflow: workflow is not None and (workflow.lasts or workflow.idle))
def run_is_not_over(case: Case) -> tuple[Finding, ...]:
    run, workflow = case.run, case.workflow
    if run is None or workflow is None or case.now is None or run.status is not _ACTIVE:
        return NOTHING
    reason = over(run.began_at, run.last_call_at, case.now, workflow.lasts, workflow.idle)
    if reason is None:
        return NOTHING
    span, what = (
        (workflow.lasts, "began") if reason is Reason.RUN_EXPIRED else (workflow.idle, "was last permitted a call")
    )
    return deny(reason, f"the run {what} longer than {span} ago")


def workflow_is_in_force(case: Case) -> tuple[Finding, ...]:
    workflow = case.workflow
    if workflow is None:
        if not case.request.workflow and _is_outside_a_run(case.facts):
            return NOTHING  # there is no workflow to know; the run's check has said why
        return deny(Reason.WORKFLOW_UNKNOWN, f"no workflow `{case.request.workflow}` in this revision")
    found = NOTHING
    if case.run is not None and case.run.workflow_digest != workflow.digest:
        found += deny(Reason.WORKFLOW_CHANGED, "the run was started under another version of its workflow")
    if case.now is not None and case.now.date() > workflow.review_by:
        found += deny(Reason.WORKFLOW_OVERDUE, f"review was due by {workflow.review_by}")
    if workflow.draft and not _is_observed(case.run):
        found += deny(Reason.WORKFLOW_DRAFT, "it says `status: draft`: nobody has approved it yet")
    if case.request.tool not in workflow.steps_by_tool:
        found += deny(Reason.NO_MATCHING_STEP, f"no step uses `{case.request.tool}`")
    return found


def _is_observed(run: RunState | None) -> bool:
    """Whether nothing in the run is enforced: then a draft is tried out."""
    return run is not None and run.observed is not None and run.observed.steps is None


def _is_outside_a_run(facts: Facts) -> bool:
    return isinstance(facts.run, Unavailable) and facts.run.reason is Reason.NO_RUN


def tool_is_as_approved(case: Case) -> tuple[Finding, ...]:
    tool = case.tool
    if tool is None:
        return deny(Reason.TOOL_UNKNOWN, f"`{case.request.tool}` is not in Tools")
    if tool.fingerprint is not None and tool.fingerprint != case.facts.definition:
        return deny(Reason.TOOL_CHANGED, f"its definition is now {case.facts.definition or 'unknown'}")
    return NOTHING


@speaks_where(lambda policy, workflow, step: step.after or step.after_any or step.not_after)
def order_is_kept(case: Case, step: Step, result: StepResult) -> None:
    run = case.run
    if run is None:
        return
    for name in step.after:
        if name not in run.succeeded:
            refuse(result, step, Reason.STEP_OUT_OF_ORDER, f"`{name}` has not succeeded in this run")
    if step.after_any and run.succeeded.isdisjoint(step.after_any):
        refuse(result, step, Reason.STEP_OUT_OF_ORDER, f"none of {', '.join(step.after_any)} has succeeded in this run")
    for name in step.not_after:
        # A call that was admitted may have happened, whatever its outcome says.
        if run.counts.get(name, 0) > 0:
            refuse(result, step, Reason.STEP_EXCLUDED, f"`{name}` has been called in this run")


def step_was_delegated(case: Case, step: Step, result: StepResult) -> None:
    """A run that was delegated takes the steps that it was given, and no other."""
    family = None if case.run is None else case.run.family
    if family is not None and family.steps is not None and step.name not in family.steps:
        given = ", ".join(sorted(family.steps)) or "none"
        refuse(result, step, Reason.STEP_NOT_DELEGATED, f"of its parent's steps this run was given: {given}")


@speaks_where(lambda policy, workflow, step: step.at_most is not None or step.per or step.counts_successes)
def step_is_not_used_up(case: Case, step: Step, result: StepResult) -> None:
    run = case.run
    if run is None:
        return
    if step.per is not None:
        if case.facts.unread is None:
            _counted_by_value(case, step, step.per, run, result)
        return
    used = run.counts.get(step.name, 0)
    if step.counts_successes:
        used -= run.tallies.get(step.name, NEVER).back
        result.tallies = (step.name,)
    if step.at_most is not None and used >= step.at_most:
        refuse(result, step, Reason.STEP_USED_UP, f"{used} of {step.at_most} calls are used")


def _counted_by_value(case: Case, step: Step, per: Path, run: RunState, result: StepResult) -> None:
    """Each value of the argument has calls of its own, and every one that this call names must have one left."""
    value = value_at(per, {"args": case.request.arguments})
    keys = None if isinstance(value, Missing) else keys_of(step.name, value, run.salt)
    if keys is None:
        detail = f"calls are counted by `{per}`, and there is nothing to count, or too much"
        refuse(result, step, Reason.ARGUMENTS_INVALID, detail)
        return
    result.tallies = tuple(keys)
    for key in keys:
        tally = run.tallies.get(key)
        if tally is None and is_full(step.name, run.tallies):
            detail = f"{MOST_VALUES} different values of `{per}` were counted in this run, and no more are"
            refuse(result, step, Reason.STEP_USED_UP, detail)
        used = 0 if tally is None else tally.standing if step.counts_successes else tally.taken
        if step.at_most is not None and used >= step.at_most:
            detail = f"{used} of {step.at_most} calls are used for this value of `{per}`"
            refuse(result, step, Reason.STEP_USED_UP, detail)


def arguments_fit(case: Case, step: Step, result: StepResult) -> None:
    refusal = step.arguments.refusal(case.request.arguments)
    if refusal is not None:
        refuse(result, step, Reason.ARGUMENTS_INVALID, refusal)
    run = case.run
    if not step.refers or run is None:
        return
    for rule in step.refers:
        refusal = rule.refusal(case.request.arguments, run.inputs, run.kept, case.facts.spellings)
        if refusal is not None:
            refuse(result, step, Reason.ARGUMENTS_INVALID, refusal)


@speaks_where(lambda policy, workflow, step: step.rests_on_run or step.sources)
def the_run_has_not_lost_track(case: Case, step: Step, result: StepResult) -> None:
    """While nobody knows how a call ended, nobody knows what it kept or what outsiders wrote in its result. What was
    erased, nobody knows ever again."""
    if case.run is None or not (case.run.unsettled or case.run.erased):
        return
    follows = any(place[0] in case.request.arguments for place in step.sources)
    if (step.rests_on_run and "kept" in case.run.erased) or (follows and case.run.erased):
        refuse(result, step, Reason.RUN_LOST_TRACK, "what this run was given, kept or read was erased")
    if case.run.unsettled and (step.rests_on_run or follows):
        calls = ", ".join(f"`{name}`" for name in sorted(case.run.unsettled)[:_MOST_NAMED])
        refuse(result, step, Reason.RUN_LOST_TRACK, f"nobody knows how these calls ended: {calls}; settle them")


@speaks_where(lambda policy, workflow, step: step.sources)
def values_come_from_where_they_must(case: Case, step: Step, result: StepResult) -> None:
    if case.run is None:
        return
    for place, sources in step.sources.items():
        if place[0] in case.request.arguments:
            gap = _origin_gap(case, case.run, place, sources)
            if gap is not None:
                refuse(result, step, Reason.PROVENANCE_UNMET, f"`{place_in_words(place)}` {gap}")


_ANYWHERE = "may come from anywhere: not all that was returned in this run could be followed"


def _origin_gap(case: Case, run: RunState, place: Place, sources: frozenset[str]) -> str | None:
    """Why what stands at a place in the arguments does not count as coming from one of these sources, without its
    value; None where it does."""
    found = case.origins(run, place)
    if found is None:
        return _ANYWHERE
    listed = CATALOG in sources and case.places and all(place.sensitivity is not None for place in case.places)
    for part in found.parts:
        if part.is_nothing or not sources.isdisjoint(part.places):
            continue  # a named place is its owner's word, whatever stands in free text elsewhere
        if part.lost:
            return _ANYWHERE
        if part.outsider_first:
            return f"was first in what outsiders can write: {', '.join(sorted(part.outsiders))}"
        if not listed and sources.isdisjoint(part.clean):
            wanted = sorted(word.removeprefix(PLACE) for word in sources)
            return f"comes from {', '.join(found.words)}; expected {' or '.join(wanted)}"
    return None


@speaks_where(lambda policy, workflow, step: step.require)
def conditions_hold(case: Case, step: Step, result: StepResult) -> None:
    for view in case.views if case.above else (case.view,):
        if step.all_hold is not None and step.all_hold.holds(view) is True:
            continue
        for condition in step.require:
            answer = condition.holds(view)
            if answer is True:
                continue
            reason = Reason.CONDITION_FALSE if answer is False else Reason.CONDITION_FAILED
            refuse(result, step, reason, explained(case, condition, answer, view))


@speaks_where(lambda policy, workflow, step: any(step.name in budget.steps for budget in workflow.budgets))
def budgets_suffice(case: Case, step: Step, result: StepResult) -> None:
    if case.workflow is None or case.run is None:
        return
    for budget in case.workflow.budgets:
        if step.name not in budget.steps:
            continue
        amounts = [MICRO_CALL if budget.amount is None else budget.amount.of(view) for view in case.views]
        amount, bad = 0, False
        for found in amounts:
            if type(found) is int and found >= 0:
                amount = max(amount, found)
                continue
            detail = "negative" if type(found) is int else why_not(found)
            refuse(result, step, Reason.BUDGET_UNAVAILABLE, f"budget `{budget.name}`: {detail}")
            bad = True
        if bad:
            continue
        spent = case.run.spent.get(budget.name, 0)
        if spent + amount > budget.at_most:
            refuse(result, step, Reason.BUDGET_EXCEEDED, f"budget `{budget.name}` would be exceeded")
        result.spends.append(Spend(budget, amount))
