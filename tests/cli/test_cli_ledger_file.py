"""``agentguard ledger``: the file itself, as people call it."""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ledger.ledger_format2 import old_ledger

from agentguard.guard.records import record
from agentguard.ledger import Admission, open_ledger
from cli.conftest import Call, ask, settle, start


@pytest.fixture
def old(tmp_path: Path) -> Path:
    old_ledger(tmp_path / "l.sqlite3")
    return tmp_path / "l.sqlite3"


def test_an_old_ledger_is_carried_over_and_read_by_every_command(call: Call, old: Path) -> None:
    refused = call("runs", "list", "--ledger", old)
    assert (refused.code, "agentguard ledger upgrade" in refused.err) == (3, True)
    done = call("ledger", "upgrade", old)
    assert (done.code, "carried over 7 records and 5 runs" in done.out, "unknown now: 1" in done.out) == (0, True, True)
    for command in (["audit", "list"], ["audit", "show", "9"], ["runs", "show", "r"], ["approvals", "list"]):
        shown = call(*command, "--ledger", old)
        assert (shown.code, shown.err) == (0, "")
        assert "secret-id" not in shown.out
    assert "snapshot" in call("audit", "list", "--kind", "snapshot", "--ledger", old).out
    assert "secret-id" not in call("audit", "list", "--json", "--ledger", old).out
    again = call("ledger", "upgrade", old)
    assert (again.code, "nothing to upgrade" in again.err) == (3, True)


def test_what_differs_after_adding_up_again_is_said_and_is_an_error(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite3"
    open_ledger(path).shut()
    same = call("ledger", "rebuild", path)
    assert (same.code, "nothing differs" in same.out) == (0, True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO cells VALUES ('credential', 'crm', 0, NULL, 0, '[\"active\"]')")
    found = call("ledger", "rebuild", path, "--json")
    assert (found.code, json.loads(found.out)["gone"]) == (1, {"credential": 1})
    assert call("ledger", "rebuild", path).code == 0


def test_a_file_that_is_not_there_is_not_made(call: Call, tmp_path: Path) -> None:
    for command in ("upgrade", "rebuild"):
        assert call("ledger", command, tmp_path / "none").code == 3
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def personal(tmp_path: Path) -> Path:
    """A ledger with a question about a letter, and a decision with a personal argument, in one run."""
    path = tmp_path / "p.sqlite3"
    ledger = open_ledger(path)
    start(ledger, inputs={"who": "Zq7Dana"})
    shown = {"arguments": {"text": "[personal]"}, "personal": {"/text": "Zq7Text"}}
    ask(ledger, shown=shown)
    ask(ledger, "a-2", request_digest="sha256:2", shown={**shown, "people": ["user:somebody-else"]})
    data = record("decision", datetime.now(UTC), decision_id="d-1", run_id="r-1", effect="deny", personal=["/who"])
    settle(ledger.admit(
        Admission("d-1", False, "r-1", 1, "w", None, datetime.now(UTC), data, personal={"/who": "Zq7Dana"}), windows={}
    ))  # fmt: skip
    ledger.shut()
    return path


def test_what_is_personal_is_shown_to_those_who_are_asked_and_on_request(call: Call, personal: Path) -> None:
    at = ("--ledger", personal)
    for command in (["audit", "list", "--json"], ["audit", "show", "d-1", "--json"], ["approvals", "list", "--json"]):
        assert "Zq7" not in call(*command, *at).out
    assert ("Zq7Text" in call("approvals", "show", "a-1", *at).out) is True
    assert ("Zq7Text" in call("approvals", "show", "a-2", *at).out) is False
    shown = json.loads(call("audit", "show", "d-1", "--private", "--json", *at).out)
    assert shown["private"] == {"personal": {"/who": "Zq7Dana"}}


def test_what_is_erased_is_gone_and_that_it_was_erased_stays(call: Call, personal: Path) -> None:
    at = ("--ledger", personal)
    done = call("ledger", "erase", "--requester", "user:carol", "--why", "asked for", "--yes", "--json", *at)
    assert (done.code, json.loads(done.out)) == (0, {"records": 4, "approvals": 2})
    files = [each for each in personal.parent.glob("p.sqlite3*") if each.is_file()]
    assert b"Zq7" not in b"".join(each.read_bytes() for each in files)
    assert json.loads(call("audit", "show", "d-1", "--private", "--json", *at).out)["private"] == {"personal": None}
    assert "erased" in call("approvals", "show", "a-1", *at).out
    refused = call("approvals", "approve", "a-1", "--yes", *at)
    assert (refused.code, "erased" in refused.err) == (3, True)
    assert "erase" in call("audit", "list", "--kind", "operation", *at).out
    assert call("ledger", "rebuild", personal).code == 0


def test_erasing_asks_and_names_one_thing(call: Call, personal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    asked = call("ledger", "erase", "--run", "r-1", "--ledger", personal)
    assert (asked.code, "nothing was erased" in asked.out) == (1, True)
    for named in ([], ["--run", "r-1", "--subject", "x"]):
        refused = call("ledger", "erase", *named, "--yes", "--ledger", personal)
        assert (refused.code, "name one of" in refused.err) == (2, True)
    for named in (["--run", "r-none"], ["--decision", "d-none"]):
        assert call("ledger", "erase", *named, "--yes", "--ledger", personal).code == 3
