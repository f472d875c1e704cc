"""Where a run has been, and what its subject has reached for the first time."""

from __future__ import annotations

from pathlib import Path

from ledger_kit import a_run, an_admission, got, paused, record, run_now

from agentguard.ledger import Admitted, LogLedger, memory_ledger, open_ledger

ZONES = frozenset({"data"})


def started(ledger: LogLedger, *names: str, **fields: str) -> None:
    for name in names:
        got(ledger.start_run(a_run(name, **fields), record("run")))


def test_a_permit_takes_the_run_and_its_subject_there() -> None:
    """The record, the run's history and the contact are one transaction."""
    ledger = memory_ledger()
    started(ledger, "r", "s")
    started(ledger, "other", subject="spiffe://x/b")

    answer = got(ledger.admit(an_admission("d1", zones=ZONES), windows={}))

    assert isinstance(answer, Admitted)
    assert answer.run == run_now(ledger, "r")
    assert (run_now(ledger, "r").zones, run_now(ledger, "r").contacts) == (ZONES, ZONES)
    assert (run_now(ledger, "s").zones, run_now(ledger, "s").contacts) == (frozenset(), ZONES)
    assert run_now(ledger, "other").contacts == frozenset()


def test_a_first_contact_moves_the_subjects_other_runs_and_a_second_does_not() -> None:
    """A call of theirs that waits to be asked about it is decided anew."""
    ledger = memory_ledger()
    started(ledger, "r", "s")
    before = run_now(ledger, "s").version

    first = got(ledger.admit(an_admission("d1", zones=ZONES), windows={}))
    moved = run_now(ledger, "s").version
    assert isinstance(first, Admitted) and first.run is not None
    got(ledger.admit(an_admission("d2", first.run.version, zones=ZONES), windows={}))

    assert moved > before
    assert run_now(ledger, "s").version == moved


def test_what_is_not_admitted_reaches_nothing() -> None:
    ledger = memory_ledger()
    started(ledger, "r")

    got(ledger.admit(an_admission("d1", permit=False, zones=ZONES), windows={}))
    got(ledger.admit(an_admission("d2", 99, zones=ZONES), windows={}))
    got(ledger.admit(an_admission("d3", step_at_most=0, zones=ZONES), windows={}))

    assert (run_now(ledger).zones, run_now(ledger).contacts) == (frozenset(), frozenset())


def test_contacts_outlive_the_process_and_are_seen_by_others(tmp_path: Path) -> None:
    """A restart must not make everything new, nor another process ask again."""
    one, two = open_ledger(tmp_path / "l"), open_ledger(tmp_path / "l")
    started(one, "r")
    assert run_now(two).contacts == frozenset()
    got(one.admit(an_admission("d1", zones=ZONES), windows={}))
    assert run_now(two).contacts == ZONES
    one.shut()
    two.shut()

    again = open_ledger(tmp_path / "l")
    assert (run_now(again).zones, run_now(again).contacts) == (ZONES, ZONES)
    again.shut()


def test_several_calls_in_one_transaction_keep_their_counts() -> None:
    """A first contact reads runs again in the middle of a transaction; nothing of it may be lost."""
    ledger = memory_ledger()
    started(ledger, "r", "s")
    with paused(ledger):
        futures = [
            ledger.admit(an_admission("d1", run_id="s"), windows={}),
            ledger.admit(an_admission("d2", zones=ZONES), windows={}),
        ]

    assert all(isinstance(got(future), Admitted) for future in futures)
    assert (run_now(ledger, "r").counts, run_now(ledger, "s").counts) == ({"s": 1}, {"s": 1})
