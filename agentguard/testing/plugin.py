"""What pytest calls. pytest itself is loaded only by what it calls, so that the fakes can be used without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agentguard.testing.case_files import is_case_file

if TYPE_CHECKING:
    import pytest


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Decision cases are tests. Files of other projects that happen to be called so are left alone."""
    if is_case_file(file_path):
        from agentguard.testing.collect import CasesFile

        collected: CasesFile = CasesFile.from_parent(parent, path=file_path)
        return collected
    return None
