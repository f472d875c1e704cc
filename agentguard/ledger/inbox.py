"""What is queued for the ledger's one thread, in the order in which it came.

Waking a thread costs as much as a whole decision, and most outcomes are followed at once by the next call. So what
nobody waits for is put here quietly: the thread finds it with the next thing somebody does wait for, or when it looks
again by itself, as it does for ``LINGER_SECONDS`` after it was last busy. Past that it sleeps, and anything wakes it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

# How long what was put quietly may lie here unseen. Well under the 10 ms in which an outcome is promised to be durable.
LINGER_SECONDS = 0.002


class Inbox(Generic[T]):
    """Any thread puts, one thread takes. Relies on the operations of ``deque`` being atomic."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        # Locked: nobody has rung. A bell that rings twice before it is heard has rung once.
        self._bell = threading.Lock()
        self._bell.acquire()
        self._asleep = False

    def put(self, item: T) -> None:
        """Put something, and wake the thread."""
        self._items.append(item)
        self._ring()

    def put_quietly(self, item: T) -> None:
        """Put something that can wait for a moment."""
        self._items.append(item)
        # Either the sleeper's last look comes after the line above, or it has said that it sleeps by now.
        if self._asleep:
            self._ring()

    def take(self, timeout: float | None, most: int) -> list[T]:
        """The oldest items, waiting up to ``timeout`` seconds (None: for ever) for the first; perhaps none."""
        if not self._items:
            self._wait(timeout)
        taken: list[T] = []
        with contextlib.suppress(IndexError):
            while len(taken) < most:
                taken.append(self._items.popleft())
        return taken

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has rung already
            self._bell.release()

    def _wait(self, timeout: float | None) -> None:
        if timeout is not None:
            until = time.monotonic() + timeout
            # An older ring may be left over, whose item was taken already.
            while not self._items and (left := until - time.monotonic()) > 0:
                self._bell.acquire(timeout=left)
            return
        self._asleep = True
        while not self._items:
            self._bell.acquire()
        self._asleep = False
