"""An issuer for the tests: makes good assertions, and bad ones on request. Shares no code with the verifier."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from agentguard.core.declarations import IssuerTrust, Source
from agentguard.core.values import Identity, Unavailable
from agentguard.identity import Assertion, KeySet, Verifier
from agentguard.jose.keyset import SIGNING_USES

NOW = 1_790_000_000
DIGEST = "sha256:" + "ab" * 32
ISSUER = "https://issuer.example"
AUDIENCE = "agentguard"
SUBJECT = "spiffe://corp.example/agent/exporter"


def at(seconds: float = 0) -> datetime:
    return datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=seconds)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Key:
    """One key pair with its JWK."""

    def __init__(self, kid: str, algorithm: str = "ES256", **members: Any) -> None:
        self.kid, self.algorithm = kid, algorithm
        if algorithm.startswith("ES"):
            curve, size, name = {
                "ES256": (ec.SECP256R1(), 32, "P-256"),
                "ES384": (ec.SECP384R1(), 48, "P-384"),
                "ES512": (ec.SECP521R1(), 66, "P-521"),
            }[algorithm]
            self.size = size
            self.private: Any = ec.generate_private_key(curve)
            point = self.private.public_key().public_numbers()
            material = {"kty": "EC", "crv": name, "x": number(point.x, size), "y": number(point.y, size)}
            self.secret = {"d": number(self.private.private_numbers().private_value, size)}
        elif algorithm in {"EdDSA", "Ed25519"}:
            self.private = ed25519.Ed25519PrivateKey.generate()
            material = {"kty": "OKP", "crv": "Ed25519", "x": b64(self.private.public_key().public_bytes_raw())}
            self.secret = {"d": b64(self.private.private_bytes_raw())}
        else:
            self.private = rsa.generate_private_key(65537, members.pop("bits", 2048))
            numbers = self.private.public_key().public_numbers()
            material = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
            self.secret = {"d": number(self.private.private_numbers().d)}
        self.jwk: dict[str, Any] = {**material, "kid": kid, "alg": algorithm, "use": "sig", **members}
        self.jwk = {name: value for name, value in self.jwk.items() if value is not None}

    def signature(self, data: bytes, algorithm: str | None = None) -> bytes:
        algorithm = algorithm or self.algorithm
        if algorithm == "HS256":
            return hmac.new(json.dumps(self.jwk).encode(), data, hashlib.sha256).digest()
        digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}.get(algorithm[2:])
        if algorithm.startswith("ES"):
            assert digest is not None
            r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
            return bytes(r.to_bytes(self.size, "big") + s.to_bytes(self.size, "big"))
        if algorithm.startswith("RS"):
            return bytes(self.private.sign(data, padding.PKCS1v15(), digest))
        if algorithm.startswith("PS"):
            assert digest is not None
            pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
            return bytes(self.private.sign(data, pss, digest))
        return bytes(self.private.sign(data))

    def sign(self, claims: dict[str, Any] | bytes, header: dict[str, Any] | bytes | None = None, **over: Any) -> str:
        """``over`` replaces header members; None takes one away."""
        if not isinstance(header, bytes):
            header = header or {"alg": self.algorithm, "kid": self.kid, "typ": "JWT"}
            header = {**header, **over}
            algorithm = header.get("alg")
            header = json.dumps({name: value for name, value in header.items() if value is not None}).encode()
        else:
            algorithm = self.algorithm
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        signed = f"{b64(header)}.{b64(payload)}"
        family = algorithm[:2] if isinstance(algorithm, str) else ""
        same_key = family == "HS" or (self.jwk["kty"] == "RSA" and family in {"RS", "PS"})
        fitting = str(algorithm) if same_key else None
        return f"{signed}.{b64(self.signature(signed.encode(), fitting))}"


KEY = Key("k1")
OTHER = Key("k2")
RSA_KEY = Key("r1", "RS256")
ED_KEY = Key("d1", "EdDSA")


def key_set(*keys: Key | dict[str, Any]) -> bytes:
    return json.dumps({"keys": [key.jwk if isinstance(key, Key) else key for key in keys]}).encode()


def claims(**over: Any) -> dict[str, Any]:
    """Good claims; ``over`` replaces some, and None takes one away."""
    good = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": AUDIENCE,
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 120,
        "jti": "j-1",
        **over,
    }
    return {name: value for name, value in good.items() if value is not None}


def trust(**over: Any) -> IssuerTrust:
    values: dict[str, Any] = {
        "name": "test",
        "profile": "oidc",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "max_age": timedelta(seconds=300),
        "max_lifetime": timedelta(seconds=900),
        "skew": timedelta(seconds=30),
        "source": Source("trust.yaml", 3),
        "trust_domain": "corp.example",
        **over,
    }
    return IssuerTrust(**values)


def verifier(*keys: Key | dict[str, Any], uses: frozenset[str | None] = SIGNING_USES, **over: Any) -> Verifier:
    declared = trust(**over)
    parsed = KeySet.parse(key_set(*(keys or (KEY, RSA_KEY, ED_KEY))), algorithms=declared.algorithms, uses=uses)
    return Verifier(declared, parsed)


def judge(token: str | bytes | Assertion, *keys: Key, now: float = 0, digest: str | None = None, **over: Any) -> str:
    """``accept``, or the reason without its prefix."""
    return word(verifier(*keys, **over).verify(token, now=at(now), request_digest=digest))


def word(answer: Identity | Unavailable) -> str:
    return answer.reason.value.removeprefix("assertion_") if isinstance(answer, Unavailable) else "accept"
