"""The fold of the log as one ledger object has it in memory.

``hot`` are the cells that changed since the store last kept them, and how far the log is folded, in one mapping: it
changes in one call of C, so that an interruption leaves it as it was or as it is to be. ``cold`` are copies of what the
store keeps. Outcomes that are not written yet lie in a layer above (``owed``): they count at once, for this object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from agentguard.core.values import Json
from agentguard.errors import LedgerError
from agentguard.ledger import cells, fold, looking, stored
from agentguard.ledger.cells import Cell, RunCell, SpendCell
from agentguard.ledger.entry import Entry, damaged, decode, open_private
from agentguard.ledger.log import NOWHERE, Key, Log, SavedCell
from agentguard.ledger.values import RecordData, RecordFilter
from agentguard.ledger.windows import Window

# One row of the log, as it is read: its number, public bytes and private parts.
Stored: TypeAlias = "tuple[int, bytes, bytes | None]"
# Where ``hot`` says how far the log is folded. No kind of cell is called so.
_FOLDED: Key = ("folded", "")
# Where what is owed says how many outcomes that are.
_COUNT: Key = ("count", "")
# Copies of kept cells; past this they are dropped and read again when needed.
MOST_COLD = 20_000
# How long past its expiry a used assertion is remembered: longer than any clock is wrong that we believe.
REMEMBERED_MICROS = 3_600 * 1_000_000
# Rows folded at a time when a long log is read.
_STRETCH = 10_000
_PAGE = 1000


class Owed:
    """Outcomes that count already and are not in the log yet, oldest first, and the cells as they leave them.

    ``layer`` holds those cells, and how many outcomes there are, in one mapping: it changes in one call of C. Whatever
    stands past that number in ``_entries`` was interrupted, and never was.
    """

    __slots__ = ("_entries", "layer")

    def __init__(self, entries: Sequence[Entry] = (), changed: Mapping[Key, Cell | None] = NOWHERE) -> None:
        self._entries = list(entries)
        self.layer: dict[Key, Any] = {**changed, _COUNT: len(entries)}

    def __bool__(self) -> bool:
        return bool(self.layer[_COUNT])

    def __len__(self) -> int:
        count: int = self.layer[_COUNT]
        return count

    @property
    def entries(self) -> list[Entry]:
        """The outcomes, oldest first."""
        return self._entries[: self.layer[_COUNT]]

    @property
    def oldest(self) -> Entry | None:
        """The outcome that has waited for the longest time. Also for whoever does not hold the ledger's lock."""
        return self._entries[0] if self.layer[_COUNT] else None

    @property
    def cells(self) -> dict[Key, Cell | None]:
        """The cells alone."""
        cells = dict(self.layer)
        del cells[_COUNT]
        return cells

    def add(self, entries: Sequence[Entry], changed: Mapping[Key, Cell | None]) -> None:
        """One outcome more, or some."""
        count = self.layer[_COUNT]
        self._entries[count:] = entries
        self.layer.update({**changed, _COUNT: count + len(entries)})


class Mirror:
    """See the module. Used under the ledger's lock."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.owed = Owed()
        # How each run stands with others, until something is said of anybody.
        self.standings: dict[str, looking.Standing] = {}
        self._hot: dict[Key, Any] = {_FOLDED: log.saved()}
        self._cold: dict[Key, Cell | None] = {}
        self._windows: dict[str, Window] = {}
        self._counted: dict[str, set[Key]] = {}
        # The latest moment of any admission, by which expired assertions are forgotten.
        self.newest = 0
        # Part of every version that this object shows. It grows where a version of the log alone could be one that was
        # shown before, of a state with outcomes that were owed.
        self.overtaken = 0

    @property
    def owner(self) -> str:
        """The name of this ledger object."""
        return self.log.owner

    @property
    def folded(self) -> int:
        """How far the log is folded."""
        number: int = self._hot[_FOLDED]
        return number

    @property
    def unsaved(self) -> int:
        """How many records the store's cells lag behind."""
        number: int = self._hot[_FOLDED]
        return number - self.log.saved()

    def note(self, at: int) -> None:
        """An admission's moment, by which expired assertions are forgotten."""
        self.newest = max(self.newest, at)

    def is_dead(self, owner: str) -> bool:
        """Whether the ledger object of that name is gone."""
        return self.log.is_dead(owner)

    # --- looking

    def get(self, key: Key) -> Cell | None:
        """A cell, with every outcome that is owed to the log."""
        found: Any = self.owed.layer.get(key, self)
        if found is self:
            found = self._hot.get(key, self)
            if found is self:
                found = self._cold.get(key, self)
                if found is self:
                    found = self.logged(key)
        cell: Cell | None = found
        return cell

    def logged(self, key: Key) -> Cell | None:
        """A cell, as the log alone says."""
        found = self._hot.get(key, self)
        if found is self:
            found = self._cold.get(key, self)
            if found is self:
                data = self.log.load(key)
                found = None if data is None else stored.decode(key[0], data)
                self._cold[key] = found
        cell: Cell | None = found
        return cell

    def spent(self, budget: str, start: int) -> int:
        """What is spent of a budget later than a time."""
        window = self._windows.get(budget)
        if window is None or window.since > start:
            # What others folded and kept may stand in the store and be folded here, too: each spend counts once.
            found: dict[Key, Cell | None] = {
                (cells.SPEND, name): stored.decode(cells.SPEND, data)
                for name, data in self.log.list(cells.SPEND, about=budget, after=start)
            }
            found.update((key, cell) for key, cell in self._hot.items() if key[0] == cells.SPEND)
            window = Window(start)
            for cell in found.values():
                if isinstance(cell, SpendCell) and cell.budget == budget:
                    window.add(cell.at, cell.amount)
            self._windows[budget], self._counted[budget] = window, set(found)
        return window.after(start) + self._owed_back(budget, start)

    def _owed_back(self, budget: str, start: int) -> int:
        """What outcomes that are still to be written give back; no outcome spends."""
        return sum(
            cell.amount
            for key, cell in self.owed.layer.items()
            if key[0] == cells.SPEND
            and isinstance(cell, SpendCell)
            and cell.budget == budget
            and cell.at > start
            and self.logged(key) is None
        )

    def listed(self, kind: str, **how: Any) -> Iterator[tuple[str, Cell]]:
        """The cells of a kind, newest first. The store must have kept everything before (``save``)."""
        live = how.get("live", False)
        for known_as, data in self.log.list(kind, **how):
            cell = self.owed.layer.get((kind, known_as), self)
            if cell is self:
                cell = stored.decode(kind, data)
            if cell is not None and (not live or cells.is_live((kind, known_as), cell)):
                yield known_as, cell

    def was_recorded(self, decision_id: str) -> bool:
        """Whether any record of this decision exists, or is owed."""
        if any(entry.row.decision_id == decision_id for entry in self.owed.entries):
            return True
        wanted = RecordFilter(decision_id=decision_id)
        return bool(self.log.find(wanted, 0, None, 1, newest=True))

    def row(self, number: int) -> tuple[RecordData, dict[str, Json]]:
        """One record with its private parts."""
        body, private = self.log.row(number)
        return decode(number, body), open_private(number, private)

    def numbers(self, wanted: RecordFilter) -> Iterator[int]:
        """The numbers of the records that match, oldest first."""
        after = 0
        while found := self.log.find(wanted, after, None, _PAGE, newest=False):
            yield from (number for number, _ in found)
            after = found[-1][0]

    def stored(self, number: int) -> tuple[bytes, bytes | None]:
        """The public bytes and private parts of a record."""
        return self.log.row(number)

    # --- changing

    def erase(self, number: int, private: bytes) -> None:
        """Put other private parts in the place of a record's: together with what is appended next."""
        self.log.erase(number, private)

    def take(self, upto: int, changed: dict[Key, Cell | None]) -> None:
        """These cells are what the log says up to that number. May be said twice."""
        self._hear(changed)
        if self._windows:
            for key, cell in changed.items():
                if key[0] == cells.SPEND and isinstance(cell, SpendCell) and key not in self._hot:
                    window = self._windows.get(cell.budget)
                    if window is not None and key not in self._counted[cell.budget]:
                        window.add(cell.at, cell.amount)
        self._hot.update({**changed, _FOLDED: upto})

    def owe(self, entries: list[Entry], changed: dict[Key, Cell | None]) -> None:
        """These outcomes count from now on; they are to be written with the next records."""
        self._hear(changed)
        self.owed.add(entries, changed)

    def _hear(self, changed: Mapping[Key, Cell | None]) -> None:
        """Before cells change: what is known of how runs stand may be known no more."""
        for key in changed:
            if key[0] in looking.SAY_HOW_RUNS_STAND:
                self.standings = {}
                return

    def paid(self, entries: int) -> None:
        """The first of what is owed stands in the log, and ``take`` was told."""
        rest = self.owed.entries[entries:] if len(self.owed) > entries else None
        self.owed = Owed(rest, self.owed.cells) if rest else Owed()

    def catch_up(self, *, write: bool, watch: Callable[[Iterator[Stored]], Iterator[Stored]] | None = None) -> bool:
        """Fold what others added to the log. False where there was nothing. ``write``: the store may be written.
        ``watch`` is handed the rows and hands them on."""
        log = self.log
        moved = log.saved() > self.folded
        if moved:  # the store's cells are ahead of what is in memory, so that is worth nothing
            self._hot, self._cold, self._windows, self._counted = {_FOLDED: log.saved()}, {}, {}, {}
            self.standings = {}
        found = _Fold(self)
        touched: set[Key] = set()
        rows = log.rows(self.folded)
        for number, body, private in rows if watch is None else watch(rows):
            found.add(number, body, private)
            if len(found.changed) >= _STRETCH:
                self.take(number, found.changed)
                touched.update(found.changed)
                found = _Fold(self)
                if write and self.unsaved >= _STRETCH:
                    self.save()
        if found.last:
            self.take(found.last, found.changed)
            touched.update(found.changed)
        if moved or not touched.isdisjoint(self.owed.layer):
            self._owe_again(None if moved else touched)
        return moved or bool(touched)

    def distrust(self) -> None:
        """Something was interrupted: what is not changed in one call is made anew."""
        self._windows, self._counted, self.standings = {}, {}, {}

    def save(self) -> None:
        """Let the store keep what changed, so that no reader has to fold so much."""
        upto = self.folded
        hot = self._hot
        if self.newest:
            self.log.forget(cells.USED, before=self.newest - REMEMBERED_MICROS)
        if upto > self.log.saved():
            self.log.save(upto, [_saved(key, cell) for key, cell in hot.items() if key != _FOLDED])
        cold = {} if len(self._cold) > MOST_COLD else self._cold
        self._cold = {**cold, **{key: cell for key, cell in hot.items() if key != _FOLDED and key[0] != cells.SPEND}}
        self._hot = {_FOLDED: upto}
        if len(self.standings) > MOST_COLD:
            self.standings = {}

    def _owe_again(self, touched: set[Key] | None) -> None:
        """Others have written about what these outcomes change: they count on top of that now. ``touched`` None: about
        anything.

        Where that makes another state of a version that was shown already, or of one before it, nothing that was
        decided before is admitted.
        """
        before = self.owed
        if not before:
            return
        self.owed = Owed()
        for entry in before.entries:
            layer = _Layer(self)
            fold.apply(layer, self.folded, entry.changes, entry.private)
            if layer.changed:  # else the call has its outcome: the first one stands
                self.owe([entry], layer.changed)
        for key, was in before.cells.items():
            now = self.get(key)
            if isinstance(now, RunCell) and isinstance(was, RunCell) and now != was and now.version <= was.version:
                self.overtaken += was.version - now.version + 1


class _Layer:
    """Cells over those of the mirror."""

    def __init__(self, mirror: Mirror) -> None:
        self.changed: dict[Key, Cell | None] = {}
        self._mirror = mirror

    def get(self, key: Key) -> Cell | None:
        return self.changed[key] if key in self.changed else self._mirror.get(key)

    def put(self, key: Key, cell: Cell | None) -> None:
        self.changed[key] = cell


class _Fold(_Layer):
    """Cells over what the log says, made from its rows."""

    last = 0

    def get(self, key: Key) -> Cell | None:
        return self.changed[key] if key in self.changed else self._mirror.logged(key)

    def add(self, number: int, body: bytes, private: bytes | None) -> None:
        try:
            changes = orjson.loads(body).get("changes") or ()
            if changes:
                fold.apply(self, number, changes, open_private(number, private))
        except LedgerError:
            raise
        except Exception:  # whatever bytes that nobody here wrote lead to
            raise damaged(number) from None
        self.last = number


def _saved(key: Key, cell: Cell | None) -> SavedCell:
    if cell is None:
        return SavedCell(key, None, False, None, 0)
    return SavedCell(key, stored.encode(cell), cells.is_live(key, cell), cells.about(cell), cells.order(cell))
