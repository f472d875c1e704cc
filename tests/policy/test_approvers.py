"""Whom a step asks: a list of whom so many are needed, or so many of each; and for how long a yes is good."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agentguard.core.answers import Need
from agentguard.core.policy import ApprovalRule
from agentguard.policy import load

W = "customer-export.yaml"
LIST = "[group:data-stewards]\n      quorum: 2"


def rule(directory: Path) -> ApprovalRule:
    found = load(directory).policy.workflows["customer-export"].steps
    (approval,) = [step.approval for step in found if step.approval is not None]
    return approval


@pytest.mark.parametrize(("written", "needs"), [
    ("{group:data-stewards: 1, user:carol: 1}", (Need(("group:data-stewards",)), Need(("user:carol",)))),
    ("{group:data-stewards: 2}", (Need(("group:data-stewards",), 2),)),
    ("[group:data-stewards, user:carol]\n      quorum: 3", (Need(("group:data-stewards", "user:carol"), 3),)),
    ("[requester]", (Need(("requester",)),)),
    ("{requester: 1, group:data-stewards: 2}", (Need(("requester",)), Need(("group:data-stewards",), 2))),
    ("{anyone: 2, user:alice: 1}", (Need(("anyone",), 2), Need(("user:alice",)))),
])  # fmt: skip
def test_who_is_needed(broken: Callable[[str, str, str], Path], written: str, needs: tuple[Need, ...]) -> None:
    assert rule(broken(W, LIST, written)).needs == needs


def test_an_agreement_is_good_for_as_long_as_people_had_where_nobody_says(
    broken: Callable[[str, str, str], Path],
) -> None:
    found = rule(broken(W, "quorum: 2", "quorum: 2"))
    assert (found.use_within, found.deny_quorum) == (found.within, 1)
    told = rule(broken(W, "quorum: 2", "quorum: 2\n      use_within: 5m\n      deny_quorum: 2"))
    assert (told.use_within, told.deny_quorum) == (timedelta(minutes=5), 2)
