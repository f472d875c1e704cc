"""Counting what happens in a run, and raising its risk when a rule says so; part of the admission that is counted.

The times of what is counted stand in the database and nowhere else, so that several processes count together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeAlias

from agentguard.core.facts import RunStatus
from agentguard.ledger import schema
from agentguard.ledger.contract import REPEATED, FirstUse, RecordData, Watch
from agentguard.ledger.encode import ReadyAdmission, Row, encode_record
from agentguard.ledger.runs import Run
from agentguard.ledger.sources import Word
from agentguard.ledger.store import Store

_MICROSECOND = timedelta(microseconds=1)

Due: TypeAlias = "tuple[Watch | FirstUse, Row]"


def due(store: Store, ready: ReadyAdmission, run: Run | None) -> Sequence[Due]:
    """The rules whose number or first use this admission is, for the first time in this run, with each one's record.

    Looks and writes nothing: an admission can still be refused where a record could not be stored.
    """
    if run is None:
        return ()
    reached: list[Watch | FirstUse] = [
        watch for watch in _news(store, ready, run) if _counted(store, run, watch, ready.at) + 1 >= watch.at_least
    ]
    if ready.asked.permit:
        reached += [first for first in ready.asked.first_uses if _is_first(store, run, first)]
    return [(rule, encode_record(rule.record)) for rule in reached if _said(store, run, rule) < rule.to]


def count(
    store: Store, ready: ReadyAdmission, run: Run | None, seq: int, reached: Sequence[Due]
) -> tuple[RecordData, ...]:
    """Count this admission, and let the rules that are due raise the risk; the records of those."""
    asked = ready.asked
    if run is None or run.status is not RunStatus.ACTIVE or not (asked.watches or asked.first_uses):
        return ()
    if asked.permit:
        reaches = {(first.kind, value) for first in asked.first_uses for value in first.values}
        store.cursor.executemany(schema.ADD_CONTACT, [(run.subject, *reached) for reached in sorted(reaches)])
    longest: dict[str, timedelta] = {}
    calls: dict[str, str | None] = {}
    for watch in _news(store, ready, run):
        longest[watch.counts] = max(watch.within, longest.get(watch.counts, watch.within))
        calls[watch.counts] = watch.call
    for what, within in longest.items():
        store.cursor.execute(schema.ADD_HAPPENING, (run.n, what, ready.at, seq, calls[what]))
        store.cursor.execute(schema.FORGET_HAPPENINGS, (run.n, what, ready.at - within // _MICROSECOND))
    for rule, row in reached:
        word = Word(risk=int(rule.to), risk_at=ready.at)
        store.cursor.execute(schema.PUT_STANDING, ("run", run.id, rule.source, *word))
        run.standing = run.standing._replace(risk=max(run.standing.risk, rule.to))
        store.changed(run)
        store.append(row)
    return tuple(rule.record for rule, _ in reached)


def _is_first(store: Store, run: Run, first: FirstUse) -> bool:
    known = (store.cursor.execute(schema.CONTACT, (run.subject, first.kind, value)) for value in first.values)
    return any(found.fetchone() is None for found in known)


def _news(store: Store, ready: ReadyAdmission, run: Run) -> Sequence[Watch]:
    """The rules for which this is not what was counted a moment ago, repeated."""
    since = ready.at - REPEATED // _MICROSECOND
    return [watch for watch in ready.asked.watches if watch.call is None or not _repeats(store, run, watch, since)]


def _repeats(store: Store, run: Run, watch: Watch, since: int) -> bool:
    same = store.cursor.execute(schema.SAME_HAPPENING, (run.n, watch.counts, since, watch.call))
    return same.fetchone() is not None


def _counted(store: Store, run: Run, watch: Watch, at: int) -> int:
    asked = (run.n, watch.counts, at - watch.within // _MICROSECOND)
    return int(store.cursor.execute(schema.HAPPENINGS, asked).fetchone()[0])


def _said(store: Store, run: Run, rule: Watch | FirstUse) -> int:
    row = store.cursor.execute(schema.STANDING, ("run", run.id, rule.source)).fetchone()
    return int(Word(*(row or ())).risk or 0)
