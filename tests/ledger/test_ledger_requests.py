"""The life of an approval request as the fold derives it: each step one record, and nothing comes back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from ledger_kit import a_closing, a_question, a_run, an_admission, an_answer, at, got, record, run_now

from agentguard.core.answers import ApprovalStatus
from agentguard.core.signals import Signal, SignalEffect
from agentguard.errors import LedgerError
from agentguard.ledger import LogLedger, Outcome, open_ledger
from agentguard.ledger.cells import APPROVAL, CALL, ApprovalCell, CallCell
from agentguard.ledger.stored import decode, encode

ANYONE: dict[str, Any] = {"approvers": ("anyone",), "quorum": 1}


def status(ledger: LogLedger, name: str = "ask-1", when: float = 1) -> ApprovalStatus:
    row = got(ledger.approval(name))
    assert row is not None
    return row.status(at(when))


@pytest.fixture(autouse=True)
def in_a_run(ledger: LogLedger) -> None:
    got(ledger.start_run(a_run(), record("run")))


def asked(ledger: LogLedger, name: str = "ask-1", **fields: Any) -> None:
    got(ledger.ask(a_question(name, **ANYONE | fields), record("approval")))


def said(ledger: LogLedger, approve: bool = True, when: float = 1) -> None:
    got(ledger.answer("ask-1", an_answer(approve=approve, when=at(when)), record("approval")))


def claimed(ledger: LogLedger) -> None:
    said(ledger)
    got(ledger.admit(an_admission("d1", run_now(ledger).version, approval_id="ask-1"), windows={}))


def closed(outcome: Outcome) -> Callable[[LogLedger], None]:
    def close(ledger: LogLedger) -> None:
        claimed(ledger)
        got(ledger.close(a_closing("d1", outcome)))

    return close


def settled(ledger: LogLedger) -> None:
    closed(Outcome.UNKNOWN)(ledger)
    got(ledger.settle("d1", outcome=Outcome.FAILED, record=record("operation", decision_id="d1", run_id="r")))


def ended(status: str) -> Callable[[LogLedger], None]:
    return lambda ledger: got(ledger.change_run("r", at=at(1), record=record("run"), status=status)) and None


def swept_away(ledger: LogLedger) -> None:
    signal = Signal(source="s", event="e", effect=SignalEffect.END_RUNS, at=at(1), about="spiffe://x/a")
    got(ledger.signal(("i", "j"), [signal], at=at(1), records=[record("signal")]))


def superseded(ledger: LogLedger) -> None:
    asked(ledger, "ask-2", basis="sha256:other", requested_at=at(1))


def cancelled(ledger: LogLedger) -> None:
    got(ledger.cancel("ask-1", by="user:ann", at=at(1), record=record("approval")))


LIVES: list[tuple[Callable[[LogLedger], None], ApprovalStatus]] = [
    (lambda ledger: None, ApprovalStatus.PENDING),
    (said, ApprovalStatus.APPROVED),
    (lambda ledger: said(ledger, False), ApprovalStatus.DENIED),
    (claimed, ApprovalStatus.CLAIMED),
    (closed(Outcome.SUCCEEDED), ApprovalStatus.SUCCEEDED),
    (closed(Outcome.FAILED), ApprovalStatus.FAILED),
    (closed(Outcome.UNKNOWN), ApprovalStatus.UNKNOWN),
    (settled, ApprovalStatus.FAILED),
    (ended("ended"), ApprovalStatus.CANCELLED),
    (ended("stopped"), ApprovalStatus.CANCELLED),
    (swept_away, ApprovalStatus.CANCELLED),
    (superseded, ApprovalStatus.SUPERSEDED),
    (cancelled, ApprovalStatus.CANCELLED),
]


@pytest.mark.parametrize(("lived", "expected"), LIVES)
def test_where_a_request_stands_is_what_its_records_add_up_to(
    ledger: LogLedger, lived: Callable[[LogLedger], None], expected: ApprovalStatus
) -> None:
    """And what it came to before its time was up stays so, whatever happens to its run afterwards."""
    asked(ledger)
    lived(ledger)
    assert status(ledger) is expected
    is_open = expected in (ApprovalStatus.PENDING, ApprovalStatus.APPROVED)
    assert ("ask-1" in [row.request.id for row in got(ledger.approvals(open_at=at(1)))]) is is_open

    got(ledger.change_run("r", at=at(2), record=record("run"), status="ended"))
    assert status(ledger, when=3) is (ApprovalStatus.CANCELLED if is_open else expected)
    assert status(ledger, when=3600) is (ApprovalStatus.CANCELLED if is_open else expected)


@pytest.mark.parametrize("lived", [each for each, word in LIVES if word is not ApprovalStatus.PENDING])
def test_what_is_over_is_neither_answered_nor_cancelled_nor_claimed_again(
    ledger: LogLedger, lived: Callable[[LogLedger], None]
) -> None:
    asked(ledger)
    lived(ledger)
    before = status(ledger)
    if before is ApprovalStatus.APPROVED:
        return
    with pytest.raises(LedgerError):
        got(ledger.answer("ask-1", an_answer("user:cyd"), record("approval")))
    with pytest.raises(LedgerError):
        got(ledger.cancel("ask-1", by="user:ann", at=at(1), record=record("approval")))
    assert status(ledger) is before


def test_a_request_that_expired_first_was_never_cancelled(ledger: LogLedger) -> None:
    asked(ledger, expires_at=at(10))
    got(ledger.change_run("r", at=at(20), record={**record("run"), "time": "2026-09-01T00:00:20Z"}, status="ended"))
    assert status(ledger, when=30) is ApprovalStatus.EXPIRED


def test_the_same_question_is_asked_once_and_on_other_grounds_anew(ledger: LogLedger) -> None:
    asked(ledger)
    asked(ledger, "ask-2")
    assert got(ledger.approval("ask-2")) is None
    superseded(ledger)
    assert status(ledger, "ask-2") is ApprovalStatus.PENDING
    found = got(ledger.approval_for("sha256:q"))
    assert found is not None and found.request.id == "ask-2"


def test_a_superseded_request_permits_nothing(ledger: LogLedger) -> None:
    asked(ledger)
    said(ledger)
    superseded(ledger)
    answer = got(ledger.admit(an_admission("d1", run_now(ledger).version, approval_id="ask-1"), windows={}))
    assert "approval_used" in repr(answer)


@pytest.mark.parametrize("who", ["user:bea", "spiffe://x/b", "user:an"])
def test_only_whom_it_is_for_and_the_agent_take_a_question_back(ledger: LogLedger, who: str) -> None:
    asked(ledger)
    with pytest.raises(LedgerError, match="neither by nor for"):
        got(ledger.cancel("ask-1", by=who, at=at(1), record=record("approval")))
    got(ledger.cancel("ask-1", by="spiffe://x/a", at=at(1), record=record("approval")))
    assert status(ledger) is ApprovalStatus.CANCELLED


def test_an_agreement_is_good_for_as_long_as_it_may_be_used_after_its_last_yes(ledger: LogLedger) -> None:
    asked(ledger, expires_at=at(10), use_within=timedelta(seconds=60))
    said(ledger, when=9)
    assert [status(ledger, when=when) for when in (8, 68.999, 69)] == [
        ApprovalStatus.APPROVED, ApprovalStatus.APPROVED, ApprovalStatus.EXPIRED,
    ]  # fmt: skip
    assert [row.request.id for row in got(ledger.approvals(open_at=at(60)))] == ["ask-1"]
    assert got(ledger.approvals(open_at=at(69))) == []


def test_cells_from_before_these_words_are_read_and_written_as_they_were() -> None:
    """A snapshot of an older ledger folds on."""
    body = {"workflow": "w", "step": "s", "tool": "t", "subject": "x", "requester": None, "approvers": [], "quorum": 1}
    old = orjson.dumps([1, "sha256:q", "sha256:p", "r", 0, 9, body, None, [["user:bea", True, 3]], True])
    read = decode(APPROVAL, old)
    assert read == ApprovalCell(1, "sha256:q", "sha256:p", "r", 0, 9, body, None, (("user:bea", True, 3),), True)
    for cell, kind in (
        (read, APPROVAL),
        (ApprovalCell(1, "q", "p", "r", 0, 9, {}, {}, (), True, "d1", "failed"), APPROVAL),
        (ApprovalCell(1, "q", "p", "r", 0, 9, {}, {}, (), False, "", "", ("cancelled", None)), APPROVAL),
        (CallCell(1, "r", "s", "o"), CALL),
        (CallCell(1, "r", "s", "o", approval="a"), CALL),
    ):
        assert decode(kind, encode(cell)) == cell
    call = orjson.loads(encode(CallCell(1, "r", "s", "o")))
    assert len(call) == 6


def test_of_a_thousand_parallel_claims_in_four_processes_one_is_admitted(tmp_path: Path) -> None:
    """A yes is for one call, whoever else has the same yes in hand at that moment."""
    path = tmp_path / "shared.sqlite3"
    ledger = open_ledger(path)
    got(ledger.start_run(a_run(), record("run")))
    asked(ledger)
    said(ledger)
    child = [sys.executable, str(Path(__file__).with_name("ledger_approval_child.py")), str(path), "250"]
    processes = [
        subprocess.Popen([*child, f"d{number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = "".join(process.communicate()[0].strip() for process in processes)
    assert (len(told), told.count("1")) == (1_000, 1)
    assert status(ledger) is ApprovalStatus.CLAIMED
    ledger.shut()
