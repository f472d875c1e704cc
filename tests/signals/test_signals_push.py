"""The push endpoint over real HTTP: one token, one answer, and nothing told to strangers (RFC 8935)."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from agentguard.errors import ConfigurationError, LedgerError
from agentguard.server import push
from agentguard.server.push import push_app
from agentguard.signals import MAX_SET_BYTES, Streams
from signals.conftest import Stage
from signals.signals_maker import NOW, OTHER, SSF, SUBJECT, Bench, claims, signed, trust
from signals.signals_servers import Answer, send, serving

SET = {"Content-Type": "application/secevent+jwt"}
SECRET = "Bearer s3cr3t-of-the-stream"
AUTHORIZED = {**SET, "Authorization": SECRET}


class Server(Bench):
    """A bench behind a real endpoint."""

    port = 0

    def post(self, token: str | bytes | None = None, headers: Any = SET, path: str = "/idp") -> Answer:
        body = signed() if token is None else token
        return send(self.port, path, body.encode() if isinstance(body, str) else body, headers)


@pytest.fixture
def server(tmp_path: Path, stage: Stage) -> Server:
    made = Server(tmp_path)
    stage.app, made.port = push_app(made.receiver), stage.port
    return made


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage) -> Server:
    """One whose transmitter must say a secret."""
    monkeypatch.setenv("IDP_PUSH", SECRET)
    made = Server(tmp_path, authorization_env="IDP_PUSH")
    stage.app, made.port = push_app(made.receiver), stage.port
    return made


def test_a_good_token_is_accepted_once_it_is_applied_and_again_when_it_comes_again(server: Server) -> None:
    """202 and nothing else; the second is no error, or the transmitter would send it for ever."""
    answers = [server.post(), server.post()]

    assert [(a.status, a.body) for a in answers] == [(202, b""), (202, b"")]
    assert [signal.about for signal in server.hand.applied] == [SUBJECT]


@pytest.mark.parametrize(
    ("token", "error", "code"),
    [
        (signed(key=OTHER), "invalid_key", "unknown_key"),
        (signed()[:-8] + "AAAAAAAA", "authentication_failed", "bad_signature"),
        (signed(iss="https://evil.example"), "invalid_issuer", "wrong_issuer"),
        (signed(aud="https://evil.example"), "invalid_audience", "wrong_audience"),
        (signed(exp=NOW + 60), "invalid_request", "has_expiry"),
        (signed("risk-level-change", said={"current_level": "secret-word"}), "invalid_request", "invalid_event"),
        ("not a token", "invalid_request", "malformed"),
        ("", "invalid_request", "malformed"),
        (b"\xff\x00\xfe", "invalid_request", "malformed"),
    ],
)
def test_a_refusal_is_told_in_the_words_of_rfc_8935_and_no_others(
    server: Server, token: str | bytes, error: str, code: str
) -> None:
    """Which rule failed helps its operator; what it held, or what we expected, would help an attacker."""
    answer = server.post(token)

    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == {"err": error, "description": f"the token was refused: {code}"}
    assert server.hand.applied == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/jwt"},
        {"Content-Type": "application/secevent+jwt2"},
        [*SET.items(), ("Content-Type", "application/json")],
        {**SET, "Content-Encoding": "gzip"},
    ],
)
def test_another_content_type_is_refused(server: Server, headers: Any) -> None:
    """Two types, or a compressed body, are two readings of one request."""
    assert server.post(headers=headers).status == 415
    assert server.hand.applied == []


def test_the_content_type_may_be_written_in_any_case_and_with_parameters(server: Server) -> None:
    """RFC 9110 section 8.3: media types are compared so."""
    assert server.post(headers={"content-type": "Application/SecEvent+JWT; charset=utf-8"}).status == 202


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_only_post_is_answered(server: Server, method: str) -> None:
    """A mail scanner that follows links must not be able to do anything."""
    assert send(server.port, "/idp", None, SET, method).status == 405


@pytest.mark.parametrize("path", ["/", "/other", "/idp/", "/idp/x", "/IDP", "/idp%00", "/%2e%2e/idp"])
def test_an_address_of_no_stream_is_nowhere(server: Server, path: str) -> None:
    """The stream is the address, letter for letter."""
    assert server.post(path=path).status == 404
    assert server.hand.applied == []


def test_a_stream_that_is_polled_is_not_pushed(tmp_path: Path) -> None:
    """Security chose how its events come. Where all are polled, there is nothing to serve."""
    made = Server(tmp_path, poll_url="http://127.0.0.1:1/poll")
    with pytest.raises(ConfigurationError, match="no stream that is pushed"):
        push_app(made.receiver)
    pushed = trust(name="mdm", issuer="https://mdm.example")
    made.streams = Streams((*made.streams.trusts, pushed), tmp_path)
    with serving(push_app(made.receiver)) as made.port:
        assert made.post().status == 404


def test_the_authorization_that_trust_names_is_asked_for(guarded: Server) -> None:
    """A signature says who wrote the event; this says who may send it."""
    assert guarded.post(headers=AUTHORIZED).status == 202


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        (SET, 401, "authentication_failed"),
        ({**SET, "Authorization": ""}, 403, "access_denied"),
        ({**SET, "Authorization": SECRET[:-1]}, 403, "access_denied"),
        ({**SET, "Authorization": SECRET + "x"}, 403, "access_denied"),
        ({**SET, "Authorization": SECRET.lower()}, 403, "access_denied"),
        ({**SET, "Authorization": "b\xe4rer"}, 403, "access_denied"),
        ([*AUTHORIZED.items(), ("Authorization", SECRET)], 403, "access_denied"),
        ([*AUTHORIZED.items(), ("Authorization", "Bearer x")], 403, "access_denied"),
    ],
)
def test_a_wrong_authorization_is_refused_before_the_token_is_looked_at(
    guarded: Server, headers: Any, status: int, error: str
) -> None:
    """Two of them are none: proxies disagree about which counts."""
    answer = guarded.post("garbage", headers)

    assert (answer.status, json.loads(answer.body)["err"]) == (status, error)
    assert SECRET not in answer.body.decode()


def test_a_push_that_is_turned_away_is_told_to_our_own_people(
    guarded: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """A transmitter with the wrong secret is a stream that says nothing. No address can forge a line."""
    guarded.post(headers=SET)
    guarded.post(path="/a%0aforged")
    guarded.post(path="/" + "x" * 3000)

    assert "a push to stream `idp` was answered 401" in caplog.text
    assert "a push to stream `a\\nforged` was answered 404" in caplog.text
    assert "x" * 100 in caplog.text and "x" * 101 not in caplog.text
    assert SECRET not in caplog.text


def test_an_authorization_that_is_gone_from_the_environment_accepts_nobody(
    guarded: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing to compare with is not the same as nothing to ask for."""
    monkeypatch.delenv("IDP_PUSH")
    assert guarded.post(headers=AUTHORIZED).status == 503
    assert guarded.post(headers=SET).status == 503
    assert guarded.hand.applied == []


@pytest.mark.parametrize("value", [None, "", " Bearer x", "Bearer x\n", "Bearer \xe4"])
def test_an_endpoint_without_its_secret_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """Its operator hears of it, and not the transmitter."""
    monkeypatch.delenv("IDP_PUSH", raising=False)
    if value is not None:
        monkeypatch.setenv("IDP_PUSH", value)
    made = Server(tmp_path, authorization_env="IDP_PUSH")

    with pytest.raises(ConfigurationError, match="`IDP_PUSH` must hold"):
        push_app(made.receiver)


def test_a_body_past_the_limit_is_refused_without_being_read(server: Server) -> None:
    """Said in advance, or found out while it comes."""
    assert server.post("x" * (MAX_SET_BYTES + 1)).status == 413
    chunk = b"%x\r\n%b\r\n" % (MAX_SET_BYTES + 1, b"x" * (MAX_SET_BYTES + 1))
    assert server.post(chunk + b"0\r\n\r\n", {**SET, "Transfer-Encoding": "chunked"}).status == 413


def test_a_token_may_come_in_pieces(server: Server) -> None:
    """Chunked bodies are how some clients send."""
    token = signed().encode()
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in token) + b"0\r\n\r\n"

    assert server.post(body, {**SET, "Transfer-Encoding": "chunked"}).status == 202


def test_a_body_that_does_not_come_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is held open is a turn that others do not get."""
    monkeypatch.setattr(push, "BODY_SECONDS", 0.05)

    assert server.post(b"abc", {**SET, "Content-Length": "100"}).status == 408


def test_a_sender_that_hangs_up_halfway_changes_nothing(server: Server) -> None:
    """And the next one is served."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /idp HTTP/1.1\r\nHost: x\r\nContent-Type: application/secevent+jwt\r\n")
        connection.sendall(b"Content-Length: 1000\r\n\r\nabc")

    assert server.post().status == 202
    assert len(server.hand.applied) == 1


def test_what_could_not_be_recorded_is_not_accepted(server: Server) -> None:
    """The transmitter sends it again, and then it counts."""
    server.hand.broken = LedgerError("the disk is full; /var/secret/path")
    refused = server.post()
    server.hand.broken = None

    assert (refused.status, refused.body) == (503, b"")
    assert int(refused.headers["retry-after"]) > 0
    assert server.hand.applied == []
    assert server.post().status == 202
    assert len(server.hand.applied) == 1


def test_a_defect_of_ours_is_not_told(server: Server) -> None:
    """No 202, and no word of what broke."""
    server.hand.broken = RuntimeError("/var/secret/path")
    answer = server.post()

    assert answer.status == 500
    assert b"secret" not in answer.body


def test_keys_that_cannot_be_had_ask_for_the_token_again(tmp_path: Path) -> None:
    """A refusal would lose the signal, and the fault is not the token's."""
    made = Server(tmp_path, keys_file=None, keys_url="http://127.0.0.1:1/jwks.json")
    with serving(push_app(made.receiver)) as made.port:
        assert made.post().status == 503


def test_many_transmitters_at_once_are_all_answered_and_each_token_counts_once(server: Server) -> None:
    """Twelve tokens, each sent by eight connections at the same time."""
    tokens = [signed(jti=f"j-{n}") for n in range(12)] * 8
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda token: server.post(token).status, tokens))

    assert statuses == [202] * 96
    assert len(server.hand.applied) == 12


def test_one_slow_ledger_write_does_not_hold_up_a_refusal(server: Server) -> None:
    """The endpoint waits for the ledger on a thread; the loop goes on."""
    entered, go_on = threading.Event(), threading.Event()
    apply = server.hand.apply

    def slow(*given: Any, **named: Any) -> bool:
        entered.set()
        assert go_on.wait(10)
        return apply(*given, **named)

    server.hand.apply = slow  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.post)
        assert entered.wait(10)
        refused = server.post("garbage")
        go_on.set()

    assert (refused.status, first.result().status) == (400, 202)


def test_the_application_can_be_mounted_in_anothers(tmp_path: Path) -> None:
    """Two lines for a service that serves HTTP already."""
    made = Server(tmp_path)
    with serving(Starlette(routes=[Mount("/signals", push_app(made.receiver))])) as made.port:
        assert made.post(path="/signals/idp").status == 202


def test_each_stream_has_its_own_address_and_keys(tmp_path: Path) -> None:
    """A token of one stream pushed to another's address is another issuer's."""
    made = Server(tmp_path)
    second = trust(name="mdm", issuer="https://mdm.example")
    made.streams = Streams((*made.streams.trusts, second), tmp_path)
    with serving(push_app(made.receiver)) as made.port:
        assert json.loads(made.post(path="/mdm").body)["err"] == "invalid_issuer"
        assert made.post(signed(iss="https://mdm.example"), path="/mdm").status == 202
    assert [signal.source for signal in made.hand.applied] == ["mdm"]


def test_a_stream_that_is_paused_is_told_to_the_ledger(server: Server) -> None:
    """Over HTTP as in the reader."""
    said = claims(f"{SSF}stream-updated", said={"status": "paused"})
    assert server.post(signed(events=said["events"])).status == 202
    assert server.hand.statuses == ["paused"]
