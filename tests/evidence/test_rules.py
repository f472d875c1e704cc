"""What may be taken from traffic, and what never: each rule by cases, and its near misses."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentguard.cli import bundles
from agentguard.errors import ConfigurationError
from agentguard.evidence.learn.arguments import visible
from agentguard.evidence.learn.bundle import Drafted, Wanted, draft
from agentguard.evidence.traffic import PastCall, PastRun, Ran

TRUST = """apiVersion: agentguard/v1
kind: Trust
issuers:
  - {name: local, profile: local, issuer: urn:agentguard:local, audience: agentguard, max_age: 60s, max_lifetime: 60s,
     subjects: ["spiffe://corp.example/agent/desk"]}
---
apiVersion: agentguard/v1
kind: Tools
tools:
  find: {effect: read}
  mail: {effect: read, untrusted_results: ["[*].body"]}
  send: {effect: send, secrets: [pin, shelf]}
  fetch: {effect: read, destinations: [{kind: url, argument: url}]}
  post: {effect: send, destinations: [{kind: url, argument: url}]}
---
apiVersion: agentguard/v1
kind: Destinations
destinations:
  - {kind: url, pattern: "https://in.corp.example/*", sensitivity: internal}
---
apiVersion: agentguard/v1
kind: Workflow
metadata: {name: other, version: 1, owner: me, review_by: 2099-12-31}
subjects: ["spiffe://corp.example/agent/desk"]
steps: {find: {tool: find, arguments: {}}}
"""


def run(number: int, *calls: tuple[str, dict[str, Any], dict[str, tuple[str, ...]]], **given: Any) -> PastRun:
    """One run of calls that all succeeded."""
    made = [PastCall(tool, arguments, Ran.SUCCEEDED, seen_in=seen) for tool, arguments, seen in calls]
    return PastRun(f"r{number}", "desk", requester=f"user:{number % 3}", inputs=given, calls=made)


def learnt(folder: Path, runs: list[PastRun], *, hold_back: float = 0) -> tuple[Drafted, dict[str, Any], str]:
    """The draft, its workflow as data, and as text."""
    base = folder / "base"
    base.mkdir()
    (base / "base.yaml").write_text(TRUST, "utf-8")
    wanted = Wanted("desk", "olga", ["anyone"], [], hold_back, date(2026, 12, 1))
    made = draft(runs, bundles.load(base), folder / "draft", wanted, bundles.load)
    text = (folder / "draft" / "desk.yaml").read_text("utf-8")
    return made, yaml.safe_load(text), text


Where = dict[str, tuple[str, ...]]
CONSTANTS: list[tuple[str, list[Any]]] = [
    ("one word", ["closed"]),
    ("two words", ["open", "closed"]),
    ("a number", [100]),
    ("numbers", [1, 2, 3, 4]),
    ("an address", ["ann@corp.example"]),
    ("a form", ["EXP-1", "EXP-2", "EXP-3"]),
    ("yes", [True]),
    ("a list", [["ann@corp.example"]]),
    ("an object", [{"to": "ann"}]),
]


@pytest.mark.parametrize(("name", "values"), CONSTANTS, ids=[case[0] for case in CONSTANTS])
def test_no_constant_and_no_bound_of_a_sending_step_is_taken_from_traffic(
    tmp_path: Path, name: str, values: list[Any]
) -> None:
    """It stands as a question for an owner, and a person is asked at each call until he has answered."""
    made, data, text = learnt(tmp_path, [run(n, ("send", {"to": values[n % len(values)]}, {})) for n in range(30)])
    step = data["steps"]["send"]
    words = {"enum", "const", "minimum", "maximum", "pattern", "from", "fill", "maxItems", "maxLength", "format"}
    assert words.isdisjoint(step["arguments"]["to"]), step
    assert step["approval"]["from"] == ["anyone"] and "when" not in step["approval"]
    assert any(question.startswith("`to`:") for question in made.workflow.steps[0].questions)
    assert "OWNER" in text


@pytest.mark.parametrize(
    ("places", "asked"),
    [
        (("inputs.payee",), False),
        (("find[*].iban",), False),
        (("~mail",), True),
        (("~mail[*].body",), True),
        (("send.iban",), True),
        ((), True),
    ],
)
def test_a_sending_step_runs_without_a_person_only_where_its_values_have_a_source(
    tmp_path: Path, places: tuple[str, ...], asked: bool
) -> None:
    """An input, or a clean field of what a reading tool returned; nothing that outsiders write, and no tool's echo."""
    runs = [run(n, ("find", {}, {}), ("send", {"to": f"DE{n}"}, {"to": places}), payee=f"DE{n}") for n in range(30)]
    _, data, _ = learnt(tmp_path, runs)
    assert ("approval" in data["steps"]["send"]) is asked


def test_a_source_that_few_values_tell_apart_is_none(tmp_path: Path) -> None:
    """Two values may stand somewhere by chance; three differ."""
    runs = [run(n, ("find", {}, {}), ("send", {"to": f"DE{n % 2}"}, {"to": ("find.x",)})) for n in range(30)]
    _, data, _ = learnt(tmp_path, runs)
    assert "from" not in data["steps"]["send"]["arguments"]["to"]


SECRETS = [
    "[redacted]",
    "[personal]",
    "sk-proj-abcdefghij1234567890",
    "ghp_abcdefghijklmnopqrstuvwxyz012345",
    "https://ann:hunter2hunter2@corp.example/",
    "https://corp.example/?token=abcdefgh12345678",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefgh",
    "-----BEGIN RSA PRIVATE KEY-----",
    "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_secret_is_not_looked_at(secret: str) -> None:
    """By its shape, wherever in a value it stands."""
    assert not visible(secret)
    assert not visible({"a": [{"b": secret}]})
    assert not visible({secret: 1})


@pytest.mark.parametrize(
    "plain", ["EXP-7", "DE02100100100006820101", "ann@corp.example", "https://corp.example/a?b=c", 7]
)
def test_what_is_no_secret_is(plain: Any) -> None:
    """Or nothing would be learnt."""
    assert visible(plain)


@pytest.mark.parametrize(
    ("tool", "name", "value"),
    [
        ("send", "pin", "1234"),
        ("send", "shelf", "1234"),
        ("send", "api_key", "plainword"),
        ("find", "password", "hunter2"),
        *(("find", "word", secret) for secret in SECRETS[2:]),
    ],
)
def test_no_secret_enters_a_draft(tmp_path: Path, tool: str, name: str, value: str) -> None:
    """By Tools, by the argument's name, and by its shape; neither as a word of the policy nor in a comment."""
    made, data, text = learnt(
        tmp_path, [run(n, (tool, {name: value}, {name: ("inputs.x",)}), x=value) for n in range(30)]
    )
    assert value not in text and json.dumps(value)[1:-1] not in text
    assert set(data["steps"][tool]["arguments"][name]) <= {"type", "optional"}
    assert any(name in question for question in made.workflow.steps[0].questions)


def test_hostile_words_in_traffic_are_shown_as_text_and_end_no_line(tmp_path: Path) -> None:
    """A value that would write policy, or imitate a comment of ours, is one escaped text in a comment."""
    evil = "x\n    approval: null  # OWNER: answered\u202e"
    _, data, text = learnt(tmp_path, [run(n, ("send", {"to": evil}, {})) for n in range(30)])
    assert "approval" in data["steps"]["send"]
    assert "\u202e" not in text
    assert all(not line.strip().startswith("approval: null") for line in text.splitlines())


def test_rare_calls_are_left_out_and_listed(tmp_path: Path) -> None:
    """Once in thirty runs is no habit; twice in thirty is."""
    runs = [run(n, ("find", {}, {}), *[("mail", {}, {})] * (n < 1)) for n in range(30)]
    made, data, text = learnt(tmp_path, runs)
    assert set(data["steps"]) == {"find"}
    assert made.workflow.left_out == {"mail": "called in 1 of 30 runs"}
    assert "left out: mail" in text


def test_a_tool_that_nobody_declared_is_left_out_and_listed(tmp_path: Path) -> None:
    """A draft names no tool that the bundle does not know."""
    made, _, _ = learnt(tmp_path, [run(n, ("find", {}, {}), ("rm", {}, {})) for n in range(30)])
    assert made.workflow.left_out == {"rm": "not in Tools; called in 30 of 30 runs"}


def test_calls_that_failed_teach_nothing(tmp_path: Path) -> None:
    """A mistake is no part of the work."""
    runs = [run(n, ("find", {"id": n}, {"id": ("inputs.id",)}), id=n) for n in range(30)]
    for each in runs:
        each.calls.insert(0, PastCall("find", {"id": "wrong"}, Ran.FAILED, seen_in={}))
        each.calls.insert(0, PastCall("mail", {}, Ran.FAILED, seen_in={}))
    _, data, _ = learnt(tmp_path, runs)
    assert data["steps"]["find"]["arguments"] == {"id": {"type": "integer", "from": "inputs.id"}}
    assert "mail" not in data["steps"]


def test_reading_steps_take_words_bounds_and_forms_from_traffic(tmp_path: Path) -> None:
    """They only read; each line says how many runs stand behind it."""
    runs = [
        run(n, ("find", {"kind": ("a", "b")[n % 2], "n": n % 7, "id": f"EXP-{n}", "note": None}, {})) for n in range(30)
    ]
    _, data, text = learnt(tmp_path, runs)
    assert data["steps"]["find"]["arguments"] == {
        "kind": {"type": "string", "enum": ["a", "b"]},
        "n": {"type": "integer", "minimum": 0, "maximum": 20},
        "id": {"type": "string", "pattern": "EXP-[0-9]+"},
        "note": {"type": "null"},
    }
    assert "2 words in 30 runs" in text and "0 to 6 in 30 runs" in text


@pytest.mark.parametrize(
    ("lists", "wanted"),
    [
        ([["a", "b"]], {"type": "string", "enum": ["a", "b"]}),
        ([["a"], ["b"]], {"type": "string", "enum": ["a", "b"]}),
        ([["a"], [1]], None),
    ],
)
def test_lists_of_a_few_words_are_lists_of_those(tmp_path: Path, lists: list[Any], wanted: Any) -> None:
    """For a tool that reads; of mixed things nobody knows what another one would be."""
    _, data, _ = learnt(tmp_path, [run(n, ("find", {"names": lists[n % len(lists)]}, {})) for n in range(30)])
    step = data["steps"]["find"]
    assert ("approval" in step) is (wanted is None)
    assert wanted is None or (step["arguments"]["names"]["items"], step["arguments"]["names"]["maxItems"]) == (
        wanted,
        2,
    )


LOOKED_FOR: list[tuple[str, str, Any, bool]] = [
    ("a text", "city", "Town {n} by the sea", False),
    ("several", "hotel_names", ["Hotel {n}", "Inn {n}x"], False),
    ("near miss: by it something of somebody is found", "account", "acct of {n} x", True),
    ("near miss: a number by name", "file_id", "x{n}y", True),
    ("near miss: a place", "path", "/home/{n}/a", True),
    ("near miss: a tool that does more", "city", "Town {n} by the sea", True),
    ("near miss: no text", "city", {"name": "Town {n}"}, True),
]


def numbered(value: Any, n: int) -> Any:
    """The value with this number in it, spelt so that it has no form."""
    if isinstance(value, list):
        return [numbered(item, n) for item in value]
    if isinstance(value, dict):
        return {key: numbered(item, n) for key, item in value.items()}
    return value.replace("{n}", "abcdefghij"[n % 10] * (n // 10 + 1))


@pytest.mark.parametrize(("case", "name", "value", "asked"), LOOKED_FOR, ids=[case[0] for case in LOOKED_FOR])
def test_what_a_reading_tool_looks_for_may_be_another_text_each_time(
    tmp_path: Path, case: str, name: str, value: Any, asked: bool
) -> None:
    """Nobody is asked at each look for a town; whose thing it is, and what changes something, is asked."""
    tool = "send" if case.endswith("more") else "find"
    _, data, _ = learnt(tmp_path, [run(n, (tool, {name: numbered(value, n)}, {})) for n in range(30)])
    assert ("approval" in data["steps"][tool]) is asked
    if not asked:
        said = data["steps"][tool]["arguments"][name]
        assert said.get("items", said)["maxLength"] == 100


TEXTS: list[tuple[str, Any, Any, bool]] = [
    ("no address", lambda n: "all is well", {"links": "none", "addresses": "none"}, False),
    ("the address that the run was given", lambda n: f"p{n}@corp.example is away",
     {"links": "none", "addresses": {"from": "inputs.mail"}}, False),
    ("the link that the run was given", lambda n: f"see https://corp.example/{n} for more",
     {"links": {"from": "inputs.page"}, "addresses": "none"}, False),
    ("an address from nowhere", lambda n: f"q{n}@corp.example is away", {"links": "none"}, True),
    ("a link from nowhere", lambda n: "see https://evil.example/", {"addresses": "none"}, True),
    ("near miss: few write one", lambda n: "see https://evil.example/" if n < 6 else "well",
     {"links": "none", "addresses": "none"}, False),
    ("near miss: one in ten from elsewhere", lambda n: f"p{n if n % 10 else 99}@corp.example",
     {"links": "none"}, True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words", "asked"), [case[1:] for case in TEXTS], ids=[case[0] for case in TEXTS])
def test_what_a_free_text_may_carry_is_what_the_run_was_given_or_an_owners_to_say(
    tmp_path: Path, text: Any, words: dict[str, Any], asked: bool
) -> None:
    """Refusing what everybody writes would refuse the work; permitting it would let anybody's link through."""
    runs = []
    for n in range(1, 31):
        given = {"mail": f"p{n}@corp.example", "page": f"https://corp.example/{n}"}
        runs.append(run(n, ("send", {"to": given["mail"], "body": text(n)}, {"to": ("inputs.mail",)}), **given))
    made, data, _ = learnt(tmp_path, runs)
    step = data["steps"]["send"]
    said = step["arguments"]["body"]
    assert {word: said[word] for word in ("links", "addresses") if word in said} == words
    assert ("approval" in step) is asked
    assert any(question.startswith("`body`: links") for question in made.workflow.steps[0].questions) is asked


def orders(count: int, looked_up: int = 1) -> list[PastRun]:
    """Runs that look orders up, and pay what the last one says to the account that it says."""
    runs = []
    for n in range(count):
        looks = [("find", {"id": f"{n}-{k}"}, {"id": ("inputs.ids[*]",)}) for k in range(looked_up)]
        seen = {"to": ("find.iban",), "amount": ("find.total",)}
        runs.append(run(n, *looks, ("send", {"to": f"DE{n}", "amount": n + 0.5}, seen), ids=[]))
    return runs


def test_what_one_call_returned_is_drafted_as_one(tmp_path: Path) -> None:
    """The account of one order and the total of another: keeping the result ties them. No record says what would have
    been kept, so it is a comment until an owner makes it a line; and then it loads."""
    made, data, text = learnt(tmp_path, orders(30))
    assert data["steps"]["send"]["arguments"]["amount"] == {"type": "number", "from": "find.total"}
    assert "`to`, `amount` came from one call of find (30 of 30 runs looked one thing up before)" in text
    assert "`keep: {find: result}`" in text and "# from: kept.find.iban, from: kept.find.total" in text
    (sending,) = [step for step in made.workflow.steps if step.tool == "send"]
    assert [dict(each.paths) for each in sending.together] == [{"to": ".iban", "amount": ".total"}]
    file = tmp_path / "draft" / "desk.yaml"
    taken = text.replace("from: find.iban", "from: kept.find.iban").replace("from: find.total", "from: kept.find.total")
    file.write_text(taken.replace("    tool: find\n", "    tool: find\n    keep: {find: result}\n"), "utf-8")
    bundles.load(tmp_path / "draft")


def test_where_several_things_are_looked_up_nothing_is_tied_together(tmp_path: Path) -> None:
    """A near miss: the last one that was looked up need not be the one."""
    made, _, text = learnt(tmp_path, orders(30, looked_up=2))
    assert all(step.together == [] for step in made.workflow.steps) and "came from one call" not in text


def paying(n: int, times: int, amount: float | None = None) -> PastRun:
    """A run that pays so many payees that it was given."""
    given = {"to": ("inputs.all[*]",), "amount": ("inputs.sums[*]",)}
    calls = [("send", {"to": f"DE{n}{k}", "amount": amount or n + 1.5}, given) for k in range(times)]
    return run(n, *calls, all=[], sums=[])


def test_a_limit_of_what_a_run_moves_has_room_and_says_that_it_is_drafted(tmp_path: Path) -> None:
    """Twice of what was ever needed at least; what a day is worth is shown, and no line."""
    _, data, text = learnt(tmp_path, [paying(n, 3) for n in range(30)])
    assert data["budgets"] == {
        "send-amount": {"sum": "args.amount", "of": "send", "at_most": 200, "per": "run"},
    }
    assert "# drafted; OWNER: at most 91.5 in one run, and 1440 on one of 1 day" in text


@pytest.mark.parametrize(("times", "amount"), [(1, None), (3, -4.0), (3, 1.23456789)])
def test_no_limit_is_drafted_that_says_nothing_or_would_refuse_what_was_done(
    tmp_path: Path, times: int, amount: float | None
) -> None:
    """One call a run is bounded by its source; of an amount that a budget cannot add up there is no budget."""
    _, data, text = learnt(tmp_path, [paying(n, times, amount) for n in range(30)])
    assert "budgets" not in data
    assert ("A limit for all runs of a day:" in text) is (times == 1)


@pytest.mark.parametrize(
    ("tool", "url", "asked"),
    [
        ("post", "https://in.corp.example/a", True),
        ("post", "https://evil.example/a", True),
        ("fetch", "https://evil.example/a", True),
    ],
)
def test_where_a_step_may_reach_is_an_owners_to_say(tmp_path: Path, tool: str, url: str, asked: bool) -> None:
    """A place that the catalog lists is no more than that: listed."""
    _, data, _ = learnt(tmp_path, [run(n, (tool, {"url": f"{url}{n}"}, {})) for n in range(30)])
    step = data["steps"][tool]
    assert ("approval" in step) is asked
    assert step["destinations"]["up_to"] in ("public", "internal")
    # Who is asked sees a place that nobody listed, and may agree to it; else every call would be refused.
    assert ("unclassified" in step["destinations"]) is ("evil" in url)


def test_a_place_that_the_run_was_given_needs_no_person(tmp_path: Path) -> None:
    """Trusted code said it; how far it reaches is what the catalog says of it."""
    runs = [
        run(
            n,
            ("post", {"url": f"https://in.corp.example/{n}"}, {"url": ("inputs.to",)}),
            to=f"https://in.corp.example/{n}",
        )
        for n in range(30)
    ]
    _, data, _ = learnt(tmp_path, runs)
    assert data["steps"]["post"]["destinations"] == {"up_to": "internal"}
    assert "approval" not in data["steps"]["post"]


def test_whose_a_draft_is_and_who_is_asked_is_taken_from_the_bundle_where_nobody_says(tmp_path: Path) -> None:
    """What `agentguard init` was told once need not be said again; what is said counts."""
    base = tmp_path / "base"
    base.mkdir()
    mine = "find: {tool: find, arguments: {}, approval: {from: ['user:zoe'], within: 1h}}"
    (base / "base.yaml").write_text(TRUST.replace("name: other", "name: desk").replace(
        "find: {tool: find, arguments: {}}", mine), "utf-8")  # fmt: skip
    runs = [run(n, ("send", {"to": f"x{n}"}, {})) for n in range(10)]
    for name, wanted, said in (
        ("a", Wanted("desk", None, [], [], 0, date(2026, 12, 1)), ("me", ["user:zoe"])),
        ("b", Wanted("desk", "olga", ["user:ann"], [], 0, date(2026, 12, 1)), ("olga", ["user:ann"])),
        ("c", Wanted("new", None, [], [], 0, date(2026, 12, 1)), ("nobody-yet", ["anyone"])),
    ):
        draft(runs, bundles.load(base), tmp_path / name, wanted, bundles.load)
        file = next(f for f in (tmp_path / name).glob("*.yaml") if f.name.startswith(wanted.name))
        data = yaml.safe_load(file.read_text("utf-8"))
        assert (data["metadata"]["owner"], data["steps"]["send"]["approval"]["from"]) == said


def test_a_step_keeps_the_name_that_the_bundle_gave_it(tmp_path: Path) -> None:
    """So that a comparison with the workflow in force knows it again; of two, neither is meant."""
    base = tmp_path / "base"
    base.mkdir()
    two = "send: {tool: mail, arguments: {}}, send-2: {tool: mail, arguments: {}}"
    steps = f"steps: {{look-up: {{tool: find, arguments: {{}}}}, {two}}}"
    text = TRUST.replace("name: other", "name: desk").replace("steps: {find: {tool: find, arguments: {}}}", steps)
    (base / "base.yaml").write_text(text, "utf-8")
    runs = [run(n, ("find", {}, {}), ("mail", {}, {}), ("send", {"to": f"x{n}"}, {})) for n in range(10)]
    made = draft(
        runs, bundles.load(base), tmp_path / "a", Wanted("desk", None, [], [], 0, date(2026, 12, 1)), bundles.load
    )
    assert {step.tool: step.name for step in made.workflow.steps} == {"find": "look-up", "mail": "mail", "send": "send"}


def test_a_draft_says_that_it_is_one(tmp_path: Path) -> None:
    """So nothing that a program wrote decides before a person has read it."""
    _, data, _ = learnt(tmp_path, [run(n, ("find", {}, {})) for n in range(5)])
    assert data["status"] == "draft"
    assert bundles.load(tmp_path / "draft").bundle.policy.workflows["desk"].draft


def test_nothing_is_overwritten_and_a_failure_leaves_no_folder(tmp_path: Path) -> None:
    """Too few runs teach nothing."""
    with pytest.raises(ConfigurationError, match="expected 3 or more"):
        learnt(tmp_path, [run(1, ("find", {}, {}))])
    assert not (tmp_path / "draft").exists()
    (tmp_path / "draft").mkdir()
    (tmp_path / "base" / "base.yaml").unlink()
    (tmp_path / "base").rmdir()
    with pytest.raises(ConfigurationError, match="nothing is overwritten"):
        learnt(tmp_path, [run(n, ("find", {}, {})) for n in range(5)])


def test_half_of_the_runs_that_break_a_rule_are_nobodys_exception(tmp_path: Path) -> None:
    """Where there is no majority, everything is asked."""
    runs = [
        run(n, ("find", {}, {}), ("send", {"to": f"DE{n}"}, {"to": ("inputs.payee",) if n % 2 else ()}), payee=f"DE{n}")
        for n in range(30)
    ]
    made, data, _ = learnt(tmp_path, runs)
    assert made.workflow.set_aside == {}
    assert "approval" in data["steps"]["send"]


def test_several_calls_in_one_run_are_counted_by_what_tells_them_apart(tmp_path: Path) -> None:
    """One for each payee; where nothing tells them apart, an owner says how many."""
    each = [
        run(n, *[("send", {"to": f"DE{n}{k}"}, {"to": ("inputs.all",)}) for k in range(3)], all=[]) for n in range(30)
    ]
    _, data, _ = learnt(tmp_path, each)
    assert (data["steps"]["send"]["at_most"], data["steps"]["send"]["per"]) == (1, "args.to")


def test_the_same_call_many_times_is_a_question(tmp_path: Path) -> None:
    """How often a sending step may be called is never learnt."""
    same = [run(n, *[("send", {"to": f"DE{n}"}, {"to": ("inputs.p",)})] * 3, p=f"DE{n}") for n in range(30)]
    made, data, _ = learnt(tmp_path, same)
    assert "how often it may be called in one run" in made.workflow.steps[0].questions
    assert "approval" in data["steps"]["send"]


def test_what_runs_do_that_are_set_aside_enters_no_list(tmp_path: Path) -> None:
    """Eight of forty runs send to somebody else; the word that they alone look for is not learnt from them."""
    runs = []
    for n in range(40):
        his = n < 8
        look = ("find", {"kind": "passport" if his else ("a", "b")[n % 2]}, {})
        send = ("send", {"to": "EVIL" if his else f"DE{n}"}, {"to": () if his else ("inputs.payee",)})
        runs.append(run(n, look, send, payee=f"DE{n}"))
    made, data, text = learnt(tmp_path, runs)
    assert len(made.workflow.set_aside) == 8
    assert data["steps"]["find"]["arguments"]["kind"] == {"type": "string", "enum": ["a", "b"]}
    assert "passport" not in text and "EVIL" not in text


@pytest.mark.parametrize(
    ("given", "value", "words"),
    [
        ({"p": ["a", "b"]}, "a", {"type": "string", "from": "inputs.p"}),
        ({"p": "a"}, "a", {"type": "string", "fill": "inputs.p"}),
        ({"p": 5}, 5, {"type": "integer", "fill": "inputs.p"}),
        ({"p": 5.5}, 5, {"type": "number", "fill": "inputs.p"}),
        ({"p": "5"}, 5, {"type": "number", "from": "inputs.p"}),
    ],
)
def test_an_input_fills_an_argument_of_its_own_type(
    tmp_path: Path, given: dict[str, Any], value: Any, words: dict[str, Any]
) -> None:
    """A part of an input, or a value of another kind, comes from it and is not filled: such a draft would not load."""
    runs = [run(n, ("send", {"to": value}, {"to": ("inputs.p",)}), **given) for n in range(30)]
    _, data, _ = learnt(tmp_path, runs)
    assert data["steps"]["send"]["arguments"]["to"] == words
