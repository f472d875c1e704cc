"""A transmitter of security events on loopback (SSF 1.0): one key of its own, its public half at ``/jwks.json``."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from examples.support.serve import serving

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"


class Transmitter:
    """Signs events with ES256 and pushes them (RFC 8935). ``url`` is where its keys are served."""

    def __init__(self, issuer: str, audience: str, key: ECKey) -> None:
        self.issuer = issuer
        self.url = ""
        self._audience = audience
        self._key = key

    def push(self, address: str, event: str, subject: Mapping[str, Any], **said: Any) -> int:
        """Push one CAEP event about a subject that happened just now; the receiver's status."""
        token = {
            "iss": self.issuer,
            "aud": self._audience,
            "iat": int(time.time()),
            "jti": secrets.token_hex(16),
            "sub_id": dict(subject),
            # Fractions of a second tell two events of the same second apart.
            "events": {CAEP + event: {"event_timestamp": time.time(), **said}},
        }
        header = {"alg": "ES256", "kid": self._key.kid, "typ": "secevent+jwt"}
        answer = httpx.post(
            address,
            content=jwt.encode(header, token, self._key),
            headers={"Content-Type": "application/secevent+jwt"},
            trust_env=False,
        )
        return answer.status_code


@contextmanager
def transmitting(issuer: str, audience: str) -> Iterator[Transmitter]:
    """Run a transmitter whose keys are served on loopback."""
    key = ECKey.generate_key("P-256", parameters={"kid": "events-1", "use": "sig", "alg": "ES256"})
    made = Transmitter(issuer, audience, key)

    async def jwks(_: Request) -> JSONResponse:
        return JSONResponse({"keys": [key.as_dict(private=False)]})

    with serving(Route("/jwks.json", jwks)) as made.url:
        yield made
