"""Keys that somebody publishes, from a file or a URL, kept for a while and never longer.

1. A known key is served from memory until ``max_age`` after the set was read, on the monotonic clock.
2. Past half of that age, or for an unknown ``kid``, the set is read again; at most once in ``MIN_INTERVAL`` seconds,
   by one thread at a time, so that made-up key ids cannot be used to make us hammer the issuer.
3. A read that fails (down, slow, garbage, redirect, huge) changes nothing: rule 1 goes on. Whether an unknown key is
   the issuer's cannot be found out then, which is said: a signal by a new key must be sent again, not be lost.
4. Past ``max_age`` nothing is served: ``assertion_keys_unavailable``.
5. A bundle that is loaded again changes none of this for a URL: its keys stay known, at their age. A file is read.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from agentguard.core.reasons import Reason
from agentguard.core.values import Unavailable
from agentguard.errors import ConfigurationError
from agentguard.jose.fetch import Address, ReadFailed, get
from agentguard.jose.keyset import MAX_SET_BYTES, KeySet, KeySource, VerificationKey

# Issuers publish a new key long before they sign with it. Ten seconds is soon enough for the odd emergency.
MIN_INTERVAL = 10.0
# For one whole read, retries included. A guarded call waits for this at most once per MIN_INTERVAL.
DEADLINE = 4.0

Clock = Callable[[], float]
# What a URL's keys are read for: its address, the algorithms and uses that count, the maximum age.
Asked: TypeAlias = tuple[str, tuple[str, ...], frozenset[str | None], timedelta]


class JwksStore:
    """Keys that are read again as the rules above say. Safe to share between threads."""

    may_block = True

    def __init__(
        self,
        read: Callable[[], bytes],
        parse: Callable[[bytes], KeySet],
        *,
        max_age: float,
        clock: Clock = time.monotonic,
        min_interval: float = MIN_INTERVAL,
        asked: Asked | None = None,
    ) -> None:
        self.asked = asked
        self._read = read
        self._parse = parse
        self._max_age = max_age
        self._clock = clock
        self._min_interval = min(min_interval, max_age / 2)
        self._reading = threading.Lock()
        self._known: tuple[KeySet, float] | None = None
        self._tried_at: float | None = None
        # Why the last attempt failed; None after one that did not.
        self._failure: str | None = "they have not been read yet"

    def find(self, kid: str) -> VerificationKey | Unavailable:
        """The key with exactly this id. Never raises."""
        keys = self._current()
        if keys is None or kid not in keys or self._is_half_old():
            keys = self._refresh(kid)
        if keys is None:
            return Unavailable(Reason.ASSERTION_KEYS_UNAVAILABLE, f"the issuer's keys cannot be had: {self._failure}")
        found = keys.find(kid)
        if isinstance(found, Unavailable) and self._failure is not None:
            detail = f"{found.detail} as it was last read, and it cannot be read again: {self._failure}"
            return Unavailable(Reason.ASSERTION_KEYS_UNAVAILABLE, detail)
        return found

    def only(self) -> VerificationKey | None:
        """The one key there is; None where there is none, or more. Never raises."""
        keys = self._refresh("") if self._current() is None or self._is_half_old() else self._current()
        return None if keys is None else keys.only()

    def anew(self, key: VerificationKey) -> VerificationKey | None:
        """Another key that has this one's id, after reading once more where that may be done now. Never raises."""
        with self._reading:
            if self._may_try():
                self._try()
        keys = self._current()
        found = None if keys is None else keys.find(key.kid)
        return found if isinstance(found, VerificationKey) and not found.is_same_as(key) else None

    def _current(self) -> KeySet | None:
        known = self._known
        return known[0] if known is not None and self._clock() - known[1] < self._max_age else None

    def _is_half_old(self) -> bool:
        known = self._known
        return known is None or self._clock() - known[1] >= self._max_age / 2

    def _refresh(self, kid: str) -> KeySet | None:
        keys = self._current()
        # A caller whose key is known does not wait for another caller's read; one that needs the read does.
        if not self._reading.acquire(blocking=keys is None or kid not in keys):
            return keys
        try:
            if self._may_try():
                self._try()
        finally:
            self._reading.release()
        return self._current()

    def _may_try(self) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= self._min_interval

    def _try(self) -> None:
        self._tried_at = started = self._clock()
        try:
            # The age counts from before the read: a slow answer is not younger for being slow.
            self._known, self._failure = (self._parse(self._read()), started), None
        except (ReadFailed, ConfigurationError) as error:
            self._failure = str(error)
        except Exception as error:
            self._failure = type(error).__name__


def published_keys(
    where: str,
    *,
    file: str | Path | None,
    url: str | None,
    algorithms: tuple[str, ...],
    uses: frozenset[str | None],
    max_age: timedelta,
    clock: Clock = time.monotonic,
    before: KeySource | None = None,
) -> JwksStore:
    """The keys that somebody publishes in a file or at a URL; ``where`` is the place in the bundle that says so.

    ``before`` is given back where it keeps the same keys of the same URL: a reload must not make known keys unknown
    while their server is down, nor ask it more often.

    Raises ConfigurationError where neither or both are named, for a URL that is not HTTPS, and for a file that holds no
    key set now: it is there or not when the bundle loads, unlike a server, and its owner hears of it then.
    """
    if (file is None) == (url is None):
        raise ConfigurationError(f"{where}: name one of `keys_file` and `keys_url`")

    def parse(data: bytes) -> KeySet:
        return KeySet.parse(data, algorithms=algorithms, uses=uses)

    if url is not None:
        asked = (url, algorithms, uses, max_age)
        if isinstance(before, JwksStore) and before.asked == asked:
            return before
        return JwksStore(url_reader(url), parse, max_age=max_age.total_seconds(), clock=clock, asked=asked)
    read = file_reader(Path(str(file)))
    try:
        parse(read())
    except (ReadFailed, ConfigurationError) as error:
        raise ConfigurationError(f"{where}: `keys_file`: {error}") from None
    return JwksStore(read, parse, max_age=max_age.total_seconds(), clock=clock)


def file_reader(path: Path) -> Callable[[], bytes]:
    """Reads one file, bounded."""

    def read() -> bytes:
        try:
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
                return _bounded(file.read(MAX_SET_BYTES + 1))
        except OSError as error:
            raise ReadFailed(f"`{path}`: {error.strerror or type(error).__name__}") from None

    return read


def url_reader(url: str, *, deadline: float = DEADLINE) -> Callable[[], bytes]:
    """Reads one HTTPS address (plain HTTP on loopback only): no redirect, bounded in size and in total time."""
    address = Address(url)
    return lambda: get(address, limit=MAX_SET_BYTES, deadline=deadline)


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_SET_BYTES:
        raise ReadFailed(f"the key set is longer than {MAX_SET_BYTES} bytes")
    return data
