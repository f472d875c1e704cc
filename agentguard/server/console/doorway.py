"""What every exchange with the console goes through, before anything else looks at it.

Rules, the first that fails is the answer:

1. The host that a browser asked for is the console's own (else a name that leads here by trickery reads it)   421
2. GET, HEAD or POST                                                                                         405
3. A POST comes from a page of this console: its Origin says so, and Sec-Fetch-Site where it is sent           403
4. A GET comes from this console, or is somebody who goes to a page: no other site loads parts of ours         403

Every answer says: no script, style, picture or frame from elsewhere; in no frame; in no cache; no address to others.
Headers of a proxy (`X-Forwarded-*`) are never read: the console is told its address when it starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = ("GET", "HEAD", "POST")
_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_ALWAYS = {
    "content-security-policy": _CSP,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # With `no-referrer` a browser would send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "cache-control": "no-store",
    "x-robots-tag": "noindex",
}


class Doorway:
    """An ASGI application around the console's. ``origin`` is the console's address as browsers see it."""

    def __init__(self, app: ASGIApp, origin: str) -> None:
        self._app = app
        self._origin = origin
        parts = urlsplit(origin)
        self._host = parts.netloc
        self._headers = dict(_ALWAYS)
        if parts.scheme == "https":
            self._headers["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one exchange."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there is no WebSocket here; the server closes what nobody accepts
        refusal = self._refusal(scope["method"], Headers(scope=scope))
        app = self._app if refusal is None else refusal

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
            await send(message)

        await app(scope, receive, guarded)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        if _only(headers.getlist("host")).lower() != self._host:
            return _no(421, f"this console is at {self._origin}")
        if method not in _METHODS:
            return _no(405, "GET or POST")
        site = headers.get("sec-fetch-site")
        if method == "POST":
            if _only(headers.getlist("origin")) != self._origin or site not in (None, "same-origin"):
                return _no(
                    403, "this form was not sent by a page of this console; open the page anew, and send it again"
                )
            return None
        if site in (None, "none", "same-origin"):
            return None
        if headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document":
            return None
        return _no(403, "no other site loads parts of this console")


def _only(values: Iterable[str]) -> str:
    """The one value there is; nothing where there are none or several."""
    found = list(values)
    return found[0] if len(found) == 1 else ""


def _no(status: int, text: str) -> PlainTextResponse:
    return PlainTextResponse(text + "\n", status_code=status)
