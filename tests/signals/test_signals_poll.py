"""Polling a real transmitter over HTTP: what is durable is acknowledged, and nothing else (RFC 8936)."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from identity.identity_servers import within
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentguard.errors import ConfigurationError, LedgerError
from agentguard.jose.fetch import ReadFailed
from agentguard.signals import Poller, poll
from signals.conftest import Stage
from signals.signals_maker import OTHER, Bench, signed, trust
from signals.signals_servers import Transmitter


class Line(Bench):
    """A transmitter, and a poller that asks it."""

    def __init__(self, directory: Path, port: int, transmitter: Transmitter, **over: Any) -> None:
        super().__init__(directory, poll_url=f"http://127.0.0.1:{port}/poll", **over)
        self.idp = transmitter
        self.poller = Poller(self.streams.trusts[0], self.receiver)

    def heard(self) -> set[str]:
        return {name for _, name in self.hand.heard}


@pytest.fixture
def line(tmp_path: Path, stage: Stage) -> Line:
    idp = Transmitter()
    stage.app = Starlette(routes=[Route("/poll", idp.answer, methods=["POST"])])
    return Line(tmp_path, stage.port, idp)


def test_everything_is_taken_and_acknowledged_after_it_is_durable(line: Line) -> None:
    """The last question asks for nothing: it only acknowledges."""
    line.idp.tell("a", "b", "c")
    line.poller.everything()

    assert line.heard() == {"a", "b", "c"}
    assert line.idp.waiting == {}
    first, last = line.idp.questions
    assert first == {"maxEvents": 50, "returnImmediately": True, "ack": []}
    assert last == {"maxEvents": 0, "returnImmediately": True, "ack": ["a", "b", "c"]}


def test_a_long_queue_is_taken_page_by_page(line: Line) -> None:
    """Fifty at a time, each page acknowledged with the next question."""
    line.idp.tell(*(f"j-{n}" for n in range(120)))
    polled = line.poller.everything()

    assert [len(page.received) for page in polled] == [50, 50, 20]
    assert len(line.heard()) == 120
    assert line.idp.waiting == {}


def test_a_token_that_is_refused_is_reported_and_never_acknowledged(line: Line) -> None:
    """Its operator must learn that a signal took no effect; the good ones around it do."""
    line.idp.tell("a", "c")
    line.idp.waiting |= {"b": signed(jti="b", key=OTHER), "d": signed(jti="d", exp=1), "e": "garbage"}
    line.poller.everything()

    assert line.heard() == {"a", "c"}
    assert [acked for asked in line.idp.questions for acked in asked["ack"]] == ["a", "c"]
    assert line.idp.errors == {
        "b": {"err": "invalid_key", "description": "refused: unknown_key"},
        "d": {"err": "invalid_request", "description": "refused: has_expiry"},
        "e": {"err": "invalid_request", "description": "refused: malformed"},
    }


def test_what_could_not_be_made_durable_is_not_acknowledged(line: Line) -> None:
    """A full disk: the transmitter keeps its tokens, and gives them again."""
    line.idp.tell("a")
    line.hand.broken = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        line.poller.everything()
    line.hand.broken = None
    line.poller.everything()

    assert line.heard() == {"a"}
    assert [asked["ack"] for asked in line.idp.questions] == [[], [], ["a"]]


def test_what_was_made_durable_before_a_failure_is_acknowledged_after_it(line: Line) -> None:
    """Half a page: the first token counts, the second comes again."""
    line.idp.tell("a", "b")
    apply = line.hand.apply

    def fails_at_b(identifier: tuple[str, str], *rest: Any, **named: Any) -> bool:
        if identifier[1] == "b" and len(line.idp.questions) == 1:
            raise LedgerError("the disk is full")
        return apply(identifier, *rest, **named)

    line.hand.apply = fails_at_b  # type: ignore[method-assign]
    with pytest.raises(LedgerError):
        line.poller.ask()
    line.poller.everything()

    assert [asked["ack"] for asked in line.idp.questions] == [[], ["a"], ["b"]]
    assert line.heard() == {"a", "b"}


def test_a_token_whose_keys_cannot_be_had_is_left_with_the_transmitter(line: Line) -> None:
    """Neither acknowledged nor reported: it comes again, and then it counts."""
    line.idp.tell("a")
    good = line.streams
    line.streams = type(good)((trust(keys_file="gone.json"),), good.directory)
    polled = line.poller.everything()
    line.streams = good
    line.poller.everything()

    assert [refused.try_again for page in polled for refused in page.refused] == [True]
    assert line.idp.errors == {}
    assert line.heard() == {"a"}


def test_a_transmitter_that_repeats_everything_is_heard_once_and_does_not_keep_us(line: Line) -> None:
    """Replays are no news, and no reason to ask on."""
    line.idp.forgets_nothing = True
    line.idp.tell(*(f"j-{n}" for n in range(60)))
    polled = line.poller.everything()

    assert len(polled) == 2
    assert len(line.hand.applied) == 50


def test_tokens_in_the_wrong_order_are_all_taken(line: Line) -> None:
    """Which of two words counts is settled by their own times, not by their places in an answer."""
    line.idp.tell("late", iat=1_789_999_000)
    line.idp.tell("early", iat=1_789_000_000)
    line.poller.everything()

    assert line.heard() == {"late", "early"}
    assert [s.at < line.now for s in line.hand.applied] == [True, True]


GARBAGE: dict[str, Response] = {
    "not json": Response(b"<html>"),
    "a list": Response(b"[]"),
    "sets twice": Response(b'{"sets": {}, "sets": {}}'),
    "sets is a list": Response(b'{"sets": []}'),
    "a token is a number": Response(b'{"sets": {"a": 5}}'),
    "more is text": Response(b'{"sets": {}, "moreAvailable": "no"}'),
    "more tokens than were asked for": JSONResponse({"sets": {str(n): "x" for n in range(51)}}),
    "huge": Response(b'{"sets": {}}' + b" " * poll.MAX_ANSWER_BYTES),
    "a redirect": Response(status_code=307, headers={"Location": "/elsewhere"}),
    "an error page": Response(b"{}", status_code=404),
    "down": Response(b"{}", status_code=503),
    "unauthorized": Response(b"{}", status_code=401),
}


@pytest.mark.parametrize("case", GARBAGE)
def test_an_answer_that_makes_no_sense_changes_nothing_and_is_asked_again(line: Line, case: str) -> None:
    """And what was to be acknowledged is not forgotten where the question was not heard."""
    line.idp.wrongly = GARBAGE[case]
    with pytest.raises(ReadFailed):
        line.poller.ask()
    line.idp.wrongly = None
    line.idp.tell("a")
    line.poller.everything()

    assert line.heard() == {"a"}


def test_acknowledgements_are_told_again_where_the_question_failed(line: Line) -> None:
    """Else the transmitter would hold them for ever."""
    line.idp.tell("a")
    line.idp.waiting["b"] = "garbage"
    line.poller.ask()
    line.idp.wrongly = Response(status_code=400)
    with pytest.raises(ReadFailed):
        line.poller.ask()
    line.idp.wrongly = None
    line.poller.ask()

    assert [(asked["ack"], list(asked.get("setErrs", {}))) for asked in line.idp.questions] == [
        ([], []),
        (["a"], ["b"]),
        (["a"], ["b"]),
    ]
    assert line.idp.waiting == {}


def test_a_transmitter_that_is_slow_or_gone_is_a_clear_failure(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded, whatever it does."""
    monkeypatch.setattr(poll, "SHORT_POLL_SECONDS", 0.1)
    line.idp.hold = 1
    with pytest.raises(ReadFailed, match="too slow"):
        line.poller.ask()
    gone = Poller(trust(poll_url="http://127.0.0.1:1/poll"), line.receiver)
    with pytest.raises(ReadFailed, match=r"127\.0\.0\.1"):
        gone.ask()


def test_the_authorization_is_sent_and_never_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: Line) -> None:
    """It is the transmitter's secret as much as ours."""
    monkeypatch.setenv("IDP_POLL", "Bearer s3cr3t")
    poller = Poller(trust(poll_url=line.streams.trusts[0].poll_url, authorization_env="IDP_POLL"), line.receiver)
    poller.ask()
    line.idp.wrongly = Response(status_code=401)
    with pytest.raises(ReadFailed) as raised:
        poller.ask()

    assert [headers["authorization"] for headers in line.idp.headers] == ["Bearer s3cr3t"] * 2
    assert "s3cr3t" not in str(raised.value)


def test_a_stream_that_cannot_be_polled_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first question."""
    monkeypatch.delenv("IDP_POLL", raising=False)
    receiver = Bench(tmp_path).receiver
    for over, says in (
        ({}, "no `poll_url`"),
        ({"poll_url": "http://idp.example/poll"}, "https://"),
        ({"poll_url": "https://idp.example/poll", "authorization_env": "IDP_POLL"}, "`IDP_POLL` must hold"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            Poller(trust(**over), receiver)


class Stop(threading.Event):
    """Never waits: remembers how long it was to wait, and stops after so many times."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._after = after

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        if len(self.waits) >= self._after:
            self.set()
        return self.is_set()


def test_failures_are_said_and_asked_about_ever_less_often(line: Line) -> None:
    """A transmitter that is down must not be hammered, and must be heard soon after it is back."""
    line.idp.wrongly = Response(status_code=400)
    stop, said = Stop(9), list[str]()
    line.poller.until(stop, said.append)

    assert stop.waits == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert len(said) == 9 and said[0].startswith("stream `idp`: ")


def test_a_ledger_that_fails_is_a_failure_like_any_other(line: Line) -> None:
    """The loop goes on, and what was not durable comes again."""
    line.idp.tell("a")
    line.hand.broken = LedgerError("the disk is full")
    stop, said = Stop(2), list[str]()
    line.poller.until(stop, said.append)

    assert said == ["stream `idp`: the disk is full"] * 2
    assert [asked["ack"] for asked in line.idp.questions] == [[], []]


def test_a_transmitter_may_hold_the_question_and_is_asked_on_at_once_when_it_spoke(line: Line) -> None:
    """That is how a signal arrives within a moment and not within an interval."""
    line.idp.tell("a")
    stop = Stop(2)
    line.poller.until(stop, lambda _: None)

    assert [asked["returnImmediately"] for asked in line.idp.questions] == [False] * 3
    assert [asked["ack"] for asked in line.idp.questions] == [[], ["a"], []]
    assert stop.waits == [1.0, 1.0]


def test_a_loop_that_is_stopped_while_it_waits_ends(line: Line) -> None:
    """What came before is durable; what was not acknowledged comes again to whoever asks next."""
    line.idp.tell("a")
    stop = threading.Event()
    thread = threading.Thread(target=line.poller.until, args=(stop, lambda _: None), daemon=True)
    thread.start()
    assert within(10, lambda: line.heard() == {"a"})
    stop.set()
    thread.join(timeout=10)

    assert not thread.is_alive()
    assert len(line.hand.applied) == 1


def test_an_answer_is_json_and_asked_for_as_json(line: Line) -> None:
    """RFC 8936 section 2.4."""
    line.poller.ask()

    assert line.idp.headers[0]["content-type"] == "application/json"
    assert line.idp.headers[0]["accept"] == "application/json"
    assert json.dumps(line.idp.questions[0])
