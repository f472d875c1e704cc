"""What tools returned and were given, as marks: whose a mark is, and what happens past the bounds."""

from __future__ import annotations

from random import Random

import pytest

from agentguard.core.provenance import NOTHING_SEEN, Brought, Seen
from agentguard.core.text.told import (
    EVERYTHING_LOST,
    FILTER_BITS,
    MAX_CALLS,
    MAX_KNOWN,
    MAX_MARKS,
    NOTHING_TOLD,
    Telling,
    Told,
)
from agentguard.ledger.told import read_telling, read_told, write_telling, write_told

INBOX, PAGE = frozenset({"inbox"}), "page"
WORD = b"the-word"


def many(count: int, seed: int = 1) -> frozenset[bytes]:
    random = Random(seed)
    return frozenset(random.randbytes(8) for _ in range(count))


def told(*calls: Telling) -> Told:
    found = NOTHING_TOLD
    for number, call in enumerate(calls, 1):
        found = found.after(call, number)
    return found


def test_past_the_bounds_what_a_tool_returned_may_still_be_its_own() -> None:
    """An outsider's long mail switches nothing off: every mark of it is held, and few others seem to be."""
    flood = told(Telling("inbox", 1, many(MAX_MARKS)), Telling("inbox", 2, many(100_000, 2) | {WORD}))
    assert flood.out_of(INBOX, WORD, 2)
    assert all(flood.out_of(INBOX, mark, 2) for mark in sorted(many(100_000, 2))[:1000])
    unknown = many(2_000, 3)
    assert sum(flood.out_of(INBOX, mark, 2) for mark in unknown) <= 2_000 * 0.02
    assert len(flood.coarse) * 8 == FILTER_BITS


def test_past_the_bounds_what_may_be_another_tools_is_not() -> None:
    """A filter that can only say "may hold" is nobody's source."""
    flood = told(Telling("inbox", 1, many(MAX_MARKS - 1) | {WORD}), Telling(PAGE, 2, frozenset({WORD})))
    assert flood.out_of(INBOX, WORD, 2)
    assert not flood.returned_by(PAGE, WORD, 2)
    calm = told(Telling("inbox", 1, frozenset({WORD})), Telling(PAGE, 2, frozenset({WORD})))
    assert not calm.out_of(INBOX, WORD, 2)
    assert calm.returned_by(PAGE, WORD, 2)


def test_past_the_bounds_what_may_have_been_given_is_an_echo() -> None:
    """What a call was given is in the filter, too."""
    flood = told(
        Telling("inbox", 1, frozenset({WORD})), Telling("note", 2, many(MAX_MARKS), frozenset({WORD})),
        Telling(PAGE, 3, frozenset({WORD})),
    )  # fmt: skip
    assert flood.out_of(INBOX, WORD, 3)


def test_past_so_many_calls_nothing_is_told_apart() -> None:
    """What a tool returned then may be anything."""
    full = Told(ended=frozenset(range(1, MAX_CALLS + 1)))
    assert full.after(Telling("inbox", MAX_CALLS + 1), MAX_CALLS + 1).out_of(INBOX, WORD, MAX_CALLS + 1)


def test_a_call_that_has_not_ended_may_have_been_given_anything() -> None:
    """Two calls at once: the one writes a word down, the other reads it back before the first has ended."""
    racing = NOTHING_TOLD.after(Telling("inbox", 1, frozenset({WORD})), 1).after(Telling(PAGE, 3, frozenset({WORD})), 3)
    assert racing.out_of(INBOX, WORD, 3)
    ended = racing.after(Telling("note", 2, frozenset(), frozenset()), 3)
    assert not ended.out_of(INBOX, WORD, 3)
    assert racing.after(Telling("note", 2, frozenset(), frozenset({WORD})), 3).out_of(INBOX, WORD, 3)


def test_what_was_lost_with_the_marks_of_values_was_lost_here_too() -> None:
    """The private parts of a run were erased: nobody knows what anybody returned."""
    assert Seen((), True).told is EVERYTHING_LOST
    assert Seen((), True).told.out_of(INBOX, WORD, 1)
    assert not NOTHING_SEEN.told.out_of(INBOX, WORD, 1)


def test_more_text_than_marks_of_values_can_hold_costs_this_nothing() -> None:
    """It has bounds of its own; and what could not be stored was lost."""
    brought = Brought("inbox", 1, {}, "x" * 300_000, telling=Telling("inbox", 1, frozenset({WORD})))
    seen = NOTHING_SEEN.after(brought, 1)
    assert seen.told.out_of(INBOX, WORD, 1)
    assert not seen.told.out_of(INBOX, b"othermrk", 1)
    assert seen.after(brought.gone(), 2).told.out_of(INBOX, b"othermrk", 2)


@pytest.mark.parametrize("one", [
    NOTHING_TOLD, EVERYTHING_LOST,
    told(Telling("inbox", 1, many(5), many(3, 2), own=False), Telling(PAGE, 2, lost=True)),
    told(Telling("inbox", 1, many(MAX_MARKS)), Telling("inbox", 2, many(50, 2))),
])  # fmt: skip
def test_what_was_told_is_stored_as_it_is(one: Told) -> None:
    """In a ledger and back."""
    assert read_told(write_told(one)) == one
    telling = Telling("inbox", 7, many(5), many(3, 2), own=False, lost=True)
    assert read_telling(write_telling(telling)) == telling


def test_nobody_gives_every_name_there_is_to_call_it_known() -> None:
    """A model that is steered writes every surname into a note before it reads the mail. The first few count."""
    few = told(Telling("note", 1, given=many(10) | {WORD}), Telling("inbox", 2, frozenset({WORD})))
    assert not few.out_of(INBOX, WORD, 2)
    every = told(Telling("note", 1, given=many(MAX_KNOWN) | {WORD}), Telling("inbox", 2, frozenset({WORD})))
    assert every.out_of(INBOX, WORD, 2)
    echoed = told(
        Telling("note", 1, given=many(MAX_KNOWN) | {WORD}), Telling(PAGE, 2, frozenset({WORD})),
        Telling("inbox", 3, frozenset({WORD})),
    )  # fmt: skip
    assert echoed.out_of(INBOX, WORD, 3)
