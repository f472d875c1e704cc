"""What a store of the ledger must do: keep a log of records, and a cache of what the log adds up to.

The log is the truth. A row has *public bytes*, which are hashed, logged and proven as they are, and *private parts*
beside them, which can be erased. Everything else is a fold of both (``fold``): cells, each under a key. A store keeps
cells only so that nobody has to read the whole log; all of them may be thrown away (``forget``) and made again.

A store is used by one ledger object, one operation at a time, between ``enter`` and ``leave``. What each promises:

- ``enter`` / ``append``: nobody else appends in between (single use is single use, across processes).
- ``append``: all of the rows are durable when it returns, or none of them is in the log (nothing runs unrecorded).
- ``rows``: what others appended is seen by the next operation (a stop or a revocation counts at once).
- ``erase`` / ``purge``: nothing is left of what was erased (personal data).
- ``owner`` / ``is_dead``: a call of a live owner is never taken for a dead one's (at most once).

A store decides nothing. What may be appended is the business of ``engine``, which compares before it appends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias

from agentguard.errors import LedgerError
from agentguard.ledger.values import RecordFilter

# What stands under a key, as bytes; a key is a kind and a name.
Key: TypeAlias = "tuple[str, str]"
# Where a value stands in the JSON of a cell: `(7,)`, `(6, "workflow")`.
Place: TypeAlias = "tuple[int | str, ...]"


NOWHERE: Mapping[Any, Any] = MappingProxyType({})


class Behind(Exception):
    """Others wrote in the middle of an operation that had not begun to write: it is to begin anew."""


class Row(NamedTuple):
    """One record as it is stored. ``body``: its public bytes. ``private``: its private parts, or None.

    Between them stand copies of what filters ask about; times are microseconds since 1970 UTC.
    """

    time: int | None
    kind: str | None
    run_id: str | None
    subject: str | None
    tool: str | None
    effect: str | None
    decision_id: str | None
    reasons: str | None
    body: bytes
    private: bytes | None


class SavedCell(NamedTuple):
    """A cell as a store keeps it. ``value`` None: there is no such cell any more.

    ``live``, ``about`` and ``order`` are for lists: what is still open, of whom, and in which order.
    """

    key: Key
    value: bytes | None
    live: bool
    about: str | None
    order: int


class Log(Protocol):
    """See the module. Every method raises LedgerError where it cannot do what it promises."""

    owner: str
    place: str

    def enter(self, *, write: bool) -> bool:
        """Begin. True where somebody else may have written since the last time."""

    def check(self) -> None:
        """Raises LedgerError where it is certain that nothing can be written. Needs no ``enter``."""

    def leave(self) -> None:
        """The end of what ``enter`` began. May be said twice."""

    def undo(self) -> None:
        """The end of what ``enter`` began, after anything at all went wrong: as if it had not begun."""

    def last(self) -> int:
        """The number of the last row; rows are numbered from 1 without gaps."""

    def append(self, first: int, rows: Sequence[Row]) -> None:
        """Add rows, numbered from ``first``, which must be ``last() + 1``; durable when this returns, and ``leave`` is
        said."""

    def rows(self, after: int) -> Iterator[tuple[int, bytes, bytes | None]]:
        """(number, public bytes, private parts) of every row after a number, in order."""

    def row(self, number: int) -> tuple[bytes, bytes | None]:
        """The public bytes and private parts of one row."""

    def find(
        self, wanted: RecordFilter, after: int, before: int | None, size: int, *, newest: bool
    ) -> list[tuple[int, bytes]]:
        """The first rows after ``after`` and before ``before`` that match; with ``newest`` the last, backwards."""

    def index(self) -> bool:
        """Do a little of the work that makes ``find`` quick. True where there is more to do."""

    def erase(self, number: int, private: bytes | None) -> None:
        """Put other private parts in the place of a row's, together with the next ``append`` or not at all."""

    def purge(self) -> None:
        """Leave nothing of what was erased, or replaced in cells, in any file. Within an ``enter`` that may write; it
        ends with it. Raises LedgerError where somebody else keeps it from that; it may be said again."""

    def saved(self) -> int:
        """How far the kept cells have come: they are the fold of every row up to that number."""

    def save(self, upto: int, cells: Iterable[SavedCell]) -> None:
        """Keep cells, which together with those kept before are the fold of every row up to ``upto``; durable when this
        returns. What ``enter`` began goes on."""

    def load(self, key: Key) -> bytes | None:
        """One kept cell."""

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
        """(name, cell) of a kind, newest first, whose order is after, and before, the given. ``equal``, ``above``: what
        must stand at these places of the cell."""

    def forget(self, kind: str | None, *, before: int | None = None) -> None:
        """Drop the cells of a kind whose order is before a number; or, of None, every cell there is."""

    def is_dead(self, owner: str) -> bool:
        """Whether the ledger object of that name is gone."""

    def explain(self, error: Exception) -> LedgerError:
        """What an error of this store means to operations, with the remedy."""

    def concerns_everybody(self, error: Exception) -> bool:
        """Whether an error is about the file or disk, and not about the one operation that met it."""

    def close(self) -> None:
        """Nothing is done with this object any more."""


Opener: TypeAlias = "Callable[[], Log]"
