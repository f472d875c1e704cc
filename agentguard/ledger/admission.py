"""Admitting a call and closing it. Each function looks first and writes only when nothing can refuse any more.

The order in which an admission is refused: the run moved on, the assertion was used, the step is used up, a budget
does not hold the amount, the approval is gone.
"""

from __future__ import annotations

import json
from dataclasses import replace

from agentguard.core.facts import RunState, RunStatus
from agentguard.core.people import who
from agentguard.errors import LedgerError
from agentguard.ledger import schema, watches
from agentguard.ledger.contract import Admission, Admitted, Outcome, Refusal, Refused
from agentguard.ledger.encode import ReadyAdmission, ReadyClosing, encode_closing
from agentguard.ledger.marks import lose_track, see
from agentguard.ledger.runs import Run
from agentguard.ledger.store import OpenCall, Store, fits


def admit(store: Store, ready: ReadyAdmission) -> Admitted | Refused:
    """One decision made durable, or the reason why not with nothing written."""
    asked = ready.asked
    run = None if asked.run_id is None else store.run(asked.run_id)
    if asked.permit and not _as_decided(run, asked):
        return _refused(store, ready, Refusal.RUN_MOVED, run)
    if asked.permit and store.is_open(asked.decision_id):
        raise LedgerError(f"decision `{asked.decision_id}` was admitted before; each call needs its own decision id")
    due = watches.due(store, ready, run)
    if ready.assertion is not None and not store.assertions.use(ready.assertion, ready.until):
        return _refused(store, ready, Refusal.ASSERTION_USED, run)
    if asked.permit and run is not None:
        approval = _approval(store, ready)
        refusal = _step_or_budget(store, ready, run) or (Refusal.APPROVAL_USED if approval == _GONE else None)
        if refusal is not None:
            if ready.assertion is not None:
                store.assertions.give_back(ready.assertion)
            return _refused(store, ready, refusal, run)
        if approval is not None:
            store.cursor.execute(schema.CONSUME_APPROVAL, (approval,))
        seq = _take(store, ready, run)
    else:
        seq = store.append(ready.row)
    after = None if run is None else store.must_run(run.id)
    raised = watches.count(store, ready, after, seq, due)
    if ready.assertion is not None:
        store.assertions.sweep(ready.at)
    return Admitted(seq, None if after is None else store.state(after, ready.at, ready.windows), raised)


def close(store: Store, ready: ReadyClosing) -> RunState | None:
    """The outcome of one admitted call; the second time, nothing."""
    asked = ready.asked
    call = store.find_call(asked.decision_id)
    run = store.run(asked.run_id)
    if call is None:
        if not store.was_recorded(asked.decision_id):
            raise LedgerError(f"decision `{asked.decision_id}` was never admitted, so it has no outcome")
    elif (call.run_id, call.step) != (asked.run_id, asked.step):
        raise LedgerError(f"decision `{asked.decision_id}` was admitted for another run or step than it is closed for")
    else:
        store.end_call(asked.decision_id, call.seq)
        store.append(ready.row)
        if run is not None and asked.outcome is Outcome.SUCCEEDED:
            _succeed(store, run, ready)
        if run is not None and asked.outcome is Outcome.UNKNOWN:
            lose_track(store, run, asked.decision_id, call)
        if run is not None and asked.brought is not None:
            see(store, run, asked.brought)
    return None if run is None else store.state(run, 0, {})


def close_plainly(store: Store, ready: ReadyClosing) -> RunState | None:
    """The outcome of a call of which no more can be stored than that it is unknown."""
    record = {**ready.asked.record, "outcome": Outcome.UNKNOWN.value, "kept": []}
    closing = replace(ready.asked, outcome=Outcome.UNKNOWN, record=record, kept={}, brought=None)
    return close(store, encode_closing(closing))


def _as_decided(run: Run | None, asked: Admission) -> bool:
    return (
        run is not None
        and run.version == asked.run_version
        and run.status is RunStatus.ACTIVE
        and not run.suspended
        and run.workflow == asked.workflow
    )


def _step_or_budget(store: Store, ready: ReadyAdmission, run: Run) -> Refusal | None:
    asked = ready.asked
    if asked.step_at_most is not None and run.counts.get(asked.step or "", 0) >= asked.step_at_most:
        return Refusal.STEP_USED_UP
    taken: dict[str, int] = {}
    for charge in asked.charges:
        total = taken.get(charge.budget, 0) + charge.amount
        taken[charge.budget] = total
        if not fits(store.spent(run, charge.budget, charge.per, ready.at) + total, charge.at_most):
            return Refusal.BUDGET_EXCEEDED
    return None


# An approval that was named but cannot be used: missing, consumed, expired, or another run's.
_GONE = -1


def _approval(store: Store, ready: ReadyAdmission) -> int | None:
    asked = ready.asked
    if asked.approval_id is None:
        return None
    row = store.cursor.execute(schema.APPROVAL, (asked.approval_id,)).fetchone()
    if row is None:
        return _GONE
    n, _, run_id, _, expires_at, consumed, _ = row
    return _GONE if consumed or run_id != asked.run_id or ready.at >= expires_at else int(n)


def _take(store: Store, ready: ReadyAdmission, run: Run) -> int:
    asked = ready.asked
    step = asked.step or ""
    run.counts[step] = run.counts.get(step, 0) + 1
    for charge in asked.charges:
        store.spend(run, charge.budget, charge.per, ready.at, charge.amount)
    if asked.read_sensitivity is not None and (run.high_water is None or asked.read_sensitivity > run.high_water):
        run.high_water = asked.read_sensitivity
    run.zones |= asked.zones
    store.changed(run)
    seq = store.append(ready.row)
    keeps = json.dumps(sorted(asked.keeps)) if asked.keeps else "[]"
    store.open_call(asked.decision_id, OpenCall(seq, run.id, step, keeps))
    if not asked.zones <= run.contacts:
        _first_contact(store, run, asked.zones)
    return seq


def _first_contact(store: Store, run: Run, zones: frozenset[str]) -> None:
    """The subject has been there now. Its other calls that wait to be asked about it are decided anew."""
    store.flush()
    store.cursor.executemany(schema.ADD_CONTACT, [(run.subject, "zone", zone) for zone in sorted(zones)])
    store.cursor.execute(schema.BUMP_SUBJECT, (who(run.subject),))
    store.drop_runs()


def _succeed(store: Store, run: Run, ready: ReadyClosing) -> None:
    changed = [(run.n, "kept", name, raw) for name, raw in ready.kept.items() if run.kept.put(name, raw)]
    if changed:
        store.cursor.executemany(schema.PUT_RUN_VALUE, changed)
    dropped = [(run.n, name) for name in ready.asked.dropped if run.kept.drop(name)]
    if dropped:
        store.cursor.executemany(schema.DROP_KEPT, dropped)
    if changed or dropped or ready.asked.step not in run.succeeded:
        run.succeeded |= {ready.asked.step}
        store.changed(run)


def _refused(store: Store, ready: ReadyAdmission, why: Refusal, run: Run | None) -> Refused:
    return Refused(why, None if run is None else store.state(run, ready.at, ready.windows))
