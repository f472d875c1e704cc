"""What one operation works on: the cells as they are, and what it adds to the log.

An operation looks first and writes only when nothing can refuse any more. Whatever it writes goes through the fold, so
that the state after it is the state that anybody makes of the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from agentguard.core.facts import Family, RunState, RunStatus
from agentguard.core.growing import present
from agentguard.core.provenance import NOTHING_SEEN
from agentguard.core.values import Json, Risk, Sensitivity
from agentguard.errors import LedgerError
from agentguard.ledger import cells, fold, looking
from agentguard.ledger.cells import Bounds, Cell, RunCell, SpendCell, moment, name
from agentguard.ledger.entry import Change, Entry, encode
from agentguard.ledger.log import Key
from agentguard.ledger.promise import Later
from agentguard.ledger.values import RecordData, RecordFilter

_MICROSECOND = timedelta(microseconds=1)
Windows = Mapping[str, "timedelta | None"]


class Below(Protocol):
    """What an operation finds, before it changes anything."""

    def get(self, key: Key) -> Cell | None:
        """A cell, with every outcome that is owed to the log."""

    def spent(self, budget: str, start: int) -> int:
        """What is spent of a budget later than a time."""

    def listed(self, kind: str, **how: Any) -> Iterator[tuple[str, Cell]]:
        """The cells of a kind, newest first; ``how`` as in ``Log.list``."""

    def was_recorded(self, decision_id: str) -> bool:
        """Whether any record of this decision exists."""

    def row(self, number: int) -> tuple[RecordData, Mapping[str, Json]]:
        """One record with its private parts."""

    def numbers(self, wanted: RecordFilter) -> Iterator[int]:
        """The numbers of the records that match, oldest first."""

    def stored(self, number: int) -> tuple[bytes, bytes | None]:
        """The public bytes and private parts of a record."""

    def erase(self, number: int, private: bytes) -> None:
        """Put other private parts in the place of a record's: together with what this operation appends."""

    def note(self, at: int) -> None:
        """An admission's moment, by which expired assertions are forgotten."""

    @property
    def owner(self) -> str:
        """The name of this ledger object."""

    overtaken: int
    standings: dict[str, looking.Standing]

    def is_dead(self, owner: str) -> bool:
        """Whether the ledger object of that name is gone."""


class RunLater(Later):
    """A run as a decision sees it, made of what nobody changes when somebody asks for it: few look at each."""

    __slots__ = ("_others", "_run", "_run_id", "_spent", "_version")

    def __init__(
        self, run_id: str, run: RunCell, others: looking.Standing, version: int, spent: Mapping[str, int]
    ) -> None:
        self._run_id, self._run, self._others, self._version, self._spent = run_id, run, others, version, spent

    def made(self) -> RunState:
        """The run."""
        run, others = self._run, self._others
        status = _STATUS[run.status if others.ended is None else looking.status_of(run, others)]
        inputs, kept = run.inputs, run.kept
        return RunState(
            self._run_id,
            run.workflow,
            run.digest,
            run.subject,
            status,
            self._version,
            moment(run.started),
            run.requester,
            _RISK[max(run.risk, others.risk)],
            _copy(inputs) if inputs else {},
            _copy(present(kept)) if kept else {},
            dict(run.counts),
            run.succeeded,
            dict(self._spent),
            None if run.high_water is None else Sensitivity(run.high_water),
            others.suspended,
            None if others.newer is None else moment(others.newer),
            others.refused,
            run.zones,
            others.zones,
            run.seen if status is RunStatus.ACTIVE else NOTHING_SEEN,
            run.unsettled,
            run.salt,
            _NOTHING if inputs is not None and kept is not None else _erased(run),
            run.tallies,
            run.observed,
            *(_UNBOUNDED if run.bounds is None else _spans(run.bounds)),
            *(_relations(self._run_id, run) if run.keyed or run.child or run.children else _ALONE),
        )


class World:
    """See the module. ``changed`` are the cells as this and earlier operations of the batch left them. ``fresh``:
    whether it is certain that whatever others wrote is among the cells."""

    __slots__ = ("_first", "_found", "_get", "_standings", "below", "changed", "entries", "fresh")

    def __init__(self, below: Below, first: int, *, fresh: bool = True) -> None:
        self.below = below
        self.fresh = fresh
        self.changed: dict[Key, Cell | None] = {}
        self.entries: list[Entry] = []
        self._first = first
        self._get = below.get
        # Cells as they were found: nothing below changes while the operations of a batch look at it.
        self._found: dict[Key, Cell | None] = {}
        # How each run stands with others, until something is said of anybody.
        self._standings = below.standings

    def get(self, key: Key) -> Cell | None:
        """The cell as it is now."""
        changed, found = self.changed, self._found
        if key in changed:
            return changed[key]
        if key not in found:
            found[key] = self._get(key)
        return found[key]

    def put(self, key: Key, cell: Cell | None) -> None:
        """Put a cell in its place. For the fold alone."""
        self.changed[key] = cell
        if key[0] in looking.SAY_HOW_RUNS_STAND:
            self._standings = {}

    def write(
        self, record: RecordData, changes: Sequence[Change] = (), private: Mapping[str, Json] | None = None
    ) -> int:
        """Add a record, with what it changes. Its number."""
        return self.add(encode(record, changes, private))

    def add(self, entry: Entry) -> int:
        """Add a record that was encoded before. Its number."""
        number = self._first + len(self.entries)
        fold.apply(self, number, entry.changes, entry.private)
        self.entries.append(entry)
        return number

    # --- looking

    def was_recorded(self, decision_id: str) -> bool:
        """Whether any record of this decision exists."""
        mine = any(entry.row.decision_id == decision_id for entry in self.entries)
        return mine or self.below.was_recorded(decision_id)

    def run(self, run_id: str) -> RunCell | None:
        """One run."""
        return self.get((cells.RUN, run_id))  # type: ignore[return-value]

    def must_run(self, run_id: str) -> RunCell:
        """One run. Raises LedgerError where there is none."""
        run = self.run(run_id)
        if run is None:
            raise LedgerError(f"there is no run `{run_id}`; `agentguard runs` lists them")
        return run

    def spent(self, run: RunCell, budget: str, per: timedelta | None, at: int) -> int:
        """What one budget holds at that time."""
        if per is None:
            return run.spent.get(budget, 0)
        start = at - per // _MICROSECOND
        total = self._spent_since(name(run.workflow, budget), start)
        # What observed calls spent counts for no enforced run; an observed one sees both.
        if run.observed is not None:
            total += self._spent_since(name(run.workflow, cells.apart(budget)), start)
        return total

    def _spent_since(self, named: str, start: int) -> int:
        fresh = 0
        for key, cell in self.changed.items():
            if key[0] == cells.SPEND and isinstance(cell, SpendCell) and cell.budget == named and cell.at > start:
                fresh += cell.amount
        return self.below.spent(named, start) + fresh

    def standing(self, run_id: str, run: RunCell) -> looking.Standing:
        """What everybody else says of a run."""
        found = self._standings.get(run_id)
        if found is None:
            found = self._standings[run_id] = looking.standing(self, run_id, run)
        return found

    def state(self, run_id: str, run: RunCell, at: int = 0, windows: Windows | None = None) -> RunState:
        """What a decision sees of a run, with what each budget has spent at that time."""
        return self.later(run_id, run, at, windows).made()

    def later(self, run_id: str, run: RunCell, at: int = 0, windows: Windows | None = None) -> RunLater:
        """The same, made when somebody asks for it."""
        others = self.standing(run_id, run)
        if run.child is not None:
            run = looking.whole(self, run_id, run)
        spent = run.spent
        if windows:
            windowed = {each: self.spent(run, each, per, at) for each, per in windows.items() if per is not None}
            spent = {**spent, **windowed}
        return RunLater(run_id, run, others, self._version(run, others), spent)

    def is_as_decided(self, run_id: str, run: RunCell, version: int | None) -> bool:
        """Whether a run is what somebody saw who decided on it, active, and its subject not suspended."""
        others = self.standing(run_id, run)
        run = looking.whole(self, run_id, run)
        return (
            self._version(run, others) == version
            and looking.status_of(run, others) == RunStatus.ACTIVE
            and not others.suspended
        )

    def _version(self, run: RunCell, others: looking.Standing) -> int:
        """A number that grows with everything a decision in this run could see."""
        return run.version + others.version + self.below.overtaken

    def status(self, run_id: str, run: RunCell) -> str:
        """Where a run stands."""
        if run.status != looking.ACTIVE:  # no opinion changes that
            return run.status
        run = looking.whole(self, run_id, run)
        return looking.status_of(run, self.standing(run_id, run))


# Looking a member up in its enum takes as long as a whole check.
_STATUS: Mapping[str, RunStatus] = {str(status): status for status in RunStatus}
_RISK: Mapping[int, Risk] = {int(risk): risk for risk in Risk}


_UNBOUNDED: tuple[None, None, None] = (None, None, None)
_ALONE: tuple[None, None, None] = (None, None, None)


def _relations(run_id: str, run: RunCell) -> tuple[str | None, str | None, Family | None]:
    """By which key a run is found, the run that it goes on counting from, and where it stands in a tree of runs."""
    key, carries = (None, None) if run.keyed is None else (run.keyed.key, run.keyed.carries)
    return key, carries, None if run.child is None and not run.children else _family(run_id, run)


def _family(run_id: str, run: RunCell) -> Family:
    child = run.child
    if child is None:
        return Family(None, run_id, moment(run.started), None, run.children)
    steps = None if child.steps is None else frozenset(child.steps)
    return Family(child.parent, child.root, moment(child.began), steps, run.children, child.above)


def _spans(bounds: Bounds) -> tuple[timedelta | None, timedelta | None, datetime | None]:
    lasts, idle = (None if span is None else timedelta(microseconds=span) for span in (bounds.lasts, bounds.idle))
    return lasts, idle, None if bounds.used is None else moment(bounds.used)


_NOTHING: frozenset[str] = frozenset()


def _erased(run: RunCell) -> frozenset[str]:
    """What of a run was erased."""
    return frozenset(word for word, held in (("inputs", run.inputs), ("kept", run.kept)) if held is None)


def _copy(values: Mapping[str, Json]) -> dict[str, Json]:
    """A copy that is shared with nobody, so that nobody can change what others decide on."""
    return {key: _deep(value) if type(value) in _HOLD_MORE else value for key, value in values.items()}


_HOLD_MORE = frozenset({list, dict})


def _deep(value: Json) -> Json:
    if isinstance(value, list):
        return [_deep(item) for item in value]
    if isinstance(value, dict):
        return {key: _deep(item) for key, item in value.items()}
    return value
