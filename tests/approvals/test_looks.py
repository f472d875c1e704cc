"""What of a text could deceive the eye is said in words; and a text that deceives nobody may be read as it stands."""

from __future__ import annotations

import sys

import pytest

from agentguard.approvals.looks import LOOKS_LIKE, reading, remarks


@pytest.mark.parametrize(("text", "says"), [
    ("p\u0430ypal", ("CYRILLIC SMALL LETTER A looks like `a`", "CYRILLIC, LATIN")),
    ("\u0440\u0430\u0443", ("looks like `p`",)),
    ("\uff41dmin", ("FULLWIDTH LATIN SMALL LETTER A looks like `a`",)),
    ("a\u2044b", ("FRACTION SLASH looks like `/`",)),
    ("x\u202etxt.exe", ("turns the direction", "RIGHT-TO-LEFT OVERRIDE")),
    ("a\u200bb", ("cannot be seen", "ZERO WIDTH SPACE")),
    ("a\u3164b", ("cannot be seen", "HANGUL FILLER")),
    ("tab\there", ("cannot be seen", "U+0009")),
    ("\u03b1dmin", ("GREEK SMALL LETTER ALPHA looks like `a`", "GREEK, LATIN")),
])  # fmt: skip
def test_what_deceives_is_named(text: str, says: tuple[str, ...]) -> None:
    told = "; ".join(remarks(text))
    for part in says:
        assert part in told
    assert told.isascii()
    assert reading(text) is None


@pytest.mark.parametrize("text", [
    "M\u00fcller & S\u00f6hne", "\u6771\u4eac\u30bf\u30ef\u30fc", "\u05e9\u05dc\u05d5\u05dd",
    "\u0416\u0434\u0443 \u0438\u044e\u043b\u044f",
    "100 \u20ac", "\u00bfQu\u00e9?",
])  # fmt: skip
def test_a_text_of_one_script_is_read_as_it_stands(text: str) -> None:
    assert remarks(text) == ()
    assert reading(text) == text


@pytest.mark.parametrize("text", ["", "plain", "a b", "x" * 30_000 + "\u00e9", "e\u0301"])
def test_where_there_is_nothing_to_add_nothing_is_added(text: str) -> None:
    assert reading(text) is None


def test_no_code_point_that_is_read_as_it_stands_is_unseen_or_another_of_ascii() -> None:
    """Every scalar value: what a page shows raw draws something, and looks like no other sign that we know of."""
    unseen = {0x115F, 0x1160, 0x3164, 0xFFA0, 0x2800, 0x00AD, 0x034F, 0x061C, 0xFEFF}
    for point in range(0x80, sys.maxunicode + 1):
        if 0xD800 <= point < 0xE000:
            continue
        if reading("x" + chr(point)) is not None or reading(chr(point)) is not None:
            assert point not in unseen
            assert chr(point) not in LOOKS_LIKE
            assert chr(point).isprintable()


def test_a_long_text_is_quick() -> None:
    assert remarks("\u0430" * 2_000_000)
