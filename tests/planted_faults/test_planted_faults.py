"""The list of planted faults stays true; that each turns a test red is shown by ``run.py`` and the nightly tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))

import run as planted

FAULTS = planted.faults()


def _name(fault: planted.Fault) -> str:
    return f"{fault.part}: {fault.why}"


def test_the_list_is_not_empty() -> None:
    """All of nothing is no: a list that was lost must not pass for one without survivors."""
    assert len([fault for fault in FAULTS if fault.part == "core"]) >= 25


@pytest.mark.parametrize("fault", FAULTS, ids=_name)
def test_each_fault_can_still_be_planted(fault: planted.Fault) -> None:
    """A fault whose text is gone tests nothing, and nobody would notice."""
    assert fault.problems() == []


def test_no_fault_is_listed_twice() -> None:
    """The count of faults is a claim about how many rules are guarded."""
    assert len({(fault.file, fault.find, fault.replace) for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"file": "a.py"}, "fields are missing"),
        ({"file": "a.py", "find": "x", "replace": 1, "tests": "t", "why": "w"}, "a field is not text"),
        ("text", "it is no mapping"),
    ],
)
def test_an_entry_that_is_not_complete_is_refused(entry: object, why: str) -> None:
    """Half an entry would be planted as nothing and counted as guarded."""
    with pytest.raises(ValueError, match="an entry needs"):
        planted._read("part", entry)


def test_a_fault_that_no_test_notices_is_reported(tmp_path: Path) -> None:
    """The runner itself must be able to say no."""
    (tmp_path / "rule.py").write_text("LIMIT = 1\nOTHER = 1\n", "utf-8")
    (tmp_path / "test_rule.py").write_text("import rule\n\ndef test_limit():\n    assert rule.LIMIT == 1\n", "utf-8")
    noticed = planted.Fault("part", "rule.py", "LIMIT = 1", "LIMIT = 2", "test_rule.py", "why")
    unnoticed = planted.Fault("part", "rule.py", "OTHER = 1", "OTHER = 2", "test_rule.py", "why")
    gone = planted.Fault("part", "rule.py", "= 1", "= 2", "test_rule.py", "why")

    assert planted.verdict(tmp_path, noticed) == ""
    assert planted.verdict(tmp_path, unnoticed).startswith("SURVIVED")
    assert planted.verdict(tmp_path, gone) == "`find` occurs 2 times, not once"


def test_a_fault_that_is_no_python_cannot_be_planted(tmp_path: Path) -> None:
    """A file that cannot be read turns every test red, and says nothing of the rule."""
    (tmp_path / "rule.py").write_text("def limit():\n    return 1\n", "utf-8")
    (tmp_path / "test_rule.py").write_text("", "utf-8")
    fault = planted.Fault("part", "rule.py", "    return 1", "return 2", "test_rule.py", "why")

    assert fault.problems(tmp_path) == ["what is planted is no Python, so every test is red"]


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_every_planted_fault_turns_a_test_red() -> None:
    """Full coverage is where testing starts: a rule that can be broken unnoticed is not a rule."""
    assert planted.survivors(FAULTS, Console(quiet=True)) == []
