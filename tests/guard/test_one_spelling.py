"""A destination is compared in one spelling, and the tool gets it as its kind says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentguard import ToolCallDenied
from agentguard.testing import in_memory_guard

SUBJECT = "spiffe://corp.example/agent/a"
ANYWHERE = {"up_to": "secret", "unclassified": "allow"}


def bundle(
    kind: dict[str, Any], require: list[str], *, arguments: dict[str, Any], inputs: dict[str, Any], path: str = "to"
) -> dict[str, str]:
    """One tool, `act`, whose argument leads somewhere, and `look`, whose result is kept."""
    head = {"apiVersion": "agentguard/v1"}
    issuer = {
        "name": "local", "profile": "local", "issuer": "urn:local", "audience": "guard", "max_age": "60s",
        "max_lifetime": "60s", "subjects": [SUBJECT],
    }  # fmt: skip
    act = {"effect": "send", "destinations": [{**kind, "argument": path}]}
    workflow = {
        **head,
        "kind": "Workflow",
        "metadata": {"name": "w", "version": 1, "owner": "o", "purpose": "p", "review_by": "DAY"},
        "subjects": [SUBJECT],
        "inputs": inputs,
        "steps": {
            "look": {"tool": "look", "arguments": {}, "keep": {"places": "result"}},
            "act": {"tool": "act", "arguments": arguments, "require": require, "destinations": ANYWHERE},
        },
    }
    return {
        "trust.yaml": json.dumps({**head, "kind": "Trust", "issuers": [issuer]}),
        "tools.yaml": json.dumps({**head, "kind": "Tools", "tools": {"act": act, "look": {"effect": "read"}}}),
        "w.yaml": json.dumps(workflow).replace('"DAY"', "2029-01-01"),
    }


TEXT = {"type": "string"}
# A kind with its options; a spelling people use; another of the same place; another place.
PLACES: dict[str, tuple[dict[str, Any], Any, Any, Any]] = {
    "email": ({"kind": "email"}, "Jane.Long@Corp.example", "jane.long@corp.example", "jane.short@corp.example"),
    "email, international": ({"kind": "email"}, "Eva@bücher.example", "eva@xn--bcher-kva.example", "eva@x.example"),
    "url": ({"kind": "url"}, "HTTPS://Files.Corp.example:443/A", "https://files.corp.example/A", "https://e.example/"),
    "url, escapes": ({"kind": "url"}, "https://c.example/%7eme", "https://c.example/~me", "https://c.example/~you"),
    "host": ({"kind": "host"}, "DB.Corp.example", "db.corp.example", "db2.corp.example"),
    "ip": ({"kind": "ip"}, "2001:DB8:0::1", "2001:db8::1", "2001:db8::2"),
    "path": ({"kind": "path"}, "/srv//reports/./a.csv", "/srv/reports/a.csv", "/srv/reports/b.csv"),
    "path under a root": ({"kind": "path", "root": "/srv"}, "a.csv", "/srv/a.csv", "b.csv"),
    "iban": ({"kind": "iban"}, "DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "GB82WEST12345698765432"),
}
# Kinds whose arguments conditions see as they came: only the same spelling is the same.
AS_THEY_CAME: dict[str, tuple[dict[str, Any], Any]] = {
    "channel": ({"kind": "channel", "service": "slack"}, "general"),
    "git": ({"kind": "git"}, "https://GitHub.com/Corp/App.git"),
    "dsn": ({"kind": "dsn"}, "postgresql://DB.corp.example/sales"),
    "object": ({"kind": "object"}, "s3://bucket/Key"),
}


def ran(
    kind: dict[str, Any],
    require: list[str],
    value: Any,
    *,
    inputs: dict[str, Any] | None = None,
    kept: Any = "nothing",
    path: str = "to",
    ticket: str | None = None,
) -> list[Any]:
    """What the tool got of one call; nothing where a condition refused it."""
    got: list[Any] = []

    def one(to: str) -> None:
        got.append(to)

    def many(to: list[str]) -> None:
        got.append(to)

    def ticketed(to: str, ticket: str) -> None:
        got.append(to)

    def look() -> Any:
        return kept

    act = ticketed if ticket is not None else many if path == "to[*]" else one
    act.__name__ = "act"
    arguments = {"to": _shape(value)} | ({} if ticket is None else {"ticket": TEXT})
    shapes = {name: _shape(item) for name, item in (inputs or {}).items()}
    with in_memory_guard(bundle(kind, require, arguments=arguments, inputs=shapes, path=path)) as guard:
        looked, acted = guard.wrap([look, act])
        with guard.run("w", inputs=inputs or {}):
            looked()
            try:
                acted(value) if ticket is None else acted(value, ticket)
            except ToolCallDenied:
                found = [record for record in guard.records(kind="decision") if record["tool"] == "act"][-1]
                assert set(found["reasons"]) <= {"condition_false", "condition_failed"}, found
    return got


def _shape(item: Any) -> dict[str, Any]:
    if isinstance(item, list):
        return {"type": "array", "items": TEXT}
    return {"type": "object", "properties": dict.fromkeys(item, TEXT)} if isinstance(item, dict) else TEXT


EQUAL = ["args.to == inputs.to"]


@pytest.mark.parametrize("name", PLACES)
def test_the_place_a_run_was_started_with_is_the_place_that_is_compared(name: str) -> None:
    """In whichever of its spellings trusted code, and the agent, wrote it; and no other place is."""
    kind, one, other, elsewhere = PLACES[name]
    for given in (one, other):
        for called in (one, other):
            assert len(ran(kind, EQUAL, called, inputs={"to": given})) == 1, (given, called)
        assert ran(kind, EQUAL, elsewhere, inputs={"to": given}) == []


@pytest.mark.parametrize("name", AS_THEY_CAME)
def test_a_place_that_conditions_see_as_it_came_equals_itself(name: str) -> None:
    kind, value = AS_THEY_CAME[name]
    assert ran(kind, EQUAL, value, inputs={"to": value}) == [value]


def test_a_mailbox_reaches_the_tool_as_it_was_written() -> None:
    """What stands before the `@` is the mailbox's own business; the other kinds are handed on in one spelling."""
    assert ran({"kind": "email"}, EQUAL, "Jane@Corp.example", inputs={"to": "Jane@Corp.example"}) == [
        "Jane@Corp.example"
    ]
    assert ran({"kind": "url"}, EQUAL, "HTTPS://C.example/", inputs={"to": "HTTPS://C.example/"}) == [
        "https://c.example/"
    ]


@pytest.mark.parametrize("name", PLACES)
def test_a_rule_against_a_place_holds_in_every_spelling(name: str) -> None:
    """Not to the one who asked: another spelling is no way around that."""
    kind, one, other, elsewhere = PLACES[name]
    for given in (one, other):
        for called in (one, other):
            assert ran(kind, ["args.to != inputs.to"], called, inputs={"to": given}) == []
        assert len(ran(kind, ["args.to != inputs.to"], elsewhere, inputs={"to": given})) == 1


@pytest.mark.parametrize("name", PLACES)
def test_a_rule_against_a_place_that_is_written_in_it_holds_in_every_spelling(name: str) -> None:
    """A condition is written in the spelling of the id."""
    kind, one, other, elsewhere = PLACES[name]
    for called in (one, other):
        assert ran(kind, [f"args.to != {json.dumps(other)}"], called) == []
        assert len(ran(kind, [f"args.to == {json.dumps(other)}"], called)) == 1
    assert len(ran(kind, [f"args.to != {json.dumps(other)}"], elsewhere)) == 1


@pytest.mark.parametrize(
    ("require", "inputs"),
    [
        ("args.to in inputs.all", {"all": ["x@corp.example", "Jane@Corp.example"]}),
        ('inputs.owners[args.to] == "dana"', {"owners": {"Jane@Corp.example": "dana"}}),
        ("inputs.all.exists(one, one == args.to)", {"all": ["JANE@corp.example"]}),
        ("destination.id == inputs.to", {"to": "Jane@Corp.example"}),
        ("args.to == inputs.deep.to", {"deep": {"to": "Jane@Corp.example"}}),
    ],
)
def test_places_inside_inputs_are_found(require: str, inputs: dict[str, Any]) -> None:
    assert ran({"kind": "email"}, [require], "Jane@Corp.example", inputs=inputs) == ["Jane@Corp.example"]
    assert ran({"kind": "email"}, [require], "jane@corp.example", inputs=inputs) == ["jane@corp.example"]
    assert ran({"kind": "email"}, [require], "eve@corp.example", inputs=inputs) == []


@pytest.mark.parametrize("kept", ["HTTPS://Wiki.example/A", ["https://x.example/", "HTTPS://Wiki.example/A"]])
def test_what_was_kept_is_compared_in_the_same_spelling(kept: Any) -> None:
    require = "args.to in kept.places" if isinstance(kept, list) else "args.to == kept.places"
    for called in ("HTTPS://Wiki.example/A", "https://wiki.example/A"):
        assert ran({"kind": "url"}, [require], called, kept=kept) == ["https://wiki.example/A"]
    assert ran({"kind": "url"}, [require], "https://wiki.example/a", kept=kept) == []


def test_a_text_as_the_call_has_it_is_found_among_any_number_of_others() -> None:
    """Only a hundred or two are read as addresses; one that is letter for letter the same needs no reading."""
    many = [*(f"page {n}" for n in range(3000)), "HTTPS://W.example/"]
    assert len(ran({"kind": "url"}, ["args.to in kept.places"], "HTTPS://W.example/", kept=many)) == 1


def test_each_of_several_places_is_compared() -> None:
    """One that is not among them is enough to refuse."""
    both = ["Jane@Corp.example", "KIM@corp.example"]
    require = ["args.to.all(one, one in inputs.all)"]
    assert ran({"kind": "email"}, require, both, inputs={"all": both}, path="to[*]") == [both]
    assert ran({"kind": "email"}, require, [*both, "eve@corp.example"], inputs={"all": both}, path="to[*]") == []


def test_what_is_not_compared_with_the_call_stays_as_it_was_given() -> None:
    """A file that is called as the ticket is does not change the ticket."""
    require = [
        'inputs.ticket.startsWith("EXP-")',
        'args.ticket == "EXP-7"',
        "args.ticket == inputs.ticket",
        "args.to == inputs.ticket",
    ]
    file = {"kind": "path", "root": "/srv"}
    assert ran(file, require, "EXP-7", inputs={"ticket": "EXP-7"}, ticket="EXP-7") == ["/srv/EXP-7"]


def test_the_record_has_the_mailbox_as_it_was_written_and_as_it_was_judged() -> None:
    files = bundle({"kind": "email"}, EQUAL, arguments={"to": TEXT}, inputs={"to": TEXT})
    with in_memory_guard(files) as guard:

        def act(to: str) -> str:
            return to

        acted = guard.wrap(act)
        with guard.run("w", inputs={"to": "Jane@Corp.example"}):
            assert acted("Jane@Corp.example") == "Jane@Corp.example"
        record = [found for found in guard.records(kind="decision") if found["effect"] == "permit"][-1]
        assert record["arguments"] == {"to": "Jane@Corp.example"}
        assert [place["id"] for place in record["destinations"]] == ["jane@corp.example"]
