"""Kept values that grow: nothing twice, nothing lost, nothing in part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.core.growing import LOST, MAX_BYTES, MAX_ELEMENTS, Growth, after_growth, grown, present
from agentguard.core.values import Json

ids = st.one_of(st.integers(0, 5), st.sampled_from(["0", "1", "a"]), st.sampled_from([0.0, 1.5]))
elements = st.lists(st.fixed_dictionaries({"id": ids, "n": st.integers(0, 9)}), max_size=6)


def add(*values: Json, key: str = "") -> Growth:
    return Growth("x", "add", key, [*values])


@given(st.lists(elements, max_size=6))
def test_a_list_holds_one_of_each_key_and_the_last_that_was_said(calls: list[list[dict[str, Json]]]) -> None:
    """Written again in the slowest way: the place of the first, the content of the last."""
    kept: dict[str, Json] = {}
    for call in calls:
        kept, troubles = after_growth(kept, (add(*call, key="id"),))
        assert troubles == {}
    said = [element for call in calls for element in call]
    slow: list[Json] = []
    for at, element in enumerate(said):
        if not any(_same(element["id"], other["id"]) for other in said[:at]):
            slow.append([other for other in said if _same(element["id"], other["id"])][-1])
    assert repr(kept.get("x", [])) == repr(slow)


def _same(one: Json, other: Json) -> bool:
    return isinstance(one, str) is isinstance(other, str) and one == other


def test_without_a_key_equal_elements_are_one() -> None:
    """Equal in value and type."""
    kept, _ = after_growth({}, (add("a", 1, {"a": 1, "b": 2}), add(1.0, "1", True, {"b": 2, "a": 1}, None)))

    assert repr(kept["x"]) == "['a', 1.0, {'b': 2, 'a': 1}, '1', True, None]"


def test_a_map_grows_by_key_and_by_its_own_names() -> None:
    """A later call about one thing says what holds of it."""
    puts = (
        Growth("x", "put", "a", 1),
        Growth("x", "put", "b", 2),
        Growth("x", "put", "a", 3),
        Growth("x", "forget", "b"),
    )
    assert after_growth({}, puts)[0] == {"x": {"a": 3}}
    merges = (Growth("x", "add", "", {"a": 1, "b": 1}), Growth("x", "add", "", {"b": 2}), Growth("x", "forget", "zz"))
    assert after_growth({}, merges)[0] == {"x": {"a": 1, "b": 2}}


@pytest.mark.parametrize(
    ("before", "growth"),
    [([1], Growth("x", "put", "a", 1)), ([1], Growth("x", "add", "", {"a": 1})), ({"a": 1}, add(1))],
)
def test_what_is_of_another_kind_adds_nothing(before: Json, growth: Growth) -> None:
    """A tool that answers otherwise must not take away what was found."""
    after, why = grown({"x": before}, growth)

    assert after == before and why is not None


def test_past_its_bounds_a_value_is_lost_for_good() -> None:
    """A part of it would mislead: the largest of some, somebody who is not among those."""
    full, why = grown({}, add(*range(MAX_ELEMENTS)))
    assert why is None and isinstance(full, list) and len(full) == MAX_ELEMENTS
    same, why = grown({"x": full}, add(0, 1))
    assert why is None and same == full
    lost, why = grown({"x": full}, add(-1))
    assert lost is LOST and why is not None and str(MAX_ELEMENTS) in why
    assert grown({"x": LOST}, add(1))[0] is LOST
    assert present({"x": LOST, "y": 1}) == {"y": 1}

    fits = "x" * (MAX_BYTES - 4)
    assert grown({}, add(fits))[1] is None
    lost, why = grown({}, add(fits + "x"))
    assert lost is LOST and why is not None and str(MAX_BYTES) in why


def test_growth_shares_nothing_with_what_was_before() -> None:
    """A state handed out stays what it was."""
    before: dict[str, Json] = {"x": [1], "y": {"a": 1}}
    after_growth(before, (add(2), Growth("y", "put", "b", 2)))

    assert before == {"x": [1], "y": {"a": 1}}
