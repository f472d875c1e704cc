"""Counting what happens in a run, and raising its risk when a rule says so; part of the admission that is counted.

The times of what is counted stand in the database and nowhere else, so that several processes count together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from agentguard.core.facts import RunStatus
from agentguard.ledger import schema
from agentguard.ledger.contract import RecordData, Watch
from agentguard.ledger.encode import ReadyAdmission, Row, encode_record
from agentguard.ledger.runs import Run
from agentguard.ledger.sources import Word
from agentguard.ledger.store import Store

_MICROSECOND = timedelta(microseconds=1)


def due(store: Store, ready: ReadyAdmission, run: Run | None) -> Sequence[tuple[Watch, Row]]:
    """The rules whose number this admission reaches, for the first time in this run, with the record of each.

    Looks and writes nothing: an admission can still be refused where a record could not be stored.
    """
    if run is None or run.status is not RunStatus.ACTIVE:
        return ()
    return [
        (watch, encode_record(watch.record))
        for watch in ready.asked.watches
        if _counted(store, run, watch, ready.at) + 1 >= watch.at_least and _said(store, run, watch) < watch.to
    ]


def count(
    store: Store, ready: ReadyAdmission, run: Run | None, seq: int, reached: Sequence[tuple[Watch, Row]]
) -> tuple[RecordData, ...]:
    """Count this admission, and let the rules that are due raise the risk; the records of those."""
    if run is None or run.status is not RunStatus.ACTIVE or not ready.asked.watches:
        return ()
    longest: dict[str, timedelta] = {}
    for watch in ready.asked.watches:
        longest[watch.counts] = max(watch.within, longest.get(watch.counts, watch.within))
    for what, within in longest.items():
        store.cursor.execute(schema.ADD_HAPPENING, (run.n, what, ready.at, seq))
        store.cursor.execute(schema.FORGET_HAPPENINGS, (run.n, what, ready.at - within // _MICROSECOND))
    for watch, row in reached:
        word = Word(risk=int(watch.to), risk_at=ready.at)
        store.cursor.execute(schema.PUT_STANDING, ("run", run.id, watch.source, *word))
        run.standing = run.standing._replace(risk=max(run.standing.risk, watch.to))
        store.changed(run)
        store.append(row)
    return tuple(watch.record for watch, _ in reached)


def _counted(store: Store, run: Run, watch: Watch, at: int) -> int:
    asked = (run.n, watch.counts, at - watch.within // _MICROSECOND)
    return int(store.cursor.execute(schema.HAPPENINGS, asked).fetchone()[0])


def _said(store: Store, run: Run, watch: Watch) -> int:
    row = store.cursor.execute(schema.STANDING, ("run", run.id, watch.source)).fetchone()
    return int(Word(*(row or ())).risk or 0)
