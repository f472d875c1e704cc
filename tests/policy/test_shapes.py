"""Argument shapes are closed: what is not listed, or is of another type, is refused without its value being told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.policy.json_schema.shapes import CompiledShape, compile_shape


def shape(**properties: Any) -> CompiledShape:
    compiled, troubles = compile_shape(properties)
    assert compiled is not None, troubles
    return compiled


GOOD = shape(
    ticket={"type": "string", "pattern": "EXP-[0-9]+"},
    rows={"type": "integer", "minimum": 1, "maximum": 50000},
    note={"type": "string", "maxLength": 5, "optional": True},
    where={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    tags={"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
)
FITS: Mapping[str, Any] = {"ticket": "EXP-7", "rows": 5, "where": {"city": "Ulm"}, "tags": ["a"]}


def test_what_fits_is_not_refused() -> None:
    """The near misses below differ from this in one place each."""
    assert GOOD.refusal(FITS) is None
    assert GOOD.refusal({**FITS, "note": "hello"}) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ticket": "EXP-7\n"}, "ticket: does not fit `pattern`"),
        ({"ticket": "xEXP-7"}, "ticket: does not fit `pattern`"),
        ({"ticket": "EXP-7x"}, "ticket: does not fit `pattern`"),
        ({"ticket": "EXP-٣"}, "ticket: does not fit `pattern`"),
        ({"ticket": "a\nEXP-7\nb"}, "ticket: does not fit `pattern`"),
        ({"ticket": None}, "ticket: expected string"),
        ({"ticket": ["EXP-7"]}, "ticket: expected string"),
        ({"rows": 0}, "rows: does not fit `minimum`"),
        ({"rows": 50001}, "rows: does not fit `maximum`"),
        ({"rows": "5"}, "rows: expected integer"),
        ({"rows": True}, "rows: expected integer"),
        ({"rows": 5.5}, "rows: expected integer"),
        ({"rows": [5]}, "rows: expected integer"),
        ({"note": "longer"}, "note: does not fit `maxLength`"),
        ({"note": None}, "note: expected string"),
        ({"where": {}}, "where: `city` is missing"),
        ({"where": {"city": "Ulm", "zip": 1}}, "where: `zip` is not allowed"),
        ({"where": '{"city": "Ulm"}'}, "where: expected object"),
        ({"tags": ["c"]}, "tags[0]: does not fit `enum`"),
        ({"tags": ["a", "a", "a"]}, "tags: does not fit `maxItems`"),
        ({"extra": 1}, "`extra` is not allowed"),
        ({"Rows": 5}, "`Rows` is not allowed"),
        ({"rows\0": 5}, "is not allowed"),
    ],
)
def test_one_thing_off_is_refused(change: Mapping[str, Any], said: str) -> None:
    """Closed world: another type, another name, one more character."""
    assert said in (GOOD.refusal({**FITS, **change}) or "")


@pytest.mark.parametrize("name", ["ticket", "rows", "where", "tags"])
def test_what_is_not_optional_is_required(name: str) -> None:
    """Optional is what says so, not what forgot to say."""
    without = {key: value for key, value in FITS.items() if key != name}

    assert GOOD.refusal(without) == f"`{name}` is missing"


@pytest.mark.parametrize(
    "odd", [None, [], "x", 7, {1: 2}, {"ticket": object()}, {"ticket": {1, 2}}, {"rows": float("nan")}]
)
def test_no_value_makes_it_raise(odd: Any) -> None:
    """A check that raises is a check that some caller forgets to catch."""
    assert GOOD.refusal(odd) is not None


def test_a_refusal_does_not_tell_the_value() -> None:
    """Records keep the refusal, and arguments may be secret."""
    told = GOOD.refusal({**FITS, "ticket": "hunter2-hunter2", "rows": "hunter2", "tags": ["hunter2"]})

    assert told is not None
    assert "hunter2" not in told


def test_nothing_listed_means_nothing_allowed() -> None:
    """`arguments: {}` is a call without arguments."""
    assert shape().refusal({}) is None
    assert shape().refusal({"a": 1}) is not None


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_branches_are_closed_too(keyword: str) -> None:
    """An open object inside a choice would be a way in."""
    branch = {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}, "required": ["a"]}
    one = shape(value={keyword: [branch, {"type": "integer"}]})

    assert one.refusal({"value": {"a": "x"}}) is None
    assert one.refusal({"value": 7}) is None
    assert one.refusal({"value": {"a": "x", "b": 1}}) is not None
    assert one.refusal({"value": {"a": "xx"}}) is not None


def test_an_object_can_be_opened_by_name() -> None:
    """Free-form members are possible, and visible in the file."""
    free = shape(labels={"type": "object", "additionalProperties": {"type": "string", "pattern": "[a-z]+"}})

    assert free.refusal({"labels": {"x": "abc"}}) is None
    assert free.refusal({"labels": {"x": "abc1"}}) is not None
    assert free.refusal({"labels": {"x": 1}}) is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "not": {"const": "x"}},
        {"allOf": [{"type": "string"}]},
        {"type": "string", "if": {}},
        {"type": "string", "default": "x"},
        {"$ref": "#"},
        {"$ref": "https://schemas.example/x"},
        {"type": "object", "patternProperties": {}},
        {"type": ["string", "text"]},
        {"type": "array", "items": {}},
        {"type": "array", "items": [{"type": "string"}]},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]},
        {"type": "string", "pattern": "(a{1,1000}){1,1000}"},
        {"type": "string", "pattern": r"(a)\1"},
        {"type": "string", "pattern": "(?x)a #"},
        {"type": "string", "pattern": 7},
        {"type": "integer", "pattern": "a"},
        {"type": "string", "format": "nonsense"},
        {"anyOf": []},
    ],
)
def test_what_is_open_or_does_nothing_is_refused_at_load(schema: Mapping[str, Any]) -> None:
    """JSON Schema ignores what it does not understand; an owner would believe it checked something."""
    compiled, troubles = compile_shape({"value": dict(schema)})

    assert compiled is None
    assert all(path[0] == "value" and message for path, message in troubles)


def test_patterns_run_in_linear_time() -> None:
    """The classic bomb; a backtracking engine would not come back in this test's life."""
    bomb = shape(value={"type": "string", "pattern": "(a+)+b"})

    assert bomb.refusal({"value": "a" * 100_000}) is not None


def test_formats_are_checked() -> None:
    """By the letter of JSON Schema, `format` is only a remark."""
    dated = shape(day={"type": "string", "format": "date"})

    assert dated.refusal({"day": "2027-02-28"}) is None
    assert dated.refusal({"day": "2027-02-30"}) is not None


@given(st.text(max_size=8), st.sampled_from(["[ab]+", "a|b", "a*", "(a|b)(c)?", "[^x]", "."]))
def test_a_pattern_covers_the_whole_text(text: str, pattern: str) -> None:
    """The same text with anything before or after it is another text."""
    one = shape(value={"type": "string", "pattern": pattern})
    if one.refusal({"value": text}) is None:
        for extra in ("\n", "!", "\r\n"):
            longer = one.refusal({"value": text + extra}) is None
            assert not longer or (pattern in ("[^x]", ".") and not text)
