"""Every example runs as its reader runs it: as a program of its own, that checks itself against the real world."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What each example must show besides the permits: the reasons of its refusals.
SHOWN = {
    "database_export": ["condition_false", "approval_required", "assertion_replayed", "user:dana", "no_run"],
    "deployment_pipeline": ["condition_false", "subject_not_allowed", "credential_revoked", "pushes: deploy-store"],
    "first_policy": ["provenance_unmet", "link_not_allowed", "arguments_invalid", "held back 5 runs", "denied 0"],
    "help_desk": [
        "they are one run",
        "closing it gives no fresh limit",
        "was killed",
        "was refunded by the try before",
    ],
    "payments_service": ["condition_false", "risk_too_high", "budget_exceeded", "risk HIGH, IMPOSSIBLE_TRAVEL"],
    "incident_response": [
        "step_out_of_order",
        "zone_not_reachable",
        "destination_ambiguous",
        "destination_too_sensitive",
        "destination_unclassified",
        "zone_first_contact",
        "condition_false",
        "provenance_unmet",
        "write_down",
    ],
}


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "AGENTGUARD_"))}
    # A terminal without ticks and boxes is the worst that a reader may have.
    return {**kept, "TMPDIR": str(folder), "COLUMNS": "200", "NO_COLOR": "1", "PYTHONIOENCODING": "ascii"}


@pytest.fixture
def folder(postgres_user: None) -> Iterator[Path]:
    """Where an example puts its things. Others may look in: PostgreSQL does not run as root.

    Not under pytest's own folder, which every starting pytest closes to others.
    """
    with tempfile.TemporaryDirectory(prefix="agentguard-tests-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_an_example_keeps_its_promises_and_cleans_up(name: str, folder: Path) -> None:
    """It exits with an error if what happened on disk, in the database or at the services is not what it promised."""
    ended = subprocess.run(
        [sys.executable, "-m", f"examples.{name}"],
        cwd=ROOT,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "everything went as promised" in ended.stdout
    step = re.search(r"next, try: (\S*agentguard) (test workflows/\S+)", ended.stdout)
    assert step is not None
    program = shutil.which(step[1]) or ROOT / step[1]
    again = subprocess.run([program, *step[2].split()], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert [reason for reason in SHOWN[name] if reason not in ended.stdout] == []
    assert list(folder.glob("agentguard-example-*")) == [], "it left something behind"


def test_the_page_about_the_way_shows_what_the_example_shows(folder: Path) -> None:
    """Every line of its output on the page is one of the real output, but for spaces and times."""
    page = (ROOT / "docs" / "adopting.md").read_text("utf-8").partition("## The whole way, once")[2]
    blocks = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    ended = subprocess.run(
        [sys.executable, "-m", "examples.first_policy"],
        cwd=ROOT,
        env={**_environment(folder), "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    shown = " ".join(ended.stdout.split())
    lines = [" ".join(line.split()) for block in blocks for line in block.splitlines()]
    assert len(lines) > 10
    assert [line for line in lines if line not in shown] == []


def test_a_terminal_that_nobody_answers_does_not_hold_the_play_up(folder: Path) -> None:
    """It waited five minutes there, and then failed: whoever watches may have gone for a coffee."""
    code = (
        "import examples.support.people as people; people.PATIENCE_SECONDS = 0.5;"
        "from rich.console import Console; assert people._somebody_may_type();"
        "print(people._asked(Console(), 'May it? '))"
    )
    said = _at_a_terminal(code, b"")
    assert "nobody answered" in said and said.rstrip().endswith("True")


@pytest.mark.parametrize(("typed", "answer"), [(b"n\n", "False"), (b"\n", "True"), (b"what\nno\n", "False")])
def test_whoever_answers_at_the_terminal_is_heard(typed: bytes, answer: str) -> None:
    """The one who plays the person may say no."""
    code = (
        "import examples.support.people as people;"
        "from rich.console import Console; print(people._asked(Console(), 'May it? '))"
    )
    assert _at_a_terminal(code, typed).rstrip().endswith(answer)


def _at_a_terminal(code: str, typed: bytes) -> str:
    """What a program prints whose terminal somebody types at, and that is in its foreground."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": str(ROOT)})
    os.write(terminal, typed)
    said = b""
    with contextlib.suppress(OSError):  # what Linux says when the other end is gone
        while part := os.read(terminal, 4096):
            said += part
    os.waitpid(pid, 0)
    os.close(terminal)
    return said.decode()


def test_a_model_that_cannot_be_asked_is_one_clear_line(folder: Path) -> None:
    """A wrong key and a missing network are what a newcomer meets first."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        place = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        ended = subprocess.run(
            [sys.executable, "-m", "examples.database_export"],
            cwd=ROOT,
            env={**_environment(folder), "OPENAI_API_KEY": "wrong", "OPENAI_BASE_URL": place, "NO_PROXY": "*"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "unset OPENAI_API_KEY" in " ".join(ended.stdout.split())
    assert list(folder.glob("agentguard-example-*")) == []


def test_an_interrupted_example_says_so_and_cleans_up(folder: Path) -> None:
    """Ctrl-C is how most people end a program; no server and no file may stay behind."""
    example = subprocess.Popen(
        [sys.executable, "-u", "-m", "examples.database_export"],
        cwd=ROOT,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell without job control starts what runs in its background, these tests perhaps, deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert example.stdout is not None
    try:
        seen = ""
        deadline = time.monotonic() + 60
        while "permit" not in seen and time.monotonic() < deadline:
            line = example.stdout.readline()
            if not line:
                break
            seen += line
        assert "permit" in seen, seen
        example.send_signal(signal.SIGINT)
        rest, _ = example.communicate(timeout=60)
    finally:
        example.kill()
    assert example.returncode == 130, seen + rest
    assert "Traceback" not in seen + rest
    assert list(folder.glob("agentguard-example-*")) == []
