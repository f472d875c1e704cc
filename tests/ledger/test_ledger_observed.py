"""Observed runs: what they take stands apart, has no limits, and counts for no enforced run."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from ledger_kit import a_charge, a_closing, a_run, an_admission, forget_memory, got, record, run_now, tidy

from agentguard.core.facts import Observed
from agentguard.errors import LedgerError
from agentguard.ledger import Admitted, LogLedger, Outcome, Refusal, Refused, cells, open_ledger, stored
from agentguard.ledger.operations.admissions import MAX_AMOUNT

DAY = timedelta(days=1)
WINDOWS = {"b": None, "day": DAY}
UNTIL = date(2026, 12, 8)


@pytest.fixture(autouse=True)
def started(ledger: LogLedger) -> None:
    got(ledger.start_run(a_run(observed=Observed(UNTIL)), record("run")))
    got(ledger.start_run(a_run("enforced"), record("run")))


def admit(ledger: LogLedger, name: str, run: str = "r", **more: Any) -> Admitted | Refused:
    version = run_now(ledger, run).version
    return got(ledger.admit(an_admission(name, version, run_id=run, **more), windows=WINDOWS))


def test_an_enforced_run_admits_no_observed_call(ledger: LogLedger) -> None:
    """Whoever asks for it: what a run is stands in the ledger."""
    refused = admit(ledger, "d1", "enforced", observed="deny")

    assert isinstance(refused, Refused) and refused.reason is Refusal.RUN_MOVED
    assert run_now(ledger, "enforced").counts == {}


@pytest.mark.parametrize("wrong", [{"permit": False}, {"approval_id": "a-1"}])
def test_what_is_observed_runs_and_uses_no_approval_up(ledger: LogLedger, wrong: dict[str, Any]) -> None:
    with pytest.raises(LedgerError, match="uses no approval up"):
        admit(ledger, "d1", observed="escalate", **wrong)


def test_only_what_is_observed_may_name_no_step(ledger: LogLedger) -> None:
    assert isinstance(admit(ledger, "d1", observed="deny", step=""), Admitted)
    with pytest.raises(LedgerError, match="no step"):
        admit(ledger, "d2", "enforced", step=None)


LIMITS = {"a step": {"step_at_most": 0}, "a budget": {"charges": (a_charge(5, 1),)}}


@pytest.mark.parametrize("limit", LIMITS)
def test_no_limit_stops_what_would_have_been_refused_anyway(ledger: LogLedger, limit: str) -> None:
    """And what would have been permitted keeps to it: else its record would be wrong."""
    assert isinstance(admit(ledger, "d1", observed="permit", **LIMITS[limit]), Refused)
    assert isinstance(admit(ledger, "d2", observed="deny", **LIMITS[limit]), Admitted)
    assert isinstance(admit(ledger, "d3", observed="escalate", **LIMITS[limit]), Admitted)


@pytest.mark.parametrize("budget", ["b", "day"])
def test_a_budget_without_a_limit_never_holds_more_than_its_number_can(ledger: LogLedger, budget: str) -> None:
    for name in ("d1", "d2", "d3"):
        charge = a_charge(MAX_AMOUNT - 1, 1, budget=budget, per=WINDOWS[budget])
        assert isinstance(admit(ledger, name, observed="deny", charges=(charge,)), Admitted)

    assert run_now(ledger, b=None, day=DAY).spent[budget] == MAX_AMOUNT


def test_what_an_observed_run_spends_stands_apart_and_it_sees_both(ledger: LogLedger) -> None:
    def charge(amount: int) -> Any:
        return (a_charge(amount, 10, budget="day", per=DAY),)

    admit(ledger, "d1", observed="permit", charges=charge(7))
    admit(ledger, "d2", "enforced", charges=charge(2))

    assert run_now(ledger, "enforced", day=DAY).spent["day"] == 2
    assert run_now(ledger, day=DAY).spent["day"] == 9


def test_a_failure_that_did_nothing_is_given_back_where_it_was_taken(ledger: LogLedger) -> None:
    """Else an enforced run could spend what was never given back to it."""
    charge = (a_charge(7, 10, budget="day", per=DAY, returns=True),)
    admit(ledger, "d1", "enforced", charges=charge)
    admit(ledger, "d2", observed="deny", charges=charge, failure_did_nothing=True)
    got(ledger.close(a_closing("d2", Outcome.FAILED)))

    assert run_now(ledger, "enforced", day=DAY).spent["day"] == 7
    assert run_now(ledger, day=DAY).spent["day"] == 7


def test_zones_that_an_observed_run_reached_are_known_to_observed_runs_alone(ledger: LogLedger) -> None:
    admit(ledger, "d1", observed="deny", zones=frozenset({"vault"}))
    admit(ledger, "d2", "enforced", zones=frozenset({"office"}))

    assert run_now(ledger, "enforced").contacts == {"office"}
    assert run_now(ledger).contacts == {"vault", "office"}


def test_a_new_zone_of_an_observed_run_is_news_to_the_others(ledger: LogLedger) -> None:
    """What another run decided before, on what it saw then, is decided again."""
    got(ledger.start_run(a_run("other", observed=Observed(UNTIL)), record("run")))
    seen = run_now(ledger, "other").version
    admit(ledger, "d1", observed="deny", zones=frozenset({"vault"}))

    late = got(ledger.admit(an_admission("d2", seen, run_id="other", observed="permit"), windows={}))
    assert isinstance(late, Refused) and late.reason is Refusal.RUN_MOVED


def test_what_would_be_refused_and_asked_is_counted(ledger: LogLedger) -> None:
    for name, effect in enumerate(["deny", "permit", "escalate", "deny"]):
        admit(ledger, f"d{name}", observed=effect)

    assert run_now(ledger).observed == Observed(UNTIL, None, 2, 1)
    assert run_now(ledger, "enforced").observed is None


def test_it_is_made_of_the_log_again(tmp_path: Path) -> None:
    """Also in a process that saw nothing of it."""
    place = tmp_path / "again.sqlite3"
    ledger = open_ledger(place)
    got(ledger.start_run(a_run(observed=Observed(UNTIL, frozenset({"s"}))), record("run")))
    charge = (a_charge(7, 1, budget="day", per=DAY, returns=True),)
    admit(ledger, "d1", observed="deny", charges=charge, zones=frozenset({"vault"}), failure_did_nothing=True)
    before = run_now(ledger, day=DAY)
    tidy(ledger)
    forget_memory(ledger)
    assert run_now(ledger, day=DAY) == before
    ledger.shut()

    again = open_ledger(place)
    after = run_now(again, day=DAY)
    assert (after.observed, after.spent, after.contacts) == (before.observed, before.spent, before.contacts)
    # Nobody knows how its call ended: a person says so, and what it took apart is given back there.
    got(again.settle("d1", outcome=Outcome.FAILED, record=record("operation", decision_id="d1")))
    assert run_now(again, day=DAY).spent["day"] == 0
    again.shut()


def test_a_cell_of_an_enforced_run_is_as_it_was_before_anything_was_observed(ledger: LogLedger) -> None:
    """A ledger of before is read as it is, and rebuilt to the same."""
    run = cells.RunCell(
        1, "w", "d", "s", None, 0, 1, "active", 0, None, {}, frozenset(), {}, frozenset(), {}, {}, {},
        stored.read_seen([False, []]), frozenset(), "", None, {},
    )  # fmt: skip
    assert stored.encode(run).endswith(b'"",null,{}]')
    assert stored.decode(cells.RUN, stored.encode(run)) == run
    watched = run._replace(observed=Observed(UNTIL, frozenset({"s"}), 1, 2))
    assert stored.decode(cells.RUN, stored.encode(watched)) == watched
