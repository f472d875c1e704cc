"""From observed runs to a draft: what a record says of where values stood, and what it never says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agentguard import Guard
from agentguard.cli.learn import app
from evidence.desk import ATTACKS, BASE, EVIL, desk_of, honest, steered
from evidence.test_learnt import OTHERS, Enforced, in_force

RUNS, STEERED = 50, 10


def until() -> str:
    """A day that observing may last to."""
    return (datetime.now(UTC) + timedelta(days=14)).date().isoformat()


def unwritten(folder: Path) -> Path:
    """The desk's tools, and a workflow in which nobody has written more than one step."""
    folder.mkdir(parents=True)
    head, _, _ = BASE.partition("steps:\n")
    observe = f'groups: {{owners: ["user:olga"]}}\nobserve: [{{workflow: refund, until: {until()}}}]\n'
    text = head.replace('groups: {owners: ["user:olga"]}\n', observe)
    (folder / "base.yaml").write_text(
        text + "steps:\n  look: {tool: get_ticket, arguments: {id: {type: string}}}\n", "utf-8"
    )
    return folder


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A ledger of fifty observed runs, of which ten are an attacker's."""
    folder = tmp_path_factory.mktemp("observed")
    guard = Enforced(unwritten(folder / "base"), folder)
    names = sorted(ATTACKS)
    for seed in range(RUNS):
        if seed < STEERED:
            guard.play(seed, steered(seed, names[seed % len(names)]), desk_of(seed, f"Pay {EVIL}"))
        else:
            guard.play(seed, ((call, False) for call in honest(seed)), desk_of(seed))
    guard.guard.shut()
    yield folder


def learn(folder: Path, out: Path, *more: str) -> Any:
    """The command, and what it says."""
    where = ["--workflow", "refund", "--bundle", str(folder / "base"), "--ledger", str(folder / "ledger.sqlite3")]
    said = CliRunner().invoke(app, [str(out), *where, "--approver", "group:owners", *more])
    assert said.exit_code == 0, said.output
    return json.loads(said.output) if "--json" in more else said.output


def test_a_draft_learnt_from_observed_runs_stops_the_attacker_and_nobody_else(observed: Path, tmp_path: Path) -> None:
    """Ten of the fifty runs were his; none of his calls is permitted, and 95 of 100 other runs are untouched."""
    # Which runs are held back goes by their names, which are drawn: here none are.
    told = learn(observed, tmp_path / "draft", "--json", "--hold-back", "0")
    assert told["runs"] == 50 and told["requesters"] == 4 and told["held_back"] is None
    file = tmp_path / "draft" / "base.yaml"
    file.write_text("".join(x for x in file.read_text().splitlines(keepends=True) if not x.startswith("observe:")))
    in_force(tmp_path / "draft")
    enforced = Enforced(tmp_path / "draft", tmp_path / "home")
    touched = [s for s in OTHERS if enforced.play(s, ((c, False) for c in honest(s)), desk_of(s)).refused]
    his = [
        (attack, seed)
        for attack in sorted(ATTACKS)
        for seed in range(3000, 3005)
        if enforced.play(seed, steered(seed, attack, instead=True), desk_of(seed)).his
    ]
    enforced.guard.shut()
    assert len(touched) <= 0.05 * len(OTHERS)
    assert his == []


def test_the_command_says_what_it_learnt_and_from_how_much(observed: Path, tmp_path: Path) -> None:
    """Runs, requesters and days; what was set aside; and how many runs it leaves alone."""
    said = learn(observed, tmp_path / "draft")
    assert "learnt from 40 runs of 4 requesters on " in said
    assert "set aside: r-" in said
    assert "held back 10 runs:" in said
    assert "take `status: draft` out" in said


def test_a_sample_is_looked_at_where_there_are_many_runs(observed: Path, tmp_path: Path) -> None:
    """And the command says how many were not."""
    assert learn(observed, tmp_path / "draft", "--most", "20", "--json")["not_looked_at"] == 30


TOOLS = """apiVersion: agentguard/v1
kind: Trust
issuers:
  - {name: local, profile: local, issuer: urn:agentguard:local, audience: agentguard, max_age: 60s, max_lifetime: 60s,
     subjects: ["spiffe://corp.example/agent/desk"]}
OBSERVE
---
apiVersion: agentguard/v1
kind: Tools
tools:
  people: {effect: read, untrusted_results: ["[*].note"]}
  send: {effect: send, secrets: [pin], personal: [name]}
---
apiVersion: agentguard/v1
kind: Workflow
metadata: {name: w, version: 1, owner: me, review_by: 2099-12-31}
subjects: ["spiffe://corp.example/agent/desk"]
inputs: {to: {type: string}}
steps:
  people: {tool: people, arguments: {}}
  send: {tool: send, arguments: {to: {type: string}, pin: {type: string}, name: {type: string}}}
"""
PEOPLE = [
    {"mail": "ann@corp.example", "note": "hello", "pin": "4711", "name": "Ann", "by": {"ann@corp.example": "x-1"}},
    {"mail": "bob@corp.example", "note": "secretword", "pin": "4712", "name": "Bob", "by": {}},
]


def people() -> list[dict[str, Any]]:
    """Everybody."""
    return PEOPLE


def send(to: str, pin: str, name: str) -> str:
    """Send."""
    return f"sent to {to}"


CASES: list[tuple[str, dict[str, str], dict[str, list[str]] | None]] = [
    ("a field", {"to": "ann@corp.example", "pin": "4711", "name": "Ann"}, {"to": ["inputs.to", "people[*].mail"]}),
    ("outsiders' field", {"to": "secretword", "pin": "1", "name": "x"}, {"to": ["~people[*].note"]}),
    ("a map by somebody's address", {"to": "x-1", "pin": "1", "name": "x"}, {"to": ["people[*].by.*"]}),
    ("nowhere", {"to": "eve@evil.example", "pin": "4711", "name": "Ann"}, {}),
]


@pytest.mark.parametrize(("name", "given", "seen"), CASES, ids=[case[0] for case in CASES])
def test_a_record_of_an_observed_call_says_where_its_values_were_seen(
    tmp_path: Path, name: str, given: dict[str, str], seen: dict[str, list[str]] | None
) -> None:
    """By path and never by value; of secrets and of what is personal it says nothing."""
    (tmp_path / "w.yaml").write_text(TOOLS.replace("OBSERVE", f"observe: [{{workflow: w, until: {until()}}}]"))
    guard = Guard.load(tmp_path, home=tmp_path / "home")
    look, tell = guard.wrap([people, send])
    with guard.run("w", inputs={"to": "ann@corp.example"}):
        look()
        tell(**given)
    first, second = guard.records(kind="decision")
    guard.shut()
    assert (first["seen_in"], second["seen_in"]) == ({}, seen)


def test_an_enforced_call_remembers_nothing(tmp_path: Path) -> None:
    """It costs nothing there, and says nothing."""
    (tmp_path / "w.yaml").write_text(TOOLS.replace("OBSERVE\n", ""))
    guard = Guard.load(tmp_path, home=tmp_path / "home")
    look, tell = guard.wrap([people, send])
    with guard.run("w", inputs={"to": "a"}):
        look()
        tell("ann@corp.example", "4711", "Ann")
    found = [record["seen_in"] for record in guard.records()]
    guard.shut()
    assert found == [None] * len(found)
