"""Every example runs as its reader runs it: as a program of its own, that checks itself against the real world."""

from __future__ import annotations

import os
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
def folder() -> Iterator[Path]:
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
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "everything went as promised" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr
    assert [reason for reason in SHOWN[name] if reason not in ended.stdout] == []
    assert list(folder.glob("agentguard-example-*")) == [], "it left something behind"


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
