"""Lists have an end: the newest, so many, and the next page after them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentguard.ledger import open_ledger
from cli.conftest import Call, ask, settle, start

NAMES = [f"r-{n}" for n in range(5)]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "l.sqlite3"
    opened = open_ledger(path)
    for name in NAMES:
        start(opened, name)
    at = datetime.now(UTC)
    record = {"kind": "operation", "time": at.isoformat().replace("+00:00", "Z")}
    settle(opened.change_run("r-1", at=at, record=record, status="stopped"))
    for n in range(3):
        ask(
            opened,
            f"a-{n}",
            run_id="r-2",
            request_digest=f"sha256:{n}",
            expires_at=at + timedelta(hours=1),
            requested_at=at,
        )
    opened.shut()
    return path


def listed(call: Call, *command: Any) -> list[Any]:
    ended = call(*command, "--json")
    assert (ended.code, ended.err) == (0, "")
    found = [json.loads(line) for line in ended.out.splitlines()]
    return list(found[0]) if found and isinstance(found[0], list) else found


def ids(call: Call, *command: Any) -> list[str]:
    return [run["id"] for run in listed(call, *command)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), [*reversed(NAMES)]),
        (("--last", "2"), ["r-4", "r-3"]),
        (("--last", "2", "--before", "r-3"), ["r-2", "r-1"]),
        (("--before", "r-0"), []),
        (("--status", "stopped"), ["r-1"]),
        (("--status", "active", "--last", "3"), ["r-4", "r-3", "r-2"]),
        (("--active", "--before", "r-2"), ["r-0"]),
        (("--workflow", "none"), []),
        (("--subject", "spiffe://nobody"), []),
    ],
)
def test_runs_are_listed_by_page_and_filter(
    call: Call, ledger: Path, options: tuple[str, ...], expected: list[str]
) -> None:
    assert ids(call, "runs", "list", "--ledger", ledger, *options) == expected


def test_runs_are_found_by_workflow_and_workload(call: Call, ledger: Path) -> None:
    one = listed(call, "runs", "list", "--ledger", ledger)[0]
    both = ("--workflow", one["workflow"], "--subject", one["subject"])
    assert len(ids(call, "runs", "list", "--ledger", ledger, *both)) == len(NAMES)


def test_a_full_page_says_how_the_next_one_is_read(call: Call, ledger: Path) -> None:
    shown = call("runs", "list", "--ledger", ledger, "--last", "2").out
    assert "the next page: --before r-3" in shown
    assert "next page" not in call("runs", "list", "--ledger", ledger).out
    shown = call("approvals", "list", "--ledger", ledger, "--last", "1").out
    assert "the next page: --before a-2" in shown


def test_approvals_are_listed_by_page_and_filter(call: Call, ledger: Path) -> None:
    every = ["a-2", "a-1", "a-0"]
    base = ("approvals", "list", "--ledger", ledger)
    assert ids(call, *base) == every
    assert ids(call, *base, "--last", "1", "--before", "a-2") == ["a-1"]
    assert ids(call, *base, "--workflow", "none") == ids(call, *base, "--subject", "none") == []


def test_records_are_listed_by_page(call: Call, ledger: Path) -> None:
    base = ("audit", "list", "--ledger", ledger, "--last", "2")
    newest = [record["seq"] for record in listed(call, *base)]
    assert [record["seq"] for record in listed(call, *base, "--before", newest[0])] == [n - 2 for n in newest]


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("runs", "list", "--before", "r-x"), 3, "there is no run `r-x`"),
        (("runs", "list", "--status", "gone"), 2, "is not one of"),
        (("runs", "list", "--active", "--status", "ended"), 2, "exclude each other"),
        (("approvals", "list", "--before", "a-x"), 3, "there is no approval request `a-x`"),
    ],
)
def test_a_page_that_is_none_is_refused(
    call: Call, ledger: Path, command: tuple[str, ...], code: int, says: str
) -> None:
    ended = call(*command, "--ledger", ledger)
    assert (ended.code, says in ended.err) == (code, True)
