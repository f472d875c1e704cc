"""Observing: which decisions are enforced, where Trust says that a workflow or a step is observed.

The rules:

1. Only a run that began observed has calls that are not enforced. It never becomes an enforced run: when its day is
   over, nothing runs in it any more (``observing_over``).
2. Of such a run, every call is observed; or, where Trust names steps, a call that a named step permits or asks about,
   and one that is denied while a named step is of its tool.
3. An observed call runs, whatever its owner's rules say of it. What is not about those rules refuses it all the same:
   each reason against the call itself that is not listed here as such a rule, and whatever could not be read, could
   not be found out or failed. A reason that is new refuses.
4. What ran has happened: in its own run it counts under the step that permitted it, else under the observed step that
   it came nearest to; what is found of later calls is then about the owner's rules and not about the first refusal.

What an observed call takes stands apart in the ledger (``Admission.observed``). It is no permit: whoever releases a
credential for a permit releases none for it.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentguard.core.decide import judged_under
from agentguard.core.decision import Decision, Spend
from agentguard.core.facts import Facts, RunState
from agentguard.core.nearest import refusal
from agentguard.core.policy import Policy, Step
from agentguard.core.reasons import Reason
from agentguard.core.request import Request
from agentguard.core.tallies import is_full
from agentguard.core.values import Effect

# Of the reasons against a call under any step, those that are its owner's rules. Each other one refuses it.
OWNERS_RULES = frozenset({
    Reason.NO_MATCHING_STEP, Reason.WORKFLOW_CHANGED, Reason.WORKFLOW_DRAFT, Reason.TOOL_CHANGED,
    Reason.ARGUMENTS_INVALID, Reason.DESTINATION_AMBIGUOUS, Reason.DESTINATION_MISSING, Reason.ZONE_NOT_REACHABLE,
    Reason.ZONE_FIRST_CONTACT, Reason.WRITE_DOWN, Reason.RISK_UNAVAILABLE, Reason.RISK_TOO_HIGH,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unenforced:
    """A call that runs though nothing permits it, and what it counts for in its run. ``step`` None: for no step."""

    step: Step | None
    spends: tuple[Spend, ...] = ()
    tallies: tuple[str, ...] = ()


def is_observed(request: Request, policy: Policy, facts: Facts, decision: Decision) -> bool:
    """Rules 1 and 2: whether this decision is one that is not enforced, unless something refuses all the same."""
    run = facts.run
    if not isinstance(run, RunState) or run.observed is None:
        return False
    named = run.observed.steps
    if named is None:
        return True
    if decision.step is not None:
        return decision.step.name in named
    return any(step.name in named for step in _steps(request, policy))


def unenforced(
    request: Request, policy: Policy, facts: Facts, decision: Decision, *, readable: bool
) -> Unenforced | None:
    """How a call runs that is observed; None where its decision is enforced. ``readable``: the tool can be given what
    was called."""
    run = facts.run
    if not readable or not isinstance(run, RunState) or not is_observed(request, policy, facts, decision):
        return None
    if any(found.step is None and found.reason not in OWNERS_RULES for found in decision.findings):
        return None
    if decision.effect is not Effect.DENY and decision.step is not None:
        return Unenforced(decision.step, decision.spends, decision.tallies)
    step = _nearest(decision, [step for step in _steps(request, policy) if _is_named(step, run)])
    if step is None:
        return Unenforced(None)
    taken = judged_under(request, policy, facts, step)
    # So that a run holds no more than it may (``core.tallies``).
    return Unenforced(step, tuple(taken.spends), () if is_full(step.name, run.tallies) else taken.tallies)


def _steps(request: Request, policy: Policy) -> Sequence[Step]:
    workflow = policy.workflows.get(request.workflow)
    found = () if workflow is None else workflow.steps_by_tool.get(request.tool, ())
    return found if request.steps is None else [step for step in found if step.name in request.steps]


def _is_named(step: Step, run: RunState) -> bool:
    return run.observed is not None and (run.observed.steps is None or step.name in run.observed.steps)


def _nearest(decision: Decision, steps: Sequence[Step]) -> Step | None:
    """Under one that finds nothing wrong, a call is refused for a reason of its own: that step was meant."""
    blamed = [name for name, _ in refusal(decision.findings).steps]
    clear = next((step for step in steps if step.name not in blamed), None)
    if clear is not None:
        return clear
    by_name = {step.name: step for step in steps}
    return next((by_name[name] for name in blamed if name in by_name), None)
