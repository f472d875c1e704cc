"""A ``requests`` adapter that connects only where a decision allows, redirects included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy

from agentguard.destinations.catalog import Catalog
from agentguard.destinations.use.gatekeeper import Ask, Gatekeeper, Passage, Resolver, resolve
from agentguard.destinations.use.refusal import DestinationRefused


class GuardedAdapter(HTTPAdapter):
    """What ``guarded_session`` mounts. In a session of your own, mount it for both schemes and leave no other adapter.

    Raises DestinationRefused from every request that goes elsewhere, before anything is sent. A proxy would choose the
    address by itself, so one is refused: set ``session.trust_env = False`` where the environment names one.
    """

    def __init__(
        self,
        catalog: Catalog,
        permitted: Iterable[str],
        ask: Ask | None = None,
        *,
        resolver: Resolver = resolve,
    ) -> None:
        self._gate = Gatekeeper(catalog, permitted, ask, resolver)
        super().__init__(max_retries=0)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        url = request.url or ""
        if select_proxy(url, dict(proxies or {})):
            raise DestinationRefused("proxy_not_supported")
        header = request.headers.get("Host")
        place = self._gate.judge(url, header.decode("latin-1") if isinstance(header, bytes) else header)
        passage = self._gate.passage(place, self._gate.resolve(place))
        guarded = _Guarded(request, passage)
        response = super().send(guarded, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=None)
        response.request = request
        return response

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,
        proxies: Mapping[str, str] | None = None,
        cert: Any = None,
    ) -> Any:
        if not isinstance(request, _Guarded):
            raise DestinationRefused("destination_not_permitted")
        passage = request.passage
        host_params, found = self.build_connection_pool_key_attributes(request, verify or False, cert)
        pool_kwargs: dict[str, Any] = {**found}
        if host_params["scheme"] == "https":
            pool_kwargs |= {"server_hostname": passage.host, "assert_hostname": passage.host}
        return self.poolmanager.connection_from_host(
            passage.address, passage.port, host_params["scheme"], pool_kwargs=pool_kwargs
        )


def guarded_session(
    catalog: Catalog, permitted: Iterable[str], ask: Ask | None = None, *, resolver: Resolver = resolve
) -> requests.Session:
    """A session that has no way past the guard: one adapter for both schemes, no proxies and no passwords from the
    environment."""
    session = requests.Session()
    session.trust_env = False
    session.adapters.clear()
    adapter = GuardedAdapter(catalog, permitted, ask, resolver=resolver)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Guarded(requests.PreparedRequest):
    """A copy of a request that knows its passage; a redirect starts again from the original."""

    def __init__(self, original: requests.PreparedRequest, passage: Passage) -> None:
        super().__init__()
        self.__dict__.update(original.copy().__dict__)
        self.passage = passage
        self.headers["Host"] = passage.host_header
