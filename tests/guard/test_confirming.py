"""A confirmation is given by whom the run works for, where they are signed in: the agent's process gives none."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentguard.core.answers import ApprovalStatus
from agentguard.errors import LedgerError
from agentguard.guard import Guard, Operations
from agentguard.ledger import open_ledger

from .conftest import Clock, Tools
from .test_attacks import BIG, TICKET, ask, rewrite_file


@pytest.mark.parametrize("wanted", ["[requester]", "{requester: 1, group:data-stewards: 1}"])
def test_whom_the_run_works_for_confirms_elsewhere(bundle: Path, tmp_path: Path, wanted: str) -> None:
    text = 'from: ["group:data-stewards"]\n      quorum: 2'
    rewrite_file(bundle / "customer-export.yaml", text, f"from: {wanted}")
    clock, tools, path = Clock(), Tools(), tmp_path / "ledger.sqlite3"
    elsewhere = Operations(open_ledger(path), clock)
    with Guard.load(bundle, ledger=open_ledger(path), home=tmp_path, clock=clock) as guard:
        look, export = guard.wrap(tools.functions())
        with guard.run("customer-export", inputs=TICKET, requester="dave"):
            look("EXP-7")
            asked = ask(guard, export)
            with pytest.raises(LedgerError, match="never by the process of the agent"):
                guard.operations.answer(asked, approver="user:dave", approve=True)
            if "group" not in wanted:
                with pytest.raises(LedgerError, match="cannot agree"):
                    elsewhere.answer(asked, approver="user:alice", approve=True)
            else:
                elsewhere.answer(asked, approver="user:alice", approve=True)
            row = elsewhere.answer(asked, approver="user:dave", approve=True)
            assert row.status(clock.at) is ApprovalStatus.APPROVED
            assert export(**BIG) == "done"
        last = [each for each in guard.records(kind="approval") if each["outcome"] == "confirmed"]
    assert [each["by"] for each in last] == ["user:dave"]


def test_the_agents_code_takes_its_question_back(guard: Guard, tools: Tools) -> None:
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        asked = ask(guard, export)
        guard.cancel(asked, why="done by hand")
        with pytest.raises(LedgerError, match="was cancelled"):
            guard.operations.answer(asked, approver="user:alice", approve=True)
        assert ask(guard, export) != asked, "the call made again asks anew"
        with pytest.raises(LedgerError, match="there is no approval"):
            guard.cancel("a_none")
