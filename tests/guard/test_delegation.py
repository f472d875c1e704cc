"""A run that another one delegates can do at most what that one may, and no limit is there twice."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentguard.cli import main
from agentguard.core.values import Risk
from agentguard.errors import ApprovalPending, ConfigurationError, LedgerError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.guard.run import RunContext
from agentguard.ledger import Promise
from agentguard.ledger.rebuild import rebuild_ledger

from .conftest import EXPORTER, FILES, Clock, Tools

HELPER = "spiffe://corp.example/agent/helper"
SMALL = {"table": "orders", "rows": 5, "target": "https://files.corp.example/x.csv"}
BIG = {**SMALL, "rows": 2000}
OPS: dict[str, Any] = {"by": "user:ops", "why": "wrong ticket"}
BOTH = FILES["customer-export.yaml"].replace(f"  - {EXPORTER}\n", f"  - {EXPORTER}\n  - {HELPER}\n", 1)

Look = Callable[[str], Any]
Export = Callable[..., Any]


@pytest.fixture
def policy(bundle: Path) -> Path:
    (bundle / "customer-export.yaml").write_text(BOTH)
    (bundle / "trust.yaml").write_text(FILES["trust.yaml"].replace(f'["{EXPORTER}"]', f'["{EXPORTER}", "{HELPER}"]'))
    return bundle


@pytest.fixture
def guard(policy: Path, tmp_path: Path, clock: Clock) -> Iterator[Guard]:
    with loaded(policy, tmp_path, clock) as made:
        yield made


def loaded(policy: Path, folder: Path, clock: Clock) -> Guard:
    return Guard.load(policy, ledger=folder / "ledger.sqlite3", home=folder / "home", clock=clock, subject=EXPORTER)


@pytest.fixture
def look(guard: Guard, tools: Tools) -> Look:
    looked: Look = guard.wrap(tools.functions()[0])
    return looked


@pytest.fixture
def export(guard: Guard, tools: Tools) -> Export:
    exported: Export = guard.wrap(tools.functions()[1])
    return exported


def a_run(guard: Guard, **more: Any) -> RunContext:
    return guard.run("customer-export", inputs={"ticket": "EXP-7"}, requester="user:ann", **more)


def changed(guard: Guard, policy: Path, *pairs: tuple[str, str]) -> None:
    text = (policy / "customer-export.yaml").read_text()
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after, 1)
    (policy / "customer-export.yaml").write_text(text)
    guard.reload()


def refused(guard: Guard, call: Callable[[], object]) -> list[str]:
    """The reasons for which this is refused."""
    with pytest.raises(ToolCallDenied) as denied:
        call()
    found: list[str] = next(iter(guard.records(decision_id=denied.value.decision_id)))["reasons"]
    return found


def status(guard: Guard, run: RunContext) -> str:
    state = guard.operations.run(run.id)
    assert state is not None
    return str(state.status)


# What it may do.


def test_a_child_takes_the_steps_that_it_was_given_and_no_other(guard: Guard, look: Look, export: Export) -> None:
    with a_run(guard) as run:
        with run.delegate(["look-up"]) as child:
            look("EXP-7")
            assert refused(guard, lambda: export(**SMALL)) == ["step_not_delegated"]
        assert export(**SMALL) == "done"

    assert child.id != run.id


def test_what_a_child_did_and_kept_counts_in_its_parent_and_the_other_way(
    guard: Guard, look: Look, export: Export
) -> None:
    """`after` and kept values are of the whole tree: the parent goes on where the child stopped."""
    with a_run(guard) as run:
        with run.delegate(["look-up"]):
            look("EXP-7")
        with run.delegate(["export"]):
            assert export(**SMALL) == "done"


def test_a_child_has_the_inputs_of_its_parent(guard: Guard, look: Look) -> None:
    """The workflow was opened for one ticket; a sub-agent reads no other."""
    with a_run(guard) as run, run.delegate():
        look("EXP-7")
        assert refused(guard, lambda: look("EXP-8")) == ["condition_false"]


@pytest.mark.parametrize("steps", [["look-up", "unlock"], ["unlock"]])
def test_a_child_gives_no_more_than_it_has(guard: Guard, steps: list[str]) -> None:
    with a_run(guard) as run, run.delegate(["look-up", "export"]) as child:
        with pytest.raises(ConfigurationError, match="gives only what it has"), child.delegate(steps):
            pass
        with child.delegate(["look-up"]) as grandchild:
            assert status(guard, grandchild) == "active"


def test_a_grandchild_without_steps_of_its_own_has_those_of_its_parent(guard: Guard, export: Export) -> None:
    with a_run(guard) as run, run.delegate(["look-up"]) as child, child.delegate():
        assert "step_not_delegated" in refused(guard, lambda: export(**SMALL))


@pytest.mark.parametrize(
    ("steps", "said"),
    [("look-up", "a list of names"), (["look"], "has no step `look`"), ([7], "no text"), (7, "a list of names")],
)
def test_steps_are_names_of_steps(guard: Guard, steps: Any, said: str) -> None:
    """A text is no list of its letters."""
    with a_run(guard) as run, pytest.raises(ConfigurationError, match=said), run.delegate(steps):
        pass


def test_a_child_without_any_step_does_nothing(guard: Guard, look: Look) -> None:
    with a_run(guard) as run, run.delegate([]):
        assert refused(guard, lambda: look("EXP-7")) == ["step_not_delegated"]


# No limit is there twice.


def test_calls_are_counted_over_the_whole_tree(guard: Guard, look: Look, tools: Tools) -> None:
    """Five look-ups: two by the run, one by each of two children, one by a grandchild."""
    with a_run(guard) as run:
        look("EXP-7"), look("EXP-7")
        with run.delegate():
            look("EXP-7")
        with run.delegate() as second:
            look("EXP-7")
            with second.delegate():
                look("EXP-7")
                assert refused(guard, lambda: look("EXP-7")) == ["step_used_up"]
            assert refused(guard, lambda: look("EXP-7")) == ["step_used_up"]
        assert refused(guard, lambda: look("EXP-7")) == ["step_used_up"]

    assert len(tools.ran) == 5


def test_calls_for_one_value_are_counted_over_the_whole_tree(guard: Guard, policy: Path, look: Look) -> None:
    changed(guard, policy, ("    at_most: 5\n", "    at_most: 1\n    per: args.ticket_id\n"))
    with a_run(guard) as run:
        with run.delegate():
            look("EXP-7")
        assert refused(guard, lambda: look("EXP-7")) == ["step_used_up"]
        with run.delegate():
            assert refused(guard, lambda: look("EXP-7")) == ["step_used_up"]


def test_successes_are_counted_over_the_whole_tree(guard: Guard, policy: Path) -> None:
    """A failure that did nothing is given back to all of them; a success to none."""
    changed(guard, policy, ("    at_most: 5\n", "    at_most: 1\n    counting: successes\n"))
    fails = [True, False]

    def get_ticket(ticket_id: str) -> dict[str, Any]:
        if fails.pop(0):
            raise OSError
        return {"tables": []}

    look = guard.wrap(get_ticket)
    with a_run(guard) as run:
        with run.delegate(), pytest.raises(OSError):
            look("EXP-7")
        with run.delegate():
            look("EXP-7")
        assert refused(guard, lambda: look("EXP-7")) == ["step_used_up"]


@pytest.mark.parametrize("per", ["", ", per: 1d"])
def test_a_budget_is_one_for_the_whole_tree(guard: Guard, policy: Path, look: Look, export: Export, per: str) -> None:
    changed(guard, policy, ("at_most: 10000, per: 1d", f"at_most: 12{per}"), ("    at_most: 2\n", "    at_most: 9\n"))
    with a_run(guard) as run:
        look("EXP-7")
        for _ in range(2):
            with run.delegate(["export"]):
                export(**SMALL)
        assert refused(guard, lambda: export(**SMALL)) == ["budget_exceeded"]
        with run.delegate(["export"]):
            assert refused(guard, lambda: export(**SMALL)) == ["budget_exceeded"]


def test_children_at_once_do_not_take_the_last_call_twice(guard: Guard, look: Look, tools: Tools) -> None:
    def work(run: RunContext) -> int:
        done = 0
        with run.delegate(["look-up"]):
            for _ in range(4):
                try:
                    look("EXP-7")
                    done += 1
                except ToolCallDenied:
                    break
        return done

    with a_run(guard) as run, ThreadPoolExecutor(8) as pool:
        done = sum(pool.map(run.carry(work), [run] * 8))

    assert done == len(tools.ran) == 5


def test_an_approval_is_used_once_by_the_run_that_asked(guard: Guard, look: Look, export: Export) -> None:
    """A yes to a child's call is none to its parent's, and none to another child's."""
    with a_run(guard) as run:
        look("EXP-7")
        with run.delegate(["export"]) as child:
            with pytest.raises(ApprovalPending) as waits:
                export(**BIG)
            assert run.waiting == child.waiting == (waits.value.approval_id,)
            for who in ("user:alice", "user:bob"):
                guard.operations.answer(waits.value.approval_id, approver=who, approve=True)
            with pytest.raises(ApprovalPending), run.delegate(["export"]):
                export(**BIG)
            assert export(**BIG) == "done"
            with pytest.raises(ApprovalPending):
                export(**BIG)
        run.end()


# What takes power away.


def test_a_stop_of_the_parent_stops_its_children_at_once(guard: Guard, look: Look) -> None:
    with a_run(guard) as run, run.delegate() as child, child.delegate() as grandchild:
        guard.operations.stop_run(run.id, **OPS)
        assert refused(guard, lambda: look("EXP-7")) == ["run_stopped"]
        assert (status(guard, child), status(guard, grandchild)) == ("stopped", "stopped")
        assert refused(guard, lambda: grandchild.delegate().__enter__()) == ["run_stopped"]

    said = {each["run_id"]: each for each in guard.records(kind="run") if each["outcome"] == "stopped"}
    assert said.keys() == {child.id, grandchild.id}
    assert said[child.id]["why"] == f"run {run.id}, which delegated it, is stopped"
    assert said[grandchild.id]["parent_run"] == child.id


def test_a_child_that_is_stopped_stops_nobody_else(guard: Guard, look: Look) -> None:
    with a_run(guard) as run:
        with run.delegate() as child:
            guard.operations.stop_run(child.id, **OPS)
            assert refused(guard, lambda: look("EXP-7")) == ["run_stopped"]
        look("EXP-7")


def test_a_child_ends_with_its_parent(guard: Guard, look: Look) -> None:
    with a_run(guard) as run, run.delegate() as child:
        run.end()
        assert refused(guard, lambda: look("EXP-7")) == ["run_ended"]

    assert status(guard, child) == "ended"
    with pytest.raises(ConfigurationError, match="is not open"):
        guard.resume(child.id).__enter__()


def test_a_child_lasts_no_longer_than_the_first_run_of_its_tree(
    guard: Guard, policy: Path, look: Look, clock: Clock
) -> None:
    changed(guard, policy, ("inputs:\n", "lasts: 1h\nidle: 30m\ninputs:\n"))
    with a_run(guard) as run:
        clock.pass_by(1700)
        with run.delegate():
            look("EXP-7")
            clock.pass_by(1799)
            look("EXP-7")
            clock.pass_by(102)
            assert refused(guard, lambda: look("EXP-7")) == ["run_expired"]


def test_a_run_is_not_idle_while_its_child_works(guard: Guard, policy: Path, look: Look, clock: Clock) -> None:
    changed(guard, policy, ("inputs:\n", "idle: 30m\ninputs:\n"))
    with a_run(guard) as run:
        clock.pass_by(1700)
        with run.delegate():
            look("EXP-7")
        clock.pass_by(1700)
        look("EXP-7")
        clock.pass_by(1801)
        with run.delegate():
            assert refused(guard, lambda: look("EXP-7")) == ["run_idle"]


@pytest.mark.parametrize("whom", [EXPORTER, HELPER])
def test_of_a_suspended_subject_no_call_is_made_by_another(guard: Guard, look: Look, whom: str) -> None:
    with a_run(guard) as run, run.delegate(subject=HELPER):
        look("EXP-7")
        guard.operations.suspend_subject(whom, **OPS)
        assert refused(guard, lambda: look("EXP-7")) == ["subject_suspended"]


@pytest.mark.parametrize("whom", [EXPORTER, HELPER, "user:ann"])
def test_a_tree_is_stopped_where_sessions_of_one_above_are_ended(guard: Guard, look: Look, whom: str) -> None:
    with a_run(guard) as run, run.delegate(subject=HELPER):
        guard.operations.end_sessions(whom, **OPS)
        assert refused(guard, lambda: look("EXP-7")) == ["run_stopped"]
        assert status(guard, run) == ("active" if whom == HELPER else "stopped")


def test_sessions_of_a_child_that_were_ended_before_it_began_stop_it_not(
    guard: Guard, look: Look, clock: Clock
) -> None:
    """The tree began earlier, by somebody else."""
    with a_run(guard) as run:
        clock.pass_by(5)
        guard.operations.end_sessions(HELPER, **OPS)
        clock.pass_by(5)
        with run.delegate(subject=HELPER):
            look("EXP-7")


def test_the_risk_of_a_run_is_that_of_its_children(guard: Guard, look: Look, export: Export) -> None:
    with a_run(guard) as run:
        look("EXP-7")
        with run.delegate():
            guard.operations.set_risk(run.id, Risk.HIGH, **OPS)
            assert "risk_too_high" in refused(guard, lambda: export(**SMALL))


# Another subject.


def test_a_child_of_another_subject_acts_as_that(guard: Guard, look: Look) -> None:
    with a_run(guard) as run, run.delegate(["look-up"], subject=HELPER):
        look("EXP-7")

    assert [each["subject"] for each in guard.records(kind="decision")] == [HELPER]


def test_a_child_of_a_subject_that_the_workflow_does_not_list_is_refused(guard: Guard) -> None:
    with a_run(guard) as run:
        found = refused(guard, lambda: run.delegate(subject="spiffe://corp.example/agent/other").__enter__())

    assert found == ["subject_not_allowed"]


def test_a_run_is_delegated_on_the_proof_of_its_parent(guard: Guard, look: Look, monkeypatch: Any) -> None:
    """Its process cannot prove another workload; that one proves itself for each call."""
    asked: list[str | None] = []
    identify = guard.identify
    monkeypatch.setattr(guard, "identify", lambda ask: (asked.append(ask.subject), identify(ask))[1])
    with a_run(guard) as run:
        child = run.delegate(["look-up"], subject=HELPER)
        with child:
            child.leave()
    assert asked == [EXPORTER, EXPORTER]
    begun = [each for each in guard.records(kind="run", run_id=child.id) if each["outcome"] == "started"]
    assert [(each["subject"], each["issuer"], each["assurance"]) for each in begun] == [(HELPER, None, None)]


def test_only_the_subject_of_a_run_delegates_it(guard: Guard, monkeypatch: Any) -> None:
    identify = guard.identify
    with a_run(guard) as run:
        monkeypatch.setattr(guard, "identify", lambda ask: replace(identify(ask), subject=HELPER))
        assert refused(guard, lambda: run.delegate().__enter__()) == ["subject_changed"]


def test_nobody_is_swept_while_somebody_is_inside_below(
    guard: Guard, policy: Path, tmp_path: Path, clock: Clock, look: Look
) -> None:
    """The parent was left open, and another process goes on with its sub-agent."""
    with a_run(guard) as run:
        with run.delegate(["look-up"]) as child:
            child.leave()
        run.leave()
    with loaded(policy, tmp_path, clock) as other, other.resume(child.id):
        assert guard.operations.whereabouts()[run.id] == "inside"
        assert guard.operations.sweep(**OPS) == []
        other.wrap(get_ticket)("EXP-7")
    assert {each.id for each in guard.operations.sweep(**OPS)} >= {run.id}


def get_ticket(ticket_id: str) -> dict[str, Any]:
    return {"tables": ["orders"], "id": ticket_id}


def test_what_a_condition_says_of_the_subject_holds_for_both(guard: Guard, policy: Path, look: Look) -> None:
    """Whoever may not read it itself has nobody else read it."""
    changed(guard, policy, ("args.ticket_id == inputs.ticket", f"subject == '{HELPER}'"))
    with a_run(guard) as run, run.delegate(subject=HELPER):
        assert refused(guard, lambda: look("EXP-7")) == ["condition_false"]


# Going on.


def test_a_child_goes_on_by_its_id_in_another_process(
    guard: Guard, policy: Path, tmp_path: Path, clock: Clock, look: Look, tools: Tools
) -> None:
    with a_run(guard, key="thread-42") as run, run.delegate(["look-up"], subject=HELPER) as child:
        look("EXP-7")
        child.leave()
    with loaded(policy, tmp_path, clock) as other, other.resume(child.id) as again:
        other.wrap(tools.functions()[0])("EXP-7")
        assert refused(other, lambda: other.wrap(tools.functions()[1])(**SMALL)) == ["step_not_delegated"]
        assert again.tree == run.id

    state = guard.operations.run(run.id)
    assert state is not None and state.counts == {"look-up": 2}


def test_a_run_whose_child_waits_for_a_person_stays_open(guard: Guard, look: Look, export: Export) -> None:
    with a_run(guard) as run:
        look("EXP-7")
        with run.delegate(["export"]) as child, pytest.raises(ApprovalPending) as waits:
            export(**BIG)
    assert (status(guard, run), status(guard, child)) == ("active", "active")

    for who in ("user:alice", "user:bob"):
        guard.operations.answer(waits.value.approval_id, approver=who, approve=True)
    with guard.resume(run.id), guard.resume(child.id):
        assert export(**BIG) == "done"


def test_it_is_the_same_in_tasks(guard: Guard, tools: Tools) -> None:
    async def get_ticket(ticket_id: str) -> dict[str, Any]:
        tools.ran.append(("get_ticket", ticket_id))
        return {"tables": ["orders"]}

    look = guard.wrap(get_ticket)

    async def work(run: RunContext) -> int:
        async with run.delegate(["look-up"]):
            done = await asyncio.gather(*(look("EXP-7") for _ in range(3)), return_exceptions=True)
        return sum(isinstance(each, dict) for each in done)

    async def main() -> list[int]:
        async with a_run(guard) as run:
            return await asyncio.gather(*(work(run) for _ in range(4)))

    assert sum(asyncio.run(main())) == len(tools.ran) == 5


def test_only_a_run_that_is_entered_delegates(guard: Guard) -> None:
    run = a_run(guard)
    with pytest.raises(ConfigurationError, match="not entered"):
        run.delegate()
    with run:
        child = run.delegate()
    with pytest.raises(ConfigurationError, match="was left"):
        child.__enter__()


def test_a_tree_is_so_deep_and_no_deeper(guard: Guard) -> None:
    with a_run(guard) as run:
        for _ in range(8):
            run = run.delegate()
            run.__enter__()
        with pytest.raises(ConfigurationError, match="too far below"):
            run.delegate().__enter__()
        guard.operations.stop_run(run.tree, **OPS)


def test_records_and_runs_name_the_parent(guard: Guard, look: Look) -> None:
    with a_run(guard) as run, run.delegate(["look-up"]) as child:
        look("EXP-7")
        state = guard.operations.run(child.id)
        above = guard.operations.run(run.id)

    assert state is not None and state.family is not None and above is not None and above.family is not None
    assert (state.family.parent, state.family.root, state.family.steps) == (run.id, run.id, frozenset({"look-up"}))
    assert (above.family.parent, above.family.children) == (None, (child.id,))
    found = [each for each in guard.records() if each["run_id"] == child.id]
    assert {each["kind"] for each in found} == {"run", "decision", "outcome"}
    assert {each["parent_run"] for each in found} == {run.id}
    assert [each["parent_run"] for each in guard.records(run_id=run.id)] == [None, None]


def test_a_ledger_that_is_made_again_knows_the_tree(
    guard: Guard, policy: Path, tmp_path: Path, clock: Clock, look: Look
) -> None:
    with a_run(guard, key="thread-42") as run, run.delegate(["look-up"]) as child:
        look("EXP-7")
        child.leave()
    before = [guard.operations.run(each.id) for each in (run, child)]
    guard.shut()
    rebuild_ledger(tmp_path / "ledger.sqlite3")
    with loaded(policy, tmp_path, clock) as again:
        assert [again.operations.run(each.id) for each in (run, child)] == before


def test_a_tree_has_lost_track_where_an_outcome_of_a_child_was_never_written(
    guard: Guard, look: Look, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that gives an outcome up does so for the whole tree."""
    with a_run(guard) as run:
        look("EXP-7")
        with run.delegate():
            broken: Promise[Any] = Promise(guard.ledger.engine, 0, lambda *_: None, None)
            broken.answer(None, LedgerError("the disk is full"))
            monkeypatch.setattr(guard.ledger, "close", lambda closing: broken)
            look("EXP-7")
            monkeypatch.undo()
            assert refused(guard, lambda: export(**SMALL)) == ["condition_failed", "run_lost_track"]
        assert refused(guard, lambda: export(**SMALL)) == ["condition_failed", "run_lost_track"]


def test_the_command_line_shows_the_tree(
    guard: Guard, tmp_path: Path, look: Look, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = str(tmp_path / "ledger.sqlite3")
    with a_run(guard) as run, run.delegate(["look-up"]) as child:
        look("EXP-7")
        shown = said(capsys, "runs", "show", child.id, "--ledger", ledger)
        assert all(each in shown for each in (f"parent {run.id}", "delegated steps", "look-up"))
        assert child.id in said(capsys, "runs", "show", run.id, "--ledger", ledger)
        found = json.loads(said(capsys, "runs", "list", "--parent", run.id, "--json", "--ledger", ledger))
        assert [(each["id"], each["parent"], each["open_below"]) for each in found] == [(child.id, run.id, [])]
        assert said(capsys, "runs", "list", "--ledger", ledger).count(run.id) == 2
        last = next(guard.records(kind="decision"))["decision_id"]
        assert f"parent run {run.id}" in said(capsys, "explain", "--decision", last, "--ledger", ledger)
        said(capsys, "runs", "stop", run.id, "--ledger", ledger)
        assert refused(guard, lambda: look("EXP-7")) == ["run_stopped"]


def said(printed: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command line prints, with one space between words."""
    printed.readouterr()
    assert main(list(words)) == 0
    return re.sub(r" +", " ", printed.readouterr().out)
