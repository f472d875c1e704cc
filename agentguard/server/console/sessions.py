"""Who is signed in: objects of this process behind an opaque cookie, so that each can be ended at once.

Rules:

1. A session has a new secret at each sign-in; nothing that a browser brings along becomes one.
2. It ends when it was idle for too long, when it is old, when its person ends it, and when this process ends.
3. There are at most so many, in all and of one person; the one that was idle for longest makes room.
4. Only a digest of the secret is kept: whoever reads this memory's copy cannot sign in with it.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

# A secret of 256 bits, as `secrets.token_urlsafe` writes it. What is longer was not made by us.
MAX_SECRET = 64


@dataclass(slots=True)
class Session:
    """One sign-in. ``name`` is what it is called where it can be ended; ``csrf`` stands in every form of it. Times are
    seconds of the clock that the sessions go by."""

    person: str
    how: str
    name: str
    csrf: str
    began: float
    seen: float


class Sessions:
    """All of them. Safe to use from several threads."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        idle: timedelta = timedelta(hours=1),
        lasts: timedelta = timedelta(hours=12),
        most: int = 1_000,
        most_each: int = 10,
    ) -> None:
        self.clock = clock
        self.idle, self.lasts = idle, lasts
        self._most, self._most_each = most, most_each
        self._by_digest: dict[bytes, Session] = {}
        self._lock = threading.Lock()

    def begin(self, person: str, how: str) -> str:
        """Sign somebody in; the secret for their cookie."""
        secret = secrets.token_urlsafe(32)
        now = self.clock()
        with self._lock:
            self._sweep(now)
            own = [key for key, found in self._by_digest.items() if found.person == person]
            if len(own) >= self._most_each:
                self._drop_oldest(own)
            if len(self._by_digest) >= self._most:
                self._drop_oldest(list(self._by_digest))
            name, csrf = secrets.token_hex(8), secrets.token_urlsafe(32)
            self._by_digest[_digest(secret)] = Session(person, how, name, csrf, now, now)
        return secret

    def find(self, secret: str, *, used: bool) -> Session | None:
        """The session behind a cookie, if it has not ended. ``used``: its person did something just now."""
        if len(secret) > MAX_SECRET:
            return None
        key, now = _digest(secret), self.clock()
        with self._lock:
            found = self._by_digest.get(key)
            if found is None:
                return None
            if self._is_over(found, now):
                del self._by_digest[key]
                return None
            if used:
                found.seen = now
            return found

    def end(self, person: str, name: str) -> bool:
        """End one session of a person by its name. False where they have none of that name."""
        with self._lock:
            for key, found in self._by_digest.items():
                if found.person == person and found.name == name:
                    del self._by_digest[key]
                    return True
        return False

    def of(self, person: str) -> Sequence[tuple[Session, timedelta]]:
        """A person's sessions, the newest first, each with how long ago it was used."""
        now = self.clock()
        with self._lock:
            self._sweep(now)
            own = [found for found in self._by_digest.values() if found.person == person]
        own.sort(key=lambda found: -found.began)
        return [(found, timedelta(seconds=now - found.seen)) for found in own]

    def _is_over(self, found: Session, now: float) -> bool:
        return now - found.seen >= self.idle.total_seconds() or now - found.began >= self.lasts.total_seconds()

    def _sweep(self, now: float) -> None:
        for key in [key for key, found in self._by_digest.items() if self._is_over(found, now)]:
            del self._by_digest[key]

    def _drop_oldest(self, keys: Sequence[bytes]) -> None:
        del self._by_digest[min(keys, key=lambda key: self._by_digest[key].seen)]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
