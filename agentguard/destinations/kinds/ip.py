"""The kind ``ip``: one IP address.

Patterns: an address or a network (``10.0.0.0/8``, ``2001:db8::/32``); the longest prefix wins.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind
from agentguard.destinations.kinds.hosts import canonical_ipv4, canonical_ipv6

MAX_LENGTH = 64


class _Ip(TextKind):
    name = "ip"
    rewrites_argument = True
    max_length = MAX_LENGTH

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        address = canonical_ipv6(text) if ":" in text else canonical_ipv4(text)
        return address if isinstance(address, Ambiguous) else self.place(address, address=address)

    def pattern_key(self, pattern: str) -> str:
        try:
            network = ipaddress.ip_network(pattern)
        except ValueError:
            raise ValueError(
                f"`{pattern}` is not an address or a network; expected such as `10.0.0.5` or `10.0.0.0/8`, "
                "without bits after the prefix"
            ) from None
        return _key(network.version, int(network.network_address), network.prefixlen)

    def place_keys(self, place: Place) -> Iterable[str]:
        address = ipaddress.ip_address(place.parts["address"])
        number = int(address)
        for length in range(address.max_prefixlen, -1, -1):
            shift = address.max_prefixlen - length
            yield _key(address.version, number >> shift << shift, length)


def _key(version: int, number: int, length: int) -> str:
    return f"{version}/{number:x}/{length}"


IP = _Ip()
