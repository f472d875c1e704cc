"""Checks that a plan leaves out could have said nothing: whoever asks them all comes to the same decision."""

from __future__ import annotations

from random import Random

import pytest
from core_cases import good
from decision_generator import case

from agentguard.core.case import StepResult, unpack
from agentguard.core.decide import CALL_CHECKS, STEP_CHECKS, plan_for


@pytest.mark.parametrize("seed", range(2))
def test_a_check_that_is_left_out_has_nothing_to_say(seed: int) -> None:
    """Where a check can speak is said by hand beside it; here each that is not asked is asked, on random cases."""
    random, left_out = Random(seed), set()
    for _ in range(3_000):
        made = case(random)
        try:
            looked_at = unpack(made.request, made.policy, made.facts)
        except TypeError:  # a fact that is none: the decision denies that before any check
            continue
        plan = plan_for(made.policy, looked_at.workflow, made.request.tool)
        for check in set(CALL_CHECKS) - set(plan.of_the_call):
            left_out.add(check)
            assert not check(looked_at), check
        for planned in plan.steps:
            for of_step in set(STEP_CHECKS) - set(planned.checks):
                left_out.add(of_step)
                result = StepResult()
                of_step(looked_at, planned.step, result)
                assert result == StepResult(), of_step
    assert len(left_out) > 10


def test_what_only_a_call_can_show_is_asked_at_every_call() -> None:
    """A plan is made of the policy alone: the time, the run, the caller and what was found out are looked at always."""
    made = good()
    case_of_it = unpack(made.request, made.policy, made.facts)
    bare = plan_for(made.policy, None, "unknown")
    whole = plan_for(made.policy, case_of_it.workflow, made.request.tool)

    names = {check.__name__ for check in bare.of_the_call}
    assert {"clock_is_known", "run_is_active", "subject_is_allowed", "destinations_are_known"} <= names
    assert bare.steps == ()
    assert {check.__name__ for check in whole.steps[0].checks} >= {"arguments_fit", "destinations_are_within_reach"}
