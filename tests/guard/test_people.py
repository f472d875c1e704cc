"""Who may answer, by whatever channel; when nobody could; and what a no, or a retry, is to the program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tenacity

from agentguard.errors import ApprovalPending, ApprovalRefused, LedgerError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.ledger import memory_ledger

from .conftest import Clock, Tools

TICKET = {"ticket": "EXP-7"}
BIG = {"table": "orders", "rows": 2000, "target": "https://files.corp.example/x.csv"}


@pytest.fixture
def asked(guard: Guard, tools: Tools) -> str:
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET, requester="user:eli") as run, pytest.raises(ApprovalPending):
        look("EXP-7")
        export(**BIG)
    return run.waiting[0]


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("user:mallory", "it asks group:data-stewards"),
        ("user:Alice", "it asks group:data-stewards"),
        ("alice", "is no person"),
        ("group:data-stewards", "is no person"),
        ("spiffe://corp.example/agent/exporter", "is no person"),
        ("user:eli", "somebody else"),
        ("user:\uff25li", "somebody else"),
    ],
)
def test_an_answer_that_the_command_would_refuse_is_refused_by_every_channel(
    guard: Guard, asked: str, who: str, why: str
) -> None:
    """The rule stands in the ledger, and nothing is written where it says no."""
    before = sum(1 for _ in guard.records())
    with pytest.raises(LedgerError, match=why):
        guard.operations.answer(asked, approver=who, approve=True)

    row = guard.operations.approval(asked)
    assert row is not None and row.answers == () and sum(1 for _ in guard.records()) == before


def test_a_second_answer_after_a_final_no_is_refused(guard: Guard, asked: str) -> None:
    """Neither by the one who gave it, nor by anybody else, nor a second no."""
    guard.operations.answer(asked, approver="user:alice", approve=False)
    for who, approve in (("user:alice", True), ("user:alice", False), ("user:bob", True), ("user:bob", False)):
        with pytest.raises(LedgerError, match=r"already|final"):
            guard.operations.answer(asked, approver=who, approve=approve)


def test_anybody_may_say_no(guard: Guard, asked: str) -> None:
    """Who sees something wrong need not be one of the asked; it only takes power away."""
    guard.operations.answer(asked, approver="user:mallory", approve=False)


def test_a_persons_no_is_raised_as_such_when_the_call_is_repeated(guard: Guard, tools: Tools, asked: str) -> None:
    """Also without `wait`, where the call that asked is long over."""
    export = guard.wrap(tools.functions()[1])
    row = guard.operations.approval(asked)
    assert row is not None
    with guard.resume(row.request.run_id):
        guard.operations.answer(asked, approver="user:alice", approve=False)
        with pytest.raises(ApprovalRefused):
            export(**BIG)


@pytest.mark.parametrize("requester", ["user:alice", "alice", "user:BOB"])
def test_where_too_few_are_left_who_could_answer_the_call_is_refused_at_once(
    guard: Guard, tools: Tools, requester: str
) -> None:
    """Two stewards must agree, and the run is for one of them; nobody is asked for nothing."""
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET, requester=requester) as run:
        look("EXP-7")
        with pytest.raises(ToolCallDenied):
            export(**BIG)

    assert list(guard.records(kind="decision"))[-1]["reasons"] == ["approval_impossible"]
    assert (guard.operations.approvals(open_only=False), run.waiting) == ([], ())


# A refusal that is retried.


@pytest.fixture
def watched(bundle: Path, tmp_path: Path, clock: Clock) -> Iterator[Guard]:
    """Three denials within ten minutes are an attack."""
    file = bundle / "customer-export.yaml"
    file.write_text(file.read_text() + "raise_risk: [{to: high, after: {denials: 3, within: 10m}}]\n")
    with Guard.load(bundle, ledger=memory_ledger(), home=tmp_path / "home", clock=clock) as made:
        yield made


def refused(call: Callable[..., Any], *args: Any) -> None:
    with pytest.raises(ToolCallDenied):
        call(*args)


def risk(guard: Guard) -> str:
    (run,) = guard.operations.runs()
    return run.risk.word


def test_a_refusal_that_is_retried_is_one_denial(watched: Guard, tools: Tools) -> None:
    """tenacity around a guarded tool, as frameworks have it."""
    look = watched.wrap(tools.functions()[0])
    retried = tenacity.retry(stop=tenacity.stop_after_attempt(5), reraise=True)(look)
    with watched.run("customer-export", inputs=TICKET):
        refused(retried, "EXP-8")
        assert risk(watched) == "low"
        refused(retried, "EXP-9")
        assert risk(watched) == "low"
        refused(look, "EXP-10")
        assert risk(watched) == "high"


def test_the_same_call_tried_again_later_is_another_denial(watched: Guard, tools: Tools, clock: Clock) -> None:
    """Within seconds it is a retry; after that somebody tries again."""
    look = watched.wrap(tools.functions()[0])
    with watched.run("customer-export", inputs=TICKET):
        for _ in range(3):
            refused(look, "EXP-8")
            clock.pass_by(11)
        assert risk(watched) == "high"
