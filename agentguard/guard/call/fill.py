"""1. The arguments of a call as the steps of its tool want them filled: once, where all want the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from agentguard.core.facts import RunState
from agentguard.core.fill import Filling
from agentguard.core.policy import Policy
from agentguard.core.reasons import Reason
from agentguard.core.values import Unavailable
from agentguard.guard.arguments.given import Given
from agentguard.guard.arguments.late import Filler, Late
from agentguard.guard.arguments.misfits import what_is_wrong
from agentguard.guard.call.prepare import ReadArguments


class Filled(NamedTuple):
    """One reading of a call: its arguments, filled as these steps want them.

    ``error``: what reading them raised. It is the caller's to know only where nothing is wrong with what was filled in.
    ``names``: the arguments that the guard put there.
    """

    arguments: ReadArguments | Unavailable
    filling: Filling | None = None
    error: Exception | None = None
    names: tuple[str, ...] = ()


def filled(
    policy: Policy, workflow: str, tool: str, arguments: ReadArguments | Late | Unavailable, run: RunState | Unavailable
) -> Sequence[Filled]:
    """Every reading of a call that some step of its tool wants. Never raises for bad arguments."""
    known = policy.workflows.get(workflow)
    fillings = () if known is None else known.fillings.get(tool, ())
    if not isinstance(run, RunState) or not fillings:
        return (_read(arguments, None, None) if isinstance(arguments, Late) else Filled(arguments),)
    if not isinstance(arguments, Late):  # read before this bundle was in force: what is not filled is refused
        return tuple(Filled(arguments, filling) for filling in fillings)
    return tuple(_read(arguments, filling, run) for filling in fillings)


def _read(late: Late, filling: Filling | None, run: RunState | None) -> Filled:
    filler = None if filling is None or run is None else Filler(filling, run.inputs, run.kept)
    try:
        given = _given(late, filler)
    except Exception as error:
        if filler is not None and filler.unknown:
            return _without_source(filler)
        detail = f"could not be read: {what_is_wrong(error)}"
        return Filled(Unavailable(Reason.ARGUMENTS_INVALID, detail), filling, error)
    if filler is not None and filler.unknown:  # a default stands there, which is nobody's to judge
        return _without_source(filler)
    names = () if filler is None else tuple(sorted(filler.filled))
    return Filled(ReadArguments.read(given), filling, names=names)


def _without_source(filler: Filler) -> Filled:
    """No step that fills in this way can be taken: there is nothing yet to fill it with."""
    return Filled(Unavailable(Reason.FILL_UNAVAILABLE, "; ".join(dict.fromkeys(filler.unknown))), filler.filling)


def _given(late: Late, filler: Filler | None) -> Given:
    """What the door reads. Some schemas want every argument there, if only as null (the strict mode of an API)."""
    try:
        return late.read(filler)
    except Exception as error:
        if filler is None or filler.unknown or not filler.filling.nulls:
            raise
        try:
            return late.read(replace(filler, keeps_nulls=True))
        except Exception:
            raise error from None
