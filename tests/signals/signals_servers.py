"""Real HTTP on loopback: an ASGI application in a thread, and raw requests to it."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from signals.signals_maker import signed


@contextmanager
def serving(app: Any) -> Iterator[int]:
    """The port of a running server."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    # The socket listens already: a request queues until the thread serves it.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        listener.close()


class Answer(NamedTuple):
    """One answer of a server."""

    status: int
    headers: dict[str, str]
    body: bytes


def send(
    port: int, path: str, body: Any, headers: list[tuple[str, str]] | dict[str, str] | None = None, method: str = "POST"
) -> Answer:
    """One request, its headers as given: twice the same, or none at all."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest(method, path)
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        if body is not None and not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in pairs):
            pairs.append(("Content-Length", str(len(body))))
        for name, value in pairs:
            connection.putheader(name, value)
        connection.endheaders()
        if body:
            connection.send(body)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


class Transmitter:
    """Keeps tokens until they are acknowledged or reported, and hands out as many as are asked for.

    ``wrongly`` answers instead, where it is set.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, str] = {}
        self.questions: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.errors: dict[str, Any] = {}
        self.wrongly: Response | None = None
        self.forgets_nothing = False
        self.hold = 0.0

    async def answer(self, request: Request) -> Response:
        asked = await request.json()
        self.questions.append(asked)
        self.headers.append(dict(request.headers))
        await asyncio.sleep(self.hold)
        if self.wrongly is not None:
            return self.wrongly
        self.errors.update(asked.get("setErrs", {}))
        if not self.forgets_nothing:
            for told in [*asked["ack"], *asked.get("setErrs", {})]:
                self.waiting.pop(told, None)
        given = dict(list(self.waiting.items())[: asked["maxEvents"]])
        return JSONResponse({"sets": given, "moreAvailable": len(given) < len(self.waiting)})

    def tell(self, *names: str, **over: Any) -> None:
        self.waiting.update({name: signed(jti=name, **over) for name in names})
