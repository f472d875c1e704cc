"""What real clients take a URL to mean: the host and port each of them would connect to."""

from __future__ import annotations

import ipaddress
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping

import ada_url
import httpx
import httpx2
import requests
import urllib3
import yarl

_PORTS = {"http": 80, "https": 443}


def _plain(host: str | None, port: int | None, scheme: str) -> tuple[str, int]:
    assert host
    host = host.lower().strip("[]")
    # As Python's own sockets do with a name that is not ASCII.
    host = host if host.isascii() else host.encode("idna").decode("ascii")
    return ipaddress.ip_address(host).compressed if ":" in host else host, port or _PORTS[scheme]


def _httpx(url: str) -> tuple[str, int]:
    read = httpx.URL(url)
    return _plain(read.raw_host.decode("ascii"), read.port, read.scheme)


def _httpx2(url: str) -> tuple[str, int]:
    read = httpx2.URL(url)
    return _plain(read.raw_host.decode("ascii"), read.port, read.scheme)


def _requests(url: str) -> tuple[str, int]:
    read = urllib3.util.parse_url(requests.Request("GET", url).prepare().url)
    return _plain(read.host, read.port, read.scheme)


def _urllib3(url: str) -> tuple[str, int]:
    read = urllib3.util.parse_url(url)
    return _plain(read.host, read.port, read.scheme)


def _urllib(url: str) -> tuple[str, int]:
    read = urllib.parse.urlsplit(url)
    return _plain(read.hostname, read.port, read.scheme)


def _urllib_request(url: str) -> tuple[str, int]:
    read = urllib.request.Request(url)
    return _urllib(f"{read.type}://{read.host}/")


def _ada(url: str) -> tuple[str, int]:
    read = ada_url.URL(url)
    return _plain(read.hostname, int(read.port or 0), read.protocol.rstrip(":"))


def _yarl(url: str) -> tuple[str, int]:
    read = yarl.URL(url)
    return _plain(read.raw_host, read.port, read.scheme)


CLIENTS: Mapping[str, Callable[[str], tuple[str, int]]] = {
    "ada": _ada,
    "httpx": _httpx,
    "httpx2": _httpx2,
    "requests": _requests,
    "urllib": _urllib,
    "urllib.request": _urllib_request,
    "urllib3": _urllib3,
    "yarl": _yarl,
}
