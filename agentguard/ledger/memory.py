"""A log that is gone with its last user, for tests: the same ledger over lists and mappings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agentguard.errors import LedgerError
from agentguard.ledger.entry import micros
from agentguard.ledger.ledger import LogLedger
from agentguard.ledger.log import NOWHERE, Key, Place, Row, SavedCell
from agentguard.ledger.values import RecordFilter


class MemoryLog:
    """See ``Log``. Everything holds but durability."""

    owner = "memory"
    place = ":memory:"

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._cells: dict[str, dict[str, SavedCell]] = {}
        self._saved = 0

    def enter(self, *, write: bool) -> bool:
        """Nobody else writes here."""
        return False

    def check(self) -> None:
        """There is nothing that could be gone."""

    def leave(self) -> None:
        """Nothing to end."""

    def undo(self) -> None:
        """Nothing was begun."""

    def last(self) -> int:
        """The number of the last row."""
        return len(self._rows)

    def append(self, first: int, rows: Sequence[Row]) -> None:
        """Add rows, in one call."""
        self._rows += rows

    def rows(self, after: int) -> Iterator[tuple[int, bytes, bytes | None]]:
        """Every row after a number."""
        for number, row in enumerate(self._rows[after:], after + 1):
            yield number, row.body, row.private

    def row(self, number: int) -> tuple[bytes, bytes | None]:
        """One row."""
        found = self._rows[number - 1]
        return found.body, found.private

    def find(
        self, wanted: RecordFilter, after: int, before: int | None, size: int, *, newest: bool
    ) -> list[tuple[int, bytes]]:
        """By looking at every row."""
        numbers = range(after + 1, (len(self._rows) if before is None else min(before - 1, len(self._rows))) + 1)
        found: list[tuple[int, bytes]] = []
        for number in reversed(numbers) if newest else numbers:
            if len(found) >= size:
                break
            row = self._rows[number - 1]
            if _matches(row, wanted):
                found.append((number, row.body))
        return found

    def index(self) -> bool:
        """There is none."""
        return False

    def erase(self, number: int, private: bytes | None) -> None:
        """Put other private parts in the place of a row's."""
        self._rows[number - 1] = self._rows[number - 1]._replace(private=private)

    def purge(self) -> None:
        """What was replaced is gone already."""

    def saved(self) -> int:
        """How far the kept cells have come."""
        return self._saved

    def save(self, upto: int, cells: Iterable[SavedCell]) -> None:
        """Keep cells. May be said twice."""
        for cell in cells:
            kind, name = cell.key
            kept = self._cells.setdefault(kind, {})
            if cell.value is None:
                kept.pop(name, None)
            else:
                kept[name] = cell
        self._saved = upto

    def load(self, key: Key) -> bytes | None:
        """One kept cell."""
        found = self._cells.get(key[0], {}).get(key[1])
        return None if found is None else found.value

    def list(
        self,
        kind: str,
        *,
        live: bool = False,
        about: str | None = None,
        after: int | None = None,
        before: int | None = None,
        equal: Mapping[Place, str] = NOWHERE,
        above: Mapping[Place, int] = NOWHERE,
    ) -> Iterator[tuple[str, bytes]]:
        """By looking at every cell."""
        found = [
            cell
            for cell in self._cells.get(kind, {}).values()
            if (cell.live or not live)
            and (about is None or cell.about == about)
            and (after is None or cell.order > after)
            and (before is None or cell.order < before)
            and all(_at(cell, place) == value for place, value in equal.items())
            and all(_at(cell, place) > value for place, value in above.items())
        ]
        found.sort(key=lambda cell: cell.order, reverse=True)
        for cell in found:
            yield cell.key[1], cell.value or b""

    def forget(self, kind: str | None, *, before: int | None = None) -> None:
        """Drop cells."""
        if kind is None:
            self._cells, self._saved = {}, 0
            return
        kept = self._cells.get(kind, {})
        for name in [name for name, cell in kept.items() if before is None or 0 < cell.order < before]:
            del kept[name]

    def is_dead(self, owner: str) -> bool:
        """Whoever uses this log is alive."""
        return False

    def explain(self, error: Exception) -> LedgerError:
        """What an error means to operations."""
        if isinstance(error, LedgerError):
            return error
        return LedgerError(f"`{self.place}`: this is not expected; report it ({type(error).__name__}: {error})")

    def concerns_everybody(self, error: Exception) -> bool:
        """No file and no disk can fail here."""
        return False

    def close(self) -> None:
        """Nothing is done with this object any more."""


def _at(cell: SavedCell, place: Place) -> Any:
    """What stands at a place of a cell's JSON."""
    found: Any = json.loads(cell.value or b"null")
    for step in place:
        try:
            found = found[step]
        except (LookupError, TypeError):  # not every cell has it
            return None
    return found


def _matches(row: Row, wanted: RecordFilter) -> bool:
    for field in ("run_id", "subject", "tool", "effect", "kind", "decision_id"):
        value = getattr(wanted, field)
        if value is not None and getattr(row, field) != value:
            return False
    if wanted.reason is not None and wanted.reason not in json.loads(row.reasons or "[]"):
        return False
    if wanted.since is not None and (row.time is None or row.time < micros(wanted.since)):
        return False
    return wanted.until is None or (row.time is not None and row.time <= micros(wanted.until))


def memory_ledger() -> LogLedger:
    """A fresh ledger in memory. Everything holds but durability."""
    return LogLedger(MemoryLog, threaded=False)
