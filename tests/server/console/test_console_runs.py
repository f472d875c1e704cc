"""Runs and their pictures, stop and suspend: for those who may, with a reason, by a POST."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from agentguard.core.facts import RunState, RunStatus
from agentguard.core.policy import ApprovalRule, Step, Workflow
from agentguard.ledger import RecordFilter
from agentguard.server.console.picture import ROW, picture

from .conftest import ANN, EXPORTER, NOW, Place, Visitor, form_of


def test_the_runs_are_listed_newest_first_in_pages(place: Place, ann: Visitor) -> None:
    for number in range(60):
        place.run(f"r-x{number:02d}")
    first = ann.get("/runs").text
    older = re.search(r'href="(/runs\?before=[^"]+)"', first)
    assert older is not None
    found = [re.findall(r'href="/runs/(r-[^"]+)"', page) for page in (first, ann.get(older[1]).text)]
    assert [len(page) for page in found] == [50, 11]
    assert found[0][0] == "r-x59"
    assert found[1][-1] == "r-1"
    assert "No run is here" in ann.get("/runs?status=stopped").text


def test_a_run_is_stopped_by_whoever_is_signed_in_with_their_reason(place: Place, ann: Visitor) -> None:
    assert ann.send("/runs/r-1", "/runs/r-1/stop", why="wrong ticket").headers["location"] == "/runs/r-1"

    run = place.operations.run("r-1")
    assert run is not None
    assert run.status is RunStatus.STOPPED
    record = next(iter(place.operations.records(RecordFilter(kind="operation"))))
    assert (record["outcome"], record["by"], record["why"]) == ("stop_run", ANN, "wrong ticket")
    page = ann.get("/runs/r-1").text
    assert "stopped" in page
    assert "/stop" not in page


@pytest.mark.parametrize("why", ["", "   ", "\n"])
def test_power_is_taken_with_a_reason_and_nothing_is_done_without(place: Place, ann: Visitor, why: str) -> None:
    assert ann.send("/runs/r-1", "/runs/r-1/stop", why=why).status_code == 400
    page = "/subjects?name=" + EXPORTER.replace("/", "%2F").replace(":", "%3A")
    assert ann.send(page, "/subjects/suspend", why=why).status_code == 400
    assert ann.send("/runs/r-1", "/runs/r-1/stop", why="x" * 3_000).status_code == 400
    assert list(place.operations.records(RecordFilter(kind="operation"))) == []


def test_a_workload_is_suspended_and_restored(place: Place, ann: Visitor) -> None:
    page = "/subjects?name=" + EXPORTER.replace("/", "%2F").replace(":", "%3A")
    ann.send(page, "/subjects/suspend", why="key leaked")
    run = place.operations.run("r-1")
    assert run is not None
    assert run.subject_suspended
    assert "suspended" in ann.get("/runs/r-1").text
    ann.send(page, "/subjects/restore", why="new key")
    run = place.operations.run("r-1")
    assert run is not None
    assert not run.subject_suspended


ADDRESSES = [
    "/decisions", "/runs", "/runs/r-1", "/subjects?name=spiffe%3A%2F%2Fcorp.example%2Fagent%2Fexporter", "/records",
    "/records/1", "/records?id=d-1",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_without_a_role_there_is_nothing_here(place: Place, address: str) -> None:
    place.decide("d-1")
    assert place.visitor(ANN, "link").get(address).status_code in (200, 303)
    assert place.visitor("user:ben").get(address).status_code == 404


@pytest.mark.parametrize(("address", "form"), [
    ("/runs/r-1/stop", {"why": "x"}), ("/subjects/suspend", {"why": "x", "subject": EXPORTER}),
    ("/subjects/restore", {"why": "x", "subject": EXPORTER}),
])  # fmt: skip
def test_without_a_role_nothing_is_stopped(place: Place, address: str, form: Mapping[str, str]) -> None:
    """Near miss: who is asked, and may agree, but may not stop; and somebody who sends no word of their session."""
    ben = place.visitor("user:ben")
    csrf = form_of(ben.get("/you").text, "/sign-out")["csrf"]
    assert ben.post(address, {**form, "csrf": csrf}).status_code == 404
    assert place.visitor(ANN, "link").post(address, form).status_code == 403
    assert place.visitor(ANN, "link").get(address).status_code == 404
    assert list(place.operations.records(RecordFilter(kind="operation"))) == []


@pytest.mark.parametrize(
    "address", ["/runs/none", "/subjects", "/subjects?name=none", "/records/0", "/records/99", "/records/x"]
)
def test_what_is_not_there_is_not_found(ann: Visitor, address: str) -> None:
    assert ann.get(address).status_code == 404


def step(name: str, **more: Any) -> Step:
    return Step(name=name, tool=f"tools.{name}", arguments=None, **more)  # type: ignore[arg-type]


def workflow(*steps: Step) -> Workflow:
    return Workflow("w", 1, "sha256:w", frozenset({EXPORTER}), steps, date(2029, 12, 31))


def state(**more: Any) -> RunState:
    known: dict[str, Any] = {
        "id": "r", "workflow": "w", "workflow_digest": "sha256:w", "subject": EXPORTER, "status": RunStatus.ACTIVE,
        "version": 1, "started_at": NOW,
    }  # fmt: skip
    return RunState(**{**known, **more})


ALL = (
    step("send", after=("check",), not_after=("read-secret",)), step("look", at_most=2), step("check", after=("look",)),
    step("either", after_any=("look", "check")), step("read-secret"),
)  # fmt: skip


@pytest.mark.parametrize(("run", "waiting", "expected"), [
    (state(), (), {"look": "next", "check": "later", "send": "later", "either": "later", "read-secret": "next"}),
    (state(counts={"look": 1}, succeeded=frozenset({"look"})), (),
     {"look": "done", "check": "next", "send": "later", "either": "next", "read-secret": "next"}),
    (state(counts={"look": 1}), (), {"look": "failed", "check": "later", "either": "later"}),
    (state(counts={"look": 1}, succeeded=frozenset({"look", "read-secret", "check"})), (), {"send": "never"}),
    (state(succeeded=frozenset({"look"})), ("check",), {"check": "waiting"}),
    (state(status=RunStatus.STOPPED), (), {"look": "later", "read-secret": "later"}),
    (state(workflow_digest="sha256:older"), (), {"look": "later", "read-secret": "later"}),
])  # fmt: skip
def test_the_picture_says_where_the_run_stands(
    run: RunState, waiting: Sequence[str], expected: Mapping[str, str]
) -> None:
    drawn = picture(workflow(*ALL), run, waiting)
    found = {stop.name: stop.standing for stop in drawn.stops}
    assert {name: found[name] for name in expected} == expected


def test_the_picture_puts_each_step_under_what_it_waits_for_and_draws_every_tie() -> None:
    drawn = picture(workflow(*ALL), state())
    assert [stop.name for stop in drawn.stops] == ["look", "check", "send", "either", "read-secret"]
    assert [stop.y for stop in drawn.stops] == [ROW * index + ROW // 2 for index in range(5)]
    assert sorted(link.says for link in drawn.links) == [
        "check waits for look", "either waits for this or another: check", "either waits for this or another: look",
        "send never runs once this succeeded: read-secret", "send waits for check",
    ]  # fmt: skip
    assert len({link.path for link in drawn.links}) == len(drawn.links)
    assert all(re.fullmatch(r"[MHVQ0-9 .-]+", link.path) for link in drawn.links)


def test_steps_that_wait_for_each_other_are_drawn_all_the_same() -> None:
    drawn = picture(workflow(step("a", after=("b",)), step("b", after=("a",)), step("c", after=("none",))), state())
    assert [stop.name for stop in drawn.stops] == ["c", "a", "b"]


def test_the_page_of_a_run_shows_the_picture_and_what_waits(place: Place, ann: Visitor) -> None:
    asks = ApprovalRule(None, ("anyone",), 1, timedelta(minutes=30))
    steps = (step("look-up"), step("export", after=("look-up",), approval=asks))
    known = Workflow("customer-export", 1, "sha256:d", frozenset({EXPORTER}), steps, date(2029, 12, 31))
    place.bundle = SimpleNamespace(
        policy=SimpleNamespace(workflows={"customer-export": known}, groups={}), console=None
    )  # type: ignore[assignment]
    page = ann.get("/runs/r-1").text
    assert "<svg" in page
    assert "asks a person" in page
    assert "export: waits for a person" in page
    assert 'href="/requests/a-1"' in page
    assert "was changed since" not in page


def test_an_empty_console_says_what_would_be_here(make: Any) -> None:
    ann = make().visitor(ANN, "link")
    for address, says in (
        ("/requests", "Nothing waits"), ("/runs", "No agent has worked yet"),
        ("/decisions", "Nothing has been decided yet"),
        ("/records", "No record matches"), ("/history", "Nothing is over"),
    ):  # fmt: skip
        assert says in ann.get(address).text
