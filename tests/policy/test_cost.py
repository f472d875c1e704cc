"""What conditions cost: counted by what is compared; long lists are permitted, a refusal names the loop and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from processor_time import processor_time

from agentguard.cli.explain import _lines
from agentguard.core.policy import Fault, View
from agentguard.policy.cel.compiling import NotCompiled
from agentguard.policy.cel.conditions import compile_condition
from agentguard.policy.cel.cost import MAX_STEPS
from agentguard.policy.cel.functions import texts
from agentguard.policy.cel.runtime import MAX_HANDED
from policy.test_functions import scope, view

SCOPE = scope(kept=["files", "ids", "text", "word"])


def files(length: int) -> list[dict[str, Any]]:
    return [
        {"id": f"f{n}", "size": n, "name": f"report {n}", "owner": f"o{n % 10}", "tags": ["x", "y"]}
        for n in range(length)
    ]


def seen(kept: Mapping[str, Any], **args: Any) -> View:
    names = view(args).names
    return View({**names, "kept": dict(kept)})


LONG = [
    "max(kept.files, 'size') == 19999",
    "last(sort(kept.files, 'id')).id == 'f9999'",
    "sum(where(kept.files, 'owner', 'o1'), 'size') > 0.0",
    "one(kept.files, 'id', 'f7').size == 7",
    "size(distinct(kept.files, 'owner')) == 10",
    "size(kept.files) == 20000 && kept.files[7].size == 7",
    "kept.files.all(f, f.name != args.id)",
    "kept.files.exists(f, f.size == 19999)",
    "kept.files.exists_one(f, f.id == 'f19999')",
    "!kept.files.exists_one(f, f.owner == 'o1')",
    "kept.files.all(f, f.id in kept.ids)",
    "'f19999' in kept.ids && !('x' in kept.ids)",
    f"kept.files.all(f, f.owner in [{', '.join(repr(f'o{n}') for n in range(12))}])",
    "kept.ids.all(i, !args.day.contains(i))",
    "kept.files.all(f, f.name.matches('^report [0-9]+$'))",
    "kept.files.all(f, one(kept.files, 'id', f.id).size == f.size)",
]


@pytest.mark.parametrize("text", LONG)
def test_twenty_thousand_elements_are_permitted(text: str) -> None:
    """A list as long as a tool returns one must not be refused for its length, nor take seconds."""
    found = files(20_000)
    with processor_time(at_most=5.0):
        answer = compile_condition(text, SCOPE).holds(seen({"files": found, "ids": [file["id"] for file in found]}))
    assert answer is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kept.files.all(f, kept.files.exists(g, g.id == f.id))", "runs 20,000 times for one element; at most 9,000"),
        (
            "kept.ids.all(i, kept.files.exists(g, g.id == i))",
            "the loop over `kept.ids` (2,000) and `kept.files` (20,000)",
        ),
        ("kept.files.all(f, kept.files != [f])", "takes other lists apart for"),
        ("kept.files.all(f, size(kept.text) > f.size)", "which reads `kept.text` at each pass"),
    ],
)
def test_a_refusal_names_the_loop_and_the_numbers(text: str, said: str) -> None:
    kept = {"files": files(20_000), "ids": [str(n) for n in range(2_000)], "text": "x" * 1_000_000}
    with processor_time(at_most=3.0):
        answer = compile_condition(text, SCOPE).holds(seen(kept))
    assert isinstance(answer, Fault)
    assert said in answer.detail


def test_the_sum_of_all_loops_counts() -> None:
    one = "kept.files.all(f, f.id != 'a' && f.id != 'b' && f.id != 'c' && f.name != args.id)"
    kept = {"files": files(15_000)}
    assert compile_condition(one, SCOPE).holds(seen(kept)) is True
    many = " && ".join(f"kept.files.all(f, f.id != 'a{n}' && f.id != 'b' && f.name != args.id)" for n in range(6))
    answer = compile_condition(many, SCOPE).holds(seen(kept))
    assert isinstance(answer, Fault)
    assert f"may cost {MAX_STEPS:,} together" in answer.detail


@pytest.mark.parametrize(
    "text",
    [
        "kept.text.contains(args.id)",
        "!kept.text.matches('^[0-9]+$')",
        "kept.files.all(f, !kept.text.contains(f.name))",
        "kept.files.all(f, kept.text != f.name)",
        "size(lines(kept.text)) == 1",
        "kept.word == 'w' || kept.text == ''",
        "kept.text.startsWith('xx') && size(kept.text) == 1000000",
        "!kept.text.contains(kept.word)",
    ],
)
def test_a_long_text_of_an_outsider_switches_nothing_off(text: str) -> None:
    """A condition over a megabyte works; what is beside it costs nothing."""
    kept = {"text": "x" * 999_999 + "b", "word": "x" * 400_000 + "ab", "files": files(100)}
    with processor_time(at_most=3.0):
        answer = compile_condition(text, SCOPE).holds(seen(kept))
    assert answer is (text != "kept.word == 'w' || kept.text == ''")


def test_a_search_is_linear_in_both_texts() -> None:
    """The runtime compares the needle anew at each place: half a megabyte in a megabyte of one letter is an hour."""
    kept = {"text": "a" * 1_000_000, "word": "a" * 300_000 + "b"}
    with processor_time(at_most=3.0):
        assert compile_condition("kept.text.contains(kept.word)", SCOPE).holds(seen(kept)) is False
        assert compile_condition("kept.text.indexOf(kept.word) == -1", SCOPE).holds(seen(kept)) is True


@pytest.mark.parametrize(
    "text",
    [
        "size(kept.text.replace('x', kept.word)) > 0",
        "size(kept.text.replace('', kept.word)) > 0",
        "size(kept.ids.join(kept.text)) > 0",
    ],
)
def test_what_a_text_function_makes_is_bounded_before_it_is_made(text: str) -> None:
    kept = {"text": "x" * 100_000, "word": "y" * 100_000, "ids": ["a"] * 1_000}
    with processor_time(at_most=1.0):
        answer = compile_condition(text, SCOPE).holds(seen(kept))
    assert isinstance(answer, Fault)
    assert f"longer than {texts.MAX_TEXT:,} characters" in answer.detail


def test_what_a_function_hands_back_is_bounded() -> None:
    kept = {"files": files(MAX_HANDED // 5)}
    answer = compile_condition("sort(kept.files, 'size') == []", SCOPE).holds(seen(kept))
    assert answer is False  # compared outside of the runtime
    answer = compile_condition("args.few.exists(n, sort(kept.files, 'size')[n].size == n)", SCOPE).holds(seen(kept))
    assert isinstance(answer, Fault)
    assert f"more than {MAX_HANDED:,} values" in answer.detail


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("args.few.all(n, args.few.exists(m, m == n))", "is refused past about"),
        ("args.few.all(n, n != args.count)", None),
        ("kept.files.all(f, f.id != args.id)", None),
        ("args.files.all(f, args.files.exists(g, g.id == f.id))", "is refused past about"),
    ],
)
def test_check_notes_a_loop_that_long_lists_will_be_refused_by(text: str, said: str | None) -> None:
    notes = [note for note in compile_condition(text, SCOPE).found.notes if "refused past" in note]
    assert (not notes) if said is None else said in notes[0]


@pytest.mark.parametrize("most", [500, 501])
def test_map_and_filter_run_over_lists_that_a_schema_limits(most: int) -> None:
    arguments = {"args": {"type": "object", "properties": {"to": {"type": "array", "maxItems": most}}}}
    names = {**SCOPE.names, **arguments}
    limited = type(SCOPE)(names, SCOPE.steps)
    for text in ("args.to.map(t, t) == []", "args.to.filter(t, t == 1).map(t, t) == []"):
        if most == 500:
            compile_condition(text, limited)
        else:
            with pytest.raises(NotCompiled, match="at most 500 elements"):
                compile_condition(text, limited)


def test_the_steps_of_a_condition_can_be_asked_for() -> None:
    condition = compile_condition("kept.files.all(f, f.id != args.id)", SCOPE)
    short, long = (condition.cost(seen({"files": files(length)})) for length in (10, 1_000))
    assert short is not None and long is not None
    assert 0 < short * 50 < long < MAX_STEPS
    assert compile_condition("args.count > 1", SCOPE).cost(seen({})) == 0


def test_explain_tells_what_each_condition_costs() -> None:
    """Beside the limit, so that an owner sees how near a workflow is."""
    lines = dict(
        _lines({"effect": "permit", "costs": [{"step": "pay", "condition": "a.all(x, x)", "steps": 7_250}]}, False)
    )
    assert lines["cost"] == f"a condition of `pay` takes 7,250 of {MAX_STEPS:,} steps: a.all(x, x)".replace("`", "")
