"""What pytest calls. pytest itself is loaded only by what it calls, so that the fakes can be used without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

CASES = (".cases.yaml", ".cases.yml")
_HEAD_BYTES = 4_096


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Decision cases are tests. Files of other projects that happen to be called so are left alone."""
    if file_path.name.endswith(CASES) and _is_ours(file_path):
        from agentguard.testing.collect import CasesFile

        collected: CasesFile = CasesFile.from_parent(parent, path=file_path)
        return collected
    return None


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"agentguard/" in file.read(_HEAD_BYTES)
    except OSError:
        return False
