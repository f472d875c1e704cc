"""People whom a tool tells without naming them in its arguments are destinations of the call like any other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from small_bundle import TEXT, small_bundle

from agentguard.errors import PolicyError, ToolCallDenied
from agentguard.testing import in_memory_guard

EVENTS: list[dict[str, Any]] = [
    {"id_": "1", "participants": ["ann@corp.example", "Bob@Corp.example"]},
    {"id_": "2", "participants": ["ann@corp.example", "eve@evil.example"]},
    {"id_": "3", "participants": []},
    {"id_": "4", "participants": ["not an address"]},
    {"id_": "5", "participants": [None]},
    {"id_": "6"},
    {"id_": "7", "participants": ["ann@corp.example"]},
    {"id_": "7", "participants": ["eve@evil.example"]},
]
PEOPLE = {"kind": "email", "value": "kept.events[?id_ == args.event_id].participants[*]"}
CATALOG = """
apiVersion: agentguard/v1
kind: Destinations
destinations:
  - {kind: email, pattern: "*@corp.example", sensitivity: internal}
"""


def files(reaches: Any, **step: Any) -> dict[str, str]:
    bundle = small_bundle({
        "get_events": {"keep": {"events": "result[*]"}},
        "cancel_event": {"args": {"event_id": TEXT}, "effect": "write"},
    })  # fmt: skip
    more = {"reaches": reaches, "destinations": {"up_to": "internal"}, **step}
    said = '"tool": "cancel_event", '
    assert bundle["w.yaml"].count(said) == 1
    return {**bundle, "w.yaml": bundle["w.yaml"].replace(said, said + json.dumps(more)[1:-1] + ", "), "d.yaml": CATALOG}


@pytest.fixture
def calendar() -> Iterator[Any]:
    """A run of such a workflow, with its two tools and its guard."""

    def get_events() -> list[dict[str, Any]]:
        return EVENTS

    def cancel_event(event_id: str) -> str:
        return "cancelled"

    with in_memory_guard(files([PEOPLE])) as guard, guard.run("w"):
        yield guard, *guard.wrap([get_events, cancel_event])


def denied(guard: Any, cancel: Any, event: str) -> list[str]:
    with pytest.raises(ToolCallDenied) as caught:
        cancel(event_id=event)
    return next(record["reasons"] for record in guard.records() if record["decision_id"] == caught.value.decision_id)


def test_whom_a_tool_tells_is_a_destination_of_the_call(calendar: Any) -> None:
    """Each is judged by itself, and stands in the record; one outsider among them is enough for a no."""
    guard, get_events, cancel_event = calendar
    get_events()
    assert cancel_event(event_id="1") == "cancelled"
    record = list(guard.records(kind="decision"))[-1]
    assert [place["id"] for place in record["destinations"]] == ["ann@corp.example", "bob@corp.example"]
    assert denied(guard, cancel_event, "2") == ["destination_unclassified"]


def test_an_event_without_participants_tells_nobody(calendar: Any) -> None:
    """An empty list is known to be empty."""
    _, get_events, cancel_event = calendar
    get_events()
    assert cancel_event(event_id="3") == "cancelled"


@pytest.mark.parametrize(("event", "reason"), [
    ("4", "destination_ambiguous"), ("5", "destination_missing"), ("6", "destination_missing"),
    ("7", "destination_missing"), ("8", "destination_missing"),
])  # fmt: skip
def test_whom_a_tool_tells_must_be_known(calendar: Any, event: str, reason: str) -> None:
    """No such event, two different ones, no list, a null, or no address: nobody knows who is told."""
    guard, get_events, cancel_event = calendar
    get_events()
    assert reason in denied(guard, cancel_event, event)


def test_before_anything_is_kept_nobody_knows_whom_it_tells(calendar: Any) -> None:
    """The look-up comes first."""
    guard, _, cancel_event = calendar
    assert "destination_missing" in denied(guard, cancel_event, "1")


@pytest.mark.parametrize(("reaches", "message"), [
    ([{"kind": "e-mail", "value": "kept.events"}], "`e-mail` is not a kind of destination"),
    ([{"kind": "email", "value": "kept.event[*]"}], "did you mean `events`?"),
    ([{"kind": "email", "value": "result[*]"}], "begins with"),
    ([{"kind": "email", "value": "kept.events[?id_ == args.id].participants"}], "there is no argument `id`"),
    ([{"kind": "email", "value": "kept.events", "found_in": "text"}], "`found_in` is not an option"),
    ([{"kind": "email"}], "value"),
])  # fmt: skip
def test_what_a_step_reaches_is_checked_when_the_bundle_is_loaded(reaches: Any, message: str) -> None:
    """With what to write instead."""
    with pytest.raises(PolicyError) as caught, in_memory_guard(files(reaches)):
        pass
    assert message in str(caught.value)


def test_a_step_that_reaches_somebody_says_how_far() -> None:
    """As a step does whose tool declares destinations."""
    with pytest.raises(PolicyError) as caught, in_memory_guard(files([PEOPLE], destinations=None)):
        pass
    assert "the step must say how far" in str(caught.value)


def test_two_steps_of_one_tool_reach_whom_each_says() -> None:
    """What is missing under the one does not spoil the other."""
    bundle = files([PEOPLE])
    step = json.dumps({
        "tool": "cancel_event", "arguments": {"event_id": {"const": "own"}},
        "reaches": [{"kind": "email", "value": "inputs.me"}], "destinations": {"up_to": "internal"},
    })  # fmt: skip
    text = bundle["w.yaml"].replace('"steps": {', f'"inputs": {{"me": {json.dumps(TEXT)}}}, "steps": {{"own": {step}, ')
    with in_memory_guard({**bundle, "w.yaml": text}) as guard:

        def cancel_event(event_id: str) -> str:
            return "cancelled"

        (cancel,) = guard.wrap([cancel_event])
        with guard.run("w", inputs={"me": "me@corp.example"}):
            assert cancel(event_id="own") == "cancelled"
            assert "destination_missing" in denied(guard, cancel, "1")
        with guard.run("w", inputs={"me": "me@evil.example"}):
            assert "destination_unclassified" in denied(guard, cancel, "own")
