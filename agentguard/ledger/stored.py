"""Cells, and what stands in changes, as bytes and JSON: the same for the same value, and read again as they were."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeVar
from zlib import compress, decompress

import orjson

from agentguard.core.coarse import Coarse
from agentguard.core.facts import Observed
from agentguard.core.growing import Growth
from agentguard.core.provenance import NOTHING_SEEN, Brought, Mark, Seen
from agentguard.core.tallies import Tally
from agentguard.core.values import Json
from agentguard.ledger.cells import (
    ANSWERS,
    APPROVAL,
    ASKED,
    CALL,
    CONTACTS,
    CREDENTIAL,
    HEARD,
    KEY,
    MADE,
    NOTHING_BACK,
    REACHED,
    RUN,
    SAID,
    SPEND,
    STREAM,
    UNSETTLED,
    USED,
    WAITS,
    WORLD,
    AnswersCell,
    ApprovalCell,
    AskedCell,
    Back,
    Bounds,
    CallCell,
    Cell,
    Child,
    ContactsCell,
    CredentialCell,
    KeyCell,
    Keyed,
    MadeCell,
    MarkCell,
    RunCell,
    SaidCell,
    SpendCell,
    StreamCell,
    Word,
    WorldCell,
)
from agentguard.ledger.told import read_telling, read_told, write_telling, write_told

_DIGEST = 32
# The fields of a run before tallies were counted: cells of then are read as they are.
_RUN_BEFORE = 21
# Those of an approval request before it was known what became of it.
_APPROVAL_BEFORE = 10
_KINDS: Mapping[str, type[Any]] = {
    RUN: RunCell, CALL: CallCell, UNSETTLED: CallCell, SAID: SaidCell, CONTACTS: ContactsCell,
    WORLD: WorldCell, APPROVAL: ApprovalCell,
    STREAM: StreamCell, CREDENTIAL: CredentialCell, SPEND: SpendCell, USED: MarkCell, HEARD: MarkCell,
    REACHED: MarkCell, ASKED: AskedCell, KEY: KeyCell, MADE: MadeCell, ANSWERS: AnswersCell,
    WAITS: AskedCell,
}  # fmt: skip


def encode(cell: Cell) -> bytes:
    """A cell's bytes, always the same for the same cell."""
    return orjson.dumps(_flat(cell), option=orjson.OPT_SORT_KEYS)


def decode(kind: str, data: bytes) -> Cell:
    """The cell behind its bytes. Raises whatever bytes of something else raise."""
    fields: Any = orjson.loads(data)
    cls: Any = _KINDS[kind]
    if kind == RUN:
        *plain, succeeded, spent, zones, inputs, kept, happened, seen, unsettled, salt, holder = fields[:_RUN_BEFORE]
        more = [*fields[_RUN_BEFORE:], None, None, None, None, None, None][:6]
        tallies = {key: Tally(*found) for key, found in (more[0] or {}).items()}
        observed = None if more[1] is None else read_observed(more[1])
        bounds = None if more[2] is None else Bounds(*more[2])
        keyed = None if more[3] is None else Keyed(*more[3])
        child = None if more[4] is None else _read_child(*more[4])
        times = {what: tuple((at, call) for at, call in found) for what, found in happened.items()}
        run: RunCell = cls(
            *plain, frozenset(succeeded), spent, frozenset(zones), inputs, kept, times, read_seen(seen),
            frozenset(unsettled), salt, holder, tallies, observed, bounds, keyed, child,
            tuple(more[5] or ()),
        )  # fmt: skip
        return run
    if kind == SAID:
        version, words, suspended = fields
        return SaidCell(version, {source: Word(*word) for source, word in words.items()}, suspended)
    if kind == CONTACTS:
        version, zones, salt = fields
        return ContactsCell(version, frozenset(zones), salt)
    if kind == APPROVAL:
        *plain, answers, consumed = fields[:_APPROVAL_BEFORE]
        known: list[Any] = fields[_APPROVAL_BEFORE:]
        nothing: list[Any] = ["", "", None]
        claimed_by, outcome, lapsed = known + nothing[len(known) :]
        asked: ApprovalCell = cls(
            *plain, tuple((who, approve, at) for who, approve, at in answers), consumed, claimed_by, outcome,
            None if lapsed is None else tuple(lapsed),
        )  # fmt: skip
        return asked
    if kind in (ASKED, WAITS):
        return AskedCell(tuple(fields[0]))
    if kind in (CALL, UNSETTLED):
        number, run_id, step, owner, keeps, *more = fields
        back = _read_back(*more[0]) if more else NOTHING_BACK
        made, approval = [*more[1:], "", ""][:2]  # both are texts
        return CallCell(number, run_id, step, owner, tuple(keeps), back, made, approval)
    if kind == ANSWERS:
        kib, kept, suspended = fields
        return AnswersCell(kib, tuple(kept), tuple(suspended))
    cell: Cell = cls(*fields)
    return cell


def _flat(cell: Cell) -> list[Any]:
    fields: list[Any] = list(cell)
    if isinstance(cell, RunCell):
        fields[11], fields[13] = sorted(cell.succeeded), sorted(cell.zones)
        fields[17], fields[18] = write_seen(cell.seen), sorted(cell.unsettled)
        fields[_RUN_BEFORE] = {key: list(tally) for key, tally in cell.tallies.items()}
        fields[_RUN_BEFORE + 1] = None if cell.observed is None else write_observed(cell.observed)
        fields[_RUN_BEFORE + 2 :] = [
            None if each is None else list(each) for each in (cell.bounds, cell.keyed, cell.child)
        ]
        fields.append(list(cell.children) or None)
        while fields[-1] is None:
            fields.pop()  # as before anything was observed, bounded, found by a key or delegated
    elif isinstance(cell, CallCell):
        back = list(cell.back if cell.back.apart else cell.back[:-1])
        fields[5:] = _without_last([back, cell.made, cell.approval], "")
    elif isinstance(cell, ApprovalCell):
        fields = _without_last(fields, "", None)
    elif isinstance(cell, ContactsCell):
        fields[1] = sorted(cell.zones)
    elif isinstance(cell, SaidCell):
        fields[1] = {source: list(word) for source, word in cell.words.items()}
    return fields


def _without_last(fields: list[Any], *nothing: Any) -> list[Any]:
    """Without what says nothing at the end: cells read as before there were these fields."""
    while fields[-1] in nothing:
        fields.pop()
    return fields


def _read_child(parent: str, root: str, began: int, depth: int, steps: list[str] | None, above: list[str]) -> Child:
    return Child(parent, root, began, depth, None if steps is None else tuple(steps), tuple(above))


def _read_back(
    tallies: list[str],
    did_nothing: bool,
    spent: dict[str, int],
    windowed: list[tuple[str, int, int]],
    apart: bool = False,
) -> Back:
    windows = tuple((budget, when, amount) for budget, when, amount in windowed)
    return Back(tuple(tallies), did_nothing, spent, windows, apart)


def write_observed(observed: Observed) -> Json:
    """That a run is observed, as JSON."""
    steps: Json = None if observed.steps is None else list[Json](sorted(observed.steps))
    return [observed.until.isoformat(), steps, observed.refused, observed.asked]


def read_observed(stored: Any) -> Observed:
    """The other way."""
    until, steps, refused, asked = stored
    return Observed(date.fromisoformat(until), None if steps is None else frozenset(steps), refused, asked)


def write_seen(seen: Seen) -> Json:
    """What a run has seen, as JSON."""
    marks: list[Json] = [[m.source, m.order, _pack(m.values), m.text] for m in seen.marks]
    more: list[Json] = [] if seen.telling is None and seen.coarse is None else [_or_none(write_told, seen.telling)]
    if seen.coarse is not None:
        more.append([dict(seen.coarse.first), _squeezed(seen.coarse.bits)])
    return [seen.overflowed, marks, *more]


def read_seen(stored: Any) -> Seen:
    """The other way."""
    overflowed, marks, *more = stored
    telling = read_told(more[0]) if more and more[0] is not None else None
    coarse = Coarse(more[1][0], _unsqueezed(more[1][1])) if more[1:] else None
    found = tuple(Mark(source, place, _unpack(values), text) for source, place, values, text in marks)
    nothing = not found and not overflowed and telling is None and coarse is None
    return NOTHING_SEEN if nothing else Seen(found, overflowed, coarse, telling)


def write_brought(brought: Brought) -> Json:
    """What a result brought, as JSON."""
    clean: dict[str, Json] = {source: _pack(values) for source, values in brought.clean.items()}
    plain: list[Json] = [brought.tool, brought.call, clean, brought.text, brought.lost]
    if brought.telling is not None or brought.pieces:
        plain.append(_or_none(write_telling, brought.telling))
    return [*plain, _squeezed(brought.pieces)] if brought.pieces else plain


def read_brought(stored: Any) -> Brought:
    """The other way."""
    tool, call, clean, text, lost, *more = stored
    values = {source: _unpack(values) for source, values in clean.items()}
    telling = read_telling(more[0]) if more and more[0] is not None else None
    return Brought(tool, call, values, text, lost, telling, _unsqueezed(more[1]) if more[1:] else b"")


def write_growth(growth: Growth) -> Json:
    """What a call adds to a kept value, as JSON."""
    return [growth.name, growth.how, growth.key, growth.value]


def read_growth(stored: Any) -> Growth:
    """The other way."""
    name, how, key, value = stored
    return Growth(name, how, key, value)


_T = TypeVar("_T")


def _or_none(write: Callable[[_T], Json], value: _T | None) -> Json:
    return None if value is None else write(value)


def _squeezed(bits: bytes) -> str:
    return b64encode(compress(bits, 1)).decode()


def _unsqueezed(packed: str) -> bytes:
    return decompress(b64decode(packed))


def _pack(values: frozenset[bytes]) -> str:
    return b64encode(b"".join(sorted(values))).decode()


def _unpack(packed: str) -> frozenset[bytes]:
    raw = b64decode(packed)
    return frozenset(raw[at : at + _DIGEST] for at in range(0, len(raw), _DIGEST))
