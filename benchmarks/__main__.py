"""``python -m benchmarks``: JSON in a file (or on standard output), a table in the terminal."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import (
    calls,
    conditions,
    decision,
    destinations,
    durable,
    identity,
    large,
    peers,
    processes,
    revocation,
    start,
)
from benchmarks.measure import FULL, QUICK, Effort
from benchmarks.report import judge, table

LIBRARIES = (
    "agentguard",
    "cedarpy",
    "pycasbin",
    "guardian-angel",
    "ctrlrun",
    "langchain-core",
    "cel-expr-python",
    "jsonschema-rs",
    "joserfc",
    "PyJWT",
)


Tick = Callable[[str], None]
PARTS: dict[str, Callable[[Effort, Path, Tick], Any]] = {
    "start": start.measure,
    "peers": peers.measure,
    "calls": calls.measure,
    "decision": decision.measure,
    "durable": durable.measure,
    "processes": processes.measure,
    "large": large.measure,
    "identity": identity.measure,
    "destinations": destinations.measure,
    "revocation": revocation.measure,
    "conditions": lambda effort, folder, tick: conditions.measure(effort, tick),
}


def main() -> None:
    """Measure everything in one run, or the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds; says that it works, not how fast it is")
    parser.add_argument("--only", metavar="PART", nargs="+", choices=PARTS, help=f"measure these of {', '.join(PARTS)}")
    parser.add_argument("--json", metavar="FILE", help="write the JSON here; `-` is standard output")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables here")
    parser.add_argument("--directory", default=".", help="measure the disk under this directory (default: here)")
    given = parser.parse_args()
    effort = QUICK if given.quick else FULL
    folder = Path(tempfile.mkdtemp(prefix=".benchmark-", dir=given.directory))
    console = Console(stderr=True)
    try:
        found = measure(effort, folder, console, given.only or list(PARTS))
    except KeyboardInterrupt:
        console.print("stopped; nothing was written")
        sys.exit(130)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    tables = table(found)
    text = json.dumps(found, indent=2)
    if given.json == "-":
        print(text)
    elif given.json:
        Path(given.json).write_text(text + "\n")
    if given.markdown:
        Path(given.markdown).write_text(tables + "\n")
    console.print(Markdown(tables))


def measure(effort: Effort, folder: Path, console: Console, parts: Sequence[str]) -> dict[str, Any]:
    """These parts in order, with a progress bar."""
    columns = (TextColumn("{task.description:44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    found: dict[str, Any] = {"machine": _machine()}
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(parts))
        for part in parts:

            def tick(what: str, part: str = part) -> None:
                progress.update(task, description=f"{part}: {what}")

            tick("")
            found[part] = PARTS[part](effort, folder, tick)
            progress.advance(task)
    found["aims"] = judge(found)
    return found


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
