"""One bounded HTTP exchange: no redirect, no proxy, a size limit, and a deadline for the whole of it.

HTTPS only, but for loopback. The standard library's client bounds each read, not their sum; a server that drips one
byte at a time would hold a call for ever. Here the whole exchange has one deadline, name lookup included.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.parse
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentguard.errors import ConfigurationError
from agentguard.jose.refusal import shown

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ATTEMPTS = 2
_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})


class ReadFailed(Exception):
    """Something outside could not be read this time. The text names what, and quotes nothing secret."""


class _Transient(ReadFailed):
    """Trying once more may help."""


class Address:
    """A URL that may be read. Raises ConfigurationError for one that is not HTTPS (HTTP on loopback)."""

    def __init__(self, url: str) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
            self.port, host = parts.port, parts.hostname
        except ValueError as error:
            raise ConfigurationError(f"{shown(url)} is not a URL: {error}") from None
        secure = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
        plain = url.isascii() and url.isprintable() and " " not in url
        if not (secure and host and plain) or parts.username is not None or self.port == 0:
            raise ConfigurationError(
                f"{shown(url)} must be an https:// address without user name (http:// on loopback only)"
            )
        self.host, self.secure = str(host), parts.scheme == "https"
        self.target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"`{'https' if self.secure else 'http'}://{host}{port}{self.target.partition('?')[0]}`"


def get(address: Address, *, limit: int, deadline: float, headers: Mapping[str, str] | None = None) -> bytes:
    """The body of a 200 answer, tried twice within ``deadline`` seconds. Raises ReadFailed."""
    return _read(_Ask("GET", address, limit, dict(headers or {})), deadline)


def post(
    address: Address, body: bytes, *, limit: int, deadline: float, headers: Mapping[str, str] | None = None
) -> bytes:
    """As ``get``, for a question that is sent as JSON and may be repeated. Raises ReadFailed."""
    typed = {"Content-Type": "application/json", **(headers or {})}
    return _read(_Ask("POST", address, limit, typed, body), deadline)


@dataclass(frozen=True, slots=True)
class _Ask:
    """What is asked, of whom, and how long an answer may be."""

    method: str
    address: Address
    limit: int
    headers: Mapping[str, str]
    body: bytes | None = None


def _read(ask: _Ask, deadline: float) -> bytes:
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    until = time.monotonic() + deadline
    retrying = Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.05, max=0.2),
        retry=retry_if_exception_type(_Transient),
        reraise=True,
    )
    return retrying(_within, ask, until)


def _within(ask: _Ask, until: float) -> bytes:
    left = until - time.monotonic()
    if left <= 0:
        raise ReadFailed(f"{ask.address} is too slow")
    exchange = _Exchange(ask, left)
    # A daemon: a name lookup cannot be interrupted, and must not keep the process alive.
    threading.Thread(target=exchange.run, name="agentguard-fetch", daemon=True).start()
    try:
        return exchange.outcome.result(timeout=left)
    except FutureTimeout:
        exchange.give_up()
        raise ReadFailed(f"{ask.address} is too slow") from None


class _Exchange:
    """One request and its answer, on a thread of its own, which ends soon after it is given up."""

    def __init__(self, ask: _Ask, timeout: float) -> None:
        self._ask = ask
        self._address = ask.address
        self._headers = {"Accept": "application/json", **ask.headers}
        self._connection = _connection(ask.address, timeout)
        self._lock = threading.Lock()
        self._given_up = False
        self._socket: socket.socket | None = None
        self.outcome: Future[bytes] = Future()

    def run(self) -> None:
        try:
            self._connect()
            self._connection.request(self._ask.method, self._address.target, self._ask.body, self._headers)
            self.outcome.set_result(_body(self._address, self._connection.getresponse(), self._ask.limit))
        except ReadFailed as error:
            self.outcome.set_exception(error)
        except Exception as error:
            self.outcome.set_exception(_Transient(f"{self._address}: {type(error).__name__}"))
        finally:
            self._connection.close()

    def _connect(self) -> None:
        self._connection.connect()
        with self._lock:
            # Kept here: http.client forgets its socket once an answer says that it will be closed.
            self._socket = self._connection.sock
            if self._given_up:
                raise ReadFailed(f"{self._address} is too slow")

    def give_up(self) -> None:
        """Wake the thread if it still reads."""
        with self._lock:
            self._given_up = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)


def _body(address: Address, response: HTTPResponse, limit: int) -> bytes:
    if response.status in _TRY_AGAIN:
        raise _Transient(f"{address} answered {response.status}")
    if response.status != 200:
        raise ReadFailed(f"{address} answered {response.status}; redirects are not followed")
    data = response.read(limit + 1)
    if len(data) > limit:
        raise ReadFailed(f"{address} sent more than {limit} bytes")
    return data


def _connection(address: Address, timeout: float) -> HTTPConnection:
    # With the first question: most processes never ask one.
    from http.client import HTTPConnection, HTTPSConnection
    from ssl import create_default_context

    if address.secure:
        context = create_default_context()
        return HTTPSConnection(address.host, address.port, timeout=timeout, context=context)
    return HTTPConnection(address.host, address.port, timeout=timeout)
