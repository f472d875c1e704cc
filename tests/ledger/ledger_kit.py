"""What the ledger's tests share: short ways to make its values, and a way to run the same code in other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from agentguard.core.facts import Answer, RunState, RunStatus
from agentguard.core.values import Risk
from agentguard.ledger import Admission, ApprovalRequest, Charge, Closing, LogLedger, Outcome, Promise, RecordFilter
from agentguard.ledger.mirror import Mirror
from agentguard.ledger.worker import DURABLE, LISTS
from agentguard.ledger.world import World

R = TypeVar("R")
T0 = datetime(2026, 9, 1, tzinfo=UTC)
DAY = timedelta(days=1)
EVERYTHING = RecordFilter()


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def record(kind: str = "decision", **fields: Any) -> dict[str, Any]:
    base = {
        "kind": kind,
        "time": text(T0),
        "effect": "permit",
        "reasons": [],
        "subject": "spiffe://x/a",
        "tool": "t.get",
    }
    return base | fields


def a_run(name: str = "r", **fields: Any) -> RunState:
    base: dict[str, Any] = {"workflow": "w", "workflow_digest": "sha256:w", "subject": "spiffe://x/a"}
    base |= {"status": RunStatus.ACTIVE, "version": 1, "started_at": T0, "risk": Risk.LOW} | fields
    return RunState(id=name, **base)


def an_admission(name: str, version: int | None = 1, **fields: Any) -> Admission:
    base: dict[str, Any] = {"permit": True, "run_id": "r", "workflow": "w", "step": "s", "at": T0}
    base |= fields
    base.setdefault(
        "record",
        record(
            decision_id=name,
            run_id=base["run_id"],
            time=text(base["at"]),
            effect="permit" if base["permit"] else "deny",
        ),
    )
    return Admission(decision_id=name, run_version=version, **base)


def a_charge(
    amount: int, at_most: int, *, budget: str = "b", per: timedelta | None = None, returns: bool = False
) -> Charge:
    return Charge(budget, amount, at_most, per, returns)


def a_closing(name: str, outcome: Outcome = Outcome.SUCCEEDED, **fields: Any) -> Closing:
    base: dict[str, Any] = {"run_id": "r", "step": "s", "at": T0} | fields
    base.setdefault("record", record("outcome", decision_id=name, run_id=base["run_id"], outcome=outcome.value))
    return Closing(decision_id=name, outcome=outcome, **base)


def a_question(name: str = "ask-1", **fields: Any) -> ApprovalRequest:
    base: dict[str, Any] = {
        "request_digest": "sha256:q",
        "policy_revision": "sha256:p",
        "run_id": "r",
        "workflow": "w",
        "step": "s",
        "tool": "t.get",
        "subject": "spiffe://x/a",
        "requester": "user:ann",
        "approvers": ("group:stewards",),
        "quorum": 2,
        "requested_at": T0,
        "expires_at": at(1800),
        "shown": {"args": {"n": 1}},
    }
    return ApprovalRequest(id=name, **(base | fields))


def an_answer(who: str = "user:bea", approve: bool = True, when: datetime = T0) -> Answer:
    return Answer(who, approve, when)


def got(future: Promise[R]) -> R:
    return future.result(timeout=60)


def seqs(ledger: LogLedger, wanted: RecordFilter = EVERYTHING, **how: Any) -> list[int]:
    return [each["seq"] for each in ledger.records(wanted, **how)]


def run_now(ledger: LogLedger, name: str = "r", when: datetime = T0, **windows: timedelta | None) -> RunState:
    state = got(ledger.run(name, at=when, windows=windows))
    assert state is not None
    return state


def child(script: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """Another Python process running one of the scripts beside this file, with the same import path."""
    paths = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path), str(Path.cwd())])}
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ | paths, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@contextmanager
def paused(ledger: LogLedger) -> Iterator[None]:
    """Nobody works on the ledger, so that everything asked meanwhile falls into one append."""
    with ledger.engine._lock:
        yield


def ask(ledger: LogLedger, need: int, function: Callable[[World, Any], R], argument: Any = None) -> Promise[R]:
    """An operation of the test's own."""
    return ledger.engine.ask(need, function, lambda: argument)


def break_down(world: World, _: None) -> None:
    """An operation that breaks after it has written."""
    world.write(record())
    raise ZeroDivisionError


def tidy(ledger: LogLedger) -> None:
    """The store keeps every cell, and forgets what has expired."""
    ask(ledger, DURABLE, lambda world, _: world.write(record())).result()
    ask(ledger, LISTS, lambda world, _: None).result()
    forget_memory(ledger)


def forget_memory(ledger: LogLedger) -> None:
    """Everything is read again from the store."""
    ask(ledger, LISTS, lambda world, _: None).result()
    ledger.engine.worker.mirror = Mirror(ledger.engine.log)
