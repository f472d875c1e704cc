"""How a record changes what the log adds up to.

Every record says in ``changes`` what it changes: a list of changes, each a list of a word and what belongs to it. What
may not stand in public stands in the record's private parts. A record without changes changes nothing. The same code
makes a state out of records as they are written, and out of a log that is read again: there is no other way to change
a cell. Where a private part was erased, null stands in its place, and the fold goes on without it. A version never
depends on what a private part holds, so that it comes out the same afterwards.

Pure: it looks at cells and puts others in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from agentguard.core.provenance import NOTHING_SEEN, Seen
from agentguard.ledger import again, cells, fold_asked, fold_calls, fold_said, keys, stored
from agentguard.ledger.cells import (
    ApprovalCell,
    Bounds,
    Cells,
    Child,
    KeyCell,
    Private,
    RunCell,
    name,
    put_run,
    with_changes,
)
from agentguard.ledger.looking import (
    ACTIVE,
    RANK,
    must_run,
    root_of,
    run_of,
    standing,
    status_of,
)


def apply(at: Cells, number: int, changes: Sequence[Sequence[Any]], private: Private) -> None:
    """Let the record of that number change the cells. Raises KeyError for a change that nobody knows."""
    for change in changes:
        _CHANGES[change[0]](at, number, private, *change[1:])


# One object for all runs: nobody changes a cell.
_NONE: dict[str, Any] = {}


def _start(
    at: Cells, number: int, private: Private, run_id: str, workflow: str, digest: str, subject: str,
    requester: str | None, started: int, risk: int, holder: str, observed: Sequence[Any] | None = None,
    bounds: Sequence[Any] | None = None, keyed: Sequence[Any] | None = None,
    child: Sequence[Any] | None = None,
) -> None:  # fmt: skip
    inputs: Any = private.get("inputs")
    kept: Any = private.get("kept") or {}
    salt = str(private.get("salt") or "")
    run = RunCell(
        number, workflow, digest, subject, requester, started, 1, ACTIVE, risk, None, _NONE, frozenset(), _NONE,
        frozenset(), inputs, kept or _NONE, _NONE, NOTHING_SEEN, frozenset(), salt, holder,
        observed=None if observed is None else stored.read_observed(observed),
        bounds=None if bounds is None else Bounds(*bounds),
    )  # fmt: skip
    if child is not None:
        run = _delegated(at, run_id, run, *child)
    at.put((cells.RUN, run_id), run if keyed is None else _under_key(at, run_id, run, holder, *keyed))


def _delegated(at: Cells, run_id: str, run: RunCell, parent_id: str, steps: Sequence[str] | None) -> RunCell:
    """A run that another one delegated. Its own cell holds nothing that is counted, kept or read."""
    parent = must_run(at, parent_id)
    above = parent.child or Child(parent_id, parent_id, parent.started, 0)
    at.put((cells.RUN, parent_id), with_changes(parent, children=(*parent.children, run_id)))
    parties = tuple(each for each in dict.fromkeys((parent.subject, *above.above)) if each != run.subject)
    allowed = None if steps is None else tuple(steps)
    child = Child(parent_id, above.root, above.began, above.depth + 1, allowed, parties)
    return with_changes(run, inputs={}, child=child)


def _under_key(at: Cells, run_id: str, run: RunCell, holder: str, key: str, carries: str | None, lost: bool) -> RunCell:
    """A run that begins under a key. What is said of the run before it is said of it, too."""
    before = None if carries is None else must_run(at, carries)
    said = None if carries is None else at.get((cells.SAID, name("run", carries)))
    if said is not None:
        at.put((cells.SAID, name("run", run_id)), said)
    place = (cells.KEY, keys.place(run.workflow, run.subject, run.requester, key))
    known = at.get(place)
    enforced = known.enforced if isinstance(known, KeyCell) else None
    at.put(place, KeyCell(run_id, run_id if run.observed is None else enforced))
    return keys.begun(run, holder, key, carries, before, lost=lost)


def _free(at: Cells, number: int, private: Private, run_id: str) -> None:
    """The key of a stopped run opens another."""
    run = must_run(at, run_id)
    if run.keyed is not None:
        place = (cells.KEY, keys.place(run.workflow, run.subject, run.requester, run.keyed.key))
        known = at.get(place)
        if isinstance(known, KeyCell) and known.run_id == run_id:
            at.put(place, known._replace(freed=True))


def _end(at: Cells, number: int, private: Private, run_id: str, status: str, when: int | None = None) -> None:
    """A status only moves on: a run that was stopped stays stopped when the code around it ends. Nobody is asked about
    its calls any more."""
    run = must_run(at, run_id)
    fold_asked.run_ended(at, run_id, when)
    if at.get((cells.ANSWERS, run_id)) is not None:
        at.put((cells.ANSWERS, run_id), None)
    now = status_of(run, standing(at, run_id, run))
    after = status if RANK[status] > RANK[now] else now
    if run.child is not None and after != ACTIVE:
        parent = must_run(at, run.child.parent)
        left = tuple(each for each in parent.children if each != run_id)
        at.put((cells.RUN, run.child.parent), with_changes(parent, children=left))
    gone: dict[str, Any] = {} if after == ACTIVE else {"happened": {}, "seen": NOTHING_SEEN, "holder": None}
    if gone and run.keyed is not None:  # the next run of its key goes on counting what happened
        gone |= {"happened": run.happened, "keyed": run.keyed._replace(inside={})}
    put_run(at, run_id, run, status=after, **gone)


def _hold(at: Cells, number: int, private: Private, run_id: str, holder: str | None) -> None:
    """Somebody is inside a run, or nobody any more. No decision looks at it."""
    at.put((cells.RUN, run_id), with_changes(must_run(at, run_id), holder=holder))


def _enter(at: Cells, number: int, private: Private, run_id: str, owner: str, gone: Sequence[str]) -> None:
    """Somebody of this ledger object is inside a run of a key, too; nobody of those that are gone is."""
    run = must_run(at, run_id)
    if run.keyed is not None and run.status == ACTIVE:
        at.put((cells.RUN, run_id), with_changes(run, keyed=keys.entered(run.keyed, owner, gone)))


def _leave(at: Cells, number: int, private: Private, run_id: str, owner: str) -> None:
    run = must_run(at, run_id)
    if run.keyed is not None:
        at.put((cells.RUN, run_id), with_changes(run, keyed=keys.left(run.keyed, owner)))


def _used(at: Cells, number: int, private: Private, run_id: str, when: int) -> None:
    """When the last call of a run was admitted that may be idle only for so long."""
    run = must_run(at, run_id)
    if run.bounds is not None:
        used = run.bounds._replace(used=max(when, run.bounds.used or when))
        at.put((cells.RUN, run_id), with_changes(run, bounds=used))


def _risk(at: Cells, number: int, private: Private, run_id: str, risk: int) -> None:
    put_run(at, run_id, must_run(at, run_id), risk=risk)


def _touch(at: Cells, number: int, private: Private, run_id: str) -> None:
    run = run_of(at, run_id)
    if run is not None:
        put_run(at, run_id, run)


def _answer(
    at: Cells, number: int, private: Private, approval_id: str, approver: str, approve: bool, when: int
) -> None:
    """A decision that was taken without this answer comes to nothing."""
    run_id = fold_asked.answered(at, approval_id, approver, approve, when)
    if run_id is not None:
        _touch(at, number, private, run_id)


def _erase(
    at: Cells, number: int, private: Private, run_id: str | None, what: Sequence[str], approvals: Sequence[str],
    rows: Sequence[int],
) -> None:  # fmt: skip
    """The private parts of these rows are gone, all of a run's or those of some calls. ``what`` that takes from the
    run: ``inputs``, ``kept``, ``followed``. What rested on them is known no more."""
    run = None if run_id is None or not what else run_of(at, run_id)
    if run is not None and run_id is not None:
        root = root_of(run_id, run)
        put_run(at, root, without(must_run(at, root), what))
    for approval_id in approvals:
        asked = at.get((cells.APPROVAL, approval_id))
        if isinstance(asked, ApprovalCell):
            at.put((cells.APPROVAL, approval_id), asked._replace(shown=None))


def without(run: RunCell, what: Sequence[str]) -> RunCell:
    """A run of which that was erased."""
    if "inputs" in what:
        run = with_changes(run, inputs=None)
    if "kept" in what:
        run = with_changes(run, kept=None)
    if "followed" in what:
        run = with_changes(run, seen=Seen((), True) if run.status == ACTIVE else NOTHING_SEEN)
    return run


def _carry(at: Cells, number: int, private: Private) -> None:
    """The fold of what came before this record, where the log does not hold all of it: the cells themselves."""
    held: Any = private.get("cells") or []
    for kind, known_as, value in held:
        at.put((kind, known_as), stored.decode(kind, value.encode()))


_CHANGES: Mapping[str, Callable[..., None]] = MappingProxyType(
    {
        "start": _start, "end": _end, "risk": _risk, "touch": _touch, "hold": _hold, "enter": _enter, "leave": _leave,
        "used": _used, "free": _free, "ask": fold_asked.asked, "answer": _answer, "erase": _erase, "carry": _carry,
        "call": fold_calls.call, "tally": fold_calls.tally, "spend": fold_calls.spend, "use": fold_calls.use,
        "consume": fold_asked.claimed, "lapse": fold_asked.lapsed, "count": fold_calls.count, "reach": fold_calls.reach,
        "close": fold_calls.close, "settle": fold_calls.settle,
        "suspend": fold_said.suspend, "credential": fold_said.credential, "say": fold_said.say,
        "raise": fold_said.raise_risk, "hear": fold_said.hear, "stream": fold_said.stream,
        "made": again.made, "kept": again.kept, "unmade": again.unmade, "pause": again.suspended,
        "go_on": again.continued,
    }
)  # fmt: skip
