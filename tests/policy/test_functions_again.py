"""Each function written again, slowly and without its code, and compared on values that hypothesis makes.

Values are of a few kinds each, near those that the function takes, or almost everything would be refused.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.core.policy import Fault, View
from agentguard.policy.cel import program
from agentguard.policy.cel.conditions import compile_condition
from policy.test_functions import scope, view

# Both forms of an expression run for each example.
FEW = settings(max_examples=40)
# What the other opinion says where there must be no answer.
NO = object()

# Quarters are exact in both, so that the two need not agree on how a hundredth is rounded.
NUMBERS = st.one_of(st.integers(-50, 50), st.integers(-200, 200).map(lambda n: n / 4))
WORDS = st.sampled_from(["a", "b", "B", "ä", "", "10", "9"])
ODD = st.sampled_from([True, False, None, [], {}, "x", 1, 2**53 + 1, float(2**60)])
LISTS = st.one_of(
    st.lists(NUMBERS, max_size=6), st.lists(WORDS, max_size=6), st.lists(st.one_of(NUMBERS, ODD), max_size=4), ODD
)
ELEMENTS = st.fixed_dictionaries({"id": st.one_of(WORDS, NUMBERS)}, optional={"n": st.one_of(NUMBERS, ODD)})
TABLES = st.one_of(st.lists(ELEMENTS, max_size=6), LISTS)


def is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float)


def kind(value: Any) -> str:
    return "number" if is_number(value) else type(value).__name__


def same(one: Any, other: Any) -> bool:
    if kind(one) != kind(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def values(given: Any) -> Any:
    if isinstance(given, dict):
        return list(given.values())
    return given if isinstance(given, list) else NO


def field(given: Any) -> Any:
    elements = values(given)
    if elements is NO or not all(isinstance(element, dict) and "n" in element for element in elements):
        return NO
    return [element["n"] for element in elements]


def largest(given: Any) -> Any:
    if given is NO or not given or {kind(value) for value in given} not in ({"number"}, {"str"}):
        return NO
    found = given[0]
    for value in given[1:]:
        found = max(found, value)
    return found


def total(given: Any) -> Any:
    if given is NO or not all(is_number(value) for value in given):
        return NO
    found = sum((Fraction(value) for value in given), Fraction(0))
    return float(found) if abs(found) <= 2**53 else NO


def in_order(given: Any) -> Any:
    if given is NO or (given and {kind(value) for value in given} not in ({"number"}, {"str"})):
        return NO
    found: list[Any] = []
    for value in given:
        at = len(found)
        while at and found[at - 1] > value:
            at -= 1
        found.insert(at, value)
    return found


def different(given: Any) -> Any:
    if given is NO:
        return NO
    found: list[Any] = []
    for value in given:
        if not any(same(value, other) for other in found):
            found.append(value)
    return found


def those(given: Any, wanted: Any) -> Any:
    elements = values(given)
    if elements is NO or isinstance(wanted, list | dict):
        return NO
    return [e for e in elements if isinstance(e, dict) and "id" in e and same(e["id"], wanted)]


def the_one(given: Any, wanted: Any) -> Any:
    found = those(given, wanted)
    return NO if found is NO or not found or not all(same(found[0], other) for other in found) else found[0]


def answer(text: str, much: int, /, **kept: Any) -> Any:
    """What the expression gives: true, false, or no answer."""
    before, program.MUCH = program.MUCH, much
    try:
        found = compile_condition(text, scope(kept=[*kept])).holds(View({**view().names, "kept": kept}))
    finally:
        program.MUCH = before
    return NO if type(found) is Fault else found


def agrees(call: str, expected: Any, /, **kept: Any) -> None:
    """The function gives this value and no other, or no answer; whichever form of it runs, and beside `||`."""
    for much in (500, -1):
        if expected is NO:
            assert answer(f"type({call}) == int", much, **kept) is NO
            assert answer(f"type({call}) == int || true", much, **kept) is NO
        else:
            assert (
                answer(f"unchanged(args.few, [1]) || {call} == kept.expected", much, expected=expected, **kept) is True
            )


OVER: list[tuple[str, Callable[[Any], Any]]] = [
    ("max", largest),
    ("min", lambda given: NO if largest(given) is NO else in_order(given)[0]),
    ("sum", total),
    ("distinct", different),
]


@pytest.mark.parametrize(("name", "again"), OVER, ids=[name for name, _ in OVER])
@FEW
@given(xs=LISTS)
def test_a_function_over_a_list_gives_what_it_gives_by_hand(name: str, again: Callable[[Any], Any], xs: Any) -> None:
    agrees(f"{name}(kept.xs)", again(values(xs)), xs=xs)


@pytest.mark.parametrize(("name", "again"), OVER, ids=[name for name, _ in OVER])
@FEW
@given(xs=TABLES)
def test_a_function_over_a_field_gives_what_it_gives_by_hand(name: str, again: Callable[[Any], Any], xs: Any) -> None:
    agrees(f"{name}(kept.xs, 'n')", again(field(xs)), xs=xs)


@FEW
@given(xs=LISTS)
def test_sort_and_last_give_what_they_give_by_hand(xs: Any) -> None:
    agrees("sort(kept.xs)", in_order(values(xs)), xs=xs)
    found = values(xs)
    agrees("last(kept.xs)", found[-1] if found is not NO and found else NO, xs=xs)


@FEW
@given(xs=TABLES, wanted=st.one_of(WORDS, NUMBERS, ODD))
def test_one_and_where_find_what_is_found_by_hand(xs: Any, wanted: Any) -> None:
    agrees("one(kept.xs, 'id', kept.wanted)", the_one(xs, wanted), xs=xs, wanted=wanted)
    agrees("where(kept.xs, 'id', kept.wanted)", those(xs, wanted), xs=xs, wanted=wanted)


@FEW
@given(xs=TABLES, wanted=st.one_of(WORDS, NUMBERS, ODD))
def test_in_finds_in_a_loop_what_it_finds_by_hand(xs: Any, wanted: Any) -> None:
    found = any(same(wanted, x) for x in xs) if isinstance(xs, list) else NO
    if not isinstance(xs, dict):
        for much in (500, -1):
            assert answer("[1].exists(i, kept.wanted in kept.xs)", much, xs=xs, wanted=wanted) is found
            assert answer("kept.wanted in kept.xs", much, xs=xs, wanted=wanted) is found


@FEW
@given(one=st.one_of(LISTS, TABLES), other=st.one_of(LISTS, TABLES))
def test_equality_is_the_same_in_both_forms(one: Any, other: Any) -> None:
    assert answer("kept.a == kept.b", -1, a=one, b=other) is same(one, other)
    assert answer("kept.a != kept.b", -1, a=one, b=other) is not same(one, other)
    assert answer("kept.a == kept.b", 500, a=one, b=other) is same(one, other)


@FEW
@given(
    before=st.sampled_from(["", "EUR ", "USD", "$", "\u20ac\u00a0", "ABC ", "ABC"]),
    sign=st.sampled_from(["", "-", "+"]),
    groups=st.tuples(st.integers(0, 1999), st.lists(st.sampled_from(["234", "000", "56"]), max_size=2)),
    between=st.sampled_from([",", ",", "\u00a0", "\u202f", " "]),
    decimals=st.sampled_from(["", ".5", ".505", ",50", ",505"]),
    behind=st.sampled_from(["", "%", " EUR", "EUR", "\u20ac", "x", " ABC"]),
)
def test_a_number_is_read_as_by_hand(
    before: str, sign: str, groups: tuple[int, list[str]], between: str, decimals: str, behind: str
) -> None:
    first, rest = str(groups[0]), groups[1]
    text = f"{before}{sign}{between.join([first, *rest])}{decimals}{behind}"
    marks = [mark.strip() for mark in (before, behind) if mark]
    known = len(marks) <= 1 and all(mark in ("EUR", "USD", "$", "\u20ac", "%") for mark in marks)
    grouped = bool(rest) and all(len(group) == 3 for group in rest) and len(first) <= 3
    if not rest:
        plain = not decimals.startswith(",")
    elif between == ",":
        plain = grouped and not decimals.startswith(",") and (bool(decimals) or len(rest) > 1)
        # A comma of decimals behind commas of thousands is one more group, where it has three digits.
        plain = plain or (grouped and decimals == ",505")
    else:
        plain = grouped and between != " " and decimals != ",505"
    if between == "," and decimals == ",505":
        value = first + "".join(rest) + "505"
    else:
        value = first + "".join(rest) + decimals.replace(",", ".")
    agrees("number(kept.text)", float(sign + value) if known and plain else NO, text=text)


@FEW
@given(
    day=st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1)),
    count=st.integers(-40, 40),
    form=st.sampled_from("dmst"),
)
def test_a_date_is_moved_as_by_hand(day: datetime, count: int, form: str) -> None:
    text = {
        "d": f"{day:%Y-%m-%d}",
        "m": f"{day:%Y-%m-%d %H:%M}",
        "s": f"{day:%Y-%m-%dT%H:%M:%S}",
        "t": f"{day:%Y-%m-%dT%H:%M:%S}+01:00",
    }[form]
    days = (day + timedelta(days=count)).strftime("%Y-%m-%d")
    agrees(f"plus(kept.text, '{count} days')", days + text[10:], text=text)
    months = day.year * 12 + day.month - 1 + count
    year, month = months // 12, months % 12 + 1
    last = min(day.day, calendar.monthrange(year, month)[1])
    agrees(f"plus(kept.text, '{count} months')", f"{year:04d}-{month:02d}-{last:02d}{text[10:]}", text=text)
    at = day.replace(microsecond=0, second=day.second if form in "st" else 0, tzinfo=UTC)
    at = at.replace(hour=0, minute=0) if form == "d" else at - timedelta(hours=form == "t")
    moment = f"timestamp('{at:%Y-%m-%dT%H:%M:%SZ}')"
    assert answer(f"time(kept.text) == {moment}", 500, text=text) is True


@FEW
@given(
    text=st.text(st.sampled_from("ab,\n\r"), max_size=8), by=st.sampled_from([",", "", "a", "ab"]), n=st.integers(-1, 4)
)
def test_text_is_taken_apart_as_by_hand(text: str, by: str, n: int) -> None:
    pieces = list(text) if by == "" else text.split(by)
    if n >= 0 and len(pieces) > n:
        pieces = [] if n == 0 else [*pieces[: n - 1], by.join(pieces[n - 1 :])]
    agrees(f"kept.text.split(kept.by, {n})", pieces, text=text, by=by)
    agrees("lines(kept.text)", re.sub("\r\n|\r", "\n", text).removesuffix("\n").split("\n") if text else [], text=text)
    agrees("kept.text.replace(kept.by, 'x')", text.replace(by, "x"), text=text, by=by)
    agrees("kept.text.indexOf(kept.by)", text.find(by), text=text, by=by)
    assert answer("kept.text.contains(kept.by)", 500, text=text, by=by) is (by in text)


@FEW
@given(one=NUMBERS, cents=st.integers(-3, 3))
def test_an_amount_is_the_same_within_half_a_cent(one: Any, cents: int) -> None:
    other = float(one) + cents / 512  # 1/512 is less than half a cent, 3/512 is more
    assert answer("same_amount(kept.one, kept.other)", 500, one=one, other=other) is (abs(cents) < 3)
