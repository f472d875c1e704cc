"""The link by which somebody signs in on their own machine: it is printed where they started the console.

Rules:

1. Whoever reads that terminal is the account that started the console; nobody else is told the link.
2. It is used up by the first POST with it. A GET, which programs make by themselves, uses nothing up.
3. It ends after ten minutes, and when another one is made. Only one is alive at a time.
4. Another one can be asked for by anybody, because it is printed on that terminal and nowhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from datetime import timedelta

LASTS = timedelta(minutes=10)
# Whoever asks again and again fills a terminal with lines, and ends the link before its person has opened it.
APART = timedelta(minutes=1)


class LocalLink:
    """The one link there is, if there is one. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float], person: str, tell: Callable[[str], None]) -> None:
        """``person`` is who signs in by it; ``tell`` prints a link's secret where that person reads it."""
        self.person = person
        self._clock, self._tell = clock, tell
        self._digest: bytes | None = None
        self._made: float | None = None
        self._lock = threading.Lock()

    def make(self) -> bool:
        """Make another, and print it; what was there before is dead. False where one was made just now."""
        with self._lock:
            now = self._clock()
            if self._made is not None and now - self._made < APART.total_seconds():
                return False
            secret = secrets.token_urlsafe(32)
            self._digest, self._made = hashlib.sha256(secret.encode()).digest(), now
            self._tell(secret)
            return True

    def use(self, secret: str) -> bool:
        """Whether this is the link; it is used up by that."""
        with self._lock:
            if not self._is_alive(secret):
                return False
            self._digest = None
            return True

    def is_alive(self, secret: str) -> bool:
        """Whether this is the link, and could still be used. Uses nothing up."""
        with self._lock:
            return self._is_alive(secret)

    def _is_alive(self, secret: str) -> bool:
        given = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        if self._digest is None or self._made is None or self._clock() - self._made >= LASTS.total_seconds():
            return False
        return hmac.compare_digest(given, self._digest)
