"""`keep` in all its forms: what each gives of a result, and why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_bundle import small_bundle

from agentguard.core.growing import Growth, after_growth
from agentguard.core.policy import Fault
from agentguard.errors import PolicyError
from agentguard.policy import load
from agentguard.policy.keeps import MAX_TEXT, compile_keep

ROOTS: dict[str, Any] = {
    "args": {"user": "ann", "channel": "general", "id": 7, "names": ["a"]},
    "inputs": {"sender": "ann@a.example"},
    "kept": {"first": 1},
}
MAILS = [
    {"id_": 1, "sender": "ann@a.example", "body": "Total: 12.50 EUR"},
    {"id_": 2, "sender": "bob@b.example", "body": "Total: 7 EUR, Total: 7 EUR"},
]
RATINGS = {"Ritz": "Rating: 4.5\nReviews: 1 star", "Inn": "Rating: 3\nReviews: none"}


def value(path: str, result: Any, **how: Any) -> Any:
    found = compile_keep("k", path, how.pop("match", None), **how).extract(result, ROOTS)
    return found.detail if isinstance(found, Fault) else found


@pytest.mark.parametrize(
    ("path", "how", "result", "expected"),
    [
        ("args.user", {}, None, "ann"),
        ("args.names[*]", {}, None, ["a"]),
        ("result[*].id_", {}, MAILS, [1, 2]),
        ("result[?sender == inputs.sender].body", {}, MAILS, "Total: 12.50 EUR"),
        ("result[?id_ == kept.first].sender", {}, MAILS, "ann@a.example"),
        ("result[args.user]", {}, {"ann": 3}, 3),
        ("result[args.id]", {}, {"7": "seven"}, "seven"),
        ("result[-1].id_", {}, MAILS, 2),
        ("result[*].body", {"match": r"Total: ([0-9.]+)"}, MAILS, ["12.50", "7"]),
        ("result[*].body", {"match": r"Total: ([0-9.]+)", "as_type": "number"}, MAILS, [12.5, 7]),
        ("result.*", {"match": "Rating: ([0-9.]+)", "as_type": "number"}, RATINGS, {"Ritz": 4.5, "Inn": 3}),
        ("result.*", {}, RATINGS, RATINGS),
        ("result[*].*", {"as_type": "integer"}, [{"a": "1"}, {"b": "2"}], [{"a": 1}, {"b": 2}]),
        ("result[*].x[*]", {"as_type": "text"}, [{"x": [1, 2]}, {"x": []}], ["1", "2"]),
        ("result", {"as_type": "number"}, "1200", 1200),
        ("result", {"as_type": "number"}, "-0012.50", -12.5),
        ("result", {"as_type": "number"}, 5.5, 5.5),
        ("result", {"as_type": "integer"}, "0042", 42),
        ("result", {"as_type": "integer"}, 5.0, 5),
        ("result", {"as_type": "text"}, 42, "42"),
        ("result[*].id_", {}, [], []),
        ("result[*].x", {}, [{"x": None}, {"x": 1}], [None, 1]),
    ],
)
def test_what_is_kept(path: str, how: dict[str, Any], result: Any, expected: Any) -> None:
    """As data: the path, how it is read, the result, and what stands in `kept` then."""
    assert repr(value(path, result, **how)) == repr(expected)


@pytest.mark.parametrize(
    ("path", "how", "result", "why"),
    [
        ("args.nobody", {}, None, "`args.nobody`: there is no `nobody`"),
        ("result[*].id_", {}, [*MAILS, {}], "`result[*].id_`: there is no `id_`, in element 2"),
        ("result[*].id_", {}, {"id_": 1}, "`result[*].id_`: there is no list"),
        ("result[?sender == inputs.sender]", {}, MAILS * 1 + [{**MAILS[0], "id_": 3}], "several different elements"),
        ("result[?sender == inputs.sender]", {}, [], "no element says so"),
        ("result[?sender == inputs.none]", {}, MAILS, "`inputs.none`: there is no `none`"),
        ("result[*].body", {"match": "Total: ([0-9.]+) EUR$"}, [{"body": "x"}], "no match, in element 0"),
        ("result[*].body", {"match": "([0-9]+)"}, MAILS, "several different matches, in element 0"),
        ("result[*].id_", {"match": "(1)"}, MAILS, "found int, and `match` reads text, in element 0"),
        ("result[*]", {"match": "^(x)"}, ["x" * MAX_TEXT, "x"], "longer than"),
        ("result", {"as_type": "number"}, "1,200.00", "no number"),
        ("result", {"as_type": "number"}, "1e3", "no number"),
        ("result", {"as_type": "number"}, "12 EUR", "no number"),
        ("result", {"as_type": "number"}, "", "no number"),
        ("result", {"as_type": "number"}, ".", "no number"),
        ("result", {"as_type": "number"}, "1234567890123456", "no number"),
        ("result", {"as_type": "number"}, "\u0661\u0662", "no number"),
        ("result", {"as_type": "number"}, True, "found bool"),
        ("result", {"as_type": "number"}, None, "null"),
        ("result", {"as_type": "integer"}, "12.5", "not whole"),
        ("result", {"as_type": "integer"}, 12.5, "not whole"),
        ("result", {"as_type": "text"}, ["a"], "found list"),
    ],
)
def test_what_is_not_kept_and_why(path: str, how: dict[str, Any], result: Any, why: str) -> None:
    """The reason stands in the record, and no value in it."""
    found = value(path, result, **how)

    assert isinstance(found, str) and why in found
    assert "ann@a.example" not in found


def growth(result: Any, path: str = "result", **how: Any) -> tuple[list[Growth], str | None]:
    found, fault = compile_keep("k", path, how.pop("match", None), **how).growths(result, ROOTS)
    return [*found], None if fault is None else fault.detail


@pytest.mark.parametrize(
    ("how", "result", "expected"),
    [
        ({"form": "put", "by": "args.channel"}, ["u"], Growth("k", "put", "general", ["u"])),
        ({"form": "put", "by": "args.id"}, 1, Growth("k", "put", "7", 1)),
        ({"form": "put", "by": "result.id"}, {"id": "a", "n": 1}, Growth("k", "put", "a", {"id": "a", "n": 1})),
        ({"form": "add", "key": "id_"}, MAILS, Growth("k", "add", "id_", MAILS)),
        ({"form": "add", "key": "id_"}, MAILS[0], Growth("k", "add", "id_", [MAILS[0]])),
        ({"form": "add"}, RATINGS, Growth("k", "add", "", RATINGS)),
        ({"form": "add"}, "a", Growth("k", "add", "", ["a"])),
        ({"form": "add", "path": "result[*].id_"}, MAILS, Growth("k", "add", "", [1, 2])),
        ({"form": "add"}, [], Growth("k", "add", "", [])),
        (
            {"form": "add", "path": "result.*", "match": "Rating: ([0-9.]+)", "as_type": "number"},
            RATINGS,
            Growth("k", "add", "", {"Ritz": 4.5, "Inn": 3}),
        ),
    ],
)
def test_what_a_call_adds(how: dict[str, Any], result: Any, expected: Growth) -> None:
    """By key, by field, by its own names, by value."""
    assert growth(result, **how) == ([expected], None)


@pytest.mark.parametrize(
    ("how", "result", "left", "why"),
    [
        ({"form": "put", "by": "args.channel"}, None, Growth("k", "forget", "general"), "null"),
        ({"form": "put", "by": "args.channel", "path": "result.x"}, {}, Growth("k", "forget", "general"), "no `x`"),
        ({"form": "put", "by": "args.nothing"}, 1, None, "no `nothing`"),
        ({"form": "put", "by": "args.names"}, 1, None, "is list"),
        ({"form": "put", "by": "result"}, True, None, "is bool"),
        ({"form": "put", "by": "result"}, 1.5, None, "is float"),
        ({"form": "add", "key": "id_"}, [*MAILS, {"id": 3}], None, "element 2 has no text or number `id_`"),
        ({"form": "add", "key": "id_"}, [{"id_": True}], None, "element 0"),
        ({"form": "add", "key": "id_"}, "nothing found", None, "element 0"),
        ({"form": "add", "path": "result.files"}, "nothing found", None, "no `files`"),
    ],
)
def test_what_adds_nothing_and_why(how: dict[str, Any], result: Any, left: Growth | None, why: str) -> None:
    """Of one thing, an earlier answer does not stand in for one that cannot be read; a list stays what it was."""
    found, said = growth(result, **how)

    assert found == ([] if left is None else [left])
    assert said is not None and why in said


def test_one_call_that_says_two_things_of_one_element_says_nothing_of_it() -> None:
    """Else whoever can add an element to a result changes another one. What was kept of it before is gone, too."""
    one, again, other = {"id_": 1, "to": "ann"}, {"id_": 1.0, "to": "eve"}, {"id_": 2, "to": "bob"}
    grows = {"form": "add", "key": "id_"}
    assert growth([one, other, dict(one)], **grows) == ([Growth("k", "add", "id_", [one, other, one])], None)
    found, said = growth([one, other, again], **grows)
    assert said == "`result`: 1 of `id_` stand for several different elements"
    assert found == [Growth("k", "add", "id_", [other]), Growth("k", "forget", "id_", [1])]
    kept, troubles = after_growth({"k": [{"id_": 1, "to": "before"}]}, tuple(found))
    assert (kept, troubles) == ({"k": [other]}, {})
    assert after_growth({"k": {"a": 1}}, (found[1],))[0] == {"k": {"a": 1}}


def kept_total(tmp_path: Path, keep: Any, condition: str, second: Any = None) -> None:
    """Loads a bundle with a step that keeps ``total`` so, and perhaps another, and a condition that reads it."""
    tools: dict[str, dict[str, Any]] = {"look": {"args": {}, "keep": {"total": keep}}}
    if second is not None:
        tools["see"] = {"args": {}, "keep": {"total": second}}
    tools["pay"] = {"args": {"cents": {"type": "integer"}}, "require": [condition]}
    for name, text in small_bundle(tools).items():
        (tmp_path / name).write_text(text)
    load(tmp_path)


NUMBER = {"from": "result.text", "match": "Total: ([0-9.]+)", "as": "number"}


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("kept.total * 1.5 > 2.0", "`kept.total` may be a whole number or one with decimals, and `.` takes two"),
        ("kept.total - 1 > 2", r"write `double\(kept.total\)`"),
        ("kept.total == 'x'", "is never equal to"),
    ],
)
def test_a_kept_number_may_be_whole_and_is_calculated_with_as_decimals(
    tmp_path: Path, condition: str, said: str
) -> None:
    """Else it is refused on the day on which the bill says 100.00 and not 100.50."""
    with pytest.raises(PolicyError, match=said):
        kept_total(tmp_path, NUMBER, condition)


@pytest.mark.parametrize(
    ("keep", "condition", "second"),
    [
        (NUMBER, "double(kept.total) * 1.5 > 2.0 && kept.total > 4.0 && kept.total > 4", None),
        (NUMBER, "same_amount(double(args.cents), kept.total)", None),
        (NUMBER, "kept.total * 1.5 > 2.0", "result.total"),
        ({**NUMBER, "from": "result[*].text"}, "sum(kept.total) > 2.0 && kept.total[0] * 1.5 > 2.0", None),
        ({**NUMBER, "from": "result.*"}, "max(kept.total) > 2.0", None),
        ({"add": "result[*].text", "match": "([0-9.]+)", "as": "number"}, "kept.total[0] * 1.5 > 2.0", None),
        ({"by": "result.key", "value": "result.text", "as": "number"}, "kept.total['x'] * 1.5 > 2.0", None),
        ("result.total", "kept.total * 1.5 > 2.0", None),
    ],
)
def test_of_other_kept_values_nothing_is_known(tmp_path: Path, keep: Any, condition: str, second: Any) -> None:
    kept_total(tmp_path, keep, condition, second)
