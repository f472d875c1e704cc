"""An assertion becomes an identity here, or a reason why not.

In this order, the first that fails gives the reason:
 1. size, three canonical base64url parts, strict JSON, header members (``jose``, ``jsontext``)
 2. ``typ`` is one the configured profile knows
 3. ``kid`` is text, not revoked, and names a key of the issuer's pinned set
 4. ``alg`` is what that key is for
 5. the signature, by joserfc (2 to 5: ``jose.signed``)
 6. the claims: well-formed times, nothing missing, issuer, audience, subject, pinned claims, then time itself
 7. the proof, where one is configured (``proof``)
Nothing here raises for bad input: a refusal is an ``Unavailable`` whose detail is for reviewers only.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agentguard.core.declarations import IssuerTrust
from agentguard.core.reasons import Reason
from agentguard.core.values import Assurance, Identity, Json, Unavailable
from agentguard.errors import ConfigurationError
from agentguard.identity.profiles import PROFILES, TOKEN_TYPES, text_claim, types_of
from agentguard.identity.proof import MAX_PROOF_AGE_SECONDS, PROOFS, Proof, ProofRules, verify_proof
from agentguard.identity.spiffe_id import is_trust_domain
from agentguard.jose.compact import Compact, parse_unverified
from agentguard.jose.jsontext import cannot_be_recorded, parse_object
from agentguard.jose.keyset import KNOWN_ALGORITHMS, KeySource, VerificationKey
from agentguard.jose.refusal import Refused, shown
from agentguard.jose.signed import signing_key

# More than this hides a broken clock (issue: clock skew at most 60 s).
MAX_SKEW = timedelta(seconds=60)
# The last second of the year 9999; a later time cannot be written as a date.
_LAST_SECOND = 253_402_300_799
_MAX_ID = 256
# What an identity's id starts with where a keyed hash inside the process was the proof (``in_process``). Such an id may
# come again, so no token may have one.
IN_PROCESS = "process:"
_DIGEST_CLAIM = "request_digest"


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a source hands over: a token, and where the issuer's trust asks for one, the proof that goes with it."""

    token: str | bytes
    proof: str | bytes | None = None


class Verifier:
    """Verifies the assertions of one issuer. Safe to share between threads.

    Raises ConfigurationError when the trust itself is wrong.
    """

    def __init__(self, trust: IssuerTrust, keys: KeySource) -> None:
        _check(trust)
        self.trust = trust
        self._keys = keys
        self._profile = PROFILES[trust.profile]
        self._types = types_of(trust)
        self._skew = trust.skew.total_seconds()
        self._max_age = trust.max_age.total_seconds()
        self._max_lifetime = trust.max_lifetime.total_seconds()
        self._revoked = frozenset(trust.revoked_keys)

    @property
    def may_block(self) -> bool:
        """Whether ``verify`` may wait for a key server; an event loop should then call it on a thread."""
        return self._keys.may_block

    def verify(
        self, assertion: Assertion | str | bytes, *, now: datetime, request_digest: str | None = None
    ) -> Identity | Unavailable:
        """The identity this assertion proves at ``now`` (aware), for the call with this digest. Never raises."""
        try:
            return self._verify(assertion, now, request_digest)
        except Refused as refusal:
            return refusal.as_fact()
        except Exception as error:
            # A bug in a check must not let a call through, nor show its caller a traceback.
            return Unavailable(Reason.ASSERTION_MALFORMED, f"the verifier failed: {type(error).__name__}")

    def _verify(self, assertion: Assertion | str | bytes, now: datetime, digest: str | None) -> Identity | Unavailable:
        if now.utcoffset() is None:
            return Unavailable(Reason.CLOCK_UNAVAILABLE, "the time of the decision has no time zone")
        given = assertion if isinstance(assertion, Assertion) else Assertion(assertion)
        compact = parse_unverified(given.token)
        # A payload that cannot be read is malformed whatever its signature, so that is the reason it gets.
        claims = parse_object(compact.payload, "payload")
        key = signing_key(
            compact,
            types=self._types,
            keys=self._keys,
            revoked=self._revoked,
            symmetric=self._profile.symmetric,
        )
        moment = now.timestamp()
        subject = self._judge_claims(claims, moment)
        proof = self._proof(given, claims, moment, digest)
        return self._identity(compact, claims, key, subject, proof, digest)

    def _judge_claims(self, claims: Mapping[str, Json], now: float) -> str:
        times = [_time(claims, name) for name in ("iat", "exp", "nbf")]
        issued, expires, earliest = _required_time(claims, "iat"), _required_time(claims, "exp"), times[-1]
        self._nothing_missing(claims)
        self._issuer(claims)
        self._audience(claims)
        subject = self._profile.subject(claims, self.trust)
        self._times(issued, expires, earliest, now)
        check_pinned(claims, self.trust)
        self._recordable(claims)
        return subject

    def _nothing_missing(self, claims: Mapping[str, Json]) -> None:
        text_claim(claims, "sub")
        if "iss" in claims or not self._profile.issuer_may_be_absent:
            text_claim(claims, "iss")
        if self._profile.audience_in_token and claims.get("aud") is None:
            raise Refused(Reason.ASSERTION_MISSING_CLAIM, "claim `aud` is missing")
        # Where a proof is asked for, its own `jti` is what must not be replayed.
        if "jti" in claims or (self.trust.single_use and self.trust.proof is None):
            text_claim(claims, "jti")
        if self.trust.profile == "local":
            text_claim(claims, _DIGEST_CLAIM)

    def _issuer(self, claims: Mapping[str, Json]) -> None:
        if claims.get("iss", self.trust.issuer) != self.trust.issuer:
            raise Refused(Reason.ASSERTION_WRONG_ISSUER, f"`iss` is {shown(claims['iss'])}, not `{self.trust.issuer}`")

    def _audience(self, claims: Mapping[str, Json]) -> None:
        if "aud" not in claims:
            return  # `_nothing_missing` has refused it where the profile wants one
        audience = claims["aud"]
        # RFC 7519 section 4.1.3 lets one audience be written as text or as a list of one. Two are never ours alone.
        if audience not in (self.trust.audience, [self.trust.audience]):
            raise Refused(Reason.ASSERTION_WRONG_AUDIENCE, f"`aud` is {shown(audience)}, not `{self.trust.audience}`")

    def _times(self, issued: float, expires: float, earliest: float | None, now: float) -> None:
        if now >= expires + self._skew:
            raise Refused(Reason.ASSERTION_EXPIRED, "`exp` has passed")
        if earliest is not None and earliest > now + self._skew:
            raise Refused(Reason.ASSERTION_NOT_YET_VALID, "`nbf` has not come yet")
        if issued > now + self._skew:
            raise Refused(Reason.ASSERTION_ISSUED_IN_FUTURE, "`iat` lies in the future")
        if expires <= issued or (earliest is not None and earliest >= expires):
            raise Refused(Reason.ASSERTION_INVALID_CLAIM, "`exp` is not after `iat` and `nbf`")
        if expires - issued > self._max_lifetime:
            raise Refused(
                Reason.ASSERTION_LIFETIME_TOO_LONG,
                f"valid for {expires - issued:g} s; at most {self._max_lifetime:g} s are allowed",
            )
        if now - issued > self._max_age:
            raise Refused(
                Reason.ASSERTION_TOO_OLD, f"issued {now - issued:g} s ago; at most {self._max_age:g} s are allowed"
            )

    def _recordable(self, claims: Mapping[str, Json]) -> None:
        identifier = claims.get("jti", "x")
        if not isinstance(identifier, str) or len(identifier) > _MAX_ID or not identifier.isprintable():
            raise Refused(Reason.ASSERTION_INVALID_CLAIM, "`jti` must be printable and at most 256 characters")
        if self.trust.profile == "local" and identifier.startswith(IN_PROCESS):
            raise Refused(Reason.ASSERTION_INVALID_CLAIM, f"a token's `jti` never starts with `{IN_PROCESS}`")
        why = cannot_be_recorded(dict(claims))
        if why is not None:
            raise Refused(Reason.ASSERTION_INVALID_CLAIM, f"a claim holds {why}, which cannot be recorded")

    def _proof(self, given: Assertion, claims: Mapping[str, Json], now: float, digest: str | None) -> Proof | None:
        if self.trust.proof is None:
            return None
        if given.proof is None:
            raise Refused(Reason.ASSERTION_PROOF_MISSING, f"this issuer's assertions need a `{self.trust.proof}` proof")
        rules = ProofRules(
            self.trust.audience, self._skew, min(self._max_age, MAX_PROOF_AGE_SECONDS), self._max_lifetime
        )
        return verify_proof(
            self.trust.proof, given.proof, token=given.token, claims=claims, rules=rules, now=now, digest=digest
        )

    def _identity(
        self,
        compact: Compact,
        claims: dict[str, Json],
        key: VerificationKey,
        subject: str,
        proof: Proof | None,
        digest: str | None,
    ) -> Identity:
        issued, expires = _required_time(claims, "iat"), _required_time(claims, "exp")
        identifier = str(claims["jti"]) if "jti" in claims else _name_by_content(compact)
        bound_to = proof.bound_to if proof else self._bound_by_issuer(claims, digest)
        token_issued = None
        if proof:  # the proof is what is fresh, and what must not be replayed
            token_issued = datetime.fromtimestamp(issued, UTC)
            issued, expires, identifier = proof.issued, min(expires, proof.expires), f"proof:{proof.identifier}"
        return Identity(
            subject=subject,
            issuer=self.trust.issuer,
            profile=self.trust.profile,
            issued_at=datetime.fromtimestamp(issued, UTC),
            expires_at=datetime.fromtimestamp(expires, UTC),
            assertion_id=identifier,
            key_id=key.kid,
            assurance=assurance_of(self.trust),
            claims=claims,
            bound_to=bound_to,
            token_issued_at=token_issued,
        )

    def _bound_by_issuer(self, claims: Mapping[str, Json], digest: str | None) -> str | None:
        """Only the local issuer writes the call's digest itself; from anyone else the claim means nothing."""
        if self.trust.profile != "local":
            return None
        bound_to = text_claim(claims, _DIGEST_CLAIM)
        if digest is not None and bound_to != digest:
            raise Refused(Reason.ASSERTION_PROOF_INVALID, "the assertion was made for another call")
        return bound_to


def check_pinned(claims: Mapping[str, Json], trust: IssuerTrust) -> None:
    """Raises Refused where a claim is not what Trust pins, in value and in type."""
    for name, expected in trust.claims.items():
        allowed = expected if isinstance(expected, list) else [expected]
        if name not in claims or not any(_same(claims[name], value) for value in allowed):
            raise Refused(
                Reason.ASSERTION_WRONG_CLAIM, f"claim {shown(name)} is {shown(claims.get(name))}, not as pinned"
            )


def assurance_of(trust: IssuerTrust) -> Assurance:
    """How strongly an assertion accepted under this trust proves its caller (a proof always covers the call)."""
    if trust.profile == "local":
        return Assurance.LOCAL
    if trust.proof is not None:
        return Assurance.CALL_BOUND
    return Assurance.BEARER_SINGLE_USE if trust.single_use else Assurance.BEARER


def _check(trust: IssuerTrust) -> None:
    """The trust is used for years; what is wrong with it is said when it is loaded."""
    profile = PROFILES.get(trust.profile)
    unknown = sorted(set(trust.algorithms) - KNOWN_ALGORITHMS)
    domain = trust.trust_domain
    problems = (
        (profile is None, f"`{trust.profile}` is not a profile; expected one of {', '.join(PROFILES)}"),
        (not trust.issuer or "#" in trust.issuer, "`issuer` must be set and hold no `#`"),
        (not trust.audience, "`audience` must be set"),
        (trust.max_age <= timedelta(0), "`max_age` must be positive"),
        (trust.max_lifetime <= timedelta(0), "`max_lifetime` must be positive"),
        (not timedelta(0) <= trust.skew <= MAX_SKEW, "`skew` must be between 0 and 60 seconds"),
        (domain is not None and not is_trust_domain(domain), f"`{domain}` is not a trust domain name"),
        (trust.profile == "spiffe" and domain is None, "profile `spiffe` needs `trust_domain`"),
        (trust.profile == "local" and not trust.subjects, "profile `local` needs the `subjects` it may assert"),
        (bool(unknown), f"`algorithms` may be {', '.join(sorted(KNOWN_ALGORITHMS))}; found {', '.join(unknown)}"),
        (trust.proof is not None and trust.proof not in PROOFS, f"`proof` must be one of {', '.join(PROOFS)}"),
        (profile is not None and profile.proof_required and trust.proof is None, "profile `wimse` needs `proof: wpt`"),
        (
            bool(set(trust.types) - TOKEN_TYPES),
            f"`typ` may be {', '.join(sorted(TOKEN_TYPES))}: other words name tokens that are no assertions",
        ),
        (bool(trust.types) and trust.profile != "oidc", "`typ` is for profile `oidc`"),
        (trust.plain_keys and trust.profile != "spiffe", "`plain_keys` is for profile `spiffe`"),
        (trust.profile == "local" and trust.proof is not None, "profile `local` takes no `proof`"),
        (
            trust.minimum_assurance is not None and assurance_of(trust) < trust.minimum_assurance,
            f"its assertions reach `{assurance_of(trust).word}` only, less than its `minimum_assurance`",
        ),
    )
    for wrong, message in problems:
        if wrong:
            raise ConfigurationError(f"{trust.source}: issuer `{trust.name}`: {message}")


def _time(claims: Mapping[str, Json], name: str) -> float | None:
    """A NumericDate (RFC 7519 section 2), None where absent. A boolean is no number, though Python thinks so.

    Null in place of a required time is missing, as it is for every other required claim. ``nbf`` may be absent, not
    null.
    """
    if name not in claims or (claims[name] is None and name != "nbf"):
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(Reason.ASSERTION_INVALID_CLAIM, f"`{name}` is not a number")
    if not math.isfinite(value) or not 0 <= value <= _LAST_SECOND:
        raise Refused(Reason.ASSERTION_INVALID_CLAIM, f"`{name}` is not a time between 1970 and 9999")
    return value


def _required_time(claims: Mapping[str, Json], name: str) -> float:
    value = _time(claims, name)
    if value is None:
        raise Refused(Reason.ASSERTION_MISSING_CLAIM, f"claim `{name}` is missing")
    return value


def _same(left: Json, right: Json) -> bool:
    """Equal and of the same type, at any depth: in Python `True == 1`."""
    if isinstance(left, dict | list):
        return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
    return type(left) is type(right) and left == right


def _name_by_content(compact: Compact) -> str:
    """An id for an assertion without `jti`. Over the signed text: an ECDSA signature has two valid forms."""
    return "sha256:" + hashlib.sha256(compact.signing_input).hexdigest()
