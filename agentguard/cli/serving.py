"""What the commands that serve share: where to listen, and over TLS anywhere but on loopback."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from agentguard.errors import ConfigurationError

LOOPBACK = ("localhost", "127.0.0.1", "::1")

HostOption: TypeAlias = Annotated[str, typer.Option(help="Where to listen.")]
PortOption: TypeAlias = Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")]
CertificateOption: TypeAlias = Annotated[Path | None, typer.Option(help="PEM file; needed anywhere but on loopback.")]
KeyOption: TypeAlias = Annotated[Path | None, typer.Option(help="The certificate's private key, PEM.")]


def check_tls(host: str, certificate: Path | None, key: Path | None, what: str) -> None:
    """Raises ConfigurationError where only half of TLS was given, or none where ``what`` would go in the clear."""
    if (certificate is None) is not (key is None):
        raise ConfigurationError("--certificate and --key belong together; give both")
    if certificate is None and host not in LOOPBACK:
        raise ConfigurationError(
            f"--host: `{host}` is not loopback, so {what} in the clear; give --certificate and --key"
        )


def server(app: Any, connections: int, certificate: Path | None, key: Path | None) -> Any:
    """A server of this application that is ready to run. Raises ConfigurationError for a certificate it cannot use."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        limit_concurrency=connections,
        timeout_graceful_shutdown=2,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    try:
        config.load()
    except OSError as error:
        raise ConfigurationError(
            f"--certificate: `{certificate}`, with --key: `{key}`, cannot be used: {error.strerror or error}"
        ) from None
    return uvicorn.Server(config)


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """The sockets of a host: of `localhost` those of every loopback address, so that nobody else of this machine can
    listen on the other one in our place."""
    hosts = ["127.0.0.1", *(["::1"] if _has_ipv6() else [])] if host == "localhost" else [host]
    with contextlib.ExitStack() as opened:
        found: list[socket.socket] = []
        for each in hosts:
            found.append(opened.enter_context(_listening(each, port)))
            port = found[0].getsockname()[1]
        yield found


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "not a host"
        raise ConfigurationError(f"cannot listen on `{host}`, port {port}: {why}; choose another --port") from None
