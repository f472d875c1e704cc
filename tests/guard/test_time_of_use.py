"""The tools that the page on destinations shows: a redirect is a call of its own, decided by the guard."""

from __future__ import annotations

import asyncio
import re
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentguard import Guard, ToolCallDenied
from agentguard.destinations.use import AsyncGuardedTransport, DestinationRefused, guarded_session
from agentguard.ledger import memory_ledger

from .conftest import EXPORTER, FILES, Clock

PAGE = (Path(__file__).parents[2] / "docs" / "destinations.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(SHOWN,) = (block for block in BLOCKS if "GuardedTransport" in block)


@pytest.fixture
def port() -> Iterator[int]:
    """A server that sends whoever asks for `/to?URL` on to that URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            start, _, target = self.path.partition("?")
            self.send_response(302 if start == "/to" else 200)
            if start == "/to":
                self.send_header("Location", target)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"page")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def guard(tmp_path: Path, clock: Clock, port: int) -> Iterator[Guard]:
    files = {
        "trust.yaml": FILES["trust.yaml"],
        "tools.yaml": """
            apiVersion: agentguard/v1
            kind: Tools
            tools:
              web.fetch: {effect: read, aliases: [fetch], destinations: [{kind: url, argument: url}]}
              web.follow: {effect: read, aliases: [follow], destinations: [{kind: url, argument: url}]}
              reports.read:
                effect: read
                aliases: [read_report]
                destinations: [{kind: path, argument: file, root: /srv/reports}]
            """,
        "destinations.yaml": f"""
            apiVersion: agentguard/v1
            kind: Destinations
            destinations:
              - {{kind: ip, pattern: "127.0.0.1", sensitivity: internal}}
              - {{kind: url, pattern: "http://127.0.0.1:{port}/*", sensitivity: internal}}
              - {{kind: url, pattern: "http://127.0.0.1:{port}/hr/*", sensitivity: secret}}
            """,
        "browse.yaml": f"""
            apiVersion: agentguard/v1
            kind: Workflow
            metadata: {{name: browse, version: 1, owner: web, review_by: 2029-12-31}}
            subjects: ["{EXPORTER}"]
            steps:
              fetch: {{tool: web.fetch, arguments: {{url: {{type: string}}}}, destinations: {{up_to: internal}}}}
              follow: {{tool: web.follow, arguments: {{url: {{type: string}}}}, destinations: {{up_to: internal}}}}
            """,
    }
    directory = tmp_path / "policy"
    directory.mkdir()
    for name, text in files.items():
        (directory / name).write_text(textwrap.dedent(text))
    with Guard.load(directory, ledger=memory_ledger(), home=tmp_path / "home", clock=clock) as made:
        yield made


def by_httpx(guard: Guard) -> Any:
    names: dict[str, Any] = {"guard": guard}
    exec(SHOWN, names)
    return names["fetch"]


def by_async_httpx(guard: Guard) -> Any:
    def follow(url: str) -> bool:
        return True

    async def fetch(url: str) -> str:
        transport = AsyncGuardedTransport(guard.catalog, [url], follow)
        async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
            return (await client.get(url)).text

    follow, fetch = guard.wrap([follow, fetch])
    return lambda url: asyncio.run(fetch(url))


def by_requests(guard: Guard) -> Any:
    def follow(url: str) -> bool:
        return True

    def fetch(url: str) -> str:
        with guarded_session(guard.catalog, [url], follow) as session:
            return session.get(url).text

    follow, fetch = guard.wrap([follow, fetch])
    return fetch


@pytest.mark.parametrize("tools", [by_httpx, by_async_httpx, by_requests])
def test_each_redirect_is_put_through_the_guard_and_recorded(guard: Guard, port: int, tools: Any) -> None:
    """A permitted server must not choose where the agent goes next; the reviewer sees where it wanted to go."""
    fetch, base = tools(guard), f"http://127.0.0.1:{port}"
    with guard.run("browse"):
        assert fetch(f"{base}/to?{base}/a") == "page"
        with pytest.raises(ToolCallDenied):
            fetch(f"{base}/to?{base}/hr/a")
        with pytest.raises(ToolCallDenied):
            fetch(f"{base}/to?http://localhost:{port}/")
        with pytest.raises(DestinationRefused):
            fetch(f"{base}/to?http://user@127.0.0.1:{port}/")

    decisions = [(r["tool"], r["effect"], r["destinations"][0]["id"]) for r in guard.records(kind="decision")]
    assert [seen for seen in decisions if seen[0] == "web.follow"] == [
        ("web.follow", "permit", f"{base}/a"),
        ("web.follow", "deny", f"{base}/hr/a"),
        ("web.follow", "deny", f"http://localhost:{port}/"),
    ]
