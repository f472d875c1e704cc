"""What every request of a guarded HTTP client must pass, the first one and each redirect alike.

1. The URL has one reading, and its place is one the decision permitted, or one the caller's ``ask`` permits now.
2. The name is resolved once. Every address must be public, or listed in the catalog under the kind ``ip``.
3. The connection goes to one of the addresses that were checked. Nobody resolves the name again.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from agentguard.core.values import Place
from agentguard.destinations.catalog import Catalog
from agentguard.destinations.kinds import Ambiguous, make_place
from agentguard.destinations.kinds.hosts import canonical_ipv4, canonical_ipv6, is_address
from agentguard.destinations.kinds.url import DEFAULT_PORTS, read_url
from agentguard.destinations.use.refusal import DestinationRefused

Resolver: TypeAlias = "Callable[[str, int], Sequence[str]]"
Ask: TypeAlias = "Callable[[str], bool]"

# A name with more addresses than this is not a service but a flood.
MAX_ADDRESSES = 64
# Azure's platform service, the one metadata address in a public range; the others are link-local or private.
_METADATA = frozenset({"168.63.129.16"})
# Where a network speaks IPv6 only, its resolver answers with these for a name that has IPv4 addresses, and its gateway
# connects to the IPv4 address inside (RFC 6052, RFC 6147). Other networks' own prefixes cannot be known: refused.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# What some of our Python's tables take for the internet: protocol assignments (RFC 6890; Oracle's metadata service is
# 192.0.0.192), the relays of 6to4 (RFC 7526), documentation (RFC 9637) and segment routing (RFC 9602).
_SET_ASIDE = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "5f00::/16")))


@dataclass(frozen=True, slots=True)
class Passage:
    """Where one request may go: ``address`` is what to connect to, ``host`` what to ask for by SNI and Host."""

    address: str
    host: str
    port: int
    host_header: str


def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name, as the system resolves it. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Gatekeeper:
    """Judges each request against what one decision permitted.

    ``permitted`` are the addresses that the tool was handed; a query string is not compared, so a tool may add one.
    ``ask`` is called with every other address in canonical form, such as a redirect's: it puts the question to the
    guard. Without it, whatever was not permitted is refused.
    """

    def __init__(
        self,
        catalog: Catalog,
        permitted: Iterable[str],
        ask: Ask | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self._catalog = catalog
        self._permitted = frozenset(filter(None, map(_without_query, permitted)))
        self._ask = ask
        self._resolver = resolver

    def judge(self, url: str, host_header: str | None) -> Place:
        """The place of a request, if it may be made. Raises DestinationRefused."""
        place = read_url(url)
        if isinstance(place, Ambiguous):
            wanting = place.unless_promised
            if wanting is None or self._catalog.doubt(wanting) is not None:
                raise DestinationRefused(place.reason)
            place = wanting
        if host_header is not None and host_header.lower() not in _host_headers(place):
            raise DestinationRefused("host_header")
        if _without_query(place.id) in self._permitted:
            return place
        if self._ask is None or self._ask(place.id) is not True:
            raise DestinationRefused("destination_not_permitted")
        return place

    def resolve(self, place: Place) -> Sequence[str]:
        """Every address of a place; an address in the URL is its own. Raises DestinationRefused."""
        host, port = place.parts["host"], int(place.parts["port"])
        if is_address(host):
            return [host.strip("[]")]
        try:
            return self._resolver(host, port)
        except (OSError, UnicodeError):
            raise DestinationRefused("name_not_resolved") from None

    def passage(self, place: Place, addresses: Sequence[str]) -> Passage:
        """The way to one of the addresses, once all of them have been checked. Raises DestinationRefused."""
        if not 0 < len(addresses) <= MAX_ADDRESSES:
            raise DestinationRefused("name_not_resolved")
        checked = [self._checked(address) for address in addresses]
        host = place.parts["host"].strip("[]")
        return Passage(checked[0], host, int(place.parts["port"]), _host_headers(place)[0])

    def _checked(self, text: str) -> str:
        behind = _behind_nat64(text)
        address = canonical_ipv6(text) if ":" in text and behind is None else canonical_ipv4(behind or text)
        if isinstance(address, Ambiguous):
            raise DestinationRefused(address.reason)
        listed = self._catalog.find(make_place("ip", address, address=address)) is not None
        if not listed and not is_public(address):
            raise DestinationRefused("private_address")
        return address if behind is None else text


def _behind_nat64(text: str) -> str | None:
    """The IPv4 address that a resolver's answer leads to through a gateway, or None for any other answer."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    if address.scope_id is not None or address not in _NAT64:
        return None
    return str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))


def is_public(address: str) -> bool:
    """Whether an address is one of the internet's: not private, loopback, link-local, shared, multicast or metadata."""
    read = ipaddress.ip_address(address)
    if any(read in network for network in _SET_ASIDE):
        return False
    if read.is_multicast or read.is_reserved or read.is_private or address in _METADATA:
        return False
    return read.is_global and not (isinstance(read, ipaddress.IPv6Address) and read.is_site_local)


def _without_query(address: str) -> str | None:
    read = read_url(address)
    place = read.unless_promised if isinstance(read, Ambiguous) else read
    return None if place is None else place.id.partition("?")[0]


def _host_headers(place: Place) -> tuple[str, ...]:
    """The right Host header first, then the form with the default port written out."""
    host, port = place.parts["host"], place.parts["port"]
    full = f"{host}:{port}"
    return (host, full) if port == DEFAULT_PORTS[place.parts["scheme"]] else (full,)
