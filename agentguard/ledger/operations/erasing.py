"""Erasing the private parts of records: of a run, of one decision, or of a subject's calls outside of runs.

What is erased is gone from the rows themselves, and null stands in its place. What was committed to can be searched no
more, because its salt is gone, too. Two salts stay, which hold nothing: that of a run's request digests, so that the
same question is known again, and that under which a subject's destinations are known. That something was erased is a
record of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from agentguard.errors import LedgerError
from agentguard.ledger import cells, fold, looking, stored
from agentguard.ledger.entry import Change, damaged, known_text
from agentguard.ledger.snapshot import CELLS, KIND
from agentguard.ledger.values import Erased, RecordData, RecordFilter
from agentguard.ledger.world import World

_STAY = ("salt", "reached_salt")
# Rows, and requests, of which one record says that they were erased: bounds how large it gets.
_MOST = 5_000


class Erasure(NamedTuple):
    """What is to be erased: of a run, of a decision, or of a subject outside of runs. One of the three is set."""

    run_id: str | None
    decision_id: str | None
    subject: str | None
    record: RecordData


def check_erasure(run_id: str | None, decision_id: str | None, subject: str | None, record: RecordData) -> Erasure:
    """Raises LedgerError for what names nothing, or more than one thing."""
    named = [each for each in (run_id, decision_id, subject) if each is not None]
    if len(named) != 1:
        raise LedgerError("an erasure is of a run, of a decision or of a subject: name one of them")
    known_text(named[0], "what is to be erased")
    return Erasure(run_id, decision_id, subject, record)


class _Found(NamedTuple):
    """One row, with its private parts as they are stored: name to [salt, value]."""

    number: int
    record: Any
    private: dict[str, Any]


def erase(world: World, asked: Erasure) -> Erased:
    """Erase private parts, and say so in records. Nothing is written where nothing is left to erase. What is of a run
    is of those that it delegated, too."""
    erased = requests = 0
    if asked.run_id is not None:
        world.must_run(asked.run_id)
        for child_id, _ in list(world.below.listed(cells.RUN, equal={cells.PARENT_OF_RUN: asked.run_id})):
            below = erase(world, asked._replace(run_id=child_id, record={**asked.record, "run_id": child_id}))
            erased, requests = erased + below.records, requests + below.approvals
    by_run: dict[str | None, list[_Found]] = {} if asked.run_id is None else {asked.run_id: []}
    for row in _rows(world, asked):
        by_run.setdefault(row.record.get("run_id"), []).append(row)
    if not by_run and asked.decision_id is not None:
        raise LedgerError(f"there is no decision `{asked.decision_id}` in this ledger")
    changes = [change for run_id, rows in by_run.items() for change in _erased(world, asked, run_id, rows)]
    for change in changes:
        world.write(asked.record, [change])
    erased += sum(len(change[4]) for change in changes)
    return Erased(erased, requests + sum(len(change[3]) for change in changes))


def _rows(world: World, asked: Erasure) -> Iterator[_Found]:
    wanted = RecordFilter(run_id=asked.run_id, decision_id=asked.decision_id, subject=asked.subject)
    for number in world.below.numbers(wanted):
        row = _read(world, number)
        if (asked.subject is None or row.record.get("run_id") is None) and row.record.get("kind") != KIND:
            yield row


def _read(world: World, number: int) -> _Found:
    public, private = world.below.stored(number)
    try:
        return _Found(number, orjson.loads(public), {} if private is None else orjson.loads(private))
    except orjson.JSONDecodeError:
        raise damaged(number) from None


def _is_held(name: str, part: Sequence[Any]) -> bool:
    return name not in _STAY and part[1] is not None


def _erased(world: World, asked: Erasure, run_id: str | None, rows: Sequence[_Found]) -> Iterator[Change]:
    """Erase what is left in these rows of one run. What records say of it: of the run, of requests, of which rows."""
    held = [row for row in rows if any(_is_held(*part) for part in row.private.items())]
    what = _of_the_run(world, asked, run_id, rows)
    approvals = _requests(world, asked, run_id, rows)
    if run_id is not None and (what or approvals):
        run = world.run(run_id)
        _erase_in_snapshots(world, run_id if run is None else looking.root_of(run_id, run), what, approvals)
    for row in held:
        left = {name: ["", None] if _is_held(name, part) else part for name, part in row.private.items()}
        world.below.erase(row.number, orjson.dumps(left))
    numbers = [row.number for row in held]
    if numbers or what or approvals:
        yield ("erase", run_id, what, approvals[:_MOST], numbers[:_MOST])
    for start in range(_MOST, max(len(numbers), len(approvals)), _MOST):
        yield ("erase", run_id, [], approvals[start : start + _MOST], numbers[start : start + _MOST])


def _of_the_run(world: World, asked: Erasure, run_id: str | None, rows: Sequence[_Found]) -> list[str]:
    """What is gone of what the run was given, kept and read."""
    run = None if run_id is None else world.run(run_id)
    if run is None or run_id is None:
        return []
    is_child = run.child is not None
    run = world.must_run(looking.root_of(run_id, run))
    whole = asked.run_id is not None
    kept = whole or any(row.record.get("kept") or not {"kept", "grown"}.isdisjoint(row.private) for row in rows)
    followed = whole or any(row.private.get("brought", ("", None))[1] is not None for row in rows)
    lost = {
        "inputs": whole and not is_child and run.inputs is not None,
        "kept": kept and run.kept is not None,
        "followed": followed and run.status == looking.ACTIVE and not run.seen.overflowed,
    }
    return [word for word, is_lost in lost.items() if is_lost]


def _requests(world: World, asked: Erasure, run_id: str | None, rows: Sequence[_Found]) -> list[str]:
    """The approval requests that can still be shown to people."""
    if asked.run_id is not None:
        found = [known_as for known_as, _ in world.below.listed(cells.APPROVAL, about=run_id)]
    else:
        found = [change[1] for row in rows for change in row.record.get("changes", ()) if change[0] == "ask"]
    shown = ((each, world.get((cells.APPROVAL, each))) for each in found)
    return [each for each, cell in shown if isinstance(cell, cells.ApprovalCell) and cell.shown is not None]


def _erase_in_snapshots(world: World, run_id: str, what: Sequence[str], approvals: Sequence[str]) -> None:
    """A ledger that was carried over holds runs, and what people were shown, as cells in one record or several."""
    for number in world.below.numbers(RecordFilter(kind=KIND)):
        row = _read(world, number)
        held = row.private.get(CELLS, ["", None])[1] or []
        left = [
            [kind, known_as, _without(kind, known_as, value, run_id, what, approvals)] for kind, known_as, value in held
        ]
        if left != held:
            world.below.erase(number, orjson.dumps({**row.private, CELLS: ["", left]}))


def _without(kind: str, known_as: str, value: str, run_id: str, what: Sequence[str], approvals: Sequence[str]) -> str:
    if kind == cells.RUN and known_as == run_id:
        run: Any = stored.decode(kind, value.encode())
        return stored.encode(fold.without(run, what)).decode()
    if kind == cells.APPROVAL and known_as in approvals:
        asked: Any = stored.decode(kind, value.encode())
        return stored.encode(asked._replace(shown=None)).decode()
    return value
