"""What the end of a run takes with it: the runs that it delegated; and of calls that may be made again what they gave
out, and what they were suspended with.
"""

from __future__ import annotations

from datetime import datetime

import orjson

from agentguard.core.canonical import MAX_INTEGER
from agentguard.core.facts import RunStatus
from agentguard.ledger import again, cells
from agentguard.ledger.cells import CallCell
from agentguard.ledger.entry import Change, micros
from agentguard.ledger.operations.made import ANSWER
from agentguard.ledger.operations.outcomes import unknown_outcome
from agentguard.ledger.values import Outcome, RecordData, RecordFilter
from agentguard.ledger.world import World


def end(world: World, run_id: str, status: RunStatus, record: RecordData) -> Change:
    """What ends a run. Call it before the record of its end is written: the runs that it delegated have ended by then,
    and what is suspended in it is unknown. ``record`` is what is said of its end."""
    for child_id in world.must_run(run_id).children:
        child = world.must_run(child_id)
        why = f"run {run_id}, which delegated it, is {status}"
        said: RecordData = {**record, "kind": "run", "outcome": str(status), "risk": None, "reasons": [], "error": None}
        said |= {"run_id": child_id, "run_key": None, "subject": child.subject, "parent_run": run_id, "why": why}
        world.write(said, [end(world, child_id, status, said)])
    _at_end(world, run_id, record["time"])
    # A stop takes power away, so it is written whatever the clock says: at the latest as the last time that JSON holds.
    return ("end", run_id, str(status), min(micros(datetime.fromisoformat(record["time"])), MAX_INTEGER))


def _at_end(world: World, run_id: str, time: str) -> None:
    """Where what is owed is not settled, what that holds stays."""
    known = again.of_run(world, run_id)
    for decision_id in known.suspended:
        call = world.get((cells.CALL, decision_id))
        if isinstance(call, CallCell):
            decision = world.below.row(call.number)[0]
            said = unknown_outcome(decision, time, "the run ended while its tool had interrupted itself")
            world.write(said, [("close", decision_id, run_id, call.step, str(Outcome.UNKNOWN), [])])
    for decision_id in known.kept:
        for number in world.below.numbers(RecordFilter(decision_id=decision_id, kind="outcome")):
            private = orjson.loads(world.below.stored(number)[1] or b"{}")
            if ANSWER in private:
                world.below.erase(number, orjson.dumps({**private, ANSWER: ["", None]}))
