"""What it costs to verify who calls, and to prove a call, beside bare joserfc and PyJWT on the same tokens.

The libraries check signature, issuer, audience and times, with keys imported beforehand. agentguard's strict layer (one
spelling, strict JSON, header allow-list, key by id, age, lifetime, subject, ``jti``) is on top of the same signature.
"""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt as pyjwt
from joserfc import jwt
from joserfc.jwk import ECKey, JWKRegistry, OctKey, OKPKey, RSAKey

from agentguard.core.declarations import IssuerTrust, Source
from agentguard.core.values import Identity
from agentguard.identity import (
    Assertion,
    AssertionRequest,
    CallableSource,
    KeySet,
    LocalIssuer,
    Prover,
    ProvingSource,
    Verifier,
    local_trust,
    obtain,
)
from agentguard.identity.local import KEY_FILE, LOCAL_ISSUER
from agentguard.identity.proof import hash_of
from benchmarks.measure import Call, Effort, Tick, compare

ISSUER, AUDIENCE, SUBJECT = "https://issuer.example", "agentguard", "spiffe://corp.example/agent"
DIGEST = "sha256:" + "ab" * 32
KEYS: Mapping[str, Callable[[], Any]] = {
    "RS256": lambda: RSAKey.generate_key(2048),
    "PS256": lambda: RSAKey.generate_key(2048),
    "ES256": lambda: ECKey.generate_key("P-256"),
    "ES384": lambda: ECKey.generate_key("P-384"),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
}
PROOFS = ("wpt", "dpop")


def measure(effort: Effort, folder: Path, tick: Tick) -> dict[str, Any]:
    """Microseconds a verification by algorithm, and a proof by its kind, made and verified."""
    verify: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joserfc on the name `EdDSA`, which issuers still use
        for algorithm in KEYS:
            tick(f"verify {algorithm}")
            verify[algorithm] = compare(_verifications(algorithm), effort)
        tick("verify HS256, local")
        verify["HS256, local"] = compare(_local(folder), effort)
        proof = {}
        for kind in PROOFS:
            tick(f"prove by {kind}")
            proof[kind] = compare(_proofs(kind), effort)
    return {"verify": verify, "proof": proof}


def _verifications(algorithm: str) -> dict[str, Call]:
    key = _Key(algorithm)
    token = key.sign({"alg": algorithm, "kid": "k1", "typ": "JWT"}, _claims())
    now = datetime.now(UTC)
    cached = Verifier(_trust(), KeySet.parse(key.published))

    def cold() -> object:
        return _accepted(Verifier(_trust(), KeySet.parse(key.published)).verify(token, now=now))

    return {
        "cold": cold,
        "cached": lambda: _accepted(cached.verify(token, now=now)),
        **_bare(token, algorithm, key.joserfc, key.pyjwt),
    }


def _local(folder: Path) -> dict[str, Call]:
    trust, now = local_trust((SUBJECT,), AUDIENCE), datetime.now(UTC)
    issuer = LocalIssuer(folder)
    token = issuer.mint(SUBJECT, AUDIENCE, DIGEST, now)
    cached = issuer.verifier(trust)
    secret = (folder / KEY_FILE).read_bytes()

    def cold() -> object:
        verifier = LocalIssuer(folder).verifier(trust)
        return _accepted(verifier.verify(token, now=now, request_digest=DIGEST))

    return {
        "cold": cold,
        "cached": lambda: _accepted(cached.verify(token, now=now, request_digest=DIGEST)),
        **_bare(token, "HS256", OctKey.import_key(secret), secret, LOCAL_ISSUER),
    }


def _proofs(kind: str) -> dict[str, Call]:
    """The caller's side (a proof for one call) and ours (token and proof), keys of ES256."""
    issuer, holder, now = _Key("ES256"), _Key("ES256"), datetime.now(UTC)
    confirmed = {"jwk": holder.public} if kind == "wpt" else {"jkt": holder.joserfc.thumbprint()}
    typ = "wit+jwt" if kind == "wpt" else "JWT"
    token = issuer.sign({"alg": "ES256", "kid": "k1", "typ": typ}, _claims(cnf=confirmed))
    source = ProvingSource(CallableSource(lambda _: token), Prover(holder.private, kind), lambda: now)
    request = AssertionRequest(AUDIENCE, DIGEST)
    given = obtain(source, request)
    if not isinstance(given, Assertion) or given.proof is None:
        raise RuntimeError(f"no proof was made: {given}")
    proof = given.proof
    profile = "wimse" if kind == "wpt" else "oidc"
    verifier = Verifier(_trust(profile=profile, proof=kind), KeySet.parse(issuer.published))
    header = {"alg": "ES256", "typ": f"{kind}+jwt"}

    def claims() -> dict[str, Any]:
        issued = int(now.timestamp())
        named = {"iat": issued, "exp": issued + 60, "jti": secrets.token_hex(16), "request_digest": DIGEST}
        return {**named, "aud": AUDIENCE, "wth": hash_of(str(token).encode())}

    def joserfc_verify() -> object:
        jwt.decode(token, issuer.joserfc, algorithms=["ES256"])
        return jwt.decode(proof, holder.joserfc, algorithms=["ES256"])

    def pyjwt_verify() -> object:
        either: dict[str, Any] = {"algorithms": ["ES256"], "options": {"verify_aud": False}}
        pyjwt.decode(token, issuer.pyjwt, **either)
        return pyjwt.decode(proof, holder.pyjwt, **either)

    return {
        "make": lambda: obtain(source, request),
        "make_joserfc": lambda: jwt.encode(header, claims(), holder.joserfc, algorithms=["ES256"]),
        "make_pyjwt": lambda: pyjwt.encode(claims(), holder.signing, algorithm="ES256", headers=header),
        "verify": lambda: _accepted(verifier.verify(given, now=now, request_digest=DIGEST)),
        "verify_joserfc": joserfc_verify,
        "verify_pyjwt": pyjwt_verify,
    }


class _Key:
    """One key pair in the forms that each library wants."""

    def __init__(self, algorithm: str) -> None:
        made = KEYS[algorithm]()
        named = {"kid": "k1", "alg": algorithm, "use": "sig"}
        self.private = {**made.as_dict(private=True), **named}
        self.public = {**made.as_dict(private=False), **named}
        self.published = json.dumps({"keys": [self.public]}).encode()
        self.joserfc = JWKRegistry.import_key(self.private)
        self.pyjwt = pyjwt.PyJWK(self.public).key
        self.signing = pyjwt.PyJWK(self.private).key

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        return jwt.encode(header, claims, self.joserfc, algorithms=[header["alg"]])


def _bare(token: str, algorithm: str, key: Any, pyjwt_key: Any, issuer: str = ISSUER) -> dict[str, Call]:
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
        iat={"essential": True},
        jti={"essential": True},
    )

    def by_joserfc() -> object:
        decoded = jwt.decode(token, key, algorithms=[algorithm])
        registry.validate(decoded.claims)
        return decoded

    def by_pyjwt() -> object:
        required: Any = {"require": ["iss", "aud", "exp", "iat", "jti"]}
        return pyjwt.decode(
            token, pyjwt_key, algorithms=[algorithm], audience=AUDIENCE, issuer=issuer, options=required
        )

    return {"joserfc": by_joserfc, "pyjwt": by_pyjwt}


def _claims(**over: Any) -> dict[str, Any]:
    now = int(datetime.now(UTC).timestamp())
    named = {"iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "jti": secrets.token_hex(16)}
    return {**named, "iat": now, "nbf": now, "exp": now + 3600, **over}


def _trust(**over: Any) -> IssuerTrust:
    return IssuerTrust(
        name="benchmark",
        issuer=ISSUER,
        audience=AUDIENCE,
        max_age=timedelta(hours=1),
        max_lifetime=timedelta(hours=1),
        skew=timedelta(seconds=5),
        source=Source("benchmark", 1),
        **{"profile": "oidc", "trust_domain": "corp.example", **over},
    )


def _accepted(answer: object) -> Identity:
    if not isinstance(answer, Identity):
        raise RuntimeError(f"what should verify does not: {answer}")
    return answer
