"""``python -m benchmarks``: JSON in a file (or on standard output), a table in the terminal."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
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


def main() -> None:
    """Measure everything in one run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds; says that it works, not how fast it is")
    parser.add_argument("--json", metavar="FILE", help="write the JSON here; `-` is standard output")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables here")
    parser.add_argument("--directory", default=".", help="measure the disk under this directory (default: here)")
    given = parser.parse_args()
    effort = QUICK if given.quick else FULL
    folder = Path(tempfile.mkdtemp(prefix=".benchmark-", dir=given.directory))
    console = Console(stderr=True)
    try:
        found = measure(effort, folder, console)
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


def measure(effort: Effort, folder: Path, console: Console) -> dict[str, Any]:
    """All parts, with a progress bar."""
    steps = 5 + 2 * len(effort.workflows) + 1 + 2 * len(effort.callers) + identity.STEPS + destinations.STEPS
    steps += processes.STEPS + large.STEPS + conditions.STEPS + peers.STEPS + start.STEPS
    columns = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=steps)

        def tick(what: str) -> None:
            progress.update(task, advance=1, description=what)

        found: dict[str, Any] = {
            "machine": _machine(),
            "start": start.measure(effort, folder, tick),
            "peers": peers.measure(effort, folder, tick),
            "calls": calls.measure(effort, folder, tick),
            "decision": decision.measure(effort, folder, tick),
            "durable": durable.measure(effort, folder, tick),
            "processes": processes.measure(effort, folder, tick),
            "large": large.measure(effort, folder, tick),
            "identity": identity.measure(effort, folder, tick),
            "destinations": destinations.measure(effort, folder, tick),
            "revocation": revocation.measure(effort, folder, tick),
            "conditions": conditions.measure(effort, tick),
        }
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
