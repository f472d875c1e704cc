"""An OpenID Connect issuer on loopback: one RSA key, a JWK set at ``/jwks.json``, and signed tokens."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from examples.support.serve import serving


class Issuer:
    """Signs assertions with RS256. ``url`` is where its keys are served; ``issuer`` is what tokens call it."""

    def __init__(self, issuer: str, key: RSAKey) -> None:
        self.issuer = issuer
        self.url = ""
        self._key = key

    def token(self, claims: Mapping[str, Any], *, audience: str, lifetime: float = 60, age: float = 0) -> str:
        """A token issued ``age`` seconds ago that lives ``lifetime`` seconds from then."""
        issued = int(time.time() - age)
        standard = {
            "iss": self.issuer,
            "aud": audience,
            "iat": issued,
            "nbf": issued,
            "exp": issued + int(lifetime),
            "jti": secrets.token_hex(16),
        }
        header = {"alg": "RS256", "kid": self._key.kid, "typ": "JWT"}
        return jwt.encode(header, {**standard, **claims}, self._key)


@contextmanager
def issuing(issuer: str) -> Iterator[Issuer]:
    """Run an issuer whose keys are served on loopback."""
    key = RSAKey.generate_key(2048, parameters={"kid": "example-1", "use": "sig", "alg": "RS256"})
    made = Issuer(issuer, key)

    async def jwks(_: Request) -> JSONResponse:
        return JSONResponse({"keys": [key.as_dict(private=False)]})

    with serving(Route("/jwks.json", jwks)) as made.url:
        yield made
