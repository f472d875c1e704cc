"""One run as the ledger's thread holds it in memory between transactions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from agentguard.core.canonical import canonical_bytes, read_canonical
from agentguard.core.facts import RunState, RunStatus
from agentguard.core.people import who, who_for
from agentguard.core.provenance import Seen
from agentguard.core.values import Json, Risk, Sensitivity
from agentguard.ledger import schema
from agentguard.ledger.encode import moment
from agentguard.ledger.marks import load_seen


class Held:
    """Inputs or kept values. What is handed out is a fresh copy, so that nobody can change what others decide on."""

    __slots__ = ("_nested", "_values")

    def __init__(self) -> None:
        self._values: dict[str, Json] = {}
        self._nested = False

    def put(self, name: str, raw: bytes) -> bool:
        """Remember a value by its canonical bytes. False where it was there already, the same."""
        if name in self._values and canonical_bytes(self._values[name]) == raw:
            return False
        value = read_canonical(raw)
        self._values[name] = value
        self._nested = self._nested or isinstance(value, list | dict)
        return True

    def drop(self, name: str) -> bool:
        """Forget a value. False where there was none."""
        return self._values.pop(name, self) is not self

    def copy(self) -> dict[str, Json]:
        """The values, shared with nobody."""
        return {name: _copy(value) for name, value in self._values.items()} if self._nested else dict(self._values)


class Standing(NamedTuple):
    """What all sources together say of a run, its subject and its requester: the worst of each."""

    risk: Risk = Risk.LOW
    refused: bool = False
    issued_after: datetime | None = None
    ended: datetime | None = None


@dataclass(slots=True)
class Run:
    """The mutable form of ``RunState``. Changed only inside a transaction, thrown away when one is rolled back.

    ``risk`` is what operations set on the run; ``standing`` what everybody else says.
    """

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
    standing: Standing
    zones: frozenset[str]
    contacts: frozenset[str]
    seen: Seen
    unsettled: frozenset[str]
    salt: str

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
            max(self.risk, self.standing.risk),
            self.inputs.copy(),
            self.kept.copy(),
            dict(self.counts),
            self.succeeded,
            spent,
            self.high_water,
            self.suspended,
            self.standing.issued_after,
            self.standing.refused,
            self.zones,
            self.contacts,
            self.seen,
            self.unsettled,
            self.salt,
        )

    def saved(self) -> tuple[Any, ...]:
        """Its row of ``run_states``."""
        return (
            self.n,
            self.version,
            self.status.value,
            int(self.risk),
            None if self.high_water is None else int(self.high_water),
            json.dumps(self.counts),
            json.dumps(sorted(self.succeeded)),
            json.dumps(self.spent) if self.spent else "{}",
            json.dumps(sorted(self.zones)) if self.zones else "[]",
        )


def load_run(cursor: sqlite3.Cursor, run_id: str) -> Run | None:
    """Read one run, or None where there is none."""
    row = cursor.execute(schema.LOAD_RUN, (run_id,)).fetchone()
    if row is None:
        return None
    n, workflow, digest, subject, requester, started, salt, version, status, risk, water, *rest = row
    counts, done, spent, been, held = rest
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
        load_standing(cursor, run_id, subject, requester),
        frozenset(json.loads(been)),
        frozenset(value for (value,) in cursor.execute(schema.CONTACTS, (subject,))),
        load_seen(cursor, n),
        frozenset(value for (value,) in cursor.execute(schema.UNSETTLED, (n,))),
        salt,
    )


def load_standing(cursor: sqlite3.Cursor, run_id: str, subject: str, requester: str | None) -> Standing:
    """What sources say of a run, whether it is there yet or not."""
    person = None if requester is None else who_for(requester)
    called = None if requester is None else who(requester)
    about = {"run_id": run_id, "party": who(subject), "person": person, "called": called}
    risk, refused, newer, ended = cursor.execute(schema.STANDING_OF_RUN, about).fetchone()
    return Standing(
        Risk(risk or 0),
        bool(refused),
        None if newer is None else moment(newer),
        None if ended is None else moment(ended),
    )


def _copy(value: Json) -> Json:
    if isinstance(value, list):
        return [_copy(item) for item in value]
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return value
