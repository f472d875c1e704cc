"""An example checks what really happened (rows, files, answers of servers) and says so; one failure fails it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.text import Text

from agentguard import AgentGuardError
from examples.support.timeline import Timeline


class Checks:
    """Collects promises kept and broken."""

    def __init__(self, timeline: Timeline) -> None:
        self.broken = 0
        self._timeline = timeline

    def that(self, promise: str, kept: bool, found: object = None) -> None:
        """Note one promise; where it is broken, show what was found instead."""
        self.broken += not kept
        sign, text = (Text("✔", "green"), Text(promise)) if kept else (Text("✘", "bold red"), Text(promise, "bold red"))
        self._timeline.note(sign, text)
        if not kept and found is not None:
            self._timeline.console.print(f"    found: {found}", markup=False)


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder for one run of an example, gone afterwards whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="agentguard-example-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(example: Callable[[Timeline, Path, Checks], None], *next_steps: str) -> None:
    """Run an example in a folder of its own, and say what to try next.

    Exits 0 if every promise was kept, 1 if not, 130 on Ctrl-C.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    timeline = Timeline()
    checks = Checks(timeline)
    try:
        with workspace() as folder:
            example(timeline, folder, checks)
    except KeyboardInterrupt:
        timeline.console.print("\nstopped; everything it started has been cleaned up")
        sys.exit(130)
    except AgentGuardError as error:
        timeline.console.print(f"\n{type(error).__name__}: {error}", style="bold red", markup=False)
        sys.exit(1)
    timeline.console.print()
    if checks.broken:
        timeline.console.print(f"[bold red]{checks.broken} promise(s) broken[/]")
        sys.exit(1)
    timeline.console.print("[bold green]everything went as promised[/]")
    for number, step in enumerate(next_steps):
        line = f"{'next, try' if number == 0 else 'then'}: {typed(step)}"
        timeline.console.print(line, markup=False, soft_wrap=True)


def typed(step: str) -> str:
    """A step with its program as it is typed here: by its path where that is not on the PATH."""
    program, space, rest = step.partition(" ")
    beside = Path(sys.executable).parent / program
    if shutil.which(program) is None and beside.is_file():
        program = os.path.relpath(beside)
    return program + space + rest


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def reasons(records: list[dict[str, Any]], effect: str) -> list[list[str]]:
    """The reasons of every decision with this effect, in order."""
    return [r["reasons"] for r in records if r["kind"] == "decision" and r["effect"] == effect]
