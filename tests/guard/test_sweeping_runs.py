"""Runs that nobody will ever leave are shown as such, and can be ended: by hand, and by age."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agentguard.errors import ApprovalPending, ConfigurationError, LedgerError
from agentguard.guard import Guard

from .conftest import Clock, Tools

TICKET = {"ticket": "EXP-7"}
BIG = {"table": "orders", "rows": 2000, "target": "https://files.corp.example/x.csv"}
OPS: dict[str, Any] = {"by": "user:ops", "why": "tidying up"}

# Enters a run and dies in it, as by `kill -9`.
DIES = """
import os, sys
from agentguard import Guard
guard = Guard.load(sys.argv[1], ledger=sys.argv[2], home=sys.argv[3])
with guard.run("customer-export", inputs={"ticket": "EXP-7"}) as run:
    print(run.id, flush=True)
    os._exit(9)
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def guard(bundle: Path, tmp_path: Path, store: Path) -> Iterator[Guard]:
    with Guard.load(bundle, ledger=store, home=tmp_path / "home") as made:
        yield made


@pytest.fixture
def dead(bundle: Path, tmp_path: Path, store: Path) -> str:
    """A run whose process is gone."""
    command = [sys.executable, "-c", DIES, str(bundle), str(store), str(tmp_path / "home")]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()


def waiting_run(guard: Guard, tools: Tools) -> str:
    look, export = guard.wrap(tools.functions())
    with contextlib.suppress(ApprovalPending), guard.run("customer-export", inputs=TICKET) as run:
        look("EXP-7")
        export(**BIG)
    return run.id


def test_where_those_inside_a_run_are_is_shown(guard: Guard, tools: Tools, dead: str) -> None:
    """In use, waiting for a person, left by a process that died, and left waiting with nobody who went on."""
    waiting = waiting_run(guard, tools)
    refused = waiting_run(guard, tools)
    (row,) = (row for row in guard.operations.approvals() if row.request.run_id == refused)
    guard.operations.answer(row.request.id, approver="user:alice", approve=False)
    with guard.run("customer-export", inputs=TICKET) as inside:
        assert guard.operations.whereabouts() == {
            dead: "gone",
            waiting: "waiting",
            refused: "left",
            inside.id: "inside",
        }


def test_a_sweep_ends_what_nobody_will_leave_and_nothing_else(guard: Guard, tools: Tools, dead: str) -> None:
    """Each is a record that says who did it, and what was found."""
    waiting = waiting_run(guard, tools)
    with guard.run("customer-export", inputs=TICKET) as inside:
        assert [run.id for run in guard.operations.sweep(**OPS)] == [dead]
        assert set(guard.operations.whereabouts()) == {waiting, inside.id}
        assert guard.operations.sweep(**OPS) == []

    (record,) = guard.records(kind="operation")
    assert {name: record[name] for name in ("run_id", "outcome", "by", "why")} == {
        "run_id": dead,
        "outcome": "sweep_gone",
        **OPS,
    }


def test_one_run_is_swept_by_hand(guard: Guard, tools: Tools, dead: str) -> None:
    """Not one that somebody is inside, or that waits, or that is over."""
    waiting = waiting_run(guard, tools)
    with guard.run("customer-export", inputs=TICKET) as inside:
        for run_id, why in ((waiting, "waits for a person"), (inside.id, "is inside"), ("r-0", "there is none")):
            with pytest.raises(LedgerError, match=why):
                guard.operations.sweep(run_id, **OPS)
    assert [run.id for run in guard.operations.sweep(dead, **OPS)] == [dead]
    with pytest.raises(LedgerError, match="there is none"):
        guard.operations.sweep(dead, **OPS)


def test_runs_are_swept_by_age(bundle: Path, tmp_path: Path, store: Path, clock: Clock, dead: str) -> None:
    """To the second that the clock tells; a young one may be looked at first."""
    with Guard.load(bundle, ledger=store, home=tmp_path / "home") as guard:
        (run,) = guard.operations.runs()
        clock.at = run.started_at
        guard.operations._clock = clock
        clock.pass_by(3599)
        assert guard.operations.sweep(older_than=timedelta(hours=1), **OPS) == []
        clock.pass_by(1)
        assert [state.id for state in guard.operations.sweep(older_than=timedelta(hours=1), **OPS)] == [dead]


def test_a_run_of_a_dead_process_can_be_gone_on_with(guard: Guard, tools: Tools, dead: str) -> None:
    """Whoever goes on with it is inside then, so no sweep takes it, and leaving ends it."""
    look = guard.wrap(tools.functions()[0])
    with guard.resume(dead):
        look("EXP-7")
        assert guard.operations.whereabouts() == {dead: "inside"}
        assert guard.operations.sweep(**OPS) == []
    assert guard.operations.whereabouts() == {}


def test_a_run_that_was_swept_permits_nothing(guard: Guard, dead: str) -> None:
    """As any run that ended."""
    guard.operations.sweep(**OPS)
    with pytest.raises(ConfigurationError, match="is not open"), guard.resume(dead):
        pass


# What people say, by whatever channel.


@pytest.mark.parametrize("by", ["", "ops", "user:", " user:ops", "user:o\x1b[2Jps", None])
@pytest.mark.parametrize(
    "act",
    [
        lambda operations, said: operations.stop_run("r", **said),
        lambda operations, said: operations.set_risk("r", "high", **said),
        lambda operations, said: operations.sweep("r", **said),
        lambda operations, said: operations.suspend_subject("s", **said),
        lambda operations, said: operations.end_sessions("user:eli", **said),
        lambda operations, said: operations.set_subject_risk("user:eli", "high", **said),
        lambda operations, said: operations.set_credential("vault-token", "revoked", **said),
    ],
    ids=["stop_run", "set_risk", "sweep", "suspend", "end_sessions", "subject_risk", "credential"],
)
def test_who_takes_power_says_who_they_are_and_why_in_so_many_words(
    guard: Guard, act: Callable[..., Any], by: Any
) -> None:
    """What the command refuses, no other channel takes; and nothing of it is done or recorded."""
    with guard.run("customer-export", inputs=TICKET) as run:
        before = sum(1 for _ in guard.records())
        for said in ({"by": by, "why": "x"}, {"by": "user:ops", "why": "x" * 2_001}, {"by": "user:ops", "why": None}):
            with pytest.raises((ConfigurationError, LedgerError)):
                act(guard.operations, said)
        assert sum(1 for _ in guard.records()) == before
    assert run.id


@pytest.mark.parametrize("name", ["", " x", "x\x1b[2J", "x" * 2_049])
def test_a_subject_that_is_none_is_refused_by_every_channel(guard: Guard, name: str) -> None:
    """A misspelt name would take power from nobody, and say that it did."""
    for act in (guard.operations.suspend_subject, guard.operations.end_sessions):
        with pytest.raises(ConfigurationError, match="not a subject"):
            act(name, **OPS)
    with pytest.raises(ConfigurationError, match="not a subject"):
        guard.operations.set_subject_risk(name, "high", **OPS)


@pytest.mark.parametrize("name", ["", "a b", "x\n", "x" * 201])
def test_a_credential_that_is_none_is_refused_by_every_channel(guard: Guard, name: str) -> None:
    """As Tools would not take it either."""
    with pytest.raises(ConfigurationError, match="not a credential"):
        guard.operations.set_credential(name, "revoked", **OPS)
