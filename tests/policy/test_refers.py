"""`enum` and `pattern` that refer to the run: what stands there, literally, and nothing where nothing stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_bundle import small_bundle

from agentguard.errors import PolicyError, ToolCallDenied
from agentguard.policy import Bundle, load
from agentguard.testing import in_memory_guard

TEXT: dict[str, Any] = {"type": "string"}
LOOK = {"args": {}, "keep": {"hotel": "result.hotel", "ids": "result.ids"}}


def files(argument: dict[str, Any], **more: Any) -> dict[str, str]:
    made = small_bundle({"look": LOOK, "book": {"args": {"x": argument}, "effect": "write", **more}})
    workflow = json.loads(made["w.yaml"].replace("2029-12-31", '"@"'))
    workflow["inputs"] = {"user": TEXT, "ids": {"type": "array", "items": TEXT}, "n": {"type": "number"}}
    return {**made, "w.yaml": json.dumps(workflow).replace('"@"', "2029-12-31")}


def bundle(tmp_path: Path, argument: dict[str, Any]) -> Bundle:
    for name, text in files(argument).items():
        (tmp_path / name).write_text(text)
    return load(tmp_path)


def ran(
    argument: dict[str, Any], values: list[Any], hotel: Any = "Ritz", ids: Any = ("a", "b"), **inputs: Any
) -> list[Any]:
    """Those values with which the call runs."""
    given: list[Any] = []

    def look() -> dict[str, Any]:
        return {"hotel": hotel, "ids": list(ids)}

    def book(x: Any) -> str:
        given.append(x)
        return "booked"

    with in_memory_guard(files(argument)) as guard:
        looking, booking = guard.wrap([look, book])
        with guard.run("w", inputs={"user": "ann", "ids": ["c"], "n": 5, **inputs}):
            looking()
            for value in values:
                try:
                    booking(value)
                except ToolCallDenied:
                    continue
    return given


@pytest.mark.parametrize(
    ("argument", "values", "fitting"),
    [
        ({**TEXT, "enum": "inputs.ids"}, ["c", "a", "C", "", "cc"], ["c"]),
        ({**TEXT, "enum": "kept.ids"}, ["a", "b", "c"], ["a", "b"]),
        ({**TEXT, "enum": "inputs.user"}, ["ann", "bob"], ["ann"]),
        ({"type": ["number", "string", "boolean"], "enum": "inputs.n"}, [5, 5.0, "5", True], [5, 5.0]),
        ({"type": "array", "items": {**TEXT, "enum": "kept.ids"}}, [["a", "b"], ["a", "x"], []], [["a", "b"], []]),
        ({**TEXT, "pattern": "Hotel: {kept.hotel}"}, ["Hotel: Ritz", "Hotel: Rit", "xHotel: Ritz", "Hotel: Ritz\n"],
         ["Hotel: Ritz"]),
        ({**TEXT, "pattern": "{inputs.user}-[0-9]{2}"}, ["ann-12", "ann-1", "bob-12"], ["ann-12"]),
        ({**TEXT, "pattern": "{kept.hotel}|{inputs.user}"}, ["Ritz", "ann", "Ritzann"], ["Ritz", "ann"]),
        ({**TEXT, "pattern": r"\{inputs.user\}"}, ["{inputs.user}", "ann"], ["{inputs.user}"]),
    ],
)  # fmt: skip
def test_what_the_run_holds_decides_what_fits(argument: dict[str, Any], values: list[Any], fitting: list[Any]) -> None:
    """In whole, in value and in kind."""
    assert ran(argument, values) == fitting


def test_what_is_quoted_means_nothing_but_itself() -> None:
    """Whoever writes the hotel's name writes no pattern."""
    argument = {**TEXT, "pattern": "Hotel: {kept.hotel}"}

    assert ran(argument, ["Hotel: .*", "Hotel: Ritz", "Hotel: "], hotel=".*") == ["Hotel: .*"]
    assert ran(argument, ["Hotel: a|b", "Hotel: a", "b"], hotel="a|b") == ["Hotel: a|b"]


@pytest.mark.parametrize("hotel", [True, 1.5, None, ["Ritz"], {"a": 1}, "x" * 1_001])
def test_what_is_no_text_fits_nothing(hotel: Any) -> None:
    """A list has no text of its own."""
    assert ran({**TEXT, "pattern": "{kept.hotel}"}, ["Ritz", "True", "1.5", "", "x" * 1_001], hotel=hotel) == []


def test_what_is_not_kept_yet_lets_nothing_through() -> None:
    """And the record says what is missing."""
    with in_memory_guard(files({**TEXT, "enum": "kept.ids"})) as guard:

        def book(x: str) -> str:
            return x

        booking = guard.wrap(book)
        with guard.run("w", inputs={"user": "ann", "ids": [], "n": 5}), pytest.raises(ToolCallDenied):
            booking("a")
        (decision,) = guard.records(kind="decision")

    assert decision["reasons"] == ["arguments_invalid"] and "kept.ids" in decision["findings"][0]["detail"]


def test_a_step_that_refers_to_kept_values_rests_on_the_run(tmp_path: Path) -> None:
    """While nobody knows how a call ended, what it kept is not known either."""
    assert bundle(tmp_path, {**TEXT, "enum": "kept.ids"}).policy.workflows["w"].steps[1].rests_on_run
    assert not bundle(tmp_path, {**TEXT, "enum": "inputs.ids"}).policy.workflows["w"].steps[1].rests_on_run


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({**TEXT, "enum": "inputs.usr"}, "did you mean `user`"),
        ({**TEXT, "enum": "kept.hotl"}, "did you mean `hotel`"),
        ({**TEXT, "enum": "args.x"}, "or a list of values"),
        ({**TEXT, "enum": "inputs"}, "there is no input"),
        ({**TEXT, "enum": ["inputs.user"]}, "stands there as text; a list or value of the run is `enum: inputs.user`"),
        ({**TEXT, "enum": ["a", "{{kept.hotel}}"]}, "is `enum: kept.hotel`, alone and without braces"),
        ({**TEXT, "const": "inputs.user"}, "is `enum: inputs.user`"),
        ({**TEXT, "pattern": "a{{inputs.n}}"}, "`{{inputs.n}}` is no reference; expected such as `{inputs.NAME}`"),
        ({**TEXT, "pattern": "{{ inputs.n }}x"}, "is no reference"),
        ({**TEXT, "pattern": "${inputs.n}}"}, "is no reference"),
        ({**TEXT, "pattern": "a{args.n}"}, "is no reference"),
        ({**TEXT, "pattern": "a{input.n}"}, "is no reference"),
        ({**TEXT, "pattern": "a{user}"}, r"a brace is written `\{`"),
        ({**TEXT, "pattern": "{inputs.usr}"}, "did you mean `user`"),
        ({**TEXT, "pattern": "{inputs.user}("}, "is not a regular expression"),
        ({"enum": "inputs.user"}, "says no `type`"),
        ({"anyOf": [{**TEXT, "enum": "inputs.user"}]}, "cannot refer to the run"),
    ],
)
def test_what_refers_to_nothing_is_refused_when_the_bundle_loads(
    tmp_path: Path, argument: dict[str, Any], said: str
) -> None:
    """With file, line and remedy."""
    with pytest.raises(PolicyError) as wrong:
        bundle(tmp_path, argument)

    assert said in str(wrong.value) and "w.yaml:" in str(wrong.value)


@pytest.mark.parametrize(
    ("pattern", "values", "fitting"),
    [
        ("{inputs.user}+", ["ann", "annn", "annann"], ["ann", "annann"]),
        ("{inputs.user}?", ["an", "ann", ""], ["ann", ""]),
        ("{inputs.user}{2}", ["annn", "annann"], ["annann"]),
        (r"C:\\{inputs.user}", [r"C:\ann", "C:ann"], [r"C:\ann"]),
        ("[a-c]{inputs.user}|[]x]{inputs.user}", ["aann", "xann", "]ann", "ann"], ["aann", "xann", "]ann"]),
        (r"\[{inputs.user}\]", ["[ann]", "a"], ["[ann]"]),
    ],
)
def test_a_sign_behind_what_is_quoted_is_of_all_of_it(pattern: str, values: list[Any], fitting: list[Any]) -> None:
    """`{inputs.user}+` of ann is no annn."""
    assert ran({**TEXT, "pattern": pattern}, values) == fitting


@pytest.mark.parametrize("pattern", ["[{inputs.user}]", "[^a-{inputs.user}]", "[]{inputs.user}]", r"\Q{inputs.user}\E"])
def test_what_is_quoted_is_no_class_of_characters(tmp_path: Path, pattern: str) -> None:
    """There it would be single letters."""
    with pytest.raises(PolicyError, match="cannot stand in"):
        bundle(tmp_path, {**TEXT, "pattern": pattern})


def test_a_list_of_values_says_nothing_of_null() -> None:
    """Nor does one that is not there yet: the type says whether a default that is None may be."""
    maybe = {"type": ["string", "null"], "enum": "kept.ids"}
    assert ran(maybe, [None, "x", "a"]) == [None, "a"]
    assert ran({**TEXT, "enum": "kept.ids"}, [None, "a"]) == ["a"]


def test_a_pattern_says_nothing_of_null() -> None:
    """A default that is None is null, and the type says whether that may be."""
    assert ran({"type": ["string", "null"], "pattern": "Hotel: {kept.hotel}"}, [None, "x", "Hotel: Ritz"]) == [
        None,
        "Hotel: Ritz",
    ]
    assert ran({"type": "string", "pattern": "Hotel: {kept.hotel}"}, [None]) == []


@pytest.mark.parametrize(
    "pattern", ["a{2}", "[0-9]{1,3}", "x{2,}", r"\p{Greek}+", r"\x{2F}", "[{a}]", r"\{a\}", "a{2}{inputs.n}"]
)
def test_braces_that_say_something_else_are_left_alone(tmp_path: Path, pattern: str) -> None:
    """How often, a class by its name, and a brace that is meant as one."""
    bundle(tmp_path, {**TEXT, "pattern": pattern})
