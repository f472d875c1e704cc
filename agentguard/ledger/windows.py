"""What was spent of a budget in the time window before a moment, exactly, without adding it all up each time."""

from __future__ import annotations

from bisect import bisect_right

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
