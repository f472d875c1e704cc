"""Runs: started, changed, entered and left, listed."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple

from agentguard.core.facts import RunState, RunStatus
from agentguard.core.values import Json, Risk
from agentguard.errors import LedgerError
from agentguard.ledger import cells, looking, stored
from agentguard.ledger.cells import (
    RunCell,
)
from agentguard.ledger.entry import Change, known_text, micros
from agentguard.ledger.operations import ends
from agentguard.ledger.values import (
    RecordData,
)
from agentguard.ledger.world import Windows, World

_MICROSECOND = timedelta(microseconds=1)


class Start(NamedTuple):
    """A run to start."""

    run: RunState
    record: RecordData
    at: int


def check_start(run: RunState, record: RecordData) -> Start:
    """Raises LedgerError for what cannot be stored."""
    for text in (run.id, run.workflow, run.workflow_digest, run.subject, run.requester or ""):
        known_text(text, "a part of a run")
    for value in (*run.inputs, *run.kept):
        known_text(value, "an input")
    return Start(run, record, micros(run.started_at))


def start(world: World, asked: Start) -> RunState:
    """Start a run; whatever the caller claims, it has no past."""
    run = asked.run
    if world.run(run.id) is not None:
        raise LedgerError(f"there is a run `{run.id}` already; a run's id is used once")
    world.write(asked.record, [start_change(world, run, asked.at)], private_of(run))
    return world.state(run.id, world.must_run(run.id))


def start_change(
    world: World,
    run: RunState,
    at: int,
    keyed: Sequence[Json] | None = None,
    child: Sequence[Json] | None = None,
) -> Change:
    """How a run begins, as far as it stands in public. ``keyed``: its key, the run that it goes on counting from, and
    whether what that read is lost. ``child``: which run delegated it, and the steps that it gave."""
    observed = None if run.observed is None else stored.write_observed(run.observed._replace(refused=0, asked=0))
    bounds = [None if span is None else span // _MICROSECOND for span in (run.lasts, run.idle)]
    change: list[Any] = [
        "start", run.id, run.workflow, run.workflow_digest, run.subject, run.requester, at, int(run.risk),
        world.below.owner, observed, bounds if any(bounds) else None, keyed, child,
    ]  # fmt: skip
    while change[-1] is None:  # as before runs were observed, bounded, found by a key or delegated
        change.pop()
    return change


def private_of(run: RunState) -> dict[str, Json]:
    """What of a run's beginning may not stand in public."""
    private: dict[str, Json] = {"inputs": dict(run.inputs), "salt": run.salt}
    if run.kept:
        private["kept"] = dict(run.kept)
    return private


def read_run(world: World, asked: tuple[str, int, Windows]) -> RunState | None:
    """The run as it is now."""
    run_id, at, windows = asked
    run = world.run(run_id)
    return None if run is None else world.state(run_id, run, at, windows)


class ChangeOfRun(NamedTuple):
    """A run to change."""

    run_id: str
    status: RunStatus | None
    risk: Risk | None
    record: RecordData


def check_change(run_id: str, status: str | None, risk: Risk | None, record: RecordData) -> ChangeOfRun:
    """Raises LedgerError for what is no change of a run."""
    known_text(run_id, "a run id")
    try:
        return ChangeOfRun(
            run_id, None if status is None else RunStatus(status), None if risk is None else Risk(risk), record
        )
    except ValueError as error:
        raise LedgerError(f"run `{run_id}` cannot be changed so: {error}") from None


def change_run(world: World, asked: ChangeOfRun) -> RunState:
    """End or stop a run, or set what operations think of its risk."""
    run = world.must_run(asked.run_id)
    now = world.status(asked.run_id, run)
    if asked.status is RunStatus.ACTIVE and now != RunStatus.ACTIVE:
        raise LedgerError(f"run `{asked.run_id}` is {now} and never becomes active again; start a new run")
    changes: list[Change] = []
    if asked.status is not None and asked.status is not RunStatus.ACTIVE:
        changes.append(ends.end(world, asked.run_id, asked.status, asked.record))
    if asked.risk is not None:
        changes.append(("risk", asked.run_id, int(asked.risk)))
    world.write(asked.record, changes or [("touch", asked.run_id)])
    return world.state(asked.run_id, world.must_run(asked.run_id))


class Held(NamedTuple):
    """A run that somebody enters, or leaves open. ``alone``: only where nobody else is inside."""

    run_id: str
    record: RecordData
    alone: bool = False


def hold_run(world: World, asked: Held) -> bool:
    """Be the one who is inside a run, unless another ledger object that is alive, or this one, is already."""
    run = world.must_run(asked.run_id)
    taken = _is_taken(world, run) or (asked.alone and any(_is_taken(world, each) for each in _below(world, run)))
    if world.status(asked.run_id, run) != RunStatus.ACTIVE or (taken and (asked.alone or run.keyed is None)):
        return False
    mine: Change = ("hold", asked.run_id, world.below.owner)
    world.write(asked.record, [mine if run.keyed is None else enter_change(world, asked.run_id, run)])
    return True


def _is_taken(world: World, run: RunCell) -> bool:
    return any(not world.below.is_dead(owner) for owner in _inside(run))


def _below(world: World, run: RunCell) -> Iterator[RunCell]:
    """The runs that it delegated and that go on, and those below them."""
    for child_id in run.children:
        child = world.must_run(child_id)
        yield child
        yield from _below(world, child)


def enter_change(world: World, run_id: str, run: RunCell) -> Change:
    """Somebody of this ledger object is inside a run of a key; of those that are gone, nobody is."""
    return ("enter", run_id, world.below.owner, sorted(filter(world.below.is_dead, _inside(run))))


def _inside(run: RunCell) -> Collection[str]:
    """The ledger objects that are inside a run, or were when their process ended."""
    if run.keyed is not None:
        return run.keyed.inside.keys()
    return () if run.holder is None else (run.holder,)


def let_go(world: World, asked: Held) -> None:
    """Nobody of this ledger object is inside the run any more; of a key's run, one fewer is."""
    run = world.must_run(asked.run_id)
    owner = world.below.owner
    if run.keyed is not None:
        world.write(asked.record, [("leave", asked.run_id, owner)] if owner in run.keyed.inside else ())
    else:
        world.write(asked.record, [("hold", asked.run_id, None)] if run.holder == owner else ())


def holders(world: World, of: Sequence[str] | None) -> Mapping[str, bool]:
    """The active runs that somebody is inside, or was when the process ended: whether that process is alive."""
    if of is None:
        listed = [(run_id, cell) for run_id, cell in world.below.listed(cells.RUN, live=True)]
    else:
        listed = [(run_id, cell) for run_id in of if (cell := world.run(run_id)) is not None]
    found = [(run_id, cell) for run_id, cell in listed if isinstance(cell, RunCell)]
    held = ((run_id, _inside(cell)) for run_id, cell in found)
    return {run_id: any(not world.below.is_dead(owner) for owner in owners) for run_id, owners in held if owners}


class WantedRuns(NamedTuple):
    """Which runs are listed. ``before``: only those that began before that run did."""

    status: str | None
    workflow: str | None
    subject: str | None
    before: str | None
    limit: int | None
    key: str | None = None
    parent: str | None = None


def runs(world: World, wanted: WantedRuns) -> Sequence[RunState]:
    """Runs, newest first."""
    before = None if wanted.before is None else world.must_run(wanted.before).number
    places = (
        (cells.WORKFLOW_OF_RUN, wanted.workflow),
        (cells.KEY_OF_RUN, wanted.key),
        (cells.PARENT_OF_RUN, wanted.parent),
    )
    equal = {place: value for place, value in places if value is not None}
    how: dict[str, Any] = {"about": wanted.subject, "before": before}
    match wanted.status:
        case RunStatus.ACTIVE:
            listed = world.below.listed(cells.RUN, live=True, equal=equal, **how)
        case RunStatus.STOPPED:
            stopped = world.below.listed(
                cells.RUN, equal={**equal, cells.STATUS_OF_RUN: RunStatus.STOPPED.value}, **how
            )
            by_word = world.below.listed(cells.RUN, live=True, equal=equal, **how) if _was_ended(world) else ()
            listed = heapq.merge(stopped, by_word, key=_number, reverse=True)
        case RunStatus.ENDED:
            equal = {**equal, cells.STATUS_OF_RUN: RunStatus.ENDED.value}
            listed = world.below.listed(cells.RUN, equal=equal, **how)
        case _:
            listed = world.below.listed(cells.RUN, equal=equal, **how)
    found = (
        world.state(run_id, cell)
        for run_id, cell in listed
        if isinstance(cell, RunCell) and (wanted.status is None or world.status(run_id, cell) == wanted.status)
    )
    return list(islice(found, wanted.limit))


def _was_ended(world: World) -> bool:
    """Whether anybody ever said that runs of a party are ended, which stops a run that does not say so itself."""
    return looking.world(world).ended is not None


def _number(listed: tuple[str, cells.Cell]) -> int:
    return cells.order(listed[1])
