"""What can never work in a condition or a schema is said when the bundle loads, and not at the call."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agentguard.policy import load
from agentguard.policy.cel.amounts import compile_amount
from agentguard.policy.cel.compiling import NotCompiled
from agentguard.policy.cel.conditions import compile_condition
from agentguard.policy.cel.scope import Scope
from agentguard.policy.json_schema.shapes import compile_shape

ARGUMENTS: Mapping[str, Any] = {
    "rows": {"type": "integer", "minimum": 1, "maximum": 50_000},
    "price": {"type": "number"},
    "count": {"type": "integer", "optional": True},
    "note": {"type": "string", "optional": True},
    "maybe": {"type": ["integer", "null"], "optional": True},
    "day": {"type": "string", "format": "date"},
    "at": {"type": "string", "format": "date-time"},
    "id": {"type": "string", "pattern": "[a-z]+", "maxLength": 5},
    "to": {"type": "array", "items": {"type": "string"}},
    "some": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    "few": {"type": "array", "items": {"type": "string"}, "maxItems": 500},
}


def scope() -> Scope:
    arguments, troubles = compile_shape(ARGUMENTS)
    inputs, _ = compile_shape({"ticket": {"type": "string", "pattern": "EXP-[0-9]+"}})
    assert arguments is not None and inputs is not None, troubles
    return Scope.make(
        arguments=arguments.schema, inputs=inputs.schema, kept=["tables"], origins=[], steps=("export",),
        subjects=["a"], has_destinations=True,
    )  # fmt: skip


SCOPE = scope()

# What can never work, and a word of what is said of it.
NEVER = [
    ('now < timestamp("2027-01-01")', "2027-01-01T00:00:00Z"),
    ('now < timestamp("2027-13-01T00:00:00Z")', "is not a time"),
    ('now < timestamp("2027-01-01T00:00:00")', "with its zone"),
    ('now - duration("1d") < now', "24h"),
    ('now - duration("P1D") < now', "is not a duration"),
    ('now - duration("90") < now', "is not a duration"),
    ('args.id == "a" && (args.rows > 5 || timestamp("soon") < now)', "is not a time"),
    ('args.to.all(x, timestamp("soon") < now)', "is not a time"),
    ('now.getHours("Mars/Olympus") > 8', "no time zone"),
    ('now.getFullYear("CEST+2") > 2020', "no time zone"),
    ('timestamp("2027-01-01T00:00:00Z").getHours("Berlin") == 8', "no time zone"),
    ('timestamp(args.at).getDate("Berlin") == 8', "no time zone"),
    ('int("x") == args.rows', "is not a whole number"),
    ('int("1.5") == args.rows', "is not a whole number"),
    ('double("1,5") < args.price', "is not a number"),
    ('bool("yes")', "neither true nor false"),
    ('uint("-1") == 1u', "nought or more"),
    ("1 / 0 == 1", "divide"),
    ("args.rows / 0 == 1", "divides by nought"),
    ("args.rows % 0 == 1", "divides by nought"),
    ("9223372036854775807 + 1 > args.rows", "overflow"),
    ("[1, 2][5] == 1", "can never be used"),
    ('args.to[-1] == "a"', "no element -1"),
    ('args.id.matches("(")', "not a regular expression"),
    ("args.id in []", "empty list"),
    ('args.id.contains("")', "true of every text"),
    ('args.id.startsWith("")', "true of every text"),
    ('args.id == "A1"', "does not fit its schema"),
    ('args.id == "abcdef"', "does not fit its schema"),
    ('args.id in ["abc", "a-b"]', "does not fit its schema"),
    ('inputs.ticket == "EXP7"', "does not fit its schema"),
    ("args.rows == 60000", "does not fit its schema"),
    ("args.price * 1.5 > 3.0", "double(args.price)"),
    ("args.price + 1 > 3", "double(args.price)"),
    ("args.count * 1.5 > 2.0", "double(...)"),
    ('args.count < "5"', "does not go with a whole number and text"),
    ("args.note > 5", "does not go with text and a whole number"),
    ("args.note + 5 == args.note", "does not go with text and a whole number"),
    ("timestamp(args.day) < now", "T00:00:00Z"),
    ("now.getMonth() == 12", "0 to 11"),
    ("now.getMonth() in [11, 12]", "0 to 11"),
    ("now.getDayOfWeek() == 7", "0 to 6"),
    ("now.getDate() == 0", "1 to 31"),
    ("now.getDayOfMonth() == 31", "0 to 30"),
    ('now.getHours("Europe/Berlin") > 23', "0 to 23"),
    ("24 == now.getHours()", "0 to 23"),
]


@pytest.mark.parametrize(("text", "said"), NEVER, ids=[text for text, _ in NEVER])
def test_what_can_never_work_is_refused_at_load(text: str, said: str) -> None:
    """At every call it would err, and the owner would learn it from a refused agent."""
    with pytest.raises(NotCompiled) as caught:
        compile_condition(text, SCOPE)
    assert said in str(caught.value)


# Near misses: the same forms, and these work.
WORKS = [
    'now < timestamp("2027-01-01T00:00:00Z")',
    'now < timestamp("2027-01-01T00:00:00.5+02:00")',
    'now - duration("24h") < now',
    'now - duration("1h30m0.5s") < now',
    'now.getHours("Europe/Berlin") >= 8',
    'now.getHours("+02:00") >= 8',
    'now.getHours("UTC") >= 8 && now.getHours("UTC") < 18',
    'int("12") == args.rows',
    "args.rows / 2 == 1",
    "args.to[0] == args.id",
    'args.id in ["abc", "d"]',
    'args.id == "abcde"',
    'inputs.ticket == "EXP-7"',
    "args.rows == 50000",
    "args.price == 1",
    "args.price == 1.5",
    "args.price in [1, 2]",
    "args.price > 0 && args.price <= 10.5",
    "double(args.price) * 1.5 > 3.0",
    "args.count > 5",
    "args.count > 5.5",
    "args.maybe == null || args.maybe < 5",
    "args.maybe < 5",
    'args.note > "m"',
    "timestamp(args.at) < now",
    'timestamp(args.day + "T00:00:00Z") < now',
    'duration("36h").getHours() == 36 && args.rows > 1',
    '(now - timestamp("2027-01-01T00:00:00Z")).getHours() < 36',
    "now.getHours() == 23",
    'args.id.matches("^[a-z]$")',
    "args.some.all(x, x != args.id)",
]


@pytest.mark.parametrize("text", WORKS)
def test_what_works_is_taken_without_a_word(text: str) -> None:
    """An error or a note for honest work would be ignored soon, and the others with it."""
    found = compile_condition(text, SCOPE).found
    assert (found.notes, found.over_nothing) == ([], [])


NOTED = [
    ("now.getMonth() == 11", "January is 0"),
    ("now.getDayOfWeek() in [1, 2, 3]", "Sunday is 0"),
    ("now.getDayOfMonth() == 1", "`getDate` counts from 1"),
    ("now.getDayOfYear() == 1", "first of January is 0"),
    ("now.getHours() < 24", "always true"),
    ("size(args.to) >= 0", "always true"),
    ("args.rows > 50000", "always false"),
    ("60000 > args.rows", "always true"),
    ('args.id != "A1"', "does not fit its schema"),
    ("1 == 1", "the same at every call"),
]


@pytest.mark.parametrize(("text", "said"), NOTED)
def test_what_works_and_means_something_else_is_noted(text: str, said: str) -> None:
    """It may be right, so it is no error; whoever wrote it may have meant something else."""
    assert any(said in note for note in compile_condition(text, SCOPE).found.notes)


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ('args.to.all(x, x == "a")', True),
        ('!args.to.exists(x, x == "a")', True),
        ('kept.tables.all(x, x == "a")', True),
        ('args.few.filter(x, x != "b").all(x, x == "a")', True),
        ('args.some.all(x, x == "a")', False),
        ('args.to.exists(x, x == "a")', False),
        ('!args.to.all(x, x == "a")', True),
    ],
)
def test_a_loop_that_is_true_of_an_empty_list_is_noted(text: str, noted: bool) -> None:
    """`all` of nothing is true: an agent that sends an empty list passes."""
    assert bool(compile_condition(text, SCOPE).found.over_nothing) is noted


def test_an_amount_is_looked_at_in_the_same_way() -> None:
    """A budget whose amount errs at every call denies every call."""
    with pytest.raises(NotCompiled, match="divides by nought"):
        compile_amount("args.rows / 0", SCOPE)
    with pytest.raises(NotCompiled, match="is not a whole number"):
        compile_amount('args.rows + int("x")', SCOPE)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string", "enum": ["a", 12000.0]}, "quotes if it is text"),
        ({"type": "string", "enum": ["a", 12]}, "put text in quotes"),
        ({"enum": ["a", 12000.0]}, "12000"),
        ({"type": "integer", "enum": [1, "2"]}, "does not fit"),
        ({"type": "integer", "enum": [1, 5], "maximum": 4}, "does not fit"),
        ({"type": "string", "enum": ["ab", "c"], "minLength": 2}, "does not fit"),
        ({"type": "string", "const": "x", "pattern": "[0-9]"}, "does not fit"),
        ({"type": "boolean", "const": "true"}, "does not fit"),
    ],
)
def test_a_listed_value_that_can_never_come_is_refused(schema: Mapping[str, Any], said: str) -> None:
    """No call would ever have it: whoever listed it meant another value."""
    shape, troubles = compile_shape({"x": schema})
    assert shape is None and any(said in message for _, message in troubles), troubles


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": ["a", 12000]},
        {"type": "number", "enum": [1.0, 2.5]},
        {"type": ["string", "null"], "enum": ["a", None]},
        {"type": "string", "const": "12e03"},
        {"type": "array", "items": {"type": "string"}, "const": ["a"]},
    ],
)
def test_a_listed_value_that_fits_is_taken(schema: Mapping[str, Any]) -> None:
    """Near misses of the above."""
    shape, troubles = compile_shape({"x": schema})
    assert shape is not None, troubles


KEPT = """\
apiVersion: agentguard/v1
kind: Workflow
metadata: {name: w, version: 1, owner: o, review_by: 2099-12-31}
subjects: [a]
steps:
  look:
    tool: tickets.get
    arguments: {}
    keep: {clean: result.id, text: "result.comments[0].body", first: "result.tables[0]"}
  act:
    tool: refunds.pay
    after: [look]
    arguments: {amount: {type: integer}}
    require: [REQUIRE]
"""
TOOLS = """\
apiVersion: agentguard/v1
kind: Tools
tools:
  tickets.get: {effect: read, untrusted_results: ["comments[*].body", tables]}
  refunds.pay: {effect: write}
"""


@pytest.mark.parametrize(
    ("require", "noted"),
    [
        ("args.amount > 0 && string(args.amount) == kept.text", ["text"]),
        ('kept.first == "orders"', ["first"]),
        ('kept["text"] == string(args.amount) || kept.first == "x"', ["first", "text"]),
        ('[1, 2].exists(x, x == args.amount && kept.text == "y")', ["text"]),
        ("args.amount == kept.clean", []),
        ("args.amount > 0", []),
    ],
)
def test_a_step_that_relies_on_what_outsiders_write_and_asks_nobody_is_noted(
    require: str, noted: list[str], tmp_path: Path
) -> None:
    """Whoever writes the comment decides the amount; the step's owner may not have seen it so."""
    (tmp_path / "w.yaml").write_text(KEPT.replace("REQUIRE", f"'{require}'"))
    (tmp_path / "tools.yaml").write_text(TOOLS)
    notes = load(tmp_path).notes
    assert sorted(re.findall(r"relies on `kept\.(\w+)` and asks nobody", "\n".join(map(str, notes)))) == noted
    (tmp_path / "w.yaml").write_text(
        (tmp_path / "w.yaml").read_text() + "    approval: {from: [anyone], quorum: 1, within: 1h}\n"
    )
    assert "relies on" not in "".join(map(str, load(tmp_path).notes))


def test_one_note_says_of_all_steps_that_keep_a_value_that_outsiders_write_it(tmp_path: Path) -> None:
    """Four ways to find a file are one thing to think about, not four."""
    again = KEPT.replace("  act:", "  again: {tool: tickets.get, arguments: {}, keep: {text: result.tables}}\n  act:")
    (tmp_path / "w.yaml").write_text(again.replace("REQUIRE", "'args.amount > 0 && kept.text == \"5\"'"))
    (tmp_path / "tools.yaml").write_text(TOOLS)
    notes = [str(note) for note in load(tmp_path).notes if "relies on" in str(note)]
    assert len(notes) == 1
    assert "kept by `look`, `again`" in notes[0]


FILES = """\
apiVersion: agentguard/v1
kind: Tools
tools:
  tickets.get: {effect: read, untrusted_results: ["[*].name", "[*].text"]}
  refunds.pay: {effect: write}
"""


@pytest.mark.parametrize(
    ("require", "noted"),
    [
        ('one(kept.files, "id", args.amount).owner == "me"', False),
        ('one(kept.files, "id", args.amount).name == "me"', True),
        ('one(kept.files, "name", "plan").size == args.amount', True),
        ('where(kept.files, "owner", "me")[0].size == args.amount', False),
        ('where(kept.files, "size", ">=", one(kept.files, "id", 1).text).exists(f, true)', True),
        ('args.amount == last(sort(kept.files, "size")).size', False),
        ("last(sort(kept.files)).size == args.amount", True),
        ('args.amount == int(max(kept.files, "size"))', False),
        ("kept.files.all(f, f.size < args.amount)", False),
        ("kept.files.exists(f, f.text.contains('5') && f.size < args.amount)", True),
        ("kept.files.exists(f, [f].exists(g, g.size < args.amount))", True),
        ("size(kept.files) == args.amount", False),
        ("size(kept.files[0].text) == args.amount", True),
        ("cel.bind(f, kept.files[args.amount], f.owner == 'me')", False),
        ("cel.bind(f, kept.files[args.amount], f.name == 'me')", True),
        ("has(kept.files[0].text) && args.amount == 1", False),
        ("{'a': kept.files[0]}.a.size == args.amount", True),
        ("kept['files'][0].size == args.amount", False),
        ('distinct(kept.files, "name")[0] == "x"', True),
        ("(args.amount > 1 ? kept.files[0] : kept.files[1]).size == args.amount", True),
    ],
)
def test_a_condition_relies_on_the_fields_that_it_looks_at(require: str, noted: bool, tmp_path: Path) -> None:
    """Who looks at a file's owner does not hang on its text, and need not bother anybody. What is not understood is
    looked at as a whole."""
    keep = KEPT[KEPT.index("    keep:") : KEPT.index("  act:")]
    workflow = KEPT.replace(keep, "    keep: {files: {add: result, key: id}}\n")
    (tmp_path / "w.yaml").write_text(workflow.replace("REQUIRE", json.dumps(require)))
    (tmp_path / "tools.yaml").write_text(FILES)
    assert ("relies on `kept.files`" in "".join(map(str, load(tmp_path).notes))) is noted


@pytest.mark.parametrize(
    ("keep", "source", "noted"),
    [
        ('{a: "result.comments[?body == inputs.who].id"}', "kept.a", True),
        ('{b: "result.comments[0].body", a: "result.ids[kept.b]"}', "kept.a", True),
        ('{a: {by: "result.tables[0]", value: result.id}}', "kept.a", True),
        ('{a: "result.comments[?id == inputs.who].id"}', "kept.a", False),
        ("{a: result.id}", "kept.a", False),
        ("{a: result.id}", "tickets.get", False),
    ],
)
def test_a_clean_value_that_outsiders_choose_is_noted(keep: str, source: str, noted: bool, tmp_path: Path) -> None:
    """An account of the register is clean; which one it is, the mail says. `fill` and a named place do not load so."""
    text = KEPT.replace("steps:", "inputs: {who: {type: string}}\nsteps:", 1).replace("    require: [REQUIRE]\n", "")
    start, end = text.index("    keep:"), text.index("  act:")
    text = text[:start] + f"    keep: {keep}\n" + text[end:]
    (tmp_path / "w.yaml").write_text(
        text.replace("{amount: {type: integer}}", f"{{a: {{type: string, from: {source}}}}}")
    )
    (tmp_path / "tools.yaml").write_text(TOOLS)
    assert ("outsiders choose which value" in "".join(map(str, load(tmp_path).notes))) is noted
    with_approval = (tmp_path / "w.yaml").read_text() + "    approval: {from: [anyone], quorum: 1, within: 1h}\n"
    (tmp_path / "w.yaml").write_text(with_approval)
    assert "outsiders choose" not in "".join(map(str, load(tmp_path).notes))


def test_nobody_is_told_to_fill_an_argument_with_what_outsiders_write(tmp_path: Path) -> None:
    """A bundle that followed the advice would not load; to compare with it is allowed, and noted for what it is."""
    (tmp_path / "tools.yaml").write_text(TOOLS)
    for source, advised in (("kept.text", False), ("kept.first", False), ("kept.clean", True)):
        (tmp_path / "w.yaml").write_text(KEPT.replace("REQUIRE", f"args.amount == {source}"))
        assert ("only compares" in "".join(map(str, load(tmp_path).notes))) is advised, source


@pytest.mark.parametrize(
    ("catalog", "reach", "noted"),
    [
        ("{kind: url, pattern: 'https://a.example/*', sensitivity: internal}", "{up_to: internal}", False),
        ("{kind: url, pattern: 'https://a.example/*', sensitivity: restricted}", "{up_to: internal}", True),
        ("{kind: path, pattern: /a/*, sensitivity: public}", "{up_to: internal}", True),
        ("{kind: path, pattern: /a/*, sensitivity: public}", "{up_to: internal, unclassified: allow}", False),
    ],
)
def test_a_reach_that_holds_no_listed_place_is_noted(catalog: str, reach: str, noted: bool, tmp_path: Path) -> None:
    """Such a step denies every call, and the record says so only at the first."""
    step = f"{{tool: t, arguments: {{to: {{type: string}}}}, destinations: {reach}}}"
    (tmp_path / "w.yaml").write_text(KEPT.split("steps:")[0] + f"steps:\n  s: {step}\n")
    tools = "tools:\n  t: {effect: send, destinations: [{kind: url, argument: to}]}\n"
    (tmp_path / "t.yaml").write_text(f"apiVersion: agentguard/v1\nkind: Tools\n{tools}")
    (tmp_path / "d.yaml").write_text(f"apiVersion: agentguard/v1\nkind: Destinations\ndestinations:\n  - {catalog}\n")
    found = [str(note) for note in load(tmp_path).notes]
    assert bool(found) is noted
    assert all("w.yaml:6: Destinations lists no `url`" in note for note in found)


def test_a_size_asked_for_in_another_condition_of_the_step_quiets_the_note(tmp_path: Path) -> None:
    """The two stand in two lines as often as in one."""
    (tmp_path / "tools.yaml").write_text(TOOLS)
    loop = 'args.names.all(x, x != "a")'
    for conditions, count in ((f"['{loop}', size(args.names) > 0]", 0), (f"['{loop}']", 1)):
        text = KEPT.replace("amount: {type: integer}", "names: {type: array, items: {type: string}}")
        (tmp_path / "w.yaml").write_text(text.replace("[REQUIRE]", conditions))
        assert len(load(tmp_path).notes) == count
