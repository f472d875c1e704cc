"""A security event token (SET, RFC 8417) becomes an event here, or a reason why not.

In this order, the first that fails gives the reason:
 1. size, three canonical base64url parts, strict JSON, header members (``jose``)
 2. ``typ``, ``kid``, ``alg`` from the key, the signature (``jose.signed``)
 3. no ``exp`` and no ``sub``: an assertion of identity is no event, and an event no assertion (SSF 1.0 section 4.1)
 4. ``iss`` exactly the stream's; ``aud`` names us, letter for letter
 5. ``iat`` and ``jti`` are there; ``iat`` and ``nbf`` do not lie in the future
 6. ``sub_id`` and ``events`` are objects; what they say is read in ``subjects`` and ``caep``. ``sub_id`` may be absent
    where every event names its own ``subject``, as RISC and the drafts before SSF 1.0 had it.
A SET is never too old: a signal that was delayed still counts. Taking it twice is what the ledger prevents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from agentguard.core.declarations import StreamTrust
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.jose.compact import parse_unverified
from agentguard.jose.jsontext import cannot_be_recorded, parse_object
from agentguard.jose.keyset import KNOWN_ALGORITHMS, KeySource
from agentguard.jose.refusal import Refused, shown
from agentguard.jose.signed import signing_key
from agentguard.signals.refusal import RefusedSet, SetRefusal, SetRefused, from_jose

# The longest example of the specifications is under 2 KiB; reasons in many languages make some longer.
MAX_SET_BYTES = 32 * 1024
# RFC 8417 section 2.3 writes `secevent+jwt`; RFC 7515 section 4.1.9 makes the long form mean the same.
_TYPES = frozenset({"secevent+jwt", "application/secevent+jwt"})
# More than this hides a broken clock.
MAX_SKEW = timedelta(seconds=60)
# The last second of the year 9999; a later time cannot be written as a date. It also refuses milliseconds.
_LAST_SECOND = 253_402_300_799
_MAX_TEXT = 2048
_MAX_ID = 256
# SSF 1.0 wants one event a token, or several names of the same one.
_MAX_EVENTS = 8
# A SET may be addressed to several receivers.
_MAX_AUDIENCES = 16

Claims = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class SecurityEvents:
    """What one verified SET says. ``identifier`` is its ``jti``, unique for the issuer; ``subject`` its ``sub_id``, if
    it has one."""

    issuer: str
    identifier: str
    issued_at: datetime
    subject: Json
    events: Mapping[str, Claims]


class SetVerifier:
    """Verifies the SETs of one stream. Safe to share between threads.

    Raises ConfigurationError when the trust itself is wrong.
    """

    def __init__(self, trust: StreamTrust, keys: KeySource) -> None:
        _check(trust)
        self.trust = trust
        self.keys = keys
        self._revoked = frozenset(trust.revoked_keys)

    def verify(self, token: str | bytes, *, now: datetime) -> SecurityEvents | RefusedSet:
        """What this SET says, if it is to be believed at ``now`` (aware). Never raises."""
        try:
            return self._verify(token, now.timestamp() + self.trust.skew.total_seconds())
        except Refused as refused:
            return from_jose(refused).as_value()
        except SetRefused as refused:
            return refused.as_value()
        except Exception as error:
            return RefusedSet(SetRefusal.INTERNAL_ERROR, f"the verifier failed: {type(error).__name__}")

    def _verify(self, token: str | bytes, latest: float) -> SecurityEvents:
        compact = parse_unverified(token, limit=MAX_SET_BYTES)
        claims = parse_object(compact.payload, "payload")
        older = self.trust.older
        signing_key(compact, types=_TYPES, keys=self.keys, revoked=self._revoked, may_name_none=older)
        _is_no_assertion(claims, older)
        self._issuer(claims)
        self._audience(claims)
        issued = _times(claims, latest)
        identifier = _identifier(claims)
        why = cannot_be_recorded(dict(claims))
        if why is not None:
            raise SetRefused(SetRefusal.INVALID_CLAIM, f"a claim holds {why}, which cannot be recorded")
        subject = _subject(claims)  # first, so that what is wrong with it is said first
        events = _events(claims)
        if subject is None and not all(isinstance(event.get("subject"), dict) for event in events.values()):
            raise SetRefused(SetRefusal.MISSING_CLAIM, "claim `sub_id` is missing, and an event names no `subject`")
        return SecurityEvents(self.trust.issuer, identifier, issued, subject, events)

    def _issuer(self, claims: Claims) -> None:
        if "iss" not in claims:
            raise SetRefused(SetRefusal.MISSING_CLAIM, "claim `iss` is missing")
        if claims["iss"] != self.trust.issuer:
            raise SetRefused(SetRefusal.WRONG_ISSUER, f"`iss` is {shown(claims['iss'])}, not `{self.trust.issuer}`")

    def _audience(self, claims: Claims) -> None:
        if "aud" not in claims:
            raise SetRefused(SetRefusal.MISSING_CLAIM, "claim `aud` is missing")
        named = claims["aud"]
        # An assertion for two audiences lets one pose to the other as its subject, so identity refuses those. A SET
        # gives its bearer nothing, and SSF 1.0 addresses one to several receivers: being one of them is enough.
        several = isinstance(named, list) and len(named) <= _MAX_AUDIENCES and all(isinstance(n, str) for n in named)
        if named != self.trust.audience and not (several and self.trust.audience in cast("list[Json]", named)):
            raise SetRefused(SetRefusal.WRONG_AUDIENCE, f"`aud` is {shown(named)}, not `{self.trust.audience}`")


def numeric_date(value: Json) -> float | None:
    """Seconds since 1970 as a JSON number, or None for anything else (milliseconds among them)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value if 0 <= value <= _LAST_SECOND else None


def plain_text(value: Json, limit: int = _MAX_TEXT) -> str | None:
    """A text that can be a name: not empty, bounded, nothing invisible in it. None for anything else."""
    return value if isinstance(value, str) and 0 < len(value) <= limit and value.isprintable() else None


def _is_no_assertion(claims: Claims, older: bool) -> None:
    if "exp" in claims and not older:
        raise SetRefused(SetRefusal.HAS_EXPIRY, "claim `exp` makes it an assertion; a SET has none")
    if "sub" in claims:
        raise SetRefused(SetRefusal.HAS_SUBJECT, "claim `sub` makes it an assertion; a SET has `sub_id`")


def _times(claims: Claims, latest: float) -> datetime:
    if "iat" not in claims:
        raise SetRefused(SetRefusal.MISSING_CLAIM, "claim `iat` is missing")
    issued, earliest = numeric_date(claims["iat"]), numeric_date(claims.get("nbf", 0))
    if issued is None or earliest is None:
        raise SetRefused(SetRefusal.INVALID_CLAIM, "`iat` and `nbf` must be numbers of seconds from 1970 to 9999")
    if issued > latest:
        raise SetRefused(SetRefusal.ISSUED_IN_FUTURE, "`iat` lies in the future")
    if earliest > latest:
        raise SetRefused(SetRefusal.NOT_YET_VALID, "`nbf` has not come yet")
    return datetime.fromtimestamp(issued, UTC)


def _identifier(claims: Claims) -> str:
    if "jti" not in claims:
        raise SetRefused(SetRefusal.MISSING_CLAIM, "claim `jti` is missing")
    identifier = plain_text(claims["jti"], _MAX_ID)
    if identifier is None:
        raise SetRefused(SetRefusal.INVALID_CLAIM, f"`jti` must be printable and have 1 to {_MAX_ID} characters")
    return identifier


def _subject(claims: Claims) -> Json:
    subject = claims.get("sub_id")
    if subject is None:
        return None
    if not isinstance(subject, dict):
        raise SetRefused(SetRefusal.INVALID_SUBJECT, "`sub_id` is not a JSON object")
    return subject


def _events(claims: Claims) -> Mapping[str, Claims]:
    if "events" not in claims:
        raise SetRefused(SetRefusal.MISSING_CLAIM, "claim `events` is missing")
    events = claims["events"]
    if not isinstance(events, dict) or not 0 < len(events) <= _MAX_EVENTS:
        raise SetRefused(SetRefusal.INVALID_EVENT, f"`events` is not a JSON object of 1 to {_MAX_EVENTS} events")
    for name, event in events.items():
        if plain_text(name) is None or not isinstance(event, dict):
            raise SetRefused(SetRefusal.INVALID_EVENT, f"event {shown(name)} is not a name with a JSON object")
    return cast("Mapping[str, Claims]", events)


def _check(trust: StreamTrust) -> None:
    """The trust is used for years; what is wrong with it is said when it is loaded."""
    unknown = sorted(set(trust.algorithms) - KNOWN_ALGORITHMS)
    problems = (
        (not trust.issuer, "`issuer` must be set"),
        (not trust.audience, "`audience` must be set"),
        (not timedelta(0) <= trust.skew <= MAX_SKEW, "`skew` must be between 0 and 60 s"),
        (bool(unknown), f"{shown(unknown[0]) if unknown else ''} is not an algorithm a stream can use"),
    )
    for is_wrong, message in problems:
        if is_wrong:
            raise ConfigurationError(f"{trust.source}: stream `{trust.name}`: {message}")
