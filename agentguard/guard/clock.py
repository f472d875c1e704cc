"""The wall clock, as far as it can be believed.

1. Its time has a zone.
2. It is not more than ``MAX_FALL_BACK`` before the latest moment it told, nor before the ledger's newest record, which
   a process before this one wrote: going back makes old assertions fresh.
3. It keeps pace with the monotonic clock, by the same measure: standing still keeps an assertion fresh for ever.
A jump forwards is believed. Machines sleep, and it only makes assertions older.

Once the clock has fallen behind, every call is refused until it is right again; after a jump forwards that was taken
back, until the process is started anew, with a newest record of the right time. Which of the two times was wrong cannot
be known from inside.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from agentguard.core.reasons import Reason
from agentguard.core.values import Unavailable

# A wall clock that falls back further than any skew we grant would make old assertions fresh again.
MAX_FALL_BACK = timedelta(seconds=60)

_MAX_FALL_BACK_SECONDS = MAX_FALL_BACK.total_seconds()

# Before anything was recorded. Not the first day, so that the limit can be taken off it.
LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)

Read = Callable[[], datetime]
Elapsed = Callable[[], float]


def utc_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


class WatchedClock:
    """Reads a wall clock and refuses what it says when it cannot be right. Safe to share between threads.

    ``elapsed`` counts seconds that passed. None means the machine's own monotonic clock beside the machine's own wall
    clock, and no such comparison for a clock that was passed in. ``recorded`` is when the newest record was written.
    """

    def __init__(self, read: Read, elapsed: Elapsed | None = None, *, recorded: datetime = LONG_AGO) -> None:
        self._read = read
        self._elapsed = elapsed if elapsed is not None else time.monotonic if read is utc_now else None
        self._is_machines = read is utc_now  # it tells a time in UTC, and cannot fail
        self._lock = threading.Lock()
        self._latest = self._recorded = recorded
        self._lead = -math.inf

    @property
    def latest(self) -> datetime:
        """The latest moment that could be believed."""
        return self._latest

    def now(self) -> datetime | Unavailable:
        """This moment in UTC, or why it is not known. Never raises."""
        moment = datetime.now(UTC) if self._is_machines else self._told()
        if isinstance(moment, Unavailable):
            return moment
        with self._lock:
            if moment < self._latest - MAX_FALL_BACK:
                since = " since the newest record" if self._latest == self._recorded else ""
                return Unavailable(Reason.CLOCK_UNTRUSTED, f"fell back by {self._latest - moment}{since}")
            if self._elapsed is not None:
                lead = moment.timestamp() - self._elapsed()
                self._lead = max(self._lead, lead)
                if self._lead - lead > _MAX_FALL_BACK_SECONDS:
                    behind = f"{self._lead - lead:.0f} s"
                    return Unavailable(Reason.CLOCK_UNTRUSTED, f"fell behind the time passed by {behind}")
            self._latest = max(self._latest, moment)
            return moment

    def told(self) -> datetime:
        """What the clock tells, whether it can be believed or not; where it tells nothing, ``latest``. Never raises."""
        moment = self._told()
        return self._latest if isinstance(moment, Unavailable) else moment

    def _told(self) -> datetime | Unavailable:
        try:
            moment = self._read()
        except Exception as error:  # whatever a clock raises, it did not tell the time
            return Unavailable(Reason.CLOCK_UNAVAILABLE, type(error).__name__)
        try:
            if not isinstance(moment, datetime) or moment.utcoffset() is None:
                return Unavailable(Reason.CLOCK_UNTRUSTED, "the clock gives no time with a zone")
            return moment.astimezone(UTC)
        except Exception as error:  # a zone is code, and a time near the end of the calendar has no UTC
            return Unavailable(Reason.CLOCK_UNTRUSTED, type(error).__name__)
