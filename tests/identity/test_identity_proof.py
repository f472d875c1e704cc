"""Proof of possession for this call: WIMSE's WPT, DPoP-style proofs, and WIMSE's HTTP message signatures."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from identity_maker import AUDIENCE, DIGEST, ISSUER, KEY, NOW, OTHER, Key, at, b64, claims, verifier, word

from agentguard.core.reasons import Reason
from agentguard.core.values import Assurance, Identity, Unavailable
from agentguard.errors import ConfigurationError
from agentguard.identity import Assertion, AssertionRequest, CallableSource, Prover, ProvingSource, obtain, obtain_async
from agentguard.identity.http_signature import HttpRequest, HttpResponse, verify_request, verify_response
from agentguard.identity.proof import verify_wpt
from agentguard.jose.refusal import Refused

EXAMPLES = Path(__file__).parents[2].parent / "shared" / "vectors" / "wimse"
needs_examples = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the IETF's WIMSE examples are not on this machine")

HOLDER = Key("holder", "EdDSA")
CNF = {"jwk": {name: HOLDER.jwk[name] for name in ("kty", "crv", "x", "alg")}}
REQUEST = AssertionRequest(AUDIENCE, DIGEST)


def _wit(**over: Any) -> str:
    stated = {**claims(aud=None, nbf=None, sub="wimse://corp.example/agent"), "cnf": CNF, **over}
    return KEY.sign({name: value for name, value in stated.items() if value is not None}, typ="wit+jwt")


def _hash(token: str) -> str:
    return b64(hashlib.sha256(token.encode()).digest())


def _wpt(token: str, key: Key = HOLDER, header: dict[str, Any] | None = None, **over: Any) -> str:
    stated = {
        "aud": AUDIENCE,
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "p-1",
        "wth": _hash(token),
        "request_digest": DIGEST,
        **over,
    }
    return key.sign(
        {name: value for name, value in stated.items() if value is not None},
        header={"alg": key.algorithm, "typ": "wpt+jwt", **(header or {})},
    )


def _judge(token: str, proof: str | None, digest: str = DIGEST, now: float = 0, **over: Any) -> Identity | Unavailable:
    settings = {"profile": "wimse", "proof": "wpt", **over}
    return verifier(KEY, **settings).verify(Assertion(token, proof), now=at(now), request_digest=digest)


def test_a_wit_with_its_proof_is_bound_to_the_call() -> None:
    """The highest assurance: this workload, this call, now. The proof's id is what must not be replayed."""
    token = _wit()
    answer = _judge(token, _wpt(token))

    assert isinstance(answer, Identity)
    assert (answer.subject, answer.assurance) == ("wimse://corp.example/agent", Assurance.CALL_BOUND)
    assert (answer.bound_to, answer.assertion_id) == (DIGEST, "proof:p-1")
    assert (answer.issued_at, answer.expires_at) == (at(), at(60))


PROOFS: dict[str, Callable[[str], str | None]] = {
    "none": lambda token: None,
    "another key": lambda token: _wpt(token, OTHER),
    "another token": lambda token: _wpt(token + "x"),
    "another audience": lambda token: _wpt(token, aud=AUDIENCE + "/"),
    "audience list": lambda token: _wpt(token, aud=[AUDIENCE]),
    "another call": lambda token: _wpt(token, request_digest=DIGEST[:-1] + "c"),
    "no call": lambda token: _wpt(token, request_digest=None),
    "empty call": lambda token: _wpt(token, request_digest=""),
    "surrogate call": lambda token: _wpt(token, request_digest="\ud800"),
    "no id": lambda token: _wpt(token, jti=None),
    "no expiry": lambda token: _wpt(token, exp=None),
    "no time of issue": lambda token: _wpt(token, iat=None),
    "time is a bool": lambda token: _wpt(token, iat=True),
    "expired": lambda token: _wpt(token, iat=NOW - 100, exp=NOW - 30),
    "from the future": lambda token: _wpt(token, iat=NOW + 31),
    "too old": lambda token: _wpt(token, iat=NOW - 61),
    "lives too long": lambda token: _wpt(token, exp=NOW + 901),
    "unsigned": lambda token: _wpt(token, header={"alg": "none"}),
    "symmetric": lambda token: _wpt(token, header={"alg": "HS256"}),
    "of another type": lambda token: _wpt(token, header={"typ": "dpop+jwt"}),
    "without type": lambda token: _wpt(token, header={"typ": None}),
    "hash of something else": lambda token: _wpt(token, ath="AAAA"),
    "hash of a transaction token": lambda token: _wpt(token, tth="AAAA"),
    "hashes of other tokens": lambda token: _wpt(token, oth={"x": "AAAA"}),
    "no hashes of other tokens, said": lambda token: _wpt(token, oth=None, tth=""),
    "the token itself": lambda token: token,
}


@pytest.mark.parametrize("name", PROOFS)
def test_a_proof_one_step_off_is_refused(name: str) -> None:
    """A proof that does not cover this token, this audience and this call proves nothing here."""
    token = _wit()
    expected = "proof_missing" if name == "none" else "proof_invalid"

    assert word(_judge(token, PROOFS[name](token))) == expected


@pytest.mark.parametrize("junk", ["", "x", "a.b.c", "é", "A" * 9000, 5, []])
def test_a_proof_that_is_no_token_is_refused(junk: Any) -> None:
    """It comes from the same stranger as the token."""
    assert word(_judge(_wit(), junk)) in {"malformed", "too_large"}


def test_a_proof_with_a_key_of_its_own_choice_is_refused() -> None:
    """WPT takes its key from the WIT; a key in the header is an attack."""
    token = _wit()

    assert word(_judge(token, _wpt(token, OTHER, header={"jwk": OTHER.jwk}))) == "unsupported_header"


@pytest.mark.parametrize(
    ("cnf", "expected"),
    [
        (None, "proof_invalid"),
        ({}, "proof_invalid"),
        ("x", "proof_invalid"),
        ({"jwk": None}, "proof_invalid"),
        ({"jwk": {name: CNF["jwk"][name] for name in ("kty", "crv", "x")}}, "proof_invalid"),
        ({"jwk": {**CNF["jwk"], "d": HOLDER.secret["d"]}}, "proof_invalid"),
        ({"jwk": {**CNF["jwk"], "use": "enc"}}, "proof_invalid"),
        ({"jwk": {"kty": "oct", "k": "AAAA", "alg": "HS256"}}, "proof_invalid"),
        (CNF, "accept"),
    ],
)
def test_the_confirmed_key_is_a_public_key_with_its_algorithm(cnf: Any, expected: str) -> None:
    """WIMSE workload credentials: `cnf.jwk` with `alg`; a private key in a token is an incident."""
    token = _wit(cnf=cnf)

    assert word(_judge(token, _wpt(token))) == expected


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({"iss": None}, "accept"),
        ({"iss": "https://other.example"}, "wrong_issuer"),
        ({"sub": "spiffe://corp.example/agent"}, "accept"),
        ({"sub": "wimse://other.example/agent"}, "wrong_subject"),
        ({"sub": "wimse://corp.example/a/../b"}, "wrong_subject"),
        ({"sub": "wimse://corp.example"}, "wrong_subject"),
        ({"sub": "wimse://corp.example/agent?x"}, "wrong_subject"),
        ({"jti": None}, "accept"),
    ],
)
def test_a_wit_one_step_off_is_refused(over: dict[str, Any], expected: str) -> None:
    """The rules for assertions hold for the WIT too; only its audience stands in the proof."""
    token = _wit(**over)

    assert word(_judge(token, _wpt(token))) == expected


def test_a_wit_without_trust_domain_is_qualified_by_its_issuer() -> None:
    """Else any WIMSE issuer could speak for any domain."""
    token = _wit()
    answer = _judge(token, _wpt(token), trust_domain=None)

    assert isinstance(answer, Identity)
    assert answer.subject == f"{ISSUER}#wimse://corp.example/agent"


def _dpop_token(key: Key = HOLDER) -> str:
    members = {name: key.jwk[name] for name in ("crv", "kty", "x", "y", "n", "e") if name in key.jwk}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return KEY.sign(claims(cnf={"jkt": _hash(canonical)}))


def _dpop(token: str, key: Key = HOLDER, header: dict[str, Any] | None = None, **over: Any) -> str:
    stated = {"iat": NOW, "jti": "p", "htm": "TOOL", "htu": AUDIENCE, "ath": _hash(token), "request_digest": DIGEST}
    names = ("kty", "crv", "x", "y", "n", "e")
    public = {name: key.jwk[name] for name in names if name in key.jwk}
    full = {"alg": key.algorithm, "typ": "dpop+jwt", "jwk": public, **(header or {})}
    return key.sign({**stated, **over}, header=full)


@pytest.mark.parametrize("key", [HOLDER, OTHER, Key("r", "RS256")], ids=["EdDSA", "ES256", "RS256"])
def test_a_dpop_proof_binds_an_ordinary_token_to_the_call(key: Key) -> None:
    """RFC 9449's way, with the call's digest added."""
    token = _dpop_token(key)
    proof = _dpop(token, key)
    answer = verifier(KEY, proof="dpop").verify(Assertion(token, proof), now=at(), request_digest=DIGEST)

    assert isinstance(answer, Identity)
    assert (answer.assurance, answer.bound_to) == (Assurance.CALL_BOUND, DIGEST)


@pytest.mark.parametrize(
    ("header", "over", "expected"),
    [
        ({}, {}, "accept"),
        ({"jwk": KEY.jwk}, {}, "proof_invalid"),
        ({"jwk": None}, {}, "proof_invalid"),
        ({"jwk": {**HOLDER.jwk, **HOLDER.secret}}, {}, "proof_invalid"),
        ({"jwk": 5}, {}, "proof_invalid"),
        ({"typ": "JWT"}, {}, "proof_invalid"),
        ({"jku": "https://evil.example"}, {}, "unsupported_header"),
        ({}, {"ath": _hash("x")}, "proof_invalid"),
        ({}, {"htm": "POST"}, "proof_invalid"),
        ({}, {"htu": "https://other"}, "proof_invalid"),
        ({}, {"request_digest": "sha256:00"}, "proof_invalid"),
        ({}, {"iat": NOW - 61}, "proof_invalid"),
        ({}, {"iat": NOW - 60}, "accept"),
        ({}, {"iat": NOW + 31}, "proof_invalid"),
        ({}, {"jti": ""}, "proof_invalid"),
    ],
)
def test_a_dpop_proof_one_step_off_is_refused(header: dict[str, Any], over: dict[str, Any], expected: str) -> None:
    """The key in the header counts only because the token's `cnf.jkt` names it."""
    token = _dpop_token()
    proof = _dpop(token, header=header, **over)
    answer = verifier(KEY, proof="dpop").verify(Assertion(token, proof), now=at(), request_digest=DIGEST)

    assert word(answer) == expected


def test_a_dpop_proof_by_a_key_of_its_own_is_refused() -> None:
    """All of it is right, and signed by the key in its header: but the token confirms another."""
    token = _dpop_token(HOLDER)
    proof = _dpop(token, OTHER)
    answer = verifier(KEY, proof="dpop").verify(Assertion(token, proof), now=at(), request_digest=DIGEST)

    assert word(answer) == "proof_invalid"


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
@pytest.mark.parametrize("kind", ["wpt", "dpop"])
def test_what_the_prover_makes_the_verifier_accepts_for_that_call_alone(kind: str, algorithm: str) -> None:
    """The two halves are written apart; here they meet."""
    holder = Key("h", algorithm)
    public = {**holder.jwk}
    token = _wit(cnf={"jwk": public}) if kind == "wpt" else _dpop_token(holder)
    source = ProvingSource(CallableSource(lambda _: token), Prover({**public, **holder.secret}, kind), at)
    given = obtain(source, REQUEST)
    assert isinstance(given, Assertion)
    settings: dict[str, Any] = {"proof": kind, "profile": "wimse" if kind == "wpt" else "oidc"}
    checker = verifier(KEY, **settings)

    assert word(checker.verify(given, now=at(), request_digest=DIGEST)) == "accept"
    assert word(checker.verify(given, now=at(), request_digest=DIGEST + "0")) == "proof_invalid"
    assert word(checker.verify(given, now=at(-31), request_digest=DIGEST)) != "accept"


async def _token(_: AssertionRequest) -> str:
    return _wit()


@pytest.mark.parametrize("kind", ["wpt", "dpop"])
def test_a_proof_is_never_from_the_future_of_the_clock_that_made_it(kind: str) -> None:
    """Issuers may grant no skew; the verifier looks at the same clock a moment later."""
    prover = Prover({**HOLDER.jwk, **HOLDER.secret}, kind)
    for micros in (0, 1, 499, 500, 501, 999, 123_456, 999_999):
        made = at(micros / 1_000_000)
        payload = prover.prove("a.b.c", AssertionRequest(AUDIENCE, DIGEST), made).split(".")[1]
        issued = json.loads(base64.urlsafe_b64decode(payload + "=="))["iat"]

        assert 0 <= made.timestamp() - issued < 0.002


def test_proofs_are_added_to_tokens_from_async_sources_and_to_no_refusal() -> None:
    """A source that had nothing to give stays the reason."""
    import asyncio

    prover = Prover({**HOLDER.jwk, **HOLDER.secret})
    nothing = Unavailable(Reason.ASSERTION_MISSING, "x")
    given = asyncio.run(obtain_async(ProvingSource(CallableSource(_token), prover, at), REQUEST))

    assert isinstance(given, Assertion) and given.proof is not None
    assert obtain(ProvingSource(CallableSource(lambda _: nothing), prover, at), REQUEST) == nothing


@pytest.mark.parametrize(
    ("jwk", "kind"),
    [
        (HOLDER.jwk, "wpt"),
        ({**HOLDER.jwk, **HOLDER.secret, "alg": "ES256"}, "wpt"),
        ({**HOLDER.jwk, "d": "!!"}, "wpt"),
        ({**HOLDER.jwk, **HOLDER.secret}, "mtls"),
        ({"kty": "oct", "k": "AAAA", "alg": "HS256"}, "wpt"),
    ],
)
def test_a_prover_needs_a_private_key_that_can_sign(jwk: dict[str, Any], kind: str) -> None:
    """Said when it is set up, not at the first call."""
    with pytest.raises(ConfigurationError):
        Prover(jwk, kind)


# The examples of the IETF's WIMSE drafts


def _example(name: str) -> str:
    return (EXAMPLES / name).read_text().strip("\n")


def _payload(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def _message(name: str) -> tuple[str, dict[str, str], bytes]:
    head, _, body = (EXAMPLES / name).read_text().partition("\n\n")
    first, *lines = head.splitlines()
    pairs = (line.split(": ", 1) for line in lines)
    return first, {name.lower(): value for name, value in pairs}, body.encode()


def _plain_wpt(**over: Any) -> dict[str, Any]:
    _, headers, _ = _message("wpt-request.txt")
    wit = headers["workload-identity-token"]
    settings: dict[str, Any] = {
        "token": wit,
        "confirmation": _payload(wit)["cnf"],
        "audience": "https://workload.example.com/path",
        "now": 1745510000,
        "access_token": headers["authorization"].removeprefix("Bearer "),
        **over,
    }
    return verify_wpt(_example("wpt.txt"), **settings)


@needs_examples
def test_the_drafts_wpt_verifies() -> None:
    """Signature by the WIT's key, hash of the WIT, hash of the access token, audience, expiry."""
    assert _plain_wpt()["jti"] == "__bwc4ESC3acc2LTC1-_x"
    assert _example("wit.txt") == _message("wpt-request.txt")[1]["workload-identity-token"]
    assert _example("wit-header.txt") == f"Workload-Identity-Token: {_example('wit.txt')}"


@needs_examples
@pytest.mark.parametrize(
    "over",
    [
        {"audience": "https://workload.example.com/path/"},
        {"now": 1745510016},
        {"access_token": "other"},
        {"access_token": None},
        {"token": "x"},
        {"confirmation": CNF},
    ],
)
def test_the_drafts_wpt_one_step_off_is_refused(over: dict[str, Any]) -> None:
    """So the example verifies because of what it says, not because nothing is checked."""
    with pytest.raises(Refused):
        _plain_wpt(**over)


def _signed_request() -> tuple[HttpRequest, dict[str, Any]]:
    first, headers, _ = _message("sigs-request.txt")
    method, target, _ = first.split(" ")
    return HttpRequest(method, target, headers), _payload(headers["workload-identity-token"])["cnf"]


@needs_examples
def test_the_drafts_signed_request_and_response_verify() -> None:
    """RFC 9421 as WIMSE profiles it, there and back."""
    request, confirmed = _signed_request()
    asked = verify_request(request, confirmed, audience="https://svcb.example.com/gimme-ice-cream", now=1785155800)
    first, headers, body = _message("sigs-response.txt")
    response = HttpResponse(int(first.split(" ")[1]), headers, body)
    answer = verify_response(
        response,
        request,
        _payload(headers["workload-identity-token"])["cnf"],
        request_nonce=asked.nonce,
        now=1785155800,
    )

    assert (asked.nonce, answer.nonce) == ("abcd1111", "abcd2222")
    for name, service in (("sigs-svca-jwk.txt", request), ("sigs-svcb-jwk.txt", response)):
        token = service.headers["workload-identity-token"]
        assert _payload(token)["cnf"]["jwk"]["x"] == json.loads(_example(name))["x"]


REQUEST_BREAKS: dict[str, Callable[[HttpRequest], HttpRequest]] = {
    "method": lambda request: replace(request, method="POST"),
    "target": lambda request: replace(request, target=request.target + "&x"),
    "body": lambda request: replace(request, body=b"x"),
    **{
        f"{name} gone": lambda request, name=name: replace(  # type: ignore[misc]
            request, headers={k: v for k, v in request.headers.items() if k != name}
        )
        for name in ("signature", "signature-input", "workload-identity-token")
    },
    **{
        f"{old} changed": lambda request, old=old, new=new: replace(  # type: ignore[misc]
            request, headers={k: v.replace(old, new) for k, v in request.headers.items()}
        )
        for old, new in {
            "wimse=": "other=",
            '"@method" ': "",
            '"@method"': '"@method" "@method"',
            "abcd1111": "abcd1112",
            "created=1785155797": "created=1785155796",
            'tag="wimse-workload-to-workload"': 'tag="other"',
            "zSK+": "zSL+",
            ";expires=1785156097": "",
            "1785156097": "1885156097",
        }.items()
    },
}


@needs_examples
@pytest.mark.parametrize("name", REQUEST_BREAKS)
def test_a_signed_request_one_step_off_is_refused(name: str) -> None:
    """Everything the signature covers, and everything it must cover."""
    request, confirmed = _signed_request()

    with pytest.raises(Refused):
        verify_request(
            REQUEST_BREAKS[name](request),
            confirmed,
            audience="https://svcb.example.com/gimme-ice-cream",
            now=1785155800,
        )


@needs_examples
@pytest.mark.parametrize(
    "over",
    [
        {"audience": "https://svcb.example.com/"},
        {"now": 1785156097},
        {"now": 1785155796},
        {"confirmation": CNF},
        {"confirmation": None},
    ],
)
def test_a_signed_request_at_the_wrong_place_or_time_is_refused(over: dict[str, Any]) -> None:
    """A signature for another service, expired, early, or by another workload."""
    request, confirmed = _signed_request()
    settings: dict[str, Any] = {
        "confirmation": confirmed,
        "audience": "https://svcb.example.com/gimme-ice-cream",
        "now": 1785155800,
        **over,
    }

    with pytest.raises(Refused):
        verify_request(request, settings.pop("confirmation"), **settings)


@needs_examples
@pytest.mark.parametrize(
    "change",
    [
        lambda response: replace(response, status=200),
        lambda response: replace(response, body=response.body + b"x"),
        lambda response: replace(response, headers={**response.headers, "content-type": "text/html"}),
        lambda response: replace(response, headers={**response.headers, "content-digest": "sha-256=:AAAA:"}),
    ],
)
def test_a_signed_response_one_step_off_is_refused(change: Callable[[HttpResponse], HttpResponse]) -> None:
    """Status, body, type and digest are all covered."""
    request, _ = _signed_request()
    first, headers, body = _message("sigs-response.txt")
    response = change(HttpResponse(int(first.split(" ")[1]), headers, body))

    with pytest.raises(Refused):
        verify_response(
            response,
            request,
            _payload(headers["workload-identity-token"])["cnf"],
            request_nonce="abcd1111",
            now=1785155800,
        )


@needs_examples
def test_a_response_to_another_request_is_refused() -> None:
    """A recorded answer cannot be played back for a new question."""
    request, _ = _signed_request()
    first, headers, body = _message("sigs-response.txt")

    with pytest.raises(Refused, match="another request"):
        verify_response(
            HttpResponse(404, headers, body),
            request,
            _payload(headers["workload-identity-token"])["cnf"],
            request_nonce="abcd1112",
            now=1785155800,
        )
    assert first.startswith("HTTP/1.1 404")
