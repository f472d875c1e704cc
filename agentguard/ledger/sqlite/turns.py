"""Whose turn it is among processes that share one file.

SQLite lets whoever asks at the right moment write, so that of two busy processes one may starve. Two lock files make
turns fair: one is the queue, the other the turn. Whoever wants to write waits in the queue, then for the turn, and
leaves the queue as the turn begins, so that the next is already waiting when the turn ends. The system gives up both
locks of a process that dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Turns:
    """The two lock files beside a ledger, as one ledger object uses them."""

    def __init__(self, queue: Path, turn: Path, *, shared: bool) -> None:
        self._queue = _open(queue, shared=shared)
        self._turn = _open(turn, shared=shared)
        self._open = True
        # Whether the turn, or a place in the queue, may be held: said before it is taken, unsaid after it was given up.
        self._may_hold = self._may_wait = False

    def take(self) -> None:
        """Wait for the turn, at the end of the queue.

        Whoever has a turn gives it up first: to wait in the queue with it would be to wait for each other for ever.
        """
        if self._may_hold:
            fcntl.flock(self._turn, fcntl.LOCK_UN)
        self._may_hold = self._may_wait = True
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._queue, fcntl.LOCK_UN)
        self._may_wait = False

    def give(self) -> None:
        """The turn is over, and so is waiting for one that was interrupted. May be said twice."""
        if self._open and self._may_hold:
            if self._may_wait:
                fcntl.flock(self._queue, fcntl.LOCK_UN)
                self._may_wait = False
            fcntl.flock(self._turn, fcntl.LOCK_UN)
            self._may_hold = False

    def close(self) -> None:
        """Nobody of this object waits any more. May be said twice: a number that was closed is soon another file's."""
        if self._open:
            self._open = False
            os.close(self._queue)
            os.close(self._turn)


def _open(path: Path, *, shared: bool) -> int:
    """``shared``: the ledger is a group's, so its other files are, too."""
    made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if shared and os.fstat(made).st_uid == os.geteuid():
        os.fchmod(made, 0o660)
    return made
