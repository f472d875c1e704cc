"""Where assertions come from. Whatever a source does, the guard gets a token or a reason."""

from __future__ import annotations

import asyncio
import json
import os
import select
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from identity_maker import AUDIENCE, DIGEST, NOW, SUBJECT, Key, at, claims, verifier, word
from identity_servers import Script, serving, within
from identity_workload_api import SVID_KEY, workload_api

from agentguard.core.reasons import Reason
from agentguard.core.values import Unavailable
from agentguard.errors import ConfigurationError
from agentguard.identity import (
    Assertion,
    AssertionRequest,
    AssertionSource,
    CallableSource,
    CommandSource,
    EnvironmentSource,
    FileSource,
    GitHubActionsSource,
    KubernetesSource,
    SpiffeSource,
    obtain,
    obtain_async,
)

REQUEST = AssertionRequest(AUDIENCE, DIGEST)


def _ask(source: AssertionSource) -> Any:
    """Both ways of asking must agree; returns the token or the reason's word."""
    ways = [obtain(source, REQUEST), asyncio.run(obtain_async(source, REQUEST))]
    words = [word(way) if isinstance(way, Unavailable) else way.token for way in ways]
    assert words[0] == words[1]
    return words[0]


def _raise(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("a.b.c", "a.b.c"),
        (b"a.b.c", b"a.b.c"),
        (Assertion("a.b.c"), "a.b.c"),
        ("", "missing"),
        (None, "missing"),
        (5, "missing"),
        (["a.b.c"], "missing"),
        (Assertion(""), "missing"),
        (Assertion(None), "missing"),  # type: ignore[arg-type]
        (Unavailable(Reason.ASSERTION_KEYS_UNAVAILABLE), "keys_unavailable"),
        ("x" * 8192, "x" * 8192),
        ("x" * 8193, "too_large"),
        (Assertion("a", "x" * 8193), "too_large"),
    ],
)
def test_whatever_a_function_returns_is_a_token_or_a_reason(returned: Any, expected: Any) -> None:
    """A source is other people's code."""
    assert _ask(CallableSource(lambda _: returned)) == expected


@pytest.mark.parametrize("error", [RuntimeError("token eyJ…"), OSError(13, "Permission denied"), KeyError("x")])
def test_what_a_source_raises_is_a_reason_that_does_not_quote_it(error: Exception) -> None:
    """An exception's text may hold the token or a password, and details end up in records."""
    answer = obtain(CallableSource(lambda _: _raise(error)), REQUEST)

    assert isinstance(answer, Unavailable)
    assert answer.reason is Reason.ASSERTION_MISSING
    assert "eyJ" not in answer.detail
    assert type(error).__name__ in answer.detail


def test_a_source_is_told_of_the_call() -> None:
    """So that it can ask for the right audience and bind its token to the call."""
    asked: list[AssertionRequest] = []
    obtain(CallableSource(lambda request: asked.append(request) or "t"), REQUEST)

    assert asked == [REQUEST]


def test_an_async_source_works_from_a_task_and_is_a_reason_elsewhere() -> None:
    """Never a coroutine mistaken for a token, and none left unawaited."""

    async def later(_: AssertionRequest) -> str:
        await asyncio.sleep(0)
        return "a.b.c"

    async def broken(_: AssertionRequest) -> str:
        raise RuntimeError("x")

    answer = obtain(CallableSource(later), REQUEST)

    assert isinstance(answer, Unavailable) and "await" in answer.detail
    assert asyncio.run(obtain_async(CallableSource(later), REQUEST)) == Assertion("a.b.c")
    assert isinstance(asyncio.run(obtain_async(CallableSource(broken), REQUEST)), Unavailable)


def test_cancelling_a_call_cancels_its_source() -> None:
    """Cancellation is the caller's business; turning it into a reason would hide it."""

    async def scenario() -> None:
        started = asyncio.Event()

        async def endless(_: AssertionRequest) -> str:
            started.set()
            await asyncio.Event().wait()
            return ""

        task = asyncio.create_task(obtain_async(CallableSource(endless), REQUEST))
        await started.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(scenario())


def test_a_source_that_may_wait_does_not_stop_the_event_loop() -> None:
    """One slow token server would stall every agent in the process."""

    class Slow:
        may_block = True

        def assertion(self, request: AssertionRequest) -> str:
            return threading.current_thread().name

    async def scenario() -> Assertion | Unavailable:
        return await obtain_async(Slow(), REQUEST)

    answer = asyncio.run(scenario())

    assert isinstance(answer, Assertion)
    assert answer.token != threading.main_thread().name


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a.b.c", "a.b.c"),
        (b"a.b.c\n", "a.b.c"),
        (b"a.b.c\r\n", "a.b.c"),
        (b"a.b.c\n\n", "a.b.c\n"),
        (b"", "missing"),
        (b"\n", "missing"),
        (b"\xff", "missing"),
        (b"x" * 9000, "missing"),
        (None, "missing"),
    ],
)
def test_a_file_is_read_as_it_is(content: bytes | None, expected: str, tmp_path: Path) -> None:
    """One line end is the file's, all else is the token's and judged as such."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)

    assert _ask(FileSource(path)) == expected
    assert _ask(KubernetesSource(path)) == expected


def test_a_file_is_read_again_at_each_call(tmp_path: Path) -> None:
    """The kubelet renews it in place; yesterday's token must not be kept."""
    path = tmp_path / "token"
    source = FileSource(path)
    path.write_text("one")
    first = _ask(source)
    path.write_text("two")

    assert (first, _ask(source)) == ("one", "two")


@pytest.mark.timeout(10)
def test_a_directory_or_a_pipe_in_the_files_place_is_a_reason(tmp_path: Path) -> None:
    """A pipe nobody writes to would hold the call for ever."""
    import os

    os.mkfifo(tmp_path / "pipe")

    assert _ask(FileSource(tmp_path)) == "missing"
    assert _ask(FileSource(tmp_path / "pipe")) == "missing"


def test_a_variable_is_read_again_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """And an unset or empty one is a reason."""
    source = EnvironmentSource("AGENT_TOKEN")
    monkeypatch.delenv("AGENT_TOKEN", raising=False)
    unset = _ask(source)
    monkeypatch.setenv("AGENT_TOKEN", "")
    empty = _ask(source)
    monkeypatch.setenv("AGENT_TOKEN", "a.b.c")

    assert (unset, empty, _ask(source)) == ("missing", "missing", "a.b.c")


def _python(code: str, timeout: float = 60.0) -> CommandSource:
    return CommandSource([sys.executable, "-S", "-c", code], timeout=timeout)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print('a.b.c')", "a.b.c"),
        ("import os; print(os.environ['AGENTGUARD_AUDIENCE'])", AUDIENCE),
        ("import os; print(os.environ['AGENTGUARD_REQUEST_DIGEST'])", DIGEST),
        ("print('a.b.c'); raise SystemExit(1)", "missing"),
        ("pass", "missing"),
        ("print('x' * 10_000_000)", "missing"),
        ("import sys; print(repr(sys.stdin.read()))", "''"),
    ],
)
def test_a_command_prints_a_token_or_there_is_none(code: str, expected: str) -> None:
    """It is told of the call, and its status counts."""
    answer = obtain(_python(code), REQUEST)

    assert (word(answer) if isinstance(answer, Unavailable) else answer.token) == expected


_CHILD = """
import subprocess, sys
code = (
    "import select, sys; end = open(sys.argv[1], 'w'); print('x', file=end, flush=True); "
    "wait = select.poll(); wait.register(end, 0); wait.poll(60_000)"  # until nobody reads
)
{run}([sys.executable, "-S", "-c", code, {end!r}]{own})
print("a.b.c")
"""
# How a command leaves a child behind that keeps its output open, and whether the child can be ended with it.
CHILDREN = {
    "it waits for its child": ("subprocess.run", "", True),
    "it ends before its child": ("subprocess.Popen", "", True),
    "its child has a session of its own": ("subprocess.Popen", ", start_new_session=True", False),
}


class FromThen:
    """A clock that stands still until something can be read there, at its second look; how long others took to start
    does not count."""

    def __init__(self, there: int) -> None:
        self.there, self.looks, self.began = there, 0, 0.0

    def monotonic(self) -> float:
        self.looks += 1
        if self.looks == 2:
            assert select.select([self.there], [], [], 40)[0]
            self.began = time.monotonic()
        return time.monotonic() - self.began if self.looks > 2 else 0.0


@pytest.mark.timeout(50)
@pytest.mark.parametrize("name", CHILDREN)
def test_a_command_whose_child_holds_its_output_is_given_up_with_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would otherwise hold the call for as long as the child lives, which is longer than this test may take."""
    run, own, ends = CHILDREN[name]
    os.mkfifo(tmp_path / "end")
    end = os.open(tmp_path / "end", os.O_RDONLY | os.O_NONBLOCK)
    monkeypatch.setattr("agentguard.identity.platforms.time", FromThen(end))
    answer = obtain(_python(_CHILD.format(run=run, own=own, end=str(tmp_path / "end")), timeout=0.3), REQUEST)

    assert isinstance(answer, Unavailable) and "too long" in answer.detail
    assert os.read(end, 10) == b"x\n"
    if ends:
        assert within(20, lambda: _is_closed(end))
    os.close(end)


def _is_closed(end: int) -> bool:
    """Whether whoever could write into the pipe is gone."""
    try:
        return os.read(end, 1) == b""
    except BlockingIOError:
        return False


@pytest.mark.timeout(20)
def test_a_command_that_has_said_everything_must_still_end_in_time() -> None:
    """How it ends is part of its answer."""
    answer = obtain(_python("import os,time; print('a.b.c', flush=True); os.close(1); time.sleep(60)", 0.5), REQUEST)

    assert isinstance(answer, Unavailable) and "too long" in answer.detail


def test_a_command_is_never_a_shell_line() -> None:
    """A path with a space or a semicolon must not become another command."""
    with pytest.raises(ConfigurationError):
        CommandSource("cat token")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        CommandSource([])
    assert _ask(CommandSource(["/no/such/program"])) == "missing"


def _github(address: str, **over: str) -> GitHubActionsSource:
    environment = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{address}/token?api-version=2",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner-secret",
        **over,
    }
    return GitHubActionsSource(environment=environment, timeout=20.0)


def test_a_github_job_asks_its_runner_for_a_token() -> None:
    """Against a real server: audience quoted into the URL, the runner's own token as bearer."""
    script = Script(b'{"value": "a.b.c", "count": 1}')
    with serving(script) as address:
        answer = obtain(_github(address), AssertionRequest("https://guard.example/a b&c", DIGEST))

    path, headers = script.seen[0]
    assert answer == Assertion("a.b.c")
    assert path == "/token?api-version=2&audience=https%3A%2F%2Fguard.example%2Fa%20b%26c"
    assert headers["Authorization"] == "Bearer runner-secret"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"{}"),
        (200, b'{"value": 5}'),
        (200, b'{"value": "a", "value": "b"}'),
        (200, b"<html>"),
        (200, b"x" * 100_000),
        (302, b""),
        (403, b'{"value": "a.b.c"}'),
        (500, b""),
    ],
)
def test_a_runner_that_answers_oddly_gives_no_token(status: int, body: bytes) -> None:
    """And the runner's secret is in no reason."""
    script = Script(body)
    script.status, script.headers = status, {"Location": "/elsewhere"}
    with serving(script) as address:
        answer = obtain(_github(address), REQUEST)

    assert isinstance(answer, Unavailable)
    assert answer.reason is Reason.ASSERTION_MISSING
    assert "runner-secret" not in answer.detail
    assert all(path.startswith("/token") for path, _ in script.seen)


@pytest.mark.parametrize(
    "over",
    [
        {"ACTIONS_ID_TOKEN_REQUEST_URL": ""},
        {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": ""},
        {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://runner.example/"},
        {"ACTIONS_ID_TOKEN_REQUEST_URL": "file:///etc/passwd"},
    ],
)
def test_outside_a_job_there_is_no_token(over: dict[str, str]) -> None:
    """The remedy stands in the reason; the runner's secret goes nowhere in the clear."""
    assert isinstance(obtain(_github("http://127.0.0.1:1", **over), REQUEST), Unavailable)


# The Workload API


def _live(**over: Any) -> dict[str, Any]:
    """Claims for now: the client library looks at the real clock."""
    now = int(time.time())
    return {**claims(iat=now, nbf=None, exp=now + 120), **over}


def _verified(source: SpiffeSource) -> str:
    given = obtain(source, AssertionRequest(AUDIENCE, DIGEST, SUBJECT))
    if isinstance(given, Unavailable):
        return word(given)
    checker = verifier(SVID_KEY, profile="spiffe", uses=frozenset({"jwt-svid"}))
    return word(checker.verify(given, now=at(time.time() - NOW)))


def _sign(**over: Any) -> str:
    stated = _live(**over)
    return SVID_KEY.sign({name: value for name, value in stated.items() if value is not None})


SVIDS: dict[str, tuple[Any, set[str]]] = {
    "good": (lambda _: _sign(), {"accept"}),
    "of another trust domain": (lambda _: _sign(sub="spiffe://other.example/agent"), {"wrong_subject", "missing"}),
    "without expiry": (lambda _: _sign(exp=None), {"missing_claim", "missing"}),
    "with a line end in its subject": (lambda _: _sign(sub=SUBJECT + "\n"), {"wrong_subject", "missing"}),
    "with a line end": (lambda _: _sign() + "\n", {"malformed", "missing"}),
    "for another audience": (lambda _: _sign(aud="other"), {"wrong_audience", "missing"}),
    "by another key": (lambda _: Key("k1").sign(_live()), {"bad_signature"}),
    "denied": (lambda _: None, {"missing"}),
    "empty": (lambda _: "", {"missing"}),
    "garbage": (lambda _: "x", {"missing"}),
}


@pytest.mark.parametrize("name", SVIDS)
def test_what_the_workload_api_hands_out_is_verified_like_a_strangers_token(name: str, tmp_path: Path) -> None:
    """The client library has let through a foreign subject, a missing expiry and a trailing newline."""
    make, expected = SVIDS[name]
    with workload_api(tmp_path) as (agent, socket):
        agent.token = make
        source = SpiffeSource(socket, timeout=20)
        try:
            assert _verified(source) in expected
        finally:
            source.close()

    assert list(agent.requests[0].audience) == [AUDIENCE]
    assert agent.requests[0].spiffe_id == SUBJECT
    assert agent.metadata[0]["workload.spiffe.io"] == "true"


def test_an_agent_that_is_not_there_is_a_reason(tmp_path: Path) -> None:
    """And it is looked for again at the next call."""
    pytest.importorskip("spiffe", reason="the spiffe extra is not installed")
    source = SpiffeSource(f"unix://{tmp_path}/api.sock", timeout=20)

    assert word(obtain(source, REQUEST)) == "missing"  # type: ignore[arg-type]
    with workload_api(tmp_path) as (agent, _):
        agent.token = lambda _: _sign()
        assert _verified(source) == "accept"
        source.close()


def test_without_the_extra_the_remedy_is_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said when the source is made, not at the first call."""
    monkeypatch.setitem(sys.modules, "spiffe", None)

    with pytest.raises(ConfigurationError, match=r"pip install agentguard\[spiffe\]"):
        SpiffeSource()


def test_identity_is_light_to_import() -> None:
    """The core install has no HTTP client and no gRPC; importing identity must not look for them."""
    import subprocess

    code = (
        "import sys, agentguard.identity, json;"
        "print(json.dumps(sorted({n.split('.')[0] for n in sys.modules}"
        " & {'httpx','requests','spiffe','grpc','jwt','aiohttp'})))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert json.loads(result.stdout) == []
