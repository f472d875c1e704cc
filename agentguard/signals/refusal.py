"""Why a security event token is refused, in our words and in those of RFC 8935."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from agentguard.jose.refusal import Refused


class SetRefusal(enum.StrEnum):
    """A stable code; codes are for ever: add, never rename."""

    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    UNSUPPORTED_HEADER = "unsupported_header"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_KEY = "unknown_key"
    REVOKED_KEY = "revoked_key"
    BAD_ALGORITHM = "bad_algorithm"
    KEYS_UNAVAILABLE = "keys_unavailable"
    BAD_SIGNATURE = "bad_signature"
    HAS_EXPIRY = "has_expiry"
    HAS_SUBJECT = "has_subject"
    MISSING_CLAIM = "missing_claim"
    INVALID_CLAIM = "invalid_claim"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    ISSUED_IN_FUTURE = "issued_in_future"
    NOT_YET_VALID = "not_yet_valid"
    INVALID_SUBJECT = "invalid_subject"
    INVALID_EVENT = "invalid_event"
    INTERNAL_ERROR = "internal_error"


# RFC 8935 section 2.4. What is not listed is the token's own shape: `invalid_request`.
_ERRORS: Mapping[SetRefusal, str] = {
    SetRefusal.UNKNOWN_KEY: "invalid_key",
    SetRefusal.REVOKED_KEY: "invalid_key",
    SetRefusal.BAD_ALGORITHM: "invalid_key",
    SetRefusal.BAD_SIGNATURE: "authentication_failed",
    SetRefusal.WRONG_ISSUER: "invalid_issuer",
    SetRefusal.WRONG_AUDIENCE: "invalid_audience",
}
# Nothing is wrong with the token itself, or nothing that time does not mend: whoever sends it should send it again. Of
# two clocks that differ nobody knows whose is wrong, and a revocation must not be lost by that.
_TRY_AGAIN = frozenset(
    {
        SetRefusal.KEYS_UNAVAILABLE,
        SetRefusal.INTERNAL_ERROR,
        SetRefusal.ISSUED_IN_FUTURE,
        SetRefusal.NOT_YET_VALID,
    }
)


@dataclass(frozen=True, slots=True)
class RefusedSet:
    """A token that took no effect. ``detail`` is for reviewers; a transmitter is told ``error`` and ``code``."""

    code: SetRefusal
    detail: str

    @property
    def error(self) -> str:
        """The code of RFC 8935 section 2.4."""
        return _ERRORS.get(self.code, "invalid_request")

    @property
    def try_again(self) -> bool:
        """Whether the same token may be accepted later: the fault lies with us, the keys' server, or a clock."""
        return self.code in _TRY_AGAIN


class SetRefused(Exception):
    """One check said no. Never leaves ``agentguard.signals``: every public entry turns it into ``RefusedSet``."""

    def __init__(self, code: SetRefusal, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail

    def as_value(self) -> RefusedSet:
        return RefusedSet(self.code, self.detail)


def from_jose(refused: Refused) -> SetRefused:
    """The same refusal in our words."""
    return SetRefused(SetRefusal(refused.reason.value.removeprefix("assertion_")), refused.detail)
