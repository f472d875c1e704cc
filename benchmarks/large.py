"""A ledger that has grown: 1,000,000 records of 100,000 runs. Its lists, a start, a call, and what an idle run takes.

Lists are measured as people meet them: the command, in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from agentguard import Guard
from agentguard.core.facts import RunState, RunStatus
from agentguard.guard.records import record
from agentguard.ledger import open_ledger
from agentguard.ledger.entry import Change, encode
from agentguard.ledger.log import Row
from agentguard.ledger.rebuild import fold_log
from agentguard.ledger.sqlite.files import open_file
from agentguard.ledger.sqlite.store import SqliteLog
from benchmarks.bundles import ARGUMENTS, write_bundle
from benchmarks.calls import plain
from benchmarks.measure import Effort, Tick

_AT_ONCE = 10_000
_TOGETHER = 500
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
# One run in so many waits for a person; none was ever stopped, so that looking for one finds nothing.
_ASKS = 10
_SUBJECT = "spiffe://corp.example/agent/exporter"
LISTS: dict[str, tuple[str, ...]] = {
    "audit list": ("audit", "list"),
    "audit list, one subject": ("audit", "list", "--subject", _SUBJECT),
    "audit list, denied": ("audit", "list", "--effect", "deny"),
    "runs list": ("runs", "list"),
    "runs list, active": ("runs", "list", "--active"),
    "runs list, stopped": ("runs", "list", "--status", "stopped"),
    "runs list, of a workflow without runs": ("runs", "list", "--workflow", "none"),
    "runs list, of a workload": ("runs", "list", "--subject", _SUBJECT),
    "approvals list": ("approvals", "list"),
    "approvals list, all": ("approvals", "list", "--all"),
    "approvals list, of a workflow without any": ("approvals", "list", "--all", "--workflow", "none"),
}


def measure(effort: Effort, folder: Path, tick: Tick) -> dict[str, Any]:
    """Seconds for each list and for a start, microseconds for a call, bytes for an idle run."""
    place = folder / "large" / "ledger.sqlite3"
    tick(f"a ledger of {effort.runs * 10:,} records")
    build(place, effort.runs)
    found: dict[str, Any] = {"records": effort.runs * 10, "runs": effort.runs}
    for name, command in LISTS.items():
        tick(name)
        found[name] = _seconds(partial(_command, *command, "--ledger", str(place)), effort.rounds)
    policy = write_bundle(folder / "large-policy", 10)
    tick("calls in it, and in an empty one")
    for name, ledger in (("large", place), ("empty", folder / "small" / "ledger.sqlite3")):
        with Guard.load(policy, ledger=open_ledger(ledger), home=folder / "home-large") as guard:
            found[f"a start, {name} ledger"] = _seconds(partial(_start, guard), effort.rounds)
            found[f"a call, {name} ledger, us"] = _call(guard, effort.seconds)
    found["idle run, bytes"] = _idle(folder / "idle" / "ledger.sqlite3", min(effort.runs, 20_000))
    return found


def build(place: Path, runs: int) -> None:
    """Write the rows themselves, as their operations would, and let the store add them up."""
    file = open_file(place)
    try:
        log = SqliteLog(file)
        rows, written = _rows(runs), 0
        while part := list(islice(rows, _AT_ONCE)):
            log.enter(write=True)
            log.append(written + 1, part)
            log.leave()
            written += len(part)
        log.enter(write=True)
        fold_log(log)
        log.leave()
        more = True
        while more:
            log.enter(write=True)
            more = log.index()
            log.leave()
    finally:
        file.close()


def _rows(runs: int) -> Iterator[Row]:
    """Ten records a run: its start, four calls, and its end or what it asks."""
    for n in range(runs):
        at = _BEGAN + timedelta(seconds=n)
        run = f"r-{n:032x}"
        about = {"run_id": run, "workflow": f"wf-{n % 10}", "subject": _SUBJECT if n % 50 else f"{_SUBJECT}-{n % 7}"}
        micros = int(at.timestamp() * 1_000_000)
        start = ("start", run, about["workflow"], "sha256:w", about["subject"], "user:ann", micros, 0, "owner")
        private: dict[str, Any] = {"inputs": {"ticket": f"EXP-{n}"}, "salt": f"{n:032x}"}
        yield encode(record("run", at, outcome="started", **about), [start], private).row
        for step in range(4):
            name = f"d-{n:028x}{step:04x}"
            more = {**about, "decision_id": name, "tool": "warehouse.export", "step": "export"}
            denied = step == 3
            call: Change = ("call", name, run, "export", "owner", [], {}, None, [])
            decision = record("decision", at, effect="deny" if denied else "permit", arguments=dict(ARGUMENTS), **more)
            yield encode(decision, [] if denied else [call], {"salts": {"/arguments_digest": "0" * 32}}).row
            if denied:
                yield encode(record("operation", at, outcome="noted", **about)).row
            else:
                close: Change = ("close", name, run, "export", "succeeded", [])
                yield encode(record("outcome", at, outcome="succeeded", **more), [close], {}).row
        if n % _ASKS:
            yield encode(record("run", at, outcome="ended", **about), [("end", run, "ended")]).row
        else:
            body = {"workflow": about["workflow"], "step": "export", "tool": "warehouse.export"}
            body |= {"subject": about["subject"], "requester": "user:ann", "approvers": ["anyone"], "quorum": 1}  # type: ignore[dict-item]
            ask = ("ask", f"a-{n:032x}", f"sha256:{n}", "sha256:p", run, micros, micros + 60_000_000, body)
            yield encode(record("approval", at, approval_id=ask[1], **about), [ask], {"shown": {"arguments": {}}}).row


def _seconds(once: Callable[[], object], rounds: int) -> float:
    """The best of some: what else the machine does is not measured."""
    times = []
    for _ in range(max(1, rounds)):
        started = time.perf_counter()
        once()
        times.append(time.perf_counter() - started)
    return min(times)


def _command(*given: str) -> None:
    code = "import sys; from agentguard.cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, *given], check=True, capture_output=True)


def _start(guard: Guard) -> None:
    with guard.run("wf-5", inputs={"ticket": "EXP-7"}):
        pass


def _call(guard: Guard, seconds: float) -> float:
    """Microseconds, the median."""
    tool = guard.wrap(plain)
    times = []
    with guard.run("wf-5", inputs={"ticket": "EXP-7"}):
        until = time.perf_counter() + max(seconds, 0.05)
        while time.perf_counter() < until:
            started = time.perf_counter()
            tool(**ARGUMENTS)
            times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2] * 1e6


def _idle(place: Path, runs: int) -> float:
    """Bytes of memory that a process keeps for a run that is open and does nothing."""
    ledger = open_ledger(place)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for first in range(0, runs, _TOGETHER):
            started = []
            for n in range(first, min(first + _TOGETHER, runs)):
                run = RunState(f"r-{n:032x}", "wf-5", "sha256:w", _SUBJECT, RunStatus.ACTIVE, 1, _BEGAN, salt="0" * 32)
                started.append(ledger.start_run(run, record("run", _BEGAN, run_id=run.id)))
            while started:
                started.pop().result()
        return (tracemalloc.get_traced_memory()[0] - before) / runs
    finally:
        tracemalloc.stop()
        ledger.shut()
