"""``agentguard signals``: security events of streams (OpenID Shared Signals), received by push or by poll."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard.approvals.view import moment
from agentguard.cli import common, serving
from agentguard.cli.common import JsonOption, LedgerOption
from agentguard.cli.serving import CertificateOption, HostOption, KeyOption, PortOption
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError, LedgerError, PolicyError

if TYPE_CHECKING:
    from agentguard.core.declarations import StreamTrust
    from agentguard.guard import Operations
    from agentguard.ledger import StreamState
    from agentguard.signals import Poller, Receiver

app = common.new_app("Receive the security events of the streams that Trust names, and see which are silent.")

# What one process serves at once; each is a short exchange.
_CONNECTIONS = 100
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The directory of policy files.")]

_log = logging.getLogger("agentguard")


@app.command()
def serve(
    bundle: Bundle,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8935,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    ledger: LedgerOption = None,
) -> None:
    """Take the events that transmitters push (RFC 8935): POST to /STREAM. A bundle that is changed is read again.

    Example: agentguard signals serve workflows/payments_service --port 8935
    """
    serving.check_tls(host, certificate, key, "events would come")
    push = _push()
    with common.first_operations(ledger) as operations:
        receiver = _receiver(bundle, operations)
        server = serving.server(push.push_app(receiver), _CONNECTIONS, certificate, key)
        with serving.listening(host, port) as sockets:
            site = f"[{host}]" if ":" in host else host
            where = f"{'http' if certificate is None else 'https'}://{site}:{sockets[0].getsockname()[1]}"
            pushed = [trust.name for trust in receiver.streams() if trust.poll_url is None]
            common.line("listening: " + ", ".join(f"{where}/{name}" for name in pushed))
            sys.stdout.flush()
            server.run(sockets=sockets)


@app.command()
def poll(
    bundle: Bundle,
    once: Annotated[bool, typer.Option("--once", help="Fetch what there is, and end.")] = False,
    ledger: LedgerOption = None,
) -> None:
    """Fetch the events of every stream with a `poll_url` (RFC 8936); go on until Ctrl-C.

    Example: agentguard signals poll workflows/payments_service --once
    """
    from agentguard.signals import Poller

    with common.first_operations(ledger) as operations:
        receiver = _receiver(bundle, operations)
        pollers = [Poller(trust, receiver) for trust in receiver.streams() if trust.poll_url is not None]
        if not pollers:
            raise ConfigurationError(f"Trust in `{bundle}` names no stream with a `poll_url`; its events are pushed")
        if not once:
            _poll_on(pollers)
            return
        went_well = [_poll_once(poller) for poller in pollers]
        if not all(went_well):
            raise typer.Exit(1)


@app.command()
def verify(
    keys: Annotated[Path, typer.Option(help="The stream's JWK set.")],
    issuer: Annotated[str, typer.Option(help="Exactly what `iss` must be.")],
    audience: Annotated[str, typer.Option(help="What `aud` must name.")],
    skew: Annotated[float, typer.Option(help="Seconds two clocks may differ, at most 60.")] = 5.0,
    now: Annotated[float | None, typer.Option(help="Judge at this time, in seconds since 1970.")] = None,
    revoked: Annotated[list[str] | None, typer.Option(help="A `kid` that is revoked; repeatable.")] = None,
) -> None:
    """Judge the event on standard input; print the verdict as JSON; exit 0 for accept, 1 for deny. Nothing is applied.

    Example: agentguard signals verify --keys idp.json --issuer https://idp.example
    --audience agentguard < event
    """
    from agentguard.core.declarations import Source, StreamTrust
    from agentguard.signals import MAX_SET_BYTES, RefusedSet, judge, stream_verifier

    trust = StreamTrust(
        name="--issuer",
        issuer=issuer,
        audience=audience,
        source=Source("command line", 1),
        keys_file=str(keys.absolute()),
        revoked_keys=tuple(revoked or ()),
        skew=common.seconds(skew, "--skew"),
    )
    verifier, at = stream_verifier(trust, Path()), common.point_in_time(now, "--now")
    said = judge(verifier, sys.stdin.buffer.read(MAX_SET_BYTES + 1), now=at)
    if isinstance(said, RefusedSet):
        told = None if said.try_again else said.error
        common.print_json({"verdict": "deny", "reason": str(said.code), "err": told, "signals": []})
        raise typer.Exit(1)
    signals: list[Json] = [
        {
            "event": one.event,
            "effect": str(one.effect),
            "time": moment(one.at),
            "about": one.about,
            "run": one.run_id,
            "risk": None if one.risk is None else one.risk.word,
        }
        for one in (statement.signal for statement in said.statements)
    ]
    common.print_json({"verdict": "accept", "reason": "", "err": None, "signals": signals})


@app.command()
def status(bundle: Bundle, ledger: LedgerOption = None, json: JsonOption = False) -> None:
    """List the streams that Trust names, when each last spoke, and which calls wait for a silent one.

    Example: agentguard signals status workflows/payments_service
    """
    from agentguard.cli.bundles import load

    trusts = load(bundle).bundle.streams
    with common.operations(ledger) as operations:
        states = operations.streams()
    rows = [_row(trust, states.get(trust.name), common.now_utc()) for trust in trusts]
    if json:
        common.print_json(rows)
    elif not rows:
        common.line("Trust names no stream")
    else:
        headings = ("STREAM", "ISSUER", "EVENTS", "LAST HEARD", "STATUS", "SILENT", "NEEDED FOR")
        common.table(headings, ([_cell(value) for value in row.values()] for row in rows))


def _row(trust: StreamTrust, state: StreamState | None, now: datetime) -> dict[str, Json]:
    last = None if state is None else state.last_heard
    limit = trust.max_silence
    return {
        "stream": trust.name,
        "issuer": trust.issuer,
        "events": "pushed" if trust.poll_url is None else "polled",
        "last_heard": None if state is None else moment(state.heard_at),
        "status": "never heard" if state is None else str(state.status),
        "silent": None if limit is None else last is None or now - last > limit,
        "needed_for": [level.word for level in trust.required_for],
    }


def _cell(value: Json) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


def _receiver(directory: Path, operations: Operations) -> Receiver:
    """A receiver of the bundle's streams, which follows the bundle's files; a bad change leaves the old ones."""
    from agentguard.cli.bundles import load, usable
    from agentguard.policy import Reloader
    from agentguard.signals import Receiver, Streams

    load(directory)
    reloader = Reloader(directory, lambda bundle, before: usable(bundle))

    def streams() -> Streams:
        if reloader.changed():
            try:
                reloader.reload()
            except PolicyError as error:
                _log.error("the bundle was changed and cannot be loaded, so the old one stays in force: %s", error)
        bundle = reloader.current.bundle
        return Streams(bundle.streams, bundle.directory)

    return Receiver(streams, operations)


def _push() -> Any:
    try:
        import uvicorn  # noqa: F401

        from agentguard.server import push
    except ImportError:
        raise ConfigurationError("this command needs the extra `server`: pip install 'agentguard[server]'") from None
    return push


def _poll_once(poller: Poller) -> bool:
    """Whether the stream could be understood and nothing it said was refused."""
    from agentguard.jose.fetch import ReadFailed

    try:
        polled = poller.everything()
    except (ReadFailed, LedgerError) as error:
        common.line(f"{poller.trust.name}: {error}")
        return False
    received = [one for page in polled for one in page.received]
    refused = sum(len(page.refused) for page in polled)
    news = sum(one.fresh for one in received)
    common.line(f"{poller.trust.name}: {news} new, {len(received) - news} heard before, {refused} refused")
    return refused == 0


def _poll_on(pollers: Sequence[Poller]) -> None:
    stop = threading.Event()
    threads = [
        threading.Thread(target=poller.until, args=(stop, _log.warning), name="agentguard-poll", daemon=True)
        for poller in pollers
    ]
    for thread in threads:
        thread.start()
    common.line("polling: " + ", ".join(poller.trust.name for poller in pollers))
    sys.stdout.flush()
    try:
        stop.wait()
    finally:
        stop.set()
