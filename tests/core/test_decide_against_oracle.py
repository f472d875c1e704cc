"""A second opinion on the whole decision: ``tests/oracle.py``, sharing no code, must agree on random cases."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from core_cases import good
from decision_generator import DENYING, ESCALATING, IN_VAIN, NUDGES, case
from oracle import Opinion, opinion

from agentguard.core.decision import Decision


def _as_opinion(decision: Decision) -> Opinion:
    step = None if decision.step is None else decision.step.name
    return Opinion(str(decision.effect), frozenset(map(str, decision.reasons)), step)


def _agree(seed: int, cases: int) -> Counter[str]:
    random, effects = Random(seed), Counter[str]()
    for number in range(cases):
        made = case(random)
        ours, theirs = _as_opinion(made.decide()), opinion(made.request, made.policy, made.facts)
        assert ours == theirs, f"case {number} of seed {seed}: {' + '.join(made.notes) or 'untouched'}"
        effects[ours.effect] += 1
    return effects


def _is_well_mixed(effects: Counter[str]) -> bool:
    """A test in which nearly everything is denied would prove nothing."""
    return all(effects[effect] > effects.total() / 20 for effect in ("permit", "escalate", "deny"))


@pytest.mark.parametrize("seed", range(4))
def test_a_second_opinion_agrees_on_a_hundred_thousand_cases(seed: int) -> None:
    """Two people reading the same rules must come to the same answer, reasons and step."""
    assert _is_well_mixed(_agree(seed, 26_000))


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1_000, 1_010))
def test_a_second_opinion_agrees_on_a_million_more(seed: int) -> None:
    """The same with other seeds."""
    assert _is_well_mixed(_agree(seed, 100_000))


@pytest.mark.parametrize("name", NUDGES)
def test_what_must_not_matter_does_not(name: str) -> None:
    """Each nudge stays on the good side of its limit; were it a break, the generator would permit too little."""
    made = NUDGES[name](good())

    assert _as_opinion(made.decide()).effect == "permit" == opinion(made.request, made.policy, made.facts).effect


@pytest.mark.parametrize("name", IN_VAIN)
def test_nobody_is_asked_where_too_few_could_agree(name: str) -> None:
    """A question that cannot be answered yes keeps a run waiting for nothing."""
    made = IN_VAIN[name](good())

    assert _as_opinion(made.decide()) == opinion(made.request, made.policy, made.facts)
    assert _as_opinion(made.decide()) == Opinion("deny", frozenset({"approval_impossible"}), None)


@pytest.mark.parametrize("name", ESCALATING)
def test_each_gap_in_an_approval_asks_again_and_does_no_more(name: str) -> None:
    """An approval that is not quite the one needed never permits, and never denies what a person may still allow."""
    made = ESCALATING[name](good())

    assert _as_opinion(made.decide()).effect == "escalate" == opinion(made.request, made.policy, made.facts).effect


@pytest.mark.parametrize("name", DENYING)
def test_each_break_denies_by_itself(name: str) -> None:
    """One field off by the least amount is enough, although everything else is in order."""
    made = DENYING[name](good())

    assert _as_opinion(made.decide()).effect == "deny" == opinion(made.request, made.policy, made.facts).effect
