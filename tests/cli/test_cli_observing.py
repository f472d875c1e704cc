"""Wherever a run, a decision or a bundle is shown, it is said that something is observed, and what it would refuse."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentguard.errors import ToolCallDenied
from agentguard.guard import Guard
from cli.bundle import write
from cli.conftest import Call

SOON = (datetime.now(UTC) + timedelta(days=7)).date()


def observe(directory: Path, until: object = SOON) -> None:
    file = directory / "trust.yaml"
    file.write_text(file.read_text() + f"\nobserve:\n  - {{workflow: customer-export, until: {until}}}\n")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    made = write(tmp_path / "policy")
    observe(made)
    return made


@pytest.fixture
def ledger(policy: Path, tmp_path: Path) -> Path:
    """One observed run: a call that would be refused, one that would be asked about, and one that is fine."""

    def get_ticket(ticket_id: str) -> dict[str, object]:
        """Look a ticket up."""
        return {"tables": ["orders"]}

    def export_orders(table: str, rows: int, target: str) -> str:
        """Export."""
        return "done"

    with Guard.load(policy, home=tmp_path / "home") as guard:
        look_up, export = guard.wrap([get_ticket, export_orders])
        with guard.run("customer-export", inputs={"ticket": "EXP-7"}):
            look_up("EXP-7")
            look_up("EXP-8")
            export("orders", 2_000, "https://files.corp.example/out")
        with pytest.raises(ToolCallDenied):
            look_up("EXP-7")
    return tmp_path / "home" / "ledger.sqlite3"


def test_listings_and_the_timeline_say_what_would_have_been_refused(ledger: Path, call: Call) -> None:
    listed = call("runs", "list", "--ledger", ledger)
    assert "ended, observed" in listed.out
    (run,) = json.loads(call("runs", "list", "--ledger", ledger, "--json").out)
    assert run["observed"] == {"until": str(SOON), "steps": None, "would_be_refused": 1, "would_be_asked": 1}

    shown = call("runs", "show", run["id"], "--ledger", ledger).out
    assert "would be refused" in shown and "condition_false (step look-up)" in shown
    assert "would be asked" in shown and "approval_required" in shown
    read = json.loads(call("runs", "show", run["id"], "--ledger", ledger, "--json").out)
    assert [(each["effect"], each["reasons"]) for each in read["not_enforced"]] == [
        ("deny", ["condition_false"]), ("escalate", ["approval_required"]),
    ]  # fmt: skip


def test_records_say_whether_they_were_enforced(ledger: Path, call: Call) -> None:
    lines = call("audit", "list", "--kind", "decision", "--ledger", ledger).out.splitlines()
    assert ["not enforced" in line for line in lines] == [True, True, True, False]


def test_explain_says_what_would_have_been(ledger: Path, call: Call) -> None:
    records = [json.loads(line) for line in call("audit", "list", "--ledger", ledger, "--json").out.splitlines()]
    by_effect = {r["effect"]: r["decision_id"] for r in records if r["kind"] == "decision" and r["run_id"]}
    for effect, said in (
        ("deny", "it would have been refused, and ran"),
        ("escalate", "people would have been asked"),
        ("permit", "in a run that is observed"),
    ):
        assert said in call("explain", "--decision", by_effect[effect], "--ledger", ledger).out


def test_check_notes_what_is_observed_and_what_no_longer_is(policy: Path, tmp_path: Path, call: Call) -> None:
    assert f"is observed until {SOON}" in call("check", policy).out
    past = write(tmp_path / "past")
    observe(past, "2026-01-01")
    ended = call("check", past)
    assert ended.code == 0
    assert "was observed until 2026-01-01 and is enforced now" in ended.out


def test_check_refuses_what_is_observed_for_longer_than_a_month(tmp_path: Path, call: Call) -> None:
    far = write(tmp_path / "far")
    observe(far, SOON + timedelta(days=25))
    ended = call("check", far)
    assert ended.code == 1
    assert "at most 30 days ahead" in ended.out
