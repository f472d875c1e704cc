"""Calls counted by a value or by success: reserved at admission, given back by a failure that did nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ledger_kit import a_charge, a_closing, a_run, an_admission, forget_memory, got, record, run_now, tidy

from agentguard.core.tallies import NEVER, Tally
from agentguard.ledger import Admitted, LogLedger, Outcome, Refusal, Refused, open_ledger

DAY = timedelta(days=1)
WINDOWS = {"b": None, "day": DAY}


@pytest.fixture(autouse=True)
def started(ledger: LogLedger) -> None:
    got(ledger.start_run(a_run(), record("run")))


def admit(ledger: LogLedger, name: str, *keys: str, **more: Any) -> Admitted | Refused:
    """One call counted under these keys, decided on the newest state until that is settled."""
    while True:
        state = run_now(ledger, b=None, day=DAY)
        asked = an_admission(name, state.version, **{"step_at_most": 1, "tallies": keys, **more})
        answer = got(ledger.admit(asked, windows=WINDOWS))
        if not (isinstance(answer, Refused) and answer.reason is Refusal.RUN_MOVED):
            return answer


def tally(ledger: LogLedger, key: str) -> Tally:
    return run_now(ledger).tallies.get(key, NEVER)


def test_each_value_has_calls_of_its_own(ledger: LogLedger) -> None:
    """Once per order: another order is not used up by the first."""
    assert isinstance(admit(ledger, "d1", "s a"), Admitted)
    assert isinstance(admit(ledger, "d2", "s b"), Admitted)
    again = admit(ledger, "d3", "s a")

    assert isinstance(again, Refused) and again.reason is Refusal.STEP_USED_UP
    assert run_now(ledger).counts == {"s": 2}


def test_a_call_for_several_values_needs_one_left_for_each(ledger: LogLedger) -> None:
    """Of three recipients one has had a mail already."""
    admit(ledger, "d1", "s a")

    assert isinstance(admit(ledger, "d2", "s b", "s a"), Refused)
    assert isinstance(admit(ledger, "d3", "s b", "s c"), Admitted)


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("nothing", [True, False])
@pytest.mark.parametrize("successes", [True, False])
def test_only_a_failure_that_did_nothing_is_given_back(
    ledger: LogLedger, outcome: Outcome, nothing: bool, successes: bool
) -> None:
    """What succeeded, what may have happened, and what is still under way count."""
    how = {"counts_successes": successes, "failure_did_nothing": nothing}
    admit(ledger, "d1", "s a", **how)
    assert isinstance(admit(ledger, "d2", "s a", **how), Refused)
    got(ledger.close(a_closing("d1", outcome)))
    free = isinstance(admit(ledger, "d3", "s a", **how), Admitted)

    assert free is (outcome is Outcome.FAILED and nothing and successes)
    assert tally(ledger, "s a").done == (outcome is Outcome.SUCCEEDED)


@pytest.mark.parametrize(("outcome", "free"), [(Outcome.FAILED, True), (Outcome.SUCCEEDED, False)])
def test_what_a_person_says_of_an_unknown_call_counts_like_its_outcome(
    ledger: LogLedger, outcome: Outcome, free: bool
) -> None:
    """Until then it may have happened."""
    how = {"counts_successes": True, "failure_did_nothing": True}
    admit(ledger, "d1", "s a", charges=(a_charge(5, 5, returns=True),), **how)
    got(ledger.close(a_closing("d1", Outcome.UNKNOWN)))
    got(ledger.settle("d1", outcome=outcome, record=record("operation", decision_id="d1")))

    assert isinstance(admit(ledger, "d2", "s a", charges=(a_charge(5, 5),), **how), Admitted) is free
    assert run_now(ledger, b=None).spent["b"] == 5


@pytest.mark.parametrize("per", [None, DAY], ids=["run", "day"])
@pytest.mark.parametrize(("returns", "nothing"), [(True, True), (True, False), (False, True)])
def test_a_budget_that_counts_successes_gets_back_what_did_nothing(
    ledger: LogLedger, per: timedelta | None, returns: bool, nothing: bool
) -> None:
    """To the millionth, in the run and in a window that all runs share; twice is once."""
    name = "b" if per is None else "day"
    charge = a_charge(7, 10, budget=name, per=per, returns=returns)
    admit(ledger, "d1", charges=(charge,), failure_did_nothing=nothing, step_at_most=9)
    assert isinstance(admit(ledger, "d2", charges=(charge,), step_at_most=9), Refused)
    for _ in range(2):
        got(ledger.close(a_closing("d1", Outcome.FAILED)))

    assert run_now(ledger, b=None, day=DAY).spent[name] == (0 if returns and nothing else 7)


def test_tallies_are_what_the_log_says(ledger: LogLedger) -> None:
    """Also when every cell is read again from the store."""
    how = {"counts_successes": True, "failure_did_nothing": True, "step_at_most": 3}
    admit(ledger, "d1", "s a", "s b", **how)
    admit(ledger, "d2", "s a", charges=(a_charge(2, 9, budget="day", per=DAY, returns=True),), **how)
    admit(ledger, "d3", "s a", **how)
    got(ledger.close(a_closing("d1")))
    tidy(ledger)
    got(ledger.close(a_closing("d2", Outcome.FAILED)))
    before = run_now(ledger, day=DAY)
    forget_memory(ledger)

    assert before.tallies == {"s a": Tally(3, 1, 1), "s b": Tally(1, 0, 1)}
    after = run_now(ledger, day=DAY)
    assert (after.tallies, after.spent) == (before.tallies, before.spent) and after.spent["day"] == 0


def test_of_many_threads_on_two_ledger_objects_one_is_admitted_for_each_value(tmp_path: Path) -> None:
    """Each process decides on what it saw; the ledger compares before it appends."""
    path = tmp_path / "shared.sqlite3"
    one, other = open_ledger(path), open_ledger(path)
    try:
        got(one.start_run(a_run(), record("run")))
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(
                lambda n: admit((one, other)[n % 2], f"d{n}", f"s {n % 5}", counts_successes=True), range(40)
            )
            admitted = sum(isinstance(answer, Admitted) for answer in answers)
    finally:
        one.shut()
        other.shut()

    assert admitted == 5
