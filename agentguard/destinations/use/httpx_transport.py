"""``httpx`` transports that connect only where a decision allows, redirects included."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

import anyio.to_thread
import httpx

from agentguard.destinations.catalog import Catalog
from agentguard.destinations.use.gatekeeper import Ask, Gatekeeper, Passage, Resolver, resolve
from agentguard.destinations.use.refusal import DestinationRefused

# A kept connection to an address could be taken for another name at the same address, so none is kept.
_LIMITS = httpx.Limits(max_keepalive_connections=0)


class GuardedTransport(httpx.BaseTransport):
    """Use as ``httpx.Client(transport=GuardedTransport(guard.catalog, [url]))`` in a tool that was handed ``url``.

    Raises DestinationRefused from every request that goes elsewhere, before anything is sent.
    """

    def __init__(
        self,
        catalog: Catalog,
        permitted: Iterable[str],
        ask: Ask | None = None,
        *,
        verify: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self._gate = Gatekeeper(catalog, permitted, ask, resolver)
        self._inner = httpx.HTTPTransport(
            verify=verify or ssl.create_default_context(), trust_env=False, limits=_LIMITS
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        place = self._gate.judge(_url(request), request.headers.get("host"))
        passage = self._gate.passage(place, self._gate.resolve(place))
        return self._inner.handle_request(_redirected(request, passage))

    def close(self) -> None:
        self._inner.close()


class AsyncGuardedTransport(httpx.AsyncBaseTransport):
    """The same for ``httpx.AsyncClient``, under asyncio and trio. ``ask`` and the resolver run on a thread."""

    def __init__(
        self,
        catalog: Catalog,
        permitted: Iterable[str],
        ask: Ask | None = None,
        *,
        verify: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self._gate = Gatekeeper(catalog, permitted, ask, resolver)
        context = verify or ssl.create_default_context()
        self._inner = httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=_LIMITS)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url, host = _url(request), request.headers.get("host")
        place = await anyio.to_thread.run_sync(self._gate.judge, url, host, abandon_on_cancel=True)
        addresses = await anyio.to_thread.run_sync(self._gate.resolve, place, abandon_on_cancel=True)
        passage = self._gate.passage(place, addresses)
        return await self._inner.handle_async_request(_redirected(request, passage))

    async def aclose(self) -> None:
        await self._inner.aclose()


def _url(request: httpx.Request) -> str:
    """What is judged must be what is asked for: httpx lets a request name another target than its URL."""
    if "target" in request.extensions:
        raise DestinationRefused("request_target")
    return str(request.url)


def _redirected(request: httpx.Request, passage: Passage) -> httpx.Request:
    """The same request to the address that was checked, asking for the name it was made for."""
    headers = request.headers.copy()
    headers["host"] = passage.host_header
    return httpx.Request(
        request.method,
        request.url.copy_with(host=passage.address),
        headers=headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": passage.host},
    )
