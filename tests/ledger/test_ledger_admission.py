"""Admission and closing, for every form of the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from ledger_kit import (
    DAY,
    T0,
    a_charge,
    a_closing,
    a_question,
    a_run,
    an_admission,
    an_answer,
    ask,
    at,
    break_down,
    forget_memory,
    got,
    paused,
    record,
    run_now,
    seqs,
    tidy,
)

from agentguard.core.facts import RunStatus
from agentguard.core.values import Risk, Sensitivity
from agentguard.errors import LedgerError
from agentguard.ledger import Admitted, Charge, LogLedger, Outcome, RecordFilter, Refusal, Refused, cells
from agentguard.ledger.worker import DURABLE

MICROS = 1_000_000


@pytest.fixture(autouse=True)
def _a_run(ledger: LogLedger) -> None:
    got(ledger.start_run(a_run(inputs={"ticket": "EXP-7"}), record("run", run_id="r")))


def admit(ledger: LogLedger, *args: Any, windows: dict[str, timedelta | None] | None = None, **fields: Any) -> Any:
    return got(ledger.admit(an_admission(*args, **fields), windows=windows or {}))


def test_a_run_begins_at_version_one_with_nothing_taken(ledger: LogLedger) -> None:
    """Whatever the caller claims, a run has no past."""
    claimed = a_run("r2", version=9, counts={"s": 3}, spent={"b": 1}, succeeded=frozenset({"s"}), risk=Risk.MEDIUM)
    started = got(ledger.start_run(claimed, record("run")))

    assert (started.version, started.status, started.risk) == (1, RunStatus.ACTIVE, Risk.MEDIUM)
    assert (started.counts, started.spent, started.succeeded) == ({}, {}, frozenset())
    assert run_now(ledger).inputs == {"ticket": "EXP-7"}


def test_a_run_id_is_used_once(ledger: LogLedger) -> None:
    """Two runs under one id would share budgets and history."""
    with pytest.raises(LedgerError, match="a run `r` already"):
        got(ledger.start_run(a_run(), record("run")))
    assert seqs(ledger) == [1]


def test_a_permit_takes_step_budget_and_high_water_and_moves_the_version(ledger: LogLedger) -> None:
    """All of it, in one transaction, as the answer says."""
    answer = admit(
        ledger,
        "d1",
        charges=(a_charge(3, 10), a_charge(5, 10, budget="day", per=DAY)),
        read_sensitivity=Sensitivity.RESTRICTED,
        windows={"b": None, "day": DAY},
    )

    assert isinstance(answer, Admitted)
    assert answer.seq == 2
    assert answer.run == run_now(ledger, b=None, day=DAY)
    assert (answer.run.version, answer.run.counts, answer.run.spent) == (2, {"s": 1}, {"b": 3, "day": 5})
    assert answer.run.high_water is Sensitivity.RESTRICTED


def test_the_high_water_mark_never_falls(ledger: LogLedger) -> None:
    """What was read stays read."""
    admit(ledger, "d1", 1, read_sensitivity=Sensitivity.RESTRICTED)
    admit(ledger, "d2", 2, read_sensitivity=Sensitivity.INTERNAL)
    admit(ledger, "d3", 3)

    assert run_now(ledger).high_water is Sensitivity.RESTRICTED


@pytest.mark.parametrize("version", [0, 2, None])
def test_a_decision_on_another_version_of_the_run_is_not_admitted(ledger: LogLedger, version: int | None) -> None:
    """One version off in either direction, or none, is not what was decided on."""
    answer = admit(ledger, "d1", version)

    assert answer == Refused(Refusal.RUN_MOVED, run_now(ledger))


def test_a_permit_for_a_run_that_does_not_exist_is_not_admitted(ledger: LogLedger) -> None:
    """Nothing to hold it against."""
    assert admit(ledger, "d1", run_id="other") == Refused(Refusal.RUN_MOVED, None)


def test_a_permit_for_another_workflow_than_the_runs_is_not_admitted(ledger: LogLedger) -> None:
    """A budget with a window is the workflow's; the run says which."""
    assert admit(ledger, "d1", workflow="other").reason is Refusal.RUN_MOVED


NOTHING_OF_IT = {
    "run moved": ({"version": 7}, Refusal.RUN_MOVED),
    "assertion used": ({"assertion_key": ("iss", "used")}, Refusal.ASSERTION_USED),
    "step used up": ({"step": "full", "step_at_most": 1}, Refusal.STEP_USED_UP),
    "run budget": ({"charges": (a_charge(1, 5), a_charge(6, 10))}, Refusal.BUDGET_EXCEEDED),
    "window budget": ({"charges": (a_charge(1, 5), a_charge(6, 10, budget="day", per=DAY))}, Refusal.BUDGET_EXCEEDED),
    "approval used": ({"approval_id": "used"}, Refusal.APPROVAL_USED),
    "approval missing": ({"approval_id": "never asked"}, Refusal.APPROVAL_USED),
    "approval expired": ({"approval_id": "open", "at": at(1800)}, Refusal.APPROVAL_USED),
    "approval of another run": ({"approval_id": "of r2"}, Refusal.APPROVAL_USED),
}


@pytest.mark.parametrize("case", NOTHING_OF_IT)
def test_a_refused_admission_leaves_no_trace(ledger: LogLedger, case: str) -> None:
    """None of it otherwise: no record, no count, no spend, no used assertion, no consumed approval."""
    fields, reason = NOTHING_OF_IT[case]
    got(ledger.start_run(a_run("r2"), record("run")))
    for name, run_id in (("used", "r"), ("open", "r"), ("of r2", "r2")):
        got(ledger.ask(a_question(name, request_digest=name, run_id=run_id), record("approval")))
    charges = (a_charge(5, 10), a_charge(5, 10, budget="day", per=DAY))
    taken = admit(ledger, "d1", step="full", charges=charges, approval_id="used", assertion_key=("iss", "used"))
    assert isinstance(taken, Admitted)
    before, told = run_now(ledger, b=None, day=DAY), seqs(ledger)
    asked = {
        "version": 2,
        "step": "s",
        "approval_id": "open",
        "assertion_key": ("iss", "new"),
        "step_at_most": 5,
    } | fields

    refused = admit(ledger, "d2", windows={"b": None, "day": DAY}, **asked)

    assert refused == Refused(reason, before)
    assert run_now(ledger, b=None, day=DAY) == before
    assert seqs(ledger) == told
    assert not got(ledger.approval("open")).life.claimed
    assert isinstance(admit(ledger, "d3", 2, assertion_key=("iss", "new"), approval_id="open"), Admitted)


@pytest.mark.parametrize("permit", [True, False])
def test_a_used_assertion_is_refused_whatever_the_effect(ledger: LogLedger, permit: bool) -> None:
    """A denial uses it up too, and a used one cannot even be denied again."""
    first = admit(ledger, "d1", permit=False, assertion_key=("iss", "j"), assertion_until=at(60))
    second = admit(ledger, "d2", permit=permit, assertion_key=("iss", "j"), assertion_until=at(9999))

    assert isinstance(first, Admitted)
    assert second.reason is Refusal.ASSERTION_USED


def test_two_issuers_may_use_the_same_jti(ledger: LogLedger) -> None:
    """The key is the pair; no way of writing two pairs in one line makes them the same."""
    pairs = [("iss", "j"), ("is", "sj"), ("iss\0j", ""), ("iss", "j\0"), ("", "issj"), ("3:iss", "j")]
    answers = [admit(ledger, f"d{n}", permit=False, assertion_key=pair) for n, pair in enumerate(pairs)]

    assert all(isinstance(answer, Admitted) for answer in answers)


def test_an_assertion_is_remembered_past_its_expiry_and_then_forgotten(ledger: LogLedger) -> None:
    """Replay memory lasts as long as the assertion could be accepted, and does not grow for ever."""
    admit(ledger, "old", permit=False, assertion_key=("iss", "old"), assertion_until=at(60))
    admit(ledger, "eternal", permit=False, assertion_key=("iss", "eternal"))
    keys = [("iss", f"j{n}") for n in range(40)]
    for n, key in enumerate(keys):
        admit(ledger, f"d{n}", permit=False, at=at(59), assertion_key=key, assertion_until=at(60))
    assert admit(ledger, "again", permit=False, at=at(60), assertion_key=keys[0]).reason is Refusal.ASSERTION_USED

    admit(ledger, "late", permit=False, at=at(60 + 3600))
    tidy(ledger)
    assert admit(ledger, "soon", permit=False, assertion_key=keys[0]).reason is Refusal.ASSERTION_USED
    admit(ledger, "later", permit=False, at=at(60 + 3601))
    tidy(ledger)

    assert isinstance(admit(ledger, "f1", permit=False, assertion_key=("iss", "old")), Admitted)
    assert admit(ledger, "f2", permit=False, assertion_key=("iss", "eternal")).reason is Refusal.ASSERTION_USED


def test_a_denial_writes_its_record_and_changes_no_run(ledger: LogLedger) -> None:
    """A denied call takes nothing, and need not have seen the newest version."""
    before = run_now(ledger, b=None)
    answer = admit(ledger, "d1", 77, permit=False, charges=(a_charge(1, 5),), step_at_most=0)

    assert answer == Admitted(2, run_now(ledger))
    assert run_now(ledger, b=None) == before
    assert isinstance(admit(ledger, "d2", 1), Admitted)


def test_a_denial_outside_any_run_is_recorded(ledger: LogLedger) -> None:
    """A call without a run is refused, and the refusal is on record."""
    assert admit(ledger, "d1", None, permit=False, run_id=None, workflow=None, step=None) == Admitted(2, None)


def test_a_step_is_admitted_as_often_as_it_may_be_and_no_more(ledger: LogLedger) -> None:
    """The count is what was admitted, not what finished."""
    answers = [admit(ledger, f"d{n}", n, step_at_most=3) for n in range(1, 6)]

    assert [isinstance(answer, Admitted) for answer in answers] == [True, True, True, False, False]
    assert run_now(ledger).counts == {"s": 3}


def test_a_budget_is_reached_exactly(ledger: LogLedger) -> None:
    """40 and 60 of 100 fit; one millionth more does not."""
    assert isinstance(admit(ledger, "d1", 1, charges=(a_charge(40, 100),)), Admitted)
    assert admit(ledger, "d2", 2, charges=(a_charge(61, 100),)).reason is Refusal.BUDGET_EXCEEDED
    assert isinstance(admit(ledger, "d3", 2, charges=(a_charge(60, 100),)), Admitted)
    assert admit(ledger, "d4", 3, charges=(a_charge(1, 100),)).reason is Refusal.BUDGET_EXCEEDED
    assert isinstance(admit(ledger, "d5", 3, charges=(a_charge(0, 100),)), Admitted)


def test_one_call_that_charges_a_budget_twice_is_held_to_the_sum(ledger: LogLedger) -> None:
    """Neither half alone exceeds it."""
    for per in (None, DAY):
        charges = (a_charge(60, 100, per=per), a_charge(60, 100, per=per))
        assert admit(ledger, "d1", charges=charges).reason is Refusal.BUDGET_EXCEEDED


@pytest.mark.parametrize("per", [None, DAY])
def test_a_sum_past_63_bits_is_refused_and_never_wraps(ledger: LogLedger, per: timedelta | None) -> None:
    """A budget so large that adding to it overflows a column refuses instead."""
    vast = 2**70
    top = 2**63 - 1
    assert admit(ledger, "d1", charges=(a_charge(top + 1, vast, per=per),)).reason is Refusal.BUDGET_EXCEEDED
    assert isinstance(admit(ledger, "d2", charges=(a_charge(top, vast, per=per),)), Admitted)
    assert admit(ledger, "d3", 2, charges=(a_charge(1, vast, per=per),)).reason is Refusal.BUDGET_EXCEEDED
    assert run_now(ledger, b=per).spent == {"b": top}


def test_a_window_slides_and_belongs_to_the_workflow_not_the_run(ledger: LogLedger) -> None:
    """Sixty of a hundred per day: a second run the same day gets forty, and a day later all of it again."""
    got(ledger.start_run(a_run("r2"), record("run")))
    got(ledger.start_run(a_run("r3", workflow="w2"), record("run")))

    def spend(name: str, run: str, amount: int, when: datetime, workflow: str = "w") -> bool:
        version = run_now(ledger, run).version
        charges = (a_charge(amount, 100, per=DAY),)
        answer = admit(ledger, name, version, run_id=run, workflow=workflow, at=when, charges=charges)
        return isinstance(answer, Admitted)

    assert spend("d1", "r", 60, T0)
    assert not spend("d2", "r2", 41, at(3600))
    assert spend("d3", "r2", 40, at(3600))
    assert spend("d4", "r3", 100, at(3600), "w2"), "another workflow has its own budget"
    last_moment = T0 + DAY - timedelta(microseconds=1)
    assert not spend("d5", "r", 1, last_moment)
    assert run_now(ledger, when=last_moment, b=DAY).spent == {"b": 100}
    assert run_now(ledger, when=T0 + DAY, b=DAY).spent == {"b": 40}
    assert spend("d6", "r", 60, T0 + DAY)


def test_a_spend_that_arrives_late_counts_where_it_belongs(ledger: LogLedger) -> None:
    """Two hosts' clocks differ: nothing is lost from a window because something later came first."""
    for n, (second, amount) in enumerate([(100, 1), (50, 2), (150, 4), (50, 8)], 1):
        admit(ledger, f"d{n}", n, at=at(second), charges=(a_charge(amount, 100, per=DAY),))

    def left(second: float, per: float) -> int:
        return run_now(ledger, when=at(second), b=timedelta(seconds=per)).spent["b"]

    assert [left(150, 1), left(150, 51), left(150, 100), left(150, 101)] == [4, 5, 5, 15]
    assert left(60, 5) == 5, "what is later than the moment asked about counts too: a clock set back frees nothing"


def test_a_long_window_is_exact_after_memory_was_trimmed(ledger: LogLedger) -> None:
    """Old spends leave memory, not the ledger."""
    futures = [
        ledger.admit(an_admission(f"d{n}", n, at=at(n), charges=(a_charge(1, 10**9, per=DAY),)), windows={})
        for n in range(1, 9001)
    ]
    assert all(isinstance(got(future), Admitted) for future in futures)
    assert run_now(ledger, when=at(9000), b=timedelta(seconds=10)).spent["b"] == 10
    assert len(ledger.engine.worker.mirror._windows[cells.name("w", "b")]._times) < 100
    assert run_now(ledger, when=at(9000), b=DAY).spent["b"] == 9000
    assert run_now(ledger, when=at(9000), b=timedelta(seconds=20)).spent["b"] == 20


BAD_ADMISSIONS: dict[str, dict[str, Any]] = {
    "permit without run": {"run_id": None},
    "permit without step": {"step": None},
    "permit that is not a boolean": {"permit": "no"},
    "naive time": {"at": datetime(2026, 9, 1)},
    "negative amount": {"charges": (Charge("b", -1, 10, None),)},
    "amount that is a float": {"charges": (Charge("b", 1.5, 10, None),)},
    "amount that is a boolean": {"charges": (Charge("b", True, 10, None),)},
    "window of no length": {"charges": (Charge("b", 1, 10, timedelta(0)),)},
    "window that ends before it begins": {"charges": (Charge("b", 1, 10, -DAY),)},
    "half a surrogate pair": {"assertion_key": ("iss", "\ud800")},
    "record with NaN": {"record": record(decision_id="d", x=float("nan"))},
    "record with a surrogate": {"record": record(decision_id="d", x="\ud800")},
    "record with its own seq": {"record": record(decision_id="d", seq=1)},
    "record too long": {"record": record(decision_id="d", x="x" * (1 << 20))},
    "record time of another zone": {"record": record(decision_id="d", time="2026-09-01T00:00:00+02:00")},
    "record time that is none": {"record": record(decision_id="d", time="soon")},
    "reasons that are no list": {"record": record(decision_id="d", reasons="deny")},
    "tool that is no text": {"record": record(decision_id="d", tool=7)},
    "a record that is none": {"record": None},
}


@pytest.mark.parametrize("case", BAD_ADMISSIONS)
def test_what_cannot_be_stored_is_refused_and_hurts_nobody_else(ledger: LogLedger, case: str) -> None:
    """A LedgerError in the future, never another exception, and its neighbours in the queue are served."""
    bad = an_admission("bad", **({"record": record(decision_id="bad")} | BAD_ADMISSIONS[case]))
    futures = [
        ledger.admit(an_admission("d1", permit=False), windows={}),
        ledger.admit(bad, windows={}),
        ledger.admit(an_admission("d2", permit=False), windows={}),
    ]

    assert isinstance(futures[1].exception(timeout=60), LedgerError)
    assert [got(futures[0]).seq, got(futures[2]).seq] == [2, 3]
    assert run_now(ledger).version == 1


def test_an_operation_that_breaks_inside_is_undone_alone(ledger: LogLedger) -> None:
    """A bug in one operation, after it has written, in the middle of a transaction with others."""

    with paused(ledger):
        futures = [
            ledger.admit(an_admission("d1"), windows={}),
            ask(ledger, DURABLE, break_down),
            ledger.admit(an_admission("d2", 2), windows={}),
        ]

    assert isinstance(futures[1].exception(timeout=60), LedgerError)
    assert isinstance(got(futures[0]), Admitted)
    assert isinstance(got(futures[2]), Admitted)
    assert run_now(ledger).version == 3
    assert seqs(ledger) == [1, 2, 3]


def test_an_outcome_that_was_seen_survives_an_append_that_fails(ledger: LogLedger) -> None:
    """What was decided on it must not fit anything else, and the outcome itself is not lost."""
    admit(ledger, "d1")
    admit(ledger, "d2", 2)
    seen = got(ledger.close(a_closing("d1", kept={"x": 1})))
    with pytest.raises(LedgerError):
        got(ask(ledger, DURABLE, break_down))

    now = run_now(ledger)
    assert seen is not None and (now.kept, now.succeeded) == (seen.kept, seen.succeeded)
    assert now.version >= seen.version
    assert got(ledger.open_calls())[0]["decision_id"] == "d2"


def test_an_outcome_ends_the_call_and_keeps_values(ledger: LogLedger) -> None:
    """Later steps rely on what was kept; a decision made before it is no longer up to date."""
    admit(ledger, "d1")
    assert [each["decision_id"] for each in got(ledger.open_calls())] == ["d1"]

    state = got(ledger.close(a_closing("d1", kept={"tables": ["a", {"b": 1}], "n": 1})))

    assert state == run_now(ledger)
    assert (state.version, state.kept, state.succeeded) == (3, {"tables": ["a", {"b": 1}], "n": 1}, frozenset({"s"}))
    assert got(ledger.open_calls()) == []
    assert [each["kind"] for each in ledger.records(RecordFilter(decision_id="d1"))] == ["decision", "outcome"]


def test_what_could_not_be_kept_again_is_forgotten(ledger: LogLedger) -> None:
    """A decision that relied on it is no longer up to date, and no later process finds it."""
    admit(ledger, "d1")
    before = got(ledger.close(a_closing("d1", kept={"tables": ["a"], "n": 1})))
    admit(ledger, "d2", run_now(ledger).version)
    state = got(ledger.close(a_closing("d2", kept={"n": 1}, dropped=frozenset({"tables", "never"}))))
    assert before is not None and state is not None

    assert state.kept == {"n": 1} and state.version == before.version + 2
    forget_memory(ledger)
    assert run_now(ledger).kept == {"n": 1}, "read again from the file"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.UNKNOWN])
def test_a_call_that_did_not_succeed_keeps_nothing_and_gives_nothing_back(ledger: LogLedger, outcome: Outcome) -> None:
    """It may have happened: the step stays taken, but no later step may rely on it."""
    admitted = admit(ledger, "d1", charges=(a_charge(5, 10),))
    state = got(ledger.close(a_closing("d1", outcome, kept={"tables": ["a"]}, dropped=frozenset({"n"}))))

    assert admitted.run is not None and state is not None
    unsettled = frozenset({"d1"}) if outcome is Outcome.UNKNOWN else frozenset[str]()
    assert state == replace(admitted.run, version=state.version, unsettled=unsettled)


def test_closing_twice_changes_nothing_the_second_time(ledger: LogLedger) -> None:
    """A caller that was cancelled and cleans up again cannot turn a failure into a success."""
    admit(ledger, "d1")
    got(ledger.close(a_closing("d1", Outcome.FAILED)))
    before, told = run_now(ledger), seqs(ledger)

    assert got(ledger.close(a_closing("d1", Outcome.SUCCEEDED, kept={"x": 1}))) == before
    assert (run_now(ledger), seqs(ledger)) == (before, told)


@pytest.mark.parametrize("admitted_within", [True, False])
def test_closing_twice_in_one_transaction_is_closing_once(ledger: LogLedger, admitted_within: bool) -> None:
    """Whether the admission is in the same transaction or was durable before."""
    if not admitted_within:
        admit(ledger, "d1")
    with paused(ledger):
        if admitted_within:
            ledger.admit(an_admission("d1"), windows={})
        first = ledger.close(a_closing("d1", Outcome.FAILED))
        second = ledger.close(a_closing("d1", Outcome.SUCCEEDED, kept={"x": 1}))

    assert got(first) == got(second) == run_now(ledger)
    assert [each.get("outcome") for each in ledger.records(RecordFilter(decision_id="d1"))] == [None, "failed"]
    assert got(ledger.open_calls()) == []


def test_a_refusal_stands_for_the_request(ledger: LogLedger) -> None:
    """Asked again under another policy revision, then refused under the first: the repeated call goes by the no."""
    got(ledger.ask(a_question("ask-1"), record("approval")))
    got(ledger.ask(a_question("ask-2", policy_revision="sha256:p2"), record("approval")))
    got(ledger.answer("ask-1", an_answer(approve=False), record("approval")))

    found = got(ledger.approval_for("sha256:q"))
    assert found is not None and found.request.id == "ask-1"


@pytest.mark.parametrize("wrong", [{"run_id": "r2"}, {"step": "other"}])
def test_a_call_is_closed_for_the_run_and_step_it_was_admitted_for(ledger: LogLedger, wrong: dict[str, str]) -> None:
    """Otherwise one run's success would open the next step of another."""
    got(ledger.start_run(a_run("r2"), record("run")))
    admit(ledger, "d1")
    with pytest.raises(LedgerError, match="another run or step"):
        got(ledger.close(a_closing("d1", **wrong)))
    assert len(got(ledger.open_calls())) == 1


def test_a_call_that_was_never_admitted_has_no_outcome(ledger: LogLedger) -> None:
    """An outcome without a decision would look like a tool that ran unrecorded."""
    with pytest.raises(LedgerError, match="never admitted"):
        got(ledger.close(a_closing("d9")))
    assert seqs(ledger) == [1]


def test_one_decision_id_is_admitted_once_while_it_is_open(ledger: LogLedger) -> None:
    """Two open calls under one id could not be told apart when they end."""
    admit(ledger, "d1")
    with pytest.raises(LedgerError, match="admitted before"):
        admit(ledger, "d1", 2)
    assert run_now(ledger).counts == {"s": 1}


def test_nobody_can_change_what_others_decide_on(ledger: LogLedger) -> None:
    """A state is handed out as a copy all the way down."""
    got(ledger.start_run(a_run("r2", inputs={"list": [1, {"deep": []}]}), record("run")))
    first = run_now(ledger, "r2")
    first.inputs["list"][1]["deep"].append("mine")
    first.inputs["more"] = 1
    dict.__setitem__(first.counts, "s", 99)

    assert run_now(ledger, "r2").inputs == {"list": [1, {"deep": []}]}
    assert run_now(ledger, "r2").counts == {}


def test_what_was_kept_before_counts_as_changed_when_only_its_type_changes(ledger: LogLedger) -> None:
    """1, 1.5 and true are three values to a policy."""
    for n, value in enumerate([1, True, 1.5, "1", [1], [True]]):
        version = run_now(ledger).version
        admit(ledger, f"d{n}", version)
        state = got(ledger.close(a_closing(f"d{n}", kept={"x": value})))
        assert type(state.kept["x"]) is type(value)
        assert state.version == version + 2


def test_an_answer_that_arrives_in_between_makes_the_decision_void(ledger: LogLedger) -> None:
    """One steward has approved and the call was decided; the other says no before it is admitted."""
    got(ledger.ask(a_question(), record("approval")))
    got(ledger.answer("ask-1", an_answer("user:bea"), record("approval")))
    decided_on = run_now(ledger).version
    got(ledger.answer("ask-1", an_answer("user:cid", approve=False), record("approval")))

    assert admit(ledger, "d1", decided_on, approval_id="ask-1").reason is Refusal.RUN_MOVED


def test_the_record_comes_back_exactly_and_is_canonical(ledger: LogLedger) -> None:
    """The audit tree is built over these bytes."""
    written = record(decision_id="d1", words="naïve \u2028 😀", number=0.1, big=2**53 - 1, nested={"b": [], "a": None})
    got(ledger.append(written))

    assert list(ledger.records(RecordFilter(decision_id="d1"))) == [written | {"seq": 2}]


def test_a_stale_decision_cannot_be_saved_by_repeating_it(ledger: LogLedger) -> None:
    """The same admission again is still for the version it saw."""
    first = an_admission("d1")
    assert isinstance(got(ledger.admit(first, windows={})), Admitted)
    assert got(ledger.admit(replace(first, decision_id="d2"), windows={})).reason is Refusal.RUN_MOVED
