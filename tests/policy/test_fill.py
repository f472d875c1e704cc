"""`fill` and `null_is_absent`: loaded strictly, and never from what outsiders write without somebody to ask."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_bundle import small_bundle

from agentguard.core.fill import Listed
from agentguard.errors import PolicyError
from agentguard.policy import Bundle, load

TEXT: dict[str, Any] = {"type": "string"}
MAIL = {"kind": "email", "argument": "to"}
READ = {
    "args": {"user": TEXT},
    "keep": {"account": "result.account", "body": "result.body"},
    "tool": {"untrusted_results": ["body"]},
}


def bundle(tmp_path: Path, argument: Any, places: tuple[Any, ...] = (), **more: Any) -> Bundle:
    send = {"effect": "send", "args": {"to": argument, "other": TEXT}, "tool": {"destinations": [MAIL]}, **more}
    files = small_bundle({"read": READ, "send": send})
    workflow = yaml.safe_load(files["w.yaml"])
    workflow["metadata"]["review_by"] = "2029-12-31"
    workflow["inputs"] = {"boss": TEXT}
    workflow["steps"]["send"]["destinations"] = {"up_to": "internal"}
    files["w.yaml"] = yaml.safe_dump(workflow, sort_keys=False).replace("'2029-12-31'", "2029-12-31")
    listed = [{"kind": "email", "pattern": pattern, "sensitivity": level} for pattern, level in places]
    files["d.yaml"] = yaml.safe_dump({"apiVersion": "agentguard/v1", "kind": "Destinations", "destinations": listed})
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return load(tmp_path)


ASKS = {"approval": True}
GOOD: list[tuple[Any, dict[str, Any]]] = [
    ("inputs.boss", {}),
    ("kept.account", {}),
    ("kept.account.mail[0]", {}),
    ("kept.body", ASKS),
]


@pytest.mark.parametrize(("fill", "more"), GOOD)
def test_the_words_of_fill(tmp_path: Path, fill: str, more: dict[str, Any]) -> None:
    """A path into the inputs or into what is kept; the rest of the schema is as ever."""
    step = bundle(tmp_path, {**TEXT, "fill": fill}, **more).policy.workflows["w"].steps[1]

    assert {name: str(source) for name, source in step.fills.items()} == {"to": fill}
    assert step.rests_on_run is fill.startswith("kept")
    assert step.arguments.refusal({"to": "a", "other": "b"}) is None
    assert step.arguments.refusal({"other": "b"}) is not None


BAD: list[tuple[Any, str]] = [
    ("inputs", "names nothing"),
    ("inputs.bos", "did you mean `boss`"),
    ("kept.acount", "did you mean `account`"),
    ("args.other", "is not a path here"),
    ("read", "is not a path here"),
    ("inputs.boss.", "cannot read"),
    (7, "found `7`"),
    (["inputs.boss"], "found"),
    (None, "expected"),
    ("kept.account[args.nobody]", "argument"),
    ("catalog", "found none"),
]


@pytest.mark.parametrize(("fill", "said"), BAD)
def test_what_can_fill_nothing_is_refused_with_its_line(tmp_path: Path, fill: Any, said: str) -> None:
    """Found at load, not when money moves."""
    with pytest.raises(PolicyError) as wrong:
        bundle(tmp_path, {**TEXT, "fill": fill})

    (problem, *_) = wrong.value.problems
    assert problem.file.endswith("w.yaml") and problem.line > 0
    assert "to.fill" in problem.message and said in problem.message


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"optional": True}, "remove `optional`"),
        ({"null_is_absent": True}, "remove `null_is_absent`"),
        ({"null_is_absent": "yes"}, "expected `true` or `false`"),
    ],
)
def test_what_the_guard_always_fills_is_never_absent(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    """Two words that contradict each other were not both meant."""
    with pytest.raises(PolicyError, match=said):
        bundle(tmp_path, {**TEXT, "fill": "inputs.boss", **more})


PEOPLE = {"type": "array", "items": TEXT}


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        (PEOPLE, "`inputs.boss` is string, and the argument array, so no call would ever fit"),
        ({"type": ["integer", "boolean"]}, "the argument boolean or number"),
        ({"type": ["string", "null"]}, None),
        ({"enum": ["ann@corp.example"]}, None),
    ],
)
def test_an_input_of_another_type_fills_nothing(tmp_path: Path, argument: dict[str, Any], said: str | None) -> None:
    """One address is no list of them: that is said at load, and not by every call that is refused."""
    made = {"args": {"to": TEXT, "other": {**argument, "fill": "inputs.boss"}}}
    if said is None:
        assert bundle(tmp_path, TEXT, **made).policy.workflows["w"].steps[1].fills
        return
    with pytest.raises(PolicyError) as refused:
        bundle(tmp_path, TEXT, **made)
    assert said in str(refused.value) and "other.fill" in str(refused.value)


@pytest.mark.parametrize("word", ["fill", "null_is_absent"])
def test_both_words_stand_beside_the_type_of_a_whole_argument(tmp_path: Path, word: str) -> None:
    """A part of a list has no owner of its own."""
    with pytest.raises(PolicyError, match=f"`{word}` is not used here; it stands in an argument of a step"):
        bundle(tmp_path, {"type": "array", "items": {**TEXT, word: True}})


@pytest.mark.parametrize("fill", ["kept.body", "kept.body.first"])
def test_what_others_write_fills_nothing_by_itself(tmp_path: Path, fill: str) -> None:
    """Neither an outsider nor the model decides where money goes because it stood in a text."""
    with pytest.raises(PolicyError, match="ask a person each time"):
        bundle(tmp_path, {**TEXT, "fill": fill})


LISTED = {
    "tool": {"untrusted_results": ["[*].text", "[*].title"]},
    "keep": {"files": {"add": "result", "key": "id"}, "by_mail": {"by": "result[0].text", "value": "result[0].id"}},
}


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        ("kept.files[?owner == inputs.boss].id", None),
        ("kept.files[?owner == inputs.boss].text", "outsiders write there: step `read` keeps `result`"),
        ("kept.files[?title == inputs.boss].id", "outsiders write there"),
        ("kept.files[?owner == kept.files[0].text].id", "outsiders choose: `kept.files[0].text` is theirs"),
        ("kept.files", "outsiders write there"),
        ("kept.by_mail[inputs.boss]", "outsiders choose what is kept as `kept.by_mail`"),
    ],
)
def test_a_clean_field_of_what_is_kept_fills_and_what_outsiders_write_or_choose_does_not(
    tmp_path: Path, fill: str, said: str | None
) -> None:
    """A file has an id that the drive gives, and a text that anybody writes. Which file is shared may not hang on what
    anybody writes either."""
    files = small_bundle({"read": LISTED, "send": {"args": {"to": {**TEXT, "fill": fill}}}})
    files["w.yaml"] = files["w.yaml"].replace('"steps":', '"inputs": {"boss": {"type": "string"}}, "steps":')
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    if said is None:
        assert load(tmp_path).policy.workflows["w"].steps[1].fills
        return
    with pytest.raises(PolicyError, match=re.escape(said)):
        load(tmp_path)


def test_a_person_who_is_asked_only_sometimes_is_not_enough(tmp_path: Path) -> None:
    """Below the threshold nobody would look."""
    files = small_bundle({"read": READ, "send": {"args": {"to": {**TEXT, "fill": "kept.body"}}, "approval": True}})
    files["w.yaml"] = files["w.yaml"].replace('"approval": {', '"approval": {"when": "args.to == kept.account", ')
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    with pytest.raises(PolicyError, match="`approval` without `when`"):
        load(tmp_path)


def test_what_others_write_may_fill_what_must_be_a_listed_place(tmp_path: Path) -> None:
    """The catalog's owner has looked at each place that it lists."""
    argument = {**TEXT, "fill": "kept.body", "from": "catalog"}

    assert bundle(tmp_path, argument).policy.workflows["w"].steps[1].fills
    with pytest.raises(PolicyError, match="ask a person each time"):
        bundle(tmp_path, {**argument, "from": ["catalog", "kept.body"]})


PLACES = (("boss@corp.example", "internal"), ("*@corp.example", "public"), ("ceo@corp.example", "secret"))


def test_the_one_listed_place_fills(tmp_path: Path) -> None:
    """Patterns are no places, and what is too sensitive for the step is none of its places."""
    step = bundle(tmp_path, {**TEXT, "fill": "catalog"}, PLACES).policy.workflows["w"].steps[1]

    assert step.fills == {"to": Listed("boss@corp.example")}


@pytest.mark.parametrize(
    "places", [(), PLACES[1:], (*PLACES, ("bob@corp.example", "public"))], ids=["none", "none that fits", "two"]
)
def test_no_place_or_several_fill_nothing(tmp_path: Path, places: tuple[Any, ...]) -> None:
    """Which one is meant nobody can know."""
    with pytest.raises(PolicyError, match="expected exactly one `email` in Destinations"):
        bundle(tmp_path, {**TEXT, "fill": "catalog"}, places)


def test_only_a_destination_is_filled_from_the_catalog(tmp_path: Path) -> None:
    """The catalog lists places."""
    with pytest.raises(PolicyError, match="declares no destination whose `argument` is `other`"):
        bundle(tmp_path, TEXT, args={"to": TEXT, "other": {**TEXT, "fill": "catalog"}})


@pytest.mark.parametrize(
    ("condition", "argument"),
    [
        ("args.to == inputs.boss", "to"),
        ("inputs.boss == args.to && args.other != args.to", "to"),
        ("args.other == kept.account.mail", "other"),
    ],
)
def test_check_suggests_fill_where_a_condition_only_compares(tmp_path: Path, condition: str, argument: str) -> None:
    """Most money and tenant arguments are of this kind."""
    notes = [str(note) for note in bundle(tmp_path, TEXT, require=[condition]).notes]

    assert any(f"beside the type of `{argument}`" in note and "w.yaml:" in note for note in notes)


@pytest.mark.parametrize(
    "condition",
    ["args.to != inputs.boss", "args.to == inputs.boss || args.other == inputs.boss", "args.to in kept.account",
     "args.to == args.other", "args.to.contains(inputs.boss)"],
)  # fmt: skip
def test_a_condition_that_says_something_else_is_left_alone(tmp_path: Path, condition: str) -> None:
    """Filling would forbid what it allows."""
    assert not any("beside the type" in str(note) for note in bundle(tmp_path, TEXT, require=[condition]).notes)
