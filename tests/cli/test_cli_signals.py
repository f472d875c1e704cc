"""Receiving signals from the command line: over real HTTP, from a real process, and told clearly when it cannot be."""

from __future__ import annotations

import http.client
import io
import json
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from identity.identity_maker import OTHER, key_set
from identity.identity_servers import within
from signals.signals_maker import AUDIENCE, ISSUER, KEY, NOW, SUBJECT, claims, signed
from signals.signals_servers import Transmitter, send, serving
from starlette.applications import Starlette
from starlette.routing import Route

from agentguard import Guard, ToolCallDenied
from agentguard.ledger import open_ledger
from cli.conftest import ROOT, Call, hears_interrupts, real
from cli.test_cli_use import is_clear

WORKFLOW = f"""
apiVersion: agentguard/v1
kind: Workflow
metadata: {{name: notes, version: 1, owner: us, review_by: 2099-12-31}}
subjects: ["{SUBJECT}"]
steps:
  look: {{tool: notes.read, arguments: {{}}}}
---
apiVersion: agentguard/v1
kind: Tools
tools:
  notes.read: {{effect: read, aliases: [look]}}
---
apiVersion: agentguard/v1
kind: Trust
issuers:
  - name: local
    profile: local
    issuer: urn:agentguard:local
    audience: agentguard
    max_age: 60s
    max_lifetime: 60s
    subjects: ["{SUBJECT}"]
"""
STREAM = f"  - {{name: idp, issuer: '{ISSUER}', audience: '{AUDIENCE}', keys_file: idp.json"


def named(stream: str, name: str) -> str:
    """The same stream under another name, with an audience of its own."""
    return stream.replace("idp,", f"{name},").replace(AUDIENCE, f"{AUDIENCE}/{name}")


TYPE = {"Content-Type": "application/secevent+jwt"}


def write(directory: Path, *streams: str) -> Path:
    """A bundle with these streams; each continues a YAML flow mapping."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "idp.json").write_bytes(key_set(KEY))
    (directory / "notes.yaml").write_text(WORKFLOW)
    trust = "apiVersion: agentguard/v1\nkind: Trust\n"
    lines = "".join(f"{stream}}}\n" for stream in streams)
    (directory / "trust.yaml").write_text(trust + (f"streams:\n{lines}" if streams else ""))
    return directory


def fresh(event: str = "risk-level-change", **over: Any) -> str:
    """A token that was issued just now."""
    return KEY.sign(claims(event, iat=int(time.time()), **over), typ="secevent+jwt")


def heard(ledger: Path) -> list[dict[str, Any]]:
    from agentguard.guard import Operations
    from agentguard.ledger import RecordFilter

    opened = open_ledger(ledger)
    try:
        return list(Operations(opened).records(RecordFilter(kind="signal")))
    finally:
        opened.shut()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """``agentguard signals serve`` as its own process: the process, its port, its bundle."""
    bundle = write(tmp_path / "bundle", STREAM)
    command = "import sys; from agentguard.cli import main; sys.exit(main())"
    arguments = ["signals", "serve", str(bundle), "--port", "0", "--ledger", str(tmp_path / "ledger.sqlite3")]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hears_interrupts,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening: http://127.0.0.1:") and line.endswith("/idp\n"), line
        yield process, int(line.split(":")[3].partition("/")[0]), bundle
    finally:
        process.kill()
        process.communicate()


def test_serve_takes_events_follows_its_bundle_and_ends_cleanly(
    server: tuple[subprocess.Popen[str], int, Path], tmp_path: Path
) -> None:
    """A revoked key stops at the next event; a broken bundle leaves the one in force; Ctrl-C leaves nothing behind."""
    process, port, bundle = server
    assert send(port, "/idp", fresh().encode(), TYPE).status == 202
    assert send(port, "/idp", b"garbage", TYPE).status == 400
    (bundle / "trust.yaml").write_text("not: a trust")
    assert send(port, "/idp", fresh(jti="j-2").encode(), TYPE).status == 202
    write(bundle, STREAM + ", revoked_keys: [s1]")
    assert send(port, "/idp", fresh(jti="j-3").encode(), TYPE).status == 400
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Traceback" not in err
    assert "an event of stream `idp` was refused: malformed" in err
    assert "the old one stays in force" in err
    assert [record["assertion_id"] for record in heard(tmp_path / "ledger.sqlite3")] == ["j-1", "j-2"]


def test_what_one_process_receives_another_obeys_at_its_next_call(
    server: tuple[subprocess.Popen[str], int, Path], tmp_path: Path
) -> None:
    """The receiver runs beside the agents; all they share is the ledger."""
    _, port, bundle = server

    def look() -> str:
        """Read the notes."""
        return "notes"

    with Guard.load(bundle, ledger=tmp_path / "ledger.sqlite3", home=tmp_path / "home") as guard:
        guarded = guard.wrap(look)
        for number in range(20):
            with guard.run("notes") as run:
                session = {"format": "opaque", "id": run.id}
                assert guarded() == "notes"
                told = fresh("session-revoked", jti=f"s-{number}", subject=session, said={"event_timestamp": None})
                assert send(port, "/idp", told.encode(), TYPE).status == 202
                with pytest.raises(ToolCallDenied):
                    guarded()
        denied = [record["reasons"] for record in guard.records(kind="decision", effect="deny")]
    assert denied == [["run_stopped"]] * 20


def test_poll_once_fetches_what_there_is_and_says_so(tmp_path: Path, call: Call) -> None:
    """Run it from a timer. The second time there is nothing new."""
    idp = Transmitter()
    idp.waiting = {"a": fresh(jti="a"), "b": fresh(jti="b")}
    with serving(Starlette(routes=[Route("/poll", idp.answer, methods=["POST"])])) as port:
        bundle = write(tmp_path / "bundle", f"{STREAM}, poll_url: 'http://127.0.0.1:{port}/poll'")
        arguments = ("signals", "poll", bundle, "--once", "--ledger", tmp_path / "ledger.sqlite3")
        first, second = call(*arguments), call(*arguments)
        idp.waiting = {"c": "garbage"}
        third = call(*arguments)
        idp.waiting = {"c": "garbage"}

    assert (first.code, first.out) == (0, "idp: 2 new, 0 heard before, 0 refused\n")
    assert (second.code, second.out) == (0, "idp: 0 new, 0 heard before, 0 refused\n")
    assert (third.code, third.out) == (1, "idp: 0 new, 0 heard before, 1 refused\n")
    assert len(heard(tmp_path / "ledger.sqlite3")) == 2


def test_poll_asks_every_stream_whatever_became_of_the_one_before(tmp_path: Path, call: Call) -> None:
    """One transmitter that is down must not silence the others."""
    idp = Transmitter()
    idp.waiting = {"a": fresh(jti="a")}
    with serving(Starlette(routes=[Route("/poll", idp.answer, methods=["POST"])])) as port:
        down = named(STREAM, "down") + ", poll_url: 'http://127.0.0.1:1/poll'"
        bundle = write(tmp_path / "bundle", down, f"{STREAM}, poll_url: 'http://127.0.0.1:{port}/poll'")
        ended = call("signals", "poll", bundle, "--once", "--ledger", tmp_path / "ledger.sqlite3")

    assert ended.code == 1
    assert ended.out.splitlines()[0].startswith("down: `http://127.0.0.1")
    assert ended.out.splitlines()[1] == "idp: 1 new, 0 heard before, 0 refused"


def test_poll_goes_on_until_it_is_interrupted(tmp_path: Path) -> None:
    """What came is durable, and it ends at once."""
    idp = Transmitter()
    idp.waiting = {"a": fresh(jti="a")}
    ledger = tmp_path / "ledger.sqlite3"
    with serving(Starlette(routes=[Route("/poll", idp.answer, methods=["POST"])])) as port:
        bundle = write(tmp_path / "bundle", f"{STREAM}, poll_url: 'http://127.0.0.1:{port}/poll'")
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from agentguard.cli import main; sys.exit(main())",
             "signals", "poll", str(bundle), "--ledger", str(ledger)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hears_interrupts,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "polling: idp\n"
            assert within(30, lambda: any(asked["ack"] == ["a"] for asked in idp.questions))
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()

    assert (process.returncode, "Traceback" in err) == (130, False), err
    assert [record["assertion_id"] for record in heard(ledger)] == ["a"]


VERIFY = ("--issuer", ISSUER, "--audience", AUDIENCE, "--now", str(NOW))


def _verify(
    token: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch, *more: str
) -> tuple[int, dict[str, Any]]:
    (tmp_path / "keys.json").write_bytes(key_set(KEY))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(token.encode())))
    ended = call("signals", "verify", "--keys", tmp_path / "keys.json", *VERIFY, *more)
    return ended.code, json.loads(ended.out)


def test_verify_says_what_an_event_would_do(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """To try a transmitter out before it is trusted."""
    code, told = _verify(signed("risk-level-change"), tmp_path, call, monkeypatch)

    assert (code, told["verdict"], told["reason"], told["err"]) == (0, "accept", "", None)
    assert told["signals"] == [
        {
            "event": "risk-level-change",
            "effect": "set_risk",
            "time": "2026-09-21T14:13:20Z",
            "about": SUBJECT,
            "run": None,
            "risk": "high",
        }
    ]


@pytest.mark.parametrize(
    ("token", "more", "reason", "err"),
    [
        (signed(key=OTHER), (), "unknown_key", "invalid_key"),
        (signed(iat=NOW + 6), (), "issued_in_future", None),
        (signed(said={"event_timestamp": "x"}), (), "invalid_event", "invalid_request"),
        (signed() + "\n", (), "malformed", "invalid_request"),
        ("x" * 40_000, (), "too_large", "invalid_request"),
        (signed(), ("--revoked", "s1"), "revoked_key", "invalid_key"),
        (signed(), ("--audience", "https://other.example"), "wrong_audience", "invalid_audience"),
    ],
)
def test_verify_says_why_an_event_is_refused(
    token: str, more: tuple[str, ...], reason: str, err: str | None, tmp_path: Path, call: Call, monkeypatch: Any
) -> None:
    """Both our code and RFC 8935's, if that is what its transmitter would be told."""
    code, told = _verify(token, tmp_path, call, monkeypatch, *more)

    assert (code, told) == (1, {"verdict": "deny", "reason": reason, "err": err, "signals": []})


def test_status_shows_which_streams_are_silent(tmp_path: Path, call: Call) -> None:
    """Silent for longer than Trust allows, paused, or never heard at all."""
    needed = STREAM + ", max_silence: 10m, required_for: [secret]"
    names = ("fresh", "old", "paused", "never")
    bundle = write(tmp_path / "bundle", *(named(needed, name) for name in names), named(STREAM, "any"))
    ledger = open_ledger(tmp_path / "ledger.sqlite3")
    now = time.time()
    for name, age, status in (("fresh", 5, "enabled"), ("old", 601, "enabled"), ("paused", 5, "paused")):
        heard = datetime.fromtimestamp(now - age, UTC)
        said = {"kind": "signal", "time": heard.isoformat().replace("+00:00", "Z"), "outcome": status, "by": name}
        ledger.stream_heard(name, at=heard, status=status, record=said).result()
    ledger.shut()
    told = json.loads(call("signals", "status", bundle, "--json", "--ledger", tmp_path / "ledger.sqlite3").out)
    shown = call("signals", "status", bundle, "--ledger", tmp_path / "ledger.sqlite3")

    assert {row["stream"]: row["silent"] for row in told} == {
        "fresh": False,
        "old": True,
        "paused": True,
        "never": True,
        "any": None,
    }
    assert told[3]["status"] == "never heard" and told[0]["needed_for"] == ["secret"]
    assert shown.code == 0 and "never heard" in shown.out and "NEEDED FOR" in shown.out


@pytest.mark.parametrize(
    ("streams", "arguments", "words"),
    [
        ((STREAM,), ("serve", "--host", "0.0.0.0"), "not loopback"),
        ((STREAM,), ("serve", "--certificate", "cert.pem"), "--key"),
        ((STREAM,), ("serve", "--certificate", "gone.pem", "--key", "gone.key"), "gone.pem"),
        ((STREAM,), ("serve", "--port", "70000"), "--port: expected"),
        ((), ("serve",), "no stream that is pushed"),
        ((STREAM + ", poll_url: 'https://idp.example/poll'",), ("serve",), "no stream that is pushed"),
        ((STREAM + ", authorization_env: NOT_SET_ANYWHERE",), ("serve",), "`NOT_SET_ANYWHERE` must hold"),
        ((STREAM.replace("idp.json", "gone.json"),), ("serve",), "gone.json"),
        ((STREAM.replace("idp.json", "gone.json"),), ("status",), "gone.json"),
        ((STREAM,), ("poll",), "no stream with a `poll_url`"),
        ((STREAM,), ("poll", "--once"), "no stream with a `poll_url`"),
    ],
    ids=str,
)
def test_what_cannot_be_served_or_polled_is_one_clear_line(
    streams: tuple[str, ...], arguments: tuple[str, ...], words: str, tmp_path: Path, call: Call
) -> None:
    """Before anything listens, so that nobody believes that signals are being heard."""
    bundle = write(tmp_path / "bundle", *streams)
    ended = call("signals", arguments[0], bundle, *arguments[1:], "--ledger", tmp_path / "ledger.sqlite3")

    assert ended.code == 2
    assert is_clear(ended), ended.err
    assert words in ended.err


def test_events_can_be_taken_over_tls(tmp_path: Path) -> None:
    """Anywhere but on loopback that is the only way."""
    certificate, key = self_signed(tmp_path)
    bundle = write(tmp_path / "bundle", STREAM)
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from agentguard.cli import main; sys.exit(main())",
         "signals", "serve", str(bundle), "--port", "0", "--ledger", str(tmp_path / "ledger.sqlite3"),
         "--certificate", str(certificate), "--key", str(key)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hears_interrupts,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().removeprefix("listening: https://127.0.0.1:").partition("/")[0])
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
        connection.request("POST", "/idp", fresh().encode(), TYPE)
        assert connection.getresponse().status == 202
        connection.close()
    finally:
        process.kill()
        process.communicate()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, private


def test_a_port_that_is_taken_is_said(tmp_path: Path, call: Call) -> None:
    """Another process listening there would take our events."""
    bundle = write(tmp_path / "bundle", STREAM)
    with serving(Starlette()) as port:
        ended = call("signals", "serve", bundle, "--port", str(port), "--ledger", tmp_path / "ledger.sqlite3")

    assert ended.code == 2
    assert is_clear(ended)
    assert f"port {port}" in ended.err


def test_without_its_extra_serve_says_what_to_install(tmp_path: Path) -> None:
    """Everything else works without a web server."""
    bundle = write(tmp_path / "bundle", STREAM)
    (tmp_path / "hide" / "starlette").mkdir(parents=True)
    (tmp_path / "hide" / "starlette" / "__init__.py").write_text("raise ImportError('not installed')")
    ended = real(
        "signals", "serve", bundle, "--ledger", tmp_path / "ledger.sqlite3",
        env={"PYTHONPATH": f"{tmp_path / 'hide'}:{ROOT}"},
    )  # fmt: skip

    assert ended.code == 2
    assert "pip install 'agentguard[server]'" in ended.err


def test_check_finds_a_stream_that_could_not_be_listened_to(tmp_path: Path, call: Call) -> None:
    """With the file and the line, before anything depends on it."""
    bundle = write(tmp_path / "bundle", STREAM + ", algorithms: [none]")
    ended = call("check", bundle)

    assert ended.code == 1
    assert "trust.yaml:4: " in ended.out and "is not an algorithm" in ended.out
