"""What was spent of a budget in the time window before a moment, exactly, without asking the database each time."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right

from agentguard.ledger import schema
from agentguard.ledger.rows import put

# Spends that have left the window are dropped from memory once there are this many and they are the larger half.
_KEEP = 4096


class Window:
    """All spends of one budget after ``since``, in time order, with running sums."""

    __slots__ = ("_sums", "_times", "since")

    def __init__(self, since: int) -> None:
        self.since = since
        self._times: list[int] = []
        self._sums: list[int] = []

    def add(self, at: int, amount: int) -> None:
        """Count a spend. One that arrives out of time order still counts where it belongs."""
        if at <= self.since:
            return
        place = bisect_right(self._times, at)
        before = self._sums[place - 1] if place else 0
        self._times.insert(place, at)
        self._sums.insert(place, before + amount)
        for later in range(place + 1, len(self._sums)):
            self._sums[later] += amount

    def after(self, start: int) -> int:
        """The sum of all spends later than ``start``, which must not be before ``since``."""
        if not self._times:
            return 0
        place = bisect_right(self._times, start)
        total = self._sums[-1] - (self._sums[place - 1] if place else 0)
        if place > _KEEP and place > len(self._times) // 2:
            self._drop(place, start)
        return total

    def _drop(self, place: int, start: int) -> None:
        gone = self._sums[place - 1]
        self._times = self._times[place:]
        self._sums = [total - gone for total in self._sums[place:]]
        self.since = start


class Windows:
    """The windows in use. Other processes' spends are added when the database says that somebody wrote."""

    __slots__ = ("_by_budget", "_cursor", "_last", "_pending")

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self._by_budget: dict[tuple[str, str], Window] = {}
        self._last: int | None = None
        self._pending: list[tuple[int, str, str, int, int]] = []

    def spent(self, workflow: str, budget: str, start: int) -> int:
        """What was spent later than ``start``."""
        window = self._by_budget.get((workflow, budget))
        if window is None or window.since > start:
            window = self._load(workflow, budget, start)
        return window.after(start)

    def add(self, workflow: str, budget: str, at: int, amount: int) -> None:
        """Count a spend of this transaction; it is written by ``flush``."""
        last = self._newest() + 1
        self._last = last
        self._pending.append((last, workflow, budget, at, amount))
        window = self._by_budget.get((workflow, budget))
        if window is not None:
            window.add(at, amount)

    def flush(self) -> None:
        """Write what was added."""
        if self._pending:
            put(self._cursor, schema.ADD_SPENDS, self._pending)
            self._pending.clear()

    def catch_up(self) -> None:
        """Another process has written: take in what it spent."""
        if self._last is None:
            return
        for n, workflow, budget, at, amount in self._cursor.execute(schema.SPENDS_AFTER, (self._last,)):
            self._last = n
            window = self._by_budget.get((workflow, budget))
            if window is not None:
                window.add(at, amount)

    def forget(self) -> None:
        """A transaction was rolled back: what is in memory may never have happened."""
        self._by_budget.clear()
        self._pending.clear()
        self._last = None

    def _newest(self) -> int:
        if self._last is None:
            self._last = int(self._cursor.execute(schema.LAST_SPEND).fetchone()[0])
        return self._last

    def _load(self, workflow: str, budget: str, start: int) -> Window:
        self.flush()
        self._newest()
        window = Window(start)
        for at, amount in self._cursor.execute(schema.SPENDS_SINCE, (workflow, budget, start)):
            window.add(at, amount)
        self._by_budget[workflow, budget] = window
        return window
