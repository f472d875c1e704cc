"""The strict layer before the signature: what a compact JWS must look like before any key is thought of.

1. At most ``MAX_TOKEN_BYTES``, or what the caller says.
2. Exactly three parts, each non-empty base64url without padding, whitespace or spare bits (RFC 7515 section 2).
3. Header and payload are strict JSON objects.
4. The header holds only ``alg``, ``kid`` and ``typ`` (a proof may carry ``jwk``), and what platforms add that can say
   nothing to a verifier whose keys are pinned (``IGNORED``). ``crit``, ``jku``, ``jwk``, ``x5u``, ``x5c``, ``b64`` and
   all others are refused, not ignored.
"""

from __future__ import annotations

import binascii
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from agentguard.core.reasons import Reason
from agentguard.core.values import Json
from agentguard.jose.jsontext import parse_object
from agentguard.jose.refusal import Refused, shown

# Real assertions are under 3 KiB. Past 8 KiB the reader is being made to work.
MAX_TOKEN_BYTES = 8192

_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_STANDARD = bytes.maketrans(b"-_", b"+/")
# Which last characters leave no spare bits, by length modulo four. A length of one more than a multiple is impossible.
_LAST = {0: None, 2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}

# What real issuers write beside the three, each a text, and none of it says which key, which algorithm or what the
# payload is: thumbprints of a certificate (RFC 7515 section 4.1.7: GitHub Actions, Entra ID, Azure Pipelines, AD FS),
# and members of their own (Salesforce: `tnk`, `tty`, `ver`; PingFederate: `pi.atm`; Clerk: `cat`).
IGNORED = frozenset({"x5t", "x5t#S256", "tnk", "tty", "ver", "pi.atm", "cat"})

ASSERTION_HEADER = frozenset({"alg", "kid", "typ"})
PROOF_HEADER = frozenset({"alg", "kid", "typ", "jwk"})


@dataclass(frozen=True, slots=True)
class Compact:
    """One JWS in compact form, taken apart. Nothing in it has been verified."""

    header: Mapping[str, Json]
    payload: bytes
    signing_input: bytes
    signature: bytes


def parse_unverified(
    token: str | bytes, *, allowed: frozenset[str] = ASSERTION_HEADER, limit: int = MAX_TOKEN_BYTES
) -> Compact:
    """Take a compact JWS apart without verifying it. Raises Refused."""
    data = _as_bytes(token, limit)
    match = _COMPACT.fullmatch(data)
    if match is None:
        raise Refused(Reason.ASSERTION_MALFORMED, "expected three non-empty base64url parts joined by dots")
    header, payload, signature = match.groups()
    return Compact(
        header=_header(header, allowed),
        payload=base64url(payload, "payload"),
        signing_input=data[: match.end(2)],
        signature=base64url(signature, "signature"),
    )


def base64url(text: bytes, what: str) -> bytes:
    """Decode base64url that can be written in one way only. Raises Refused (malformed)."""
    remainder = len(text) % 4
    last = _LAST.get(remainder, frozenset())
    if last is not None and text[-1] not in last:
        raise Refused(Reason.ASSERTION_MALFORMED, f"the {what} is not canonical base64url")
    try:
        return binascii.a2b_base64(text.translate(_STANDARD) + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        raise Refused(Reason.ASSERTION_MALFORMED, f"the {what} is not base64url") from None


def _as_bytes(token: str | bytes, limit: int) -> bytes:
    if not isinstance(token, str | bytes):
        raise Refused(Reason.ASSERTION_MALFORMED, "the token is not text")
    if len(token) > limit:
        raise Refused(Reason.ASSERTION_TOO_LARGE, f"the token is longer than {limit} bytes")
    try:
        return token.encode("ascii") if isinstance(token, str) else token
    except UnicodeEncodeError:
        raise Refused(Reason.ASSERTION_MALFORMED, "the token holds characters that are not ASCII") from None


# An issuer's header is the same from token to token. Refusals are exceptions, so only good headers are kept; a caller
# that sends ever new ones only empties the cache.
@functools.lru_cache(maxsize=128)
def _header(segment: bytes, allowed: frozenset[str]) -> Mapping[str, Json]:
    header = parse_object(base64url(segment, "header"), "header")
    ignored = {name for name in header.keys() & IGNORED if isinstance(header[name], str)}
    strange = sorted(header.keys() - allowed - ignored)
    if strange:
        raise Refused(Reason.ASSERTION_UNSUPPORTED_HEADER, f"header member {shown(strange[0])} is not supported")
    return header
