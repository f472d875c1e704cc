"""Runs of a key on the command line: found by it, shown with it, and a stopped one's key given back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentguard.core.facts import RunState, RunStatus
from agentguard.guard.records import record
from agentguard.ledger import LogLedger, Opened, open_ledger
from cli.conftest import EXPORTER, NASTY, Call, settle


def opened(ledger: LogLedger, name: str, key: str, **more: Any) -> RunState:
    at = datetime.now(UTC)
    known: dict[str, Any] = {
        "id": name, "workflow": "customer-export", "workflow_digest": "sha256:d", "subject": EXPORTER,
        "status": RunStatus.ACTIVE, "version": 1, "started_at": at, "requester": "user:carol", "key": key,
    }  # fmt: skip
    run = RunState(**(known | more))
    data = record("run", at, run_id=run.id, subject=run.subject, run_key=run.key, outcome="started")
    found = settle(ledger.open_run(run, follows=False, started=data, found=data, ended=data))
    assert isinstance(found, Opened)
    return found.run


@pytest.fixture
def keyed(store: Path) -> Path:
    """The ledger with two runs of keys, one of which is over, besides the one without."""
    ledger = open_ledger(store)
    opened(ledger, "r-2", "thread-42")
    long_ago = datetime.now(UTC) - timedelta(hours=9)
    opened(ledger, "r-3", "thread-43", started_at=long_ago, lasts=timedelta(hours=8))
    ledger.shut()
    return store


def test_runs_are_listed_by_their_key(keyed: Path, call: Call) -> None:
    """Those that anybody may go on with are `open`; one that is too old is `over`."""
    rows = call("runs", "list", "--ledger", keyed).out
    assert [word in rows for word in ("active, open", "active, over", "thread-42", "thread-43")] == [True] * 4
    found = json.loads(call("runs", "list", "--key", "thread-42", "--json", "--ledger", keyed).out)
    assert [(run["id"], run["key"], run["whereabouts"], run["lasts"]) for run in found] == [
        ("r-2", "thread-42", "open", None)
    ]
    assert "no runs" in call("runs", "list", "--key", "thread-4", "--ledger", keyed).out


def test_a_sweep_ends_what_is_over_and_leaves_what_goes_on(keyed: Path, call: Call) -> None:
    said = call("runs", "sweep", "--ledger", keyed).out
    assert "r-3" in said and "r-2" not in said
    assert "r-2" in call("runs", "sweep", "r-2", "--ledger", keyed).out


def test_the_key_of_a_stopped_run_is_given_back(keyed: Path, call: Call) -> None:
    """And of no other; what is done is on record."""
    refused = call("runs", "free", "r-2", "--ledger", keyed)
    assert (refused.code, "only a stopped run keeps its key" in refused.err) == (3, True)
    assert call("runs", "stop", "r-2", "--ledger", keyed).code == 0
    assert call("runs", "free", "r-2", "--why", "put right", "--ledger", keyed).code == 0
    last = json.loads(call("audit", "list", "--last", "1", "--json", "--ledger", keyed).out.splitlines()[-1])
    said = (last["outcome"], last["run_id"], last["run_key"], last["why"])
    assert said == ("free_key", "r-2", "thread-42", "put right")
    assert call("runs", "free", "r-1", "--ledger", keyed).code == 3
    assert call("runs", "free", "r-9", "--ledger", keyed).code == 3


def test_a_key_that_was_written_by_others_forges_nothing_on_the_screen(store: Path, call: Call) -> None:
    """The guard takes no such key; whoever writes the ledger otherwise might."""
    ledger = open_ledger(store)
    opened(ledger, "r-4", NASTY)
    ledger.shut()
    for command in (["list"], ["show", "r-4"]):
        out = call("runs", *command, "--ledger", store).out
        assert "\x1b" not in out and "\u202e" not in out and "\nforged" not in out
