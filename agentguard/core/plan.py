"""Which checks can say anything of a tool's calls in a workflow: found out once for each bundle, not at each call.

A step without conditions needs nobody to look for one. So a check says beside itself where it can speak
(``speaks_where``), by what the policy holds; the facts of a call have no part in it. A check that says nothing of the
kind is asked at every call. Pure: a plan is another form of the policy, and is kept with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple, TypeVar

from agentguard.core.policy import Policy, Step, Workflow

Check = TypeVar("Check", bound=Callable[..., Any])
Checks = tuple[Callable[..., Any], ...]

_SPEAKS = "_speaks_where"


class PlannedStep(NamedTuple):
    """One step, and the checks that can say something of it: all, and those that need no arguments."""

    step: Step
    checks: Checks
    without_arguments: Checks


class Plan(NamedTuple):
    """What is asked of each call of one tool in one workflow, and the table that it was made of."""

    table: tuple[Checks, Checks]
    of_the_call: Checks
    steps: tuple[PlannedStep, ...]


def speaks_where(says: Callable[..., bool]) -> Callable[[Check], Check]:
    """Of a check: it can say something only where this holds. For checks of the call ``says`` gets the policy and the
    workflow (or None), for checks of a step the step, too."""

    def mark(check: Check) -> Check:
        setattr(check, _SPEAKS, says)
        return check

    return mark


def plan_of(
    policy: Policy,
    workflow: Workflow | None,
    tool: str,
    of_the_call: Checks,
    of_a_step: Checks,
    about_arguments: Collection[Callable[..., Any]],
) -> Plan:
    """The plan for one tool: made once for these tables, and remembered with the policy."""
    key = (None if workflow is None else workflow.name, tool)
    known = policy.plans.get(key)
    if known is not None and known.table[0] is of_the_call and known.table[1] is of_a_step:
        plan: Plan = known
        return plan
    steps = () if workflow is None else workflow.steps_by_tool.get(tool, ())
    made = Plan(
        (of_the_call, of_a_step),
        tuple(check for check in of_the_call if _can_speak(check, policy, workflow)),
        tuple(_planned(policy, workflow, step, of_a_step, about_arguments) for step in steps),
    )
    policy.plans[key] = made
    return made


def _planned(
    policy: Policy,
    workflow: Workflow | None,
    step: Step,
    checks: Checks,
    about_arguments: Collection[Callable[..., Any]],
) -> PlannedStep:
    speaking = tuple(check for check in checks if _can_speak(check, policy, workflow, step))
    return PlannedStep(step, speaking, tuple(check for check in speaking if check not in about_arguments))


def _can_speak(check: Callable[..., Any], *about: Any) -> bool:
    says = getattr(check, _SPEAKS, None)
    return says is None or bool(says(*about))
