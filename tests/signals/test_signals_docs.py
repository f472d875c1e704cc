"""The signals page is followed word for word, and its tables are compared with what the code does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from identity.identity_maker import key_set

from agentguard.policy import load
from agentguard.signals import MAX_SET_BYTES, RefusedSet, SetRefusal
from agentguard.signals.caep import EVENTS
from agentguard.signals.subjects import _FORMATS
from signals.signals_maker import CAEP, KEY, Bench, claims
from signals.signals_servers import send, serving

PAGE = (Path(__file__).parents[2] / "docs" / "signals.md").read_text("utf-8")
ROOT = Path(__file__).parents[2]
NOTES = """
apiVersion: agentguard/v1
kind: Workflow
metadata: {name: notes, version: 1, owner: us, review_by: 2099-12-31}
subjects: ["spiffe://corp.example/agent/exporter"]
steps: {look: {tool: notes.read, arguments: {}}}
---
apiVersion: agentguard/v1
kind: Tools
tools: {notes.read: {effect: read}}
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
    subjects: ["spiffe://corp.example/agent/exporter"]
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def table(first: str) -> list[list[str]]:
    """The rows of the table whose first heading is this."""
    (body,) = re.findall(rf"^\| {first} \|[^\n]*\n\|[-| ]+\n((?:\|[^\n]*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in body.splitlines()]


def coded(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where the reader stands: a bundle of theirs, the transmitter's keys, and a token it signed just now."""
    workflows = tmp_path / "workflows"
    workflows.mkdir()
    (workflows / "notes.yaml").write_text(NOTES)
    (workflows / "streams.yaml").write_text(blocks("yaml")[0])
    (workflows / "corp-idp.json").write_bytes(key_set(KEY))
    (tmp_path / "event.jwt").write_text(token())
    yield tmp_path


def token(event: str = "risk-level-change") -> str:
    (stream,) = re.findall(r"audience: (\S+)", PAGE)
    subject = {"format": "iss_sub", "iss": "https://idp.corp.example", "sub": "jane"}
    said = claims(event, iss="https://idp.corp.example", aud=stream, iat=int(time.time()), subject=subject)
    return KEY.sign(said, typ="secevent+jwt")


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the page with the lines it shows, in order."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def fits(shown: str, line: str) -> bool:
    """Whether a line is what the page shows; `…` stands for anything, and runs of spaces for any."""
    pattern = ".*".join(re.escape(" ".join(part.split())) for part in shown.split("…"))
    return re.fullmatch(pattern.replace(r"\ .*", ".*").replace(r".*\ ", ".*"), " ".join(line.split())) is not None


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_steps_of_the_page_work_in_their_order(place: Path) -> None:
    """As a reader types them, in one shell. Only the port is another one, so that two readers do not meet."""
    binaries = place / "bin"
    binaries.mkdir()
    run = (
        f"#!/bin/sh\nexec {sys.executable} -c 'import sys; from agentguard.cli import main; sys.exit(main())' \"$@\"\n"
    )
    (binaries / "agentguard").write_text(run)
    (binaries / "agentguard").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENTGUARD")}
    path = f"{binaries}:{environment['PATH']}"
    shell = subprocess.Popen(
        ["bash"], cwd=place, env={**environment, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert shell.stdin is not None and shell.stdout is not None
    port = _free_port()

    def type_in(text: str) -> None:
        assert shell.stdin is not None
        shell.stdin.write(text + "\n")
        shell.stdin.flush()

    try:
        for command, expected in commands():
            type_in(command.replace("8935", port))
            if command.endswith("&"):
                assert fits(expected[0].replace("8935", port), shell.stdout.readline()), command
                continue
            type_in("echo END")
            seen = list(iter(lambda: shell.stdout.readline().rstrip("\n"), "END"))  # type: ignore[union-attr]
            assert "Traceback" not in "".join(seen), seen
            for shown in expected:
                assert any(fits(shown, line) for line in seen), (command, shown, seen)
        type_in("kill %1; wait")
        shell.communicate(timeout=30)
    finally:
        shell.kill()
        shell.communicate()


def _free_port() -> str:
    """Below the range from which systems hand out ports, so that nobody gets it by chance before it is used."""
    import socket

    for port in range(20_000 + os.getpid() % 5_000, 30_000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return str(port)
    pytest.fail("no port is free")


def test_the_two_lines_for_ones_own_service_work(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pasted as they are."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("CORP_IDP_AUTHORIZATION", "Bearer a-long-random-secret")
    names: dict[str, Any] = {}
    exec(compile(blocks("python")[0], "signals.md", "exec"), names)
    headers = {"Content-Type": "application/secevent+jwt", "Authorization": "Bearer a-long-random-secret"}
    with names["guard"] as guard, serving(names["app"]) as port:
        assert send(port, "/signals/corp-idp", token().encode(), headers).status == 202
        assert guard.receiver().receive("corp-idp", token()).fresh is False
        assert [record["by"] for record in guard.records(kind="signal")] == ["corp-idp/risk"]


def test_the_stream_that_is_asked_for_has_the_events_that_are_understood() -> None:
    """One that is missing would never come."""
    (body,) = blocks("json")

    assert set(json.loads(body)["events_requested"]) == {name for name in EVENTS if name.startswith(CAEP)}
    assert json.loads(body)["delivery"]["endpoint_url"].endswith("/corp-idp")


@pytest.mark.parametrize("row", table("Event"), ids=lambda row: " ".join(coded(row[0] + row[1])))
def test_each_event_does_what_the_page_says(row: list[str], tmp_path: Path) -> None:
    """Row by row, through the receiver."""
    event, said = coded(row[0])[0], dict(pair.split(": ") for pair in coded(row[1]))
    signal = Bench(tmp_path).signal(event, said=said)

    assert [str(signal.effect)] == coded(row[2])
    if signal.risk is not None and event != "risk-level-change":
        assert row[3].startswith(signal.risk.word)


def test_the_tables_of_the_page_are_whole() -> None:
    """Every event, every format, every code, each with its word in RFC 8935."""
    assert {coded(row[0])[0] for row in table("Event")} == {
        name.removeprefix(CAEP) for name in EVENTS if name.startswith(CAEP)
    }
    formats = {name for row in table("Subject identifier") for name in coded(row[0])}
    assert formats == {*_FORMATS, "complex", "aliases"}
    told = {SetRefusal(coded(row[1])[0]): (coded(row[2]) or [""])[0] for row in table("Rule")}
    assert told == {code: "" if RefusedSet(code, "").try_again else RefusedSet(code, "").error for code in SetRefusal}
    assert f"at most {MAX_SET_BYTES} bytes" in PAGE


def test_the_stream_of_the_page_loads(place: Path) -> None:
    """With the limits the page speaks of."""
    (stream,) = load(place / "workflows").streams

    assert (stream.name, stream.keys_file) == ("corp-idp", "corp-idp.json")
    assert stream.max_silence is not None and stream.required_for
