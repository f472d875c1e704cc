"""What the fold and the operations look up: cells by what they are about, and how a run stands with others.

Pure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from agentguard.core.facts import RunStatus
from agentguard.core.people import who, who_is_in
from agentguard.ledger import cells
from agentguard.ledger.cells import Cells, ContactsCell, RunCell, SaidCell, WorldCell, name
from agentguard.ledger.log import Key

ACTIVE, ENDED, STOPPED = str(RunStatus.ACTIVE), str(RunStatus.ENDED), str(RunStatus.STOPPED)
WORLD: Key = (cells.WORLD, "")
# The kinds of cells that ``standing`` looks at.
SAY_HOW_RUNS_STAND = frozenset({cells.WORLD, cells.CONTACTS, cells.SAID})


def run_of(at: Cells, run_id: str) -> RunCell | None:
    """One run."""
    return at.get((cells.RUN, run_id))  # type: ignore[return-value]


def must_run(at: Cells, run_id: str) -> RunCell:
    """One run. Raises KeyError where there is none."""
    run = at.get((cells.RUN, run_id))
    if run is None:
        raise KeyError(f"no run {run_id}")
    return run  # type: ignore[return-value]


def said_of(at: Cells, kind: str, about: str) -> SaidCell:
    """What is said of a party, a run or a credential."""
    return at.get((cells.SAID, name(kind, about))) or SaidCell()  # type: ignore[return-value]


def contacts_of(at: Cells, subject: str) -> ContactsCell:
    """Which zones a subject has reached."""
    return at.get((cells.CONTACTS, subject)) or ContactsCell()  # type: ignore[return-value]


def world(at: Cells) -> WorldCell:
    """What concerns every run."""
    return at.get(WORLD) or WorldCell()  # type: ignore[return-value]


def parties(run: RunCell) -> frozenset[str]:
    """Everybody that a run can be taken away by: its subject, and whom it is for."""
    return _parties(run.subject, run.requester)


@lru_cache(maxsize=4096)
def _parties(subject: str, requester: str | None) -> frozenset[str]:
    return who_is_in(subject, requester)


class Standing(NamedTuple):
    """What everybody else says of a run: the worst of each. ``version`` grows with all of it."""

    version: int = 0
    risk: int = 0
    refused: bool = False
    newer: int | None = None
    ended: int | None = None
    suspended: bool = False
    zones: frozenset[str] = frozenset()


_NOTHING_SAID = Standing()


def standing(at: Cells, run_id: str, run: RunCell) -> Standing:
    """How a run stands with others. Looked up for every call, so each cell is looked at once."""
    keys = _standing_keys(run_id, run.subject, run.requester)
    found: list[Any] = [at.get(key) for key in keys]
    apart = None if run.observed is None else at.get((cells.CONTACTS, cells.apart(run.subject)))
    if not any(found) and apart is None:
        return _NOTHING_SAID
    everything, contacts, subject = found[0], found[1], found[2]
    if isinstance(apart, ContactsCell):  # an observed run has been where enforced ones were, and observed ones
        known = contacts or ContactsCell()
        contacts = ContactsCell(known.version + apart.version, known.zones | apart.zones)
    said: list[SaidCell] = [cell for cell in found[2:] if cell is not None]
    return Standing(
        (0 if everything is None else everything.version)
        + (0 if contacts is None else contacts.version)
        + sum(cell.version for cell in said),
        max((cell.risk for cell in said), default=0),
        any(cell.refused for cell in said),
        max((cell.newer for cell in said if cell.newer is not None), default=None),
        max((cell.ended for cell in said if cell.ended is not None), default=None),
        subject is not None and subject.suspended,
        frozenset() if contacts is None else contacts.zones,
    )


@lru_cache(maxsize=4096)
def _standing_keys(run_id: str, subject: str, requester: str | None) -> tuple[Key, ...]:
    """What concerns everybody, the subject's contacts, the subject, and whoever else may be meant."""
    party = who(subject)
    others = sorted(_parties(subject, requester) - {party})
    said = (name("party", party), name("run", run_id), *(name("party", other) for other in others))
    return (WORLD, (cells.CONTACTS, subject), *((cells.SAID, about) for about in said))


def status_of(run: RunCell, others: Standing) -> str:
    """Where a run stands: it is stopped, too, where somebody ended the sessions of its parties after it began."""
    if run.status != ACTIVE:
        return run.status
    return STOPPED if others.ended is not None and others.ended >= run.started else ACTIVE
