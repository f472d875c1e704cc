"""Servers and files that are slow, wrong or changing: real ones on this machine, from threads and from a loop."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from identity_maker import AUDIENCE, DIGEST, KEY, OTHER, Key, at, claims, key_set, trust, verifier, word
from identity_servers import Script, serving, within

from agentguard.core.values import Unavailable
from agentguard.identity import (
    Assertion,
    AssertionRequest,
    CallableSource,
    CommandSource,
    GitHubActionsSource,
    JwksStore,
    KeySet,
    KubernetesSource,
    Verifier,
    obtain,
    obtain_async,
)
from agentguard.jose.fetch import Address, ReadFailed, get
from agentguard.jose.keys import MIN_INTERVAL, url_reader

REQUEST = AssertionRequest(AUDIENCE, DIGEST)


# Key servers


@contextmanager
def answering(answer: bytes, *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that sends these bytes to whoever connects, whatever is asked, and then closes. Its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                with connection, tls.wrap_socket(connection, server_side=True) if tls else connection as stream:
                    stream.recv(65536)
                    stream.sendall(answer)
            except OSError:
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _http(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, *(headers or (b"Content-Length: %d" % len(body),)), b"", b""]
    return b"\r\n".join(lines) + body


_GOOD = key_set(KEY)
CHUNKED = b"Transfer-Encoding: chunked"
# What a set looks like on its way here when something is wrong with the server, a proxy or the line.
ANSWERS: dict[str, bytes] = {
    "a gzip bomb": _http(gzip.compress(b" " * 50_000_000), b"Content-Encoding: gzip"),
    "a gzipped good set": _http(gzip.compress(_GOOD), b"Content-Encoding: gzip"),
    "cut short": _http(_GOOD[:-40], b"Content-Length: %d" % len(_GOOD)),
    "chunks past the limit": _http((b"80000\r\n" + b" " * 0x80000 + b"\r\n") * 2 + b"0\r\n\r\n", CHUNKED),
    "a chunk of a made-up length": _http(b"fffffffffffffff\r\n", CHUNKED),
    "a length below nothing": _http(_GOOD, b"Content-Length: -1") + b" " * 600_000,
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000,
    "one header without end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
    "continue without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    "no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n",
    "nothing": b"",
    "no content": _http(b"", status=b"204 No Content"),
    "moved for good": _http(b"", b"Location: http://127.0.0.1:1/", status=b"301 Moved Permanently"),
    "moved, with the keys": _http(_GOOD, status=b"308 Permanent Redirect"),
    "a web page": _http(b"<!doctype html><title>Sign in</title>", b"Content-Type: text/html"),
    "an error as JSON": _http(b'{"error": "not found"}'),
    "a discovery document": _http(b'{"issuer": "https://issuer.example", "jwks_uri": "https://issuer.example/k"}'),
    "one key instead of a set": _http(json.dumps(KEY.jwk).encode()),
    "a private key": _http(key_set({**KEY.jwk, **KEY.secret})),
    "the set twice": _http(_GOOD + _GOOD),
    "the set with a byte order mark": _http(b"\xef\xbb\xbf" + _GOOD),
    "deep JSON": _http(b'{"keys":' + b"[" * 100_000),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_a_key_server_sends_known_keys_serve_until_their_age(name: str) -> None:
    """And not a second longer, and never a key from an answer like these."""
    now, good = [0.0], [True]
    with answering(ANSWERS[name]) as port:
        read = url_reader(f"http://127.0.0.1:{port}/keys", deadline=2)
        store = JwksStore(lambda: _GOOD if good[0] else read(), KeySet.parse, max_age=100, clock=lambda: now[0])
        checker = Verifier(trust(), store)
        first = word(checker.verify(KEY.sign(claims()), now=at()))
        good[0], now[0] = False, 60.0
        second = word(checker.verify(KEY.sign(claims()), now=at()))
        unknown = word(checker.verify(OTHER.sign(claims()), now=at()))
        now[0] = 100.0
        last = word(checker.verify(KEY.sign(claims()), now=at()))

    assert (first, second, unknown, last) == ("accept", "accept", "keys_unavailable", "keys_unavailable")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody vouches for, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM) + private)
    return path


def test_keys_come_only_from_a_server_whose_certificate_holds(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's certificate, a name that is not in it, and plain HTTP where TLS is due: no. The right one: yes."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    with answering(_http(_GOOD), tls=server) as port, answering(_http(_GOOD)) as plain:
        with pytest.raises(ReadFailed, match="SSLCertVerificationError"):
            get(Address(f"https://localhost:{port}/k"), limit=5000, deadline=5)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert get(Address(f"https://localhost:{port}/k"), limit=5000, deadline=5) == _GOOD
        with pytest.raises(ReadFailed, match="SSLCertVerificationError"):
            get(Address(f"https://127.0.0.1:{port}/k"), limit=5000, deadline=5)
        with pytest.raises(ReadFailed, match="SSLError"):
            get(Address(f"https://localhost:{plain}/k"), limit=5000, deadline=5)


def test_no_proxy_of_the_environment_sees_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can set a variable must not become the key server."""
    proxy = Script(key_set(OTHER))
    with serving(proxy) as elsewhere, serving(Script(_GOOD)) as address:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, elsewhere)

        assert get(Address(f"{address}/keys"), limit=5000, deadline=5) == _GOOD
    assert proxy.seen == []


def test_a_flood_of_made_up_key_ids_is_one_question_in_ten_seconds() -> None:
    """From eight threads and for ever new ids; and the known key works all the while."""
    now, script = [0.0], Script(_GOOD)
    with serving(script) as address:
        store = JwksStore(url_reader(f"{address}/keys"), KeySet.parse, max_age=3600, clock=lambda: now[0])
        checker = Verifier(trust(), store)
        for second in (0.0, 5.0, MIN_INTERVAL, MIN_INTERVAL + 5):
            now[0] = second
            threads = [threading.Thread(target=_flood, args=(checker, n)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    assert len(script.seen) == 2


def _flood(checker: Verifier, number: int) -> None:
    for turn in range(10):
        assert word(checker.verify(KEY.sign(claims(), kid=f"made-up-{number}-{turn}"), now=at())) == "unknown_key"
        assert word(checker.verify(KEY.sign(claims()), now=at())) == "accept"


def test_a_rotated_key_works_and_the_old_one_ends() -> None:
    """The new key at its first token; the withdrawn one no later than when the set is read again."""
    now, script = [0.0], Script(key_set(KEY))
    with serving(script) as address:
        store = JwksStore(url_reader(f"{address}/keys"), KeySet.parse, max_age=100, clock=lambda: now[0])
        checker = Verifier(trust(), store)
        before = word(checker.verify(KEY.sign(claims()), now=at()))
        script.body, now[0] = key_set(OTHER), 20.0
        after = [word(checker.verify(key.sign(claims()), now=at())) for key in (KEY, OTHER, KEY)]

    assert (before, after) == ("accept", ["accept", "accept", "unknown_key"])


# Sources

PATIENCE = 20.0  # seconds; far more than an event loop that is free needs for its next turn


class Waits:
    """Something slow: it says that it was asked, then waits until the event loop lets it go on. What holds the loop
    meanwhile is never let go on, whatever the machine is doing. Files, so that a command can do it too."""

    def __init__(self, folder: Path) -> None:
        self.asked, self.go_on = folder / "asked", folder / "go on"

    def __call__(self) -> None:
        self.asked.touch()
        assert within(PATIENCE, self.go_on.exists), "nobody else got on meanwhile"

    async def until_asked(self) -> None:
        while not self.asked.exists():  # noqa: ASYNC110  it is asked on another thread
            await asyncio.sleep(0.005)

    async def let(self, asked: Awaitable[Any]) -> Any:
        """What is answered, when it was let go on by the loop in which it is asked."""
        task = asyncio.ensure_future(asked)
        await self.until_asked()
        self.go_on.touch()
        return await task


def _slow(waits: Waits, _: AssertionRequest) -> str:
    waits()
    return "a.b.c"


class _Slow:
    def __init__(self, waits: Waits) -> None:
        self._waits = waits

    def __call__(self, request: AssertionRequest) -> str:
        return _slow(self._waits, request)


def _plain(waits: Waits) -> CallableSource:
    def source(request: AssertionRequest) -> str:
        return _slow(waits, request)

    return CallableSource(source)


def _command(waits: Waits) -> CommandSource:
    loop = 'touch "$1"; while [ ! -e "$2" ]; do sleep 0.01; done; echo a.b.c'
    return CommandSource(["/bin/sh", "-c", loop, "sh", str(waits.asked), str(waits.go_on)], timeout=PATIENCE)


SLOW_SOURCES: dict[str, Callable[[Waits, str], Any]] = {
    "a plain function": lambda waits, _: _plain(waits),
    "a part of a function": lambda waits, _: CallableSource(partial(_slow, waits)),
    "a callable object": lambda waits, _: CallableSource(_Slow(waits)),
    "a command": lambda waits, _: _command(waits),
    "a runner": lambda _, address: GitHubActionsSource(
        environment={"ACTIONS_ID_TOKEN_REQUEST_URL": address, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"}, timeout=PATIENCE
    ),
}


@pytest.mark.parametrize("name", SLOW_SOURCES)
def test_a_slow_source_does_not_hold_the_event_loop(name: str, tmp_path: Path) -> None:
    """One slow token server would stall every agent in the process."""
    script, waits = Script(b'{"value": "a.b.c"}'), Waits(tmp_path)
    script.before = waits

    async def scenario(source: Any) -> Any:
        return await waits.let(obtain_async(source, REQUEST))

    with serving(script) as address:
        assert asyncio.run(scenario(SLOW_SOURCES[name](waits, address))) == Assertion("a.b.c")


def test_an_async_function_runs_in_the_callers_own_loop() -> None:
    """It may hold a client that belongs to that loop."""

    async def whose(_: AssertionRequest) -> str:
        return str(id(asyncio.get_running_loop()))

    class Object:
        async def __call__(self, request: AssertionRequest) -> str:
            return await whose(request)

    async def ask(source: CallableSource) -> bool:
        answer = await obtain_async(source, REQUEST)
        return answer == Assertion(str(id(asyncio.get_running_loop())))

    for function in (whose, partial(whose), Object(), lambda request: whose(request)):
        assert asyncio.run(ask(CallableSource(function)))


@pytest.mark.parametrize("name", [name for name in SLOW_SOURCES if name != "a command"])
def test_a_call_that_waits_for_a_slow_source_can_be_cancelled_at_once(name: str, tmp_path: Path) -> None:
    """The caller goes on; the thread ends by its own time limit and its answer is nobody's."""
    script, waits = Script(b'{"value": "a.b.c"}'), Waits(tmp_path)
    gave_up = []

    def wait() -> None:
        try:
            waits()
        except AssertionError:
            gave_up.append(name)

    script.before = wait

    async def scenario(source: Any) -> None:
        task = asyncio.ensure_future(obtain_async(source, REQUEST))
        await waits.until_asked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        waits.go_on.touch()  # only now: whoever waited for the source would have waited in vain

    with serving(script) as address:
        asyncio.run(scenario(SLOW_SOURCES[name](wait, address)))  # type: ignore[arg-type]
    assert gave_up == []


def test_many_slow_callers_share_nothing_but_the_wait() -> None:
    """Each of sixteen calls gets the token made for its own digest."""

    def echo(request: AssertionRequest) -> str:
        time.sleep(0.01)
        return request.request_digest

    async def scenario() -> list[Any]:
        source = CallableSource(echo)
        return await asyncio.gather(
            *(obtain_async(source, AssertionRequest(AUDIENCE, f"sha256:{n}")) for n in range(16))
        )

    assert [answer.token for answer in asyncio.run(scenario())] == [f"sha256:{n}" for n in range(16)]


def test_a_projected_token_is_whole_while_the_kubelet_replaces_it(tmp_path: Path) -> None:
    """As the kubelet does it: new directories, and one symbolic link moved over the last."""
    tokens = [KEY.sign(claims(jti=f"j-{n}")) for n in range(40)]
    first = tmp_path / "..0"
    first.mkdir()
    (first / "agentguard").write_text(tokens[0])
    (tmp_path / "..data").symlink_to("..0")
    (tmp_path / "agentguard").symlink_to("..data/agentguard")
    source, stop, seen = KubernetesSource(tmp_path / "agentguard"), threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            seen.append(obtain(source, REQUEST))

    reader = threading.Thread(target=read)
    reader.start()
    for turn, token in enumerate(tokens[1:], 1):
        fresh = tmp_path / f"..{turn}"
        fresh.mkdir()
        (fresh / "agentguard").write_text(token)
        (tmp_path / "..next").symlink_to(fresh.name)
        (tmp_path / "..next").rename(tmp_path / "..data")
    last = obtain(source, REQUEST)
    stop.set()
    reader.join()

    assert last == Assertion(tokens[-1])
    assert {answer.token for answer in seen if isinstance(answer, Assertion)} <= set(tokens)
    assert not [answer for answer in seen if isinstance(answer, Unavailable)]


def test_a_token_file_caught_half_written_is_refused_and_the_next_call_works(tmp_path: Path) -> None:
    """Not every writer moves a finished file into place; half a token is no token."""
    token, path = KEY.sign(claims()), tmp_path / "token"
    source, checker = KubernetesSource(path), verifier()
    words = []
    for length in (0, 10, len(token) // 2, len(token) - 1, len(token)):
        path.write_text(token[:length])
        given = obtain(source, REQUEST)
        words.append(word(given) if isinstance(given, Unavailable) else word(checker.verify(given, now=at())))

    assert words[0] == "missing"
    assert set(words[1:-1]) <= {"malformed", "bad_signature"}
    assert words[-1] == "accept"


def test_verification_by_a_slow_key_server_does_not_hold_the_event_loop(tmp_path: Path) -> None:
    """A verifier that may wait says so, and the guard then asks it on a thread."""
    script, waits = Script(key_set(Key("k9"))), Waits(tmp_path)
    script.before = waits
    with serving(script) as address:
        store = JwksStore(url_reader(f"{address}/keys"), KeySet.parse, max_age=100)
        checker = Verifier(trust(), store)
        asked = asyncio.to_thread(checker.verify, KEY.sign(claims()), now=at())
        answer = asyncio.run(waits.let(asked))

    assert checker.may_block
    assert word(answer) == "unknown_key"
