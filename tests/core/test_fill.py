"""What the guard fills in: the same JSON as its source, and which decision stands where steps fill differently."""

from __future__ import annotations

from typing import Any

import pytest
from core_cases import EXPORT, Says, good

from agentguard.core.decide import best_of
from agentguard.core.decision import Decision, Finding
from agentguard.core.fill import filled_by, fillings, same_json, without_nulls
from agentguard.core.paths import parse
from agentguard.core.policy import Step
from agentguard.core.reasons import Reason
from agentguard.core.values import Effect

SAME: list[tuple[Any, Any]] = [
    ("a", "a"), (5, 5.0), ([1, {"a": None}], [1.0, {"a": None}]), ({}, {}), ([], []), (True, True), (None, None),
    (2**53 + 2, 2**53 + 2),
]  # fmt: skip
OTHER: list[tuple[Any, Any]] = [
    ("a", "A"), ("5", 5), (True, 1), (False, 0), (None, False), (None, ""), ([], {}), ([1], [1, 1]),
    ({"a": 1}, {"b": 1}),
    ({"a": 1}, {"a": True}), ("a", ["a"]), ([[]], [{}]), (1, 1.0000001), (2**53 + 1, float(2**53)), ({"a": 1}, None),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_json_is_the_same(one: Any, other: Any) -> None:
    """A number may be written whole or with decimals."""
    assert same_json(one, other) and same_json(other, one)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_another_kind_or_value_is_another(one: Any, other: Any) -> None:
    """For Python, 1 is True."""
    assert not same_json(one, other) and not same_json(other, one)


def test_only_what_is_said_to_be_absent_is_left_out_where_it_is_null() -> None:
    """Null deletes in some tools, so it is judged as null unless the owner says otherwise."""
    arguments = {"a": None, "b": None, "c": 0}

    assert without_nulls(arguments, frozenset({"a", "c", "d"})) == {"b": None, "c": 0}
    assert without_nulls(arguments, frozenset()) is arguments


def step(name: str, tool: str = "pay", nulls: tuple[str, ...] = (), **fills: str) -> Step:
    sources = {argument: parse(path, ("inputs", "kept")) for argument, path in fills.items()}
    return Step(name=name, tool=tool, arguments=Says(None), fills=sources, null_is_absent=frozenset(nulls))


def test_steps_that_fill_alike_share_a_filling_and_tools_without_any_have_none() -> None:
    """One way of filling is one call; where nobody fills anything, nothing is looked at."""
    found = fillings([
        step("a", to="inputs.x"), step("b"), step("c", to="inputs.x"), step("d", nulls=("n",)), step("e", tool="read"),
    ])  # fmt: skip

    assert list(found) == ["pay"]
    assert [sorted(each.steps) for each in found["pay"]] == [["a", "c"], ["b"], ["d"]]


def test_what_every_step_fills_is_hidden_and_what_some_fill_is_optional() -> None:
    """A step that fills nothing opens what the others hide."""
    a, b = step("a", to="inputs.x", by="inputs.y"), step("b", to="kept.x")

    assert filled_by([a, b]) == (frozenset({"to"}), frozenset({"by"}))
    assert filled_by([a, b, step("c")]) == (frozenset(), frozenset({"to", "by"}))
    assert filled_by([]) == (frozenset(), frozenset())


def decision(effect: Effect, step: int | None = None, reason: Reason | None = None) -> Decision:
    findings = () if reason is None else (Finding(effect, reason),)
    return Decision(effect, findings, None if step is None else good().workflow.steps[step])


def test_of_several_decisions_the_first_step_in_the_file_that_permits_stands() -> None:
    """As if all steps had been judged at once; whoever comes second in the list may come first in the file."""
    workflow = good().workflow
    deny = decision(Effect.DENY, reason=Reason.CONDITION_FALSE)
    late, early = decision(Effect.PERMIT, EXPORT), decision(Effect.PERMIT, 0)
    asks = decision(Effect.ESCALATE, 0)

    assert best_of([deny, late, early], workflow) == (2, early)
    assert best_of([asks, late], workflow) == (1, late)
    assert best_of([deny, asks], workflow) == (1, asks)


def test_where_none_permits_the_findings_of_all_are_told() -> None:
    """The record shows every reason, under every step."""
    one = decision(Effect.DENY, reason=Reason.CONDITION_FALSE)
    other = decision(Effect.DENY, reason=Reason.ARGUMENT_IS_FILLED)
    _, stands = best_of([one, other], good().workflow)

    assert stands.effect is Effect.DENY and stands.step is None
    assert set(stands.reasons) == {Reason.CONDITION_FALSE, Reason.ARGUMENT_IS_FILLED}


@pytest.mark.parametrize(
    ("held", "given", "found"),
    [
        (5.0, 5, []),
        (5, 5.0, []),
        ("5", 5, [Reason.ARGUMENT_IS_FILLED]),
        (1, True, [Reason.ARGUMENT_IS_FILLED]),
        ("orders", None, [Reason.ARGUMENT_IS_FILLED]),
        (["a"], ["a", "a"], [Reason.ARGUMENT_IS_FILLED]),
        ({"a": [1]}, {"a": [1.0]}, []),
    ],
)
def test_a_filled_argument_is_what_its_source_holds_in_value_and_in_kind(
    held: Any, given: Any, found: list[Reason]
) -> None:
    """Whatever filled it, and whatever the shape of the argument lets through."""
    case = good().with_step(EXPORT, fills={"table": parse("inputs.t", ("inputs",))}).with_run(inputs={"t": held})
    case = case.with_request(arguments={**case.request.arguments, "table": given})

    assert list(case.decide().reasons) == found
