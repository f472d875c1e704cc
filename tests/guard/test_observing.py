"""Observing: what Trust names is decided and recorded as ever, and runs; and what refuses all the same."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentguard.errors import ApprovalPending, ConfigurationError, LedgerError, PolicyError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.ledger import memory_ledger, open_ledger

from .conftest import EXPORTER, Clock, Tools

# The clock of these tests stands at noon of 2026-11-24.
UNTIL = "2026-12-08"
WHOLE = "{workflow: customer-export, until: 2026-12-08}"
IN = "https://files.corp.example/a"


def trust(bundle: Path, *observe: str) -> None:
    """Let Trust observe these, and nothing else."""
    file = bundle / "trust.yaml"
    kept = file.read_text().partition("observe:")[0]
    file.write_text(kept + (f"observe: [{', '.join(observe)}]\n" if observe else ""))


def edit(bundle: Path, old: str, new: str) -> None:
    file = bundle / "customer-export.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


@pytest.fixture
def load(bundle: Path, tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Guard]]:
    """Guards over one ledger in memory; ``observe`` is what their Trust observes."""
    ledger, made = memory_ledger(), []

    def load(*observe: str, **more: Any) -> Guard:
        trust(bundle, *observe)
        guard = Guard.load(bundle, **{"ledger": ledger, "home": tmp_path / "home", "clock": clock, **more})
        made.append(guard)
        return guard

    yield load
    for guard in made:
        guard.shut()


@pytest.fixture
def observed(load: Callable[..., Guard]) -> Guard:
    return load(WHOLE)


def wrapped(guard: Guard, tools: Tools) -> tuple[Callable[..., Any], Callable[..., Any]]:
    look_up, export = guard.wrap(tools.functions())
    return look_up, export


def last(guard: Guard, kind: str = "decision") -> dict[str, Any]:
    return list(guard.records(kind=kind))[-1]


def start(guard: Guard) -> Any:
    return guard.run("customer-export", inputs={"ticket": "EXP-7"})


# --- what runs


def test_what_would_be_refused_is_decided_recorded_as_not_enforced_and_runs(observed: Guard, tools: Tools) -> None:
    look_up, _ = wrapped(observed, tools)
    with start(observed):
        assert look_up("EXP-8")["id"] == "EXP-8"

    record = last(observed)
    assert (record["effect"], record["reasons"], record["enforced"]) == ("deny", ["condition_false"], False)
    assert record["step"] == "look-up"
    assert (last(observed, "outcome")["outcome"], last(observed, "outcome")["enforced"]) == ("succeeded", False)


def test_the_same_call_is_refused_where_nothing_is_observed(load: Callable[..., Guard], tools: Tools) -> None:
    """A near miss of the claim before: Trust without `observe`."""
    guard = load()
    look_up, _ = wrapped(guard, tools)
    with start(guard), pytest.raises(ToolCallDenied):
        look_up("EXP-8")

    assert (last(guard)["enforced"], tools.ran) == (True, [])


OWNERS_RULES = {
    "a condition": (lambda get, export: get("EXP-8"), "condition_false"),
    "a bound": (lambda get, export: export("orders", 50_001, IN), "arguments_invalid"),
    "the order": (lambda get, export: export("orders", 5, IN), "step_out_of_order"),
    "a place nobody listed": (
        lambda get, export: export("orders", 5, "https://x.example/"),
        "destination_unclassified",
    ),
    "a place nobody can read": (lambda get, export: export("orders", 5, "https://a@b@c/"), "destination_ambiguous"),
    "a limit": (lambda get, export: [get("EXP-7") for _ in range(6)], "step_used_up"),
    "a budget": (lambda get, export: [export("orders", 6_000, IN) for _ in range(2)], "budget_exceeded"),
}


@pytest.mark.parametrize("rule", OWNERS_RULES)
def test_an_owners_rule_refuses_nothing_while_it_is_observed(observed: Guard, tools: Tools, rule: str) -> None:
    call, reason = OWNERS_RULES[rule]
    with start(observed):
        call(*wrapped(observed, tools))

    assert tools.ran
    assert reason in last(observed)["reasons"]
    assert last(observed)["enforced"] is False


def test_a_tool_of_no_step_runs_and_counts_for_no_step(bundle: Path, load: Callable[..., Guard], tools: Tools) -> None:
    (bundle / "tools.yaml").write_text((bundle / "tools.yaml").read_text() + "  spare: {effect: read}\n")
    guard = load(WHOLE)

    def spare() -> str:
        """Of no workflow."""
        return "ran"

    with start(guard) as run:
        assert guard.wrap(spare)() == "ran"
        state = guard.operations.run(run.id)

    assert (last(guard)["reasons"], last(guard)["enforced"], last(guard)["step"]) == (["no_matching_step"], False, None)
    assert state is not None and state.succeeded <= {""} and dict(state.counts) == {"": 1}


RETYPED: list[tuple[str, Any, Any, str | None]] = [
    ("a number as text", "5", 5, "arguments_invalid"),
    ("a near miss: the number itself", 5, 5, None),
]


@pytest.mark.parametrize(("rows", "ran", "reason"), [case[1:] for case in RETYPED], ids=[case[0] for case in RETYPED])
def test_a_strict_tool_that_is_given_another_type_runs_while_observed_and_its_record_says_refused(
    bundle: Path, load: Callable[..., Guard], tools: Tools, rows: Any, ran: Any, reason: str | None
) -> None:
    """`strict: true` is an owner's rule: what runs is what the tool's own types make of it, as the record says."""
    file = bundle / "tools.yaml"
    file.write_text(
        file.read_text().replace("    secrets: [password]\n", "    secrets: [password]\n    strict: true\n")
    )
    guard = load(WHOLE)
    look_up, export = wrapped(guard, tools)
    with start(guard):
        look_up("EXP-7")
        export("orders", rows, IN)

    assert tools.ran[-1] == ("export_orders", ("orders", ran, IN, "hunter2"))
    record = last(guard)
    assert record["arguments"]["rows"] == ran and type(record["arguments"]["rows"]) is int
    assert (record["effect"], record["reasons"]) == (("deny", [reason]) if reason else ("permit", []))
    assert (record["enforced"], record["coerced"]) == (False, ["/rows"] if reason else [])

    enforced = load()
    _, export = wrapped(enforced, tools)
    before = len(tools.ran)
    with start(enforced), pytest.raises(ToolCallDenied):
        export("orders", "5", IN)
    assert len(tools.ran) == before and "arguments_invalid" in last(enforced)["reasons"]


def test_what_is_permitted_says_that_it_would_not_have_been_refused_either(observed: Guard, tools: Tools) -> None:
    with start(observed) as run:
        wrapped(observed, tools)[0]("EXP-7")
        state = observed.operations.run(run.id)

    assert (last(observed)["effect"], last(observed)["enforced"]) == ("permit", False)
    assert state is not None and state.observed is not None
    assert (state.observed.refused, state.observed.asked) == (0, 0)


def test_what_ran_has_happened_in_its_run(observed: Guard, tools: Tools) -> None:
    """So that one refusal does not make every later call one: what is found of them is about their own rules."""
    look_up, export = wrapped(observed, tools)
    with start(observed) as run:
        look_up("EXP-8")
        export("orders", 5, IN)
        state = observed.operations.run(run.id)

    assert last(observed)["effect"] == "permit"
    assert state is not None
    assert (state.succeeded, state.kept) == ({"look-up", "export"}, {"tables": ["orders"]})
    assert dict(state.counts) == {"look-up": 1, "export": 1}


def test_of_several_steps_a_refused_call_counts_under_the_nearest(
    bundle: Path, load: Callable[..., Guard], tools: Tools
) -> None:
    edit(bundle, "  unlock:", "  far:\n    tool: tickets.get\n    arguments: {other: {type: string}}\n  unlock:")
    guard = load(WHOLE)
    with start(guard):
        wrapped(guard, tools)[0]("EXP-8")

    assert last(guard)["step"] == "look-up"


# --- nobody is asked


def test_nobody_is_asked_and_the_question_is_counted(observed: Guard, tools: Tools) -> None:
    look_up, export = wrapped(observed, tools)
    with start(observed) as run:
        look_up("EXP-7")
        assert export("orders", 1_001, IN) == "done"
        look_up("EXP-8")
        state = observed.operations.run(run.id)

    assert list(observed.operations.approvals(open_only=False)) == []
    assert [r["effect"] for r in observed.records(kind="decision")] == ["permit", "escalate", "deny"]
    assert state is not None and state.observed is not None
    assert (state.observed.refused, state.observed.asked) == (1, 1)
    assert run.waiting == ()


# --- what refuses all the same


def _stop(guard: Guard, run: Any) -> None:
    guard.operations.stop_run(run.id, by="user:ops", why="x")


def _suspend(guard: Guard, run: Any) -> None:
    guard.operations.suspend_subject(EXPORTER, by="user:ops", why="x")


def _end_sessions(guard: Guard, run: Any) -> None:
    guard.operations.end_sessions(EXPORTER, by="user:ops", why="x")


TAKEN_AWAY = {"run_stopped": _stop, "subject_suspended": _suspend}


@pytest.mark.parametrize("reason", TAKEN_AWAY)
def test_a_stop_and_a_suspension_refuse_all_the_same(observed: Guard, tools: Tools, reason: str) -> None:
    look_up, _ = wrapped(observed, tools)
    with start(observed) as run:
        look_up("EXP-7")
        TAKEN_AWAY[reason](observed, run)
        with pytest.raises(ToolCallDenied):
            look_up("EXP-7")

    assert reason in last(observed)["reasons"]
    assert last(observed)["enforced"] is True
    assert len(tools.ran) == 1


def test_ended_sessions_refuse_all_the_same(observed: Guard, tools: Tools) -> None:
    with start(observed) as run:
        _end_sessions(observed, run)
        with pytest.raises(ToolCallDenied):
            wrapped(observed, tools)[0]("EXP-7")

    assert tools.ran == []


def test_a_revoked_credential_refuses_all_the_same(observed: Guard) -> None:
    """One that was never registered, too: nobody has said that it is in force."""
    ran: list[str] = []

    def read_vault() -> str:
        """Of the vault."""
        ran.append("ran")
        return "secret"

    read = observed.wrap(read_vault)
    with start(observed):
        for state in (None, "revoked"):
            if state is not None:
                observed.operations.set_credential("vault-token", state, by="user:ops", why="x")
            with pytest.raises(ToolCallDenied):
                read()
            assert last(observed)["reasons"] == ["credential_revoked"]
        observed.operations.set_credential("vault-token", "active", by="user:ops", why="x")
        assert read() == "secret"

    assert ran == ["ran"]


def test_an_overdue_review_refuses_all_the_same(
    bundle: Path, load: Callable[..., Guard], tools: Tools, clock: Clock
) -> None:
    edit(bundle, "review_by: 2027-06-30", "review_by: 2026-11-24")
    guard = load(WHOLE)
    look_up, _ = wrapped(guard, tools)
    with start(guard):
        look_up("EXP-8")
        clock.pass_by(86_400)
        with pytest.raises(ToolCallDenied):
            look_up("EXP-8")

    assert "workflow_overdue" in last(guard)["reasons"]
    assert len(tools.ran) == 1


def test_a_missing_identity_refuses_all_the_same(
    bundle: Path, load: Callable[..., Guard], tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = load(WHOLE)
    look_up, _ = wrapped(guard, tools)
    with start(guard):
        monkeypatch.setattr(guard, "identity_at_once", lambda digest, subject, now: None)
        monkeypatch.setattr(guard, "identify", _nobody)
        with pytest.raises(ToolCallDenied):
            look_up("EXP-7")

    assert (last(guard)["enforced"], tools.ran) == (True, [])


def _nobody(ask: Any) -> Any:
    from agentguard.core.reasons import Reason
    from agentguard.core.values import Unavailable

    return Unavailable(Reason.ASSERTION_MISSING, "no file")


def test_a_call_outside_a_run_is_refused_all_the_same(observed: Guard, tools: Tools) -> None:
    with pytest.raises(ToolCallDenied):
        wrapped(observed, tools)[0]("EXP-7")

    assert (last(observed)["reasons"], last(observed)["enforced"], tools.ran) == (["no_run"], True, [])


def test_a_call_that_cannot_be_read_is_refused_all_the_same(observed: Guard, tools: Tools) -> None:
    look_up, _ = wrapped(observed, tools)
    with start(observed):
        for call in (lambda: look_up("x" * 2_000_000), lambda: look_up(object())):
            with pytest.raises(ToolCallDenied):
                call()
            assert last(observed)["enforced"] is True

    assert tools.ran == []


def test_a_record_that_cannot_be_written_lets_nothing_run(
    observed: Guard, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up, _ = wrapped(observed, tools)
    with start(observed):

        def full(*_: Any, **__: Any) -> None:
            raise LedgerError("the disk is full; nothing ran")

        with monkeypatch.context() as broken, pytest.raises(LedgerError):
            broken.setattr(observed.ledger, "admit", full)
            look_up("EXP-8")

    assert tools.ran == []


def test_a_check_that_breaks_refuses_all_the_same(
    observed: Guard, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the run was stopped is not known then."""
    import agentguard.core.decide as core

    def broken(case: Any) -> Any:
        raise RuntimeError

    with start(observed):
        monkeypatch.setattr(core, "CALL_CHECKS", (broken, *core.CALL_CHECKS))
        with pytest.raises(ToolCallDenied):
            wrapped(observed, tools)[0]("EXP-7")

    assert (last(observed)["reasons"], tools.ran) == (["internal_error"], [])


def test_what_core_does_not_list_as_an_owners_rule_refuses() -> None:
    """A new reason refuses until somebody has thought about it."""
    from agentguard.core.observing import OWNERS_RULES as LISTED

    rules = (
        "no_matching_step workflow_changed workflow_draft tool_changed arguments_invalid destination_ambiguous "
        "destination_missing zone_not_reachable zone_first_contact write_down risk_unavailable risk_too_high"
    )
    assert {str(reason) for reason in LISTED} == set(rules.split())


# --- when it ends


def test_a_run_begun_observed_stays_so_and_one_begun_enforced_stays_enforced(
    bundle: Path, load: Callable[..., Guard], tools: Tools
) -> None:
    guard = load(WHOLE)
    look_up, _ = wrapped(guard, tools)
    with start(guard):
        trust(bundle)
        guard.reload()
        look_up("EXP-8")
        assert last(guard)["enforced"] is False
        with start(guard):
            trust(bundle, WHOLE)
            guard.reload()
            with pytest.raises(ToolCallDenied):
                look_up("EXP-8")
        assert last(guard)["enforced"] is True


def test_the_last_day_is_observed_and_the_next_is_not(load: Callable[..., Guard], tools: Tools, clock: Clock) -> None:
    guard = load(WHOLE)
    look_up, _ = wrapped(guard, tools)
    clock.at = clock.at.replace(month=12, day=8, hour=23, minute=59, second=59)
    with start(guard):
        look_up("EXP-8")
        clock.pass_by(1)
        with pytest.raises(ToolCallDenied):
            look_up("EXP-7")  # what its workflow permits, too: the run does not become an enforced one
    assert (last(guard)["reasons"], last(guard)["enforced"]) == (["observing_over"], True)

    with start(guard):
        look_up("EXP-7")
        assert last(guard)["enforced"] is True
        with pytest.raises(ToolCallDenied):
            look_up("EXP-8")


def test_a_clock_that_cannot_be_believed_lets_nothing_run(
    load: Callable[..., Guard], tools: Tools, clock: Clock
) -> None:
    guard = load(WHOLE)
    with start(guard):
        wrapped(guard, tools)[0]("EXP-7")
        clock.pass_by(-3_600)  # back, to before it ends
        with pytest.raises(ToolCallDenied):
            wrapped(guard, tools)[0]("EXP-8")

    assert len(tools.ran) == 1


def test_a_run_that_begins_while_the_clock_cannot_be_believed_is_enforced(
    load: Callable[..., Guard], tools: Tools, clock: Clock
) -> None:
    """It could not be said whether the day is over; nothing is permitted in it anyway."""
    guard = load(WHOLE)
    assert guard.observed_today("customer-export") is not None
    clock.pass_by(-3_600)

    assert guard.observed_today("customer-export") is None
    with pytest.raises(ToolCallDenied), start(guard):
        raise AssertionError("it began")


# --- what it did counts for no enforced run


def test_what_an_observed_run_spends_is_no_enforced_runs_budget(load: Callable[..., Guard], tools: Tools) -> None:
    first = load(WHOLE)
    look_up, export = wrapped(first, tools)
    with start(first):
        look_up("EXP-7")
        for _ in range(3):
            export("orders", 9_000, IN)
    assert "budget_exceeded" in last(first)["reasons"]

    second = load()
    look_up, export = wrapped(second, tools)
    with start(second):
        look_up("EXP-7")
        export("orders", 1_000, IN)
        assert last(second)["effect"] == "permit"

    third = load(WHOLE)
    look_up, export = wrapped(third, tools)
    with start(third):
        look_up("EXP-7")
        export("orders", 900, IN)
    assert "budget_exceeded" in last(third)["reasons"]  # an observed run sees what was spent on either side


def test_an_observed_run_sees_what_enforced_ones_spent(load: Callable[..., Guard], tools: Tools) -> None:
    first = load()
    look_up, export = wrapped(first, tools)
    for _ in range(10):
        with start(first):
            look_up("EXP-7")
            export("orders", 1_000, IN)

    second = load(WHOLE)
    look_up, export = wrapped(second, tools)
    with start(second):
        look_up("EXP-7")
        export("orders", 1, IN)

    assert last(second)["reasons"] == ["budget_exceeded"]


def test_an_approval_is_neither_asked_nor_used(load: Callable[..., Guard], tools: Tools) -> None:
    first = load(WHOLE)
    with start(first):
        look_up, export = wrapped(first, tools)
        look_up("EXP-7")
        export("orders", 1_001, IN)

    second = load()
    with start(second):
        look_up, export = wrapped(second, tools)
        look_up("EXP-7")
        with pytest.raises(ApprovalPending):
            export("orders", 1_001, IN)


def test_a_step_done_in_an_observed_run_is_done_in_no_other(load: Callable[..., Guard], tools: Tools) -> None:
    first = load(WHOLE)
    with start(first):
        wrapped(first, tools)[0]("EXP-7")

    second = load()
    with start(second) as run, pytest.raises(ToolCallDenied):
        wrapped(second, tools)[1]("orders", 5, IN)
    state = second.operations.run(run.id)
    assert state is not None and (dict(state.kept), dict(state.counts), state.succeeded) == ({}, {}, frozenset())


ZONES = """
zones:
  office: {subjects: ["SUBJECT"], reaches: {office: secret, vault: secret}}
  vault: {first_contact: {from: ["group:data-stewards"], quorum: 1, within: 30m}}
"""


def test_a_first_contact_of_an_observed_run_is_none(bundle: Path, load: Callable[..., Guard], tools: Tools) -> None:
    """A workload that was never let into a zone is asked about, though an observed run has been there."""
    places = bundle / "destinations.yaml"
    listed = places.read_text().replace("sensitivity: internal}", "sensitivity: internal, zone: vault}")
    places.write_text(listed + ZONES.replace("SUBJECT", EXPORTER))
    first = load(WHOLE)
    for expected in ("escalate", "permit"):  # asked once: among observed runs it is known there
        with start(first):
            look_up, export = wrapped(first, tools)
            look_up("EXP-7")
            export("orders", 5, IN)
        assert last(first)["effect"] == expected

    second = load()
    with start(second):
        look_up, export = wrapped(second, tools)
        look_up("EXP-7")
        with pytest.raises(ApprovalPending):
            export("orders", 5, IN)
    assert last(second)["reasons"] == ["zone_first_contact"]


@pytest.mark.parametrize("kind", ["destination", "zone"])
def test_a_first_use_of_an_observed_run_is_none(
    bundle: Path, load: Callable[..., Guard], tools: Tools, kind: str
) -> None:
    places = bundle / "destinations.yaml"
    listed = places.read_text().replace("sensitivity: internal}", "sensitivity: internal, zone: vault}")
    places.write_text(listed)
    edit(bundle, "budgets:", f"raise_risk:\n  - {{name: new, to: medium, first_use_of: {kind}}}\nbudgets:")
    risen: list[list[str]] = []
    for observe in ((WHOLE,), (WHOLE,), (), ()):
        guard = load(*observe)
        with start(guard) as run:
            look_up, export = wrapped(guard, tools)
            look_up("EXP-7")
            export("orders", 5, IN)
            risen.append([r["risk"] for r in guard.records(kind="signal", run_id=run.id)])

    assert risen == [["medium"], [], ["medium"], []]


def test_a_call_that_runs_unasked_counts_as_a_call_for_the_runs_risk(
    bundle: Path, load: Callable[..., Guard], tools: Tools
) -> None:
    edit(bundle, "budgets:", "raise_risk:\n  - {name: busy, to: medium, after: {calls: 2, within: 10m}}\nbudgets:")
    guard = load(WHOLE)
    look_up, export = wrapped(guard, tools)
    with start(guard):
        look_up("EXP-7")
        export("orders", 1_001, IN)

    assert [(r["risk"], r["enforced"]) for r in guard.records(kind="signal")] == [("medium", False)]


# --- a step


def test_a_step_alone_is_observed_and_the_others_refuse(load: Callable[..., Guard], tools: Tools) -> None:
    guard = load("{workflow: customer-export, step: look-up, until: 2026-12-08}")
    look_up, export = wrapped(guard, tools)
    with start(guard):
        look_up("EXP-8")
        assert last(guard)["enforced"] is False
        with pytest.raises(ToolCallDenied):
            export("orders", 50_001, IN)
        assert last(guard)["enforced"] is True
        with pytest.raises(ApprovalPending):
            export("orders", 1_001, IN)

    assert [name for name, _ in tools.ran] == ["get_ticket"]


def test_what_an_enforced_step_spends_beside_an_observed_one_is_spent_for_all(
    load: Callable[..., Guard], tools: Tools
) -> None:
    """Else observing one step would give another its budget a second time."""
    guard = load("{workflow: customer-export, step: look-up, until: 2026-12-08}")
    for _ in range(10):
        with start(guard):
            look_up, export = wrapped(guard, tools)
            look_up("EXP-8")
            export("orders", 1_000, IN)
            assert last(guard)["enforced"] is True

    second = load()
    with start(second):
        look_up, export = wrapped(second, tools)
        look_up("EXP-7")
        with pytest.raises(ToolCallDenied):
            export("orders", 1, IN)
    assert last(second)["reasons"] == ["budget_exceeded"]


# --- a draft


def draft(bundle: Path) -> None:
    file = bundle / "customer-export.yaml"
    file.write_text(file.read_text().replace("kind: Workflow\n", "kind: Workflow\nstatus: draft\n"))


def test_a_draft_is_tried_out_where_it_is_observed_and_nowhere_else(
    bundle: Path, load: Callable[..., Guard], tools: Tools
) -> None:
    """What it would refuse is shown, and not that it is a draft."""
    draft(bundle)
    guard = load(WHOLE)
    look_up, _ = wrapped(guard, tools)
    with start(guard):
        look_up("EXP-7")
        assert last(guard)["effect"] == "permit"
        look_up("EXP-8")
        assert last(guard)["reasons"] == ["condition_false"]

    second = load()
    with start(second), pytest.raises(ToolCallDenied):
        wrapped(second, tools)[0]("EXP-7")
    assert last(second)["reasons"] == ["workflow_draft"]


def test_a_draft_of_which_one_step_is_observed_permits_no_other(
    bundle: Path, load: Callable[..., Guard], tools: Tools
) -> None:
    draft(bundle)
    guard = load("{workflow: customer-export, step: look-up, until: 2026-12-08}")
    look_up, export = wrapped(guard, tools)
    with start(guard):
        look_up("EXP-7")
        with pytest.raises(ToolCallDenied):
            export("orders", 5, IN)

    assert (last(guard)["reasons"], len(tools.ran)) == (["workflow_draft"], 1)


# --- only Trust


def test_no_argument_observes() -> None:
    for function in (Guard.load, Guard.__init__, Guard.run, Guard.wrap, Guard.resume):
        for name in inspect.signature(function).parameters:
            assert not any(word in name for word in ("observ", "enforce", "dry", "mode"))


def test_no_environment_variable_observes(
    load: Callable[..., Guard], tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AGENTGUARD_OBSERVE", "AGENTGUARD_ENFORCE", "AGENTGUARD_MODE", "AGENTGUARD_DRY_RUN"):
        monkeypatch.setenv(name, "customer-export")
    guard = load()
    with start(guard), pytest.raises(ToolCallDenied):
        wrapped(guard, tools)[0]("EXP-8")


def test_a_workflow_cannot_observe_itself(bundle: Path, load: Callable[..., Guard]) -> None:
    edit(bundle, "budgets:", "observe: {until: 2026-12-08}\nbudgets:")
    with pytest.raises(PolicyError, match="observe"):
        load()


WRONG = {
    "31 days ahead": (
        ["{workflow: customer-export, until: 2026-12-25}"],
        "at most 30 days ahead, so not after 2026-12-24",
    ),
    "no end": (["{workflow: customer-export}"], "until"),
    "an unknown workflow": (["{workflow: customer-exprt, until: 2026-12-08}"], "did you mean `customer-export`"),
    "an unknown step": (["{workflow: customer-export, step: lookup, until: 2026-12-08}"], "did you mean `look-up`"),
    "twice": ([WHOLE, WHOLE], "once"),
    "whole, and a step": ([WHOLE, "{workflow: customer-export, step: look-up, until: 2026-12-08}"], "once"),
    "two days": (
        [
            "{workflow: customer-export, step: look-up, until: 2026-12-08}",
            "{workflow: customer-export, step: export, until: 2026-12-07}",
        ],
        "have one `until`",
    ),
    "a word of its own": (["{workflow: customer-export, until: 2026-12-08, enforced: false}"], "enforced"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_trust_may_not_observe_is_an_error_with_its_line(load: Callable[..., Guard], wrong: str) -> None:
    entries, message = WRONG[wrong]
    with pytest.raises(PolicyError, match=r"trust\.yaml:[0-9]+") as told:
        load(*entries)

    assert message in str(told.value)


def test_thirty_days_ahead_may_be_observed(load: Callable[..., Guard]) -> None:
    load("{workflow: customer-export, until: 2026-12-24}")


def test_what_is_past_is_enforced_and_does_not_keep_a_bundle_from_loading(
    load: Callable[..., Guard], tools: Tools
) -> None:
    guard = load("{workflow: customer-export, until: 2026-11-23}")
    with start(guard), pytest.raises(ToolCallDenied):
        wrapped(guard, tools)[0]("EXP-8")


def test_without_a_clock_nobody_knows_how_far_ahead_a_day_is(load: Callable[..., Guard]) -> None:
    with pytest.raises(ConfigurationError, match="the clock"):
        load(WHOLE, clock=lambda: None)


# --- it is said


def test_start_up_and_a_reload_say_what_is_observed(
    bundle: Path, load: Callable[..., Guard], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "agentguard"):
        guard = load(WHOLE)
        assert [r.levelname for r in caplog.records] == ["WARNING"]
        assert f"`customer-export` is observed until {UNTIL}" in caplog.text
        caplog.clear()
        guard.reload()
        assert "is observed until" in caplog.text
        caplog.clear()
        trust(bundle)
        guard.reload()
        assert caplog.text == ""


def test_every_record_of_an_observed_run_says_so(observed: Guard, tools: Tools) -> None:
    with start(observed) as run:
        wrapped(observed, tools)[0]("EXP-8")
        observed.operations.set_risk(run.id, "medium", by="user:ops", why="x")

    found = list(observed.records(run_id=run.id))
    assert [(r["kind"], r["enforced"]) for r in found] == [
        ("run", False), ("decision", False), ("outcome", False), ("operation", False), ("run", False),
    ]  # fmt: skip
    assert f"observed until {UNTIL}" in found[0]["why"]


def test_a_run_stays_observed_in_another_process(
    bundle: Path, tmp_path: Path, load: Callable[..., Guard], tools: Tools, clock: Clock
) -> None:
    """What it is stands in the ledger, and is made of it again."""
    place = tmp_path / "ledger.sqlite3"
    with load(WHOLE, ledger=open_ledger(place)) as first, start(first) as run:
        wrapped(first, tools)[0]("EXP-8")
        again = open_ledger(place)
        state = again.run(run.id, at=clock.at, windows={}).result()
        again.shut()

    assert state is not None and state.observed is not None
    assert (str(state.observed.until), state.observed.steps, state.observed.refused) == (UNTIL, None, 1)
