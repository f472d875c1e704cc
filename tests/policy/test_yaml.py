"""Strict YAML: what it takes means the same to every reader, and every value knows its line."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agentguard.policy.yaml import parse as strict
from agentguard.policy.yaml.parse import MAX_BYTES, MAX_DEPTH, MAX_NODES, parse

WORDS = ["yes", "no", "on", "off", "y", "n", "~", "Null", "NULL", "TRUE", "True", "False", "=", ".inf", "-.Inf", ".NaN"]
NUMBERS = [
    "010",
    "00",
    "-01",
    "+1",
    "1_000",
    "0x1F",
    "0o17",
    "0b11",
    "08",
    "12:30",
    "1:2:3",
    "1.",
    ".5",
    "1_0.5",
    "190:20:30.15",
]
DATES = ["2027-06-30", "2027-6-3", "2001-12-14t21:59:43.10-05:00"]


def one(text: str) -> Any:
    documents, troubles = parse(text.encode())
    assert not troubles
    (document,) = documents
    return document.data


def refused(raw: str | bytes) -> tuple[int, str]:
    documents, troubles = parse(raw.encode() if isinstance(raw, str) else raw)
    assert troubles, documents
    return troubles[0]


@pytest.mark.parametrize("word", [*WORDS, *(word.upper() for word in WORDS[:6]), *NUMBERS, *DATES, "<<"])
def test_a_word_that_readers_differ_on_is_refused(word: str) -> None:
    """Norway's `no`, a time of day, an octal: YAML 1.1 and 1.2 give different values."""
    assert refused(f"# a comment\nkey: {word}\n")[0] == 2
    assert refused(f"- 1\n- {word}\n")[0] == 2
    assert refused(f"{word}: 1\n")[0] == 1
    assert one(f"key: '{word}'") == {"key": word}
    assert one(f'key: "{word}"') == {"key": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("0", 0),
        ("-7", -7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("'12e03'", "12e03"),
        ("-0", 0),
        ("9007199254740991", 2**53 - 1),
        ("60s", "60s"),
        ("user:alice", "user:alice"),
        ("10.0.0.1", "10.0.0.1"),
        ("yesterday", "yesterday"),
        ("nothing", "nothing"),
        ("a b", "a b"),
        ("'it''s'", "it's"),
        ('"a\\tb"', "a\tb"),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">\n  a\n  b\n", "a b\n"),
        ("[]", []),
        ("{}", {}),
        ("[1, {a: b}]", [1, {"a": "b"}]),
        ("größer", "größer"),
    ],
)
def test_a_plain_value_is_text_or_json(text: str, value: Any) -> None:
    """What every reader agrees on is taken as it is."""
    found = one(f"key: {text}")["key"]

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("key", ["review_by", "now", "until"])
def test_a_date_stays_text_where_a_date_is_expected(key: str) -> None:
    """`review_by: 2027-06-30` should need no quotes."""
    assert one(f"{key}: 2027-06-30") == {key: "2027-06-30"}


@pytest.mark.parametrize(
    ("raw", "line", "said"),
    [
        (b"a: 1\nb: &x 2\n", 2, "anchors"),
        (b"a: 1\nb: *x\n", 2, "aliases"),
        (b"a: 1\nb: !x 2\n", 2, "tags"),
        (b"a: 1\nb: ! 2\n", 2, "tags"),
        (b"a: 1\nb: !!str 2\n", 2, "tags"),
        (b"a: 1\nb: &x [1]\n", 2, "anchors"),
        (b"a: 1\nb: !!map {}\n", 2, "tags"),
        (b"a: 1\nb: 2\na: 3\n", 3, "given twice; the first is in line 1"),
        (b"a: 1\n'a': 2\n", 2, "given twice"),
        (b"? [a]\n: 1\n", 1, "a key must be one word"),
        (b"? {a: 1}\n: 1\n", 1, "a key must be one word"),
        (b"1: 2\n", 1, "not text to every reader"),
        (b"true: 2\n", 1, "not text to every reader"),
        (b"'': 2\n", 1, "printable ASCII"),
        (b"a:\n", 1, "a value is missing"),
        (b"a: [1, , 2]\n", 1, "not YAML"),
        (b"a: 1\n\tb: 2\n", 2, "not YAML"),
        (b"a: 'x\n", 1, "not YAML"),
        (b'a:\n  - x == "H: " + y && z in ["!"]\n  - b\n', 2, "put all of it in single quotes"),
        (b'a:\n  - x == "H: "\n', 2, "put all of it in single quotes"),
        (b"%YAML 1.1\n---\na: 1\n", 1, "directives"),
        (b"%TAG ! tag:x,2000:\n---\na: 1\n", 1, "directives"),
        (b"a: 9007199254740992\n", 1, "beyond"),
        (b"a: 1e400\n", 1, "too large"),
        (b"a: 12e03\n", 1, "in quotes"),
        (b"a: [x, 1E-05]\n", 1, "in quotes"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
        (b"\xef\xbb\xbfa: 1\n", 1, "byte order mark"),
        ("a: 1\n".encode("utf-16"), 1, "byte order mark"),
        (b"a: 1\nb: x\x00y\n", 2, "U+0000"),
        (b"a: 1\nb: x\x1by\n", 2, "U+001B"),
        (b"a: 1\rb: 2\n", 1, "U+000D"),
        ("a: 1\nb: x\u200by\n".encode(), 2, "U+200B"),
        ("a: 1\n# \u202e\n".encode(), 2, "U+202E"),
        ("a: 1\nb: \u3164\n".encode(), 2, "U+3164"),
        ("a: 1\nb: x\ufe0f\n".encode(), 2, "U+FE0F"),
        ("a: 1\nb: x\u00a0y\n".encode(), 2, "U+00A0"),
        ("a: 1\n\u0430: 2\n".encode(), 2, "printable ASCII"),
        (b'a: 1\nb: "x\\0"\n', 2, "U+0000"),
        (b'a: 1\nb: "x\\u202e"\n', 2, "U+202E"),
        (b'a: 1\n"x\\e": 2\n', 2, "U+001B"),
    ],
)
def test_what_could_be_read_two_ways_is_refused(raw: bytes, line: int, said: str) -> None:
    """An owner and a reader must see the same file."""
    found, message = refused(raw)

    assert (found, said in message) == (line, True), message


def test_sizes_are_bounded() -> None:
    """A file must not be able to use up the loader."""
    assert "longer than" in refused(b"#" * (MAX_BYTES + 1))[1]
    assert "nested deeper" in refused("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))[1]
    assert one("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
    assert "values" in refused("[" + "1," * MAX_NODES + "1]")[1]
    assert "not YAML" in refused("[" * 500_000)[1] or "nested" in refused("[" * 500_000)[1]


def test_several_documents_each_know_their_lines() -> None:
    """One file may hold a tool list and a workflow."""
    documents, troubles = parse(b"---\na: 1\n---\nb:\n  - 1\n  - c: 2\n")

    assert not troubles
    assert [document.data for document in documents] == [{"a": 1}, {"b": [1, {"c": 2}]}]
    assert [documents[0].line("a"), documents[1].line("b"), documents[1].line("b", 1, "c")] == [2, 4, 6]


def test_the_line_of_a_path_that_is_not_there_is_that_of_its_deepest_part() -> None:
    """A key that is missing is reported where it should have been."""
    (document,), _ = parse(b"a: 1\nb:\n  c: {d: 1}\n")

    assert document.line("b", "c", "nothing", 3) == 3
    assert document.line("nothing") == 1


def test_the_pure_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where libyaml is missing, the same files load with the same lines."""
    text = b"a: [1, x, {b: 'y'}]\nc: |\n  text\nd: no\n"
    fast = parse(text)
    monkeypatch.setattr(strict, "_LOADER", yaml.SafeLoader)

    assert parse(text) == fast


KEYS = st.text(st.sampled_from("abcxyz_-"), min_size=2, max_size=8).filter(lambda key: key[0] != "-" and key != "no")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(categories=["Lu", "Ll", "Nd", "Po"], include_characters=" \n"), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_a_good_document_reads_as_the_usual_reader_reads_it(value: Any) -> None:
    """What strict YAML takes, it takes to mean what PyYAML's safe loader and JSON say it means."""
    block = yaml.safe_dump({"v": value}, default_style='"' if isinstance(value, str) else None, allow_unicode=True)
    documents, troubles = parse(block.encode())
    flow = json.dumps({"v": value}, ensure_ascii=False)
    flow_documents, flow_troubles = parse(flow.encode())

    if not troubles:
        assert documents[0].data == yaml.safe_load(block)
    if not flow_troubles:
        assert flow_documents[0].data == json.loads(flow)


@given(st.binary(max_size=200))
def test_garbage_never_raises(raw: bytes) -> None:
    """Whatever a file holds, there is a document or a sentence."""
    documents, troubles = parse(raw)

    assert all(0 <= line <= raw.count(b"\n") + 2 and message for line, message in troubles)
    assert all(document.line() >= 1 for document in documents)


PIECES = st.lists(
    st.sampled_from(
        ["a", ": ", "- ", "\n", "  ", "[", "]", "{", "}", "'", '"', "&x ", "*x", "!t ", "|", "#", "? ", "no", "1", ","]
    ),
    max_size=25,
)


@given(PIECES.map("".join))
def test_what_is_taken_the_usual_reader_takes_too(text: str) -> None:
    """Nothing is accepted here that PyYAML would refuse or read as another JSON value."""
    documents, troubles = parse(text.encode())

    if not troubles and documents:
        assert [document.data for document in documents] == list(yaml.safe_load_all(text))


@pytest.mark.parametrize("text", ["\tkind: Trust\n", "a:\n\t- 1\n", "a:\n  \tb: 1\n"])
def test_a_tab_is_answered_with_what_to_write_instead(text: str) -> None:
    """The reader's own words for it say nothing to an owner."""
    (_, message), *_ = parse(text.encode())[1]
    assert "not with tabs" in message


@pytest.mark.parametrize("text", ["x:\n    a: 1\n  {}\n", "- a\n{}\n", "x: [a\n{}\n"])
def test_a_line_of_many_colons_is_answered_at_once(text: str) -> None:
    """The search for what was meant tries each colon once; trying each set of them would never end."""
    assert "not YAML" in refused(text.format("b: " * 2_000))[1]
