"""Calls that are made again: one of many takes the name, and what came of it is told until the run ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger_kit import (
    EVERYTHING,
    T0,
    a_closing,
    a_run,
    an_admission,
    at,
    child,
    forget_memory,
    got,
    record,
    run_now,
    text,
    tidy,
)

from agentguard.core.facts import CallStatus, MadeBefore
from agentguard.errors import LedgerError
from agentguard.ledger import (
    Admitted,
    LogLedger,
    MadeCall,
    Outcome,
    Refusal,
    Refused,
    Suspension,
    open_ledger,
)
from agentguard.ledger.sqlite.files import open_file
from agentguard.ledger.sqlite.store import SqliteLog


def made(ledger: LogLedger, decision_id: str = "d1", key: str = "k", *, nothing: bool = False, **fields: Any) -> Any:
    """A permit that takes this name, or why not."""
    known = MadeCall(key, fields.pop("digest", "sha256:q"))
    version = run_now(ledger, fields.get("run_id", "r")).version
    asked = an_admission(decision_id, version, made=known, failure_did_nothing=nothing, **fields)
    return got(ledger.admit(asked, windows={}))


def again(ledger: LogLedger, decision_id: str, sees: MadeBefore, *, continues: bool = False, **fields: Any) -> Any:
    """The same call, made again."""
    known = MadeCall("k", "sha256:q", sees, continues)
    version = run_now(ledger).version
    return got(ledger.admit(an_admission(decision_id, version, permit=False, made=known, **fields), windows={}))


def close(ledger: LogLedger, decision_id: str = "d1", outcome: Outcome = Outcome.SUCCEEDED, **fields: Any) -> None:
    got(ledger.close(a_closing(decision_id, outcome, **fields)))


def seen(ledger: LogLedger, key: str = "k") -> tuple[str, bool] | None:
    """How far the call of this name has come, the same after everything was read again."""
    before = got(ledger.made(key))
    tidy(ledger)
    assert got(ledger.made(key)) == before
    return None if before is None else (str(before.status), before.answered)


@pytest.fixture
def started(ledger: LogLedger) -> LogLedger:
    got(ledger.start_run(a_run(), record("run")))
    return ledger


def test_the_first_call_takes_the_name_and_a_second_does_not(started: LogLedger) -> None:
    assert got(started.made("k")) is None
    assert isinstance(made(started), Admitted)
    assert seen(started) == ("running", False)
    refused = made(started, "d2")
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.CALL_MADE
    assert isinstance(made(started, "d3", "another"), Admitted)
    assert run_now(started).counts == {"s": 2}


STEPS: dict[str, tuple[Callable[[LogLedger], Any], tuple[str, bool] | None]] = {
    "succeeded": (lambda ledger: close(ledger), ("succeeded", False)),
    "succeeded, kept": (lambda ledger: close(ledger, answer='"x"'), ("succeeded", True)),
    "failed": (lambda ledger: close(ledger, outcome=Outcome.FAILED), ("failed", False)),
    "failed, kept": (lambda ledger: close(ledger, outcome=Outcome.FAILED, answer='"x"'), ("failed", True)),
    "unknown": (lambda ledger: close(ledger, outcome=Outcome.UNKNOWN), ("unknown", False)),
    "never started": (lambda ledger: close(ledger, outcome=Outcome.FAILED, started=False), None),
    "too large": (lambda ledger: close(ledger, answer="x" * (64 * 1024 + 1)), ("succeeded", False)),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_an_outcome_says_how_the_call_ended(started: LogLedger, step: tuple[Any, Any]) -> None:
    made(started)
    step[0](started)
    assert seen(started) == step[1]


def test_the_first_outcome_stands(started: LogLedger) -> None:
    made(started)
    close(started, answer='"x"')
    close(started, outcome=Outcome.FAILED, started=False)
    assert seen(started) == ("succeeded", True)
    assert got(started.answer_of("d1")) == '"x"'


def test_a_failure_that_did_nothing_gives_the_name_back(started: LogLedger) -> None:
    made(started, nothing=True)
    close(started, outcome=Outcome.FAILED)
    assert seen(started) is None
    assert isinstance(made(started, "d2"), Admitted)


@pytest.mark.parametrize(("as_what", "nothing", "after"), [
    (Outcome.SUCCEEDED, False, ("succeeded", False)), (Outcome.FAILED, False, ("failed", False)),
    (Outcome.FAILED, True, None),
])  # fmt: skip
def test_a_person_settles_it(started: LogLedger, as_what: Outcome, nothing: bool, after: Any) -> None:
    made(started, nothing=nothing)
    close(started, outcome=Outcome.UNKNOWN)
    got(started.settle("d1", outcome=as_what, record=record("operation")))
    assert seen(started) == after


def test_a_repetition_takes_nothing_and_is_compared_with_what_its_decision_saw(started: LogLedger) -> None:
    made(started)
    running = got(started.made("k"))
    assert running is not None
    before = run_now(started)
    assert isinstance(again(started, "d2", running), Admitted)
    assert run_now(started) == before
    close(started)
    late = again(started, "d3", running)
    assert isinstance(late, Refused)
    assert late.reason is Refusal.CALL_MADE
    ended = got(started.made("k"))
    assert isinstance(again(started, "d4", ended), Admitted)
    stale = got(started.admit(an_admission("d5", 1, permit=False, made=MadeCall("k", "q", ended)), windows={}))
    assert isinstance(stale, Refused)
    assert stale.reason is Refusal.RUN_MOVED


def test_what_repeats_is_no_permit(started: LogLedger) -> None:
    made(started)
    asked = an_admission("d2", run_now(started).version, made=MadeCall("k", "q", got(started.made("k"))))
    with pytest.raises(LedgerError, match="takes nothing"):
        got(started.admit(asked, windows={}))


def suspension(decision_id: str = "d1") -> Suspension:
    return Suspension(decision_id, record("suspension", decision_id=decision_id, run_id="r"))


def test_a_suspended_call_goes_on_once(started: LogLedger) -> None:
    made(started)
    got(started.suspend(suspension()))
    assert seen(started) == ("suspended", False)
    known = got(started.made("k"))
    assert isinstance(again(started, "d2", known, continues=True), Admitted)
    assert seen(started) == ("running", False)
    second = again(started, "d3", known, continues=True)
    assert isinstance(second, Refused)
    assert second.reason is Refusal.CALL_MADE
    got(started.suspend(suspension()))
    again(started, "d4", got(started.made("k")), continues=True)
    close(started, answer="1")
    assert seen(started) == ("succeeded", True)
    assert run_now(started).counts == {"s": 1}


def test_what_is_no_call_under_way_is_not_suspended(started: LogLedger) -> None:
    with pytest.raises(LedgerError, match="not under way"):
        got(started.suspend(suspension("d9")))


@pytest.mark.parametrize("how", ["ended", "stopped"])
def test_the_end_of_a_run_erases_what_was_given_out_and_leaves_what_is_suspended_unknown(
    started: LogLedger, how: str
) -> None:
    for number, key in enumerate("kab"):
        made(started, f"d{number}", key)
        close(started, f"d{number}", answer=f'"secret {number}"')
    made(started, "d9", "z")
    got(started.suspend(suspension("d9")))
    end = record("run", run_id="r", time=text(at(5)))
    got(started.change_run("r", at=at(5), record=end, status=how))
    assert seen(started, "z") == ("unknown", False)
    assert [got(started.answer_of(f"d{number}")) for number in range(3)] == [None] * 3
    held = [got(started.private(each["seq"])) for each in started.records(EVERYTHING)]
    assert "secret" not in repr(held)


def test_an_answer_is_a_commitment_in_public(started: LogLedger) -> None:
    made(started)
    close(started, answer='"for nobody else"')
    outcome = [each for each in started.records(EVERYTHING) if each["kind"] == "outcome"]
    assert [[*each["commitments"]] for each in outcome] == [["answer"]]
    assert "nobody" not in repr(outcome)


def test_an_erased_run_has_no_answers(started: LogLedger) -> None:
    made(started)
    close(started, answer='"x"')
    got(started.erase(record("operation"), run_id="r"))
    assert got(started.answer_of("d1")) is None
    assert seen(started) == ("succeeded", True)


def test_an_outcome_that_is_owed_is_told_and_goes_with_the_run(started: LogLedger) -> None:
    """The outcome is in no file yet when the run ends."""
    made(started)
    started.close(a_closing("d1", answer='"secret"'))
    started.change_run("r", at=T0, record=record("run", run_id="r"), status="ended")
    held = [got(started.private(each["seq"])) for each in started.records(EVERYTHING)]
    assert "secret" not in repr(held)


def test_a_call_whose_process_is_gone_is_unknown(tmp_path: Path) -> None:
    """Also before anybody has recovered it."""
    path = tmp_path / "ledger.sqlite3"
    first = open_ledger(path)
    got(first.start_run(a_run(), record("run")))
    made(first)
    first.shut()
    second = LogLedger(lambda: SqliteLog(open_file(path)), threaded=True)  # nobody has recovered it
    assert seen(second) == ("unknown", False)
    got(second.recover(at=T0))
    assert seen(second) == ("unknown", False)
    second.shut()


def test_a_suspended_call_outlives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    first = open_ledger(path)
    got(first.start_run(a_run(), record("run")))
    made(first)
    got(first.suspend(suspension()))
    first.shut()
    second = open_ledger(path)
    assert seen(second) == ("suspended", False)
    assert isinstance(again(second, "d2", got(second.made("k")), continues=True), Admitted)
    assert seen(second) == ("running", False)
    second.shut()


def claims(path: Path, count: int) -> None:
    ledger = open_ledger(path)
    got(ledger.start_run(a_run(), record("run")))
    children = [child(Path(__file__).with_name("ledger_claim_child.py"), path, count, f"p{n}") for n in range(4)]
    for each in children:
        assert each.stdout is not None
        assert each.stdout.readline() == b"ready\n"
    for each in children:
        assert each.stdin is not None
        each.stdin.write(b"go\n")
        each.stdin.flush()
    said = [each.stdout.readline().decode().strip() for each in children if each.stdout is not None]
    for each in children:
        each.communicate(b"end\n", timeout=120)
        assert each.returncode == 0
    assert ["".join(sorted(column)) for column in zip(*said, strict=True)] == ["1rrr"] * count
    assert run_now(ledger).counts == {"s": count}
    forget_memory(ledger)
    assert {str(got(ledger.made(f"call-{number}")).status) for number in range(count)} == {str(CallStatus.UNKNOWN)}
    ledger.shut()


def test_of_several_processes_with_the_same_call_exactly_one_runs_it(tmp_path: Path) -> None:
    claims(tmp_path / "ledger.sqlite3", 40)


@pytest.mark.nightly
def test_of_four_processes_each_of_a_thousand_calls_is_run_by_exactly_one(tmp_path: Path) -> None:
    claims(tmp_path / "ledger.sqlite3", 1_000)
