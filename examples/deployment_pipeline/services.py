"""Two real servers on loopback, a secrets store and a service to deploy to. Both log what they did."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.support.serve import serving

PASSWORD = "correct horse battery staple"


@dataclass
class Services:
    """Where they are, the pipeline's credential at the store, and what they saw."""

    store: str = ""
    target: str = ""
    credential: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    served: list[str] = field(default_factory=list)
    deployed: list[str] = field(default_factory=list)


@contextmanager
def services() -> Iterator[Services]:
    """Run both."""
    made = Services()

    async def secret(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {made.credential}":
            return JSONResponse({"error": "no such credential"}, status_code=401)
        made.served.append(request.path_params["name"])
        return JSONResponse({"value": PASSWORD})

    async def release(request: Request) -> Response:
        body = await request.json()
        if body["password"] != PASSWORD:
            return JSONResponse({"error": "wrong password"}, status_code=403)
        made.deployed.append(body["release"])
        return JSONResponse({"running": body["release"]})

    with (
        serving(Route("/v1/secrets/{name:path}", secret)) as made.store,
        serving(Route("/v1/releases", release, methods=["POST"])) as made.target,
    ):
        yield made
