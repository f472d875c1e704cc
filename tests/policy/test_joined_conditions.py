"""Several conditions asked as one: a permit only where each of them holds by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.core.policy import Fault, View
from agentguard.policy.cel.conditions import compile_condition
from agentguard.policy.cel.joined import JoinedConditions
from agentguard.policy.cel.scope import Scope

SCOPE = Scope.make(
    arguments={
        "type": "object",
        "properties": {"rows": {"type": "integer"}, "table": {"type": "string"}, "more": {}},
        "required": ["rows", "table"],
    },
    inputs={"type": "object", "properties": {"ticket": {"type": "string"}}, "required": ["ticket"]},
    kept={},
    origins=(),
    steps=("export",),
    subjects=("agent:a",),
    has_destinations=False,
)
# True, false and in error, by the values of `names`; and texts that could run into each other.
TEXTS = [
    "args.rows > 5", "args.rows > 5 || args.table == 'x'", "args.table == 'a' // note", "args.more == 1",
    "10 / args.rows > 1", "inputs.ticket == args.table", "has(args.more)", "args.more > 3",
    "args.table.startsWith('a') ? true : args.more == 4", "args.table in ['a', 'b']",
]  # fmt: skip


def names(rows: int, table: str, more: Any, ticket: str) -> dict[str, Any]:
    args = {"rows": rows, "table": table} if more is None else {"rows": rows, "table": table, "more": more}
    return {"args": args, "inputs": {"ticket": ticket}}


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(TEXTS), min_size=2, max_size=4),
    st.integers(-1, 12),
    st.sampled_from(["a", "b", "x", ""]),
    st.sampled_from([None, 1, 4, "1", True, [1]]),
    st.sampled_from(["a", "x"]),
)
def test_together_they_hold_only_where_each_holds(
    texts: list[str], rows: int, table: str, more: Any, ticket: str
) -> None:
    each = [compile_condition(text, SCOPE) for text in texts]
    joined = JoinedConditions(each, SCOPE)
    seen = names(rows, table, more, ticket)
    answer = joined.holds(View(seen))

    assert answer is True or isinstance(answer, Fault)
    if answer is True:
        assert [condition.holds(View(seen)) for condition in each] == [True] * len(each)


def test_where_all_hold_one_question_is_enough() -> None:
    """It would be no quicker, and this test no test, if it never said so."""
    joined = JoinedConditions([compile_condition(text, SCOPE) for text in TEXTS[:3]], SCOPE)
    assert joined.holds(View(names(6, "a", None, "t"))) is True


@pytest.mark.parametrize(
    "texts",
    [
        ["args.rows > 5", "10 / args.rows > 1"],
        ["args.more == 1", "args.rows > 5"],
        ["args.table == 'b'", "args.rows > 0"],
    ],
)
def test_an_error_or_a_false_among_them_is_asked_one_by_one(texts: list[str]) -> None:
    joined = JoinedConditions([compile_condition(text, SCOPE) for text in texts], SCOPE)
    assert isinstance(joined.holds(View(names(0, "a", None, "t"))), Fault)


def test_where_a_place_has_two_spellings_each_condition_sees_its_own() -> None:
    """One that compares sees the canonical spelling, one that does not sees what the call has."""
    each = [compile_condition(text, SCOPE) for text in ("args.table == 'a'", "inputs.ticket == 'a'")]
    plain, compared = names(1, "A", None, "a"), names(1, "a", None, "a")
    view = View(plain, View(compared))

    assert each[0].holds(view) is False
    assert isinstance(JoinedConditions(each, SCOPE).holds(view), Fault)


def test_loops_are_counted_for_each_condition_by_itself() -> None:
    """What one may cost is one condition's limit."""
    each = [compile_condition(text, SCOPE) for text in ("args.more.all(x, x > 0)", "args.rows > 5")]
    assert isinstance(JoinedConditions(each, SCOPE).holds(View(names(6, "a", [1], "t"))), Fault)


def test_conditions_that_are_too_long_together_are_asked_apart() -> None:
    each = [compile_condition(f"args.table != '{letter * 2000}'", SCOPE) for letter in "abc"]
    joined = JoinedConditions(each, SCOPE)

    assert [isinstance(joined.holds(View(names(6, "a", None, "t"))), Fault) for _ in range(2)] == [True, True]
