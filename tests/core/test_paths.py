"""The one path language: what each step leads to, and that nothing is guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from agentguard.core.paths import Missing, leaves_at, may_meet, parse, parse_place, value_at

MAILS = [
    {"id_": 1, "sender": "ann@a.example", "body": "one", "to": ["x@a.example", "y@a.example"]},
    {"id_": 2, "sender": "bob@b.example", "body": "two", "to": []},
    {"id_": 3, "sender": "bob@b.example", "body": "three", "to": ["z@a.example"]},
]
ROOTS: dict[str, Any] = {
    "result": MAILS,
    "args": {"id": 2, "text": "2", "name": "en", "at": 1, "none": None, "list": [1], "yes": True},
    "inputs": {"sender": "ann@a.example", "deep": {"id": 3}},
    "kept": {
        "users": {"en": {"mail": "e@a.example"}, "odd name": {"mail": "o@a.example"}},
        "mixed": [1, True, "1"],
        "teams": [{"a": {"ids": [1, 2]}, "b": {"ids": []}}, {"c": {"ids": [3]}}],
    },
}
KNOWN = ("result", "args", "inputs", "kept")


def at(text: str, **roots: Any) -> Any:
    found = value_at(parse(text, KNOWN), {**ROOTS, **roots})
    return "missing" if isinstance(found, Missing) else found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("result[0].id_", 1),
        ("result[-1].id_", 3),
        ("result[3]", "missing"),
        ("result[-4]", "missing"),
        ("result.id_", "missing"),
        ("result[*].id_", [1, 2, 3]),
        ("result[*].to[*]", ["x@a.example", "y@a.example", "z@a.example"]),
        ("result[*].to", [["x@a.example", "y@a.example"], [], ["z@a.example"]]),
        ("result[*].nothing", "missing"),
        ("result[?id_ == 2].body", "two"),
        ("result[?id_ == args.id].body", "two"),
        ("result[?id_==args.id].body", "two"),
        ("result[?id_ == 2.0].body", "two"),
        ("result[?id_ == args.text].body", "missing"),
        ('result[?id_ == "2"].body', "missing"),
        ("result[?id_ == args.yes].body", "missing"),
        ("result[?id_ == args.none].body", "missing"),
        ("result[?id_ == args.list].body", "missing"),
        ("result[?id_ == args.nothing].body", "missing"),
        ("result[?sender == inputs.sender].body", "one"),
        ("result[?sender == 'ann@a.example'].body", "one"),
        ("result[?sender == 'bob@b.example'].body", "missing"),
        ("result[?sender == 'bob@b.example' && id_ == inputs.deep.id].body", "three"),
        ("result[?sender == 'bob@b.example' && id_ == 1].body", "missing"),
        ("result[?to[0] == 'z@a.example'].id_", 3),
        ('kept.users["odd name"].mail', "o@a.example"),
        ("kept.users['odd name'].mail", "o@a.example"),
        ("kept.users.*.mail", {"en": "e@a.example", "odd name": "o@a.example"}),
        ("kept.teams[*].*.ids[*]", [{"a": [1, 2], "b": []}, {"c": [3]}]),
        ("kept.teams[0].*.ids", {"a": [1, 2], "b": []}),
        ("kept.users.*.nothing", "missing"),
        ("kept.users[*].mail", "missing"),
        ("result.*.id_", "missing"),
        ("kept.users[args.name].mail", "e@a.example"),
        ("kept.users[args.id].mail", "missing"),
        ("result[args.at].id_", 2),
        ("result[args.yes].id_", "missing"),
        ("args.none", None),
        ("kept.mixed[*]", [1, True, "1"]),
    ],
)
def test_a_path_leads_to_one_value_or_nowhere(text: str, value: object) -> None:
    """Missing, of another shape, said by none or by two different ones: there is no such value."""
    found = at(text)

    assert repr(found) == repr(value)


def test_two_elements_that_are_the_same_are_one() -> None:
    """A tool may return one thing twice; of two that differ in type alone, neither is the one."""
    assert at("result[?id == 1]", result=[{"id": 1, "n": 5}, {"n": 5.0, "id": 1}]) == {"id": 1, "n": 5}
    assert at("result[?id == 1]", result=[{"id": 1, "n": 5}, {"id": 1, "n": "5"}]) == "missing"
    assert at("result[?id == 1]", result=[{"id": 1, "n": 1}, {"id": 1, "n": True}]) == "missing"


def test_an_empty_list_has_no_elements() -> None:
    """Each of none is an empty list; the one of none is missing."""
    assert at("result[*].id_", result=[]) == []
    assert at("result[?id_ == 1]", result=[]) == "missing"


@pytest.mark.parametrize(
    "text",
    [
        "", "results", "resultx", "result.", "result..a", "result[", "result[a]", "result[01]", "result[1.5]",
        "result[**]", "result[?]", "result[?a]", "result[?a = 1]", "result[?a == ]", "result[?a == b]",
        "result[?a == kept]", "result[?a == claims.x]", "result[?a == result.x]", "result[?a == 1 || b == 2]",
        "result[?a == 1 &&]", "result[?a == args.x[*]]", "result[?a == args.x[?y == 1]]", "result[args]",
        "result[claims.x]", "result[args.x[*]]", 'result["a]', 'result["\\ud800"]', "result .a", "result. a",
        "result.a ", " result.a", "result.a\n", "result.1a", "result.a*", "result.**", "result[1234567]",
        "result[--1]", "result" + ".a" * 300,
    ],
)  # fmt: skip
def test_what_is_no_path_is_refused(text: str) -> None:
    """Nothing is read in part."""
    with pytest.raises(ValueError, match=r"."):
        parse(text, KNOWN)


def test_of_two_roots_the_longer_one_is_meant() -> None:
    """Tools' names hold dots, and so do paths."""
    roots = ("vendors", "vendors.lookup", "vendors.look")

    assert parse("vendors.lookup.id", roots).root == "vendors.lookup"
    assert parse("vendors.look.id", roots).root == "vendors.look"
    assert parse("vendors.other", roots).root == "vendors"
    assert parse('vendors["lookup"]', roots).root == "vendors"


def test_a_path_says_what_else_it_reads() -> None:
    """So that whoever compiles it can look every name up."""
    path = parse("kept.a[?x == args.y && z == inputs.q.r][kept.k].b", KNOWN)

    assert [str(one) for one in path.references()] == [path.text, "args.y", "inputs.q.r", "kept.k"]


def test_places_in_tools_read_nothing_else() -> None:
    """What a declared place means cannot depend on the run."""
    assert parse_place("comments[*].body") == parse("result.comments[*].body", KNOWN).steps
    assert parse_place("[*].body") == parse("result[*].body", KNOWN).steps
    assert parse_place("*.body") == parse("result.*.body", KNOWN).steps
    for text in ("", "[?a == args.b]", "a[kept.x]"):
        with pytest.raises(ValueError, match=r"."):
            parse_place(text)


@pytest.mark.parametrize(
    ("place", "leaves"),
    [
        ("[*].id_", [1, 2, 3]),
        ("[*].to", ["x@a.example", "y@a.example", "z@a.example"]),
        ("[*].to[*]", ["x@a.example", "y@a.example", "z@a.example"]),
        ("[0]", [1, "ann@a.example", "one", "x@a.example", "y@a.example"]),
        ("[*].nothing", []),
        ("to", []),
        ("*", []),
    ],
)
def test_leaves_are_of_every_element_that_has_them(place: str, leaves: list[object]) -> None:
    """An element without the field brings nothing, and spoils nothing."""
    assert list(leaves_at(parse_place(place), MAILS)) == leaves


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ("[*].body", "[*].body", True),
        ("[*].body", "[*].id_", False),
        ("[*]", "[*].id_", True),
        ("[0].body", "[*].body", True),
        ("[0].body", "[1].body", False),
        ("[0].body", "[-1].body", True),
        ("a", "*", True),
        ("a", "[*]", False),
        ("[?x == 1].body", "[*].body", True),
        ("[?x == 1].body", "[*].id_", False),
    ],
)
def test_two_places_may_be_the_same(one: str, other: str, meets: bool) -> None:
    """What could be the same is taken for the same."""
    assert may_meet(parse_place(one), parse_place(other)) is meets
    assert may_meet(parse_place(other), parse_place(one)) is meets


@dataclass
class Row:
    id: int
    name: str


def test_containers_of_other_kinds_are_opened_by_who_knows_them() -> None:
    """A tool may return its own classes."""

    def opened(value: Any) -> Any:
        return vars(value) if isinstance(value, Row) else list(value) if isinstance(value, tuple) else value

    rows = (Row(1, "a"), Row(2, "b"))

    assert value_at(parse("result[?id == 2].name", KNOWN), {"result": rows}, opened) == "b"
    assert value_at(parse("result[*].name", KNOWN), {"result": rows}, opened) == ["a", "b"]
