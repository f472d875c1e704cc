"""A security event token is believed only where every rule of its verification holds."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from identity.identity_maker import RSA_KEY, Key, b64

from agentguard.core.reasons import Reason
from agentguard.core.values import Unavailable
from agentguard.errors import ConfigurationError
from agentguard.jose.keyset import KeySet
from agentguard.signals import MAX_SET_BYTES, RefusedSet, SecurityEvents, SetRefusal, SetVerifier
from signals.signals_maker import AUDIENCE, KEY, NOW, OTHER, URI, at, claims, signed, trust, verifier


def verdict(token: str | bytes, *keys: Key, now: float = 0, **over: Any) -> str:
    answer = verifier(*keys, **over).verify(token, now=at(now))
    return str(answer.code) if isinstance(answer, RefusedSet) else "accept"


@pytest.mark.parametrize("kind", ["secevent+jwt", "application/secevent+jwt"])
def test_a_good_token_says_what_it_says(kind: str) -> None:
    """The short and the long form of the type mean the same (RFC 7515 section 4.1.9)."""
    answer = verifier().verify(signed(header={"typ": kind}), now=at())

    assert isinstance(answer, SecurityEvents)
    assert (answer.issuer, answer.identifier, answer.issued_at) == ("https://idp.example", "j-1", at())
    assert answer.subject == URI


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(None, "wrong_type"), ("JWT", "wrong_type"), ("SECEVENT+JWT", "wrong_type"), ("secevent+jwt ", "wrong_type"),
     ("jwt-svid", "wrong_type"), (["secevent+jwt"], "wrong_type"), ("", "wrong_type"), ("dpop+jwt", "wrong_type")],
)  # fmt: skip
def test_a_token_of_another_type_is_no_event(kind: Any, expected: str) -> None:
    """Else an identity assertion with the right claims could be played back as an event."""
    assert verdict(signed(header={"typ": kind})) == expected


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({"exp": NOW + 60}, "has_expiry"),
        ({"sub": "jane"}, "has_subject"),
        ({"iss": None}, "missing_claim"),
        ({"iss": "https://idp.example/"}, "wrong_issuer"),
        ({"iss": ["https://idp.example"]}, "wrong_issuer"),
        ({"aud": None}, "missing_claim"),
        ({"aud": AUDIENCE + "/"}, "wrong_audience"),
        ({"aud": AUDIENCE[:-1]}, "wrong_audience"),
        ({"aud": ""}, "wrong_audience"),
        ({"aud": [AUDIENCE[:-1]]}, "wrong_audience"),
        ({"aud": []}, "wrong_audience"),
        ({"aud": ["https://other.example"]}, "wrong_audience"),
        ({"aud": [AUDIENCE, 1]}, "wrong_audience"),
        ({"aud": [[AUDIENCE]]}, "wrong_audience"),
        ({"aud": {AUDIENCE: 1}}, "wrong_audience"),
        ({"aud": [AUDIENCE] * 17}, "wrong_audience"),
        ({"aud": True}, "wrong_audience"),
        ({"iat": None}, "missing_claim"),
        ({"iat": NOW + 6}, "issued_in_future"),
        ({"iat": str(NOW)}, "invalid_claim"),
        ({"iat": True}, "invalid_claim"),
        ({"iat": -1}, "invalid_claim"),
        ({"iat": NOW * 1000}, "invalid_claim"),
        ({"nbf": NOW + 6}, "not_yet_valid"),
        ({"nbf": "soon"}, "invalid_claim"),
        ({"jti": None}, "missing_claim"),
        ({"jti": ""}, "invalid_claim"),
        ({"jti": 5}, "invalid_claim"),
        ({"jti": "x" * 257}, "invalid_claim"),
        ({"jti": "a\nb"}, "invalid_claim"),
        ({"sub_id": None}, "missing_claim"),
        ({"sub_id": "jane"}, "invalid_subject"),
        ({"events": None}, "missing_claim"),
        ({"events": {}}, "invalid_event"),
        ({"events": []}, "invalid_event"),
        ({"events": {"https://x.example/e": 1}}, "invalid_event"),
        ({"events": {"": {}}}, "invalid_event"),
        ({"events": {f"https://x.example/{n}": {} for n in range(9)}}, "invalid_event"),
        ({"txn": 2**53}, "invalid_claim"),
        ({"txn": "\ud800"}, "invalid_claim"),
    ],
)
def test_one_claim_off_and_the_token_is_refused(over: dict[str, Any], expected: str) -> None:
    """Each is a good token but for one claim."""
    token = KEY.sign({**claims(), **{k: v for k, v in over.items() if v is not None}}, typ="secevent+jwt")
    if None in over.values():
        token = signed(**{"sub_id" if k == "sub_id" else k: v for k, v in over.items()})

    assert verdict(token) == expected


@pytest.mark.parametrize(
    "over",
    [
        {"aud": [AUDIENCE]},
        {"aud": ["https://other.example", AUDIENCE]},
        {"iat": NOW + 5},
        {"nbf": NOW + 5},
        {"iat": NOW - 86_400 * 365},
        {"iat": NOW - 0.5},
        {"jti": "x" * 256},
        {"txn": "8675309", "toe": NOW, "unheard-of": [1, {"a": None}]},
        {"events": {f"https://x.example/{n}": {} for n in range(8)}},
    ],
)
def test_what_is_just_inside_is_accepted(over: dict[str, Any]) -> None:
    """An event that is refused for no reason is a workload that goes on."""
    assert verdict(signed(**over)) == "accept"


def test_an_assertion_of_identity_is_refused_before_its_claims_are_believed() -> None:
    """`exp` and `sub` are what tells an assertion from an event."""
    assertion = {**claims(), "sub": "jane", "exp": NOW + 60}
    assert verdict(KEY.sign(assertion, typ="JWT")) == "wrong_type"
    assert verdict(KEY.sign(assertion, typ="secevent+jwt")) == "has_expiry"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (signed(key=OTHER), "unknown_key"),
        (signed(key=Key("s1")), "bad_signature"),
        (signed(header={"kid": None}), "unknown_key"),
        (signed(header={"kid": 1}), "unknown_key"),
        (signed(header={"alg": "none"}), "bad_algorithm"),
        (signed(header={"alg": "HS256"}), "bad_algorithm"),
        (signed(header={"alg": "ES384"}), "bad_algorithm"),
        (signed(header={"alg": ["ES256"]}), "bad_algorithm"),
        (signed(header={"jwk": OTHER.jwk}), "unsupported_header"),
        (signed(header={"jku": "https://evil.example"}), "unsupported_header"),
        (signed(header={"crit": ["exp"]}), "unsupported_header"),
        (signed().rpartition(".")[0] + ".", "malformed"),
        (signed() + "\n", "malformed"),
        (signed() + ".x", "malformed"),
        ("", "malformed"),
        ("x" * (MAX_SET_BYTES + 1), "too_large"),
        (KEY.sign(b'{"iss":"a","iss":"b"}', typ="secevent+jwt"), "malformed"),
        (KEY.sign(b"[]", typ="secevent+jwt"), "malformed"),
        (KEY.sign(b'{"iat":NaN}', typ="secevent+jwt"), "malformed"),
        (KEY.sign(b'{"a":' * 40 + b"1" + b"}" * 40, typ="secevent+jwt"), "too_large"),
        (KEY.sign(claims(), b'{"alg":"ES256","kid":"s1","typ":"secevent+jwt","typ":"JWT"}'), "malformed"),
    ],
)
def test_a_token_that_is_not_signed_by_the_stream_is_refused(token: str, expected: str) -> None:
    """The key is the stream's, the algorithm the key's, and nothing comes from the token."""
    assert verdict(token) == expected


def test_a_changed_payload_breaks_the_signature() -> None:
    """Whom a signal is about is covered by it."""
    head, _, signature = signed().split(".")
    forged = b64(json.dumps(claims(jti="j-2")).encode())

    assert verdict(f"{head}.{forged}.{signature}") == "bad_signature"


def test_a_revoked_key_and_a_key_for_something_else_sign_nothing() -> None:
    """A stolen signing key must be stoppable from Trust alone."""
    encrypting = Key("s1", use="enc")

    assert verdict(signed(), revoked_keys=("s1",)) == "revoked_key"
    assert verdict(signed(key=encrypting), encrypting) == "unknown_key"
    assert verdict(signed(key=RSA_KEY), RSA_KEY, algorithms=("ES256",)) == "unknown_key"


def test_a_token_as_large_as_allowed_is_read() -> None:
    """Reasons in many languages are long; the limit is for what is made to exhaust us."""
    padded = signed(txn="")
    room = (MAX_SET_BYTES - len(padded)) * 3 // 4 - 4
    token = signed(txn="x" * room)

    assert MAX_SET_BYTES - 20 < len(token) <= MAX_SET_BYTES
    assert verdict(token) == "accept"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("bad_signature", "authentication_failed"),
        ("unknown_key", "invalid_key"),
        ("revoked_key", "invalid_key"),
        ("bad_algorithm", "invalid_key"),
        ("wrong_issuer", "invalid_issuer"),
        ("wrong_audience", "invalid_audience"),
        ("has_expiry", "invalid_request"),
        ("malformed", "invalid_request"),
        ("invalid_event", "invalid_request"),
    ],
)
def test_each_refusal_has_its_word_in_rfc_8935(code: str, error: str) -> None:
    """A transmitter's operator knows those words."""
    assert RefusedSet(SetRefusal(code), "").error == error


def test_only_our_own_faults_and_what_time_mends_may_be_tried_again() -> None:
    """A transmitter that repeats a bad token for ever holds up the good ones behind it; a lost revocation is worse."""
    again = {code for code in SetRefusal if RefusedSet(code, "").try_again}

    clocks = {SetRefusal.ISSUED_IN_FUTURE, SetRefusal.NOT_YET_VALID}
    assert again == {SetRefusal.KEYS_UNAVAILABLE, SetRefusal.INTERNAL_ERROR} | clocks


def test_keys_that_cannot_be_had_are_no_fault_of_the_token() -> None:
    """The signal must come again; refusing it for good would lose it."""

    class Down(KeySet):
        def find(self, kid: str) -> Unavailable:
            return Unavailable(Reason.ASSERTION_KEYS_UNAVAILABLE, "down")

    class Broken(KeySet):
        def find(self, kid: str) -> Unavailable:
            raise RuntimeError("a bug")

    for keys, code in ((Down({}), "keys_unavailable"), (Broken({}), "internal_error")):
        answer = SetVerifier(trust(), keys).verify(signed(), now=at())
        assert isinstance(answer, RefusedSet)
        assert (str(answer.code), answer.try_again) == (code, True)


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"issuer": ""}, "issuer"),
        ({"audience": ""}, "audience"),
        ({"skew": timedelta(seconds=61)}, "skew"),
        ({"skew": timedelta(seconds=-1)}, "skew"),
        ({"algorithms": ("ES256", "none")}, "none"),
    ],
)
def test_trust_that_could_not_protect_is_refused_when_it_is_loaded(over: dict[str, Any], says: str) -> None:
    """An empty issuer would be everybody's."""
    with pytest.raises(ConfigurationError, match=says) as raised:
        verifier(**over)
    assert "trust.yaml:3: stream `idp`" in str(raised.value)
