"""Takes the security events that transmitters push (RFC 8935): one POST, one token, one answer.

In this order, the first that fails is the answer:
 1. ``POST`` to ``/STREAM``, a stream of Trust without ``poll_url``           else 405, 404
 2. the ``Authorization`` that Trust names for it, where it names one         else 401, 403
 3. ``application/secevent+jwt``, not compressed                              else 415
 4. a body that is small enough and comes soon enough                         else 413, 408
 5. a token that is accepted, and durable in the ledger                       else 400, or 503: send it again
202 means that it is durable. A token that was heard before is answered the same: its first answer was lost.
A transmitter is told which rule failed and nothing more; the details are in our own log.
"""

from __future__ import annotations

import asyncio
import hmac
import logging

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentguard.core.declarations import StreamTrust
from agentguard.errors import ConfigurationError, LedgerError
from agentguard.signals import MAX_SET_BYTES, Receiver, RefusedSet, authorization

CONTENT_TYPE = "application/secevent+jwt"
# A token is a few packets. Past this, somebody holds the connection for the sake of holding it.
BODY_SECONDS = 10.0
# Each waits for the ledger on a thread. More would only wait for each other.
_AT_ONCE = 8
# Of an address that a stranger made up, in our log.
_MAX_SHOWN = 100

_log = logging.getLogger("agentguard")


class _NotTaken(Exception):
    """An answer that is no."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def push_app(receiver: Receiver) -> Starlette:
    """An ASGI application with one address a pushed stream, ``/NAME``; serve it, or mount it in your own.

    Raises ConfigurationError where no stream is pushed, and where the environment lacks an ``Authorization`` value that
    Trust names.
    """
    pushed = [trust for trust in receiver.streams() if trust.poll_url is None]
    if not pushed:
        raise ConfigurationError("Trust names no stream that is pushed; add one without `poll_url`")
    for trust in pushed:
        authorization(trust)
    app = Starlette(routes=[Route("/{stream}", _Endpoint(receiver).push, methods=["POST"])])
    app.router.redirect_slashes = False
    return app


class _Endpoint:
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def push(self, request: Request) -> Response:
        """Answer one POST."""
        try:
            trust = self._stream(request)
            _authorized(request, trust)
            _typed(request)
            token = await _body(request)
            async with self._turns:
                answer = await asyncio.to_thread(self._receiver.receive, trust.name, token)
        except _NotTaken as no:
            stream = ascii(request.path_params["stream"])[1:-1]
            _log.warning("a push to stream `%s` was answered %d", stream[:_MAX_SHOWN], no.response.status_code)
            return no.response
        except LedgerError as error:
            _log.error("an event of stream `%s` could not be recorded: %s", request.path_params["stream"], error)
            return _later()
        if not isinstance(answer, RefusedSet):
            return Response(status_code=202)
        return _later() if answer.try_again else _no(400, answer.error, f"the token was refused: {answer.code}")

    def _stream(self, request: Request) -> StreamTrust:
        trust = self._receiver.stream(request.path_params["stream"])
        if trust is None or trust.poll_url is not None:
            raise _NotTaken(_no(404, "access_denied", "no stream is pushed to this address"))
        return trust


def _authorized(request: Request, trust: StreamTrust) -> None:
    try:
        expected = authorization(trust)
    except ConfigurationError as error:
        _log.error("%s", error)
        raise _NotTaken(_later()) from None
    if expected is None:
        return
    given = request.headers.getlist("authorization")
    if not given:
        missing = _no(401, "authentication_failed", "the request carries no Authorization")
        missing.headers["WWW-Authenticate"] = "Bearer"
        raise _NotTaken(missing)
    if len(given) != 1 or not hmac.compare_digest(given[0].encode("latin-1", "replace"), expected):
        raise _NotTaken(_no(403, "access_denied", "the Authorization is not the one that was agreed on"))


def _typed(request: Request) -> None:
    kinds = [kind.partition(";")[0].strip().lower() for kind in request.headers.getlist("content-type")]
    if kinds != [CONTENT_TYPE] or "content-encoding" in request.headers:
        raise _NotTaken(_no(415, "invalid_request", f"expected the content type {CONTENT_TYPE}, not compressed"))


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_SET_BYTES:
                    raise _NotTaken(_no(413, "invalid_request", f"a token has at most {MAX_SET_BYTES} bytes"))
    except TimeoutError:
        raise _NotTaken(_no(408, "invalid_request", "the token did not come in time")) from None
    except ClientDisconnect:
        raise _NotTaken(_no(400, "invalid_request", "the token did not come whole")) from None
    return bytes(body)


def _no(status: int, error: str, description: str) -> Response:
    """RFC 8935 section 2.3."""
    headers = {"Content-Language": "en", "Cache-Control": "no-store"}
    return JSONResponse({"err": error, "description": description}, status, headers)


def _later() -> Response:
    """The fault is ours: nothing was recorded, and the transmitter should send the same token again."""
    return Response(status_code=503, headers={"Retry-After": "5", "Cache-Control": "no-store"})
