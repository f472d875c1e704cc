"""What stands for a value that calls are counted by."""

from __future__ import annotations

from typing import Any

import pytest
from core_cases import EXPORT, good

from agentguard.core.paths import parse
from agentguard.core.reasons import Reason
from agentguard.core.tallies import MOST_AT_ONCE, MOST_VALUES, Tally, is_full, key_of, keys_of
from agentguard.core.values import Effect

SAME: list[tuple[Any, Any]] = [
    ("ORD-1", "ord-1"), ("ORD-1", " ORD-1 "), ("a  b", "a\tb"), ("\uff21", "a"), (5, 5.0), ("e\u0301", "\u00e9"),
    ("DE12 3456", "de123456"), ("o1", "o1\u200b"), ("o1", "o\u00ad1"), ("o1", "o1\ufe0f"), ("a\x00b", "ab"),
    ("a\u3164", "a"), ("a\u00a0b", "ab"), ("5", 5), ("5", 5.0),
]  # fmt: skip
OTHER: list[tuple[Any, Any]] = [("ORD-1", "ORD-2"), ("5", 6), (True, 1), ("", None), ("ab", "a-b"), (1, 2), ({}, [])]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_another_spelling_is_no_other_value(one: Any, other: Any) -> None:
    """Else once per order is once per spelling."""
    assert key_of("s", one, "salt") == key_of("s", other, "salt")


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_another_value_is_another(one: Any, other: Any) -> None:
    """Each has calls of its own."""
    assert key_of("s", one, "salt") != key_of("s", other, "salt")


def test_a_key_says_nothing_of_the_value_without_the_salt() -> None:
    """It stands in a public record."""
    assert key_of("s", "ORD-1", "one") != key_of("s", "ORD-1", "two")
    assert key_of("s", "x", "salt").removeprefix("s ") != key_of("t", "x", "salt").removeprefix("t ")


def test_a_list_is_each_of_its_elements_once_and_nothing_is_nothing() -> None:
    """Twice the same recipient is one."""
    assert keys_of("s", ["a", "A", "b"], "x") == sorted({key_of("s", "a", "x"), key_of("s", "b", "x")})
    assert keys_of("s", [], "x") is None
    assert keys_of("s", list(range(MOST_AT_ONCE + 1)), "x") is None
    assert keys_of("s", None, "x") == [key_of("s", None, "x")]


PER = parse("args.table", ("args",))


def counted(tally: Tally | None, *, at_most: int = 1, successes: bool = False, **arguments: Any) -> list[Reason]:
    """The reasons against a call that is counted by its table."""
    case = good().with_step(EXPORT, per=PER, at_most=at_most, counts_successes=successes)
    run: Any = case.facts.run
    key = key_of("export", "orders", run.salt)
    case = case.with_run(tallies={} if tally is None else {key: tally}, counts={"export": 99})
    case = case.with_request(arguments={**case.request.arguments, **arguments})
    decision = case.decide()
    assert (decision.effect is Effect.PERMIT) is not bool(decision.findings)
    return list(decision.reasons)


@pytest.mark.parametrize(
    ("tally", "how", "found"),
    [
        (None, {}, []),
        (Tally(1), {}, [Reason.STEP_USED_UP]),
        (Tally(1), {"at_most": 2}, []),
        (Tally(1, 1), {}, [Reason.STEP_USED_UP]),
        (Tally(1, 1), {"successes": True}, []),
        (Tally(2, 1), {"successes": True}, [Reason.STEP_USED_UP]),
        (Tally(1, 0, 1), {"successes": True}, [Reason.STEP_USED_UP]),
        (Tally(1), {"table": "Orders"}, [Reason.STEP_USED_UP]),
        (Tally(1), {"table": "others"}, []),
        (None, {"table": []}, [Reason.ARGUMENTS_INVALID]),
        (Tally(1), {"table": ["others", "orders"]}, [Reason.STEP_USED_UP]),
    ],
)
def test_each_value_is_used_up_by_its_own_calls(tally: Tally | None, how: dict[str, Any], found: list[Reason]) -> None:
    """Whatever the step was called for otherwise."""
    assert counted(tally, **how) == found


def test_what_is_not_there_cannot_be_counted() -> None:
    """A call without the argument would be counted nowhere."""
    case = good().with_step(EXPORT, per=parse("args.order", ("args",)))

    assert case.decide().reasons == (Reason.ARGUMENTS_INVALID,)


def test_past_so_many_values_nothing_new_is_counted_or_permitted() -> None:
    """What is kept for a run has an end, and known values go on."""
    case = good().with_step(EXPORT, per=PER, at_most=2)
    run: Any = case.facts.run
    full = {key_of("export", n, run.salt): Tally(1) for n in range(MOST_VALUES)}
    known = {**dict(list(full.items())[1:]), key_of("export", "orders", run.salt): Tally(1)}

    assert is_full("export", full) and not is_full("look-up", full)
    assert case.with_run(tallies=full).decide().reasons == (Reason.STEP_USED_UP,)
    assert case.with_run(tallies=known).decide().effect is Effect.PERMIT


def test_the_whole_step_gets_back_what_failed_only_where_successes_are_counted() -> None:
    """Two calls were admitted, of which one failed and did nothing."""
    case = good().with_run(counts={"look-up": 1, "export": 2}, tallies={"export": Tally(2, 1)})

    assert case.decide().reasons == (Reason.STEP_USED_UP,)
    decision = case.with_step(EXPORT, counts_successes=True).decide()
    assert decision.effect is Effect.PERMIT and decision.tallies == ("export",)


def test_a_permit_names_the_keys_it_takes_and_a_plain_step_takes_none() -> None:
    """So that the ledger counts what was judged."""
    case = good().with_step(EXPORT, per=PER)
    run: Any = case.facts.run

    assert case.decide().tallies == (key_of("export", "orders", run.salt),)
    assert good().decide().tallies == ()
