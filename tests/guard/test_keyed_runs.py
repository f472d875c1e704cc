"""A run that is found by a key outlives its block: it goes on elsewhere, keeps its limits, ends when that is said."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from agentguard.errors import ApprovalPending, ConfigurationError, LedgerError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.guard.run import RunContext

from .conftest import FILES, Clock, Tools

TICKET = {"ticket": "EXP-7"}
SMALL = {"table": "orders", "rows": 5, "target": "https://files.corp.example/x.csv"}
BIG = {**SMALL, "rows": 2000}
OPS: dict[str, Any] = {"by": "user:ops", "why": "wrong ticket"}
MINUTE, HOUR = 60.0, 3600.0
# Runs that last 8 hours, may be idle for 30 minutes, and spend 20 rows each.
BOUNDED = FILES["customer-export.yaml"].replace("inputs:\n", "lasts: 8h\nidle: 30m\ninputs:\n", 1)
BOUNDED = BOUNDED.replace("at_most: 10000, per: 1d", "at_most: 20")

Look = Callable[[str], Any]


@pytest.fixture
def guard(bundle: Path, tmp_path: Path, clock: Clock) -> Iterator[Guard]:
    """On a file, so that what stands in the ledger can be made again from its log."""
    with Guard.load(bundle, ledger=tmp_path / "ledger.sqlite3", home=tmp_path / "home", clock=clock) as made:
        yield made


@pytest.fixture
def look(guard: Guard, tools: Tools) -> Look:
    looked: Look = guard.wrap(tools.functions()[0])
    return looked


@pytest.fixture
def bounded(bundle: Path, guard: Guard) -> Guard:
    return changed(guard, bundle, BOUNDED)


def changed(guard: Guard, bundle: Path, workflow: str) -> Guard:
    (bundle / "customer-export.yaml").write_text(workflow)
    guard.reload()
    return guard


def thread(
    guard: Guard, key: str = "thread-42", requester: str | None = "user:ann", ticket: str = "EXP-7"
) -> RunContext:
    return guard.run("customer-export", inputs={"ticket": ticket}, requester=requester, key=key)


def statuses(guard: Guard) -> list[str]:
    return [str(run.status) for run in reversed(guard.operations.runs())]


def of_runs(guard: Guard) -> list[tuple[str, str]]:
    """What the records of runs say, in order: which run, and what came of it."""
    return [(each["run_id"], each["outcome"]) for each in guard.records(kind="run")]


def refused(call: Callable[[], object], guard: Guard) -> list[str]:
    """The reasons for which this is refused."""
    with pytest.raises(ToolCallDenied) as denied:
        call()
    found: list[str] = next(iter(guard.records(decision_id=denied.value.decision_id)))["reasons"]
    return found


# Going on.


def test_a_key_goes_on_with_the_run_that_it_opened(guard: Guard, look: Look, tools: Tools) -> None:
    """What was done and kept in one block counts in the next, as if there had been one."""
    export = guard.wrap(tools.functions()[1])
    with thread(guard) as first:
        look("EXP-7")
    with thread(guard) as second:
        export(**SMALL)

    assert second.id == first.id
    assert of_runs(guard) == [(first.id, word) for word in ("started", "left open", "resumed", "left open")]
    assert statuses(guard) == ["active"]
    assert {each["run_key"] for each in guard.records(kind="run")} == {"thread-42"}


def test_an_error_of_the_program_does_not_end_the_run_of_a_key(guard: Guard, look: Look) -> None:
    """A web request that fails must not end the conversation."""
    with pytest.raises(ZeroDivisionError), thread(guard):
        raise ZeroDivisionError
    with thread(guard):
        look("EXP-7")

    assert statuses(guard) == ["active"]
    assert [each["error"] for each in guard.records(kind="run")][1] == "ZeroDivisionError"


def test_one_object_may_be_entered_again_with_its_key(guard: Guard, look: Look) -> None:
    run = thread(guard)
    for _ in range(2):
        with run:
            look("EXP-7")

    assert statuses(guard) == ["active"]


@pytest.mark.parametrize(
    "other",
    [
        {"requester": "user:bob"},
        {"requester": None},
        {"key": "thread-43"},
        {"key": "thread-４2"},
        {"key": "thrеad-42"},
        {"key": "Thread-42"},
    ],
    ids=["requester", "nobody", "key", "wide digit", "cyrillic letter", "capital"],
)
def test_another_key_or_requester_has_a_run_of_its_own(guard: Guard, other: dict[str, Any]) -> None:
    with thread(guard) as mine, thread(guard, **other) as theirs:
        assert mine.id != theirs.id

    assert statuses(guard) == ["active", "active"]


@pytest.mark.parametrize("requester", ["user:Ann", "ann", "user:ann "])
def test_another_spelling_of_the_requester_opens_no_second_run(guard: Guard, requester: str) -> None:
    """It would have limits of its own; and whether it is the same person, only whoever opened it first knows."""
    with thread(guard):
        pass
    with pytest.raises(ConfigurationError, match="another spelling"), thread(guard, requester=requester):
        pytest.fail("entered")

    assert len(statuses(guard)) == 1


def test_other_inputs_are_refused_on_record_and_nothing_says_which(guard: Guard, look: Look) -> None:
    with thread(guard) as run:
        look("EXP-7")
    before = guard.operations.run(run.id)
    with pytest.raises(ConfigurationError, match="other inputs") as error, thread(guard, ticket="EXP-8"):
        pytest.fail("entered")

    assert "EXP" not in str(error.value)
    last = list(guard.records(kind="run"))[-1]
    assert (last["outcome"], last["why"], last["run_id"]) == ("refused", "other_inputs", run.id)
    assert guard.operations.run(run.id) == before


@pytest.mark.parametrize(
    "key",
    [
        "",
        " ",
        "x" * 129,
        "a\nb",
        "thread\u200b-42",
        " thread",
        "half \ud800",
        "token=a1B2a1B2",
        42,
        b"thread",
        ["t"],
    ],
    ids=range(11),
)
def test_what_is_no_key_is_said_before_anything_happens(guard: Guard, key: Any) -> None:
    with pytest.raises(ConfigurationError, match="key") as error:
        guard.run("customer-export", inputs=TICKET, key=key)

    assert "a1B2" not in str(error.value)
    assert of_runs(guard) == []


def test_a_key_of_the_longest_length_is_one(guard: Guard) -> None:
    with thread(guard, key="x" * 128):
        pass

    assert [run.key for run in guard.operations.runs()] == ["x" * 128]


# Ending and leaving.


def test_end_ends_it_inside_its_block_and_the_rest_of_the_block_is_outside(
    guard: Guard, look: Look, tools: Tools
) -> None:
    with thread(guard) as run:
        run.end()
        assert "no_run" in refused(lambda: look("EXP-7"), guard)
        run.end()
        run.leave()

    assert of_runs(guard) == [(run.id, "started"), (run.id, "ended")]
    assert tools.ran == []


def test_end_ends_it_after_its_block(guard: Guard) -> None:
    with thread(guard) as run:
        pass
    run.end()
    run.end()

    assert of_runs(guard) == [(run.id, word) for word in ("started", "left open", "ended")]


def test_a_run_without_a_key_is_left_open_where_that_is_said(guard: Guard, look: Look) -> None:
    with guard.run("customer-export", inputs=TICKET) as run:
        look("EXP-7")
        run.leave()
        run.leave()
        refused(lambda: look("EXP-7"), guard)
    assert statuses(guard) == ["active"]
    with guard.resume(run.id):
        look("EXP-7")

    assert statuses(guard) == ["ended"]
    assert of_runs(guard) == [(run.id, word) for word in ("started", "left open", "resumed", "ended")]


def test_in_the_rest_of_a_block_nothing_runs_in_the_run_around_it(guard: Guard, look: Look, tools: Tools) -> None:
    """Code that believes to be inside one run must not act in another."""
    with guard.run("customer-export", inputs=TICKET), thread(guard) as run:
        run.leave()
        refused(lambda: look("EXP-7"), guard)

    assert tools.ran == []


def test_what_was_never_entered_cannot_be_ended(guard: Guard) -> None:
    for close in (thread(guard).end, thread(guard).leave):
        with pytest.raises(ConfigurationError, match="never entered"):
            close()


def test_a_guest_that_says_so_ends_the_run(guard: Guard) -> None:
    """Leaving ends it for nobody; a word does."""
    with guard.run("customer-export", inputs=TICKET) as run:
        with guard.resume(run.id):
            pass
        assert statuses(guard) == ["active"]
        with guard.resume(run.id) as guest:
            guest.end()

    assert statuses(guard) == ["ended"]


def test_tasks_end_and_leave_as_threads_do(guard: Guard, look: Look) -> None:
    async def main() -> list[str]:
        async with thread(guard) as run:
            look("EXP-7")
            await run.aleave()
            refused(lambda: look("EXP-7"), guard)
        async with thread(guard) as again:
            look("EXP-7")
            await again.aend()
        await again.aend()
        return [run.id, again.id]

    first, second = asyncio.run(main())
    assert first == second
    assert of_runs(guard) == [(first, word) for word in ("started", "left open", "resumed", "ended")]


def test_a_run_of_a_key_that_waits_for_a_person_goes_on_with_its_key(guard: Guard, tools: Tools) -> None:
    look, export = guard.wrap(tools.functions())
    with contextlib.suppress(ApprovalPending), thread(guard) as run:
        look("EXP-7")
        export(**BIG)
    assert len(run.waiting) == 1
    for person in ("user:alice", "user:bob"):
        guard.operations.answer(run.waiting[0], approver=person, approve=True)
    with thread(guard) as again:
        export(**BIG)

    assert again.id == run.id
    assert len(tools.ran) == 2


# Limits.


def test_a_key_that_ended_opens_no_fresh_limits(guard: Guard, look: Look) -> None:
    """`at_most: 5` holds over the runs of a key: four, and one."""
    with thread(guard) as first:
        for _ in range(4):
            look("EXP-7")
        first.end()
    with thread(guard) as second:
        look("EXP-7")
        assert "step_used_up" in refused(lambda: look("EXP-7"), guard)

    assert first.id != second.id
    started = [each for each in guard.records(kind="run") if each["outcome"] == "started"][-1]
    assert started["why"] == f"goes on counting from {first.id}"
    again = guard.operations.run(second.id)
    assert again is not None
    assert (again.carries, again.counts) == (first.id, {"look-up": 5})


def test_what_a_run_achieved_does_not_go_on_in_the_next(guard: Guard, tools: Tools) -> None:
    """Neither the step that succeeded nor what it kept: another run begins at the beginning."""
    look, export = guard.wrap(tools.functions())
    with thread(guard) as first:
        look("EXP-7")
        first.end()
    with thread(guard):
        found = refused(lambda: export(**SMALL), guard)

    assert {"step_out_of_order", "condition_failed"} <= set(found)


def test_a_budget_of_a_run_holds_over_the_runs_of_its_key(bounded: Guard, tools: Tools) -> None:
    look, export = bounded.wrap(tools.functions())
    for rows in (10, 10):
        with thread(bounded) as run:
            look("EXP-7")
            export(**{**SMALL, "rows": rows})
            run.end()
    with thread(bounded):
        look("EXP-7")
        assert "budget_exceeded" in refused(lambda: export(**{**SMALL, "rows": 1}), bounded)


def test_the_risk_of_a_run_goes_on_in_the_next_of_its_key(guard: Guard) -> None:
    with thread(guard) as first:
        guard.operations.set_risk(first.id, "high", **OPS)
        first.end()
    with thread(guard) as second:
        state = guard.operations.run(second.id)

    assert state is not None
    assert state.risk.word == "high"


def test_after_its_time_a_key_begins_afresh(bounded: Guard, look: Look, clock: Clock) -> None:
    """The first run's `lasts` is the window of its limits; a moment before its end nothing is fresh."""
    with thread(bounded) as first:
        for _ in range(5):
            look("EXP-7")
        first.end()
    clock.pass_by(8 * HOUR)
    with thread(bounded) as second:
        refused(lambda: look("EXP-7"), bounded)
        second.end()
    clock.pass_by(1)
    with thread(bounded) as third:
        look("EXP-7")

    state = bounded.operations.run(third.id)
    assert state is not None
    assert (state.carries, state.counts) == (None, {"look-up": 1})


def test_without_lasts_a_key_never_begins_afresh(guard: Guard, look: Look, clock: Clock) -> None:
    with thread(guard) as first:
        for _ in range(5):
            look("EXP-7")
        first.end()
    clock.pass_by(24 * HOUR)
    with thread(guard):
        assert "step_used_up" in refused(lambda: look("EXP-7"), guard)


@pytest.mark.parametrize("stop", ["run", "sessions"])
def test_a_stopped_run_keeps_its_key_until_somebody_gives_it_back(
    bounded: Guard, look: Look, clock: Clock, stop: str
) -> None:
    """A retry must not undo a stop, and no clock does."""
    operations = bounded.operations
    with thread(bounded) as first:
        look("EXP-7")
    if stop == "run":
        operations.stop_run(first.id, **OPS)
    else:
        operations.end_sessions("user:ann", **OPS)
    clock.pass_by(9 * HOUR)
    assert refused(lambda: thread(bounded).__enter__(), bounded) == ["run_stopped"]
    assert statuses(bounded) == ["stopped"]
    operations.free_key(first.id, **OPS)
    with thread(bounded) as second:
        look("EXP-7")

    assert second.id != first.id


def test_a_freed_key_goes_on_counting_and_is_free_once(guard: Guard, look: Look) -> None:
    with thread(guard) as first:
        look("EXP-7")
    guard.operations.stop_run(first.id, **OPS)
    guard.operations.free_key(first.id, **OPS)
    with thread(guard) as second:
        look("EXP-7")
    guard.operations.stop_run(second.id, **OPS)

    assert refused(lambda: thread(guard).__enter__(), guard) == ["run_stopped"]
    state = guard.operations.run(second.id)
    assert state is not None
    assert state.counts == {"look-up": 2}


def test_only_a_stopped_run_that_was_the_last_of_its_key_keeps_it(guard: Guard) -> None:
    with guard.run("customer-export", inputs=TICKET) as plain, thread(guard) as run:
        for run_id in (plain.id, run.id):
            with pytest.raises(LedgerError, match=r"was not opened by a key|only a stopped run"):
                guard.operations.free_key(run_id, **OPS)


# Its time.


def test_a_run_older_than_lasts_permits_nothing(bounded: Guard, look: Look, clock: Clock) -> None:
    """With a key and without; used often enough not to be idle."""
    with thread(bounded), bounded.run("customer-export", inputs=TICKET):
        for _ in range(4):
            look("EXP-7")
            clock.pass_by(30 * MINUTE)
    with thread(bounded, key="other") as run:
        clock.pass_by(8 * HOUR)
        assert refused(lambda: look("EXP-7"), bounded) == ["run_idle"]
    assert statuses(bounded)[-1] == "active"
    assert run.id


def test_at_its_last_moment_a_run_is_not_over(bounded: Guard, look: Look, clock: Clock) -> None:
    """Idle is longer than 30 minutes since the last call that was permitted, or since the run began."""
    with thread(bounded):
        for _ in range(3):
            clock.pass_by(30 * MINUTE)
            look("EXP-7")
        clock.pass_by(30 * MINUTE + 1)
        assert refused(lambda: look("EXP-7"), bounded) == ["run_idle"]


def test_a_call_that_is_refused_keeps_no_run_awake(bounded: Guard, look: Look, clock: Clock) -> None:
    with thread(bounded):
        clock.pass_by(20 * MINUTE)
        refused(lambda: look("another"), bounded)
        clock.pass_by(11 * MINUTE)
        assert refused(lambda: look("EXP-7"), bounded) == ["run_idle"]


def test_a_run_that_is_over_is_ended_by_the_next_who_opens_its_key(bounded: Guard, look: Look, clock: Clock) -> None:
    with thread(bounded) as first:
        look("EXP-7")
    clock.pass_by(31 * MINUTE)
    with thread(bounded) as second:
        look("EXP-7")

    ended = [each for each in bounded.records(kind="run") if each["outcome"] == "ended"]
    assert [(each["run_id"], each["reasons"]) for each in ended] == [(first.id, ["run_idle"])]
    assert statuses(bounded) == ["ended", "active"]
    state = bounded.operations.run(second.id)
    assert state is not None
    assert state.counts == {"look-up": 2}


def test_a_run_whose_workflow_was_changed_is_ended_by_the_next_who_opens_its_key(
    guard: Guard, bundle: Path, look: Look
) -> None:
    """It is permitted nothing any more, and whoever has the key could do nothing about that."""
    with thread(guard) as first:
        look("EXP-7")
    changed(guard, bundle, FILES["customer-export.yaml"].replace("version: 3", "version: 4"))
    with thread(guard):
        look("EXP-7")

    ended = [each for each in guard.records(kind="run") if each["outcome"] == "ended"]
    assert [(each["run_id"], each["reasons"]) for each in ended] == [(first.id, ["workflow_changed"])]


def test_what_an_observed_run_did_counts_for_no_enforced_run_of_its_key(guard: Guard, bundle: Path, look: Look) -> None:
    """And turning observing on and off again gives no enforced run fresh limits."""
    trust = FILES["trust.yaml"]
    with thread(guard) as enforced:
        for _ in range(4):
            look("EXP-7")
        enforced.end()
    until = date(2026, 11, 30)
    (bundle / "trust.yaml").write_text(f"{trust}observe:\n  - {{workflow: customer-export, until: {until}}}\n")
    guard.reload()
    with thread(guard):
        for _ in range(3):
            look("EXP-7")
    (bundle / "trust.yaml").write_text(trust)
    guard.reload()
    with thread(guard) as last:
        look("EXP-7")
        assert "step_used_up" in refused(lambda: look("EXP-7"), guard)

    state = guard.operations.run(last.id)
    assert state is not None
    assert (state.carries, state.observed) == (enforced.id, None)
    assert statuses(guard) == ["ended", "ended", "active"]


@pytest.mark.parametrize("observed", [True, False])
def test_the_end_of_a_run_refuses_although_it_is_observed(
    guard: Guard, bundle: Path, look: Look, clock: Clock, observed: bool
) -> None:
    if observed:
        more = "observe:\n  - {workflow: customer-export, until: 2026-11-30}\n"
        (bundle / "trust.yaml").write_text(FILES["trust.yaml"] + more)
    changed(guard, bundle, BOUNDED)
    with thread(guard):
        clock.pass_by(9 * HOUR)
        assert "run_expired" in refused(lambda: look("EXP-7"), guard)


# Many at once.


def test_many_threads_that_open_a_key_at_once_are_in_one_run(guard: Guard, look: Look, tools: Tools) -> None:
    """And its limit of five holds for all of them."""

    def one(_: int) -> tuple[str, bool]:
        with thread(guard) as run:
            try:
                look("EXP-7")
            except ToolCallDenied:
                return run.id, False
            return run.id, True

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(24)))

    assert len({run_id for run_id, _ in found}) == 1
    assert sum(ran for _, ran in found) == len(tools.ran) == 5


def test_a_run_is_inside_while_anybody_is(guard: Guard) -> None:
    """`runs list` shows it, and nobody sweeps it away under them."""

    def where() -> list[str]:
        return [str(place) for place in guard.operations.whereabouts().values()]

    with thread(guard) as run:
        with thread(guard):
            pass
        assert where() == ["inside"]
        with pytest.raises(LedgerError, match="somebody is inside"):
            guard.operations.sweep(run.id, **OPS)
    assert where() == ["open"]
    assert guard.operations.sweep(**OPS) == []
    assert [each.id for each in guard.operations.sweep(run.id, **OPS)] == [run.id]


def test_a_run_that_is_over_is_shown_and_swept(bounded: Guard, clock: Clock) -> None:
    with thread(bounded):
        pass
    with bounded.run("customer-export", inputs=TICKET) as plain:
        plain.leave()
    clock.pass_by(31 * MINUTE)

    assert [str(place) for place in bounded.operations.whereabouts().values()] == ["over", "over"]
    assert len(bounded.operations.sweep(**OPS)) == 2


def test_runs_are_found_by_their_key(guard: Guard) -> None:
    with thread(guard) as mine, thread(guard, key="other"), guard.run("customer-export", inputs=TICKET):
        found = guard.operations.runs(key="thread-42")

    assert [run.id for run in found] == [mine.id]
    assert guard.operations.runs(key="thread-４2") == []
