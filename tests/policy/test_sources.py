"""`from:` and `origins`: loaded strictly, and what a workflow then follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agentguard.core.paths import EVERY
from agentguard.errors import PolicyError
from agentguard.policy import load

from .conftest import FILES

Bundle = Callable[..., Path]
TOOLS = FILES["tools.yaml"]
WORKFLOW = FILES["customer-export.yaml"]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """The good bundle with one text of a file replaced."""
    from textwrap import dedent

    def make(*changes: tuple[str, str, str]) -> Path:
        for name, text in FILES.items():
            for file, old, new in changes:
                if file == name:
                    assert old in text
                    text = text.replace(old, new)
            (tmp_path / name).write_text(dedent(text))
        return tmp_path

    return make


TABLE = "table: {type: string}"


def table(source: str, rest: str = "type: string") -> tuple[str, str, str]:
    return "customer-export.yaml", TABLE, f"table: {{{rest}, from: {source}}}"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("inputs", {"inputs"}),
        ("inputs.ticket", {"inputs.ticket"}),
        ("kept.tables", {"kept.tables"}),
        ("tickets.get", {"tickets.get"}),
        ("[inputs, kept.tables, tickets.get]", {"inputs", "kept.tables", "tickets.get"}),
    ],
)
def test_the_words_of_from(bundle: Bundle, source: str, words: set[str]) -> None:
    workflow = load(bundle(table(source))).policy.workflows["customer-export"]

    assert workflow.steps[1].sources == {("table",): frozenset(words)}
    assert workflow.follows


def test_catalog_is_for_destinations(bundle: Bundle) -> None:
    found = load(bundle(("customer-export.yaml", "target: {type: string}", "target: {type: string, from: catalog}")))

    assert found.policy.workflows["customer-export"].steps[1].sources == {("target",): frozenset({"catalog"})}


@pytest.mark.parametrize(
    ("source", "rest", "said"),
    [
        ("ticket.get", "type: string", "no source `ticket.get`; did you mean `tickets.get`?"),
        ("kept.table", "type: string", "no source `kept.table`; did you mean `kept.tables`?"),
        ("inputs.tickt", "type: string", "no source `inputs.tickt`; did you mean `inputs.ticket`?"),
        ("input", "type: string", "no source `input`; did you mean `inputs`?"),
        ("untrusted", "type: string", "no source `untrusted`"),
        ("look-up", "type: string", "no source `look-up`; did you mean `tickets.get`?"),
        ("get_ticket", "type: string", "no source `get_ticket`; did you mean `tickets.get`?"),
        ("catalog", "type: string", "declares no destination whose `argument` is `table`"),
        ("[]", "type: string", "expected `inputs`"),
        ("7", "type: string", "expected `inputs`"),
        ("[7]", "type: string", "expected `inputs`"),
        ("[inputs, inputs]", "type: string", "listed twice"),
        ("inputs", "type: boolean", "comes from nowhere"),
        ("inputs", "type: [string, 'null']", "comes from nowhere"),
        ("inputs", "type: array, items: {type: boolean}", "comes from nowhere"),
        ("inputs", "anyOf: [{type: string}, {type: 'null'}]", "comes from nowhere"),
        ("inputs", "type: object, additionalProperties: {type: string}", "names of an open object"),
        ("inputs", "type: array, items: {type: object, additionalProperties: true}", "names of an open object"),
    ],
)
def test_a_from_that_cannot_be_meant_is_refused_with_its_line(
    bundle: Bundle, source: str, rest: str, said: str
) -> None:
    """A word that means nothing would refuse every call, or pass every value."""
    directory = bundle(table(source, rest))
    with pytest.raises(PolicyError) as refused:
        load(directory)

    lines = (directory / "customer-export.yaml").read_text().splitlines()
    (problem,) = [each for each in refused.value.problems if "table.from" in each.message]
    assert said in problem.message
    assert "from:" in lines[problem.line - 1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ticket: {type: string", "ticket: {from: inputs, type: string"),
        (TABLE, "table: {anyOf: [{type: string, from: inputs}, {type: integer}]}"),
        (TABLE, "table: {type: array, items: {anyOf: [{type: string, from: inputs}]}}"),
    ],
)
def test_from_stands_in_an_argument_of_a_step_and_in_no_alternative(bundle: Bundle, old: str, new: str) -> None:
    with pytest.raises(PolicyError, match="`from` is not used here"):
        load(bundle(("customer-export.yaml", old, new)))


ATTACHED = (
    "table: {type: array, items: {type: object, required: [type, file_id], properties: "
    "{type: {const: file}, file_id: {type: string, from: SOURCE}}}}"
)


def attached(source: str) -> tuple[str, str, str]:
    return "customer-export.yaml", TABLE, ATTACHED.replace("SOURCE", source)


@pytest.mark.parametrize(
    ("written", "places"),
    [
        (ATTACHED.replace("SOURCE", "'kept.tables[*]'"), {("table", EVERY, "file_id"): {"@kept.tables[*]"}}),
        ("table: {type: array, items: {type: string, from: inputs}}", {("table", EVERY): {"inputs"}}),
        (
            "table: {type: object, properties: {from: {type: string, from: inputs}, "
            "to: {type: string, from: catalog}}}",
            {("table", "from"): {"inputs"}, ("table", "to"): {"catalog"}},
        ),
    ],
)
def test_from_may_stand_below_items_and_properties(
    bundle: Bundle, written: str, places: dict[tuple[object, ...], set[str]]
) -> None:
    """Of `{type: file, file_id: "7"}` only the id comes from somewhere; the other members have schemas of their own."""
    listed = ("tools.yaml", "{argument: target, kind: url}", "{argument: table.to, kind: url}")
    found = load(bundle(("customer-export.yaml", TABLE, written), *([listed] if "catalog" in written else [])))
    workflow = found.policy.workflows["customer-export"]

    assert workflow.steps[1].sources == {place: frozenset(words) for place, words in places.items()}
    assert workflow.places.keys() == {word for words in places.values() for word in words if word.startswith("@")}
    assert workflow.follows


@pytest.mark.parametrize(
    ("written", "at", "said"),
    [
        (ATTACHED.replace("SOURCE", "kept.table"), "table[*].file_id.from", "did you mean `kept.tables`?"),
        (ATTACHED.replace("SOURCE", "catalog"), "table[*].file_id.from", "`argument` is `table[*].file_id`"),
        (ATTACHED.replace("SOURCE", "[]"), "table[*].file_id.from", "expected `inputs`"),
        ("table: {type: array, items: {type: boolean, from: inputs}}", "table[*].from", "comes from nowhere"),
        (
            "table: {type: array, from: inputs, items: {type: string, from: kept.tables}}",
            "table.from",
            "another `from` stands below it",
        ),
    ],
)
def test_a_from_below_an_argument_that_cannot_be_meant_is_refused_with_its_line(
    bundle: Bundle, written: str, at: str, said: str
) -> None:
    directory = bundle(("customer-export.yaml", TABLE, written))
    with pytest.raises(PolicyError) as refused:
        load(directory)

    lines = (directory / "customer-export.yaml").read_text().splitlines()
    (problem,) = [each for each in refused.value.problems if f"{at}:" in each.message]
    assert said in problem.message
    assert "from:" in lines[problem.line - 1]


def test_a_workflow_follows_values_only_where_something_asks(bundle: Bundle) -> None:
    """Following costs time and memory."""
    plain = ("tools.yaml", "untrusted_results: [body]", "untrusted_results: []")

    assert load(bundle()).policy.workflows["customer-export"].follows, "a tool of it declares untrusted results"
    assert not load(bundle(plain)).policy.workflows["customer-export"].follows
    assert load(bundle(plain, table("inputs"))).policy.workflows["customer-export"].follows


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("- args.table in kept.tables", "- '!(\"untrusted\" in origins.table)'"),
        ("when: args.rows > 1000", "when: '\"unknown\" in origins.rows'"),
        ("sum: args.rows", "sum: '\"inputs\" in origins.rows ? args.rows : 1000'"),
    ],
)
def test_whatever_asks_for_origins_is_told(bundle: Bundle, old: str, new: str) -> None:
    plain = ("tools.yaml", "untrusted_results: [body]", "untrusted_results: []")
    step = load(bundle(plain, ("customer-export.yaml", old, new))).policy.workflows["customer-export"].steps[1]

    assert {"table", "rows"} <= step.traced


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ('"ticket.get" in origins.table', 'never "ticket.get"; did you mean `tickets.get`?'),
        ('"inputs" in origins.tabel', "there is no `origins.tabel`; did you mean `table`?"),
        ('"untrusted:tickets.get" in origins.table', "never"),
        ('origins.table == "inputs"', "does not go with a list and text"),
    ],
)
def test_a_condition_on_origins_is_checked_when_the_bundle_loads(bundle: Bundle, condition: str, said: str) -> None:
    with pytest.raises(PolicyError) as refused:
        load(bundle(("customer-export.yaml", "- args.table in kept.tables", f"- '{condition}'")))

    assert said in str(refused.value)


def test_a_tool_cannot_be_called_like_another_source(bundle: Bundle) -> None:
    """`from: kept.tables` must mean one thing."""
    changes = [
        ("tools.yaml", "tickets.get:", "kept.tables:"),
        ("customer-export.yaml", "tool: tickets.get", "tool: kept.tables"),
    ]
    with pytest.raises(PolicyError, match=r"no tool can be called `kept\.tables`"):
        load(bundle(*changes))
