"""Starting, stopping and ending runs, suspending subjects, revoking credentials, and what a dead process left open.

Everything here that a decision could have seen otherwise gives every run it touches a new version, so that a decision
made before it can no longer be admitted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

from agentguard.core.facts import RunState, RunStatus
from agentguard.core.people import who, who_for
from agentguard.core.values import Risk
from agentguard.errors import LedgerError
from agentguard.ledger import schema
from agentguard.ledger.contract import Outcome, RecordData
from agentguard.ledger.encode import Row, Values, decode_record, encode_record, micros
from agentguard.ledger.marks import forget, lose_track
from agentguard.ledger.runs import load_standing
from agentguard.ledger.store import Store

# A status only moves to the right: a run that was stopped stays stopped when the code around it ends.
_RANK: Mapping[RunStatus, int] = MappingProxyType({RunStatus.ACTIVE: 0, RunStatus.ENDED: 1, RunStatus.STOPPED: 2})

CREDENTIAL_STATES = ("active", "rotated", "revoked")


class Start(NamedTuple):
    """A run to create."""

    run: RunState
    inputs: Values
    kept: Values
    row: Row


class Change(NamedTuple):
    """A run to change."""

    run_id: str
    status: RunStatus | None
    risk: Risk | None
    row: Row


def start_run(store: Store, start: Start) -> RunState:
    """Create a run."""
    asked = start.run
    if store.run(asked.id) is not None:
        raise LedgerError(f"there is a run `{asked.id}` already; a run's id is used once")
    store.cursor.execute(
        schema.ADD_RUN,
        (
            asked.id,
            asked.workflow,
            asked.workflow_digest,
            asked.subject,
            asked.requester,
            micros(asked.started_at),
            asked.salt,
            who(asked.subject),
            None if asked.requester is None else who_for(asked.requester),
            None if asked.requester is None else who(asked.requester),
        ),
    )
    n = store.cursor.lastrowid
    # A session that was ended while this run was being started: it is one of those that were meant.
    ended = load_standing(store.cursor, asked.id, asked.subject, asked.requester).ended
    status = RunStatus.STOPPED if ended is not None and asked.started_at <= ended else RunStatus.ACTIVE
    store.cursor.execute(schema.ADD_RUN_STATE, (n, status.value, int(asked.risk)))
    values = [(n, "input", *item) for item in start.inputs.items()]
    values += [(n, "kept", *item) for item in start.kept.items()]
    store.cursor.executemany(schema.PUT_RUN_VALUE, values)
    store.cursor.execute(schema.HOLD, (n, store.owner))
    store.append(start.row)
    return store.state(store.must_run(asked.id), 0, {})


def change_run(store: Store, change: Change) -> RunState:
    """End or stop a run, or set its risk."""
    run = store.must_run(change.run_id)
    if change.status is RunStatus.ACTIVE and run.status is not RunStatus.ACTIVE:
        raise LedgerError(f"run `{run.id}` is {run.status.value} and never becomes active again; start a new run")
    if change.status is not None and _RANK[change.status] > _RANK[run.status]:
        run.status = change.status
        store.cursor.execute(schema.FORGET_RUN_HAPPENINGS, (run.n,))
        store.cursor.execute(schema.LEFT, (run.n,))
        forget(store, run)
    if change.risk is not None:
        run.risk = change.risk
    store.changed(run)
    store.append(change.row)
    return store.state(run, 0, {})


def hold_run(store: Store, run_id: str) -> bool:
    """Be the one who is inside a run, unless another ledger object that is alive, or this one, is already."""
    run = store.must_run(run_id)
    holder = store.cursor.execute(schema.HOLDER, (run.n,)).fetchone()
    if run.status is not RunStatus.ACTIVE or (holder is not None and not store.file.is_dead(holder[0])):
        return False
    store.cursor.execute(schema.HOLD, (run.n, store.owner))
    return True


def let_go(store: Store, run_id: str) -> None:
    """Nobody of this ledger object is inside the run any more."""
    store.cursor.execute(schema.LET_GO, (store.must_run(run_id).n, store.owner))


def holders(store: Store, _: None) -> Mapping[str, bool]:
    """The active runs that somebody is inside, or was when the process ended: whether that process is alive."""
    found = store.cursor.execute(schema.HOLDERS).fetchall()
    return {run_id: not store.file.is_dead(owner) for run_id, owner in found}


def suspend_subject(store: Store, asked: tuple[str, bool, Row]) -> None:
    """Refuse, or accept again, every call of a subject."""
    subject, suspended, row = who(asked[0]), *asked[1:]
    store.flush()
    store.cursor.execute(schema.PUT_SUBJECT, (subject, suspended))
    store.cursor.execute(schema.BUMP_SUBJECT, (subject,))
    store.drop_runs()
    store.append(row)


def revoke_credential(store: Store, asked: tuple[str, str, Row]) -> None:
    """Set a credential's state. Which runs would use it is not known here, so every active run gets a new version."""
    name, state, row = who(asked[0]), *asked[1:]
    store.flush()
    store.cursor.execute(schema.PUT_CREDENTIAL, (name, state))
    store.cursor.execute(schema.BUMP_ALL)
    store.drop_runs()
    store.append(row)


def credential_states(store: Store, names: Sequence[str]) -> Mapping[str, str]:
    """The states of those that were ever set, or refused by a source."""
    states = {}
    for name in names:
        row = store.cursor.execute(schema.CREDENTIAL, (who(name),)).fetchone()
        if store.cursor.execute(schema.CREDENTIAL_REFUSED, (who(name),)).fetchone()[0]:
            states[name] = "revoked"  # whatever operations say: not active anywhere is not active
        elif row is not None:
            states[name] = row[0]
    return states


def runs(store: Store, active_only: bool) -> Sequence[RunState]:
    """All runs, newest first."""
    store.flush()
    ids = [row[0] for row in store.cursor.execute(schema.RUN_IDS, (active_only,)).fetchall()]
    return [store.state(store.must_run(run_id), 0, {}) for run_id in ids]


def open_calls(store: Store, _: None) -> Sequence[RecordData]:
    """Decision records of admitted calls without an outcome."""
    store.flush()
    return [decode_record(seq, body) for seq, body in store.cursor.execute(schema.OPEN_CALLS)]


def recover(store: Store, asked: tuple[datetime, Callable[[str], bool]]) -> Sequence[RecordData]:
    """Write the outcome `unknown` for every open call whose ledger object is gone; the decision records of those.

    Deadness is for ever (an owner's name is never used twice), and this runs inside the one write transaction, so of
    several recovering processes each call is marked by exactly one.
    """
    at, is_dead = asked
    store.flush()
    owners = [row[0] for row in store.cursor.execute(schema.OPEN_OWNERS).fetchall()]
    marked: list[RecordData] = []
    for owner in owners:
        if owner == store.owner or not is_dead(owner):
            continue
        for decision_id, body in store.cursor.execute(schema.OPEN_CALLS_OF, (owner,)).fetchall():
            call = store.must_call(decision_id)
            decision = decode_record(call.seq, body)
            store.end_call(decision_id, call.seq)
            store.append(encode_record(unknown_outcome(decision, at)))
            marked.append(decision)
            run = store.run(call.run_id)
            if run is not None:
                # Whoever called may have had the result, and nobody knows what was in it.
                lose_track(store, run, decision_id, call)
    return marked


def settle(store: Store, asked: tuple[str, Outcome, Row]) -> RunState:
    """What a person says of a call whose outcome is unknown."""
    decision_id, outcome, row = asked
    found = store.cursor.execute(schema.FIND_UNSETTLED, (decision_id,)).fetchone()
    if found is None:
        raise LedgerError(f"`{decision_id}` cannot be settled: {_why_not_unsettled(store, decision_id)}")
    run_id, step, keeps = found
    run = store.must_run(run_id)
    store.cursor.execute(schema.SETTLE, (decision_id,))
    run.unsettled -= {decision_id}
    if outcome is Outcome.SUCCEEDED:
        run.succeeded |= {step}
        dropped = [(run.n, name) for name in json.loads(keeps) if run.kept.drop(name)]
        store.cursor.executemany(schema.DROP_KEPT, dropped)
    store.changed(run)
    store.append(row)
    return store.state(run, 0, {})


def _why_not_unsettled(store: Store, decision_id: str) -> str:
    if store.find_call(decision_id) is not None:
        return "the call is under way; its outcome is recorded when it ends"
    if store.was_recorded(decision_id):
        return "nothing is unknown of it; `agentguard audit --decision` shows its records"
    return "there is no such decision in this ledger; `agentguard runs show RUN` lists what is unsettled"


def unknown_outcome(decision: RecordData, at: datetime) -> RecordData:
    """The outcome record of a call that nobody will ever hear of again: the decision's words, without its reasons."""
    record = {key: value for key, value in decision.items() if key != "seq"}
    if "arguments" in record:
        record["arguments"] = None
    return record | {
        "kind": "outcome",
        "time": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "reasons": [],
        "findings": [],
        "outcome": Outcome.UNKNOWN.value,
        "error": None,
        "why": "the process ended before the outcome was recorded",
    }
