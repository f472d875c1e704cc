"""`agentguard compare`: which calls a candidate would change, by the rule that does it, with one example each."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentguard.errors import ToolCallDenied
from agentguard.evidence import compare
from agentguard.guard import Guard
from agentguard.guard.records import record
from agentguard.ledger import open_ledger
from cli.bundle import write
from cli.conftest import Call, Ended

IN = "https://files.corp.example/out"


def get_ticket(ticket_id: str) -> dict[str, Any]:
    """Look a ticket up."""
    return {"tables": ["orders"]}


def export_orders(table: str, rows: int, target: str) -> str:
    """Export."""
    return "done"


@pytest.fixture
def live(tmp_path: Path) -> Path:
    return write(tmp_path / "live")


def following(live: Path, *changes: tuple[str, str]) -> Path:
    """The live bundle with each (old, new) exchanged in its workflow."""
    made = live.parent / "next"
    made.mkdir(exist_ok=True)
    for file in live.glob("*.yaml"):
        text = file.read_text()
        for old, new in changes:
            text = text.replace(old, new)
        (made / file.name).write_text(text)
    return made


def work(live: Path, candidate: Path) -> Path:
    """Two runs: four calls that are permitted, and two that are refused."""
    home = live.parent / "home"
    with Guard.load(live, candidate=candidate, home=home) as guard:
        look_up, export = guard.wrap([get_ticket, export_orders])
        for _ in range(2):
            with guard.run("customer-export", inputs={"ticket": "EXP-7"}):
                look_up("EXP-7")
                export("orders", 500, IN)
                with pytest.raises(ToolCallDenied):
                    look_up("EXP-8")
    return home / "ledger.sqlite3"


def told(call: Call, ledger: Path, *more: str | Path) -> tuple[int, Any]:
    ended: Ended = call("compare", *more, "--ledger", ledger, "--json")
    return ended.code, json.loads(ended.out)


def test_what_would_change_is_grouped_by_rule_with_one_example(live: Path, call: Call) -> None:
    rule = "args.ticket_id == inputs.ticket"
    ledger = work(live, following(live, ("maximum: 50000", "maximum: 400"), (rule, f"{rule} || true")))
    code, found = told(call, ledger)

    assert (code, found["calls"], found["same"], found["changed"]) == (1, 6, 2, 4)
    assert [(g["live"], g["candidate"], g["tool"], g["rule"], g["calls"]) for g in found["groups"]] == [
        ("deny", "permit", "tickets.get", f"condition_false (look-up): `{rule}`", 2),
        ("permit", "deny", "warehouse.export", "arguments_invalid (export)", 2),
    ]
    records = json.loads(call("audit", "list", "--ledger", ledger, "--effect", "deny", "--json").out.splitlines()[0])
    assert found["groups"][0]["example"] == records["decision_id"]
    shown = call("compare", "--ledger", ledger)
    assert shown.code == 1
    assert "6 calls in 7 days: 2 decided alike, 4 would change, 0 cannot be judged" in shown.out


def test_where_nothing_changes_it_exits_0(live: Path, call: Call) -> None:
    code, found = told(call, work(live, following(live)))

    assert (code, found["same"], found["groups"]) == (0, 6, [])


def test_what_cannot_be_judged_is_no_yes(live: Path, call: Call) -> None:
    """A pipeline must not take it for one."""
    code, found = told(call, work(live, following(live, ("tables: result.tables", "tables: result.others"))))

    assert (code, found["changed"], found["cannot_be_judged"]) == (3, 0, 2)
    assert [(g["candidate"], g["rule"]) for g in found["groups"]] == [(None, "`kept.tables`")]


def test_the_newest_candidate_is_meant_or_the_one_that_is_named(live: Path, call: Call) -> None:
    first = work(live, following(live, ("maximum: 50000", "maximum: 400")))
    ledger = work(live, following(live))
    assert first == ledger
    code, found = told(call, ledger)
    assert (code, found["calls"], found["of_other_candidates"]) == (0, 6, 6)
    code, found = told(call, ledger, following(live, ("maximum: 50000", "maximum: 400")))
    assert (code, found["changed"]) == (1, 2)


def test_a_candidate_that_judged_nothing_is_an_error(live: Path, call: Call) -> None:
    """Nothing compared is not nothing changed."""
    home = live.parent / "home"
    with Guard.load(live, home=home):
        pass
    ended = call("compare", "--ledger", home / "ledger.sqlite3")

    assert ended.code == 3
    assert "judged no call" in ended.err


def verdict(at: datetime, number: int, live: str = "permit", now: str | None = "deny", **more: Any) -> dict[str, Any]:
    finding = {"effect": "deny", "reason": "condition_false", "step": "s", "detail": f"`x < {number}`: not so"}
    said = {"effect": now, "step": None, "reasons": ["condition_false"], "findings": [finding], "lacks": []}
    data = record("candidate", at, decision_id=f"d-{number}", workflow="w", tool="t", outcome="judged", **more)
    before = {"effect": live, "step": "s", "reasons": [], "findings": []}
    return {**data, "candidate": {"revision": "sha256:n", "verdict": said, "live": before}}


def test_only_the_last_days_count(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "ledger.sqlite3"
    ledger, now = open_ledger(path), datetime.now(UTC)
    for days, number in ((9, 1), (8, 2), (1, 3)):
        ledger.append(verdict(now - timedelta(days=days), number)).result()
    ledger.shut()

    assert told(call, path)[1]["calls"] == 1
    assert told(call, path, "--days", "10")[1]["calls"] == 3


def test_groups_have_a_bound_and_what_is_past_it_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rules there are, a comparison takes no more room."""
    monkeypatch.setattr(compare, "MOST_GROUPS", 10)
    found = compare.compare((verdict(datetime.now(UTC), number) for number in range(25)), "sha256:n")

    assert (len(found.groups), found.left_out, found.counts["changed"]) == (10, 15, 25)


def test_what_was_lost_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = record("candidate", datetime.now(UTC), outcome="lost", why="17 calls were not judged: too many at once")
    lost["candidate"] = {"revision": "sha256:n", "verdict": None, "live": None}

    assert compare.compare([lost], "sha256:n").counts == {"lost": 17}


@pytest.mark.parametrize("spoilt", [None, [], "x", {"revision": "sha256:n"}, {"revision": "sha256:n", "verdict": 3}])
def test_a_record_of_another_kind_of_fields_spoils_nothing(spoilt: Any) -> None:
    data = {**verdict(datetime.now(UTC), 1), "candidate": spoilt}

    compare.compare([data, verdict(datetime.now(UTC), 2)], "sha256:n")
