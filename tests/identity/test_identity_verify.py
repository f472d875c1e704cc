"""Each rule of the verifier, with cases that miss it by the least amount."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_maker import (
    AUDIENCE,
    DIGEST,
    ED_KEY,
    KEY,
    NOW,
    OTHER,
    RSA_KEY,
    SUBJECT,
    Key,
    at,
    b64,
    claims,
    judge,
    key_set,
    trust,
    verifier,
    word,
)

from agentguard.core.reasons import Reason
from agentguard.core.values import Assurance, Identity, Unavailable
from agentguard.errors import ConfigurationError
from agentguard.identity import KeySet, Verifier
from agentguard.jose.keyset import VerificationKey, symmetric_key

GOOD = KEY.sign(claims())

# name → (claims changed, expected). None takes a claim away.
CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "accept"),
    "iss absent": ({"iss": None}, "missing_claim"),
    "iss number": ({"iss": 1}, "missing_claim"),
    "iss list": ({"iss": ["https://issuer.example"]}, "missing_claim"),
    "iss upper case": ({"iss": "HTTPS://issuer.example"}, "wrong_issuer"),
    "iss with slash": ({"iss": "https://issuer.example/"}, "wrong_issuer"),
    "aud absent": ({"aud": None}, "missing_claim"),
    "aud list of one": ({"aud": [AUDIENCE]}, "accept"),
    "aud list of none": ({"aud": []}, "wrong_audience"),
    "aud twice": ({"aud": [AUDIENCE, AUDIENCE]}, "wrong_audience"),
    "aud nested": ({"aud": [[AUDIENCE]]}, "wrong_audience"),
    "aud number": ({"aud": 7}, "wrong_audience"),
    "aud object": ({"aud": {AUDIENCE: 1}}, "wrong_audience"),
    "aud with space": ({"aud": AUDIENCE + " "}, "wrong_audience"),
    "aud empty": ({"aud": ""}, "wrong_audience"),
    "iat absent": ({"iat": None}, "missing_claim"),
    "exp absent": ({"exp": None}, "missing_claim"),
    "jti absent": ({"jti": None}, "missing_claim"),
    "jti empty": ({"jti": ""}, "missing_claim"),
    "jti number": ({"jti": 5}, "missing_claim"),
    "jti too long": ({"jti": "x" * 257}, "invalid_claim"),
    "jti as long as may be": ({"jti": "x" * 256}, "accept"),
    "jti with newline": ({"jti": "x\n"}, "invalid_claim"),
    "iat text": ({"iat": str(NOW)}, "invalid_claim"),
    "exp text": ({"exp": str(NOW + 60)}, "invalid_claim"),
    "nbf text": ({"nbf": "now"}, "invalid_claim"),
    "nbf bool": ({"nbf": False}, "invalid_claim"),
    "iat bool": ({"iat": True}, "invalid_claim"),
    "exp list": ({"exp": [NOW]}, "invalid_claim"),
    "exp negative": ({"exp": -1}, "invalid_claim"),
    "iat negative": ({"iat": -1}, "invalid_claim"),
    "exp in milliseconds": ({"exp": (NOW + 60) * 1000}, "invalid_claim"),
    "exp zero": ({"exp": 0}, "expired"),
    "nbf absent": ({"nbf": None}, "accept"),
    "exp at the edge of skew": ({"iat": NOW - 100, "nbf": None, "exp": NOW - 30}, "expired"),
    "exp inside skew": ({"iat": NOW - 100, "nbf": None, "exp": NOW - 29}, "accept"),
    "iat at the edge of skew": ({"iat": NOW + 30}, "accept"),
    "iat past skew": ({"iat": NOW + 31}, "issued_in_future"),
    "nbf at the edge of skew": ({"nbf": NOW + 30}, "accept"),
    "nbf past skew": ({"nbf": NOW + 31}, "not_yet_valid"),
    "exp before iat": ({"iat": NOW + 20, "exp": NOW + 10}, "invalid_claim"),
    "exp is iat": ({"iat": NOW, "exp": NOW}, "invalid_claim"),
    "nbf after exp": ({"nbf": NOW + 20, "exp": NOW + 15}, "invalid_claim"),
    "as old as may be": ({"iat": NOW - 300, "nbf": None}, "accept"),
    "too old": ({"iat": NOW - 301, "nbf": None}, "too_old"),
    "as long as may be": ({"exp": NOW + 900}, "accept"),
    "too long": ({"exp": NOW + 901}, "lifetime_too_long"),
    "ten years": ({"exp": NOW + 315_360_000}, "lifetime_too_long"),
    "a claim past 2^53": ({"n": 2**53}, "invalid_claim"),
    "a deep claim that is a lone surrogate": ({"x": {"y": ["\ud800"]}}, "invalid_claim"),
    "a member name that is a lone surrogate": ({"\ud800": 1}, "invalid_claim"),
    "other claims": ({"x": {"y": [None, True, 1.5, "é"]}}, "accept"),
    "sub absent": ({"sub": None}, "missing_claim"),
    "sub empty": ({"sub": ""}, "missing_claim"),
    "sub list": ({"sub": [SUBJECT]}, "missing_claim"),
}

# What is not the SPIFFE ID of a workload in corp.example (SPIFFE-ID section 2).
NOT_OURS = [
    "spiffe://corp.example",
    "spiffe://corp.example/",
    "spiffe://corp.example/a/",
    "spiffe://corp.example//a",
    "spiffe://corp.example/a//b",
    "spiffe://corp.example/./a",
    "spiffe://corp.example/a/..",
    "spiffe://corp.example/a?x=1",
    "spiffe://corp.example/a#x",
    "spiffe://corp.example/a%2Fb",
    "spiffe://corp.example/a b",
    "spiffe://corp.example/ä",
    "spiffe://corp.example:443/a",
    "spiffe://user@corp.example/a",
    "spiffe://corp.example\\/a",
    "spiffe://corp.examplex/a",
    "spiffe://xcorp.example/a",
    "spiffe://Corp.example/a",
    "SPIFFE://corp.example/a",
    "spiffe:/corp.example/a",
    "spiffe:corp.example/a",
    "https://corp.example/a",
    " spiffe://corp.example/a",
    "spiffe://corp.example/a\n",
    "spiffe://corp.example/a\x00",
    "spiffe://corp.example/" + "a" * 2048,
]

# name → (header members changed, expected)
HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "accept"),
    "typ absent": ({"typ": None}, "accept"),
    "typ lower case": ({"typ": "jwt"}, "wrong_type"),
    "typ with prefix": ({"typ": "application/jwt"}, "wrong_type"),
    "typ access token": ({"typ": "at+jwt"}, "wrong_type"),
    "typ proof": ({"typ": "wpt+jwt"}, "wrong_type"),
    "typ local": ({"typ": "agentguard-local+jwt"}, "wrong_type"),
    "typ number": ({"typ": 1}, "wrong_type"),
    "typ list": ({"typ": ["JWT"]}, "wrong_type"),
    "typ empty": ({"typ": ""}, "wrong_type"),
    "kid absent": ({"kid": None}, "unknown_key"),
    "kid list": ({"kid": ["k1"]}, "unknown_key"),
    "kid empty": ({"kid": ""}, "unknown_key"),
    "kid upper case": ({"kid": "K1"}, "unknown_key"),
    "kid with NUL": ({"kid": "k1\x00"}, "unknown_key"),
    "alg absent": ({"alg": None}, "bad_algorithm"),
    "alg none": ({"alg": "none"}, "bad_algorithm"),
    "alg lower case": ({"alg": "es256"}, "bad_algorithm"),
    "alg symmetric": ({"alg": "HS256"}, "bad_algorithm"),
    "alg of another curve": ({"alg": "ES384"}, "bad_algorithm"),
    "alg list": ({"alg": ["ES256"]}, "bad_algorithm"),
    **{
        f"{name} present": ({name: value}, "unsupported_header")
        for name, value in {
            "jku": "https://evil.example/k",
            "jwk": KEY.jwk,
            "x5u": "https://evil.example/c",
            "x5c": ["MIIB"],
            "x5t": ["AA"],
            "x5t#S256": 5,
            "x5t#s256": "AA",
            "ver": 1,
            "crit": ["exp"],
            "b64": True,
            "cty": "JWT",
            "zip": "DEF",
            "enc": "A128GCM",
            "epk": {},
            "": "",
            "Alg": "ES256",
        }.items()
    },
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_one_step_off_is_refused_for_its_own_reason(name: str) -> None:
    """Near misses: a rule that is off by one second or one type shows here."""
    change, expected = CLAIMS[name]

    assert judge(KEY.sign(claims(**change))) == expected


@pytest.mark.parametrize("subject", NOT_OURS)
def test_only_workloads_of_the_trust_domain_are_subjects(subject: str) -> None:
    """Two spellings of one subject, or one subject in two domains, would get round the policy."""
    assert judge(KEY.sign(claims(sub=subject))) == "wrong_subject"


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_one_step_off_is_refused_for_its_own_reason(name: str) -> None:
    """The header is the attacker's; nothing in it may choose the key, the algorithm or the kind of token."""
    change, expected = HEADERS[name]

    assert judge(KEY.sign(claims(), **change)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"typ":null,"alg":"ES256","kid":"k1"}', "wrong_type"),
        (b'{"alg":"ES256","alg":"ES256","kid":"k1"}', "malformed"),
        (b'{"alg":"ES256","\\u0061lg":"none","kid":"k1"}', "malformed"),
        (b'["ES256"]', "malformed"),
        (b'{"alg":"ES256","kid":"k1"} x', "malformed"),
        (b'\xef\xbb\xbf{"alg":"ES256","kid":"k1"}', "malformed"),
        (b'{"alg":"ES256","kid":"k1",}', "malformed"),
        (b"{'alg':'ES256'}", "malformed"),
        (b'{"alg":"ES256","kid":"\xff"}', "malformed"),
        (b' {"alg":"ES256","kid":"k1"} ', "accept"),
    ],
)
def test_a_header_is_strict_json(text: bytes, expected: str) -> None:
    """Two readers of one header must see one thing."""
    assert judge(KEY.sign(claims(), header=text)) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"[]", "malformed"),
        (b'"x"', "malformed"),
        (b"{}", "missing_claim"),
        (b"null", "malformed"),
        (b"{", "malformed"),
        (b'{"iat":NaN}', "malformed"),
        (b'{"iat":-Infinity}', "malformed"),
        (b'{"x":{"a":1,"a":2}}', "malformed"),
        (b'{"x":[{"a":1,"\\u0061":2}]}', "malformed"),
        (b'{"x":' + b"1" * 5000 + b"}", "malformed"),
        (b'{"x":' + b"[" * 3000 + b"]" * 3000 + b"}", "too_large"),
        (b'{"x":' + b"[" * 32 + b"]" * 32 + b"}", "too_large"),
        (b'{"x":' + b"[" * 31 + b"]" * 31 + b"}", "missing_claim"),
        (b'{"x":"' + b"[" * 100 + b'"}', "missing_claim"),
    ],
)
def test_a_payload_is_strict_json_of_bounded_depth(payload: bytes, expected: str) -> None:
    """Depth exhausts a recursive reader; a duplicate shows the checker one subject and the log another."""
    assert judge(KEY.sign(payload)) == expected


def _parts() -> list[str]:
    return GOOD.split(".")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c.d",
        GOOD + ".",
        "." + GOOD,
        GOOD + "\n",
        " " + GOOD,
        GOOD + "=",
        GOOD.replace(".", "=.", 1),
        GOOD.replace(".", "\x00.", 1),
        GOOD.replace(".", "．", 1),
        ".".join([_parts()[0], "", _parts()[2]]),
        ".".join([_parts()[0], _parts()[1], ""]),
        ".".join([_parts()[0], _parts()[1], "A"]),
        ".".join([_parts()[0], _parts()[1], _parts()[2].replace("-", "+").replace("_", "/") + "+"]),
        GOOD.encode("utf-16"),
        "é" + GOOD[1:],
    ],
)
def test_a_token_has_one_spelling(token: str | bytes) -> None:
    """Whatever can be written in two ways can be replayed, or logged as something else."""
    assert judge(token) == "malformed"


@pytest.mark.parametrize("part", range(3))
def test_spare_bits_at_the_end_of_a_part_are_refused(part: int) -> None:
    """Lenient decoders ignore them, so one token would have up to sixteen spellings."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    parts = KEY.sign(claims(), header=b'{"alg":"ES256","kid":"k1" }').split(".")
    if len(parts[part]) % 4 == 0:
        parts = KEY.sign(claims(jti="j-12"), header=b'{"alg":"ES256","kid":"k1"}').split(".")
    assert len(parts[part]) % 4 in {2, 3}
    last = parts[part][-1]
    parts[part] = parts[part][:-1] + alphabet[alphabet.index(last) + 1]

    assert judge(".".join(parts)) == "malformed"


@pytest.mark.parametrize("junk", [None, 5, [], {}, object(), bytearray(b"a.b.c"), True])
def test_what_is_no_text_is_malformed_and_never_raises(junk: Any) -> None:
    """A source is other people's code and may return anything."""
    assert judge(junk) == "malformed"


def test_the_size_limit_is_exact() -> None:
    """8192 bytes are read, 8193 are not: at the limit the content is judged, past it nothing is."""
    token = KEY.sign(claims(x=""))
    room = (8192 - len(token)) * 3 // 4
    fits, over = KEY.sign(claims(x="x" * (room - 2))), KEY.sign(claims(x="x" * (room + 4)))

    assert len(fits) <= 8192 < len(over)
    assert (judge(fits), judge(over), judge(b"A" * 8193)) == ("accept", "too_large", "too_large")


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "RS256", "RS512", "PS256", "EdDSA", "Ed25519"])
def test_each_algorithm_works_with_its_own_key_and_no_other(algorithm: str) -> None:
    """The key says what it is for; a header cannot make it something else."""
    key = Key("x", algorithm)
    others = {"ES256", "RS256", "PS256", "EdDSA", "HS256"} - {algorithm}

    assert judge(key.sign(claims()), key) == "accept"
    for other in others:
        assert judge(key.sign(claims(), alg=other), key) == "bad_algorithm"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (OTHER.sign(claims(), kid="k1"), "bad_signature"),
        (OTHER.sign(claims()), "unknown_key"),
        (RSA_KEY.sign(claims(), alg="RS512"), "bad_algorithm"),
        (RSA_KEY.sign(claims()), "accept"),
        (ED_KEY.sign(claims()), "accept"),
    ],
)
def test_the_key_is_the_one_the_header_names(token: str, expected: str) -> None:
    """A signature by any other key, even one of ours, is no signature."""
    assert judge(token) == expected


@pytest.mark.parametrize("change", range(5))
def test_a_damaged_signature_is_bad(change: int) -> None:
    """Cut short, too long, all zero, DER instead of raw, one bit off."""
    head, payload, _signature = GOOD.split(".")
    raw = KEY.signature(f"{head}.{payload}".encode())
    bad = [raw[:-1], raw + b"\0", bytes(64), KEY.private.sign(b"x", _ecdsa()), raw[:-1] + bytes([raw[-1] ^ 1])][change]

    assert judge(f"{head}.{payload}.{b64(bad)}") == "bad_signature"


def _ecdsa() -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(hashes.SHA256())


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, "accept"),
        ({"use": None}, "accept"),
        ({"use": "enc"}, "unknown_key"),
        ({"use": "jwt-svid"}, "unknown_key"),
        ({"use": 1}, "unknown_key"),
        ({"key_ops": ["verify"]}, "accept"),
        ({"key_ops": ["encrypt"]}, "unknown_key"),
        ({"key_ops": []}, "unknown_key"),
        ({"key_ops": "verify"}, "unknown_key"),
        ({"alg": None}, "accept"),
        ({"alg": "ES384"}, "unknown_key"),
        ({"alg": "HS256"}, "unknown_key"),
        ({"alg": "none"}, "unknown_key"),
        ({"kty": "XYZ"}, "unknown_key"),
        ({"crv": "secp256k1"}, "unknown_key"),
    ],
)
def test_a_key_is_used_only_for_what_it_is_for(members: dict[str, Any], expected: str) -> None:
    """Key `use` ignored is a known hole: an encryption key would then sign identities."""
    jwk = {name: value for name, value in {**KEY.jwk, **members}.items() if value is not None}

    assert word(verifier(jwk).verify(GOOD, now=at())) == expected


def test_an_rsa_key_that_names_no_algorithm_means_rs256() -> None:
    """Azure's keys name none. Anything but RS256 must then be configured."""
    key = Key("a", "RS256", alg=None)
    as_ps = key.sign(claims(), alg="PS256")

    assert judge(key.sign(claims()), key) == "accept"
    assert judge(as_ps, key) == "bad_algorithm"
    assert judge(as_ps, key, algorithms=("PS256",)) == "accept"
    assert judge(key.sign(claims()), key, algorithms=("PS256",)) == "bad_algorithm"


def test_a_short_rsa_key_is_not_used() -> None:
    """NIST SP 800-131A: under 2048 bits an RSA signature can be forged."""
    key = Key("s", "RS256", bits=1024)

    assert judge(key.sign(claims()), key) == "unknown_key"


@pytest.mark.parametrize(
    "keys",
    [
        [KEY.jwk, {**OTHER.jwk, "kid": "k1"}],
        [KEY.jwk, {**OTHER.jwk, "d": "AAAA"}],
        [KEY.jwk, {"kty": "oct", "kid": "s", "k": "A" * 43}],
        [{**OTHER.jwk, "x": OTHER.jwk["y"]}],
        [KEY.jwk, None],
        [KEY.jwk] * 101,
    ],
)
def test_a_key_set_that_is_wrong_is_refused_whole(keys: list[Any]) -> None:
    """A published private key or an ambiguous id is an incident; going on with the rest would hide it."""
    with pytest.raises(ConfigurationError):
        KeySet.parse(json.dumps({"keys": keys}).encode())


def test_a_symmetric_key_never_verifies_for_an_outside_issuer() -> None:
    """Whoever can verify with it can sign with it."""
    keys = KeySet({"k1": symmetric_key("k1", b"x" * 32)})
    signed = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "k1"}, claims()))
    token = f"{signed}.{b64(hmac.digest(b'x' * 32, signed.encode(), 'sha256'))}"

    assert word(Verifier(trust(), keys).verify(token, now=at())) == "bad_algorithm"


def test_an_error_while_a_signature_is_checked_is_a_bad_signature() -> None:
    """A library that raises on odd input must not be read as a yes."""

    class Raises:
        def verify(self, *_: object) -> bool:
            raise ValueError("odd input")

    keys = KeySet({"k1": VerificationKey("k1", frozenset({"ES256"}), object(), {"ES256": Raises()})})

    assert word(Verifier(trust(), keys).verify(GOOD, now=at())) == "bad_signature"


def test_a_revoked_key_is_refused_even_while_it_is_published() -> None:
    """Revocation must not wait for an issuer to change its key set."""
    assert judge(GOOD, revoked_keys=("k1",)) == "revoked_key"
    assert judge(GOOD, revoked_keys=("k",)) == "accept"


@pytest.mark.parametrize(
    ("pinned", "stated", "expected"),
    [
        ({"env": "prod"}, {"env": "prod"}, "accept"),
        ({"env": "prod"}, {"env": "Prod"}, "wrong_claim"),
        ({"env": "prod"}, {"env": ["prod"]}, "wrong_claim"),
        ({"env": "prod"}, {}, "wrong_claim"),
        ({"env": ["prod", "stage"]}, {"env": "stage"}, "accept"),
        ({"env": []}, {"env": "prod"}, "wrong_claim"),
        ({"n": 1}, {"n": True}, "wrong_claim"),
        ({"n": 1}, {"n": 1.0}, "wrong_claim"),
        ({"n": None}, {}, "wrong_claim"),
        ({"ctx": {"a": [1], "b": "x"}}, {"ctx": {"b": "x", "a": [1]}}, "accept"),
        ({"ctx": {"a": [1]}}, {"ctx": {"a": [True]}}, "wrong_claim"),
        ({"ctx": {"admin": False}}, {"ctx": {"admin": 0}}, "wrong_claim"),
        ({"ctx": {"a": 1}}, {"ctx": {"a": 1, "b": 2}}, "wrong_claim"),
        ({"ctx": [[1, 2]]}, {"ctx": [1, 2]}, "accept"),
        ({"ctx": [[1, 2]]}, {"ctx": [2, 1]}, "wrong_claim"),
    ],
)
def test_pinned_claims_are_equal_in_value_and_type(pinned: Any, stated: Any, expected: str) -> None:
    """In Python True is 1 and 1 is 1.0; in a policy they are not."""
    assert judge(KEY.sign(claims(**stated)), claims=pinned) == expected


def test_an_identity_holds_what_the_assertion_states() -> None:
    """Everything a decision or a record needs, and nothing made up."""
    answer = verifier().verify(KEY.sign(claims(extra="x")), now=at(5), request_digest=DIGEST)

    assert isinstance(answer, Identity)
    assert (answer.subject, answer.issuer, answer.profile) == (SUBJECT, "https://issuer.example", "oidc")
    assert (answer.issued_at, answer.expires_at) == (at(), at(120))
    assert (answer.assertion_id, answer.key_id) == ("j-1", "k1")
    assert answer.assurance is Assurance.BEARER_SINGLE_USE
    assert answer.bound_to is None
    assert answer.claims["extra"] == "x"


def test_an_outside_token_cannot_say_itself_that_it_is_bound_to_the_call() -> None:
    """The claim means something from the local issuer and in a proof, nowhere else."""
    answer = verifier().verify(KEY.sign(claims(request_digest=DIGEST)), now=at(), request_digest=DIGEST)

    assert isinstance(answer, Identity)
    assert answer.bound_to is None
    assert answer.assurance is Assurance.BEARER_SINGLE_USE


def test_without_single_use_an_assertion_is_a_mere_bearer_token() -> None:
    """Then `jti` may be absent; the id is over the signed text, since an ECDSA signature has two forms."""
    head, payload, signature = KEY.sign(claims(jti=None)).split(".")
    raw = KEY.signature(f"{head}.{payload}".encode())
    checker = verifier(single_use=False)
    first = checker.verify(f"{head}.{payload}.{signature}", now=at())
    second = checker.verify(f"{head}.{payload}.{b64(raw)}", now=at())

    assert isinstance(first, Identity) and isinstance(second, Identity)
    assert first.assurance is Assurance.BEARER
    assert first.assertion_id == second.assertion_id
    assert first.assertion_id.startswith("sha256:")


def test_a_time_without_zone_is_no_time() -> None:
    """A naive time is read as local time: hours off, unnoticed."""
    answer = verifier().verify(GOOD, now=datetime(2026, 9, 21, 14, 13, 20))

    assert answer == Unavailable(Reason.CLOCK_UNAVAILABLE, "the time of the decision has no time zone")


def test_a_bug_in_a_key_source_refuses() -> None:
    """A plugged-in source that raises must not let a call through, nor raise through the guard."""

    class Broken:
        may_block = False

        def find(self, kid: str) -> Any:
            raise RuntimeError("secret")

    answer = Verifier(trust(), Broken()).verify(GOOD, now=at())

    assert isinstance(answer, Unavailable)
    assert "secret" not in answer.detail


@pytest.mark.parametrize(
    "wrong",
    [
        {"profile": "oauth"},
        {"issuer": ""},
        {"issuer": "https://a#b"},
        {"audience": ""},
        {"max_age": timedelta(0)},
        {"max_lifetime": timedelta(0)},
        {"skew": timedelta(seconds=61)},
        {"skew": timedelta(seconds=-1)},
        {"trust_domain": "Corp.example"},
        {"trust_domain": ""},
        {"algorithms": ("HS256",)},
        {"algorithms": ("none",)},
        {"proof": "mtls"},
        {"profile": "spiffe", "trust_domain": None},
        {"profile": "local"},
        {"profile": "wimse"},
        {"profile": "local", "subjects": ("x",), "proof": "wpt"},
        {"minimum_assurance": Assurance.CALL_BOUND},
        {"minimum_assurance": Assurance.BEARER_SINGLE_USE, "single_use": False},
    ],
)
def test_a_wrong_trust_is_said_when_it_is_loaded(wrong: dict[str, Any]) -> None:
    """The message names file and line, so that its owner need not search."""
    with pytest.raises(ConfigurationError, match=r"trust\.yaml:3: issuer `test`"):
        Verifier(trust(**wrong), KeySet({}))


@given(st.data())
def test_no_token_one_byte_away_is_accepted(data: st.DataObject) -> None:
    """Every byte of a token is either signed or has one spelling."""
    place = data.draw(st.integers(0, len(GOOD) - 1))
    byte = data.draw(st.integers(0, 127).filter(lambda code: chr(code) != GOOD[place]))
    changed = GOOD[:place] + chr(byte) + GOOD[place + 1 :]

    assert judge(changed) != "accept"


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_nothing_a_stranger_sends_raises(junk: bytes | str) -> None:
    """A refusal is a value; an exception here would be a way to stop an agent."""
    assert judge(junk) != "accept"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["iss", "sub", "aud", "iat", "nbf", "exp", "jti"]), _JSON)
def test_a_claim_of_any_type_is_judged_and_never_raises(name: str, value: Any) -> None:
    """Signed does not mean sane: an issuer's bug must not become a traceback or an odd identity."""
    answer = verifier().verify(KEY.sign({**claims(), name: value}), now=at())

    if isinstance(answer, Identity):
        assert answer.subject == SUBJECT
        assert answer.issued_at <= at(30)
        assert at(-30) < answer.expires_at


def test_the_trust_of_one_issuer_accepts_nothing_of_another() -> None:
    """Same key set, other issuer: tenants of one provider share keys."""
    declared = replace(trust(), issuer="https://issuer.example/tenant-b")

    assert word(Verifier(declared, KeySet.parse(key_set(KEY))).verify(GOOD, now=at())) == "wrong_issuer"
