"""What runs have seen, as the ledger keeps it: a row for each mark, and one row alone where something was lost."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from agentguard.core.facts import RunStatus
from agentguard.core.provenance import NOTHING_SEEN, Brought, Mark, Seen
from agentguard.ledger import schema

if TYPE_CHECKING:
    from agentguard.ledger.runs import Run
    from agentguard.ledger.store import OpenCall, Store

_DIGEST = 32


def load_seen(cursor: sqlite3.Cursor, n: int) -> Seen:
    """Read what one run has seen."""
    marks = []
    for source, order, raw, text in cursor.execute(schema.MARKS, (n,)):
        if not source:
            return Seen((), True)
        values = frozenset(raw[at : at + _DIGEST] for at in range(0, len(raw), _DIGEST))
        marks.append(Mark(source, order, values, text))
    return Seen(tuple(marks)) if marks else NOTHING_SEEN


def see(store: Store, run: Run, brought: Brought) -> None:
    """Take in what a result brought. A run that is over sees nothing any more."""
    if run.status is not RunStatus.ACTIVE:
        return
    after = run.seen.after(brought, sum(run.counts.values()))
    if after.overflowed:
        lose(store, run)
        return
    first = len(run.seen.marks)
    fresh = [
        (run.n, k, mark.source, mark.order, b"".join(sorted(mark.values)), mark.text)
        for k, mark in enumerate(after.marks[first:], first)
    ]
    if fresh:
        store.cursor.executemany(schema.ADD_MARK, fresh)
        run.seen = after
        store.changed(run)


def lose(store: Store, run: Run) -> None:
    """Something could not be followed: from now on nothing is known of any value in this run."""
    if run.status is RunStatus.ACTIVE and not run.seen.overflowed:
        store.cursor.execute(schema.FORGET_MARKS, (run.n,))
        store.cursor.execute(schema.ADD_MARK, (run.n, 0, "", 0, b"", ""))
        run.seen = Seen((), True)
        store.changed(run)


def lose_track(store: Store, run: Run, decision_id: str, call: OpenCall) -> None:
    """Nobody knows how a call ended, so until somebody says it nothing may rest on what the run kept or followed."""
    store.cursor.execute(schema.ADD_UNSETTLED, (decision_id, run.n, call.step, call.keeps))
    run.unsettled |= {decision_id}
    store.changed(run)


def forget(store: Store, run: Run) -> None:
    """The run is over."""
    store.cursor.execute(schema.FORGET_MARKS, (run.n,))
    run.seen = NOTHING_SEEN
