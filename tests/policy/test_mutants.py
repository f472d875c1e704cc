"""Each rule of a workflow changed, one at a time: which changes there are, and which of them cases notice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentguard.cli import main
from agentguard.policy.mutants import Mutants

TOOLS = """\
apiVersion: agentguard/v1
kind: Tools
tools:
  look: {effect: read}
  pay: {effect: send}
"""
WORKFLOW = """\
apiVersion: agentguard/v1
kind: Workflow
metadata: {name: pay, version: 1, owner: o, review_by: 2029-12-31}
subjects: [spiffe://corp.example/agent/payer]
include: [reads]
steps:
  pay:
    tool: pay
    after: [look]
    at_most: 2
    arguments:
      to: {type: string, pattern: "[A-Z]+", from: look}
      cents: {type: integer, minimum: 1}
    require:
      - args.to == kept.to && args.cents <= 500
    approval:
      when: args.cents > 100
      from: ["user:a", "user:b"]
      quorum: 2
      within: 30m
budgets:
  cents: {sum: args.cents, of: pay, at_most: 900}
"""
READS = """\
apiVersion: agentguard/v1
kind: Steps
metadata: {name: reads}
steps:
  look:
    tool: look
    at_most: 3
    arguments: {}
    keep: {to: result.to}
"""
CASES = """\
apiVersion: agentguard/v1
kind: Cases
workflow: pay
given:
  calls:
    - {tool: look, result: {to: ACME}}
cases:
  - name: a hundred
    call: {tool: pay, arguments: {to: ACME, cents: 100}}
    expect: {effect: permit, step: pay}
  - name: one more is asked
    call: {tool: pay, arguments: {to: ACME, cents: 101}}
    expect: {effect: escalate, reasons: [approval_required]}
  - name: somebody else
    call: {tool: pay, arguments: {to: EVIL, cents: 1}}
    expect: {effect: deny, reasons: [condition_false]}
  - name: without a look
    given: {calls: []}
    call: {tool: pay, arguments: {to: ACME, cents: 1}}
    expect: {effect: deny, reasons: [step_out_of_order]}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name, text in {"tools": TOOLS, "pay": WORKFLOW, "reads": READS, "pay.cases": CASES}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def test_every_rule_is_changed_and_named_with_its_line(directory: Path) -> None:
    """Those of included steps, too: they are rules of every workflow that includes them."""
    found = [f"{Path(each.file).name}:{each.line}: {each.what}" for each in Mutants(directory).all()]

    assert found == [
        "pay.yaml:22: without budget `cents`",
        "pay.yaml:22: budget `cents`: `at_most` 901 instead of 900",
        "pay.yaml:9: step `pay`: without `after`",
        "pay.yaml:10: step `pay`: without `at_most`",
        "pay.yaml:16: step `pay`: without `approval`",
        "pay.yaml:10: step `pay`: `at_most` 3 instead of 2",
        "pay.yaml:15: step `pay`: without condition 1",
        "pay.yaml:15: step `pay`: condition 1 without `args.to == kept.to`",
        "pay.yaml:15: step `pay`: condition 1 without `args.cents <= 500`",
        "pay.yaml:15: step `pay`: condition 1 with `!=` for `==` in `args.to == kept.to && args.cents <= 500`",
        "pay.yaml:15: step `pay`: condition 1 with `<` for `<=` in `...s.to == kept.to && args.cents <= 500`",
        "pay.yaml:15: step `pay`: condition 1 with 501 for 500",
        "pay.yaml:17: step `pay`: `approval.when` with `>=` for `>` in `args.cents > 100`",
        "pay.yaml:17: step `pay`: `approval.when` with 99 for 100",
        "pay.yaml:19: step `pay`: `quorum` 1 instead of 2",
        "pay.yaml:12: step `pay`: argument `to`: without `from`",
        "pay.yaml:12: step `pay`: argument `to`: without `pattern`",
        "pay.yaml:13: step `pay`: argument `cents`: `minimum` 0 instead of 1",
        "reads.yaml:7: step `look`: without `at_most`",
        "reads.yaml:7: step `look`: `at_most` 4 instead of 3",
    ]
    assert all(each.workflows == {"pay"} for each in Mutants(directory).all())


def test_the_bundle_itself_stays_as_it_is(directory: Path) -> None:
    """Changes are made in memory, and one does not stand in the next."""
    mutants = Mutants(directory)
    before = mutants.bundle.revision

    revisions = [mutants.with_it(each).revision for each in mutants.all()]

    assert before not in revisions
    assert len(set(revisions)) == len(revisions)
    assert Mutants(directory).bundle.revision == before


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = main(["test", "--mutate", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_the_changes_that_no_case_notices_are_named(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pair of cases on both sides of a bound notices that it moved; a rule without one could be lost."""
    code, report = told(capsys, str(directory))

    noticed = {entry["change"]: entry["noticed_by"] for entry in report["changes"]}
    assert code == 1
    assert noticed["step `pay`: `approval.when` with `>=` for `>` in `args.cents > 100`"] == "a hundred"
    assert noticed["step `pay`: without `approval`"] == "one more is asked"
    assert noticed["step `pay`: without `after`"] == "without a look"
    assert noticed["step `pay`: condition 1 without `args.to == kept.to`"] == "somebody else"
    for unnoticed in (
        "step `pay`: without `at_most`",
        "step `pay`: condition 1 with 501 for 500",
        "step `pay`: `quorum` 1 instead of 2",
    ):
        assert noticed[unnoticed] is None

    assert main(["test", "--mutate", str(directory)]) == 1
    assert f"{directory / 'pay.yaml'}:10: step `pay`: without `at_most`: no case notices" in capsys.readouterr().out


def test_min_says_how_much_must_be_noticed(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that a team can begin where it is."""
    _, report = told(capsys, str(directory))
    percent = report["noticed"] * 100 // len(report["changes"])

    assert told(capsys, str(directory), "--min", str(percent))[0] == 0
    assert told(capsys, str(directory), "--min", str(percent + 1))[0] == 1


def test_cases_that_fail_are_not_asked_what_they_notice(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A case that is red already would notice everything."""
    (directory / "pay.cases.yaml").write_text(CASES.replace("expect: {effect: permit, step: pay}", "expect: deny"))

    code, report = told(capsys, str(directory))

    assert (code, "changes" in report) == (1, False)
