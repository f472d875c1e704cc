"""The outcome of an admitted call: from its tool, from a recovery after a crash, or from a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from agentguard.core.facts import RunState
from agentguard.core.growing import after_growth
from agentguard.core.values import Json
from agentguard.errors import LedgerError
from agentguard.ledger import cells
from agentguard.ledger.cells import (
    CallCell,
    RunCell,
)
from agentguard.ledger.entry import Change, known_text, micros, written
from agentguard.ledger.log import Behind
from agentguard.ledger.operations import made
from agentguard.ledger.stored import write_brought, write_growth
from agentguard.ledger.values import (
    Closing,
    Outcome,
    RecordData,
)
from agentguard.ledger.world import RunLater, World

# Why it is unknown how a call ended whose process is gone.
GONE = "the process ended before the outcome was recorded"


def check_closing(asked: Closing) -> Closing:
    """Raises LedgerError for what cannot be stored."""
    for value in asked.kept:
        known_text(value, "a kept value")
    return asked


def close(world: World, asked: Closing, *, plainly: bool = False) -> RunLater | None:
    """The outcome of one admitted call; the second time, nothing."""
    call = world.get((cells.CALL, asked.decision_id))
    run = world.run(asked.run_id)
    if call is None:
        if not world.fresh:  # others may have admitted it
            raise Behind
        if not world.was_recorded(asked.decision_id):
            raise LedgerError(f"decision `{asked.decision_id}` was never admitted, so it has no outcome")
    elif not isinstance(call, CallCell) or (call.run_id, call.step) != (asked.run_id, asked.step):
        raise LedgerError(f"decision `{asked.decision_id}` was admitted for another run or step than it is closed for")
    else:
        private: dict[str, Json] = {}
        if asked.kept:
            private["kept"] = dict(asked.kept)
        if asked.grown:
            private["grown"] = [write_growth(growth) for growth in asked.grown]
        if asked.brought is not None:
            # None: all that the run had seen is lost, which needs no writing.
            private["brought"] = None if plainly else write_brought(asked.brought)
        first = made.before_closing(world, asked, call, private)
        change = ("close", asked.decision_id, asked.run_id, asked.step, str(asked.outcome), sorted(asked.dropped))
        world.write(_with_growth(asked, run) if asked.grown else asked.record, [*first, change], private)
    after = world.run(asked.run_id)
    return None if run is None or after is None else world.later(asked.run_id, after)


def _with_growth(asked: Closing, run: RunCell | None) -> RecordData:
    """The outcome's record, with why a value that grows has not grown."""
    if run is None or asked.outcome is not Outcome.SUCCEEDED:
        return asked.record
    _, troubles = after_growth(run.kept or {}, asked.grown)
    if not troubles:
        return asked.record
    said = [asked.record["error"]] if asked.record.get("error") else []
    said += [f"could not keep {name}: {why}" for name, why in troubles.items()]
    left = [name for name in asked.record.get("kept", ()) if name not in troubles]
    return {**asked.record, "error": "; ".join(said), "kept": left}


def close_plainly(world: World, asked: Closing) -> RunLater | None:
    """The outcome of a call of which no more can be stored than that it is unknown."""
    record = {**asked.record, "outcome": Outcome.UNKNOWN.value, "kept": []}
    asked = replace(asked, outcome=Outcome.UNKNOWN, record=record, kept={}, grown=(), answer=None)
    return close(world, asked, plainly=True)


def open_calls(world: World, _: None) -> Sequence[RecordData]:
    """Decision records of admitted calls without an outcome, oldest first."""
    found = [cell for _, cell in world.below.listed(cells.CALL) if isinstance(cell, CallCell)]
    return [world.below.row(cell.number)[0] for cell in reversed(found)]


def recover(world: World, at: datetime) -> Sequence[RecordData]:
    """Write the outcome `unknown` for every open call whose ledger object is gone; the decision records of those.

    Deadness is for ever (an owner's name is never used twice), and nobody else appends meanwhile, so of several
    recovering processes each call is marked by exactly one.
    """
    found = [(each, cell) for each, cell in world.below.listed(cells.CALL) if isinstance(cell, CallCell)]
    dead = {
        owner
        for owner in {cell.owner for _, cell in found}
        if owner and owner != world.below.owner and world.below.is_dead(owner)
    }
    marked: list[RecordData] = []
    for decision_id, cell in reversed(found):
        if cell.owner not in dead:
            continue
        decision = world.below.row(cell.number)[0]
        changes: list[Change] = [
            ("close", decision_id, cell.run_id, cell.step, str(Outcome.UNKNOWN), []),
        ]
        world.write(unknown_outcome(decision, written(micros(at)), GONE), changes)
        marked.append(decision)
    return marked


def settle(world: World, asked: tuple[str, Outcome, RecordData]) -> RunState:
    """What a person says of a call whose outcome is unknown."""
    decision_id, outcome, record = asked
    call = world.get((cells.UNSETTLED, decision_id))
    if not isinstance(call, CallCell):
        raise LedgerError(f"`{decision_id}` cannot be settled: {_why_not_unsettled(world, decision_id)}")
    world.write(record, [("settle", call.run_id, decision_id, str(outcome))])
    return world.state(call.run_id, world.must_run(call.run_id))


def _why_not_unsettled(world: World, decision_id: str) -> str:
    if world.get((cells.CALL, decision_id)) is not None:
        return "the call is under way; its outcome is recorded when it ends"
    if world.was_recorded(decision_id):
        return "nothing is unknown of it; `agentguard audit --decision` shows its records"
    return "there is no such decision in this ledger; `agentguard runs show RUN` lists what is unsettled"


def check_settlement(decision_id: str, outcome: Outcome, record: RecordData) -> tuple[str, Outcome, RecordData]:
    """Raises LedgerError for what settles nothing."""
    if outcome not in (Outcome.SUCCEEDED, Outcome.FAILED):
        raise LedgerError(f"a call is settled as `{outcome}`; expected succeeded or failed")
    return known_text(decision_id, "a decision id"), Outcome(outcome), record


def unknown_outcome(decision: RecordData, time: str, why: str) -> RecordData:
    """The outcome record of a call that nobody will ever hear of again: the decision's words, without its reasons."""
    dropped = ("seq", "changes", "commitments")
    record = {key: value for key, value in decision.items() if key not in dropped}
    if "arguments" in record:
        record["arguments"] = None
    return record | {
        "kind": "outcome",
        "time": time,
        "reasons": [],
        "findings": [],
        "outcome": Outcome.UNKNOWN.value,
        "error": None,
        "why": why,
    }
