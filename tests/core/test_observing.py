"""Which decisions are enforced in an observed run: the rule and a second opinion, over every way to be refused."""

from __future__ import annotations

from datetime import timedelta

import oracle
import pytest
from core_cases import NOW, Case, good
from decision_generator import DENYING, ESCALATING

from agentguard.core.facts import Observed, RunState
from agentguard.core.observing import OWNERS_RULES, is_observed, unenforced
from agentguard.core.reasons import Reason
from agentguard.core.values import Effect

WHOLE = Observed(NOW.date())
BREAKS = {**DENYING, **ESCALATING}


def observed(case: Case, how: Observed = WHOLE) -> Case:
    """The same call in a run that began observed, unless it is said how it began."""
    run = case.facts.run
    return case.with_run(observed=how) if isinstance(run, RunState) and run.observed is None else case


def runs(case: Case) -> bool:
    readable = case.facts.unread is None
    return unenforced(case.request, case.policy, case.facts, case.decide(), readable=readable) is not None


@pytest.mark.parametrize("broken", BREAKS)
def test_both_opinions_agree_on_what_runs_though_it_is_refused(broken: str) -> None:
    case = BREAKS[broken](good())
    run = case.facts.run
    whole = isinstance(run, RunState) and (run.observed is None or run.observed.steps is None)
    case = observed(case)

    if whole or not isinstance(run, RunState):
        assert runs(case) is (
            isinstance(run, RunState) and oracle.runs_though_observed(case.request, case.policy, case.facts)
        )


@pytest.mark.parametrize("broken", BREAKS)
def test_nothing_runs_unpermitted_where_nothing_is_observed(broken: str) -> None:
    """The nearest miss of each: the run began enforced."""
    case = BREAKS[broken](good())
    run = case.facts.run
    if isinstance(run, RunState) and run.observed is None:
        assert not runs(case)
        assert not is_observed(case.request, case.policy, case.facts, case.decide())


def test_every_reason_is_an_owners_rule_or_refuses() -> None:
    """No reason is both, and the two opinions draw the line at the same place."""
    assert not {str(reason) for reason in OWNERS_RULES} & oracle.NEVER_ONLY_OBSERVED
    assert {str(reason) for reason in Reason} >= oracle.NEVER_ONLY_OBSERVED


def test_what_could_not_be_read_never_runs() -> None:
    case = observed(good().with_run(counts={"export": 99}))

    assert unenforced(case.request, case.policy, case.facts, case.decide(), readable=False) is None
    assert unenforced(case.request, case.policy, case.facts, case.decide(), readable=True) is not None


def test_of_one_observed_step_only_its_own_calls_are_observed() -> None:
    used_up = good().with_run(counts={"export": 10_000_000})
    for steps, expected in ((frozenset({"export"}), True), (frozenset({"look-up"}), False)):
        case = observed(used_up, Observed(NOW.date(), steps))
        assert runs(case) is (expected and case.decide().effect is Effect.DENY)


def test_the_day_after_nothing_runs() -> None:
    case = good().with_run(observed=Observed(NOW.date() - timedelta(days=1)))

    assert case.decide().effect is Effect.DENY
    assert not runs(case)


def test_a_refused_call_counts_under_its_step_with_what_it_takes() -> None:
    """So that what is found of the next call is about that call."""
    case = observed(good().with_step(0, require=()).with_run(spent={"rows": 10**15}))
    decided = case.decide()
    found = unenforced(case.request, case.policy, case.facts, decided, readable=True)

    assert decided.effect is Effect.DENY and decided.step is None
    assert found is not None and found.step is not None and found.step.name == "export"
    assert {spend.budget.name for spend in found.spends} >= {"rows"}
