"""Runs that another run delegates: begun in one step with it.

The rules:

1. Only a run that is active delegates: what it could not do, nobody does for it.
2. A run that was delegated may take the steps that it is given, of those that its parent may. It is of the same
   workflow and for the same requester, with the same inputs: it has none of its own.
3. What a tree of runs counts, keeps and has read stands in the cell of its root, so no limit is there twice
   (``looking.whole``). Two calls of one tree are compared with each other as two calls of one run are.
4. It ends with its parent (``operations.ends``), and is stopped with it.
5. A tree is so deep, and a run has so many others open, and no more.
"""

from __future__ import annotations

from typing import NamedTuple

from agentguard.core.facts import RunState
from agentguard.core.values import Json
from agentguard.errors import LedgerError
from agentguard.ledger import looking
from agentguard.ledger.entry import known_text
from agentguard.ledger.operations.runs import check_start, start_change
from agentguard.ledger.values import NotOpened, Opened, RecordData, WhyNot
from agentguard.ledger.world import World

# How far below the root; each call looks at every run above its own.
MOST_DEEP = 8
# Open at once, of one run: they stand in its cell.
MOST_OPEN = 100


class Delegation(NamedTuple):
    """A run to begin below another. Of ``run`` only its name, subject and time count: the rest is its parent's.
    ``steps`` None: those of its parent."""

    run: RunState
    parent_id: str
    steps: tuple[str, ...] | None
    at: int
    record: RecordData


def check_delegation(run: RunState, parent_id: str, steps: tuple[str, ...] | None, record: RecordData) -> Delegation:
    """Raises LedgerError for what cannot be stored."""
    at = check_start(run, record).at
    known = None if steps is None else tuple(sorted({known_text(step, "a step") for step in steps}))
    return Delegation(run, known_text(parent_id, "a run id"), known, at, record)


def delegate(world: World, asked: Delegation) -> Opened | NotOpened:
    """Begin a run below another; or why not, with nothing written."""
    run = asked.run
    if world.run(run.id) is not None:
        raise LedgerError(f"there is a run `{run.id}` already; a run's id is used once")
    parent = world.must_run(asked.parent_id)
    why = _why_not(world, asked)
    if why is not None:
        return NotOpened(why, asked.parent_id)
    steps: Json = None if asked.steps is None else list[Json](asked.steps)
    told = RunState(
        id=run.id,
        workflow=parent.workflow,
        workflow_digest=parent.digest,
        subject=run.subject,
        status=run.status,
        version=1,
        started_at=run.started_at,
        requester=parent.requester,
    )
    world.write(asked.record, [start_change(world, told, asked.at, child=[asked.parent_id, steps])])
    return Opened(world.state(run.id, world.must_run(run.id)), begun=True)


def _why_not(world: World, asked: Delegation) -> WhyNot | None:
    parent = world.must_run(asked.parent_id)
    status = world.status(asked.parent_id, parent)
    if status != looking.ACTIVE:
        return WhyNot.STOPPED if status == looking.STOPPED else WhyNot.ENDED
    child = looking.whole(world, asked.parent_id, parent).child
    if child is not None and child.depth >= MOST_DEEP:
        return WhyNot.TOO_DEEP
    if len(parent.children) >= MOST_OPEN:
        return WhyNot.TOO_MANY
    allowed = None if child is None else child.steps
    if asked.steps is not None and allowed is not None and not set(asked.steps) <= set(allowed):
        return WhyNot.WIDER
    return None
