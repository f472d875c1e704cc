"""Stopping, suspending, revoking, asking and answering, for every form of the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ledger_kit import T0, a_closing, a_question, a_run, an_admission, an_answer, at, got, record, run_now, seqs

from agentguard.core.facts import RunState, RunStatus
from agentguard.core.values import Risk
from agentguard.errors import LedgerError
from agentguard.ledger import Admitted, LogLedger, Refusal


@pytest.fixture(autouse=True)
def _a_run(ledger: LogLedger) -> None:
    got(ledger.start_run(a_run(), record("run", run_id="r")))


def change(ledger: LogLedger, **fields: Any) -> RunState:
    return got(ledger.change_run("r", at=T0, record=record("operation", run_id="r"), **fields))


def suspend(ledger: LogLedger, suspended: Any = True, subject: str = "spiffe://x/a") -> None:
    got(ledger.suspend_subject(subject, at=T0, record=record("operation"), suspended=suspended))


def revoke(ledger: LogLedger, name: str = "db-password", state: str = "revoked") -> None:
    got(ledger.revoke_credential(name, at=T0, record=record("operation"), state=state))


MOVES: dict[str, Callable[[LogLedger], object]] = {
    "stopped": lambda ledger: change(ledger, status="stopped"),
    "ended": lambda ledger: change(ledger, status="ended"),
    "risk": lambda ledger: change(ledger, risk=Risk.HIGH),
    "subject suspended": suspend,
    "subject accepted again": lambda ledger: suspend(ledger, False),
    "credential revoked": revoke,
    "credential rotated": lambda ledger: revoke(ledger, state="rotated"),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_decision_made_before_a_change_is_not_admitted_after_it(ledger: LogLedger, move: str) -> None:
    """What the decision saw is no longer so."""
    decided_on = run_now(ledger).version
    MOVES[move](ledger)

    assert got(ledger.admit(an_admission("d1", decided_on), windows={})).reason is Refusal.RUN_MOVED
    assert run_now(ledger).version > decided_on


@pytest.mark.parametrize("first", ["stopped", "ended"])
def test_a_run_that_stopped_or_ended_never_becomes_active_again(ledger: LogLedger, first: str) -> None:
    """Stopping is for ever; the way on is a new run."""
    change(ledger, status=first)
    with pytest.raises(LedgerError, match="never becomes active again"):
        change(ledger, status="active")

    now = run_now(ledger)
    assert now.status is RunStatus(first)
    assert got(ledger.admit(an_admission("d1", now.version), windows={})).reason is Refusal.RUN_MOVED


def test_a_run_that_was_stopped_stays_stopped_when_the_code_around_it_ends(ledger: LogLedger) -> None:
    """`stopped` says that somebody intervened; the end of a `with` block must not hide it."""
    change(ledger, status="stopped")
    assert change(ledger, status="ended").status is RunStatus.STOPPED


def test_a_suspended_subject_can_do_nothing_in_any_run(ledger: LogLedger) -> None:
    """Runs under way, runs begun later, and not the runs of others."""
    got(ledger.start_run(a_run("other", subject="spiffe://x/b"), record("run")))
    suspend(ledger)
    later = got(ledger.start_run(a_run("later"), record("run")))

    assert later.subject_suspended
    assert run_now(ledger).subject_suspended
    assert not run_now(ledger, "other").subject_suspended
    assert run_now(ledger, "other").version == 1
    for name in ("r", "later"):
        answer = got(ledger.admit(an_admission("d", run_now(ledger, name).version, run_id=name), windows={}))
        assert answer.reason is Refusal.RUN_MOVED
    suspend(ledger, False)
    assert isinstance(got(ledger.admit(an_admission("d", run_now(ledger).version), windows={})), Admitted)


def test_a_credential_never_heard_of_is_missing_from_the_answer(ledger: LogLedger) -> None:
    """Not known is not the same as active."""
    revoke(ledger, "a", "revoked")
    revoke(ledger, "b", "active")
    assert got(ledger.credential_states(["a", "b", "c"])) == {"a": "revoked", "b": "active"}


BAD_CHANGES: dict[str, Callable[[LogLedger], object]] = {
    "no such run": lambda ledger: got(ledger.change_run("r9", at=T0, record=record(), status="ended")),
    "no such status": lambda ledger: change(ledger, status="paused"),
    "no such risk": lambda ledger: change(ledger, risk=7),
    "no such state": lambda ledger: revoke(ledger, state="lost"),
    "suspended is a word": lambda ledger: suspend(ledger, "no"),
    "run id is a number": lambda ledger: got(ledger.change_run(1, at=T0, record=record())),  # type: ignore[arg-type]
    "no such approval": lambda ledger: got(ledger.answer("ask-9", an_answer(), record())),
}


@pytest.mark.parametrize("case", BAD_CHANGES)
def test_a_change_that_makes_no_sense_is_refused_and_leaves_no_record(ledger: LogLedger, case: str) -> None:
    """A record of something that did not happen is a false record."""
    with pytest.raises(LedgerError):
        BAD_CHANGES[case](ledger)
    assert seqs(ledger) == [1]
    assert run_now(ledger).version == 1


def test_runs_are_listed_newest_first(ledger: LogLedger) -> None:
    """And only the active ones when asked so."""
    for name in ("r2", "r3"):
        got(ledger.start_run(a_run(name), record("run")))
    got(ledger.change_run("r2", at=T0, record=record(), status="ended"))

    assert [run.id for run in got(ledger.runs())] == ["r3", "r2", "r"]
    assert [run.id for run in got(ledger.runs(active_only=True))] == ["r3", "r"]
    assert got(ledger.run("nobody", at=T0, windows={})) is None


def test_the_same_open_question_is_asked_once(ledger: LogLedger) -> None:
    """A call that is repeated while a person thinks must not ring again."""
    first = got(ledger.ask(a_question("ask-1"), record("approval")))
    again = got(ledger.ask(a_question("ask-2", requested_at=at(1799)), record("approval")))

    assert first == again == got(ledger.approval("ask-1")) == got(ledger.approval_for("sha256:q"))
    assert first.request == a_question("ask-1")
    assert got(ledger.approval("ask-2")) is None
    assert seqs(ledger) == [1, 2]


NEW_QUESTIONS = {
    "expired": {"requested_at": at(1800), "expires_at": at(3600)},
    "other revision": {"policy_revision": "sha256:p2"},
    "other request": {"request_digest": "sha256:q2"},
}


@pytest.mark.parametrize("case", NEW_QUESTIONS)
def test_another_question_is_asked_anew(ledger: LogLedger, case: str) -> None:
    """An answer to one question answers no other."""
    got(ledger.ask(a_question("ask-1"), record("approval")))
    asked = a_question("ask-2", **NEW_QUESTIONS[case])

    assert got(ledger.ask(asked, record("approval"))).request.id == "ask-2"
    newest = got(ledger.approval_for(asked.request_digest))
    assert newest is not None and newest.request.id == "ask-2"


def test_a_refused_question_is_not_asked_again_while_it_is_open(ledger: LogLedger) -> None:
    """Repeating the call must not wear people down."""
    got(ledger.ask(a_question("ask-1"), record("approval")))
    got(ledger.answer("ask-1", an_answer(approve=False), record("approval")))

    assert got(ledger.ask(a_question("ask-2"), record("approval"))).request.id == "ask-1"


def test_a_question_needs_its_own_id(ledger: LogLedger) -> None:
    """Otherwise one answer would be for two questions."""
    got(ledger.ask(a_question("ask-1"), record("approval")))
    with pytest.raises(LedgerError, match="ask-1"):
        got(ledger.ask(a_question("ask-1", request_digest="sha256:q2"), record("approval")))


def test_answers_add_up_in_order(ledger: LogLedger) -> None:
    """Two people, in the order in which they answered."""
    got(ledger.ask(a_question(), record("approval")))
    got(ledger.answer("ask-1", an_answer("user:zoe", when=at(1)), record("approval")))
    row = got(ledger.answer("ask-1", an_answer("user:bea", when=at(2)), record("approval")))

    assert row.answers == (an_answer("user:zoe", when=at(1)), an_answer("user:bea", when=at(2)))
    assert row.state().answers == row.answers
    assert row == got(ledger.approval("ask-1"))


def test_one_person_answers_once(ledger: LogLedger) -> None:
    """A quorum of two is two people, and a no cannot be turned into a yes by its author."""
    got(ledger.ask(a_question(), record("approval")))
    got(ledger.answer("ask-1", an_answer(approve=False), record("approval")))
    with pytest.raises(LedgerError, match="one answer a person"):
        got(ledger.answer("ask-1", an_answer(approve=True, when=at(5)), record("approval")))

    row = got(ledger.approval("ask-1"))
    assert row is not None and [given.approve for given in row.answers] == [False]
    assert seqs(ledger) == [1, 2, 3]


def test_an_answer_after_expiry_is_refused_to_the_microsecond(ledger: LogLedger) -> None:
    """The moment of expiry is expired."""
    got(ledger.ask(a_question(), record("approval")))
    got(ledger.answer("ask-1", an_answer("user:bea", when=at(1799.999999)), record("approval")))
    with pytest.raises(LedgerError, match="expired at 2026-09-01T00:30:00Z"):
        got(ledger.answer("ask-1", an_answer("user:cid", when=at(1800)), record("approval")))


def test_an_approval_is_used_once_and_then_takes_no_more_answers(ledger: LogLedger) -> None:
    """Single use; the next call needs a new question."""
    got(ledger.ask(a_question(), record("approval")))
    got(ledger.answer("ask-1", an_answer(), record("approval")))
    assert isinstance(
        got(ledger.admit(an_admission("d1", run_now(ledger).version, approval_id="ask-1"), windows={})), Admitted
    )
    used = got(ledger.approval("ask-1"))
    assert used is not None and used.life.claimed

    again = got(ledger.admit(an_admission("d2", run_now(ledger).version, approval_id="ask-1"), windows={}))
    assert again.reason is Refusal.APPROVAL_USED
    with pytest.raises(LedgerError, match="used already"):
        got(ledger.answer("ask-1", an_answer("user:cid"), record("approval")))
    assert got(ledger.ask(a_question("ask-2"), record("approval"))).request.id == "ask-2"


def test_a_denied_admission_does_not_use_an_approval(ledger: LogLedger) -> None:
    """Only a permit takes anything."""
    got(ledger.ask(a_question(), record("approval")))
    got(ledger.admit(an_admission("d1", permit=False, approval_id="ask-1"), windows={}))

    row = got(ledger.approval("ask-1"))
    assert row is not None and not row.life.claimed


def test_open_approvals_are_those_that_still_wait_for_somebody(ledger: LogLedger) -> None:
    """Not the expired, the denied or the used; newest first."""
    for name in ("old", "denied", "used", "half", "new"):
        expires = at(10) if name == "old" else at(1800)
        got(ledger.ask(a_question(name, request_digest=name, expires_at=expires), record("approval")))
    got(ledger.answer("denied", an_answer(approve=False), record("approval")))
    got(ledger.answer("half", an_answer(), record("approval")))
    got(ledger.admit(an_admission("d1", run_now(ledger).version, approval_id="used"), windows={}))

    assert [row.request.id for row in got(ledger.approvals(open_at=at(10)))] == ["new", "half"]
    assert [row.request.id for row in got(ledger.approvals())] == ["new", "half", "used", "denied", "old"]


def test_an_outcome_is_seen_by_everything_that_follows_it(ledger: LogLedger) -> None:
    """Lazy on disk, not in effect: every kind of operation queued after a close sees it."""
    got(ledger.admit(an_admission("d1"), windows={}))
    ledger.close(a_closing("d1", kept={"x": 1}))
    read, listed, opened = ledger.run("r", at=T0, windows={}), ledger.runs(), ledger.open_calls()

    assert got(read).kept == {"x": 1}  # type: ignore[union-attr]
    assert got(listed)[0].kept == {"x": 1}
    assert got(opened) == []
    assert seqs(ledger) == [1, 2, 3]
