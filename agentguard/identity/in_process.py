"""How the local issuer proves itself inside one process: by a keyed hash, and not by a signed text.

The proof is an object that a guard makes and checks within one call. The hash is BLAKE2b with a key (RFC 7693): without
the key nobody can make it, and it takes less than half of the time of HMAC. The key is drawn when the process starts,
drawn anew in a forked child, and kept in memory alone: it is in no file, and not made from the key file. So a proof
means nothing to anybody else, and no text means anything here: whatever comes as text, from wherever, is read by
``Verifier`` as a token. Where an identity crosses a process it is a real token, signed with the key file (``local``).

The assertion's id starts with ``process:``, so every record says that this is how the caller was proved. The proof is
used for one call and is not written down; what makes the call happen once is the id of its decision (``ledger``).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from agentguard.core.declarations import IssuerTrust
from agentguard.core.reasons import Reason
from agentguard.core.values import Assurance, Identity, Json, Unavailable
from agentguard.errors import ConfigurationError
from agentguard.identity.local import KEY_ID, LIFETIME
from agentguard.identity.profiles import PROFILES
from agentguard.identity.verify import IN_PROCESS, check_pinned
from agentguard.jose.nonce import nonce
from agentguard.jose.refusal import Refused

_KEY_BYTES = 32
_TAG_BYTES = 32
_LIFETIME_SECONDS = int(LIFETIME.total_seconds())
_key = secrets.token_bytes(_KEY_BYTES)


def _draw_key() -> None:
    global _key  # one key a process, and a forked child is another process
    _key = secrets.token_bytes(_KEY_BYTES)


os.register_at_fork(after_in_child=_draw_key)


class InProcessProof(NamedTuple):
    """A statement of the local issuer about one call, and the keyed hash over all of it. ``issued``: whole seconds."""

    issuer: str
    subject: str
    audience: str
    issued: int
    id: str
    request_digest: str
    tag: bytes


class InProcessIssuer:
    """The local issuer of one ``Trust``, for calls of this process. Raises ConfigurationError for another profile."""

    def __init__(self, trust: IssuerTrust) -> None:
        if trust.profile != "local":
            raise ConfigurationError(f"issuer `{trust.name}`: a process proves itself for profile `local` only")
        self._trust = trust
        self._subjects = frozenset(name for name in trust.subjects if _may_be_asserted(name, trust))
        self._revoked = KEY_ID in trust.revoked_keys
        self._lifetime = min(LIFETIME, trust.max_lifetime)
        self._before = _sized(trust.issuer) + _sized(trust.audience)

    def prove(self, subject: str, request_digest: str, now: datetime) -> InProcessProof:
        """A proof for this subject and this call, made at ``now`` (aware)."""
        issued, identifier = int(now.timestamp()), nonce()
        tag = self._tag(subject, issued, identifier, request_digest)
        return InProcessProof(
            self._trust.issuer, subject, self._trust.audience, issued, identifier, request_digest, tag
        )

    def identity(self, proof: object, request_digest: str, now: datetime) -> Identity | Unavailable:
        """Whom this proof names at ``now``, for the call with this digest. Never raises."""
        if type(proof) is not InProcessProof or type(proof.tag) is not bytes:
            return Unavailable(Reason.ASSERTION_MALFORMED, "what should prove this process is no proof of its own")
        trust = self._trust
        if self._revoked:
            return Unavailable(Reason.ASSERTION_REVOKED_KEY, f"key `{KEY_ID}` is revoked")
        try:
            right = self._tag(proof.subject, proof.issued, proof.id, proof.request_digest)
        except Exception as error:  # a field is of another type, or half a character
            return Unavailable(Reason.ASSERTION_MALFORMED, f"a proof of this process holds {type(error).__name__}")
        if not hmac.compare_digest(proof.tag, right):
            return Unavailable(Reason.ASSERTION_BAD_SIGNATURE, "this process did not make this proof")
        if proof.issuer != trust.issuer:
            return Unavailable(Reason.ASSERTION_WRONG_ISSUER, "made under another issuer")
        if proof.audience != trust.audience:
            return Unavailable(Reason.ASSERTION_WRONG_AUDIENCE, "made for another audience")
        if proof.subject not in self._subjects:
            return Unavailable(Reason.ASSERTION_WRONG_SUBJECT, "the local issuer may not assert this subject")
        if proof.request_digest != request_digest:
            return Unavailable(Reason.ASSERTION_PROOF_INVALID, "the assertion was made for another call")
        issued = datetime.fromtimestamp(proof.issued, UTC)
        age = now - issued
        if age >= self._lifetime + trust.skew:
            return Unavailable(Reason.ASSERTION_EXPIRED, "`exp` has passed")
        if age < -trust.skew:
            return Unavailable(Reason.ASSERTION_ISSUED_IN_FUTURE, "`iat` lies in the future")
        if age > trust.max_age:
            return Unavailable(
                Reason.ASSERTION_TOO_OLD, f"issued {age.total_seconds():g} s ago; at most {trust.max_age} are allowed"
            )
        return self._named(proof, issued)

    def _named(self, proof: InProcessProof, issued: datetime) -> Identity | Unavailable:
        identifier = IN_PROCESS + proof.id
        claims: dict[str, Json] = {
            "iss": proof.issuer, "sub": proof.subject, "aud": proof.audience, "iat": proof.issued,
            "exp": proof.issued + _LIFETIME_SECONDS, "jti": identifier, "request_digest": proof.request_digest,
        }  # fmt: skip
        if self._trust.claims:
            try:
                check_pinned(claims, self._trust)
            except Refused as refusal:
                return refusal.as_fact()
        return Identity(
            proof.subject,
            proof.issuer,
            self._trust.profile,
            issued,
            issued + LIFETIME,
            identifier,
            "process",
            Assurance.LOCAL,
            claims,
            proof.request_digest,
        )

    def _tag(self, subject: str, issued: int, identifier: str, request_digest: str) -> bytes:
        name, digest = identifier.encode(), request_digest.encode()
        said = b"%b%b%d %d:%b%d:%b" % (
            self._before, _sized(subject), issued, len(name), name, len(digest), digest,
        )  # fmt: skip
        return hashlib.blake2b(said, key=_key, digest_size=_TAG_BYTES).digest()


def _may_be_asserted(subject: str, trust: IssuerTrust) -> bool:
    try:
        return PROFILES["local"].subject({"sub": subject}, trust) == subject
    except Refused:
        return False


@lru_cache(maxsize=1024)
def _sized(text: str) -> bytes:
    """With its length in front, so that no two lists of texts read alike."""
    data = text.encode()
    return b"%d:%b" % (len(data), data)
