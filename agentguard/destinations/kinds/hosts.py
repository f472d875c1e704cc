"""One spelling of one host, or a refusal.

Accepted: DNS names (lower-cased; international ones become ``xn--``, where every version of IDNA makes the same of
them), IPv4 in dotted decimal, IPv6 in brackets where the caller says so.
Refused is whatever two programs may read differently: numbers that become addresses (RFC 3986 section 7.4),
trailing dots, zone ids, IPv4 inside IPv6, the unspecified address, and international names that imitate
others (UTS 39).
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from agentguard.destinations.kinds.base import Ambiguous

# RFC 1035 section 2.3.4, without the trailing dot.
MAX_NAME = 253
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_IPV4 = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
# The WHATWG URL standard's "ends in a number": browsers read such a name as an IPv4 address.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_SCRIPTLESS = re.compile(r"[0-9-]")

# Prefixes whose addresses carry an IPv4 address that some systems connect to instead (RFC 4291 section 2.5.5,
# RFC 2765, RFC 6052, RFC 8215, RFC 3056, RFC 4380).
_EMBEDDING = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
    )
)
_LOOPBACK_V6 = ipaddress.IPv6Address("::1")
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")

# Letters that look like a basic Latin letter in common fonts (UTS 39 confusables, lower case). A name made
# only of these is an imitation of a Latin one.
_IMITATIONS = frozenset("авсԁеԍһіјӏкмпоԛрѕтгуѵԝхьαβγεηικνορτυχωյհոսցօզքտ")


@lru_cache(maxsize=4096)
def canonical_name(text: str) -> str | Ambiguous:
    """The canonical form of a DNS name or a dotted IPv4 address."""
    if not text:
        return Ambiguous("empty_host")
    if len(text) > MAX_NAME + 1:
        return Ambiguous("host_too_long")
    lowered = text.lower() if text.isascii() else _ascii_name(text)
    if lowered is None:
        return Ambiguous("non_ascii_host")
    if lowered.endswith("."):
        return Ambiguous("trailing_dot")
    if _NAME.fullmatch(lowered) is None or len(lowered) > MAX_NAME:
        return Ambiguous("percent_encoded_host" if "%" in text else "not_a_host_name")
    if _NUMERIC_LABEL.fullmatch(lowered.rpartition(".")[2]):
        return canonical_ipv4(lowered)
    for label in lowered.split("."):
        if label.startswith("xn--"):
            problem = _imitation(label)
            if problem is not None:
                return Ambiguous(problem)
    return lowered


def _ascii_name(text: str) -> str | None:
    """An international name as it goes over the wire, or None where clients would not all send the same."""
    import idna

    # Upper case beyond ASCII is folded by rules that differ (the Kelvin sign is a `k` to some).
    # No name is longer; putting the marks of a longer one in order takes time in its square.
    if len(text) > MAX_NAME or any(letter > "\x7f" and letter != letter.lower() for letter in text):
        return None
    labels = text.lower().split(".")
    try:
        # IDNA 2008 (httpx) and IDNA 2003 (Python itself) differ over `ß` and what cannot be seen.
        now = [label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels]
        then = [label if label.isascii() else label.encode("idna").decode("ascii") for label in labels]
    except (idna.IDNAError, UnicodeError, ValueError, IndexError):
        return None
    return ".".join(now) if now == then else None


def canonical_ipv4(text: str) -> str | Ambiguous:
    """A dotted-decimal IPv4 address, and no other spelling of one."""
    if _IPV4.fullmatch(text) is None:
        return Ambiguous("numeric_host")
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return Ambiguous("numeric_host")
    # Linux connects 0.0.0.0 to the machine itself; the rest of its network has no agreed meaning.
    return Ambiguous("unspecified_address") if address in _THIS_NETWORK else str(address)


@lru_cache(maxsize=1024)
def canonical_ipv6(text: str) -> str | Ambiguous:
    """An IPv6 address without brackets, in the form of RFC 5952."""
    if len(text) > 45 or "%" in text:
        return Ambiguous("zone_id" if "%" in text else "not_an_address")
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return Ambiguous("not_an_address")
    if address.is_unspecified:
        return Ambiguous("unspecified_address")
    if address != _LOOPBACK_V6 and any(address in network for network in _EMBEDDING):
        return Ambiguous("embedded_ipv4")
    return address.compressed


def canonical_host(text: str) -> str | Ambiguous:
    """A name, an IPv4 address, or an IPv6 address in brackets (kept in the result)."""
    if not text.startswith("["):
        return canonical_name(text)
    if not text.endswith("]"):
        return Ambiguous("not_a_host_name")
    inner = canonical_ipv6(text[1:-1])
    return inner if isinstance(inner, Ambiguous) else f"[{inner}]"


def canonical_port(text: str) -> str | Ambiguous:
    """A port in plain decimal, 1 to 65535."""
    if _PORT.fullmatch(text) is None or int(text) > 65535:
        return Ambiguous("bad_port")
    return text


def is_address(host: str) -> bool:
    """Whether a canonical host is an IP address."""
    return host.startswith("[") or (host[-1:].isdigit() and _IPV4.fullmatch(host) is not None)


def wildcards(host: str) -> Iterator[str]:
    """The ``*.`` patterns that cover a canonical host, most specific first. An address has none."""
    if is_address(host):
        return
    rest = host
    while True:
        _, dot, rest = rest.partition(".")
        if not dot:
            return
        yield f"*.{rest}"


def host_pattern(text: str) -> str:
    """A host, or ``*.`` and a host, in a catalog. Raises ValueError."""
    suffix = text.removeprefix("*.")
    canonical = canonical_host(suffix)
    if isinstance(canonical, Ambiguous):
        raise ValueError(f"`{text}` is not a host ({canonical.reason}); expected a name such as `api.example.com`")
    if canonical != suffix:
        raise ValueError(f"write `{canonical}` for `{suffix}`")
    if suffix == text:
        return text
    if is_address(canonical):
        raise ValueError(f"`{text}` puts a wildcard before an address; list addresses under the kind `ip`")
    return text


def _imitation(label: str) -> str | None:
    """Why an international label is refused, or None. Only what RFC 5891 reads both ways is read at all."""
    import idna

    try:
        decoded = idna.ulabel(label)
        if idna.alabel(decoded).decode("ascii") != label:
            return "invalid_idna"
    except (idna.IDNAError, UnicodeError, ValueError, IndexError):
        return "invalid_idna"
    letters = [letter for letter in decoded if _SCRIPTLESS.fullmatch(letter) is None]
    scripts = {_script(letter) for letter in letters}
    # Japanese mixes three scripts by nature, Korean two (UTS 39 section 5.1).
    if len(scripts) != 1 and not any(scripts <= family for family in _WRITTEN_TOGETHER):
        return "mixed_scripts"
    if all(letter in _IMITATIONS for letter in letters):
        return "looks_like_another_name"
    return None


_WRITTEN_TOGETHER = (
    frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}),
    frozenset({"CJK", "HANGUL"}),
)


def _script(letter: str) -> str:
    """The script of a letter: the first word of its Unicode name, which is stable by Unicode's own
    promise."""
    if unicodedata.combining(letter):
        return "COMBINING"
    return unicodedata.name(letter, "UNNAMED").split(" ", 1)[0]
