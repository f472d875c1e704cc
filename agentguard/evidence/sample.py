"""Which runs are looked at where there are too many: always the same ones, and never more than so many."""

from __future__ import annotations

import hashlib
import heapq
from typing import Generic, TypeVar

T = TypeVar("T")


def rank(run_id: str) -> int:
    """A number that nobody chooses: by it runs are sampled, and held back."""
    return int.from_bytes(hashlib.sha256(run_id.encode("utf-8", "backslashreplace")).digest()[:8], "big")


class Sample(Generic[T]):
    """The ``most`` runs of the lowest rank."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: list[tuple[int, int, T]] = []
        self._number = 0

    def add(self, run_id: str, run: T) -> None:
        """One more run."""
        self._number += 1
        entry = (-rank(run_id), -self._number, run)
        if len(self._held) < self._most:
            heapq.heappush(self._held, entry)
        else:
            heapq.heappushpop(self._held, entry)

    def runs(self) -> list[T]:
        """What was chosen, in the order in which it came."""
        return [entry[2] for entry in sorted(self._held, key=lambda entry: -entry[1])]
