"""The page on runs that outlive a block shows the programs of the example, word for word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```\n(.*?)\n```$", (ROOT / "docs" / "long-runs.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("number", "name"), [(0, "app"), (1, "graph"), (2, "jobs")])
def test_the_page_shows_the_program_that_runs(number: int, name: str) -> None:
    """What is shown and not run is wrong sooner or later."""
    assert len(BLOCKS) == 3
    assert BLOCKS[number] in (ROOT / "examples" / "help_desk" / f"{name}.py").read_text("utf-8")
