"""What reaches the screen, tried over all of Unicode."""

from __future__ import annotations

import json
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard import display
from agentguard.core.canonical import sha256

EVERYTHING = range(sys.maxunicode + 1)
ESCAPED = re.compile(r"\\u\{([0-9A-F]{4,6})\}|\\s\{([0-9]+)\}|\\(\\)")


def unescape(text: str) -> str:
    """The way back, written from the rules and not from the code."""

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        return " " * int(found[2]) if found[2] else "\\"

    return ESCAPED.sub(one, text)


def test_only_printable_ascii_ever_passes_of_all_of_unicode() -> None:
    """An allow-list: lists of bad characters have always missed some (267 of them, by Unicode category)."""
    passed = {code for code in EVERYTHING if display.plain(chr(code)) == chr(code)}
    assert passed == set(range(0x20, 0x7F)) - {ord("\\")}


def test_what_is_shown_of_any_character_is_printable_ascii() -> None:
    """No escape sequence, bidirectional override or new line can reach a terminal."""
    for code in EVERYTHING:
        shown = display.escape(f"a{chr(code)}b")
        assert shown.isascii()
        assert shown.isprintable()


@given(st.text(st.characters(), max_size=60) | st.text("\\u{}s0 5A\u202e", max_size=30))
def test_nothing_is_lost_so_two_texts_that_differ_never_look_the_same(text: str) -> None:
    """If the way back gives the text, the way there cannot have merged two."""
    assert unescape(display.escape(text)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bob\u202eeve", "bob\\u{202E}eve"),
        ("\x1b[2Jbob", "\\u{001B}[2Jbob"),
        ("b\u200bob", "b\\u{200B}ob"),
        ("\u0430dmin", "\\u{0430}dmin"),
        ("a\nb", "a\\u{000A}b"),
        ("\\u{202E}", "\\\\u{202E}"),
        ("a b", "a b"),
        ("a  b", "a\\s{2}b"),
        (" a ", "\\s{1}a\\s{1}"),
        ("a" + " " * 500 + "b", "a\\s{500}b"),
        ("\ud800", "\\u{D800}"),
        ("\U000e0041", "\\u{E0041}"),
        ("", ""),
    ],
)
def test_a_trick_is_shown_as_what_it_is(text: str, shown: str) -> None:
    """Each was used to show an approver another text than the one that ran."""
    assert display.escape(text) == shown


def test_a_long_value_is_cut_visibly_with_its_length_and_digest() -> None:
    """Padding past a cut-off hides the end; so the end is shown, and the cut cannot be overlooked."""
    text = "x" * 1_000 + "to=eve"
    shown = display.shown(text, 90)
    assert f"\\[{len(text) - 90} of {len(text)} characters left out, {sha256(text.encode())}]" in shown
    assert shown.startswith("x" * 60)
    assert shown.endswith("to=eve")


def test_no_value_can_imitate_the_mark_of_a_cut() -> None:
    """The mark begins with one backslash; a value's own are doubled."""
    forged = "a\\[5 of 9 characters left out]b"
    assert "\\\\[5" in display.shown(forged)
    assert re.search(r"(?<!\\)\\\[", display.shown(forged)) is None


def test_the_longest_value_that_is_not_cut_is_whole() -> None:
    """The near miss of the limit."""
    assert display.shown("x" * 90, 90) == "x" * 90
    assert "left out" in display.shown("x" * 91, 90)


def test_every_leaf_is_listed_with_its_place_and_type() -> None:
    """Text and number must differ on the screen as they do to the tool."""
    tree = {"to": ["bob", {"address": "x"}], "n": 5, "s": "5", "e": [], "o": {}, "z": None, "t": True}
    assert dict(display.leaves(tree)) == {
        "to[0]": '"bob"',
        "to[1].address": '"x"',
        "n": "5",
        "s": '"5"',
        "e": "[]",
        "o": "{}",
        "z": "null",
        "t": "true",
    }


def test_a_key_cannot_imitate_a_path() -> None:
    """`{"to[0]": …}` is not `{"to": […]}`."""
    assert [where for where, _ in display.leaves({"to[0]": 1, "a.b": 2, "x\x1b": 3, "": 4})] == [
        '"to[0]"',
        '"a.b"',
        '"x\\u{001B}"',
        '""',
    ]


def test_a_quote_in_a_text_does_not_end_it() -> None:
    """Else `bob" and nothing else "` would read as two values."""
    assert display.value('a"b') == '"a\\"b"'


def test_too_many_leaves_are_counted_and_never_silently_dropped() -> None:
    """A call with a thousand recipients must not look like one with two hundred."""
    found = list(display.leaves(list(range(1_000)), most_leaves=200))
    assert len(found) == 201
    assert found[-1][1] == "\\[800 of 1000 values left out]"


def test_a_value_nested_as_deeply_as_json_may_be_is_shown() -> None:
    """No recursion: a deep argument must not crash the screen of the person who decides."""
    tree: object = "end"
    for _ in range(5_000):
        tree = [tree]
    assert [what for _, what in display.leaves(tree)] == ['"end"']  # type: ignore[arg-type]


def test_json_for_programs_is_safe_on_a_terminal_too() -> None:
    """People pipe --json to their screens."""
    everything = "".join(map(chr, range(0x250))) + "\u202e\u2028\ufeff"
    printed = display.machine(everything)
    assert printed.isascii()
    assert printed.isprintable()
    assert json.loads(printed) == everything
