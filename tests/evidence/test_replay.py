"""Recorded calls decided anew: what would change, and what nobody can know any more."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentguard import Guard, ToolCallDenied
from agentguard.cli.replay import app
from agentguard.evidence.records import past_runs
from evidence.desk import BASE, desk_of, honest, steered, write_base
from evidence.test_learnt import Enforced

SEEDS = range(12)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A ledger of twelve runs under the careful owner's policy, one of them steered."""
    folder = tmp_path_factory.mktemp("recorded")
    enforced = Enforced(write_base(folder / "base"), folder)
    for seed in SEEDS:
        calls = steered(seed, "pay me") if seed == 0 else ((call, False) for call in honest(seed))
        enforced.play(seed, calls, desk_of(seed))
    enforced.guard.shut()
    yield folder


def replay(folder: Path, text: str, *more: str) -> tuple[int, dict[str, object]]:
    """What the command says of another bundle, and its exit code."""
    place = folder / f"next-{abs(hash(text))}"
    if not place.exists():
        place.mkdir()
        (place / "desk.yaml").write_text(text, "utf-8")
    said = CliRunner().invoke(app, [str(place), "--ledger", str(folder / "ledger.sqlite3"), "--json", *more])
    assert said.exit_code in (0, 1, 3), said.output
    return said.exit_code, json.loads(said.output)


def changed(text: str, old: str, new: str) -> str:
    """The policy with one place changed."""
    assert old in text
    return text.replace(old, new)


def test_the_bundle_that_was_in_force_changes_nothing(recorded: Path) -> None:
    """Everything that its decisions rested on is on record."""
    code, found = replay(recorded, BASE)
    assert (code, found["newly"], found["no_longer_judged"]) == (0, {"permitted": 0, "asked": 0, "denied": 0}, 0)
    assert found["same"] == found["calls"] > 40


def test_a_run_of_a_key_counts_on_from_the_one_before(tmp_path: Path) -> None:
    """What was refused because of the earlier run is refused again; without that it would pass for a change."""
    desk = ROOT / "workflows" / "help_desk"

    def look_up(customer: str, order: str) -> str:
        return "shoes"

    def refund(customer: str, order: str, cents: int) -> str:
        return "refunded"

    with Guard.load(desk, ledger=tmp_path / "ledger.sqlite3", home=tmp_path / "home") as guard:
        look, give = guard.wrap([look_up, refund])
        for _ in range(3):
            with guard.run("help-desk", inputs={"customer": "ann"}, requester="user:ann", key="t") as run:
                look("ann", "ORD-1")
                with contextlib.suppress(ToolCallDenied):
                    give("ann", "ORD-1", 1000)
                run.end()
    said = CliRunner().invoke(app, [str(desk), "--ledger", str(tmp_path / "ledger.sqlite3"), "--json"])

    found = json.loads(said.output)
    assert (said.exit_code, found["calls"], found["same"]) == (0, 6, 6)


def test_calls_of_sub_agents_are_calls_of_the_run_that_delegated_them(tmp_path: Path) -> None:
    """What one looked up counts for the other; without that, each refund would pass for one that is refused now."""
    desk = ROOT / "workflows" / "help_desk"

    def look_up(customer: str, order: str) -> str:
        return "shoes"

    def refund(customer: str, order: str, cents: int) -> str:
        return "refunded"

    with Guard.load(desk, ledger=tmp_path / "ledger.sqlite3", home=tmp_path / "home") as guard:
        look, give = guard.wrap([look_up, refund])
        with guard.run("help-desk", inputs={"customer": "ann"}, requester="user:ann") as run:
            with run.delegate() as child, child.delegate(["look-up"]):
                look("ann", "ORD-1")
                with contextlib.suppress(ToolCallDenied):
                    give("ann", "ORD-1", 1000)
            give("ann", "ORD-1", 1000)
        runs, passed_over = past_runs(guard.operations, "help-desk", None, 10)
    said = CliRunner().invoke(app, [str(desk), "--ledger", str(tmp_path / "ledger.sqlite3"), "--json"])

    found = json.loads(said.output)
    assert (said.exit_code, found["calls"], found["same"]) == (0, 3, 3)
    assert ([each.id for each in runs], passed_over) == ([run.id], 0)
    assert [(call.tool, str(call.ran)) for call in runs[0].calls] == [
        ("orders.get", "succeeded"), ("orders.refund", "not run"), ("orders.refund", "succeeded"),
    ]  # fmt: skip


CASES = [
    ("a step gone", "    tool: list_rates\n    arguments: {currency", "    tool: set_limit\n    arguments: {currency",
     "denied", "list_rates"),
    ("an enum narrower", "enum: [EUR, USD, GBP]", "enum: [EUR]", "denied", "list_rates"),
    ("another source", "amount: {type: number, from: inputs.amount}", "amount: {type: number, maximum: 0}", "denied",
     "send_money"),
    ("any account", 'iban: {type: string, from: "list_payees[*].iban"}', "iban: {type: string}", "permitted", None),
    ("a person is asked", "    at_most: 1\n    arguments:\n      iban",
     '    at_most: 1\n    approval: {from: ["user:olga"], quorum: 1, within: 4h}\n    arguments:\n      iban',
     "asked", "send_money"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "kind", "tool"), CASES, ids=[case[0] for case in CASES])
def test_a_change_of_the_bundle_shows_in_the_calls_it_concerns(
    recorded: Path, name: str, old: str, new: str, kind: str, tool: str | None
) -> None:
    """Each with an exit code for a pipeline. Of the steered run's call, the amount still refuses it."""
    code, found = replay(recorded, changed(BASE, old, new))
    changes = found["changes"]
    assert isinstance(changes, list)
    if tool is None:
        assert (code, changes) == (0, [])  # 900 is not what the run was given, so nothing opens
        code, found = replay(
            recorded, changed(changed(BASE, old, new), "{type: number, from: inputs.amount}", "{type: number}")
        )
        changes = found["changes"]
        assert isinstance(changes, list)
        tool = "send_money"
    assert code == 1
    assert {(change["now"], change["tool"]) for change in changes if change["now"] == kind} == {(kind, tool)}


def test_what_no_record_holds_can_no_longer_be_judged(recorded: Path) -> None:
    """The policy then did not remember where values stood in the rates; what is asked of them now nobody knows."""
    asks = changed(BASE, '"list_payees[*].iban"', "get_ticket.iban")
    code, found = replay(recorded, asks)
    judged = {(c["now"], c["tool"]) for c in found["changes"]}  # type: ignore[attr-defined]
    assert (code, judged) == (3, {("unjudged", "send_money")})


def test_erased_inputs_are_not_guessed(tmp_path: Path) -> None:
    """A run whose inputs are gone is not judged by others."""
    enforced = Enforced(write_base(tmp_path / "base"), tmp_path)
    enforced.play(3, ((call, False) for call in honest(3)), desk_of(3))
    run = next(iter(enforced.guard.operations.runs()))
    enforced.guard.operations.erase(run_id=run.id, by="user:olga", why="asked for")
    enforced.guard.shut()
    code, found = replay(tmp_path, BASE)
    assert code == 3
    changes = found["changes"]
    assert isinstance(changes, list)
    assert {change["now"] for change in changes} == {"unjudged"}
    assert all(change["reasons"][0].startswith("its inputs") for change in changes)
