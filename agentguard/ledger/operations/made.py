"""Calls that are made again: what is known of the first, what it gave out, and that it is suspended."""

from __future__ import annotations

from agentguard.core.facts import CallStatus, MadeBefore
from agentguard.core.values import Json
from agentguard.errors import LedgerError
from agentguard.ledger import again, cells
from agentguard.ledger.cells import CallCell, MadeCell
from agentguard.ledger.entry import Change
from agentguard.ledger.log import Behind
from agentguard.ledger.values import Admission, Closing, RecordFilter, Suspension
from agentguard.ledger.world import World

# The private part of an outcome that holds what the call gave out.
ANSWER = "answer"
# What is kept of one result, and of one run: room for what models are shown. Past it the caller is told that the call
# succeeded, and that its answer was not kept.
MOST_BYTES = 64 * 1024
MOST_KIB = 1024
_KIB = 1024


def look(world: World, key: str) -> MadeBefore | None:
    """The call that has this name. One whose process is gone is unknown, whether or not that is recorded yet."""
    cell = world.get((cells.MADE, key))
    if not isinstance(cell, MadeCell):
        return None
    status = CallStatus(cell.status)
    if status is CallStatus.RUNNING:
        call = world.get((cells.CALL, cell.decision_id))
        if isinstance(call, CallCell) and call.owner != world.below.owner and world.below.is_dead(call.owner):
            status = CallStatus.UNKNOWN
    return MadeBefore(cell.decision_id, cell.digest, cell.step, status, cell.answered)


def answer(world: World, decision_id: str) -> str | None:
    """What a call gave out, as text; None where that is gone."""
    for number in world.below.numbers(RecordFilter(decision_id=decision_id, kind="outcome")):
        found = world.below.row(number)[1].get(ANSWER)
        if isinstance(found, str):
            return found
    return None


def is_as_seen(world: World, asked: Admission) -> bool:
    """Whether the call that was made before is still what the decision saw; or there is still none."""
    return asked.made is None or look(world, asked.made.key) == asked.made.sees


def changes_of(world: World, asked: Admission) -> list[Change]:
    """What an admission changes in who has which name."""
    made = asked.made
    if made is None:
        return []
    if made.sees is None:
        return [("made", asked.decision_id, made.key, made.digest, asked.failure_did_nothing)] if asked.permit else []
    return [("go_on", made.sees.decision_id, world.below.owner)] if made.continues else []


def before_closing(world: World, asked: Closing, call: CallCell, private: dict[str, Json]) -> list[Change]:
    """What an outcome changes in that, before it is written. An answer that has room is added to ``private``."""
    if not call.made:
        return []
    if not asked.started:
        return [("unmade", asked.decision_id)]
    if asked.answer is None:
        return []
    kib = -(-len(asked.answer.encode()) // _KIB)
    if kib > MOST_BYTES // _KIB or again.of_run(world, asked.run_id).kib + kib > MOST_KIB:
        return []
    private[ANSWER] = asked.answer
    return [("kept", asked.decision_id, asked.run_id, kib)]


def suspend(world: World, asked: Suspension) -> None:
    """The tool of an open call interrupted itself."""
    call = world.get((cells.CALL, asked.decision_id))
    if call is None:
        if not world.fresh:  # others may have admitted it
            raise Behind
        raise LedgerError(f"decision `{asked.decision_id}` is not under way, so it cannot be suspended")
    world.write(asked.record, [("pause", asked.decision_id)])
