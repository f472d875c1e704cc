"""What runs have seen: written with the outcome, read by every process, gone when the run is over."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_kit import a_closing, a_run, an_admission, ask, at, break_down, got, paused, record, run_now, seqs

from agentguard.core.coarse import pieces_of
from agentguard.core.provenance import MAX_TEXT, NOTHING_SEEN, Brought, Seen, digests
from agentguard.core.signals import Signal, SignalEffect
from agentguard.errors import LedgerError
from agentguard.ledger import LogLedger, Outcome, cells, memory_ledger, open_ledger
from agentguard.ledger.worker import DURABLE


def brought(call: int = 1, text: str = "outside", value: str = "good") -> Brought:
    return Brought("t.get", call, {"t.get": digests(value), "kept.k": digests([value, 1])}, text)


def started(ledger: LogLedger) -> LogLedger:
    got(ledger.start_run(a_run(), record("run")))
    return ledger


def call(ledger: LogLedger, name: str, **closing: object) -> None:
    got(ledger.admit(an_admission(name, run_now(ledger).version), windows={}))
    got(ledger.close(a_closing(name, **closing)))  # type: ignore[arg-type]


def rows(ledger: LogLedger) -> int:
    """How many marks the run's cell holds, whatever a decision is shown of them."""
    cell = ledger.engine.worker.mirror.get((cells.RUN, "r"))
    assert isinstance(cell, cells.RunCell)
    return len(cell.seen.marks) + cell.seen.overflowed


def test_a_run_with_changes_is_the_run_with_these_fields_replaced() -> None:
    """In any field, and in no other."""
    ledger = started(memory_ledger())
    run = ledger.engine.worker.mirror.get((cells.RUN, "r"))
    assert isinstance(run, cells.RunCell)
    for field in cells.RunCell._fields:
        changed = cells.with_changes(run, **{field: "other"})
        assert type(changed) is cells.RunCell and changed == run._replace(**{field: "other"})
    with pytest.raises(KeyError):
        cells.with_changes(run, nothing=1)


def test_an_outcome_and_what_it_brought_take_effect_together() -> None:
    """Whoever is admitted afterwards has seen both; whoever decided before is not admitted."""
    ledger = started(memory_ledger())
    got(ledger.admit(an_admission("d1"), windows={}))
    before = run_now(ledger).version
    state = got(ledger.close(a_closing("d1", brought=brought())))

    assert state == run_now(ledger)
    assert state is not None
    assert state.version > before
    assert state.seen == NOTHING_SEEN.after(brought(), 1)


def test_a_second_outcome_brings_nothing() -> None:
    ledger = started(memory_ledger())
    call(ledger, "d1", brought=brought())
    before = run_now(ledger)

    got(ledger.close(a_closing("d1", brought=brought(text="more"))))

    assert run_now(ledger) == before


@pytest.mark.parametrize("outcome", list(Outcome))
def test_whatever_came_of_a_call_what_it_brought_counts(outcome: Outcome) -> None:
    """An error's text reaches the model as a result does, and what was decided before it came is not admitted."""
    ledger = started(memory_ledger())
    got(ledger.admit(an_admission("d1"), windows={}))
    before = run_now(ledger).version
    got(ledger.close(a_closing("d1", outcome, brought=brought())))

    assert run_now(ledger).seen.holds("outside")
    assert run_now(ledger).version > before


def test_clean_values_count_from_when_their_call_ended() -> None:
    """Two calls at once: the second's outsiders may have been read before the first's clean values."""
    ledger = started(memory_ledger())
    got(ledger.admit(an_admission("clean"), windows={}))
    got(ledger.admit(an_admission("outside", run_now(ledger).version), windows={}))
    got(ledger.close(a_closing("outside", brought=Brought("mail", 2, {}, "x"))))
    got(ledger.close(a_closing("clean", brought=Brought("t", 1, {"t": digests("x")}))))

    assert [(mark.source, mark.order) for mark in run_now(ledger).seen.marks] == [("mail", 2), ("t", 2)]


def test_what_was_seen_outlives_the_process_and_its_end_empties_it(tmp_path: Path) -> None:
    one = started(open_ledger(tmp_path / "l"))
    call(one, "d1", brought=brought())
    call(one, "d2", brought=brought(2, "second", "other"))
    seqs(one, limit=1)
    two = open_ledger(tmp_path / "l")
    assert run_now(two) == run_now(one)
    assert len(run_now(two).seen.marks) == 6
    one.shut()
    two.shut()

    again = open_ledger(tmp_path / "l")
    assert len(run_now(again).seen.marks) == 6
    got(again.change_run("r", at=at(1), record=record("run"), status="ended"))
    assert (run_now(again).seen, rows(again)) == (NOTHING_SEEN, 0)
    again.shut()


def test_a_loss_is_for_ever_and_survives(tmp_path: Path) -> None:
    ledger = started(open_ledger(tmp_path / "l"))
    call(ledger, "d1", brought=brought())
    call(ledger, "d2", brought=Brought("t.get", 2, {}, lost=True))
    call(ledger, "d3", brought=brought(3, "after"))
    assert run_now(ledger).seen == Seen((), True)
    assert rows(ledger) == 1
    ledger.shut()

    again = open_ledger(tmp_path / "l")
    assert run_now(again).seen == Seen((), True)
    again.shut()


def test_text_in_pieces_and_named_places_survive(tmp_path: Path) -> None:
    """What outsiders wrote past the bound, whether it came in pieces or whole; and places, also after a loss."""
    place = frozenset({b"\x01" * 32})
    ledger = started(open_ledger(tmp_path / "l"))
    call(ledger, "d1", brought=brought(1, "x" * MAX_TEXT))
    call(ledger, "d2", brought=Brought("t.get", 2, {"@t.get[*].id": place}, "letterbyletter"))
    call(ledger, "d3", brought=Brought("web", 3, {}, pieces=pieces_of("web", "inpieces")))
    before = run_now(ledger).seen
    ledger.shut()
    again = open_ledger(tmp_path / "l")
    after = run_now(again).seen

    assert before == after
    assert set(after.holders({"letterby", "inpiece"})) == {("t.get", 2), ("web", 3)}
    call(again, "d4", brought=Brought("web", 4, {}, lost=True))
    assert [mark.source for mark in run_now(again).seen.marks] == ["@t.get[*].id"]
    assert run_now(again).seen.overflowed
    again.shut()


def test_a_signal_that_ends_a_run_empties_it() -> None:
    """Outsiders' text may be private; nothing of it is kept longer than it is needed."""
    ledger = started(memory_ledger())
    call(ledger, "d1", brought=brought())
    ended = Signal("idp", "session-revoked", SignalEffect.END_RUNS, at(9), about="spiffe://x/a")
    got(ledger.signal(("iss", "j1"), [ended], at=at(9), records=[record("signal")]))

    assert (run_now(ledger).seen, rows(ledger)) == (NOTHING_SEEN, 0)
    assert str(run_now(ledger).status) == "stopped"


def test_a_call_that_ends_after_its_run_leaves_nothing_behind() -> None:
    ledger = started(memory_ledger())
    got(ledger.admit(an_admission("d1"), windows={}))
    got(ledger.change_run("r", at=at(1), record=record("run"), status="stopped"))
    got(ledger.close(a_closing("d1", brought=brought())))

    assert (run_now(ledger).seen, rows(ledger)) == (NOTHING_SEEN, 0)


def test_after_a_rollback_marks_are_written_again_and_once() -> None:
    """An outcome that was answered is run again with the next transaction, and so is what it brought."""
    ledger = started(memory_ledger())
    got(ledger.admit(an_admission("d1"), windows={}))
    with paused(ledger):
        closed = ledger.close(a_closing("d1", brought=brought()))
        broken = ask(ledger, DURABLE, break_down)
    got(closed)
    assert isinstance(broken.exception(60), LedgerError)
    call(ledger, "d2", brought=brought(2, "second", "other"))

    found = run_now(ledger).seen
    assert (len(found.marks), rows(ledger)) == (6, 6)
    assert found.holds("outside") and found.holds("second")
