"""``kind: Steps``: steps that several workflows include by name, and what they are then."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentguard.errors import PolicyError
from agentguard.policy import Bundle, load

TOOLS = """\
apiVersion: agentguard/v1
kind: Tools
tools:
  balance: {effect: read}
  history: {effect: read}
  pay: {effect: send}
"""
READS = """\
apiVersion: agentguard/v1
kind: Steps
metadata: {name: bank-reads, owner: treasury}
steps:
  balance:
    tool: balance
    arguments: {}
  history:
    tool: history
    arguments:
      rows: {type: integer}
    require:
      - args.rows <= inputs.most
    keep: {rows: result.rows}
"""
PAY = """\
apiVersion: agentguard/v1
kind: Workflow
metadata: {name: pay, version: 1, owner: o, review_by: 2029-12-31}
subjects: [spiffe://corp.example/agent/payer]
inputs: {most: {type: integer}}
include: [bank-reads]
steps:
  pay:
    tool: pay
    after: [history]
    arguments: {to: {type: string}}
    require:
      - args.to in kept.rows
budgets:
  calls: {count: true, of: [pay, history], at_most: 9}
"""
LOOK = """\
apiVersion: agentguard/v1
kind: Workflow
metadata: {name: look, version: 1, owner: o, review_by: 2029-12-31}
subjects: [spiffe://corp.example/agent/payer]
inputs: {most: {type: integer}}
include: [bank-reads]
"""


def written(directory: Path, **files: str) -> Path:
    for name, text in {"tools": TOOLS, "reads": READS, "pay": PAY, "look": LOOK, **files}.items():
        (directory / f"{name}.yaml").write_text(text)
    return directory


def problems(directory: Path) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load(directory)
    return [f"{Path(found.file).name}:{found.line}: {found.message}" for found in caught.value.problems]


def steps(bundle: Bundle, workflow: str) -> list[str]:
    return [step.name for step in bundle.policy.workflows[workflow].steps]


def test_included_steps_are_steps_of_the_workflow_behind_its_own(tmp_path: Path) -> None:
    """A call takes the first step that permits it, so what a workflow says itself comes first."""
    bundle = load(written(tmp_path))

    assert steps(bundle, "pay") == ["pay", "balance", "history"]
    assert steps(bundle, "look") == ["balance", "history"]
    assert [keep.name for keep in bundle.keeps["pay", "history"]] == ["rows"]
    assert bundle.notes == ()


def test_a_workflow_with_included_steps_decides_as_if_they_stood_in_it(tmp_path: Path) -> None:
    """Written out by hand it is the same, up to its digest."""
    included = load(written(tmp_path)).policy.workflows["pay"]
    by_hand = PAY.replace("include: [bank-reads]\n", "").replace(
        "budgets:", READS.partition("steps:\n")[2] + "budgets:"
    )
    alone = tmp_path / ".alone"
    alone.mkdir()
    for name, text in {"tools": TOOLS, "pay": by_hand}.items():
        (alone / f"{name}.yaml").write_text(text)

    whole = load(alone).policy.workflows["pay"]

    assert [(s.name, s.tool, s.after, len(s.require)) for s in included.steps] == [
        (s.name, s.tool, s.after, len(s.require)) for s in whole.steps
    ]
    assert included.digest != whole.digest


def test_a_change_of_included_steps_changes_the_revision_and_the_workflow(tmp_path: Path) -> None:
    """Its runs stop, as if the steps stood in it; runs of a workflow that does not include them go on."""
    alone = LOOK.replace("name: look,", "name: alone,").replace(
        "include: [bank-reads]", "steps:\n  look: {tool: balance, arguments: {}}"
    )
    before = load(written(tmp_path, alone=alone))
    after = load(written(tmp_path, reads=READS.replace("arguments: {}", "at_most: 3\n    arguments: {}")))

    assert before.revision != after.revision
    for name in ("pay", "look"):
        assert before.policy.workflows[name].digest != after.policy.workflows[name].digest
    assert before.policy.workflows["alone"].digest == after.policy.workflows["alone"].digest


def test_the_order_of_included_steps_is_part_of_the_revision(tmp_path: Path) -> None:
    """The first step that fits is taken."""
    head, _, body = READS.partition("steps:\n")
    first, _, second = body.partition("  history:\n")

    turned = load(written(tmp_path, reads=f"{head}steps:\n  history:\n{second}{first}")).policy.workflows["look"]

    assert turned.digest != load(written(tmp_path)).policy.workflows["look"].digest


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("look", LOOK.replace("bank-reads", "bank-read"), "look.yaml:6: there is no Steps `bank-read`; did you mean"),
        ("look", LOOK.replace("[bank-reads]", "[bank-reads, bank-reads]"), "look.yaml:6: `bank-reads` is included"),
        ("look", LOOK.replace("include: [bank-reads]\n", ""), "look.yaml:1: a workflow without steps permits nothing"),
        ("look", LOOK.replace("[bank-reads]", "[]"), "look.yaml:1: a workflow without steps permits nothing"),
        ("look", LOOK.replace("[bank-reads]", "bank-reads"), "such as `[bank-reads]`"),
        (
            "look",
            LOOK + "steps: {balance: {tool: balance, arguments: {}}}\n",
            "look.yaml:6: `bank-reads` brings a step `balance`, which is there already, at ",
        ),
        ("more", READS, "Steps `bank-reads` is given twice"),
        ("more", READS.replace("bank-reads", "more").replace("kind: Steps", "kind: Step"), "did you mean `Steps`?"),
        ("reads", READS.replace("inputs.most", "inputs.mots"), "reads.yaml:13: "),
        ("reads", READS.replace("tool: history", "tool: histry"), "reads.yaml:9: "),
        ("reads", READS.replace("    arguments: {}", "    after: [pay]\n    arguments: {}"), "reads.yaml:7: "),
        ("reads", READS + "inputs: {}\n", "there is no key `inputs` here"),
    ],
)
def test_a_mistake_around_included_steps_is_named_where_it_stands(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    """With file and line, whichever workflow it shows in."""
    found = problems(written(tmp_path, **{name: text}))

    assert any(said in problem for problem in found), found


def test_a_mistake_in_included_steps_is_said_once_with_who_includes_them(tmp_path: Path) -> None:
    """Ten workflows include them; ten times the same line would bury every other mistake."""
    found = problems(written(tmp_path, reads=READS.replace("inputs.most", "inputs.mots")))

    assert len(found) == 1
    assert found[0].endswith("(included by `look` and 1 more)")


def test_steps_that_nobody_includes_permit_nothing_and_are_noted(tmp_path: Path) -> None:
    """Nothing has looked at them, so a mistake in them would come as a surprise."""
    more = READS.replace("name: bank-reads", "name: more")

    notes = load(written(tmp_path, more=more)).notes

    assert [(Path(note.file).name, note.line) for note in notes] == [("more.yaml", 3)]
    assert "no workflow includes `more`" in notes[0].message
