"""What the fold and the operations look up: cells by what they are about, and how a run stands with others.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from agentguard.core.facts import RunStatus
from agentguard.core.people import who, who_is_in
from agentguard.ledger import cells
from agentguard.ledger.cells import Cells, ContactsCell, RunCell, SaidCell, WorldCell, name, with_changes
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


def lineage(at: Cells, run_id: str, run: RunCell) -> list[tuple[str, RunCell]]:
    """A run, the one that delegated it, and so on up to the root of its tree."""
    found = [(run_id, run)]
    while run.child is not None:
        run_id = run.child.parent
        run = must_run(at, run_id)
        found.append((run_id, run))
    return found


def root_of(run_id: str, run: RunCell) -> str:
    """In whose cell it stands what a run counts, keeps and has read: its own, or that of the first of its tree."""
    return run_id if run.child is None else run.child.root


def whole(at: Cells, run_id: str, run: RunCell) -> RunCell:
    """A run with all that its tree counts, keeps and has read; its version grows with each run above it. It is active
    while all of these are, and may take the steps that each of them may."""
    if run.child is None:
        return run
    above = lineage(at, run_id, run)
    cells_above = [cell for _, cell in above]
    allowed = [set(cell.child.steps) for cell in cells_above if cell.child is not None and cell.child.steps is not None]
    steps = tuple(sorted(set.intersection(*allowed))) if allowed else None
    worst = max((cell.status for cell in cells_above), key=RANK.__getitem__)
    return with_changes(
        above[-1][1],
        number=run.number,
        subject=run.subject,
        requester=run.requester,
        started=run.started,
        version=sum(cell.version for cell in cells_above),
        status=worst if run.status == ACTIVE else run.status,
        risk=max(cell.risk for cell in cells_above),
        holder=run.holder,
        keyed=run.keyed,
        child=run.child._replace(steps=steps),
        children=run.children,
    )


def subjects(run: RunCell) -> tuple[str, ...]:
    """The subject of a run, and those of the runs above it, each once."""
    return (run.subject,) if run.child is None else (run.subject, *run.child.above)


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
    """How a run stands with others. What is said of a run above it is said of it, too."""
    if run.child is None:
        return _stands_alone(at, run_id, run, run)
    above = lineage(at, run_id, run)
    each = [(cell, _stands_alone(at, known_as, cell, above[-1][1])) for known_as, cell in above]
    stopped = [one.ended for cell, one in each if one.ended is not None and one.ended >= cell.started]
    return Standing(
        sum(one.version for _, one in each),
        max(one.risk for _, one in each),
        any(one.refused for _, one in each),
        max((one.newer for _, one in each if one.newer is not None), default=None),
        max(run.started, *stopped) if stopped else None,
        any(one.suspended for _, one in each),
        # A place is known where it is known to everybody who has a part in the call.
        frozenset.intersection(*(one.zones for _, one in each)),
    )


def _stands_alone(at: Cells, run_id: str, run: RunCell, root: RunCell) -> Standing:
    """Looked up for every call, so each cell is looked at once. ``root`` says whether the tree is observed."""
    keys = _standing_keys(run_id, run.subject, run.requester)
    found: list[Any] = [at.get(key) for key in keys]
    apart = None if root.observed is None else at.get((cells.CONTACTS, cells.apart(run.subject)))
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


RANK: Mapping[str, int] = MappingProxyType({ACTIVE: 0, ENDED: 1, STOPPED: 2})


def status_of(run: RunCell, others: Standing) -> str:
    """Where a run stands: it is stopped, too, where somebody ended the sessions of its parties after it began."""
    if run.status != ACTIVE:
        return run.status
    return STOPPED if others.ended is not None and others.ended >= run.started else ACTIVE
