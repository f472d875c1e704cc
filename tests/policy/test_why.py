"""A condition is explained by the part that decided and the values it read; nothing that records must not hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.core.policy import View
from agentguard.policy.cel.conditions import compile_condition
from agentguard.policy.cel.scope import Scope
from agentguard.policy.cel.why import conjuncts, each, quoted
from agentguard.policy.json_schema.shapes import compile_shape

ARGUMENTS: Mapping[str, Any] = {
    "cents": {"type": "integer"},
    "to": {"type": "array", "items": {"type": "string"}},
    "pin": {"type": "string"},
    "card": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]},
    "note": {"type": "string", "optional": True},
}
ARGS: Mapping[str, Any] = {
    "cents": 5_000,
    "to": ["a@x.example", "b@y.example"],
    "pin": "hunter2",
    "card": {"number": "4"},
}
SEEN: Mapping[str, Any] = {
    "args": ARGS,
    "inputs": {"pin": "hunter3", "order": "ORD-1"},
    "kept": {"cents": 4_900},
    "counts": {"refund": 2},
    "claims": {"ref": "main"},
    "risk": "low",
    "now": datetime(2026, 11, 24, 12, tzinfo=UTC),
}
# What a real call may quote: the arguments as its record shows them, and what is in the record anyway.
RECORDED: Mapping[str, Any] = {
    "args": {**ARGS, "pin": "[redacted]", "card": {"number": "[redacted]"}},
    "counts": {"refund": 2},
    "risk": "low",
}
# What an imagined call may quote besides: its owner wrote it.
IMAGINED: Mapping[str, Any] = {**RECORDED, "inputs": SEEN["inputs"], "kept": SEEN["kept"], "claims": SEEN["claims"]}


def explained(text: str, quotable: Mapping[str, Any] = RECORDED) -> str:
    arguments, _ = compile_shape(ARGUMENTS)
    inputs, _ = compile_shape({"pin": {"type": "string"}, "order": {"type": "string"}})
    assert arguments is not None and inputs is not None
    scope = Scope.make(
        arguments=arguments.schema, inputs=inputs.schema, kept=["cents", "gone"], origins=[], steps=("refund",),
        subjects=["a"], has_destinations=False,
    )  # fmt: skip
    return compile_condition(text, scope, "condition 2 of `refund`, refund.yaml:32").explain(View(SEEN), quotable)


PLACE = " (condition 2 of `refund`, refund.yaml:32)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("args.cents == 4", "`args.cents == 4` is false: args.cents is 5000"),
        ("args.cents > 1 && args.cents == 4", "`args.cents == 4` is false: args.cents is 5000"),
        ("(args.cents > 1 && (args.cents == 4)) && risk == 'low'", "`args.cents == 4` is false: args.cents is 5000"),
        (
            "args.cents < 4 || risk == 'high'",
            "`args.cents < 4 || risk == 'high'` is false: args.cents is 5000, risk is \"low\"",
        ),
        (
            "args.cents > 1 && inputs.order == 'a && b'",
            "`inputs.order == 'a && b'` is false: inputs.order is not recorded",
        ),
        (
            "args.cents == kept.cents",
            "`args.cents == kept.cents` is false: args.cents is 5000, kept.cents is not recorded",
        ),
        ("counts.refund == 0", "`counts.refund == 0` is false: counts.refund is 2"),
        (
            "args.to.all(x, x.endsWith('@x.example'))",
            "`args.to.all(x, x.endsWith('@x.example'))` is false of element 1 (\"b@y.example\"): "
            'args.to is ["a@x.example", "b@y.example"]',
        ),
        (
            "args.cents > 1 && args.note == 'x'",
            "`args.note == 'x'` cannot be worked out: `note` is missing",
        ),
        (
            "max([args.cents, kept.cents * 1.5]) > 1.0",
            "`max([args.cents, kept.cents * 1.5]) > 1.0` cannot be worked out: a whole number and a number with "
            "decimals do not go together; write `double(...)` around each: args.cents is 5000, kept.cents is not "
            "recorded",
        ),
        (
            "max([args.cents, kept.gone + 1]) > 1",
            "`max([args.cents, kept.gone + 1]) > 1` cannot be worked out: `gone` is missing",
        ),
        ("args.cents > 1000", "`args.cents > 1000` is true: args.cents is 5000"),
        ("kept.gone == 1 && args.cents == 4", "`args.cents == 4` is false: args.cents is 5000"),
    ],
)
def test_the_part_that_decided_comes_first_with_its_values_then_its_place(text: str, said: str) -> None:
    """Whoever reads it looks for what to change, not for the source, which stands in the file."""
    assert explained(text) == said + PLACE


@pytest.mark.parametrize(
    "text",
    [
        "args.pin == inputs.pin",
        "args.pin == inputs.pin && args.cents > 1",
        "size(args.pin) > 20",
        "args.card.number == '5'",
        "args.card == {'number': '5'}",
        "[args.pin].all(x, x == 'a')",
        "args.pin.startsWith(inputs.pin)",
        "args.pin in [inputs.pin, inputs.order]",
    ],
)
@pytest.mark.parametrize("quotable", [RECORDED, IMAGINED], ids=["recorded", "imagined"])
def test_a_declared_secret_is_never_quoted_nor_what_it_is_compared_with(text: str, quotable: Mapping[str, Any]) -> None:
    """A finding is read by more people than the secret is for."""
    said = explained(text, quotable)
    assert "hunter" not in said and "is false" in said
    assert "a secret" in said or "[redacted]" in said


@pytest.mark.parametrize("text", ["args.cents == kept.cents", "inputs.order == 'x'", "claims.ref == 'x'"])
def test_what_no_record_holds_is_quoted_of_imagined_calls_alone(text: str) -> None:
    """Inputs, kept values and claims are private; a case's owner wrote them."""
    values = ("4900", "ORD-1", '"main"')
    assert not any(value in explained(text) for value in values)
    assert any(value in explained(text, IMAGINED) for value in values)


def test_a_long_condition_and_long_values_are_cut() -> None:
    """A finding is one line; 1,300 characters of source explain nothing."""
    many = " && ".join(f"args.cents != {number}" for number in range(150))
    assert explained(f"{many} && args.cents == 1") == "`args.cents == 1` is false: args.cents is 5000" + PLACE
    either = " || ".join(f"args.cents == {number}" for number in range(150))
    assert len(explained(either)) < 400
    assert len(quoted("x" * 10_000)) < 100
    assert len(quoted([["x" * 1_000] * 1_000] * 1_000)) < 400
    assert len(quoted({f"k{n}": {"a": "x" * 1_000} for n in range(1_000)})) < 400


@given(st.text())
def test_a_quoted_text_is_one_printable_line(text: str) -> None:
    """What a model wrote is read on a terminal."""
    assert quoted(text).isprintable()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a && b", ["a", "b"]),
        ("a && (b && c)", ["a", "b", "c"]),
        ("a && (b || c)", ["a", "b || c"]),
        ("a || b && c", ["a || b && c"]),
        ("a ? b && c : d", ["a ? b && c : d"]),
        ('x == "a && b" && c', ['x == "a && b"', "c"]),
        ("x == 'it\\'s && so' && c", ["x == 'it\\'s && so'", "c"]),
        ("x == r'a\\' && c", ["x == r'a\\'", "c"]),
        ("x == r'a\\' && c == '&& d'", ["x == r'a\\'", "c == '&& d'"]),
        ('x == """a"b && c""" && d', ['x == """a"b && c"""', "d"]),
        ("f(a && b) && c[d && e]", ["f(a && b)", "c[d && e]"]),
        ("(a) && (b)", ["a", "b"]),
        ("((a && b))", ["a", "b"]),
    ],
)
def test_a_condition_falls_into_the_parts_that_must_all_be_true(text: str, parts: list[str]) -> None:
    """By signs outside of brackets and texts; what is not a row of `&&` stays whole."""
    assert conjuncts(text) == tuple(parts)


@given(st.text(alphabet="ab&|?()[]{}'\"\\ rx.,"))
def test_no_text_breaks_the_reading(text: str) -> None:
    """Whatever it is, it was a condition that compiled; reading it never raises and loses nothing."""
    parts = conjuncts(text)
    assert all(part in text for part in parts)
    each(text)
