"""At the time of use: real servers on loopback, real clients, real files."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import pickle
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import requests
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agentguard.core.declarations import CatalogEntry, Source
from agentguard.core.values import Sensitivity
from agentguard.destinations import Ambiguous, Catalog
from agentguard.destinations.kinds.url import read_url
from agentguard.destinations.use import (
    AsyncGuardedTransport,
    DestinationRefused,
    GuardedAdapter,
    GuardedTransport,
    guarded_session,
    open_under,
)
from agentguard.destinations.use.gatekeeper import Gatekeeper, is_public
from agentguard.errors import ConfigurationError

HERE = Source("destinations.yaml", 1)
LOOPBACK = Catalog([CatalogEntry("ip", "127.0.0.1", Sensitivity.INTERNAL, None, None, None, None, HERE)])
NOTHING = Catalog()


class Server:
    """A server that remembers the Host header and path of each request, and the SNI of each connection."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[tuple[str, str]] = []
        self.names: list[str | None] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.headers["Host"], self.path))
                if self.path.startswith("/to?"):
                    self.send_response(302)
                    self.send_header("Location", self.path[4:])
                else:
                    self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.names.append(name)
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


def here(_host: str, _port: int) -> list[str]:
    """A resolver for names that exist in the tests only."""
    return ["127.0.0.1"]


def with_httpx(
    address: str, follow: bool = True, headers: dict[str, str] | None = None, library: Any = httpx, **guard: Any
) -> int:
    verify = guard.pop("verify", None)
    with library.Client(transport=GuardedTransport(verify=verify, **guard), follow_redirects=follow) as client:
        status: int = client.get(address, headers=headers).status_code
    return status


async def _async_httpx(
    address: str, follow: bool, headers: dict[str, str] | None, guard: dict[str, Any], library: Any = httpx
) -> int:
    async with library.AsyncClient(transport=AsyncGuardedTransport(**guard), follow_redirects=follow) as client:
        status: int = (await client.get(address, headers=headers)).status_code
    return status


def with_async_httpx(address: str, follow: bool = True, headers: dict[str, str] | None = None, **guard: Any) -> int:
    return asyncio.run(_async_httpx(address, follow, headers, guard))


def with_trio(address: str, follow: bool = True, headers: dict[str, str] | None = None, **guard: Any) -> int:
    return trio.run(_async_httpx, address, follow, headers, guard)


def with_httpx2(address: str, follow: bool = True, headers: dict[str, str] | None = None, **guard: Any) -> int:
    return with_httpx(address, follow, headers, library=httpx2, **guard)


def with_async_httpx2(address: str, follow: bool = True, headers: dict[str, str] | None = None, **guard: Any) -> int:
    return asyncio.run(_async_httpx(address, follow, headers, guard, httpx2))


def with_trio_httpx2(address: str, follow: bool = True, headers: dict[str, str] | None = None, **guard: Any) -> int:
    return trio.run(_async_httpx, address, follow, headers, guard, httpx2)


def with_requests(address: str, follow: bool = True, headers: dict[str, str] | None = None, **guard: Any) -> int:
    ca_file = guard.pop("ca_file", None)
    guard.pop("verify", None)
    with requests.Session() as session:
        session.trust_env = False
        adapter = GuardedAdapter(**guard)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session.get(address, allow_redirects=follow, headers=headers, verify=ca_file or True).status_code


Client = Callable[..., int]
CLIENTS = [
    with_httpx, with_async_httpx, with_trio, with_httpx2, with_async_httpx2, with_trio_httpx2, with_requests,
]  # fmt: skip
every_client = pytest.mark.parametrize("client", CLIENTS)


@every_client
def test_a_permitted_request_reaches_the_checked_address_under_its_own_name(client: Client, server: Server) -> None:
    """The connection goes to the address, the server is asked for the name; the tool may add a query."""
    base = f"http://api.example.com:{server.port}/x"
    assert client(base + "?page=2", catalog=LOOPBACK, permitted=[base], resolver=here) == 200
    assert server.seen == [(f"api.example.com:{server.port}", "/x?page=2")]


@every_client
def test_a_request_to_another_place_is_refused_before_anything_is_sent(client: Client, server: Server) -> None:
    """The decision covered one place; host, port, path and scheme all count."""
    good = f"http://api.example.com:{server.port}/x"
    for other in (good + "/y", good.replace("api", "api2"), good.replace(str(server.port), str(server.port ^ 1))):
        with pytest.raises(DestinationRefused) as raised:
            client(other, catalog=LOOPBACK, permitted=[good], resolver=here)
        assert raised.value.reason == "destination_not_permitted"
    assert server.seen == []


@every_client
@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        (["127.0.0.1"], "private_address"),
        (["10.0.0.1"], "private_address"),
        (["169.254.169.254"], "private_address"),
        (["::1"], "private_address"),
        (["fd00::1"], "private_address"),
        (["fe80::1%eth0"], "zone_id"),
        (["::ffff:127.0.0.1"], "embedded_ipv4"),
        (["64:ff9b::10.0.0.1"], "private_address"),
        (["64:ff9b::a9fe:a9fe"], "private_address"),
        (["64:ff9b::"], "unspecified_address"),
        (["64:ff9b:1::8.8.8.8"], "embedded_ipv4"),
        (["93.184.216.34", "64:ff9b::127.0.0.1"], "private_address"),
        (["0.0.0.0"], "unspecified_address"),
        (["93.184.216.34", "127.0.0.1"], "private_address"),
        (["127.1"], "numeric_host"),
        ([], "name_not_resolved"),
        (["93.184.216.34"] * 65, "name_not_resolved"),
    ],
)
def test_a_name_with_an_unlisted_inner_address_is_refused(
    client: Client, server: Server, addresses: list[str], reason: str
) -> None:
    """One bad address among good ones is enough: the client would be free to choose it."""
    good = f"http://api.example.com:{server.port}/x"
    with pytest.raises(DestinationRefused) as raised:
        client(good, catalog=NOTHING, permitted=[good], resolver=lambda _host, _port: addresses)
    assert raised.value.reason == reason
    assert server.seen == []


@every_client
def test_a_name_is_resolved_once_so_a_second_answer_is_never_used(client: Client, server: Server) -> None:
    """DNS that answers differently later has nobody left to answer to."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    good = f"http://api.example.com:{server.port}/x"
    client(good, catalog=LOOPBACK, permitted=[good], resolver=lambda _host, _port: answers.pop(0))
    assert len(answers) == 1
    assert len(server.seen) == 1


@every_client
def test_a_name_that_does_not_resolve_is_refused(client: Client) -> None:
    """A resolver that fails is no reason to guess."""

    def fails(_host: str, _port: int) -> list[str]:
        raise socket.gaierror("no such name")

    with pytest.raises(DestinationRefused):
        client("http://api.example.com/", catalog=LOOPBACK, permitted=["http://api.example.com/"], resolver=fails)


@every_client
def test_a_redirect_is_put_to_the_guard_and_refused_without_one(client: Client, server: Server) -> None:
    """A permitted server must not choose the next destination."""
    start, inner = f"http://api.example.com:{server.port}/to", f"http://inner.example.com:{server.port}/secret"
    asked: list[str] = []

    def ask(address: str) -> bool:
        asked.append(address)
        return address == inner

    with pytest.raises(DestinationRefused):
        client(f"{start}?{inner}", catalog=LOOPBACK, permitted=[start], resolver=here)
    assert [path for _, path in server.seen] == [f"/to?{inner}"]
    assert client(f"{start}?{inner}", catalog=LOOPBACK, permitted=[start], ask=ask, resolver=here) == 200
    assert asked == [inner]
    assert server.seen[-1] == (f"inner.example.com:{server.port}", "/secret")
    with pytest.raises(DestinationRefused):
        client(f"{start}?{inner}2", catalog=LOOPBACK, permitted=[start], ask=ask, resolver=here)


@every_client
@pytest.mark.parametrize("answer", [None, 1, "yes", False])
def test_only_true_lets_another_destination_pass(client: Client, server: Server, answer: object) -> None:
    """A decision is not a truth value: a callback that returns an object has not said yes."""
    with pytest.raises(DestinationRefused):
        client(
            f"http://a.example.com:{server.port}/", catalog=LOOPBACK, permitted=[], ask=lambda _: answer, resolver=here
        )
    assert server.seen == []


@every_client
def test_a_foreign_host_header_is_refused(client: Client, server: Server) -> None:
    """Behind one address live many names; the header chooses among them."""
    good = f"http://api.example.com:{server.port}/x"
    with pytest.raises(DestinationRefused) as raised:
        client(good, headers={"Host": "inner.example.com"}, catalog=LOOPBACK, permitted=[good], resolver=here)
    assert raised.value.reason == "host_header"


@every_client
def test_an_address_in_the_url_needs_its_catalog_entry_too(client: Client, server: Server) -> None:
    """Permitting a URL does not open the machine's own network."""
    good = f"http://127.0.0.1:{server.port}/x"
    assert client(good, catalog=LOOPBACK, permitted=[good]) == 200
    with pytest.raises(DestinationRefused):
        client(good, catalog=NOTHING, permitted=[good])


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server context for api.example.com, and the file that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(start).not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("api.example.com")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    (folder / "cert.pem").write_bytes(built.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, folder / "cert.pem"


@every_client
def test_tls_asks_for_the_name_and_checks_the_certificate_against_it(client: Client, tmp_path: Path) -> None:
    """Connecting by address must not turn off what the name proves."""
    context, trusted = certificate(tmp_path)
    server = Server(context)
    extra: dict[str, Any] = {"ca_file": str(trusted)} if client is with_requests else {}
    try:
        for host, fits in (("api.example.com", True), ("other.example.com", False)):
            good = f"https://{host}:{server.port}/x"
            arguments = {"catalog": LOOPBACK, "permitted": [good], "resolver": here, **extra}
            arguments["verify"] = ssl.create_default_context(cafile=str(trusted))
            if fits:
                assert client(good, **arguments) == 200
            else:
                with pytest.raises((httpx.ConnectError, httpx2.ConnectError, requests.exceptions.SSLError)):
                    client(good, **arguments)
        assert server.names == ["api.example.com", "other.example.com"]
    finally:
        server.close()


def test_every_request_of_one_client_is_resolved_again(server: Server) -> None:
    """A name that is bound to another address while the client lives reaches that address checked, or not at all."""
    good = f"http://api.example.com:{server.port}/x"
    guard = {"catalog": LOOPBACK, "permitted": [good]}

    def answers() -> Callable[[str, int], list[str]]:
        left = [["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"]]
        return lambda _host, _port: left.pop(0)

    with (
        httpx.Client(transport=GuardedTransport(**guard, resolver=answers())) as client,
        httpx2.Client(transport=GuardedTransport(**guard, resolver=answers())) as client2,
        guarded_session(**guard, resolver=answers()) as session,
    ):
        for get in (client.get, client2.get, session.get):
            assert [get(good).status_code, get(good).status_code] == [200, 200]
            with pytest.raises(DestinationRefused):
                get(good)
    assert len(server.seen) == 6


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("target", [b"/secret", b"http://inner.example.com/", b"/x"])
def test_a_request_cannot_ask_for_another_target_than_its_url(server: Server, target: bytes, library: Any) -> None:
    """httpx writes the extension `target` onto the wire in place of the path that was judged."""
    good = f"http://api.example.com:{server.port}/x"
    guard = {"catalog": LOOPBACK, "permitted": [good], "resolver": here}

    async def main() -> None:
        async with library.AsyncClient(transport=AsyncGuardedTransport(**guard)) as client:
            await client.get(good, extensions={"target": target})

    with pytest.raises(DestinationRefused), library.Client(transport=GuardedTransport(**guard)) as client:
        client.get(good, extensions={"target": target})
    with pytest.raises(DestinationRefused):
        asyncio.run(main())
    assert server.seen == []


def test_proxies_of_the_environment_are_not_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets an environment variable does not choose where a call goes."""
    proxy = Server()
    try:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        good = f"http://api.example.com:{server.port}/x"
        guard = {"catalog": LOOPBACK, "permitted": [good], "resolver": here}
        assert with_httpx(good, **guard) == with_async_httpx(good, **guard) == 200
        assert with_httpx2(good, **guard) == with_async_httpx2(good, **guard) == 200
        with guarded_session(**guard) as session:
            assert session.get(good).status_code == 200
        assert (len(server.seen), proxy.seen) == (5, [])
    finally:
        proxy.close()


def test_one_transport_serves_the_clients_of_both_libraries_and_of_no_other(server: Server) -> None:
    good = f"http://api.example.com:{server.port}/x"
    transport = GuardedTransport(LOOPBACK, [good], resolver=here)
    # Newer clients of httpx2 refuse a transport with a class of httpx among its bases.
    assert isinstance(transport, httpx2.BaseTransport) and not isinstance(transport, httpx.BaseTransport)
    with transport:
        answers = [transport.handle_request(library.Request("GET", good)) for library in (httpx, httpx2)]
        assert [type(answer) for answer in answers] == [httpx.Response, httpx2.Response]
        for answer in answers:
            answer.close()
        with pytest.raises(TypeError, match="a request of httpx or httpx2 was expected"):
            transport.handle_request(requests.Request("GET", good).prepare())


@pytest.mark.parametrize("package", ["openai", "anthropic"])
def test_a_providers_client_goes_only_where_it_may(package: str, server: Server) -> None:
    """Their clients take an HTTP client; whichever library that is of, the transport is the same."""
    provider = pytest.importorskip(package)
    base = f"http://api.example.com:{server.port}"
    made = getattr(provider, "OpenAI", None) or provider.Anthropic
    transport = GuardedTransport(LOOPBACK, [f"{base}/permitted"], resolver=here)
    http = provider.DefaultHttpxClient(transport=transport)
    with made(api_key="k", base_url=base, http_client=http, max_retries=0) as client:
        assert client.get("/permitted", cast_to=str) == ""
        # Some of their releases wrap what a transport raises, some let it through.
        with pytest.raises((provider.APIConnectionError, DestinationRefused)) as refused:
            client.get("/elsewhere", cast_to=str)
    assert any(isinstance(error, DestinationRefused) for error in (refused.value, refused.value.__cause__))
    assert [path for _, path in server.seen] == ["/permitted"]


def test_a_guarded_session_has_no_other_way_out(server: Server) -> None:
    """A redirect to the scheme that nobody thought of mounting would go unguarded."""
    start = f"http://api.example.com:{server.port}/to"
    with guarded_session(LOOPBACK, [start], resolver=here) as session:
        assert set(session.adapters) == {"https://", "http://"}
        for target in ("https://inner.example.com/", "ftp://inner.example.com/", "file:///etc/passwd"):
            with pytest.raises((DestinationRefused, requests.exceptions.InvalidSchema)):
                session.get(f"{start}?{target}")


def test_a_proxy_is_refused(server: Server) -> None:
    """A proxy resolves the name itself, out of our sight."""
    good = f"http://api.example.com:{server.port}/x"
    with requests.Session() as session:
        session.mount("http://", GuardedAdapter(LOOPBACK, [good], resolver=here))
        with pytest.raises(DestinationRefused) as raised:
            session.get(good, proxies={"http": f"http://127.0.0.1:{server.port}"})
    assert raised.value.reason == "proxy_not_supported"
    assert server.seen == []


def test_a_network_with_ipv6_only_reaches_the_internet_through_its_gateway() -> None:
    """Its resolver answers with addresses that hold the name's IPv4 address: that one is judged, and the gateway's
    connected to."""
    place = read_url("http://api.example.com/")
    assert not isinstance(place, Ambiguous)
    answer = "64:ff9b::5db8:d822"
    assert Gatekeeper(NOTHING, []).passage(place, [answer]).address == answer
    inner = Gatekeeper(
        Catalog([CatalogEntry("ip", "10.0.0.0/8", Sensitivity.INTERNAL, None, None, None, None, HERE)]), []
    )
    assert inner.passage(place, ["64:ff9b::10.0.0.1"]).address == "64:ff9b::10.0.0.1"


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_the_internets_addresses_are_public(address: str) -> None:
    """The rule would be useless if it refused everything."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "100.64.0.1",
        "168.63.129.16",
        "192.0.2.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "ff02::1",
        "fec0::1",
        "2001:db8::1",
        "100.100.100.200",
        "169.254.170.2",
        "192.0.0.192",
        "192.88.99.1",
        "3fff::1",
        "5f00::1",
        "fd00:ec2::254",
        "fe80::1",
    ],
)
def test_special_addresses_are_not_public(address: str) -> None:
    """Shared, documentation, multicast and reserved ranges are nobody's service."""
    assert not is_public(address)


def test_a_refusal_says_nothing_and_survives_pickling() -> None:
    """A model may read the text; a worker process may send the exception."""
    refusal = pickle.loads(pickle.dumps(DestinationRefused("private_address")))
    assert (str(refusal), refusal.reason) == ("this destination was not allowed", "private_address")


# --- files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_bytes(b"inside")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    return folder


def read(root: Path, path: str) -> bytes:
    with open_under(str(root), path) as file:
        return file.read()


def test_a_file_below_the_root_opens_by_relative_and_absolute_path(root: Path) -> None:
    """What ``derive`` hands to the tool is absolute."""
    assert read(root, "sub/a.txt") == read(root, f"{root}/sub/a.txt") == b"inside"


@pytest.mark.parametrize(
    "path", ["../secret.txt", "sub/../../secret.txt", "/etc/passwd", "", ".", "sub", "a\0b", "~/x"]
)
def test_what_is_not_a_file_below_the_root_is_refused(root: Path, path: str) -> None:
    """By its letters already."""
    with pytest.raises(DestinationRefused):
        open_under(str(root), path)


def test_symlinks_are_refused_at_every_place_of_the_way(root: Path) -> None:
    """The last segment, a directory in the middle, absolute or relative targets, even ones that stay inside."""
    (root / "link.txt").symlink_to("../secret.txt")
    (root / "out").symlink_to("..")
    (root / "in").symlink_to("sub")
    for path in ("link.txt", "out/secret.txt", "in/a.txt"):
        with pytest.raises(DestinationRefused) as raised:
            open_under(str(root), path)
        assert raised.value.reason == "symlink_on_the_way"
    with pytest.raises(DestinationRefused):
        open_under(str(root), "link.txt", "wb")
    assert (root.parent / "secret.txt").read_bytes() == b"secret"


def test_a_pipe_is_refused_without_waiting(root: Path) -> None:
    """Opening a pipe would block the tool until somebody writes."""
    os.mkfifo(root / "pipe")
    for mode in ("rb", "wb"):
        with pytest.raises(DestinationRefused) as raised:
            open_under(str(root), "pipe", mode)  # type: ignore[arg-type]
        assert raised.value.reason == "not_a_file"


def test_the_modes_do_what_open_does(root: Path) -> None:
    """Write truncates, append appends, exclusive refuses what exists, and all are private to the user."""
    for mode, data, expected in (("xb", b"one", b"one"), ("ab", b"two", b"onetwo"), ("wb", b"3", b"3")):
        with open_under(str(root), "new.txt", mode) as file:  # type: ignore[arg-type]
            file.write(data)
        assert read(root, "new.txt") == expected
    with pytest.raises(FileExistsError):
        open_under(str(root), "new.txt", "xb")
    with pytest.raises(FileNotFoundError):
        open_under(str(root), "absent.txt")
    assert (root / "new.txt").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("folder", "mode"), [("relative", "rb"), ("/tmp/../tmp", "rb"), ("/tmp", "r+b"), ("/tmp", "r")]
)
def test_a_wrong_root_or_mode_is_the_developers_turn(folder: str, mode: Any) -> None:
    """Mistakes in code are not refusals of a destination."""
    with pytest.raises(ConfigurationError):
        open_under(folder, "x", mode)


def test_swapping_a_directory_for_a_symlink_never_leads_outside(root: Path) -> None:
    """The race that check-then-open loses: every open sees the inside or is refused."""
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "a.txt").write_bytes(b"secret")
    (root / "evil").symlink_to(outside)
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            os.rename(root / "sub", root / "kept")
            os.rename(root / "evil", root / "sub")
            os.rename(root / "sub", root / "evil")
            os.rename(root / "kept", root / "sub")

    swapper = threading.Thread(target=swap)
    swapper.start()
    outcomes: set[bytes | type[Exception]] = set()
    try:
        for _ in range(20_000):
            try:
                outcomes.add(read(root, "sub/a.txt"))
            except (DestinationRefused, FileNotFoundError) as error:
                outcomes.add(type(error))
            if outcomes >= {b"inside", DestinationRefused}:
                break
    finally:
        done.set()
        swapper.join()
    assert b"secret" not in outcomes
    assert b"inside" in outcomes


def test_no_descriptor_is_left_open(root: Path) -> None:
    """A refusal in the middle of the way must not leak what was opened before."""
    (root / "link").symlink_to("sub")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for path in ("link/a.txt", "sub", "sub/absent", "sub/a.txt/x"):
        with pytest.raises((DestinationRefused, OSError)):
            open_under(str(root), path)
    read(root, "sub/a.txt")
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_loopback_is_an_address_like_any_other() -> None:
    """The tests above would prove nothing if loopback were treated as public."""
    assert not is_public(str(ipaddress.ip_address("127.0.0.1")))


def test_a_guarded_client_asks_for_the_promise_too() -> None:
    """What the decision wanted a promise for, the connection wants it for."""
    address = "https://git.example.com/p/a%2fb"
    listed = CatalogEntry("url", "https://git.example.com/*", Sensitivity.INTERNAL, None, None, None, None, HERE)
    promised = replace(listed, promises=frozenset({"paths_as_written"}))
    with pytest.raises(DestinationRefused) as raised:
        Gatekeeper(Catalog([listed]), [address]).judge(address, None)
    assert raised.value.reason == "escaped_separator"
    assert Gatekeeper(Catalog([promised]), [address]).judge(address, None).id == "https://git.example.com/p/a%2Fb"
