"""Waiting until people have answered what the calls of a run asked them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import timedelta
from typing import Any

from agentguard.core.answers import ApprovalStatus
from agentguard.core.facts import RunState, RunStatus
from agentguard.core.values import Unavailable
from agentguard.errors import ConfigurationError
from agentguard.guard.asks import Ask, Pause, Wait
from agentguard.guard.engine import Engine
from agentguard.ledger import ApprovalRow

# How often whoever waits looks for an answer.
LOOK_EVERY_SECONDS = 0.2


def still_open(guard: Engine, run_id: str) -> Generator[Ask, Any, tuple[str, ...]]:
    """The questions of a run, and of those that it delegated and that go on, that can still lead to a permit: not
    refused, not used, not expired."""
    now = guard.last_known_time
    rows: Sequence[ApprovalRow] = yield Wait(guard.ledger.approvals(open_at=now, run_id=run_id))
    found = [row.request.id for row in rows]
    for child in (yield from below(guard, run_id)):
        found += yield from still_open(guard, child)
    return tuple(found)


def below(guard: Engine, run_id: str) -> Generator[Ask, Any, tuple[str, ...]]:
    """The runs that a run delegated and that have not ended."""
    run = yield Wait(guard.ledger.run(run_id, at=guard.last_known_time, windows={}))
    return run.family.children if isinstance(run, RunState) and run.family is not None else ()


def until_answered(
    guard: Engine, run_id: str, asked: Sequence[str], within: timedelta | None
) -> Generator[Ask, Any, dict[str, ApprovalStatus]]:
    """Where these questions of a run stand, all of its open ones if none is named, once none is open any more.

    Earlier where the time is up, where the run has ended or was stopped, or where nobody knows what time it is.
    Raises ConfigurationError for a question of another run.
    """
    asked = asked or (yield from still_open(guard, run_id))
    began = guard.now()
    while True:
        at = guard.now()
        found = {}
        for each in asked:
            row = yield Wait(guard.ledger.approval(each))
            if not isinstance(row, ApprovalRow) or not (yield from _is_of(guard, row.request.run_id, run_id)):
                raise ConfigurationError(f"run `{run_id}` asked no question `{each}`; its own are in `run.waiting`")
            now = guard.last_known_time if isinstance(at, Unavailable) else at
            found[each] = row.status(now)
        if (
            ApprovalStatus.PENDING not in found.values()
            or isinstance(at, Unavailable)
            or isinstance(began, Unavailable)
        ):
            return found
        if within is not None and at >= began + within:
            return found
        run = yield Wait(guard.ledger.run(run_id, at=at, windows={}))
        if not isinstance(run, RunState) or run.status is not RunStatus.ACTIVE:
            return found
        yield Pause(LOOK_EVERY_SECONDS)


def _is_of(guard: Engine, asker: str, run_id: str) -> Generator[Ask, Any, bool]:
    """Whether a question is one of a run, or of a run below it."""
    at: str | None = asker
    while at is not None and at != run_id:
        run = yield Wait(guard.ledger.run(at, at=guard.last_known_time, windows={}))
        at = run.family.parent if isinstance(run, RunState) and run.family is not None else None
    return at == run_id
