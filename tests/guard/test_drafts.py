"""A draft permits nothing until somebody takes `status: draft` out."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentguard import Guard, ToolCallDenied
from agentguard.cli import bundles
from agentguard.guard.clock import utc_now
from agentguard.guard.dry_run import evaluate

TRUST = """apiVersion: agentguard/v1
kind: Trust
issuers:
  - {name: local, profile: local, issuer: urn:x, audience: agentguard, max_age: 60s, max_lifetime: 60s,
     subjects: ["spiffe://corp.example/agent/a"]}
---
apiVersion: agentguard/v1
kind: Tools
tools: {look: {effect: read}}
"""
WORKFLOW = """apiVersion: agentguard/v1
kind: Workflow
metadata: {name: looking, version: 1, owner: me, review_by: 2099-12-31}
status: draft
subjects: ["spiffe://corp.example/agent/a"]
steps:
  look: {tool: look, arguments: {}}
"""
CASES = """apiVersion: agentguard/v1
kind: Cases
workflow: looking
cases:
  - {name: it may look, call: {tool: look, arguments: {}}, expect: permit}
"""


def look() -> str:
    return "seen"


@pytest.mark.parametrize(("draft", "permitted"), [(True, False), (False, True)])
def test_a_draft_permits_nothing_until_the_line_is_taken_out(tmp_path: Path, draft: bool, permitted: bool) -> None:
    """What was learnt from traffic decides nothing before a person has read it."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "trust.yaml").write_text(TRUST)
    (folder / "looking.yaml").write_text(WORKFLOW if draft else WORKFLOW.replace("status: draft\n", ""))
    guard = Guard.load(folder, home=tmp_path / "home")
    tool = guard.wrap(look)
    with guard.run("looking"):
        if permitted:
            assert tool() == "seen"
        else:
            with pytest.raises(ToolCallDenied):
                tool()
    reasons = [found["reasons"] for found in guard.records(kind="decision")]
    assert reasons == ([[]] if permitted else [["workflow_draft"]])
    guard.shut()


def test_a_draft_can_be_checked_and_tested(tmp_path: Path) -> None:
    """An owner tries it out before it decides anything; check says that it is a draft."""
    (tmp_path / "trust.yaml").write_text(TRUST)
    (tmp_path / "looking.yaml").write_text(WORKFLOW)
    (tmp_path / "looking.cases.yaml").write_text(CASES)

    usable, cases = bundles.load_with_cases(tmp_path)

    assert [evaluate(usable, case, now=utc_now()).passed for case in cases] == [True]
    note = next(each for each in usable.bundle.notes if "draft" in each.message)
    assert (Path(note.file).name, note.line) == ("looking.yaml", 4)
