"""A signal applied in one process is obeyed by the very next decision of another that shares the ledger."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentguard.core.signals import Signal, SignalEffect
from agentguard.core.values import Risk
from agentguard.guard import Guard, Operations
from agentguard.ledger import open_ledger

from .conftest import EXPORTER, FILES

TICKET = {"ticket": "EXP-7"}
THREADS = 4
IDP = "https://idp.corp.example"

# Calls from several threads without a pause, each until its first refusal; a line in the side file per call that ran.
CHILD = """
import contextlib, contextvars, os, sys
from concurrent.futures import ThreadPoolExecutor
from agentguard.errors import ToolCallDenied
from agentguard.guard import Guard
bundle, home, threads, side_path = sys.argv[1:]
side = os.open(side_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def read_vault() -> str:
    os.write(side, b"ran\\n")
    return "x"
def work(read):
    try:
        while True:
            read()
    except ToolCallDenied:
        return
with Guard.load(bundle, home=home) as guard:
    read = guard.wrap(read_vault)
    with guard.run("customer-export", inputs={"ticket": "EXP-7"}, requester="user:eli") as run:
        print(run.id, flush=True)
        with ThreadPoolExecutor(int(threads)) as pool:
            for _ in [pool.submit(contextvars.copy_context().run, work, read) for _ in range(int(threads))]:
                pass
"""


def told(operations: Operations, effect: SignalEffect, **more: Any) -> None:
    now = datetime.now(UTC)
    said = Signal("idp", "test", effect, now, **{"about": EXPORTER, **more})
    assert operations.apply((IDP, "jti"), [said], now)


CAUSES: dict[str, tuple[Callable[[Operations, str], object], str]] = {
    "session ended": (lambda o, run: told(o, SignalEffect.END_RUNS), "run_stopped"),
    "the person's session ended": (lambda o, run: told(o, SignalEffect.END_RUNS, about="user:eli"), "run_stopped"),
    "assertions refused": (lambda o, run: told(o, SignalEffect.REFUSE_CREDENTIAL, run_id=run), "credential_revoked"),
    "credential refused": (
        lambda o, run: told(o, SignalEffect.REFUSE_CREDENTIAL, about=None, credential="vault-token"),
        "credential_revoked",
    ),
    "risk": (lambda o, run: told(o, SignalEffect.SET_RISK, risk=Risk.HIGH), "risk_too_high"),
    "stopped by hand": (lambda o, run: o.stop_run(run, by="user:ops", why="x"), "run_stopped"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_nothing_is_permitted_after_the_signal(bundle: Path, tmp_path: Path, cause: str) -> None:
    """In the one order in which the ledger wrote it all: permits, the signal, refusals, and no permit any more."""
    tools = FILES["tools.yaml"].replace("  vault.read:\n    effect: read", "  vault.read:\n    effect: send")
    (bundle / "tools.yaml").write_text(tools)
    take, reason = CAUSES[cause]
    side = tmp_path / "side"
    ledger = open_ledger(tmp_path / "ledger.sqlite3")
    operations = Operations(ledger)
    operations.set_credential("vault-token", "active", by="user:ops", why="issued")
    command = [sys.executable, "-c", CHILD, str(bundle), str(tmp_path), str(THREADS), str(side)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        run = child.stdout.readline().strip()
        while not side.exists() or side.read_text().count("ran") < 20:
            assert child.poll() is None
        take(operations, run)
        assert child.wait(60) == 0

    written = list(operations.records())
    (signal,) = [data["seq"] for data in written if data["kind"] in ("signal", "operation")][1:]
    decisions = [data for data in written if data["kind"] == "decision"]
    permits = [data["seq"] for data in decisions if data["effect"] == "permit"]
    denials = [data for data in decisions if data["effect"] == "deny"]
    assert len(permits) == side.read_text().count("ran")
    assert max(permits) < signal < min(data["seq"] for data in denials)
    assert [reason in data["reasons"] for data in denials] == [True] * THREADS
    ledger.shut()


RULE = """raise_risk:
  - {name: burst, to: high, after: {calls: 50, within: 1h}}
"""


def test_several_processes_count_together(bundle: Path, tmp_path: Path) -> None:
    """Fifty calls of one run, whoever makes them; the fifty-first of any process is decided at the new risk."""
    file = bundle / "customer-export.yaml"
    file.write_text(FILES["customer-export.yaml"] + RULE)
    (bundle / "tools.yaml").write_text(
        FILES["tools.yaml"].replace("  vault.read:\n    effect: read", "  vault.read:\n    effect: send")
    )
    # Left open: whoever is done first must not end the run under the other.
    joined = CHILD.replace(
        'guard.run("customer-export", inputs={"ticket": "EXP-7"}, requester="user:eli")',
        "contextlib.nullcontext(guard.resume(sys.argv[5]).__enter__())",
    ).replace("side_path = sys.argv[1:]", "side_path = sys.argv[1:5]")
    side = tmp_path / "side"
    with Guard.load(bundle, home=tmp_path) as guard:
        guard.operations.set_credential("vault-token", "active", by="user:ops", why="issued")
        with guard.run("customer-export", inputs=TICKET) as run:
            command = [sys.executable, "-c", joined, str(bundle), str(tmp_path), str(THREADS), str(side), run.id]
            children = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
            assert [child.wait(60) for child in children] == [0, 0]

        permits = list(guard.records(kind="decision", effect="permit"))
        (rise,) = guard.records(kind="signal")
        assert (len(permits), side.read_text().count("ran")) == (50, 50)
        assert rise["decision_id"] == permits[-1]["decision_id"]
