"""What `agentguard init` guesses of tools, as data; and that a draft decides what its guesses say."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentguard.core.values import Effect
from agentguard.evidence.draft.described import Described, Found
from agentguard.evidence.draft.folder import write
from agentguard.evidence.draft.mcp import from_tools_list
from agentguard.evidence.draft.plan import Choices, ToolPlan, planned
from agentguard.evidence.draft.samples import sample
from agentguard.evidence.draft.shapes import shape_of
from agentguard.policy import load
from agentguard.policy.json_schema.shapes import fits

CASES = yaml.safe_load((Path(__file__).parent / "guesses.yaml").read_text("utf-8"))
CHOICES = Choices("w", "team", "spiffe://corp.example/agent/w", "user:dana", date(2030, 1, 1), "tests")
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def described(case: dict[str, Any]) -> Described:
    given = case.get("arguments", {})
    properties = {name: {"type": part} if isinstance(part, str) else part for name, part in given.items()}
    hints = case.get("hints", {})
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return Described(case["tool"], schema, schema, hints.get("readOnlyHint"), hints.get("destructiveHint"))


def drafted(*tools: Described) -> list[ToolPlan]:
    plan = planned(Found(list(tools)), CHOICES)
    assert plan.left_out == []
    return plan.tools


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['tool']}({', '.join(case.get('arguments', ()))})")
def test_what_is_guessed_of_a_tool(case: dict[str, Any]) -> None:
    (tool,) = drafted(described(case))
    found = {
        "effect": tool.effect,
        "asks": bool(tool.asks),
        "fills": list(tool.filled),
        "places": [f"{place.kind} {place.argument}" for place in tool.places],
    }
    wanted = {name: case.get(name, default) for name, default in (("asks", False), ("fills", []), ("places", []))}
    assert found == {"effect": case["effect"], **wanted}


def test_all_the_tools_together_make_one_draft_that_a_guard_takes(tmp_path: Path) -> None:
    """Each step is decided as its cases say, and `check` has nothing to note."""
    by_name = {case["tool"]: described(case) for case in CASES}
    made = write(planned(Found(list(by_name.values())), CHOICES), CHOICES, tmp_path / "policy", NOW)
    assert made.plan.left_out == []
    bundle = load(tmp_path / "policy")
    assert bundle.notes == ()
    assert len(bundle.tools) == len(by_name)
    assert made.cases >= 2 * len(by_name), "a permitted case and a near miss for each step"


def test_no_tool_is_read_without_a_reason() -> None:
    """Names of no meaning, in any number, are never called without asking."""
    for name in ("a", "x1", "foo", "zzz_bar", "Q", "_", "42", "tool"):
        (tool,) = drafted(Described(name, {"type": "object", "properties": {}}))
        assert tool.effect != "read" and tool.asks, name


def test_every_argument_of_money_tenant_or_recipient_is_filled_or_asked_about() -> None:
    """Whatever the tool that changes something is called."""
    for argument in ("amount", "total_cents", "tenant_id", "customer", "to", "recipient_email", "iban", "payee"):
        for name in ("update_thing", "create_thing", "save", "set_thing", "frob", "delete_thing"):
            (tool,) = drafted(described({"tool": name, "arguments": {argument: "string"}}))
            assert tool.asks or argument in tool.filled, (name, argument)


def test_one_input_fills_every_argument_of_its_name_and_type() -> None:
    plan = planned(
        Found([
            described({"tool": "get_a", "arguments": {"customer_id": "string"}}),
            described({"tool": "get_b", "arguments": {"customer_id": "string"}}),
            described({"tool": "get_c", "arguments": {"customer_id": "integer"}}),
        ]),
        CHOICES,
    )  # fmt: skip
    assert [tool.filled["customer_id"] for tool in plan.tools] == ["customer_id", "customer_id", "customer_id_2"]
    assert plan.inputs["customer_id_2"][0] == {"type": "integer"}


SHAPES: list[tuple[Any, dict[str, Any], bool]] = [
    ({"type": "string", "title": "T", "description": "d"}, {"type": "string"}, False),
    ({"type": "string", "pattern": "^ORD-[0-9]+$"}, {"type": "string", "pattern": "ORD-[0-9]+"}, False),
    ({"type": "string", "pattern": "ORD"}, {"type": "string", "pattern": r"[\s\S]*ORD[\s\S]*"}, False),
    ({"type": "string", "pattern": "a|b"}, {"type": "string", "pattern": r"[\s\S]*(?:a|b)[\s\S]*"}, False),
    ({"type": "string", "pattern": "^(a|b)$"}, {"type": "string", "pattern": "(a|b)"}, False),
    ({"type": "string", "pattern": "^a|b$"}, {"type": "string"}, False),  # no whole text says the same: left out
    ({"type": "string", "pattern": "(?=a)b"}, {"type": "string"}, False),
    ({"type": "integer", "minimum": 1, "format": "int32"}, {"type": "integer", "minimum": 1}, False),
    ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, {"type": "number", "exclusiveMinimum": 0}, False),
    ({"type": "string", "nullable": True}, {"type": ["string", "null"]}, False),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": ["string", "null"]}, False),
    ({"$ref": "#/$defs/a"}, {"type": "string", "maxLength": 3}, False),
    ({"allOf": [{"$ref": "#/$defs/a"}, {"minLength": 1}]}, {"type": "string", "minLength": 1, "maxLength": 3}, False),
    ({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}, {"type": "string", "maxLength": 3}, False),
    (
        {"allOf": [{"$ref": "#/$defs/o"}], "properties": {"p": {"$ref": "#/$defs/o"}, "q": {"$ref": "#/$defs/a"}}},
        {
            "type": "object",
            "properties": {
                "a": {"type": "string", "maxLength": 3},
                "p": {"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}},
                "q": {"type": "string", "maxLength": 3},
            },
        },
        False,
    ),
    ({"enum": ["a", "b"]}, {"enum": ["a", "b"]}, False),
    ({"const": 5}, {"enum": [5]}, False),
    ({"type": "object"}, {"type": "object", "additionalProperties": True}, True),
    (
        {"properties": {"a": {"type": "string"}}, "required": ["a", "gone"]},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        False,
    ),
    ({"minimum": 5}, {"type": "number", "minimum": 5}, False),
]


@pytest.mark.parametrize(("given", "wanted", "is_open"), SHAPES, ids=lambda part: str(part)[:60])
def test_a_tools_schema_becomes_what_a_policy_can_say(given: Any, wanted: dict[str, Any], is_open: bool) -> None:
    text = {"type": "string", "maxLength": 3}
    shape = shape_of(given, {"$defs": {"a": text, "o": {"type": "object", "properties": {"a": text}}}})
    assert (shape.schema, shape.open) == (wanted, is_open)
    value, is_one = sample(shape.schema)
    assert is_one and fits(shape.schema, value)


OPEN: list[tuple[Any, str]] = [
    (True, "not described"),
    ({}, "not described"),
    ({"$ref": "#/$defs/round"}, "a `$ref` that leads back to itself"),
    ({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/round"}]}, "a `$ref` that leads back to itself"),
    ({"allOf": [{"$ref": "#/$defs/and"}]}, "a `$ref` that leads back to itself"),
    ({"$ref": "https://elsewhere.example/x"}, "a `$ref` that leads nowhere here"),
    ({"$ref": "#/nowhere"}, "a `$ref` that leads nowhere here"),
    ({"$ref": 5}, "a `$ref` that leads nowhere here"),
    ({"type": "odd"}, "no type"),
    ({"description": "no type"}, "no type"),
    ([], "no schema"),
    ("text", "no schema"),
    (None, "no schema"),
    ({"allOf": [5]}, "an `allOf` that is none"),
    ({"type": "object", "patternProperties": {"a": {}}}, "names that nobody listed"),
]


AND = {"$ref": "#/$defs/and"}


@pytest.mark.parametrize(("given", "why"), OPEN, ids=str)
def test_what_is_not_described_is_left_open_and_said_to_be(given: Any, why: str) -> None:
    """An open argument of a step that changes something asks a person."""
    round_ = {"type": "object", "properties": {"n": {"$ref": "#/$defs/round"}}}
    shape = shape_of(given, {"$defs": {"a": {"maxLength": 3}, "round": round_, "and": {"allOf": [AND]}}})
    assert shape.open and why in shape.lost


def test_a_draft_permits_what_its_cases_say_and_nothing_more(tmp_path: Path) -> None:
    """A call of a tool of the draft with an argument more, or to a place nobody listed, is no permit."""
    from agentguard.guard.dry_run import evaluate
    from agentguard.guard.in_force import UsableBundle
    from agentguard.policy.cases import load_cases

    tools = [described(case) for case in CASES if case["tool"] in ("fetch_page", "send_email", "update_payee")][1:]
    write(planned(Found([*{tool.name: tool for tool in tools}.values()]), CHOICES), CHOICES, tmp_path / "p", NOW)
    usable = UsableBundle.of(load(tmp_path / "p"))
    (tmp_path / "p" / "w.cases.yaml").write_text(
        "apiVersion: agentguard/v1\nkind: Cases\nworkflow: w\ncases:\n"
        '  - {name: a, call: {tool: fetch_page, arguments: {page: "https://evil.example/"}}, expect: permit}\n'
        "  - {name: b, call: {tool: send_email, arguments: {to: [a@evil.example]}}, expect: permit}\n"
        "  - {name: c, call: {tool: update_payee, arguments: {iban: GB33BUKB20201555555555, x: 1}}, expect: permit}\n"
    )
    found = [evaluate(usable, case, now=NOW).decision.effect for case in load_cases(tmp_path / "p", usable.bundle)]
    assert found == [Effect.DENY, Effect.ESCALATE, Effect.DENY]


def test_a_saved_answer_to_tools_list_is_read_in_each_of_its_forms(tmp_path: Path) -> None:
    tool = '{"name": "get_x", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}}'
    for number, text in enumerate((f"[{tool}]", f'{{"tools": [{tool}]}}', f'{{"result": {{"tools": [{tool}]}}}}')):
        file = tmp_path / f"{number}.json"
        file.write_text(text)
        assert [(each.name, each.read_only) for each in from_tools_list(file).tools] == [("get_x", True)]
