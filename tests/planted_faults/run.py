"""Break each security rule on purpose, one at a time, and watch a test fail.

    python tests/planted_faults/run.py [--only PART] [--list]

Each ``*.yaml`` beside this file lists faults: ``file``, ``find`` (exact source text that occurs once), ``replace`` (the
broken version), ``tests`` (a path or node id that must turn red) and ``why``. Faults are planted in a copy of the
checkout, never here. Exits 1 if a fault survives, cannot be planted, keeps its tests from ending in time, or its tests
are red before it is.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COPIED = ("agentguard", "tests", "workflows", "examples", "docs", "benchmarks", "pyproject.toml", "README.md")
# A fault may make a test hang instead of fail. So may a busy machine, so it is said apart: see it red once by itself.
LIMIT_SECONDS = 120
GREEN, RED, HUNG = "green", "red", "hung"


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault, as a part's YAML file states it."""

    part: str
    file: str
    find: str
    replace: str
    tests: str
    why: str

    def problems(self, root: Path = ROOT) -> list[str]:
        """What keeps this fault from being planted in that checkout."""
        source, test = root / self.file, root / self.tests.partition("::")[0]
        found = source.read_text("utf-8").count(self.find) if source.is_file() else 0
        return [
            *([] if source.is_file() else [f"no file `{self.file}`"]),
            *([] if found == 1 else [f"`find` occurs {found} times, not once"]),
            *([] if self.find != self.replace else ["`replace` changes nothing"]),
            *([] if test.exists() else [f"no test `{self.tests}`"]),
            *(
                ["what is planted is no Python, so every test is red"]
                if found == 1 and not self._is_code(source)
                else []
            ),
        ]

    def _is_code(self, source: Path) -> bool:
        try:
            ast.parse(self.planted(source.read_text("utf-8")) if source.suffix == ".py" else "")
        except SyntaxError:
            return False
        return True

    def planted(self, source: str) -> str:
        return source.replace(self.find, self.replace)


def faults(only: str | None = None) -> list[Fault]:
    """Every fault of every part, or of one. Raises ValueError on an entry that is not six plain texts."""
    found = []
    for file in sorted(HERE.glob("*.yaml")):
        if only in (None, file.stem):
            found += [_read(file.stem, entry) for entry in yaml.safe_load(file.read_text("utf-8")) or []]
    return found


def _read(part: str, entry: object) -> Fault:
    names = {field.name for field in fields(Fault)} - {"part"}
    if not isinstance(entry, dict) or entry.keys() != names or not all(isinstance(v, str) for v in entry.values()):
        raise ValueError(f"{part}.yaml: an entry needs {', '.join(sorted(names))}, each a text; found {entry!r}")
    return Fault(part, **entry)


def _copy(root: Path, into: Path) -> None:
    into.mkdir()
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, into / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
        elif (root / name).exists():
            shutil.copy2(root / name, into / name)
    vectors = root.parent / "shared" / "vectors"
    if vectors.is_dir():
        shutil.copytree(vectors, into.parent / "shared" / "vectors")


def _colour(checkout: Path, tests: Sequence[str]) -> str:
    """How these tests end in a checkout: ``GREEN``, ``RED``, or ``HUNG`` where they do not end in time."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    # Compiled files go by a source's size and second, and two faults may share both.
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ran = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, timeout=LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return HUNG
    if ran.returncode in (0, 1, 2, 4):  # passed, failed, or the fault keeps the tests from being collected or found
        return RED if ran.returncode else GREEN
    raise RuntimeError(f"pytest could not run {' '.join(tests)}: {ran.stdout.decode()[-400:]}{ran.stderr.decode()}")


_HUNG = f"no end after {LIMIT_SECONDS} s: it hangs, or the machine is busy"
_VERDICTS = {GREEN: "SURVIVED: no test noticed", RED: "", HUNG: _HUNG}


def verdict(checkout: Path, fault: Fault) -> str:
    """Plant one fault in the copy, run its test, take it out again. The empty text: the test noticed."""
    problems = fault.problems(checkout)
    if problems:
        return "; ".join(problems)
    file = checkout / fault.file
    sound = file.read_text("utf-8")
    try:
        file.write_text(fault.planted(sound), "utf-8")
        return _VERDICTS[_colour(checkout, [fault.tests])]
    finally:
        file.write_text(sound, "utf-8")


def survivors(chosen: Iterable[Fault], console: Console) -> list[tuple[Fault, str]]:
    """Run the faults in a copy of the checkout; those that no test noticed, and why."""
    chosen = list(chosen)
    with tempfile.TemporaryDirectory() as scratch:
        checkout = Path(scratch) / "checkout"
        _copy(ROOT, checkout)
        sound = dict.fromkeys(fault.tests for fault in chosen if not fault.problems(checkout))
        colours = {test: _colour(checkout, [test]) for test in track(sound, "sound code", console=console)}
        found = []
        for fault in track(chosen, "planted faults", console=console):
            without = colours.get(fault.tests, GREEN)
            why = verdict(checkout, fault) if without == GREEN else f"its tests are {without} without it"
            if why:
                found.append((fault, why))
        return found


def _show(console: Console, title: str, rows: Iterable[tuple[Fault, str]]) -> None:
    table = Table("part", "file", "what would go wrong", "", title=title)
    for fault, note in rows:
        table.add_row(fault.part, fault.file, fault.why, note)
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Plant each fault in a copy and expect a test to fail.")
    parser.add_argument("--only", metavar="PART", help="only the faults of PART.yaml")
    parser.add_argument("--list", action="store_true", help="show the faults and plant none")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        chosen = faults(options.only)
    except (ValueError, yaml.YAMLError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    if not chosen:
        parts = ", ".join(sorted(file.stem for file in HERE.glob("*.yaml"))) or "none"
        console.print(f"no faults to plant; the parts are: {parts}", style="red", markup=False)
        return 1
    if options.list:
        _show(console, f"{len(chosen)} faults", ((fault, fault.tests) for fault in chosen))
        return 0
    survived = survivors(chosen, console)
    if survived:
        _show(console, "not noticed", survived)
    console.print(f"{len(chosen) - len(survived)} of {len(chosen)} planted faults turned a test red")
    return 1 if survived else 0


if __name__ == "__main__":
    raise SystemExit(main())
