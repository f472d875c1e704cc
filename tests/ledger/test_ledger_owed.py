"""An outcome is owed until it is durable, and a call whose outcome is unknown is one until a person has settled it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_kit import T0, a_closing, a_run, an_admission, got, record, run_now

from agentguard.core.provenance import Brought
from agentguard.errors import LedgerError
from agentguard.ledger import Admitted, LogLedger, Outcome, Promise, RecordFilter, cells, engine, open_ledger
from agentguard.ledger.entry import encode
from agentguard.ledger.mirror import Owed
from agentguard.ledger.operations import outcomes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def ledger(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogLedger]:
    """With one call under way. An outcome that is owed is tried again only when something else is asked."""
    monkeypatch.setattr(engine, "RETRY_SECONDS", 60)
    monkeypatch.setattr("agentguard.ledger.sqlite.store.BUSY_SECONDS", 0.05)
    opened = open_ledger(file)
    got(opened.start_run(a_run(), record("run")))
    got(opened.admit(an_admission("d1", keeps=frozenset({"x"})), windows={}))
    yield opened
    with contextlib.suppress(LedgerError):
        opened.shut()


def moved(file: Path, _: LogLedger) -> Callable[[], object]:
    file.rename(file.with_name("away"))
    return lambda: file.with_name("away").rename(file)


def held(file: Path, _: LogLedger) -> Callable[[], object]:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other.close


def full(_: Path, ledger: LogLedger) -> Callable[[], object]:
    connection = ledger.engine.log.file.connection
    got(ledger.append(record()))
    connection.execute("PRAGMA max_page_count = 1")
    return lambda: connection.execute("PRAGMA max_page_count = 1000000")


def evil(call: int = 1) -> Brought:
    return Brought("mail", call, {}, "evil")


@pytest.mark.parametrize("trouble", [moved, held, full])
def test_an_outcome_that_could_not_even_begin_comes_before_everything_later(
    ledger: LogLedger, file: Path, trouble: Callable[[Path, LogLedger], Callable[[], object]]
) -> None:
    """What outsiders wrote, what is kept, and that the step succeeded: no later decision is made without them."""
    over = trouble(file, ledger)
    big = record("outcome", decision_id="d1", x="x" * 50_000)
    closed = ledger.close(a_closing("d1", kept={"x": 1}, brought=evil(), record=big))
    with pytest.raises(LedgerError):
        got(ledger.append(record()))
    version = 2
    with pytest.raises(LedgerError):
        got(ledger.admit(an_admission("d2", version), windows={}))
    over()

    refused = got(ledger.admit(an_admission("d2", version), windows={}))
    assert str(refused.reason) == "run_moved", "the run is not what it was when this was decided"  # type: ignore[union-attr]
    state = run_now(ledger)
    assert (state.kept, state.succeeded, state.seen.holds("evil")) == ({"x": 1}, {"s"}, True)
    assert got(closed) is not None
    ledger.shut()
    again = open_ledger(file)
    assert [each["decision_id"] for each in again.records(RecordFilter(kind="outcome"))] == ["d1"]
    again.shut()


@pytest.mark.parametrize("was_asked_before", [False, True])
def test_an_outcome_of_a_call_that_another_object_admitted_just_now_counts(
    was_asked_before: bool, ledger: LogLedger, file: Path
) -> None:
    """An outcome looks at no file as long as its call is known here; where it is not, it looks before it says no. That
    there was no such call, the last time it looked, says nothing."""
    other = open_ledger(file)
    if was_asked_before:
        with pytest.raises(LedgerError, match="never admitted"):
            got(ledger.close(a_closing("d2")))
    assert isinstance(got(other.admit(an_admission("d2", run_now(other).version), windows={})), Admitted)

    assert got(ledger.close(a_closing("d2"))) is not None
    assert ledger.engine.flush()
    assert {each["decision_id"] for each in got(other.open_calls())} == {"d1"}
    other.shut()


def test_an_outcome_that_was_interrupted_while_it_was_put_aside_stands_once() -> None:
    """What stands past the number was never put aside; the same outcome comes again."""
    one, two = (encode(record("outcome", decision_id=name)) for name in ("d1", "d2"))
    owed = Owed()
    owed._entries.append(one)
    assert not owed and owed.entries == [] and owed.oldest is None

    owed.add([one], {(cells.CALL, "d1"): None})
    owed.add([two], {(cells.CALL, "d2"): None})
    assert owed.entries == [one, two] and owed.oldest is one
    assert owed.cells == {(cells.CALL, "d1"): None, (cells.CALL, "d2"): None}


def test_an_outcome_that_is_owed_is_tried_again_by_itself(
    ledger: LogLedger, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody need ask: other processes must see it, too."""
    monkeypatch.setattr(engine, "RETRY_SECONDS", 0.01)
    over = moved(file, ledger)
    closed = ledger.close(a_closing("d1"))
    with pytest.raises(LedgerError):
        got(ledger.append(record()))
    over()

    assert got(closed) is not None


def test_whoever_waits_for_an_outcome_that_can_never_be_stored_hears_of_it(ledger: LogLedger, file: Path) -> None:
    """At the latest when the ledger is shut; the next to open it finds the call, and marks it."""
    over = moved(file, ledger)
    closed = ledger.close(a_closing("d1"))
    with pytest.raises(LedgerError, match="outcomes of the last 1 calls could not be stored"):
        ledger.shut()
    with pytest.raises(LedgerError):
        got(closed)
    over()
    again = open_ledger(file)
    assert run_now(again).unsettled == {"d1"}
    again.shut()


def test_an_outcome_that_breaks_is_written_as_unknown_and_hurts_no_other(
    ledger: LogLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in what a result brings must not let the run go on as if nothing had come."""

    def breaks(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(outcomes, "write_brought", breaks)
    closed = ledger.close(a_closing("d1", brought=evil()))
    got(ledger.append(record()))

    assert got(closed) is not None
    assert run_now(ledger).unsettled == {"d1"}
    assert [each["outcome"] for each in ledger.records(RecordFilter(kind="outcome"))] == ["unknown"]
    ledger.shut()


def unknown(ledger: LogLedger, name: str = "d1") -> None:
    got(ledger.close(a_closing(name, Outcome.UNKNOWN)))


def settled(ledger: LogLedger, outcome: Outcome, name: str = "d1") -> Promise[Any]:
    data = record("operation", decision_id=name, outcome=f"settled_{outcome}", by="user:o")
    return ledger.settle(name, outcome=outcome, record=data)


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
def test_a_person_settles_a_call_and_the_run_is_what_it_was(ledger: LogLedger, file: Path, outcome: Outcome) -> None:
    """As succeeded it opens what comes after it; what was kept of an older call is not what this one would have."""
    got(ledger.close(a_closing("d1", kept={"x": 1, "y": 2})))
    got(ledger.admit(an_admission("d2", run_now(ledger).version, keeps=frozenset({"x"}), step="t"), windows={}))
    got(ledger.close(a_closing("d2", Outcome.UNKNOWN, step="t")))
    before = run_now(ledger)
    assert before.unsettled == {"d2"}
    after = got(settled(ledger, outcome, "d2"))

    assert after == run_now(ledger)
    assert after.unsettled == frozenset() and after.version > before.version
    succeeded = outcome is Outcome.SUCCEEDED
    assert after.succeeded == ({"s", "t"} if succeeded else {"s"})
    assert after.kept == ({"y": 2} if succeeded else {"x": 1, "y": 2})
    assert [each["outcome"] for each in ledger.records(RecordFilter(kind="operation"))] == [f"settled_{outcome}"]
    ledger.shut()
    again = open_ledger(file)
    assert run_now(again) == after, "read again from the file"
    again.shut()


def test_only_a_call_whose_outcome_is_unknown_can_be_settled_and_only_once(ledger: LogLedger) -> None:
    """Nobody turns a known failure into a success, or answers for a call that may still end by itself."""
    with pytest.raises(LedgerError, match="under way"):
        got(settled(ledger, Outcome.FAILED))
    with pytest.raises(LedgerError, match="no such decision"):
        got(settled(ledger, Outcome.FAILED, "d9"))
    unknown(ledger)
    with pytest.raises(LedgerError, match="expected succeeded or failed"):
        got(settled(ledger, Outcome.UNKNOWN))
    got(settled(ledger, Outcome.FAILED))
    with pytest.raises(LedgerError, match="nothing is unknown of it"):
        got(settled(ledger, Outcome.SUCCEEDED))
    assert run_now(ledger).succeeded == frozenset()
    ledger.shut()


def test_a_run_that_lost_track_stays_so_through_a_restart_and_is_seen_by_others(ledger: LogLedger, file: Path) -> None:
    """Each of several calls must be settled."""
    got(ledger.admit(an_admission("d2", 2), windows={}))
    unknown(ledger)
    unknown(ledger, "d2")
    assert ledger.engine.flush()
    other = open_ledger(file)
    assert run_now(other).unsettled == {"d1", "d2"}
    assert got(settled(other, Outcome.FAILED)).unsettled == {"d2"}
    other.shut()
    assert run_now(ledger, when=T0).unsettled == {"d2"}
    ledger.shut()
