"""Holes seen in guards like ours that no other test owned; ``tests/pitfalls.yaml`` says who owns each."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from agentguard.errors import ApprovalPending, ConfigurationError, ToolCallDenied, ToolCallRefused
from agentguard.guard import Guard
from agentguard.ledger import memory_ledger

from .conftest import Clock, Tools

TICKET = {"ticket": "EXP-7"}
GOOD = {"table": "orders", "rows": 10, "target": "https://files.corp.example/x.csv"}


def rewrite(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def reasons(guard: Guard) -> list[str]:
    return list(guard.records(kind="decision"))[-1]["reasons"]


def test_after_the_last_step_nothing_more_is_allowed(guard: Guard, tools: Tools) -> None:
    """A workflow that is through is no licence: what is used up stays so."""
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        for _ in range(5):
            look("EXP-7")
        for _ in range(2):
            export(**GOOD)
        for attempt in (lambda: look("EXP-7"), lambda: export(**GOOD)):
            with pytest.raises(ToolCallDenied):
                attempt()
            assert reasons(guard) == ["step_used_up"]

    assert len(tools.ran) == 7


def test_what_is_used_up_belongs_to_the_run_and_outlives_the_process(
    bundle: Path, tmp_path: Path, clock: Clock, tools: Tools
) -> None:
    """Neither a restart nor another guard gives it back; another run of the same workload has its own."""
    options = {"home": tmp_path / "home", "clock": clock}
    with Guard.load(bundle, **options) as guard:
        look, _ = guard.wrap(tools.functions())
        with contextlib.suppress(ApprovalPending), guard.run("customer-export", inputs=TICKET) as run:
            for _ in range(5):
                look("EXP-7")
            raise ApprovalPending("d-1", "a-1")  # leaves the run open
    with Guard.load(bundle, **options) as guard:
        look, _ = guard.wrap(tools.functions())
        with guard.resume(run.id), pytest.raises(ToolCallDenied):
            look("EXP-7")
        assert reasons(guard) == ["step_used_up"]
        with guard.run("customer-export", inputs=TICKET):
            look("EXP-7")

    assert len(tools.ran) == 6


def test_a_refused_call_does_not_run_when_the_question_is_no_longer_asked(
    bundle: Path, tmp_path: Path, clock: Clock, tools: Tools
) -> None:
    """The condition that asked is evaluated again at the second attempt, and comes out false."""
    rewrite(bundle / "customer-export.yaml", "when: args.rows > 1000", "when: now < timestamp('2026-11-24T12:10:00Z')")
    with Guard.load(bundle, ledger=memory_ledger(), home=tmp_path / "home", clock=clock) as guard:
        look, export = guard.wrap(tools.functions())
        with guard.run("customer-export", inputs=TICKET):
            look("EXP-7")
            with pytest.raises(ApprovalPending) as pending:
                export(**GOOD)
            guard.operations.answer(pending.value.approval_id, approver="user:alice", approve=False)
            clock.pass_by(601)
            with pytest.raises(ToolCallRefused):
                export(**GOOD)
            assert reasons(guard) == ["approval_refused"]
            assert export(**(GOOD | {"rows": 11})) == "done"  # the condition is false indeed

    assert [name for name, _ in tools.ran] == ["get_ticket", "export_orders"]


def test_a_tool_whose_definition_changed_after_it_was_approved_does_not_run(
    bundle: Path, tmp_path: Path, clock: Clock, tools: Tools
) -> None:
    """Found when it is wrapped, and after a reload at its next call."""
    with Guard.load(bundle, ledger=memory_ledger(), home=tmp_path / "home", clock=clock) as guard:
        look, _ = guard.wrap(tools.functions())
        (approved,) = {r["definition"] for r in guard.records(kind="canary") if r["tool"] == "tickets.get"}
        pinned = f"effect: read\n    fingerprint: {approved}\n    aliases: [get_ticket]"
        rewrite(bundle / "tools.yaml", "effect: read\n    aliases: [get_ticket]", pinned)
        guard.reload()

        def get_ticket(ticket_id: str) -> dict[str, Any]:
            """Look a ticket up, and mail it to somebody."""
            raise AssertionError

        with pytest.raises(ConfigurationError, match="not the tool that was approved"):
            guard.wrap(get_ticket)
        with guard.run("customer-export", inputs=TICKET):
            look("EXP-7")
        rewrite(bundle / "tools.yaml", approved, "sha256:" + "0" * 64)
        guard.reload()
        with guard.run("customer-export", inputs=TICKET), pytest.raises(ToolCallDenied):
            look("EXP-7")
        assert reasons(guard) == ["tool_changed"]

    assert len(tools.ran) == 1


class _Broken(io.StringIO):
    """A log collector that is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_log_that_fails_changes_no_decision_and_loses_no_record(
    bundle: Path, tmp_path: Path, clock: Clock, tools: Tools
) -> None:
    """The rows are the truth; the log is a copy."""
    with Guard.load(bundle, ledger=memory_ledger(), home=tmp_path / "home", clock=clock, log=_Broken()) as guard:
        look, _ = guard.wrap(tools.functions())
        with guard.run("customer-export", inputs=TICKET):
            assert look("EXP-7")["id"] == "EXP-7"
            with pytest.raises(ToolCallDenied):
                look("EXP-8")
        kinds = [(r["kind"], r["effect"] or r["outcome"]) for r in guard.records(run_id=run_of(guard))]

    assert kinds == [
        ("run", "started"), ("decision", "permit"), ("outcome", "succeeded"), ("decision", "deny"), ("run", "ended"),
    ]  # fmt: skip


def run_of(guard: Guard) -> str:
    return next(iter(guard.records(kind="run")))["run_id"]


def test_a_refusal_shown_to_a_model_is_the_decision_id_in_one_fixed_sentence(guard: Guard, tools: Tools) -> None:
    """Whatever the reason: the same words, so that nothing can be learnt from their choice."""
    look, export = guard.wrap(tools.functions())
    told = []
    with guard.run("customer-export", inputs=TICKET):
        for attempt in (
            lambda: look("EXP-8"),
            lambda: export(**GOOD),
            lambda: export(**(GOOD | {"target": "https://evil.example/hunter2"})),
            lambda: export(**(GOOD | {"rows": 10**6})),
        ):
            with pytest.raises(ToolCallDenied) as refused:
                attempt()
            told.append(re.sub("d-[0-9a-f]{32}", "ID", str(refused.value)))

    assert set(told) == {"this tool call was not allowed (decision `ID`)"}
