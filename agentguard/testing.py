"""For tests: a guard that needs nothing, a clock that obeys, and the pytest plugin that runs decision cases.

The plugin is found by pytest where agentguard is installed. It collects every ``*.cases.yaml`` that begins with
``apiVersion: agentguard/…``, one test a case, and judges it by the bundle in the nearest directory above it that holds
policy files. Nothing here turns a check off: the guard of ``in_memory_guard`` decides as any other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentguard.errors import AgentGuardError, ConfigurationError

if TYPE_CHECKING:
    from agentguard.guard import Guard
    from agentguard.guard.cases import CaseResult
    from agentguard.policy import Bundle
    from agentguard.policy.cases import Case

__all__ = ["FakeClock", "in_memory_guard"]

_CASES = (".cases.yaml", ".cases.yml")
_POLICY = (".yaml", ".yml")
_HEAD_BYTES = 4_096


class FakeClock:
    """A wall clock that moves only when told to: pass it as ``clock=``, then ``clock.forward(seconds=61)``."""

    def __init__(self, at: datetime | None = None) -> None:
        """Start at ``at``, or now. Raises ConfigurationError for a time without a zone."""
        self._at = datetime.now(UTC) if at is None else _aware(at)

    def __call__(self) -> datetime:
        return self._at

    def forward(self, by: timedelta | None = None, *, seconds: float = 0) -> None:
        """Let time pass; a negative amount turns the clock back."""
        self._at += (by or timedelta()) + timedelta(seconds=seconds)

    def set(self, at: datetime) -> None:
        """Jump to a time. Raises ConfigurationError for a time without a zone."""
        self._at = _aware(at)


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ConfigurationError("a clock needs times with a zone, such as datetime(2026, 11, 24, tzinfo=UTC)")
    return at.astimezone(UTC)


@contextmanager
def in_memory_guard(bundle: str | Path | Mapping[str, str], **options: Any) -> Iterator[Guard]:
    """A whole guard over a ledger in memory and a local identity that is gone afterwards.

    ``bundle`` is a directory, or file names with their YAML. ``options`` are those of ``Guard.load``: ``clock``,
    ``wait``, ``identity`` … Raises what ``Guard.load`` raises.
    """
    from agentguard.guard import Guard
    from agentguard.ledger import memory_ledger

    with tempfile.TemporaryDirectory(prefix="agentguard-") as scratch:
        directory = Path(scratch) / "bundle"
        if isinstance(bundle, Mapping):
            directory.mkdir()
            for name, text in bundle.items():
                (directory / name).write_text(text, "utf-8")
        else:
            directory = Path(bundle)
        chosen = {"ledger": memory_ledger(), "home": Path(scratch) / "home", **options}
        with Guard.load(directory, **chosen) as guard:
            yield guard


# The pytest plugin.


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Decision cases are tests. Files of other projects that happen to be called so are left alone."""
    if file_path.name.endswith(_CASES) and _is_ours(file_path):
        collected: CasesFile = CasesFile.from_parent(parent, path=file_path)
        return collected
    return None


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"agentguard/" in file.read(_HEAD_BYTES)
    except OSError:
        return False


def _bundle_directory(path: Path, root: Path) -> Path:
    """The nearest directory from the case file up to pytest's root that holds policy files."""
    for folder in path.parents:
        if any(e.name.endswith(_POLICY) and not e.name.endswith(_CASES) for e in folder.iterdir() if e.is_file()):
            return folder
        if folder == root:
            break
    return path.parent


class CasesFile(pytest.File):
    """One file of decision cases."""

    def collect(self) -> Iterator[CaseItem]:
        """Each case as a test; what is wrong with the file or its bundle as one readable error."""
        from agentguard.policy.cases import load_case_file

        try:
            bundle = _bundle(self.config, _bundle_directory(self.path, self.config.rootpath))
            cases = load_case_file(self.path, bundle)
        except AgentGuardError as error:
            raise self.CollectError(str(error)) from None
        for case in cases:
            item: CaseItem = CaseItem.from_parent(self, name=case.name, case=case, bundle=bundle)
            yield item


class CaseItem(pytest.Item):
    """One decision case."""

    def __init__(self, *, case: Case, bundle: Bundle, **more: Any) -> None:
        super().__init__(**more)
        self.case = case
        self.bundle = bundle

    def runtest(self) -> None:
        """Judge the case. Raises CaseFailed."""
        from agentguard.guard.cases import evaluate

        result = evaluate(self.bundle, self.case, now=datetime.now(UTC))
        if not result.passed:
            raise CaseFailed(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """What was expected, what was found, and every finding; nobody's stack."""
        if isinstance(excinfo.value, CaseFailed | AgentGuardError):
            return f"{self.case.file}:{self.case.line}: {excinfo.value}"
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the case stands; pytest counts lines from 0."""
        return self.path, max(self.case.line - 1, 0), f"{self.case.workflow}: {self.name}"


class CaseFailed(AssertionError):
    """A decision was not the one expected."""

    def __init__(self, result: CaseResult) -> None:
        findings = [
            f"    {found.effect} {found.reason}{f' (step {found.step})' if found.step else ''}: {found.detail}"
            for found in result.decision.findings
        ]
        super().__init__("\n".join(["; ".join(result.problems), *(findings or ["    no finding: every check passed"])]))


_BUNDLES = pytest.StashKey[dict[Path, "Bundle"]]()


def _bundle(config: pytest.Config, directory: Path) -> Bundle:
    """The bundle of a directory, loaded once a session. Raises PolicyError."""
    from agentguard import policy
    from agentguard.guard.parts import check_bundle

    loaded = config.stash.setdefault(_BUNDLES, {})
    if directory not in loaded:
        bundle = policy.load(directory)
        check_bundle(bundle)
        loaded[directory] = bundle
    return loaded[directory]
