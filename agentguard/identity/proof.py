"""Proof of possession: the caller holds the key its identity token names, and signed *this* call with it.

``wpt``   WIMSE Workload Proof Token (draft-ietf-wimse-wpt): key in the WIT's ``cnf.jwk``, ``wth`` hashes the WIT
``dpop``  DPoP-style (RFC 9449): key in the proof's header, its thumbprint in the token's ``cnf.jkt``, ``ath`` hashes it

Either carries the digest of the guarded call in ``request_digest``. A proof without that digest proves possession
but not the call, so it is refused here; ``verify_wpt`` alone reads plain WPTs.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agentguard.core.reasons import Reason
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.jose.compact import ASSERTION_HEADER, PROOF_HEADER, Compact, parse_unverified
from agentguard.jose.jsontext import parse_object
from agentguard.jose.keyset import VerificationKey, public_key
from agentguard.jose.refusal import Refused, shown

_MAX_ID = 256
_THUMBPRINT_MEMBERS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
# A WPT may hash a transaction token and others of the same request (draft-ietf-wimse-wpt). A tool call carries none,
# and a recipient that cannot check such a hash must refuse.
_OTHER_TOKENS = frozenset({"tth", "oth"})
# The method a DPoP proof names for a tool call, which is no HTTP request.
DPOP_METHOD = "TOOL"
# A proof is made for one call that is under way, however old its token may be. Past this it was kept for later.
MAX_PROOF_AGE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ProofRules:
    """What a proof is held to. Seconds."""

    audience: str
    skew: float
    max_age: float
    max_lifetime: float


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified proof. Times are seconds since 1970."""

    identifier: str
    issued: float
    expires: float
    bound_to: str


def verify_proof(
    kind: str,
    proof: str | bytes,
    *,
    token: str | bytes,
    claims: Mapping[str, Json],
    rules: ProofRules,
    now: float,
    digest: str | None,
) -> Proof:
    """Verify a proof that goes with a token whose own signature has been verified. Raises Refused."""
    return PROOFS[kind](proof, _bytes(token), claims, rules, now, digest)


def verify_wpt(
    proof: str | bytes,
    *,
    token: str | bytes,
    confirmation: Json,
    audience: str,
    now: float,
    skew: float = 0.0,
    access_token: str | None = None,
) -> dict[str, Json]:
    """Verify a plain WPT against its WIT and that WIT's ``cnf`` claim, and return its claims. Raises Refused.

    ``access_token``: the OAuth access token of the same request; its hash must then stand in ``ath``.
    """
    compact = parse_unverified(proof, allowed=ASSERTION_HEADER)
    claims = _signed(compact, "wpt+jwt", confirmed_key(confirmation))
    _equal(claims, "wth", hash_of(_bytes(token)))
    _equal(claims, "aud", audience)
    if access_token is not None or "ath" in claims:
        _equal(claims, "ath", hash_of((access_token or "").encode()))
    for name in _OTHER_TOKENS & claims.keys():
        raise _invalid(f"`{name}` hashes a token that did not come with it")
    _identifier(claims)
    if now >= _time(claims, "exp") + skew:
        raise _invalid("it has expired")
    return claims


def _wpt(
    proof: str | bytes, token: bytes, claims: Mapping[str, Json], rules: ProofRules, now: float, digest: str | None
) -> Proof:
    stated = verify_wpt(
        proof, token=token, confirmation=claims.get("cnf"), audience=rules.audience, now=now, skew=rules.skew
    )
    issued, expires = _time(stated, "iat"), _time(stated, "exp")
    if expires <= issued or expires - issued > rules.max_lifetime:
        raise _invalid("its lifetime is not allowed")
    return _fresh(stated, issued, expires, rules, now, digest)


def _dpop(
    proof: str | bytes, token: bytes, claims: Mapping[str, Json], rules: ProofRules, now: float, digest: str | None
) -> Proof:
    compact = parse_unverified(proof, allowed=PROOF_HEADER)
    entry = compact.header.get("jwk")
    key = _jwk(entry)
    confirmation = claims.get("cnf")
    expected = confirmation.get("jkt") if isinstance(confirmation, dict) else None
    if not isinstance(expected, str) or not hmac.compare_digest(_thumbprint(entry).encode(), expected.encode()):
        raise _invalid("its key is not the one the token confirms (`cnf.jkt`)")
    stated = _signed(compact, "dpop+jwt", key)
    _equal(stated, "ath", hash_of(token))
    _equal(stated, "htm", DPOP_METHOD)
    _equal(stated, "htu", rules.audience)
    issued = _time(stated, "iat")
    return _fresh(stated, issued, issued + rules.max_age, rules, now, digest)


PROOFS: Mapping[str, Callable[[str | bytes, bytes, Mapping[str, Json], ProofRules, float, str | None], Proof]] = {
    "wpt": _wpt,
    "dpop": _dpop,
}


def _fresh(
    stated: Mapping[str, Json], issued: float, expires: float, rules: ProofRules, now: float, digest: str | None
) -> Proof:
    if issued > now + rules.skew:
        raise _invalid("it was issued in the future")
    if now - issued > rules.max_age:
        raise _invalid("it is too old")
    bound_to = stated.get("request_digest")
    if not isinstance(bound_to, str) or not bound_to:
        raise _invalid("it does not name the call: claim `request_digest` is missing")
    if digest is not None and not hmac.compare_digest(bound_to.encode("utf-8", "replace"), digest.encode()):
        raise _invalid("it was made for another call")
    return Proof(_identifier(stated), issued, expires, bound_to)


def _signed(compact: Compact, kind: str, key: VerificationKey) -> dict[str, Json]:
    if compact.header.get("typ") != kind:
        raise _invalid(f"`typ` is {shown(compact.header.get('typ'))}, not `{kind}`")
    algorithm = compact.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in key.algorithms:
        raise _invalid(f"`alg` is {shown(algorithm)}, not what its key is for")
    if not key.verifies(algorithm, compact.signing_input, compact.signature):
        raise _invalid("the signature is not by the confirmed key")
    return parse_object(compact.payload, "proof")


def confirmed_key(confirmation: Json) -> VerificationKey:
    """The key in a ``cnf`` claim, which must name the one algorithm it is for. Raises Refused."""
    entry = confirmation.get("jwk") if isinstance(confirmation, dict) else None
    if not isinstance(entry, dict) or not isinstance(entry.get("alg"), str):
        raise _invalid("the token confirms no key (`cnf.jwk` with its `alg`)")
    return _jwk(entry)


def _jwk(entry: Json) -> VerificationKey:
    if not isinstance(entry, dict):
        raise _invalid("it names no key")
    return _imported(json.dumps(entry, sort_keys=True))


# A workload signs many calls with one key, and importing it takes as long as half a verification. Refusals are
# exceptions, so only good keys are kept; a caller that sends ever new ones only empties the cache.
@functools.lru_cache(maxsize=256)
def _imported(text: str) -> VerificationKey:
    try:
        key = public_key(json.loads(text), default_kid="proof")
    except ConfigurationError as error:
        raise _invalid(str(error)) from None
    if key is None:
        raise _invalid("it names no usable key")
    return key


def _thumbprint(entry: Json) -> str:
    if not isinstance(entry, dict):
        raise _invalid("it names no key")
    names = _THUMBPRINT_MEMBERS[str(entry["kty"])]
    from joserfc.jwk import thumbprint

    return thumbprint({name: str(entry[name]) for name in names})


def _time(claims: Mapping[str, Json], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _invalid(f"`{name}` is missing or no number")
    if not 0 <= value <= 253_402_300_799:
        raise _invalid(f"`{name}` is not a time between 1970 and 9999")
    return value


def _identifier(claims: Mapping[str, Json]) -> str:
    value = claims.get("jti")
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_ID or not value.isprintable():
        raise _invalid("`jti` is missing or unusable")
    return value


def _equal(claims: Mapping[str, Json], name: str, expected: str) -> None:
    if claims.get(name) != expected:
        raise _invalid(f"`{name}` is {shown(claims.get(name))}, not `{expected}`")


def hash_of(data: bytes) -> str:
    """A token's SHA-256 as ``wth`` and ``ath`` write it."""
    return encoded(hashlib.sha256(data).digest())


def encoded(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(token: str | bytes) -> bytes:
    return token.encode() if isinstance(token, str) else token


def _invalid(detail: str) -> Refused:
    return Refused(Reason.ASSERTION_PROOF_INVALID, f"the proof is refused: {detail}")
