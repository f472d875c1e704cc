"""2. The facts of one decision: the run, approvals, credentials, streams, the clock."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from agentguard.core.answers import OPEN, is_denied
from agentguard.core.facts import ApprovalState, Facts, MadeBefore, RunState
from agentguard.core.reasons import Reason
from agentguard.core.values import Identity, Unavailable
from agentguard.guard.asks import Ask, Wait
from agentguard.guard.call.plan import GuardedTool
from agentguard.guard.call.prepare import Call, zones_of
from agentguard.guard.engine import Engine
from agentguard.guard.identities import OUTSIDE_A_RUN
from agentguard.guard.run import RunContext
from agentguard.ledger import ApprovalRow


def run_state(guard: Engine, context: RunContext | None) -> Generator[Ask, Any, RunState | Unavailable]:
    """The run as the ledger has it now."""
    if context is None or not context.entered:
        return OUTSIDE_A_RUN
    known = guard.bundle.policy.workflows.get(context.workflow)
    windows = {budget.name: budget.per for budget in known.budgets} if known is not None else {}
    state = yield Wait(guard.ledger.run(context.id, at=guard.last_known_time, windows=windows))
    return state if isinstance(state, RunState) else Unavailable(Reason.RUN_UNAVAILABLE, "no such run in this ledger")


class LookedUp(NamedTuple):
    """What the ledger says of this call beside its run."""

    approval: ApprovalState | None
    inactive: tuple[str, ...]
    streams: Mapping[str, datetime | None]


NOTHING_LOOKED_UP = LookedUp(None, (), MappingProxyType({}))


def look_up(guard: Engine, gate: GuardedTool, call: Call, only: str | None) -> Generator[Ask, Any, LookedUp]:
    """What is to be looked up for this call, which takes time; ``NOTHING_LOOKED_UP`` where that is nothing. ``only``:
    the approval under which it may run, and no other; a refusal counts all the same."""
    plan, (approval, inactive, streams), waited = call.plan, NOTHING_LOOKED_UP, False
    # Only where a step, or a zone, may ask. A refusal given before a reload took the step's question away needs no
    # look: the rule is part of the workflow, so its digest changed with it, and the run it was given in is not
    # permitted anything. A zone's rule is not, so wherever zones are reached there is a look.
    if plan.asks or (call.destinations and zones_of(call.destinations)):
        waited = True
        row = yield Wait(guard.ledger.approval_for(call.request.digest))
        approval = row.state() if isinstance(row, ApprovalRow) and _speaks_of(row, guard, only) else None
    if plan.credentials:
        waited = True
        inactive = yield from inactive_credentials(guard, gate.tool)
    if plan.policy.streams and call.destinations:
        waited = True
        states = yield Wait(guard.ledger.streams())
        streams = {name: state.last_heard for name, state in states.items()}
    return LookedUp(approval, inactive, streams) if waited else NOTHING_LOOKED_UP


def facts_of(
    guard: Engine,
    gate: GuardedTool,
    call: Call,
    run: RunState | Unavailable,
    identity: Identity | Unavailable,
    now: datetime | Unavailable | None,
    looked: LookedUp,
    made: MadeBefore | None = None,
) -> Facts:
    """Everything the decision looks at, beside the call and the policy. ``now``: None where time has passed since it
    was read last."""
    # By position, in the order of the class: a call makes one.
    return Facts(
        guard.now() if now is None else now,
        identity,
        run,
        call.destinations,
        looked.approval,
        gate.definition,
        looked.inactive,
        looked.streams,
        call.as_called,
        call.spellings,
        {"args": call.told.shown},
        call.unread,
        made,
    )


def inactive_credentials(guard: Engine, tool: str) -> Generator[Ask, Any, tuple[str, ...]]:
    """Which of the credentials this tool uses are not in force. One that was never registered is not."""
    declaration = guard.bundle.tools.get(tool)
    if declaration is None or not declaration.credentials:
        return ()
    states = yield Wait(guard.ledger.credential_states(declaration.credentials))
    return tuple(name for name in declaration.credentials if states.get(name) != "active")


def _speaks_of(row: ApprovalRow, guard: Engine, only: str | None) -> bool:
    """A request that can permit nothing any more is history: the call is judged as if nobody had been asked. A refusal
    stands."""
    if is_denied(row.answers, row.request.deny_quorum):
        return True
    return row.status(guard.last_known_time) in OPEN and only in (None, row.request.id)
