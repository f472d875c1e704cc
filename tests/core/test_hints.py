"""A hint depends on the tool and on how far the run has come, and on nothing else."""

from __future__ import annotations

import pickle
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from core_cases import Says, good

from agentguard.core.facts import RunState
from agentguard.core.hints import hint_for
from agentguard.core.policy import Hint, Step, Workflow
from agentguard.errors import ApprovalRefused, ToolCallDenied

LOOK_UP = Hint("look the customer's profile up first", frozenset({"user"}), of_step=False)
STEP = Hint("one change for each order")


def workflow(*steps: Step) -> Workflow:
    return replace(good().workflow, steps=steps)


def step(*hints: Hint, **more: Any) -> Step:
    return Step(name=more.pop("name", "change"), tool="change", arguments=Says(None), hints=hints, **more)


def run(**changes: Any) -> RunState:
    known = good().facts.run
    assert isinstance(known, RunState)
    return replace(known, **{"kept": {}, "counts": {}, "succeeded": frozenset(), **changes})


def test_what_is_not_kept_yet_is_hinted_at_before_anything_else() -> None:
    """The agent has not looked something up: that is what it must know."""
    made = workflow(step(LOOK_UP, STEP))

    assert hint_for(made, "change", run()) == "look the customer's profile up first"
    assert (
        hint_for(made, "change", run(kept={"user": 7}))
        == "look the customer's profile up first; one change for each order"
    )


def test_a_kept_value_says_nothing_but_that_it_is_there() -> None:
    """Its name is progress; its value is somebody's data."""
    made = workflow(step(LOOK_UP, STEP))

    assert len({hint_for(made, "change", run(kept={"user": value})) for value in (1, "eve", None, [], {})}) == 1


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"after": ("look-up",)}, {}),
        ({"after": ("look-up", "ask")}, {"succeeded": frozenset({"look-up"})}),
        ({"after_any": ("look-up", "ask")}, {}),
    ],
)
def test_a_step_that_waits_for_another_tells_its_hint(more: dict[str, Any], state: dict[str, Any]) -> None:
    """Also where another step of the same tool waits for nothing, and stands before it without a hint."""
    made = workflow(step(name="other"), step(STEP, **more))

    assert hint_for(made, "change", run(**state)) == STEP.text


def test_the_step_that_waits_is_told_before_the_one_that_is_ready_and_before_the_one_that_is_over() -> None:
    """What the agent can still do about it comes first."""
    over, ready, waiting = Hint("over"), Hint("ready"), Hint("waiting")
    made = workflow(
        step(over, name="a", at_most=1), step(over, name="b", not_after=("a",)), step(ready, name="c"),
        step(waiting, name="d", after=("a",)),
    )  # fmt: skip
    called = {"counts": {"a": 1}}

    assert hint_for(made, "change", run(**called)) == "waiting"
    assert hint_for(workflow(*made.steps[:3]), "change", run(**called)) == "ready"
    assert hint_for(workflow(*made.steps[:2]), "change", run(**called)) == "over"
    assert hint_for(made, "change", run(**called, succeeded=frozenset({"a"}))) == "ready"


def test_another_tool_and_a_run_that_nobody_knows_get_no_hint() -> None:
    """A hint is for the tool that was called, in a run."""
    made = workflow(step(STEP))

    assert hint_for(made, "other", run()) is None
    assert hint_for(made, "change", None) is None
    assert hint_for(None, "change", run()) is None
    assert hint_for(workflow(step()), "change", run()) is None


def test_nothing_but_progress_changes_the_hint() -> None:
    """Risk, identity, inputs, what was read, spent or seen: 1,000 states of the same progress get the same text."""
    made = workflow(step(LOOK_UP, STEP), step(Hint("second"), name="late", after=("change",)))
    random = Random(11)
    told = set()
    for _ in range(1000):
        told.add(
            hint_for(
                made,
                "change",
                run(
                    kept={"user": random.random()},
                    inputs={"x": random.random()},
                    spent={"rows": random.randrange(99)},
                    salt=str(random.random()),
                    version=random.randrange(99),
                    zones=frozenset(random.sample(["a", "b", "c"], 2)),
                    requester=random.choice([None, "user:x"]),
                ),
            )
        )

    assert len(told) == 1


def test_a_refusal_carries_its_hint_also_through_a_pickle() -> None:
    """A worker process hands an exception back as a copy."""
    for kind in (ToolCallDenied, ApprovalRefused):
        error = kind("d-1", "ask first")
        again = pickle.loads(pickle.dumps(error))

        assert str(again) == str(error) == "this tool call was not allowed (decision `d-1`); ask first"
        assert (again.decision_id, again.hint) == ("d-1", "ask first")
    assert str(ToolCallDenied("d-1")) == "this tool call was not allowed (decision `d-1`)"
