"""Decision cases as pytest's items: one test a case."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentguard.core.nearest import why
from agentguard.errors import AgentGuardError
from agentguard.testing.case_files import CASES

if TYPE_CHECKING:
    from agentguard.guard.dry_run import CaseResult
    from agentguard.guard.in_force import UsableBundle
    from agentguard.policy.cases import Case

_POLICY = (".yaml", ".yml")


def _bundle_directory(path: Path, root: Path) -> Path:
    """The nearest directory from the case file up to pytest's root that holds policy files."""
    for folder in path.parents:
        if any(e.name.endswith(_POLICY) and not e.name.endswith(CASES) for e in folder.iterdir() if e.is_file()):
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
            usable = _usable(self.config, _bundle_directory(self.path, self.config.rootpath))
            cases = load_case_file(self.path, usable.bundle)
        except AgentGuardError as error:
            raise self.CollectError(str(error)) from None
        for case in cases:
            item: CaseItem = CaseItem.from_parent(self, name=case.name, case=case, usable=usable)
            yield item


class CaseItem(pytest.Item):
    """One decision case."""

    def __init__(self, *, case: Case, usable: UsableBundle, **more: Any) -> None:
        super().__init__(**more)
        self.case = case
        self.usable = usable

    def runtest(self) -> None:
        """Judge the case. Raises CaseFailed."""
        from agentguard.guard.dry_run import evaluate

        result = evaluate(self.usable, self.case, now=datetime.now(UTC))
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
        findings = [f"    {line}" for line in why(result.decision)]
        super().__init__("\n".join(["; ".join(result.problems), *(findings or ["    no finding: every check passed"])]))


_BUNDLES = pytest.StashKey[dict[Path, "UsableBundle"]]()


def _usable(config: pytest.Config, directory: Path) -> UsableBundle:
    """The bundle of a directory, loaded once a session. Raises PolicyError."""
    from agentguard import policy
    from agentguard.guard.in_force import UsableBundle

    loaded = config.stash.setdefault(_BUNDLES, {})
    if directory not in loaded:
        loaded[directory] = UsableBundle.of(policy.load(directory))
    return loaded[directory]
