"""A real ledger with a little history, and the command line as people call it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agentguard.cli import main
from agentguard.core.facts import RunState, RunStatus
from agentguard.guard.records import record
from agentguard.ledger import ApprovalRequest, LogLedger, open_ledger

EXPORTER = "spiffe://corp.example/agent/exporter"
ROOT = Path(__file__).parents[2]
NASTY = "x\x1b]0;owned\x07\x1b[2J\u202e\u200b\nforged: line\x7f\x9b31m[red]:bomb:[/red]  pad"


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Ended]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line in this process: quick."""

    def run(*arguments: str | Path) -> Ended:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Ended(code, *capsys.readouterr())

    return run


def real(*arguments: str | Path, **more: Any) -> Ended:
    """The command line as its own process, with nothing set up for it."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("AGENTGUARD")}
    env |= {"PYTHONPATH": str(ROOT), **more.pop("env", {})}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from agentguard.cli import main; sys.exit(main())", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, env=env, check=False, **more,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def hears_interrupts() -> None:
    """A shell without job control starts what runs in its background, these tests perhaps, deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def settle(future: Any) -> Any:
    return future.result(timeout=20)


def start(ledger: LogLedger, run_id: str = "r-1", **more: Any) -> RunState:
    at = datetime.now(UTC)
    known: dict[str, Any] = {
        "id": run_id, "workflow": "customer-export", "workflow_digest": "sha256:d", "subject": EXPORTER,
        "status": RunStatus.ACTIVE, "version": 1, "started_at": at, "requester": "user:carol",
    }  # fmt: skip
    run = RunState(**{**known, **more})
    data = record(
        "run", at, run_id=run.id, workflow=run.workflow, subject=run.subject, requester=run.requester, outcome="started"
    )
    started: RunState = settle(ledger.start_run(run, data))
    return started


def ask(ledger: LogLedger, approval_id: str = "a-1", **more: Any) -> ApprovalRequest:
    at = datetime.now(UTC)
    known: dict[str, Any] = {
        "id": approval_id, "request_digest": f"sha256:{approval_id}", "policy_revision": "sha256:p", "run_id": "r-1",
        "workflow": "customer-export", "step": "export", "tool": "warehouse.export", "subject": EXPORTER,
        "requester": "user:carol", "approvers": ("anyone",), "quorum": 2, "requested_at": at,
        "expires_at": at + timedelta(minutes=30),
        "shown": {"arguments": {"rows": 5000, "table": "orders"}, "redacted": [], "destinations": []},
    }  # fmt: skip
    request = ApprovalRequest(**{**known, **more})
    settle(ledger.ask(request, record("approval", at, approval_id=request.id, run_id=request.run_id)))
    return request


def decide(ledger: LogLedger, decision_id: str, effect: str = "deny", at: datetime | None = None, **more: Any) -> int:
    known: dict[str, Any] = {
        "decision_id": decision_id, "effect": effect, "run_id": "r-1", "subject": EXPORTER,
        "tool": "warehouse.export", "workflow": "customer-export", "reasons": ["condition_false"],
        "findings": [
            {"effect": "deny", "reason": "condition_false", "step": "export", "detail": "`args.rows < 5`"},
        ],
    }  # fmt: skip
    seq: int = settle(ledger.append(record("decision", at or datetime.now(UTC), **{**known, **more})))
    return seq


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A ledger's file with one run, one question and three decisions."""
    path = tmp_path / "home" / "ledger.sqlite3"
    ledger = open_ledger(path)
    start(ledger)
    ask(ledger)
    decide(ledger, "d-1")
    decide(ledger, "d-2", "permit", reasons=[], findings=[])
    decide(ledger, "d-3", tool="tickets.get", reasons=["step_used_up"])
    ledger.shut()
    return path


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    """A ledger in which every text is an attack on the reader's terminal."""
    path = tmp_path / "nasty" / "ledger.sqlite3"
    ledger = open_ledger(path)
    start(ledger, "r-1" + NASTY, workflow=NASTY, subject=NASTY, requester=NASTY, inputs={NASTY: NASTY})
    ask(
        ledger, "a-1", run_id=NASTY, workflow=NASTY, step=NASTY, tool=NASTY, subject=NASTY, requester=NASTY,
        approvers=(NASTY,), shown={"arguments": {NASTY: [NASTY]}, "redacted": [NASTY], "destinations": [{"id": NASTY}]},
    )  # fmt: skip
    texts = ("run_id", "subject", "tool", "workflow", "step", "why", "by", "error", "call_id", "framework")
    decide(
        ledger, "d-1", effect=NASTY, reasons=[NASTY], arguments={NASTY: NASTY},
        findings=[{"effect": NASTY, "reason": NASTY, "step": NASTY, "detail": NASTY}],
        destinations=[{"kind": "url", "id": NASTY, "sensitivity": "unclassified", "zone": NASTY}],
        **dict.fromkeys(texts, NASTY),
    )  # fmt: skip
    ledger.shut()
    return path
