"""``agentguard ledger``: the file itself, as people call it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ledger.ledger_format2 import old_ledger

from agentguard.ledger import open_ledger
from cli.conftest import Call


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
