"""The kind ``host``: a host, with or without a port.

Patterns: ``db.example.com`` (any port), ``db.example.com:5432``, ``*.example.com`` (every name below, any
port), ``10.0.0.5``, ``[2001:db8::1]:443``. An exact host beats a wildcard, a port beats none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind
from agentguard.destinations.kinds.hosts import canonical_host, canonical_port, host_pattern, wildcards

# A name of 253 characters, a port, and room for brackets.
MAX_LENGTH = 300
_BARE_IPV6 = re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:]*")


class _Host(TextKind):
    name = "host"
    rewrites_argument = True
    max_length = MAX_LENGTH

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        parts = split_host(text)
        if isinstance(parts, Ambiguous):
            return parts
        host, port = parts
        return self.place(join_host(host, port), host=host, port=port)

    def pattern_key(self, pattern: str) -> str:
        host, port = _split(pattern)
        host_pattern(host)
        if port is None:
            return host
        if host.startswith("*"):
            raise ValueError(f"`{pattern}` has a wildcard and a port; give one of them")
        canonical = canonical_port(port)
        if isinstance(canonical, Ambiguous):
            raise ValueError(f"`{pattern}` has no valid port; expected 1 to 65535")
        return f"{host}:{canonical}"

    def place_keys(self, place: Place) -> Iterable[str]:
        host, port = place.parts["host"], place.parts["port"]
        if port:
            yield f"{host}:{port}"
        yield host
        yield from wildcards(host)


def split_host(text: str) -> tuple[str, str] | Ambiguous:
    """Host and port ("" where none is written), both canonical."""
    raw, raw_port = _split(text)
    host = canonical_host(raw)
    if isinstance(host, Ambiguous):
        return host
    if raw_port is None:
        return host, ""
    port = canonical_port(raw_port)
    return port if isinstance(port, Ambiguous) else (host, port)


def join_host(host: str, port: str) -> str:
    """The one spelling of host and port."""
    return f"{host}:{port}" if port else host


def _split(text: str) -> tuple[str, str | None]:
    """At the colon after the host; what follows is checked by the caller."""
    if text.startswith("["):
        inside, bracket, after = text.partition("]")
        if bracket and after.startswith(":"):
            return inside + bracket, after[1:]
        return text, None
    # An address alone: there is no port without brackets.
    if _BARE_IPV6.fullmatch(text):
        return f"[{text}]", None
    host, colon, port = text.partition(":")
    return host, port if colon else None


HOST = _Host()
