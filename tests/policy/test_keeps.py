"""A kept value is exactly what the result held at that place, or it is not kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from processor_time import processor_time
from pydantic import BaseModel

from agentguard.core.policy import Fault
from agentguard.policy.keeps import MAX_TEXT, compile_keep


class Row(BaseModel):
    id: int
    day: date


@dataclass
class Table:
    name: str
    rows: list[Any]


RESULT: Any = {
    "tables": ["orders", "items"],
    "rows": [{"id": 7}, {"id": 8}],
    "none": None,
    "odd name": "o",
    "text": "ticket INV-0042 was paid; see INV-0042",
    "two": "INV-1 and INV-2",
    "long": "x" * (MAX_TEXT + 1),
    "nan-like": {"amount": Decimal("1.5")},
    "keys": {1: 2},
}


@pytest.mark.parametrize(
    ("path", "result", "value"),
    [
        ("result", "x", "x"),
        ("result.tables", RESULT, ["orders", "items"]),
        ("result.tables[1]", RESULT, "items"),
        ("result.rows[0].id", RESULT, 7),
        ('result["odd name"]', RESULT, "o"),
        ("result[0].id", [Row(id=3, day=date(2026, 1, 2))], 3),
        ("result.day", Row(id=3, day=date(2026, 1, 2)), "2026-01-02"),
        ("result", Row(id=3, day=date(2026, 1, 2)), {"id": 3, "day": "2026-01-02"}),
        ("result.rows[0]", Table("a", [False]), False),
        ("result.name", MappingProxyType({"name": "m"}), "m"),
        ("result[1]", ("a", "b"), "b"),
    ],
)
def test_a_path_finds_its_value(path: str, result: Any, value: Any) -> None:
    """Mappings, lists, pydantic models and dataclasses."""
    assert compile_keep("kept", path, None).extract(result) == value


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("result.nothing", RESULT),
        ("result.tables.x", RESULT),
        ("result.tables[2]", RESULT),
        ("result.rows[0].id.x", RESULT),
        ("result.none", RESULT),
        ("result[0]", RESULT),
        ("result[0]", "text"),
        ("result.x", "text"),
        ("result.x", None),
        ("result", None),
        ("result", object()),
        ("result", {1, 2}),
        ("result", b"x"),
        ("result.keys", RESULT),
        ("result['nan-like']".replace("'", '"'), RESULT),
        ("result.__class__", RESULT),
        ("result.upper", "text"),
        ("result.tables", '{"tables": ["orders"]}'),
        ("result.tables", ["tables"]),
    ],
)
def test_what_is_not_there_is_not_kept(path: str, result: Any) -> None:
    """No attribute of an object, no null, no JSON inside text, no guess."""
    assert isinstance(compile_keep("kept", path, None).extract(result), Fault)


@pytest.mark.parametrize(
    ("path", "missing"),
    [("result.nothing", "`nothing`"), ("result.tables.x", "`x`"), ("result.tables[2]", "element 2")],
)
def test_a_fault_names_the_part_of_the_path_that_is_not_there(path: str, missing: str) -> None:
    """An owner looks for a misspelt name in a long path."""
    fault = compile_keep("kept", path, None).extract(RESULT)
    assert isinstance(fault, Fault) and fault.detail == f"`{path}`: there is no {missing}"


@pytest.mark.parametrize(
    ("path", "match", "value"),
    [
        ("result.text", "INV-([0-9]+)", "0042"),
        ("result.text", "(INV-[0-9]+)", "INV-0042"),
        ("result.text", "^ticket (INV-[0-9]+) ", "INV-0042"),
        ("result.two", "^INV-([0-9]+)", "1"),
    ],
)
def test_a_pattern_takes_its_first_group(path: str, match: str, value: str) -> None:
    """Text has no structure; the group says what is kept."""
    assert compile_keep("kept", path, match).extract(RESULT) == value


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("result.two", "INV-([0-9]+)"),
        ("result.text", "PAY-([0-9]+)"),
        ("result.long", "(x)"),
        ("result.tables", "(o)"),
        ("result.text", "INV-0042|(nothing)"),
    ],
)
def test_text_without_one_clear_match_keeps_nothing(path: str, match: str) -> None:
    """Somebody who can write into the text must not choose among matches."""
    assert isinstance(compile_keep("kept", path, match).extract(RESULT), Fault)


def test_a_hostile_text_is_searched_in_linear_time() -> None:
    """RE2 does not backtrack."""
    assert isinstance(compile_keep("kept", "result", "(a+)+b").extract("a" * 100_000), Fault)


def test_a_result_that_is_larger_than_it_is_long_is_a_fault() -> None:
    """Seven lines of YAML with aliases, written by an outsider: each list holds the one before eight times. Ten lines
    more, and the guard would have copied for years."""
    bomb: list[Any] = ["lol"]
    for _ in range(6):
        bomb = [bomb] * 8
    assert isinstance(compile_keep("kept", "result", None).extract(bomb), Fault)


def test_a_result_that_fights_back_is_a_fault() -> None:
    """A tool's result can raise from anything it is asked."""

    class Hostile(dict[str, Any]):
        def __contains__(self, key: object) -> bool:
            raise RuntimeError("no")

    assert isinstance(compile_keep("kept", "result.x", None).extract(Hostile()), Fault)


def test_a_result_that_contains_itself_is_a_fault() -> None:
    """Nothing loops."""
    circle: list[Any] = []
    circle.append(circle)

    assert isinstance(compile_keep("kept", "result", None).extract(circle), Fault)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "results",
        "result.",
        "result..a",
        "result[--1]",
        "result[01]",
        "result[a]",
        "res.x",
        "result x",
        'result["a]',
        "result" + ".a" * 300,
    ],
)
def test_a_path_is_read_to_its_end(path: str) -> None:
    """A path that is half understood finds something else."""
    with pytest.raises(ValueError, match="expected"):
        compile_keep("kept", path, None)


@pytest.mark.parametrize("match", ["(", "a", "(a)(b)", "(?=a)(b)", r"(a)\1"])
def test_a_pattern_has_exactly_one_group(match: str) -> None:
    """Which of two groups is kept cannot be told."""
    with pytest.raises(ValueError, match=r"group|regular expression"):
        compile_keep("kept", "result", match)


def test_a_pattern_with_an_optional_tail_is_searched_in_bounded_time() -> None:
    """From each of many equal matches it looks for the tail to the end of the text, which an outsider wrote."""
    keep = compile_keep("iban", "result", r"IBAN (\w+)(?:.*END)?")
    text = "IBAN DE1 " * (MAX_TEXT // 9)
    with processor_time(at_most=10.0):
        found = keep.extract(text)

    assert isinstance(found, Fault) and "too many matches" in found.detail
    assert keep.extract("IBAN DE1 \n" * 1000) == "DE1", "a value that stands there often is one value"
