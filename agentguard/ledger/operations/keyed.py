"""Runs that are found by a key: opened or gone on with, in one step; and the key of a stopped one given back.

The rules:

1. A key belongs to a workflow, a subject and a requester. Who asks for it goes on with the run that it opened last, if
   that is active.
2. They must have given the same inputs, and be the same subject and requester letter for letter. Nothing is written
   otherwise.
3. A run that can permit nothing any more is ended on record, and another begins: it lasted too long, was idle for too
   long, its workflow was changed, it was observed and is so no more, or its inputs were erased.
4. A run that was stopped keeps its key from opening another, until somebody gives the key back (``free``). Time does
   not: nobody knows by the clock that what it was stopped for is over.
5. A run that begins under a key of an earlier one goes on counting where that ended, until ``lasts`` after the first of
   them began has passed; for ever where the workflow does not say how long its runs last. An enforced run goes on
   from the last enforced one: what observed calls took counts for no enforced run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from agentguard.core.canonical import canonical_bytes
from agentguard.core.facts import RunState, RunStatus
from agentguard.core.lasting import over
from agentguard.core.reasons import Reason
from agentguard.core.values import Json
from agentguard.errors import LedgerError
from agentguard.ledger import cells, keys, looking
from agentguard.ledger.cells import KeyCell, RunCell, moment
from agentguard.ledger.entry import known_text
from agentguard.ledger.operations import ends
from agentguard.ledger.operations.runs import check_start, enter_change, private_of, start_change
from agentguard.ledger.values import NotOpened, Opened, RecordData, WhyNot
from agentguard.ledger.world import World


class Opening(NamedTuple):
    """A run to begin under its key, unless there is one to go on with. The records of what may come of it lack what is
    known only then: which run it is about. ``follows``: whether its workflow asks where values come from."""

    run: RunState
    key: str
    at: int
    follows: bool
    started: RecordData
    found: RecordData
    ended: RecordData


def check_opening(
    run: RunState, *, follows: bool, started: RecordData, found: RecordData, ended: RecordData
) -> Opening:
    """Raises LedgerError for what cannot be stored."""
    if run.key is None:
        raise LedgerError("a run that is found by a key has one")
    at = check_start(run, started).at
    return Opening(run, known_text(run.key, "a key"), at, follows, started, found, ended)


def open_run(world: World, asked: Opening) -> Opened | NotOpened:
    """Begin the run of a key, or go on with it; or why neither, with nothing written."""
    run = asked.run
    if world.run(run.id) is not None:
        raise LedgerError(f"there is a run `{run.id}` already; a run's id is used once")
    known = world.get((cells.KEY, keys.place(run.workflow, run.subject, run.requester, asked.key)))
    if not isinstance(known, KeyCell):
        return _begin(world, asked, None)
    latest = world.must_run(known.run_id)
    status = world.status(known.run_id, latest)
    if status == looking.STOPPED and not known.freed:
        return NotOpened(WhyNot.STOPPED, known.run_id)
    if status != looking.ACTIVE:
        return _begin(world, asked, known)
    why = _is_over(latest, asked)
    if why is None:
        return _go_on(world, asked, known.run_id, latest)
    reasons, said = why
    record = _about({**asked.ended, "reasons": reasons, "why": said}, known.run_id, latest)
    world.write(record, [ends.end(world, known.run_id, RunStatus.ENDED, record)])
    return _begin(world, asked, known)


def _is_over(run: RunCell, asked: Opening) -> tuple[list[str], str] | None:
    """Why an active run permits nothing any more: codes, and in words."""
    bounds = run.bounds or cells.NO_BOUNDS
    last = None if bounds.used is None else moment(bounds.used)
    now = moment(asked.at)
    reason = over(moment(run.started), last, now, _span(bounds.lasts), _span(bounds.idle))
    if reason is not None:
        return [str(reason)], "it lasted too long" if reason is Reason.RUN_EXPIRED else "it was idle for too long"
    if run.digest != asked.run.workflow_digest:
        return [str(Reason.WORKFLOW_CHANGED)], "its workflow was changed"
    if run.observed is not None and (asked.run.observed is None or now.date() > run.observed.until):
        return [str(Reason.OBSERVING_OVER)], "it was observed, and that is over"
    if run.inputs is None:
        return [], "its inputs were erased"
    return None


def _span(micros: int | None) -> timedelta | None:
    return None if micros is None else timedelta(microseconds=micros)


def _go_on(world: World, asked: Opening, run_id: str, run: RunCell) -> Opened | NotOpened:
    if (run.subject, run.requester) != (asked.run.subject, asked.run.requester):
        return NotOpened(WhyNot.ANOTHER_SPELLING, run_id)
    if canonical_bytes(run.inputs) != canonical_bytes(dict(asked.run.inputs)):
        return NotOpened(WhyNot.OTHER_INPUTS, run_id)
    world.write(_about(asked.found, run_id, run), [enter_change(world, run_id, run)])
    return Opened(world.state(run_id, world.must_run(run_id)), begun=False)


def _begin(world: World, asked: Opening, known: KeyCell | None) -> Opened:
    run = asked.run
    before_id = None if known is None else known.enforced if run.observed is None else known.run_id
    before = None if before_id is None else world.must_run(before_id)
    if before is not None and _has_passed(before, asked):
        before_id = before = None
    lost = before is not None and asked.follows and any(before.counts.values())
    private: dict[str, Json] = private_of(run)
    record = asked.started
    if before is not None:
        # Values are counted by digests under the run's salt: under another, none would be known again.
        private["salt"] = before.salt
        record = {**record, "why": "; ".join(filter(None, (record.get("why"), f"goes on counting from {before_id}")))}
    world.write(record, [start_change(world, run, asked.at, [asked.key, before_id, lost])], private)
    return Opened(world.state(run.id, world.must_run(run.id)), begun=True)


def _has_passed(before: RunCell, asked: Opening) -> bool:
    """Whether the time in which a key opens no fresh limits is over, by the longer word of both workflows."""
    lasts = (before.bounds or cells.NO_BOUNDS).lasts
    if lasts is None or asked.run.lasts is None or before.keyed is None:
        return False
    return moment(asked.at) - moment(before.keyed.since) > max(timedelta(microseconds=lasts), asked.run.lasts)


def _about(record: RecordData, run_id: str, run: RunCell) -> RecordData:
    return {**record, "run_id": run_id, "requester": run.requester, "enforced": run.observed is None}


class Freeing(NamedTuple):
    """A stopped run whose key is given back."""

    run_id: str
    record: RecordData


def free(world: World, asked: Freeing) -> RunState:
    """Let the key of a stopped run open another. Raises LedgerError where it keeps none."""
    run = world.must_run(asked.run_id)
    if run.keyed is None:
        raise LedgerError(f"run `{asked.run_id}` was not opened by a key, so it keeps none")
    status = world.status(asked.run_id, run)
    if status != looking.STOPPED:
        raise LedgerError(f"run `{asked.run_id}` is {status}; only a stopped run keeps its key")
    known = world.get((cells.KEY, keys.place(run.workflow, run.subject, run.requester, run.keyed.key)))
    if not isinstance(known, KeyCell) or known.run_id != asked.run_id:
        raise LedgerError(f"the key of run `{asked.run_id}` has opened another run since; it keeps none")
    world.write(asked.record, [("free", asked.run_id)])
    return world.state(asked.run_id, world.must_run(asked.run_id))
