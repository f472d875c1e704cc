"""One value, one sequence of bytes, one digest; what has none is refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from agentguard.core.canonical import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_NODES,
    NotCanonical,
    canonical_bytes,
    parse_json,
    read_canonical,
    sha256,
)
from agentguard.core.request import Request

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "args_hash.json").read_text("utf-8"))

INTEGERS = st.integers(-MAX_INTEGER, MAX_INTEGER)
FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not MAX_INTEGER < abs(x) < 1e21)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def _values(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20)


ASCII = st.text(st.characters(max_codepoint=127))
PLAIN = _values(st.none() | st.booleans() | INTEGERS | ASCII, ASCII)
ANY = _values(st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS, TEXTS)


def _nested(depth: int, *, as_list: bool) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if as_list else {"a": value}
    return value


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["jcs"])
def test_the_published_vectors_hold(vector: dict[str, Any]) -> None:
    """Others compute the same hashes; a difference would break every proof bound to a call."""
    encoded = canonical_bytes(vector["args"])

    assert encoded == vector["jcs"].encode()
    assert sha256(encoded) == vector["args_hash"]


@given(PLAIN)
def test_the_quick_way_gives_the_bytes_of_the_full_encoder(value: Any) -> None:
    """Two encoders that differ anywhere would give one call two digests."""
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(ANY)
def test_the_bytes_are_those_of_rfc_8785(value: Any) -> None:
    """Text of any script, floats and all."""
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(ANY)
def test_what_is_read_back_is_what_was_judged(value: Any) -> None:
    """The tool gets what the policy saw: equal, and with the same bytes again."""
    encoded = canonical_bytes(value)

    assert read_canonical(encoded) == value
    assert canonical_bytes(read_canonical(encoded)) == encoded
    assert parse_json(encoded) == value


@given(st.text() | st.binary())
def test_any_text_is_read_or_refused_and_nothing_else(raw: str | bytes) -> None:
    """The reader of foreign bytes raises our own refusal only."""
    with contextlib.suppress(NotCanonical):
        parse_json(raw)


@pytest.mark.parametrize("code", [*range(0x20), 0x22, 0x5C, 0x7F])
def test_control_characters_are_written_as_rfc_8785_writes_them(code: int) -> None:
    """The quick way rests on the quick encoder's escapes being these (section 3.2.2.2)."""
    value = {chr(code): [chr(code)]}

    assert canonical_bytes(value) == rfc8785.dumps(value)


def test_keys_are_ordered_by_utf_16_and_not_by_code_point() -> None:
    """RFC 8785 section 3.2.3: U+1F600 sorts before U+FB33, which has the smaller code point."""
    assert canonical_bytes({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize(("value", "written"), [(1.0, b"1"), (-0.0, b"0"), (1e21, b"1e+21"), (1e-7, b"1e-7")])
def test_numbers_are_written_as_ecmascript_writes_them(value: float, written: bytes) -> None:
    """RFC 8785 section 3.2.2.3."""
    assert canonical_bytes(value) == written


# What has no canonical form.


class Word(StrEnum):
    YES = "yes"


class Number(IntEnum):
    ONE = 1


class Text(str):
    """A text that could answer differently each time it is read."""


@pytest.mark.parametrize("place", [lambda v: v, lambda v: [v], lambda v: {"a": v}, lambda v: {"a": [0, {"b": v}]}])
@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        10**400,
        float(2**53),
        -1e20,
        9.99e20,
        "\ud800",
        "a\udfffb",
        "\ud83d\ude00",
        b"bytes",
        bytearray(),
        (1, 2),
        {1},
        Decimal(1),
        Word.YES,
        Number.ONE,
        Text("x"),
        1j,
        object(),
        {1: "a"},
        {None: "a"},
        {True: "a"},
        {("a",): "a"},
        {Text("a"): "a"},
        {"\ud800": 1},
    ],
    ids=ascii,
)
def test_what_json_cannot_say_exactly_is_refused(value: Any, place: Any) -> None:
    """At any depth; a value that is bent into JSON is another value than the one the tool would get."""
    with pytest.raises(NotCanonical):
        canonical_bytes(place(value))


@pytest.mark.parametrize("as_list", [True, False])
def test_nesting_is_bounded_exactly(as_list: bool) -> None:
    """Sixty-four is deeper than any sensible call; a hundred thousand must not exhaust the stack either."""
    canonical_bytes(_nested(MAX_DEPTH, as_list=as_list))
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(NotCanonical, match="nested deeper"):
            canonical_bytes(_nested(depth, as_list=as_list))


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_raw_json_is_bounded_in_depth_too(opening: str, depth: int) -> None:
    """Closed or not: no recursion error reaches the caller."""
    closing = {"[": "]", '{"a":': "}", '[{"a":': "}]"}[opening]
    for raw in (opening * depth, opening * depth + "1" + closing * depth):
        with pytest.raises(NotCanonical):
            parse_json(raw[:MAX_BYTES])


def test_a_value_that_contains_itself_is_refused() -> None:
    """It has no end."""
    loop: list[Any] = []
    loop.append(loop)
    knot: dict[str, Any] = {}
    knot["a"] = knot
    for value in (loop, knot):
        with pytest.raises(NotCanonical):
            canonical_bytes(value)


def test_the_number_of_values_is_bounded_exactly() -> None:
    """Fifty thousand, the outermost included."""
    canonical_bytes([0] * (MAX_NODES - 1))
    with pytest.raises(NotCanonical, match="more than 50000 values"):
        canonical_bytes([0] * MAX_NODES)
    with pytest.raises(NotCanonical, match="more than 50000 values"):
        parse_json("[" + "0," * (MAX_NODES - 1) + "0]")


@pytest.mark.parametrize(("letter", "width"), [("a", 1), ("é", 2), ("€", 3), ("\U0001f600", 4), ("\n", 2), ("\x01", 6)])
def test_the_size_is_bounded_exactly_in_bytes(letter: str, width: int) -> None:
    """Whatever the script: what counts is what is kept and hashed."""
    rest = (MAX_BYTES - 2) % width
    fits = letter * ((MAX_BYTES - 2) // width) + "a" * rest

    assert len(canonical_bytes(fits)) == MAX_BYTES
    with pytest.raises(NotCanonical, match="longer than"):
        canonical_bytes(fits + "a")


def test_long_keys_count_too() -> None:
    """A bound on values alone would let keys through."""
    with pytest.raises(NotCanonical, match="longer than"):
        canonical_bytes({"a" * MAX_BYTES: 1})
    with pytest.raises(NotCanonical, match="longer than"):
        parse_json("[" + " " * MAX_BYTES + "]")


@pytest.mark.parametrize(
    "raw",
    [
        '{"a":1,"a":1}',
        '{"a":1,"a":2}',
        '{"a":1,"\\u0061":2}',
        '[{"b":{"a":1,"c":0,"a":2}}]',
        '{"":1,"":2}',
    ],
)
def test_a_member_given_twice_is_refused(raw: str) -> None:
    """The checker would see one value and the tool the other, however the name is spelt."""
    for text in (raw, raw.encode()):
        with pytest.raises(NotCanonical, match="given twice"):
            parse_json(text)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        " ",
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e400",
        "-1e400",
        str(MAX_INTEGER + 1),
        "1" + "0" * 5_000,
        "-" + "9" * 100_000,
        "1e20",
        "01",
        "+1",
        ".5",
        "1.",
        "0x10",
        "'a'",
        '"\\ud800"',
        '{"\\udfff": 1}',
        '"a\nb"',
        '"\\x41"',
        "[1,]",
        '{"a":1,}',
        "[1] [2]",
        "// note\n1",
        "\ufeff1",
        "nul",
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf1",
        "1".encode("utf-16"),
        "1".encode("utf-32"),
        "\x00",
    ],
    ids=lambda raw: ascii(raw[:20]),
)
def test_what_is_not_quite_json_is_refused(raw: str | bytes) -> None:
    """Nothing is guessed, not even the encoding."""
    with pytest.raises(NotCanonical):
        parse_json(raw)


@pytest.mark.parametrize("raw", ['{"password":"hunter2"', '{"hunter2":1,"hunter2":2}', '["hunter2" NaN]'])
def test_a_refusal_does_not_quote_the_value(raw: str) -> None:
    """Secrets in arguments must not reach the log by way of an error."""
    with pytest.raises(NotCanonical) as refused:
        parse_json(raw)

    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


# The digest of a request.

MADE: dict[str, Any] = {
    "run_id": "run-1",
    "workflow": "w",
    "tool": "t",
    "canonical": b'{"a":1}',
    "arguments": {"a": 1},
    "definition": "sha256:d",
    "salt": "5a17",
}


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "run-2"},
        {"salt": "5a18"},
        {"workflow": "W"},
        {"tool": "t2"},
        {"canonical": b'{"a":2}'},
        {"canonical": b'{"a":"1"}'},
        {"in_order": b'{"a":1.0}'},
        {"definition": "sha256:e"},
        {"definition": None},
        {"definition": ""},
        {"run_id": "w", "workflow": "run-1"},
        {"workflow": "t", "tool": "w"},
    ],
    ids=str,
)
def test_a_request_that_differs_anywhere_has_another_digest(change: dict[str, Any]) -> None:
    """An approval or proof for one request is for nothing else, not even for the same words in other places."""
    assert Request.make(**{**MADE, **change}).digest != Request.make(**MADE).digest


def test_the_call_id_is_not_part_of_the_request() -> None:
    """A repeated call gets a new id from the model; the approval it waited for is for the request."""
    assert Request.make(**MADE, call_id="1").digest == Request.make(**MADE, call_id="2").digest


def test_the_digest_of_a_request_is_written_down() -> None:
    """A change of what is covered would silently void every open approval; it must be a decision."""
    request = Request.make(**MADE)

    assert re.fullmatch(r"sha256:[0-9a-f]{64}", request.digest)
    arguments = "sha256:" + hashlib.sha256(MADE["salt"].encode() + b"." + MADE["canonical"]).hexdigest()
    both = {"arguments": arguments, "arguments_in_order": arguments}
    covered = {**both, "definition": "sha256:d", "run": "run-1", "tool": "t", "v": 2}
    assert request.digest == sha256(rfc8785.dumps({**covered, "workflow": "w"}))
