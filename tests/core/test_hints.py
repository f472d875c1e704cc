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
from agentguard.core.policy import Fault, Hint, Step, View, Workflow
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
    assert hint_for(made, "change", run(kept={"user": 7})) == "one change for each order"


class Holds:
    """A condition that reads what is kept, and nothing else."""

    text = "kept.order == 'open'"

    def holds(self, view: View) -> bool | Fault:
        assert view.names.keys() == {"kept", "counts"}
        return bool(view.names["kept"]["order"] == "open")


def test_what_is_there_is_not_hinted_at_any_more() -> None:
    """An agent that has looked the profile up, and is sent to look it up again, goes round in a circle."""
    assert hint_for(workflow(step(LOOK_UP)), "change", run(kept={"user": 7})) is None
    first = Hint("look first")
    waited = workflow(step(first, after=("look",)))
    assert hint_for(waited, "change", run()) == "look first"
    assert hint_for(waited, "change", run(succeeded=frozenset({"look"}))) is None
    either = workflow(step(first, name="a", after_any=("look", "ask")), step(STEP, name="b"))
    assert hint_for(either, "change", run(succeeded=frozenset({"ask"}))) == STEP.text


def test_what_may_still_lack_something_is_hinted_at_though_it_is_there() -> None:
    """Of a list that grows another part may be missing."""
    grows = replace(LOOK_UP, may_lack=True)
    assert hint_for(workflow(step(grows)), "change", run(kept={"user": {}})) == LOOK_UP.text


def test_a_condition_on_progress_alone_is_hinted_at_while_it_does_not_hold() -> None:
    """It reads no argument, so whoever varies a call learns nothing."""
    pending = Hint("only an open order can be changed", frozenset({"order"}), False, of_progress=(Holds(),))
    made = workflow(step(pending))

    assert hint_for(made, "change", run()) == pending.text
    assert hint_for(made, "change", run(kept={"order": "sent"})) == pending.text
    assert hint_for(made, "change", run(kept={"order": "open"})) is None
    assert hint_for(made, "change", run(kept={"order": "open"}, unsettled=frozenset({"d"}))) == pending.text
    assert hint_for(made, "change", run(kept={"order": "open"}, erased=frozenset({"kept"}))) == pending.text


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
