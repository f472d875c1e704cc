"""Who counts for which quorum: each person once, and for the one group that needs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.core.answers import Need, agreed_at, are_enough

T0 = datetime(2026, 11, 24, tzinfo=UTC)


def by_trying(quorums: list[int], able: list[list[int]]) -> bool:
    """Every way to count each person for one need, or for none."""
    for chosen in product(*([*each, None] for each in able)):
        if all(chosen.count(need) >= max(quorum, 1) for need, quorum in enumerate(quorums)):
            return bool(quorums)
    return False


@given(st.data())
def test_people_are_enough_exactly_where_some_way_to_count_them_is(data: st.DataObject) -> None:
    quorums = data.draw(st.lists(st.integers(0, 3), max_size=3))
    needs = st.lists(st.sampled_from(range(len(quorums))), unique=True) if quorums else st.just(list[int]())
    able = data.draw(st.lists(needs, max_size=5))
    assert are_enough(quorums, able) is by_trying(quorums, able)


STEWARDS, SECURITY = (Need(("group:stewards",)), {"user:ann", "user:ben"}), (Need(("group:security",)), {"user:ann"})


@pytest.mark.parametrize("order", list(permutations(["user:ann", "user:ben"])))
def test_who_is_in_two_groups_counts_where_nobody_else_can(order: tuple[str, str]) -> None:
    """In whatever order they answer; and the agreement is as old as the answer that completed it."""
    yes = [(who, T0 + timedelta(minutes=minute)) for minute, who in enumerate(order)]
    assert agreed_at([STEWARDS, SECURITY], yes[:1], None, ()) is None
    assert agreed_at([STEWARDS, SECURITY], yes, None, ()) == T0 + timedelta(minutes=1)


def test_of_no_needs_none_is_met() -> None:
    assert agreed_at([], [("user:ann", T0)], None, ()) is None
