"""Kept values that grow are folded in the order of the log: of calls at the same time nothing is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ledger_kit import a_closing, a_run, an_admission, child, got, record, run_now

from agentguard.core import growing
from agentguard.core.growing import Growth
from agentguard.ledger import Admitted, LogLedger, Outcome, open_ledger

CHILD = Path(__file__).with_name("ledger_growth_child.py")
EACH = 25


def admitted(ledger: LogLedger, name: str) -> None:
    while not isinstance(got(ledger.admit(an_admission(name, run_now(ledger).version), windows={})), Admitted):
        pass


def test_two_processes_add_to_one_value_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite3"
    with_run = open_ledger(path)
    got(with_run.start_run(a_run(), record("run")))
    children = [child(CHILD, path, EACH, who) for who in ("a", "b")]
    for process in children:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    for process in children:
        process.communicate(b"\n", timeout=120)
        assert process.returncode == 0
    kept = run_now(with_run).kept
    with_run.shut()

    names = {f"{who}-{n}" for who in ("a", "b") for n in range(EACH)}
    assert isinstance(kept["all"], list)
    assert sorted(map(str, kept["all"])) == sorted({*names, "common"})
    assert kept["by"] == dict.fromkeys(names, 1)


def test_many_threads_add_to_one_value_and_nothing_is_lost(ledger: LogLedger) -> None:
    got(ledger.start_run(a_run(), record("run")))

    def add(n: int) -> None:
        admitted(ledger, f"d{n}")
        got(ledger.close(a_closing(f"d{n}", grown=(Growth("x", "add", "", [n]),))))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(60)))
    found = run_now(ledger).kept["x"]

    assert isinstance(found, list) and sorted(found, key=str) == sorted(range(60), key=str)


def test_only_a_call_that_succeeded_adds_anything(ledger: LogLedger) -> None:
    """And only the first outcome of a call."""
    got(ledger.start_run(a_run(), record("run")))
    for outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.SUCCEEDED):
        name = str(outcome)
        admitted(ledger, name)
        for value in (name, "again"):
            got(ledger.close(a_closing(name, outcome, grown=(Growth("x", "add", "", [value]),))))

    assert run_now(ledger).kept["x"] == ["succeeded"]


def test_what_outgrew_its_bounds_stays_lost_when_a_call_is_settled(
    ledger: LogLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that began again after that would hold a part."""
    monkeypatch.setattr(growing, "MAX_ELEMENTS", 2)
    got(ledger.start_run(a_run(), record("run")))
    for name, values in (("d1", ["a", "b"]), ("d2", ["c"])):
        admitted(ledger, name)
        got(ledger.close(a_closing(name, grown=(Growth("x", "add", "", [*values]),))))
    assert "x" not in run_now(ledger).kept
    state = run_now(ledger)
    assert isinstance(
        got(ledger.admit(an_admission("d3", state.version, keeps=frozenset({"x"})), windows={})), Admitted
    )
    got(ledger.close(a_closing("d3", Outcome.UNKNOWN)))
    got(ledger.settle("d3", outcome=Outcome.SUCCEEDED, record=record("operation")))
    admitted(ledger, "d4")
    got(ledger.close(a_closing("d4", grown=(Growth("x", "add", "", ["d"]),))))

    assert "x" not in run_now(ledger).kept


def test_a_value_that_grew_is_there_when_the_ledger_is_read_again(tmp_path: Path) -> None:
    """Also what outgrew its bounds."""
    path = tmp_path / "l.sqlite3"
    ledger = open_ledger(path)
    got(ledger.start_run(a_run(), record("run")))
    for n in range(3):
        admitted(ledger, f"d{n}")
        got(ledger.close(a_closing(f"d{n}", grown=(Growth("x", "add", "id", [{"id": n % 2, "n": n}]),))))
    before = run_now(ledger).kept
    ledger.shut()
    again = open_ledger(path)
    after = run_now(again).kept
    again.shut()

    assert before == after == {"x": [{"id": 0, "n": 2}, {"id": 1, "n": 1}]}
