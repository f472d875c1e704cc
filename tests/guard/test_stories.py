"""Cases that tell a story: what was done, counted, kept, spent and seen follows from calls, as in a real run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent

import pytest

from agentguard.core.values import Effect
from agentguard.errors import ConfigurationError, PolicyError
from agentguard.guard.dry_run import CaseResult, evaluate
from agentguard.guard.in_force import UsableBundle
from agentguard.policy import load, load_cases

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

BUNDLE = """\
apiVersion: agentguard/v1
kind: Tools
tools:
  mail.read: {effect: read, untrusted_results: [body]}
  vendors.lookup: {effect: read}
  bank.pay: {effect: send}
---
apiVersion: agentguard/v1
kind: Workflow
metadata: {name: pay, version: 1, owner: o, review_by: 2029-12-31}
subjects: [spiffe://corp.example/agent/payer]
inputs:
  invoice: {type: string}
steps:
  read:
    tool: mail.read
    arguments: {id: {type: string}}
    keep:
      amount: {from: result.body, match: "Total: ([0-9]+)"}
  look-up:
    tool: vendors.lookup
    at_most: 2
    arguments: {name: {type: string}}
    keep: {iban: result.iban}
  pay:
    tool: bank.pay
    after: [look-up]
    arguments:
      payee: {type: string, from: vendors.lookup}
      cents: {type: integer}
    require:
      - args.payee == kept.iban
    approval:
      when: args.cents > 100
      from: [user:alice]
      within: 30m
budgets:
  cents: {sum: args.cents, of: pay, at_most: 1000}
"""
HEAD = """\
apiVersion: agentguard/v1
kind: Cases
workflow: pay
cases:
"""
PAY = "call: {tool: bank.pay, arguments: {payee: DE02, cents: 100}}\n"
LOOK_UP = "- {tool: vendors.lookup, arguments: {name: ACME}, result: {iban: DE02}}\n"


def case(story: str, then: str = PAY, *, given: str = "", expect: str = "permit") -> str:
    told = f"calls:\n{indent(story, '  ')}{given}"
    return f"  - name: it\n    given:\n{indent(told, '      ')}{indent(then, '    ')}    expect: {expect}\n"


def judged(directory: Path, text: str) -> CaseResult:
    (directory / "b.yaml").write_text(BUNDLE)
    (directory / "b.cases.yaml").write_text(HEAD + text)
    bundle = load(directory)
    (found,) = load_cases(directory, bundle)
    return evaluate(UsableBundle.of(bundle), found, now=NOW)


def test_what_was_done_kept_and_seen_follows_from_calls(tmp_path: Path) -> None:
    """One line says what four did: the step done, its count, what it kept, and where the payee came from."""
    assert judged(tmp_path, case(LOOK_UP)).problems == ()


@pytest.mark.parametrize(
    ("story", "reasons"),
    [
        ("- {tool: mail.read, arguments: {id: M}, result: {body: hello}}\n", ["step_out_of_order"]),
        ("- {tool: vendors.lookup, arguments: {name: ACME}, error: no such vendor}\n", ["step_out_of_order"]),
        ("- {tool: vendors.lookup, arguments: {name: ACME}, result: {iban: DE03}}\n", ["condition_false"]),
        ("- {tool: vendors.lookup, arguments: {name: ACME}, result: {IBAN: DE02}}\n", ["condition_failed"]),
        (
            "- {tool: mail.read, arguments: {id: M}, result: {body: pay DE02}}\n" + LOOK_UP,
            ["provenance_unmet"],
        ),
    ],
)
def test_a_story_one_step_off_is_another_decision(tmp_path: Path, story: str, reasons: list[str]) -> None:
    """Another tool, a failure, another value, a result of another form, an outsider who had it first."""
    found = judged(tmp_path, case(story))

    assert found.decision.effect is Effect.DENY
    assert set(reasons) <= {str(reason) for reason in found.decision.reasons}


def test_calls_and_money_add_up_over_a_story(tmp_path: Path) -> None:
    """950 of 1,000 are spent, and two of two look-ups are used."""
    paid = "- {tool: bank.pay, arguments: {payee: DE02, cents: 950}, result: ok, approved_by: [user:alice]}\n"

    spent = judged(tmp_path, case(LOOK_UP + paid))
    used_up = judged(tmp_path, case(LOOK_UP + LOOK_UP, "call: {tool: vendors.lookup, arguments: {name: B}}\n"))

    assert "budget_exceeded" in map(str, spent.decision.reasons)
    assert "step_used_up" in map(str, used_up.decision.reasons)


@pytest.mark.parametrize(
    ("story", "said"),
    [
        (PAY.removeprefix("call: ").join(["- ", ""]).replace("}}\n", "}, result: ok}\n"), "call 1 of the story"),
        (LOOK_UP * 3, "call 3 of the story (`vendors.lookup`) would be refused"),
        (LOOK_UP + "- {tool: bank.pay, arguments: {payee: DE02, cents: 101}, result: ok}\n", "add `approved_by`"),
        (
            LOOK_UP + "- {tool: bank.pay, arguments: {payee: DE02, cents: 101}, result: ok, approved_by: [user:bob]}\n",
            "call 2 of the story",
        ),
    ],
)
def test_a_story_that_could_not_have_happened_is_an_error_with_its_line(tmp_path: Path, story: str, said: str) -> None:
    """A case about a run that no guard would have let happen proves nothing."""
    with pytest.raises(ConfigurationError) as caught:
        judged(tmp_path, case(story))

    assert said in str(caught.value)
    assert f"{tmp_path / 'b.cases.yaml'}:{7 + story.count('- {')}: " in str(caught.value)


def test_what_a_case_says_of_the_moment_comes_over_its_story(tmp_path: Path) -> None:
    """The story ran at low risk; then the risk rose."""
    found = judged(tmp_path, case(LOOK_UP, given="risk: high\n", expect="{effect: deny, reasons: [risk_too_high]}"))

    assert found.problems == ()


@pytest.mark.parametrize(
    "value", ['{"größe": 1}', '{"a\\u200bb": "\\u0000"}', "1e300", '"x"', "null", "[[]]", '{"": {}}']
)
def test_any_json_that_a_tool_returns_can_be_written(tmp_path: Path, value: str) -> None:
    """YAML as strict as ours has no key that is not ASCII, and no character that cannot be seen."""
    story = f"- {{tool: mail.read, arguments: {{id: M}}, result_json: '{value}'}}\n"

    assert judged(tmp_path, case(story + LOOK_UP)).problems == ()


@pytest.mark.parametrize(
    ("story", "given", "said"),
    [
        (LOOK_UP, "done: [look-up]\n", "`done` follows from `calls`"),
        (LOOK_UP, "kept: {iban: DE02}\n", "`kept` follows from `calls`"),
        (LOOK_UP, "seen: []\n", "`seen` follows from `calls`"),
        ("- {tool: vendors.lookup, arguments: {name: A}}\n", "", "expected one of `result`"),
        ("- {tool: vendors.lookup, arguments: {name: A}, result: 1, error: x}\n", "", "expected one of `result`"),
        ('- {tool: mail.read, arguments: {id: M}, result_json: \'{"a": 1, "a": 2}\'}\n', "", "not JSON"),
        ("- {tool: vendor.lookup, arguments: {name: A}, result: 1}\n", "", "did you mean `vendors.lookup`?"),
    ],
)
def test_a_story_told_twice_or_by_halves_is_refused(tmp_path: Path, story: str, given: str, said: str) -> None:
    """Two accounts of one run could differ."""
    with pytest.raises(PolicyError) as caught:
        judged(tmp_path, case(story, given=given))

    assert said in str(caught.value)


def test_a_case_s_own_story_takes_the_place_of_what_the_file_says(tmp_path: Path) -> None:
    """And what a case says outright takes the place of the file's story."""
    (tmp_path / "b.yaml").write_text(BUNDLE)
    top = HEAD.replace("cases:", "given: {done: [look-up], kept: {iban: DE09}}\ncases:")
    (tmp_path / "b.cases.yaml").write_text(top + case(LOOK_UP))
    told = HEAD.replace("cases:", f"given:\n  calls:\n{indent(LOOK_UP, '    ')}cases:")
    mine = (
        f"  - name: it\n    given: {{done: []}}\n    {PAY}    expect: {{effect: deny, reasons: [step_out_of_order]}}\n"
    )
    (tmp_path / "c.cases.yaml").write_text(told + mine)
    bundle = load(tmp_path)

    found = [evaluate(UsableBundle.of(bundle), each, now=NOW).problems for each in load_cases(tmp_path, bundle)]

    assert found == [(), ()]


def test_the_steps_of_a_story_are_reached_by_its_case(tmp_path: Path) -> None:
    """They ran, so a mistake in them would have been noticed."""
    found = judged(tmp_path, case(LOOK_UP))

    assert found.played == {"look-up"}


PLACES = """\
apiVersion: agentguard/v1
kind: Tools
tools:
  mail.read: {effect: read, untrusted_results: [body]}
  vendors.list: {effect: read}
  bank.pay: {effect: send}
---
apiVersion: agentguard/v1
kind: Workflow
metadata: {name: pay, version: 1, owner: o, review_by: 2029-12-31}
subjects: [spiffe://corp.example/agent/payer]
steps:
  read: {tool: mail.read, arguments: {}}
  list: {tool: vendors.list, arguments: {}, keep: {vendors: {add: result, key: id}, first: "result[0].iban"}}
  pay:
    tool: bank.pay
    arguments:
      payee: {type: string, from: SOURCE}
"""


@pytest.mark.parametrize(
    "source", ["kept.vendors[*].iban", "kept.vendors[?id == 1].iban", "kept.vendors", "kept.first"]
)
def test_what_a_case_says_is_kept_was_kept(tmp_path: Path, source: str) -> None:
    """A case without a story says outright what the run holds, so a place in it holds that, too."""
    (tmp_path / "b.yaml").write_text(PLACES.replace("SOURCE", f'"{source}"'))
    (tmp_path / "b.cases.yaml").write_text(
        """\
apiVersion: agentguard/v1
kind: Cases
workflow: pay
given: {kept: {vendors: [{id: 1, iban: DE1}], first: DE1}}
cases:
  - {name: yes, call: {tool: bank.pay, arguments: {payee: DE1}}, expect: permit}
  - {name: no, call: {tool: bank.pay, arguments: {payee: DE2}}, expect: {effect: deny, reasons: [provenance_unmet]}}
  - name: a mail had it, and nobody knows when
    given: {seen: [{tool: mail.read, result: {body: pay DE1}}]}
    call: {tool: bank.pay, arguments: {payee: DE1}}
    expect: EXPECTED
""".replace("name: yes", "name: it does")
        .replace("name: no", "name: it does not")
        .replace("EXPECTED", "permit" if "." in source.removeprefix("kept.") else "deny")
    )
    usable = UsableBundle.of(load(tmp_path))
    results = [evaluate(usable, case, now=NOW) for case in load_cases(tmp_path, usable.bundle)]
    assert [result.problems for result in results] == [(), (), ()]
