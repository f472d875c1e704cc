"""What the log adds up to: one immutable value for each run, approval, subject and so on, under a key.

A cell is never changed. Whatever changes it puts another in its place, so that a state handed out stays what it was,
and an interruption between two lines leaves either the old one or the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol, TypeAlias

from agentguard.core.facts import Answer, Observed, RunStatus
from agentguard.core.provenance import Seen
from agentguard.core.tallies import Tally
from agentguard.core.values import Json
from agentguard.ledger.log import Key

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exactly. Raises TypeError for a time without a zone."""
    return (moment - EPOCH) // MICROSECOND


def moment(stored: int) -> datetime:
    """The UTC time behind ``micros``."""
    return EPOCH + timedelta(microseconds=stored)


# When something happened, and what names it when somebody repeats it.
Happening: TypeAlias = "tuple[int, str | None]"


class Bounds(NamedTuple):
    """How long a run lasts and may be idle, in microseconds. ``used``: when its last call was admitted; it stands only
    where ``idle`` asks for it."""

    lasts: int | None = None
    idle: int | None = None
    used: int | None = None


NO_BOUNDS = Bounds()


class Keyed(NamedTuple):
    """That a run is found by a key. ``since``: when the first began of those that it goes on counting from, and
    ``carries`` the last of them. ``inside``: the ledger objects that are inside it, and how often each."""

    key: str
    since: int
    carries: str | None = None
    inside: Mapping[str, int] = {}


# The private parts of a record, by name.
Private: TypeAlias = Mapping[str, Json]


class Child(NamedTuple):
    """That a run was delegated: by ``parent``, in the tree that began with ``root``, at ``began``, so many runs above
    it (``depth``). ``steps``: those that it may take; None: as its parent. ``above``: other subjects than its own of
    the runs above it."""

    parent: str
    root: str
    began: int
    depth: int
    steps: tuple[str, ...] | None = None
    above: tuple[str, ...] = ()


class RunCell(NamedTuple):
    """One run, as far as it is its own: what others say of its subject stands in their cells.

    ``number`` is that of the record that started it. ``inputs``, ``kept`` None: erased, for ever. ``happened``: what
    rules that raise risk count, each with its time and what repeats it. ``unsettled``: calls whose outcome nobody
    knows, each in a cell of its own. ``holder``: the ledger object that is inside it. ``tallies``: see
    ``core.tallies``. ``observed``: whether it began observed, and what would have been refused. ``bounds`` None: it
    lasts until it is ended. ``keyed``: of a run with a key; it has no ``holder``. ``child``: of a run that was
    delegated; what it counts, keeps and has read stands in the cell of its root (``looking.whole``). ``children``: the
    runs that it delegated and that have not ended.
    """

    number: int
    workflow: str
    digest: str
    subject: str
    requester: str | None
    started: int
    version: int
    status: str
    risk: int
    high_water: int | None
    counts: Mapping[str, int]
    succeeded: frozenset[str]
    spent: Mapping[str, int]
    zones: frozenset[str]
    inputs: Mapping[str, Json] | None
    kept: Mapping[str, Json] | None
    happened: Mapping[str, tuple[Happening, ...]]
    seen: Seen
    unsettled: frozenset[str]
    salt: str
    holder: str | None
    tallies: Mapping[str, Tally] = {}
    observed: Observed | None = None
    bounds: Bounds | None = None
    keyed: Keyed | None = None
    child: Child | None = None
    children: tuple[str, ...] = ()


_PLACES: Mapping[str, int] = {field: place for place, field in enumerate(RunCell._fields)}


def with_changes(run: RunCell, **changed: Any) -> RunCell:
    """The run with other values in these fields: ``_replace``, in a third of its time. Every call does it twice."""
    fields = list(run)
    for field, value in changed.items():
        fields[_PLACES[field]] = value
    return tuple.__new__(RunCell, fields)


class Back(NamedTuple):
    """What the outcome of a call changes: its ``tallies``, and where a failure ``did_nothing`` what it ``spent`` of the
    run's budgets, and of those with a window (budget, when, amount); ``apart``: of what observed calls spend."""

    tallies: tuple[str, ...] = ()
    did_nothing: bool = False
    spent: Mapping[str, int] = {}
    windowed: tuple[tuple[str, int, int], ...] = ()
    apart: bool = False


NOTHING_BACK = Back()


class CallCell(NamedTuple):
    """An admitted call without an outcome. ``number`` is that of its decision's record; ``back``: what an outcome
    changes in what the call was counted for. ``made``: the name of its ``MadeCell``, "" where it can be no repetition.
    ``approval``: the request that it used up.
    ``owner`` "": its tool interrupted itself, and nobody is at it."""

    number: int
    run_id: str
    step: str
    owner: str
    keeps: tuple[str, ...] = ()
    back: Back = NOTHING_BACK
    made: str = ""
    approval: str = ""


class MadeCell(NamedTuple):
    """A call that was admitted under an id of its message, and how far it has come (``CallStatus``). ``did_nothing``: a
    failure of it did nothing, so it may be made again. ``answered``: what it gave out lies beside its outcome."""

    decision_id: str
    run_id: str
    digest: str
    step: str
    status: str
    did_nothing: bool = False
    answered: bool = False


class AnswersCell(NamedTuple):
    """What a run keeps of calls that may be made again: ``kib`` and the decisions of the answers that are kept, and the
    decisions of calls whose tools interrupted themselves."""

    kib: int = 0
    kept: tuple[str, ...] = ()
    suspended: tuple[str, ...] = ()


class Word(NamedTuple):
    """What one source says about one party, run or credential."""

    risk: int | None = None
    risk_at: int | None = None
    refused: int | None = None
    refused_at: int | None = None
    newer: int | None = None
    ended: int | None = None


class SaidCell(NamedTuple):
    """What every source says about one party, run or credential, each apart; and whether people suspended it."""

    version: int = 0
    words: Mapping[str, Word] = {}
    suspended: bool = False

    @property
    def risk(self) -> int:
        """The highest risk that any source says."""
        return max((word.risk or 0 for word in self.words.values()), default=0)

    @property
    def refused(self) -> bool:
        """Whether any source refuses its credentials."""
        return any(word.refused for word in self.words.values())

    @property
    def newer(self) -> int | None:
        """Assertions issued before this are refused."""
        return max((word.newer for word in self.words.values() if word.newer is not None), default=None)

    @property
    def ended(self) -> int | None:
        """Runs started up to this are stopped."""
        return max((word.ended for word in self.words.values() if word.ended is not None), default=None)


class ContactsCell(NamedTuple):
    """The zones that a subject has reached at least once, in any run. ``salt``: under which the destinations that it
    has reached are committed to, so that nobody can search them; "" before the first."""

    version: int = 0
    zones: frozenset[str] = frozenset()
    salt: str = ""


class WorldCell(NamedTuple):
    """What concerns every run: its version grows with each such change. ``ended``: the latest moment up to which any
    party's runs were ended; runs begun later than that are stopped by nobody's word."""

    version: int = 0
    ended: int | None = None


class ApprovalCell(NamedTuple):
    """An approval request. ``body`` is what everybody may know of it, ``shown`` what approvers were shown besides; None
    where that was erased. ``expires_at``: when nothing can be permitted by it any more, at the latest.
    ``claimed_by``: the decision that used it, and the ``outcome`` of its call. ``lapsed``: as in ``Life``."""

    number: int
    digest: str
    revision: str
    run_id: str
    requested_at: int
    expires_at: int
    body: Mapping[str, Json]
    shown: Mapping[str, Json] | None
    answers: tuple[tuple[str, bool, int], ...] = ()
    consumed: bool = False
    claimed_by: str = ""
    outcome: str = ""
    lapsed: tuple[str, int | None] | None = None

    def given(self) -> tuple[Answer, ...]:
        """The answers so far."""
        return tuple(Answer(who, approve, moment(at)) for who, approve, at in self.answers)


class StreamCell(NamedTuple):
    """When a stream of signals was last heard, and its status."""

    heard_at: int
    status: str


class CredentialCell(NamedTuple):
    """What operations say of a registered credential."""

    state: str


class SpendCell(NamedTuple):
    """What one call took of a budget with a time window."""

    budget: str
    at: int
    amount: int


class MarkCell(NamedTuple):
    """Something that happens once: an assertion was used, a signal was heard, a destination reached. ``until``: for
    how long it must be remembered, None for ever."""

    until: int | None = None


class KeyCell(NamedTuple):
    """Which run a key opened last, and which enforced one. ``freed``: it was stopped, and another may follow."""

    run_id: str
    enforced: str | None
    freed: bool = False


class AskedCell(NamedTuple):
    """The approval requests for one request digest, or of one run that goes on; oldest first."""

    ids: tuple[str, ...] = ()


Cell: TypeAlias = (
    "RunCell | CallCell | SaidCell | ContactsCell | WorldCell | ApprovalCell | StreamCell | CredentialCell"
    " | SpendCell | MarkCell | KeyCell | AskedCell | MadeCell | AnswersCell"
)


class Cells(Protocol):
    """Where the fold finds cells and puts them."""

    def get(self, key: Key) -> Cell | None:
        """The cell, or None where there is none."""

    def put(self, key: Key, cell: Cell | None) -> None:
        """Put a cell in its place; None takes it away."""


RUN, CALL, UNSETTLED, SAID, CONTACTS, WORLD, APPROVAL = (
    "run", "call", "unsettled", "said", "contacts", "world", "approval",
)  # fmt: skip
STREAM, CREDENTIAL, SPEND, USED, HEARD, REACHED, ASKED, KEY, MADE, ANSWERS, WAITS = (
    "stream", "credential", "spend", "used", "heard", "reached", "asked", "key", "made", "answers", "waits",
)  # fmt: skip


def put_run(at: Cells, run_id: str, run: RunCell, **changed: Any) -> None:
    """Put a run in its place, with other values in these fields, as a version of its own."""
    at.put((RUN, run_id), with_changes(run, version=run.version + 1, **changed))


# Where lists look into a cell (``Log.list``).
WORKFLOW_OF_RUN, STATUS_OF_RUN = (RunCell._fields.index("workflow"),), (RunCell._fields.index("status"),)
KEY_OF_RUN = (RunCell._fields.index("keyed"), Keyed._fields.index("key"))
PARENT_OF_RUN = (RunCell._fields.index("child"), Child._fields.index("parent"))
_BODY = ApprovalCell._fields.index("body")
WORKFLOW_OF_APPROVAL, SUBJECT_OF_APPROVAL = (_BODY, "workflow"), (_BODY, "subject")
EXPIRY_OF_APPROVAL = (ApprovalCell._fields.index("expires_at"),)


def name(*parts: str) -> str:
    """One name out of several, so that no two lists of parts read alike."""
    return "".join([f"{len(part)}:{part}" for part in parts])


def apart(text: str) -> str:
    """The name under which what observed calls take stands apart: of a budget, or of a subject. A word of a policy and
    the name of a subject have no such sign."""
    return f"\x1f{text}"


def is_live(key: Key, cell: Cell) -> bool:
    """Whether a list of what is still open shows it."""
    if isinstance(cell, RunCell):
        return cell.status == RunStatus.ACTIVE
    if isinstance(cell, ApprovalCell):
        return not cell.consumed and cell.lapsed is None
    return True


def about(cell: Cell) -> str | None:
    """By whom a list can be narrowed."""
    if isinstance(cell, RunCell):
        return cell.subject
    if isinstance(cell, SpendCell):
        return cell.budget
    if isinstance(cell, ApprovalCell | MadeCell):
        return cell.run_id
    return cell.owner if isinstance(cell, CallCell) else None


def order(cell: Cell) -> int:
    """Where it stands in a list."""
    if isinstance(cell, RunCell | CallCell | ApprovalCell):
        return cell.number
    if isinstance(cell, SpendCell):
        return cell.at
    return cell.until or 0 if isinstance(cell, MarkCell) else 0
