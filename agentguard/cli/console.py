"""``agentguard console``: the web site on which people answer requests, watch runs and stop them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard.approvals import account
from agentguard.cli import common, serving
from agentguard.cli.common import LedgerOption
from agentguard.cli.serving import CertificateOption, HostOption, KeyOption, PortOption
from agentguard.errors import ConfigurationError, PolicyError

if TYPE_CHECKING:
    from agentguard.policy import Bundle

app = common.new_app("Serve a web site to answer requests, watch runs and stop them.", group=False)

# Pages are short exchanges; each browser that follows them holds one more.
_CONNECTIONS = 500

_log = logging.getLogger("agentguard")


@app.command()
def console(
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="[BUNDLE]", help="The policy files: pictures of workflows, and who may what."),
    ] = None,
    host: HostOption = "localhost",
    port: PortOption = 8936,
    origin: Annotated[
        str | None, typer.Option(help="Its address in browsers, where that is another: https://console.example.")
    ] = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    ledger: LedgerOption = None,
) -> None:
    """Serve the console: what waits for a person, runs, decisions and records.

    On one machine it prints a link that signs you in once, as the account you started it with. Behind a proxy, say
    under which address browsers find it (--origin).

    Example: agentguard console workflows/customer_export
    """
    serving.check_tls(host, certificate, key, "sessions would go")
    console = _console()
    with common.operations(ledger) as operations, serving.listening(host, port) as sockets:
        site = f"[{host}]" if ":" in host else host
        listens = f"{'http' if certificate is None else 'https'}://{site}:{sockets[0].getsockname()[1]}"
        address = origin or listens
        link = console.LocalLink(time.monotonic, account(), lambda secret: _tell(f"{address}/sign-in/link/{secret}"))
        settings = console.Settings(address, operations, _in_force(bundle), link)
        desk = console.Desk(settings, console.Sessions(time.monotonic))
        login = _login(settings.bundle())
        server = serving.server(console.console_app(desk), _CONNECTIONS, certificate, key)
        common.line(f"the console is at {address}" + (f", and listens at {listens}" if origin else ""))
        if login is None:
            link.make()
        else:
            common.line(f"people sign in by {login}")
            sys.stdout.flush()
        server.run(sockets=sockets)


def _login(bundle: Bundle | None) -> str | None:
    """The provider by which people sign in, where Trust names one."""
    found = None if bundle is None or bundle.console is None else bundle.console.login
    return None if found is None else found.issuer


def _tell(link: str) -> None:
    """Print a link where the person who started this reads it."""
    common.line(f"sign in, once, within ten minutes: {link}")
    sys.stdout.flush()


def _in_force(directory: Path | None) -> Callable[[], Bundle | None]:
    """The bundle as its files are now; a bad change leaves the old one."""
    if directory is None:
        return lambda: None
    from agentguard.cli.bundles import load, usable
    from agentguard.policy import Reloader

    load(directory)
    reloader = Reloader(directory, lambda bundle, before: usable(bundle).bundle)

    def current() -> Bundle:
        if reloader.changed():
            try:
                reloader.reload()
            except PolicyError as error:
                _log.error("the bundle was changed and cannot be loaded, so the old one stays in force: %s", error)
        return reloader.current

    return current


def _console() -> Any:
    try:
        import uvicorn  # noqa: F401

        from agentguard.server import console
    except ImportError:
        raise ConfigurationError("this command needs the extra `console`: pip install 'agentguard[console]'") from None
    return console
