"""Of many steps, the one under which a refused call came furthest is explained, and nothing that only asks people."""

from __future__ import annotations

import random

import pytest

from agentguard.core.decision import Finding
from agentguard.core.nearest import refusal, told
from agentguard.core.reasons import Reason
from agentguard.core.values import Effect


def denied(step: str | None, *reasons: Reason) -> list[Finding]:
    return [Finding(Effect.DENY, reason, "why", step) for reason in reasons]


@pytest.mark.parametrize(
    ("nearer", "further"),
    [
        ([Reason.STEP_OUT_OF_ORDER], [Reason.ARGUMENTS_INVALID]),
        ([Reason.STEP_OUT_OF_ORDER, Reason.CONDITION_FAILED], [Reason.CONDITION_FALSE]),
        ([Reason.CONDITION_FALSE], [Reason.PROVENANCE_UNMET]),
        ([Reason.PROVENANCE_UNMET], [Reason.ARGUMENTS_INVALID]),
        ([Reason.DESTINATION_TOO_SENSITIVE], [Reason.CONDITION_FAILED]),
        ([Reason.STEP_USED_UP], [Reason.DESTINATION_UNCLASSIFIED]),
        ([Reason.CONDITION_FALSE], [Reason.CONDITION_FALSE, Reason.STEP_OUT_OF_ORDER]),
    ],
)
def test_the_step_that_a_call_came_further_under_is_nearer(nearer: list[Reason], further: list[Reason]) -> None:
    """By the worst that was found under each, then by how much."""
    for one, other in (("a", "b"), ("b", "a")):
        found = refusal(denied(one, *nearer) + denied(other, *further))

        assert [name for name, _ in found.steps] == [one, other]


def test_a_missing_look_up_is_one_line_and_not_hundred_and_sixty_eight() -> None:
    """Twenty-one steps want other arguments; the one that was meant lacks what a look-up would have kept."""
    others = [f for n in range(21) for f in denied(f"s{n}", *[Reason.ARGUMENTS_INVALID] * 1, Reason.STEP_OUT_OF_ORDER)]
    meant = denied("pay", Reason.CONDITION_FAILED, Reason.STEP_OUT_OF_ORDER)

    lines = list(told(Effect.DENY, others + meant))

    assert [line for line in lines if not isinstance(line, str)] == meant
    assert (
        lines[-1] == "42 more of steps under which the call came less far: `s0`, `s1`, `s10`, `s11`, `s12` and 16 more"
    )
    assert len(list(told(Effect.DENY, others + meant, everything=True))) == 44


def test_what_another_step_would_ask_people_is_no_reason_for_a_refusal() -> None:
    """A plain deny listed `approval_required`, and its owner looked for an approval that would not have helped."""
    asks = Finding(Effect.ESCALATE, Reason.APPROVAL_REQUIRED, "asks", "pay")

    assert list(told("deny", [*denied("pay", Reason.CONDITION_FALSE), asks])) == denied("pay", Reason.CONDITION_FALSE)
    assert list(told("escalate", [asks])) == [asks]


def test_what_is_wrong_under_every_step_comes_first() -> None:
    """A stale identity is not the fault of a step."""
    call = denied(None, Reason.RUN_STOPPED)

    assert next(told("deny", denied("a", Reason.CONDITION_FALSE) + call)) == call[0]


def test_the_order_of_findings_does_not_matter() -> None:
    """The same refusal is explained in the same way."""
    found = [f for n, r in enumerate(list(Reason)[:40]) for f in denied(f"s{n % 7}", r)]
    shuffled = random.Random(7).sample(found, len(found))

    assert [name for name, _ in refusal(found).steps] == [name for name, _ in refusal(shuffled).steps]
