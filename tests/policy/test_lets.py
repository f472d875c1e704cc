"""``let``: an expression with a name, for all conditions of a workflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_bundle import small_bundle

from agentguard.core.policy import Fault
from agentguard.errors import PolicyError
from agentguard.policy import Bundle, load
from agentguard.policy.cel.lets import MAX_NODES, growth_trouble
from agentguard.policy.cel.runtime import RUNTIME
from agentguard.policy.cel.tree import read_tree
from policy.test_functions import view

# Eleven times one thing: of three such rows the third is 1,331 times as long.
ROW = "+".join(["{0}"] * 11)
LETS = {
    "mine": "where(kept.files, 'owner.name', inputs.payee)",
    "largest": "max(mine, 'size')",
    "big_enough": "args.count <= largest",
}


def bundle(tmp_path: Path, lets: dict[str, str], require: list[str], **more: Any) -> Bundle:
    tools: dict[str, dict[str, Any]] = {
        "look": {"args": {}, "keep": {"files": "result.files", "text": "result.text"}},
        "pay": {"args": {"count": {"type": "integer"}}, "require": require, **more},
    }
    files = small_bundle(tools)
    workflow = json.loads(files["w.yaml"].replace("2029-12-31", '"2029-12-31"'))
    workflow["inputs"] = {"payee": {"type": "string"}}
    workflow["let"] = lets
    files["w.yaml"] = json.dumps(workflow, indent=1)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return load(tmp_path)


def holds(tmp_path: Path, lets: dict[str, str], text: str) -> bool | Fault:
    step = bundle(tmp_path, lets, [text]).policy.workflows["w"].steps[1]
    return step.require[0].holds(view())


def test_a_name_stands_for_its_expression_and_for_what_that_names(tmp_path: Path) -> None:
    assert holds(tmp_path, LETS, "big_enough && size(mine) == 2 && largest == 7") is True


def test_a_name_is_typed_as_its_expression_is(tmp_path: Path) -> None:
    assert holds(tmp_path, {"end": "time('2024-06-10') + duration('1h')"}, "now < end") is True
    with pytest.raises(PolicyError, match="does not go with"):
        holds(tmp_path, {"end": "time('2024-06-10')"}, "end == 'x'")


def test_what_a_name_refuses_is_a_no_in_every_position(tmp_path: Path) -> None:
    assert type(holds(tmp_path, {"n": "number(kept.text)"}, "n > 1 || true")) is Fault


def test_a_loop_may_use_a_name(tmp_path: Path) -> None:
    assert holds(tmp_path, LETS, "mine.all(f, f.size <= largest) && big_enough") is True


@pytest.mark.parametrize(
    ("lets", "require", "said"),
    [
        ({"a": "b == 1", "b": "a"}, "a", "`a` is named by itself, or by what it names"),
        ({"a": "a == 1"}, "a", "`a` is named by itself"),
        ({"args": "true"}, "args.count == 1", "`args` is a word of conditions"),
        ({"max": "5"}, "args.count < max", "`max` is a word of conditions"),
        ({"in": "5"}, "args.count < 5", "`in` is a word of conditions"),
        ({"a": "kept.filse == []"}, "a", "did you mean `files`"),
        ({"a": "args.cuont > 1"}, "a", "let.a, which step `pay` uses"),
        ({"a": "1 +"}, "a == 1", "cannot be read"),
        ({"a": "5"}, "args.count == 5", "no condition and no amount uses it"),
        ({"a": "5"}, "args.count == b && args.count == a", "there is no name `b`"),
        ({"a": "5"}, "kept.files.all(a, a.size == 1) && args.count == a", "hides a name of the language"),
        ({"a": "args.?count"}, "a.orValue(1) == 1", "ends with `.orValue"),
        ({"Total": "5"}, "args.count == 5", "Total"),
    ],
)
def test_a_name_that_cannot_be_used_is_said_at_load(
    lets: dict[str, str], require: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(PolicyError) as error:
        bundle(tmp_path, lets, [require])
    assert said in str(error.value)
    assert "w.yaml" in str(error.value)


def test_a_text_that_holds_the_name_is_no_use_of_it(tmp_path: Path) -> None:
    assert holds(tmp_path, {"total": "kept.text == 'total'"}, "!total") is True


def test_a_step_rests_on_the_run_through_a_name(tmp_path: Path) -> None:
    """A run that has lost track is permitted nothing that rests on what it kept."""
    looked_at = bundle(tmp_path, {"few": "size(kept.files) < 5", "ok": "few"}, ["ok"]).policy.workflows["w"].steps[1]
    assert looked_at.rests_on_run


def test_an_approval_and_a_budget_may_use_a_name(tmp_path: Path) -> None:
    loaded = bundle(tmp_path, {"much": "args.count > 5"}, ["!much"])
    assert loaded.policy.workflows["w"].steps[1].require[0].text == "!much"


def test_a_refusal_through_a_name_is_explained_by_the_name(tmp_path: Path) -> None:
    condition = bundle(tmp_path, LETS, ["big_enough && largest == 8"]).policy.workflows["w"].steps[1].require[0]
    said = condition.explain(view(), {"kept": view().names["kept"]})  # type: ignore[attr-defined]
    assert "`largest == 8` is false" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cel.bind(a, args.x + args.x, a)", None),
        (
            f"cel.bind(a, {ROW.format('args.x')}, cel.bind(b, {ROW.format('a')}, {ROW.format('b')}))",
            "times behind itself",
        ),
        ("[" + "1, " * MAX_NODES + "1].all(x, x == 1)", "more than 5,000 parts"),
    ],
)
def test_an_expression_does_not_grow_without_end(text: str, said: str | None) -> None:
    """A thousand times a text of a megabyte is more than the machine has."""
    found = growth_trouble(read_tree(RUNTIME.compile(text).serialize()))
    assert (said is None and found is None) or (said is not None and found is not None and said in found)
