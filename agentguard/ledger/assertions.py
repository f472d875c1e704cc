"""Which assertions were used: all those that a batch of calls brings are looked up at once, and each is used once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from agentguard.ledger import schema
from agentguard.ledger.rows import among, put

# Every so many used assertions, one part of the key space is swept of those that expired an hour ago. By then their
# own expiry refuses them, with an hour to spare for a clock that was set back.
_SWEEP_EVERY = 256
_SWEEP_MARGIN = 3_600_000_000


class Assertions:
    """What one transaction knows of them; it knows nothing before it looks, and forgets everything at its end."""

    __slots__ = ("_cursor", "_known", "_seen", "_taken")

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self._known: dict[bytes, bool] = {}
        self._taken: dict[bytes, int | None] = {}
        self._seen = 0

    def look(self, keys: Iterable[bytes]) -> None:
        """Find out which of these were used."""
        unknown = [key for key in dict.fromkeys(keys) if key not in self._known]
        self._known.update(dict.fromkeys(unknown, False))
        self._known.update((key, True) for (key,) in among(self._cursor, schema.USED_ASSERTIONS, unknown))

    def use(self, key: bytes, until: int | None) -> bool:
        """Use it, and say whether this was the first time."""
        self.look((key,))
        if self._known[key]:
            return False
        self._known[key] = True
        self._taken[key] = until
        return True

    def give_back(self, key: bytes) -> None:
        """The call that used it in this transaction is not admitted after all."""
        del self._taken[key]
        self._known[key] = False

    def sweep(self, at: int) -> None:
        """Now and then, forget for good what expired long ago."""
        self._seen += 1
        if self._seen % _SWEEP_EVERY == 0:
            part = self._seen // _SWEEP_EVERY % 256
            end = bytes([part + 1]) if part < 255 else b"\xff" * 33
            self._cursor.execute(schema.FORGET_ASSERTIONS, (bytes([part]), end, at - _SWEEP_MARGIN))

    def flush(self) -> None:
        """Write what was used."""
        if self._taken:
            put(self._cursor, schema.USE_ASSERTIONS, list(self._taken.items()))
            self._taken.clear()

    def forget(self) -> None:
        """The transaction is over."""
        self._known.clear()
        self._taken.clear()
