"""Going on with exactly the call that waits for a person, by the id of its approval, in this or another process.

What waits is stored with the question, in its private part: the name of the tool, the arguments as they were judged,
and by which id of which message the call is known. Whoever goes on calls the tool by its own entry, so that all of it
is gathered and decided again; an approval is for one digest, so what runs is that call or none. It is made under the
same id as the first, so whoever goes on a second time, and the framework that repeats its call, get the answer of the
first. A call with secrets is not stored: only its own process has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from agentguard.core.canonical import read_canonical
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.guard.turns import CallRef, Turn
from agentguard.ledger import ApprovalRow

# Past this the arguments are not stored a second time: whoever has the call makes it again.
MOST_BYTES = 256 * 1024


class Door(NamedTuple):
    """How a wrapped tool is called with arguments as JSON; None where it is not called in that way."""

    call: Callable[[dict[str, Json]], Any] | None
    acall: Callable[[dict[str, Json]], Awaitable[Any]] | None


class WaitingCall(NamedTuple):
    """A call that waits: of which run, by which tool, with what."""

    approval_id: str
    run_id: str
    name: str
    known: tuple[str, str]
    arguments: dict[str, Json]

    def turn(self, run: object) -> Turn:
        """The message that the call stands in, as it was known; else one of its own."""
        message_id, call_id = self.known
        return Turn(run, message_id, call_id, self.approval_id)


def stored(name: str, in_order: bytes, call_id: str | None, *, secret: bool) -> Json:
    """What is kept of a call that waits; None where it cannot be gone on with elsewhere."""
    if secret or len(in_order) > MOST_BYTES:
        return None
    turn = call_id.turn if isinstance(call_id, CallRef) else None
    return {"name": name, "arguments": in_order.decode(), "call_id": call_id and str(call_id), "turn": turn}


def waiting_call(row: ApprovalRow | None, approval_id: str) -> WaitingCall:
    """The call that an approval is about. Raises ConfigurationError where nobody can go on with it here."""
    if row is None:
        raise ConfigurationError(
            f"there is no approval request `{approval_id}` in this ledger; `agentguard approvals list` shows them"
        )
    asked = row.request
    if asked.erased:
        raise ConfigurationError(f"what `{approval_id}` asks was erased; the call must be made again")
    call = asked.shown.get("call")
    if not isinstance(call, Mapping):
        raise ConfigurationError(
            f"the call that `{approval_id}` asks about holds secrets or is very long, so it is not stored; "
            "make it again where it was made"
        )
    turn, call_id = call["turn"], call["call_id"]
    known = (turn, call_id) if turn and call_id else (f"approval {approval_id}", call_id or approval_id)
    return WaitingCall(approval_id, asked.run_id, call["name"], known, read_canonical(call["arguments"].encode()))


def door_of(doors: Mapping[str, Door], call: WaitingCall, *, awaited: bool) -> Door:
    """How the tool is called here. Raises ConfigurationError where it is not wrapped, or not called in that way."""
    door = doors.get(call.name)
    if door is None:
        raise ConfigurationError(
            f"`{call.name}` is not wrapped in this process; wrap the tool with this guard before you go on with "
            f"`{call.approval_id}`"
        )
    if door.call is None and door.acall is None:
        raise ConfigurationError(f"`{call.name}` gives its items to whoever calls it; make the call again")
    if door.call is None and not awaited:
        raise ConfigurationError(f"`{call.name}` is awaited; use `await guard.aproceed({call.approval_id!r})`")
    return door


async def acalled(door: Door, call: WaitingCall) -> Any:
    """What the tool gives out: awaited, or on a thread."""
    if door.acall is not None:
        return await door.acall(call.arguments)
    return await asyncio.to_thread(door.call or _nothing, call.arguments)


def _nothing(_: dict[str, Json]) -> Any:
    raise AssertionError("a tool without an entry was called")
