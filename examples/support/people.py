"""People who answer approvals, as a process of their own that shares nothing with the agent but the ledger.

As a module (``python -m examples.support.people LEDGER APPROVAL NAME``) it shows one request and answers it: asked at
the terminal if there is one and somebody sits there, else always yes. In production this is
``agentguard approvals approve``, where the name is the operating system account; here it is a role in a play.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from agentguard import Guard, LedgerError
from agentguard.approvals import ApprovalView
from agentguard.guard import Operations
from agentguard.ledger import open_ledger

LOOK_EVERY_SECONDS = 0.1
# Whoever watches a demonstration and does not answer sees the rest of it anyway.
PATIENCE_SECONDS = 20


@contextmanager
def answering(guard: Guard, ledger: Path, name: str, say: Callable[[str, str], None]) -> Iterator[None]:
    """While this is open, ``name`` answers every approval that comes up."""
    leave = threading.Event()

    def watch() -> None:
        answered: set[str] = set()
        while not leave.wait(LOOK_EVERY_SECONDS):
            for row in guard.operations.approvals():
                if row.request.id not in answered:
                    answered.add(row.request.id)
                    person = [sys.executable, "-m", __name__, str(ledger), row.request.id, name]
                    say(name, f"is asked about {row.request.tool}, in a process of their own")
                    _wait_for(guard, row.request.id, subprocess.Popen(person, cwd=Path(__file__).parents[2]), say)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        leave.set()
        watcher.join(timeout=5)


def _wait_for(guard: Guard, approval: str, person: subprocess.Popen[bytes], say: Callable[[str, str], None]) -> None:
    """Tell of the answer as soon as it stands in the ledger."""
    while True:
        gone = person.poll() is not None
        row = guard.operations.approval(approval)
        if row is not None and row.answers:
            answer = row.answers[0]
            say(answer.approver, "said yes" if answer.approve else "said no")
        if gone or (row is not None and row.answers):
            person.wait()
            return
        time.sleep(LOOK_EVERY_SECONDS / 2)


def _somebody_may_type() -> bool:
    """A terminal that this process may read from: one in the background would be stopped for trying."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


def _asked(console: Console, question: str) -> bool:
    """What somebody at the terminal says, or yes where nobody says anything in time."""
    until = time.monotonic() + PATIENCE_SECONDS
    console.print(question, end="", markup=False)
    while select.select([sys.stdin], [], [], max(0.0, until - time.monotonic()))[0]:
        line = sys.stdin.readline()
        if not line:
            break
        word = line.strip().lower()
        if word in ("", "y", "yes", "n", "no"):
            return not word.startswith("n")
        console.print("y or n? ", end="")
    console.print("nobody answered, so the play goes on with yes")
    return True


def _answer(ledger: str, approval: str, name: str) -> None:
    console = Console(highlight=False)
    opened = open_ledger(ledger)
    try:
        operations = Operations(opened)
        row = operations.approval(approval)
        if row is None:
            raise LedgerError(f"there is no approval `{approval}`")
        approve = True
        if _somebody_may_type():
            view = ApprovalView(row.request, row.answers, row.life, datetime.now(UTC))
            for label, text in view.rows():
                console.print(f"    {label:>16}  {text}", markup=False)
            approve = _asked(console, f"You play {name}. May it? [y/n] (yes by itself in {PATIENCE_SECONDS} s) ")
        operations.answer(approval, approver=name, approve=approve)
    finally:
        opened.shut()


if __name__ == "__main__":
    try:
        _answer(*sys.argv[1:])
    except (KeyboardInterrupt, EOFError):
        sys.exit(130)
    except LedgerError as error:
        sys.exit(f"the answer did not count: {error}")
