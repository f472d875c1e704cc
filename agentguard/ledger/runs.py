"""One run as the ledger's thread holds it in memory between transactions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentguard.core.facts import RunState, RunStatus
from agentguard.core.values import Json, Risk, Sensitivity
from agentguard.ledger import schema
from agentguard.ledger.encode import Values, moment


class Held:
    """Inputs or kept values. What is handed out is a fresh copy, so that nobody can change what others decide on."""

    __slots__ = ("_nested", "_scalars")

    def __init__(self) -> None:
        self._scalars: dict[str, Json] = {}
        self._nested: Values = {}

    def put(self, name: str, raw: bytes) -> bool:
        """Remember a value by its canonical bytes. False where it was there already, the same."""
        if self._nested.get(name) == raw:
            return False
        value = json.loads(raw)
        if isinstance(value, list | dict):
            self._scalars.pop(name, None)
            self._nested[name] = raw
            return True
        if name in self._scalars and _same(self._scalars[name], value):
            return False
        self._nested.pop(name, None)
        self._scalars[name] = value
        return True

    def copy(self) -> dict[str, Json]:
        """The values, shared with nobody."""
        if not self._nested:
            return dict(self._scalars)
        return self._scalars | {name: json.loads(raw) for name, raw in self._nested.items()}


@dataclass(slots=True)
class Run:
    """The mutable form of ``RunState``. Changed only inside a transaction, thrown away when one is rolled back."""

    n: int
    id: str
    workflow: str
    workflow_digest: str
    subject: str
    requester: str | None
    started_at: datetime
    version: int
    status: RunStatus
    risk: Risk
    high_water: Sensitivity | None
    counts: dict[str, int]
    succeeded: frozenset[str]
    spent: dict[str, int]
    suspended: bool
    inputs: Held
    kept: Held

    def state(self, spent: Mapping[str, int]) -> RunState:
        """What a decision sees."""
        return RunState(
            self.id,
            self.workflow,
            self.workflow_digest,
            self.subject,
            self.status,
            self.version,
            self.started_at,
            self.requester,
            self.risk,
            self.inputs.copy(),
            self.kept.copy(),
            dict(self.counts),
            self.succeeded,
            spent,
            self.high_water,
            self.suspended,
        )

    def saved(self) -> tuple[Any, ...]:
        """The parameters of ``SAVE_RUN_STATE``."""
        return (
            self.version,
            self.status.value,
            int(self.risk),
            None if self.high_water is None else int(self.high_water),
            json.dumps(self.counts),
            json.dumps(sorted(self.succeeded)),
            json.dumps(self.spent),
            self.n,
        )


def load_run(cursor: sqlite3.Cursor, run_id: str) -> Run | None:
    """Read one run, or None where there is none."""
    row = cursor.execute(schema.LOAD_RUN, (run_id,)).fetchone()
    if row is None:
        return None
    n, workflow, digest, subject, requester, started, version, status, risk, water, counts, done, spent, held = row
    values = {"input": Held(), "kept": Held()}
    for kind, name, raw in cursor.execute(schema.LOAD_RUN_VALUES, (n,)):
        values[kind].put(name, raw)
    return Run(
        n,
        run_id,
        workflow,
        digest,
        subject,
        requester,
        moment(started),
        version,
        RunStatus(status),
        Risk(risk),
        None if water is None else Sensitivity(water),
        json.loads(counts),
        frozenset(json.loads(done)),
        json.loads(spent),
        bool(held),
        values["input"],
        values["kept"],
    )


def _same(one: Json, other: Json) -> bool:
    # 1, 1.0 and true are equal in Python and three different things to a policy.
    return type(one) is type(other) and one == other
