"""Transports of ``httpx`` and ``httpx2`` that connect only where a decision allows, redirects included.

``httpx2`` is what the clients of openai, anthropic, openai-agents, pydantic-ai and mcp moved to. Both libraries hand a
transport their own requests, so one transport serves the clients of both.
"""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio.to_thread

from agentguard.destinations.catalog import Catalog
from agentguard.destinations.use.gatekeeper import Ask, Gatekeeper, Passage, Resolver, resolve
from agentguard.destinations.use.refusal import DestinationRefused

_LIBRARIES = [import_module(name) for name in ("httpx", "httpx2") if importlib.util.find_spec(name) is not None]
if not _LIBRARIES:
    raise ModuleNotFoundError("neither httpx nor httpx2 is installed", name="httpx")

if TYPE_CHECKING:
    import httpx
    import httpx2

    class _Base(httpx.BaseTransport, httpx2.BaseTransport):  # type: ignore[misc]
        """A transport of both libraries."""

    class _AsyncBase(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport):  # type: ignore[misc]
        """An asynchronous transport of both libraries."""

else:
    # Clients that moved to httpx2 refuse what has a class of httpx among its bases; clients of httpx look at no base.
    _Base, _AsyncBase = _LIBRARIES[-1].BaseTransport, _LIBRARIES[-1].AsyncBaseTransport

# A request or a response of either library.
_Request: TypeAlias = Any
_Response: TypeAlias = Any


class GuardedTransport(_Base):
    """Use as ``httpx.Client(transport=GuardedTransport(guard.catalog, [url]))`` in a tool that was handed ``url``.

    It serves ``httpx2.Client`` as well. Raises DestinationRefused from every request that goes elsewhere, before
    anything is sent.
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
        self._inner = _Inner("HTTPTransport", verify)

    def handle_request(self, request: _Request) -> _Response:
        place = self._gate.judge(_url(request), request.headers.get("host"))
        passage = self._gate.passage(place, self._gate.resolve(place))
        return self._inner.of(request).handle_request(_redirected(request, passage))

    def close(self) -> None:
        for transport in self._inner.opened:
            transport.close()


class AsyncGuardedTransport(_AsyncBase):
    """The same for ``httpx.AsyncClient`` and ``httpx2.AsyncClient``, under asyncio and trio.

    ``ask`` and the resolver run on a thread.
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
        self._inner = _Inner("AsyncHTTPTransport", verify)

    async def handle_async_request(self, request: _Request) -> _Response:
        url, host = _url(request), request.headers.get("host")
        place = await anyio.to_thread.run_sync(self._gate.judge, url, host, abandon_on_cancel=True)
        addresses = await anyio.to_thread.run_sync(self._gate.resolve, place, abandon_on_cancel=True)
        passage = self._gate.passage(place, addresses)
        return await self._inner.of(request).handle_async_request(_redirected(request, passage))

    async def aclose(self) -> None:
        for transport in self._inner.opened:
            await transport.aclose()


class _Inner:
    """The libraries' own transports, made when a request of the library first comes."""

    def __init__(self, kind: str, verify: ssl.SSLContext | None) -> None:
        self._kind = kind
        self._verify = verify or ssl.create_default_context()
        self._made: dict[str, Any] = {}

    @property
    def opened(self) -> list[Any]:
        return list(self._made.values())

    def of(self, request: _Request) -> Any:
        library = _library(request)
        # A kept connection to an address could be taken for another name at the same address, so none is kept.
        limits = library.Limits(max_keepalive_connections=0)
        if library.__name__ not in self._made:
            made = getattr(library, self._kind)(verify=self._verify, trust_env=False, limits=limits)
            self._made.setdefault(library.__name__, made)  # another thread's stands; this one has opened nothing
        return self._made[library.__name__]


def _library(request: _Request) -> Any:
    """Which library a request is of. Raises TypeError for any other."""
    for library in _LIBRARIES:
        if isinstance(request, library.Request):
            return library
    raise TypeError(f"a request of httpx or httpx2 was expected, not {type(request).__name__}")


def _url(request: _Request) -> str:
    """What is judged must be what is asked for: both libraries let a request name another target than its URL."""
    _library(request)
    if "target" in request.extensions:
        raise DestinationRefused("request_target")
    return str(request.url)


def _redirected(request: _Request, passage: Passage) -> _Request:
    """The same request to the address that was checked, asking for the name it was made for."""
    headers = request.headers.copy()
    headers["host"] = passage.host_header
    return _library(request).Request(
        request.method,
        request.url.copy_with(host=passage.address),
        headers=headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": passage.host},
    )
