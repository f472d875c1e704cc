"""Every known hole is owned by tests that exist, so that none of them is dropped without anybody noticing."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

TESTS = Path(__file__).parent
HOLES: list[dict[str, Any]] = [
    entry for part in yaml.safe_load((TESTS / "pitfalls.yaml").read_text("utf-8")).values() for entry in part
]


@cache
def _tests_of(file: Path) -> frozenset[str]:
    """The test functions of a file that nothing switches off for good."""
    found = [node for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
    marks = {node.name: " ".join(map(ast.unparse, node.decorator_list)) for node in found}
    return frozenset(name for name, mark in marks.items() if not any(w in mark for w in ("mark.skip(", "xfail")))


@pytest.mark.parametrize("entry", HOLES, ids=lambda entry: entry["hole"])
def test_a_known_hole_has_owners_and_they_exist(entry: dict[str, Any]) -> None:
    """A test that was renamed or removed leaves a hole without anybody at it."""
    assert entry.keys() == {"hole", "owners"} and entry["owners"]
    lost = []
    for owner in entry["owners"]:
        place, _, name = owner.partition("::")
        file = TESTS / place
        if not file.is_file() or name not in _tests_of(file):
            lost.append(owner)
    assert lost == []


def test_no_hole_is_listed_twice() -> None:
    """Two lists of owners for one hole would each look complete."""
    names = [entry["hole"] for entry in HOLES]
    assert len(names) == len(set(names)) >= 30
