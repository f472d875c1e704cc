"""Text from outside, as large as it is taken, in the shapes that are dearest to read: in bounded time."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from random import Random

import pytest
from processor_time import ends_within

from agentguard import display
from agentguard.core import provenance
from agentguard.core.people import MAX_NAME, person, same_person
from agentguard.core.provenance import MAX_RAW, outsiders_text, spellings
from agentguard.destinations.kinds.hosts import canonical_host

# Processor time of this thread, of which an idle machine takes a fifth: what grows in the square takes minutes.
MOST_SECONDS = 20

SHAPES: dict[str, Callable[[int], str]] = {
    "a letter with marks out of order": lambda n: "a" + "\u0301\u0316" * (n // 2),
    "marks that are no marks until taken apart": lambda n: "\u0f73\u0301" * (n // 2),
    "halfwidth marks": lambda n: "a" + "\uff9e\u0301" * (n // 2),
    "a mark that folds to a letter": lambda n: ("e" + "\u0345\u0301" * 20) * (n // 41),
    "one character that stands for eighteen": lambda n: "\ufdfa" * n,
    "every letter": lambda n: "".join(chr(0x4E00 + i % 20_000) for i in range(n)),
    "characters that nobody uses": lambda n: "".join(chr(0xF0000 + i % 65_000) for i in range(n)),
    "an entity of a million digits": lambda n: "&#" + "9" * n + ";",
    "an entity of a million hex digits": lambda n: "&#x" + "f" * n + ";",
    "entities that end nowhere": lambda n: "&a" * (n // 2),
    "escaped escapes": lambda n: "\\" * n,
    "half characters, escaped": lambda n: "\\ud800" * (n // 6),
    "percent signs, encoded": lambda n: "%25" * (n // 3),
    "bytes that are no text": lambda n: "%f0" * (n // 3),
    "spaces": lambda n: " " * n,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_dearest_text_of_the_largest_size_is_read_in_bounded_time(shape: str) -> None:
    """It holds up every thread of the process while one call in C reads it."""
    text = SHAPES[shape](MAX_RAW - 8)
    for read in (lambda: outsiders_text([text]), lambda: spellings(text), lambda: display.shown(text)):
        ends_within(MOST_SECONDS, read)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_name_of_marks_is_folded_in_bounded_time(shape: str) -> None:
    """Names come from tokens, signals and channels."""
    name, host = SHAPES[shape](MAX_RAW), SHAPES[shape](8192)
    ends_within(2, lambda: (person(name), canonical_host(host)))


def test_names_that_differ_past_all_names_are_taken_for_one() -> None:
    """The safe side: one of them could be the other."""
    assert same_person("a" * MAX_NAME + "b", "a" * MAX_NAME)
    assert not same_person("a" * (MAX_NAME - 1) + "b", "a" * MAX_NAME)


def test_numbers_that_are_long_when_written_out_are_too_much() -> None:
    """Fifty thousand of them are fifteen megabytes."""
    assert outsiders_text([1e308] * 50_000) is None
    assert outsiders_text([1e308]) is not None


def _whole(text: str) -> str:
    """The same as what is tested, by Unicode's own way: the whole text in canonical order, twice."""
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(c for c in text if ord(c) not in provenance._FILLERS)
    return "".join(str(unicodedata.decimal(c, c)) for c in text if c.isalnum())


def test_reading_one_character_at_a_time_reads_what_reading_the_whole_does() -> None:
    """Every character by itself, and twenty thousand texts of letters and marks that meet."""
    every = [chr(code) for code in (*range(0x33000), *range(0xE0000, 0xE0200), *range(0xF0000, 0xF0100))]
    assert [c for c in every if provenance._plain(c) != _whole(c)] == []
    marks = [c for c in every if unicodedata.combining(c)] + [*"\u0345\u0f73\u0344\uff9e\uff9f"]
    random = Random(9)
    for _ in range(20_000):
        text = "".join(
            random.choice(random.choice((every[:0x3000], marks, every))) for _ in range(random.randint(1, 9))
        )
        assert provenance._plain(text) == _whole(text), ascii(text)


@pytest.mark.parametrize("endless", ["&#" + "9" * 6000 + ";", "&#" + "0" * 6000 + "9" * 6000, "&#x" + "f" * 6000])
def test_an_entity_that_is_no_character_keeps_no_other_from_being_read(endless: str) -> None:
    """Beside one, an outsider's account number in entities was not known again."""
    hidden = "".join(f"&#{ord(letter)};" for letter in "DE89370400440532013000")
    whole = outsiders_text([f"{endless} {hidden} &#x000000000041;"])

    assert whole is not None and "de89370400440532013000a" in whole
