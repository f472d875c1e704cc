"""What people and streams say reaches every run at its next call, and each word is a record."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentguard.core.signals import Signal, SignalEffect
from agentguard.core.values import Risk
from agentguard.errors import ApprovalPending, ToolCallDenied
from agentguard.guard import Guard
from agentguard.guard.dry_run import evaluate
from agentguard.guard.in_force import UsableBundle
from agentguard.ledger import memory_ledger
from agentguard.policy import load, load_case_file

from .conftest import EXPORTER, FILES, Clock, Tools

IDP = "https://idp.corp.example"
ELI = "user:eli"


def said(clock: Clock, effect: SignalEffect, **more: Any) -> Signal:
    return Signal(source="idp", event="urn:test", effect=effect, at=clock(), **{"about": EXPORTER, **more})


def last_reasons(guard: Guard) -> list[str]:
    reasons: list[str] = list(guard.records(kind="decision"))[-1]["reasons"]
    return reasons


STOPPING: dict[str, tuple[Callable[[Guard, Clock], object], list[str]]] = {
    "a session revoked": (
        lambda g, c: g.operations.apply((IDP, "1"), [said(c, SignalEffect.END_RUNS)], c()),
        ["run_stopped"],
    ),
    "the person's session revoked": (
        lambda g, c: g.operations.apply((IDP, "1"), [said(c, SignalEffect.END_RUNS, about=ELI)], c()),
        ["run_stopped"],
    ),
    "sessions ended by hand": (
        lambda g, c: g.operations.end_sessions(ELI, by="user:ops", why="left the company"),
        ["run_stopped"],
    ),
}


@pytest.mark.parametrize("case", STOPPING)
def test_the_next_call_obeys(guard: Guard, tools: Tools, clock: Clock, case: str) -> None:
    """Whoever said it, and however they named the run."""
    get_ticket = guard.wrap(tools.functions()[0])
    stop, reasons = STOPPING[case]
    with guard.run("customer-export", inputs={"ticket": "EXP-7"}, requester=ELI):
        get_ticket(ticket_id="EXP-7")
        stop(guard, clock)
        with pytest.raises(ToolCallDenied):
            get_ticket(ticket_id="EXP-7")

    assert len(tools.ran) == 1
    assert last_reasons(guard) == reasons


def test_a_signal_is_one_record_and_is_heard_once(guard: Guard, clock: Clock) -> None:
    """A reviewer finds who said what about whom, when it happened there and when it came."""
    happened = clock()
    signals = [
        said(clock, SignalEffect.SET_RISK, risk=Risk.HIGH, why="odd place"),
        said(clock, SignalEffect.REFUSE_CREDENTIAL, about=None, credential="vault-token"),
    ]
    clock.pass_by(3)
    assert guard.operations.apply((IDP, "jti-1"), signals, clock())
    assert not guard.operations.apply((IDP, "jti-1"), signals, clock())

    first, second = guard.records(kind="signal")
    assert (first["subject"], first["risk"], first["outcome"], first["by"]) == (EXPORTER, "high", "set_risk", "idp")
    assert (first["issuer"], first["assertion_id"], first["why"]) == (IDP, "jti-1", "odd place")
    assert first["time"] > first["signal"]["time"] == happened.isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert second["signal"] == {**first["signal"], "credential": "vault-token"}
    assert guard.operations.streams()["idp"].last_heard == clock()


def test_a_stream_that_is_paused_says_so(guard: Guard, clock: Clock) -> None:
    """Whoever shares the ledger hears of it there, as of every sign of life."""
    guard.operations.stream_heard("idp", at=clock())
    (heard,) = guard.records(kind="signal")
    assert (heard["by"], heard["outcome"]) == ("idp", "heard")
    guard.operations.stream_heard("idp", at=clock(), status="paused", why="maintenance")

    _, written = guard.records(kind="signal")
    assert (written["by"], written["outcome"], written["why"]) == ("idp", "paused", "maintenance")
    assert guard.operations.streams()["idp"].last_heard is None


def test_peoples_word_on_a_workload_is_a_record_and_no_stream(guard: Guard) -> None:
    """It holds for runs begun later, and is taken back as it was given."""
    guard.operations.set_subject_risk(EXPORTER, "high", by="user:ops", why="odd calls")
    with guard.run("customer-export", inputs={"ticket": "EXP-7"}) as run:
        first = guard.operations.run(run.id)
        guard.operations.set_subject_risk(EXPORTER, "low", by="user:ops", why="explained")
        second = guard.operations.run(run.id)

    assert first is not None and second is not None
    assert (first.risk, second.risk) == (Risk.HIGH, Risk.LOW)
    written = [(data["outcome"], data["subject"], data["risk"], data["by"]) for data in guard.records(kind="operation")]
    assert written == [("set_subject_risk", EXPORTER, level, "user:ops") for level in ("high", "low")]
    assert guard.operations.streams() == {}


# Power that is taken away while a call is under way


TICKET = {"ticket": "EXP-7"}
STEWARD = "approval: {from: [group:data-stewards], quorum: 1, within: 30m}"


@contextmanager
def vault(bundle: Path, home: Path, clock: Clock, **more: Any) -> Iterator[tuple[Guard, Callable[[], str], list[int]]]:
    """A guard whose vault is read with a registered credential, and only after a steward agreed."""
    file = bundle / "customer-export.yaml"
    file.write_text(
        FILES["customer-export.yaml"].replace("    arguments: {}\n", f"    arguments: {{}}\n    {STEWARD}\n")
    )
    ran: list[int] = []

    def read_vault() -> str:
        ran.append(1)
        return "x"

    with Guard.load(bundle, ledger=memory_ledger(), home=home, clock=clock, **more) as guard:
        guard.operations.set_credential("vault-token", "active", by="user:ops", why="issued")
        yield guard, guard.wrap(read_vault), ran


TAKEN: dict[str, tuple[Callable[[Guard, Clock, str], object], str]] = {
    "run stopped": (lambda g, _, run: g.operations.stop_run(run, by="user:ops", why="x"), "run_stopped"),
    "subject suspended": (
        lambda g, _, run: g.operations.suspend_subject(EXPORTER, by="user:ops", why="x"),
        "subject_suspended",
    ),
    "session revoked": (
        lambda g, c, run: g.operations.apply((IDP, "1"), [said(c, SignalEffect.END_RUNS)], c()),
        "run_stopped",
    ),
    "assertions refused": (
        lambda g, c, run: g.operations.apply((IDP, "1"), [said(c, SignalEffect.REFUSE_CREDENTIAL)], c()),
        "credential_revoked",
    ),
    "credential revoked by hand": (
        lambda g, _, run: g.operations.set_credential("vault-token", "revoked", by="user:ops", why="x"),
        "credential_revoked",
    ),
    "credential revoked by a stream": (
        lambda g, c, run: g.operations.apply(
            (IDP, "1"), [said(c, SignalEffect.REFUSE_CREDENTIAL, about=None, credential="vault-token")], c()
        ),
        "credential_revoked",
    ),
    "credential rotated": (
        lambda g, _, run: g.operations.set_credential("vault-token", "rotated", by="user:ops", why="x"),
        "credential_revoked",
    ),
    "workflow changed": (lambda g, _, run: _reload_changed(g), "workflow_changed"),
}


def _reload_changed(guard: Guard) -> None:
    file = guard.bundle.directory / "customer-export.yaml"
    file.write_text(file.read_text().replace("at_most: 5", "at_most: 4"))
    guard.reload()


@pytest.mark.parametrize("case", TAKEN)
def test_a_waiting_call_is_refused_at_its_next_look(
    bundle: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """Whoever waits for a person does not wait for half an hour to hear that it is over."""
    take, reason = TAKEN[case]
    looks: list[float] = []
    with vault(bundle, tmp_path, clock, wait=timedelta(minutes=5)) as (guard, read, ran):

        def pause(seconds: float) -> None:
            looks.append(seconds)
            assert len(looks) < 3, "it goes on waiting"
            if len(looks) == 2:
                take(guard, clock, run.id)

        monkeypatch.setattr("agentguard.guard.drive.time", SimpleNamespace(sleep=pause))
        with guard.run("customer-export", inputs=TICKET) as run, pytest.raises(ToolCallDenied):
            read()

        assert looks == [0.2, 0.2]
        assert ran == []
        assert reason in last_reasons(guard)


@pytest.mark.parametrize("case", sorted(TAKEN.keys() - {"workflow changed"}))
def test_what_is_taken_between_decision_and_admission_is_gone(
    bundle: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """The decision was right when it was made; nothing is permitted by what was."""
    take, reason = TAKEN[case]
    with vault(bundle, tmp_path, clock) as (guard, read, ran), guard.run("customer-export", inputs=TICKET) as run:
        with pytest.raises(ApprovalPending) as asked:
            read()
        guard.operations.answer(asked.value.approval_id, approver="user:alice", approve=True)
        run.remember(None)  # so that the run is read anew, and nothing but what is taken has moved it
        admit = guard.ledger.admit

        def too_late(admission: Any, **more: Any) -> Any:
            if admission.permit:
                take(guard, clock, run.id)
            return admit(admission, **more)

        monkeypatch.setattr(guard.ledger, "admit", too_late)
        with pytest.raises(ToolCallDenied):
            read()

        assert ran == []
        # What a run asked is over with it.
        assert last_reasons(guard) == ["approval_required"] * (reason == "run_stopped") + [reason]
        assert len(list(guard.records(kind="decision"))) == 2  # the decision that came to nothing left no record


def test_a_waiting_call_is_not_decided_again_for_what_its_own_run_does(
    bundle: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, tools: Tools
) -> None:
    """A busy run would fill the ledger with the same question, and wear out the source of assertions."""
    looks: list[float] = []
    with vault(bundle, tmp_path, clock, wait=timedelta(minutes=5)) as (guard, read, ran):
        look = guard.wrap(tools.functions()[0])

        def pause(seconds: float) -> None:
            looks.append(seconds)
            if len(looks) < 4:
                look("EXP-7")
            else:
                (waiting,) = guard.operations.approvals()
                guard.operations.answer(waiting.request.id, approver="user:alice", approve=True)

        monkeypatch.setattr("agentguard.guard.drive.time", SimpleNamespace(sleep=pause))
        with guard.run("customer-export", inputs=TICKET):
            assert read() == "x"

        effects = [data["effect"] for data in guard.records(kind="decision", tool="vault.read")]
        assert (effects, len(looks), ran) == (["escalate", "permit"], 4, [1])


def test_risk_that_is_lowered_while_a_call_waits_asks_nobody_twice(
    bundle: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is decided again, and waits for the answer to the same question."""
    looks: list[float] = []
    with vault(bundle, tmp_path, clock, wait=timedelta(minutes=5)) as (guard, read, ran):

        def pause(seconds: float) -> None:
            looks.append(seconds)
            (waiting,) = guard.operations.approvals()
            if len(looks) == 1:
                guard.operations.set_risk(run.id, "medium", by="user:ops", why="x")
            elif len(looks) == 3:
                guard.operations.answer(waiting.request.id, approver="user:alice", approve=True)

        monkeypatch.setattr("agentguard.guard.drive.time", SimpleNamespace(sleep=pause))
        with guard.run("customer-export", inputs=TICKET) as run:
            assert read() == "x"

        assert len(list(guard.operations.approvals(open_only=False))) == 1
        risks = [data["risk"] for data in guard.records(kind="decision")]
        assert (risks, ran) == (["low", "medium", "medium"], [1])


# What was signed before


def test_an_assertion_from_before_is_outdated_and_a_new_one_is_not(guard: Guard, tools: Tools, clock: Clock) -> None:
    """The workload proves itself anew and goes on."""
    look = guard.wrap(tools.functions()[0])
    with guard.run("customer-export", inputs=TICKET):
        later = said(clock, SignalEffect.REQUIRE_NEWER)
        clock.pass_by(-1)
        guard.operations.apply((IDP, "1"), [later], clock())
        with pytest.raises(ToolCallDenied):
            look("EXP-7")
        assert last_reasons(guard) == ["identity_outdated"]
        clock.pass_by(1)
        look("EXP-7")

    assert len(tools.ran) == 1


# Streams that calls depend on

STREAM = """
streams:
  - name: idp
    issuer: https://idp.corp.example
    audience: agentguard
    keys_file: idp.json
    max_silence: 10m
    required_for: [internal, confidential, restricted, secret]
"""


def test_a_call_to_a_sensitive_place_needs_its_stream(bundle: Path, tmp_path: Path, clock: Clock, tools: Tools) -> None:
    """Never heard, silent for too long, paused: refused; heard again: permitted. Other calls go on."""
    (bundle / "trust.yaml").write_text(FILES["trust.yaml"] + STREAM)
    (bundle / "customer-export.yaml").write_text(
        FILES["customer-export.yaml"]
        .replace("at_most: 2", "at_most: 9")
        .replace("up_to: confidential", "up_to: internal")
    )
    good = {"table": "orders", "rows": 5, "target": "https://files.corp.example/a", "password": "x"}
    with Guard.load(bundle, ledger=memory_ledger(), home=tmp_path, clock=clock) as guard:
        look, export = guard.wrap(tools.functions())
        heard = guard.operations.stream_heard
        with guard.run("customer-export", inputs=TICKET):
            look("EXP-7")
            for hear, permitted in [
                (lambda: None, False),
                (lambda: heard("other", at=clock()), False),
                (lambda: heard("idp", at=clock()), True),
                (lambda: clock.pass_by(600), True),
                (lambda: clock.pass_by(1), False),
                (lambda: guard.operations.apply((IDP, "1"), [said(clock, SignalEffect.NOTE)], clock()), True),
                (lambda: heard("idp", at=clock(), status="paused"), False),
                (lambda: heard("idp", at=clock()), True),
            ]:
                hear()
                if permitted:
                    export(**good)
                else:
                    with pytest.raises(ToolCallDenied):
                        export(**good)
                    assert last_reasons(guard) == ["signals_unavailable"]
            clock.pass_by(700)
            look("EXP-7")


@pytest.mark.parametrize(
    ("given", "reasons"),
    [
        ("{}", []),
        ("{silent_streams: [idp]}", ["signals_unavailable"]),
        ("{credential_refused: true}", ["credential_revoked"]),
        ("{now: 2026-11-24T12:00:00Z, issued_after: 2026-11-24T12:00:00Z}", []),
        ("{now: 2026-11-24T12:00:00Z, issued_after: 2026-11-24T12:00:01Z}", ["identity_outdated"]),
    ],
)
def test_a_case_can_say_what_signals_said(bundle: Path, tmp_path: Path, given: str, reasons: list[str]) -> None:
    """And what it leaves out is ordinary: every stream was heard, and nothing was taken back."""
    (bundle / "trust.yaml").write_text(FILES["trust.yaml"] + STREAM)
    file = tmp_path / "x.cases.yaml"
    arguments = "{table: orders, rows: 5, target: 'https://files.corp.example/a', password: x}"
    file.write_text(f"""
apiVersion: agentguard/v1
kind: Cases
workflow: customer-export
given: {{inputs: {{ticket: EXP-7}}, kept: {{tables: [orders]}}, done: [look-up]}}
cases:
  - name: one
    given: {given}
    call: {{tool: warehouse.export, arguments: {arguments}}}
    expect: permit
""")
    loaded = load(bundle)
    (case,) = load_case_file(file, loaded)
    found = evaluate(UsableBundle.of(loaded), case, now=datetime(2026, 11, 24, 12, tzinfo=UTC)).decision

    assert [str(reason) for reason in found.reasons] == reasons


# Rules that raise risk by themselves


def with_rules(bundle: Path, rules: str) -> Path:
    file = bundle / "customer-export.yaml"
    text = FILES["customer-export.yaml"].replace("at_most: 5", "at_most: 1000")
    file.write_text(f"{text}raise_risk:\n{rules}")
    return bundle


def attempt(call: Callable[..., object], *args: object) -> bool:
    try:
        call(*args)
    except ToolCallDenied:
        return False
    return True


def test_the_denial_that_reaches_the_number_raises_the_risk_of_the_next_call(
    bundle: Path, tmp_path: Path, clock: Clock, tools: Tools
) -> None:
    """By the rule's name, in a record of its own, and in the log."""
    rules = "  - {name: probing, to: medium, after: {denials: 3, within: 10m}}\n"
    log = (tmp_path / "log").open("w+")
    with Guard.load(
        with_rules(bundle, rules), ledger=memory_ledger(), home=tmp_path, clock=clock, log=log
    ) as guard, guard.run("customer-export", inputs=TICKET, requester=ELI) as run:  # fmt: skip
        look = guard.wrap(tools.functions()[0])
        for n in range(3):  # the same call again within seconds would be one attempt
            assert not attempt(look, f"EXP-80{n}")
            assert attempt(look, "EXP-7")
        assert not attempt(look, "EXP-8")

        decisions = list(guard.records(kind="decision"))
        assert [data["risk"] for data in decisions] == ["low"] * 5 + ["medium"] * 2
        (rise,) = guard.records(kind="signal")
        assert (rise["by"], rise["risk"], rise["outcome"]) == ("rule:probing", "medium", "set_risk")
        assert (rise["decision_id"], rise["run_id"]) == (decisions[4]["decision_id"], run.id)
        assert (rise["subject"], rise["requester"], rise["why"]) == (EXPORTER, ELI, "3 denials within 0:10:00")
        guard.operations.set_risk(run.id, "low", by="user:ops", why="calm down")
        state = guard.operations.run(run.id)
        assert state is not None and state.risk is Risk.MEDIUM
    with (tmp_path / "log").open() as written:
        assert written.read().count('"by":"rule:probing"') == 1
    log.close()


def test_what_happened_long_ago_does_not_count(bundle: Path, tmp_path: Path, clock: Clock, tools: Tools) -> None:
    """A slow trickle of mistakes is not a burst; the window's edge is outside."""
    rules = "  - {to: high, after: {denials: 2, within: 60s}}\n"
    with Guard.load(
        with_rules(bundle, rules), ledger=memory_ledger(), home=tmp_path, clock=clock
    ) as guard, guard.run("customer-export", inputs=TICKET) as run:  # fmt: skip
        look = guard.wrap(tools.functions()[0])
        for seconds, risk in ((0, Risk.LOW), (60, Risk.LOW), (59, Risk.HIGH)):
            clock.pass_by(seconds)
            assert not attempt(look, "EXP-8")
            state = guard.operations.run(run.id)
            assert state is not None and state.risk is risk


def test_of_200_parallel_calls_the_hundredth_raises_the_risk_once(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    """Counted in the admission itself, so exactly a hundred were decided before it."""
    rules = "  - {to: medium, after: {calls: 100, within: 1h}}\n"
    with Guard.load(with_rules(bundle, rules), ledger=tmp_path / "l.sqlite3", home=tmp_path) as guard:
        look = guard.wrap(tools.functions()[0])
        with guard.run("customer-export", inputs=TICKET), ThreadPoolExecutor(32) as pool:
            contexts = [contextvars.copy_context() for _ in range(200)]
            ran = sum(pool.map(lambda context: context.run(attempt, look, "EXP-7"), contexts))

        risks = [data["risk"] for data in guard.records(kind="decision", effect="permit")]
        assert (ran, risks) == (200, ["low"] * 100 + ["medium"] * 100)
        assert len(list(guard.records(kind="signal"))) == 1


def test_another_run_counts_for_itself(bundle: Path, tmp_path: Path, clock: Clock, tools: Tools) -> None:
    """Two customers' runs are not one."""
    rules = "  - {to: high, after: {calls: 2, within: 1h}}\n"
    with Guard.load(with_rules(bundle, rules), ledger=memory_ledger(), home=tmp_path, clock=clock) as guard:
        look = guard.wrap(tools.functions()[0])
        for _ in range(3):
            with guard.run("customer-export", inputs=TICKET):
                look("EXP-7")
        assert list(guard.records(kind="signal")) == []


def test_a_call_that_waits_counts_when_it_is_decided(bundle: Path, tmp_path: Path, clock: Clock) -> None:
    """An escalation is neither a call nor a denial."""
    with vault(bundle, tmp_path, clock) as (guard, read, ran):
        file = bundle / "customer-export.yaml"
        rules = [f"{{to: high, after: {{{after}, within: 1h}}}}" for after in ("calls: 2", "denials: 1")]
        file.write_text(f"{file.read_text()}raise_risk: [{', '.join(rules)}]\n")
        guard.reload()
        with guard.run("customer-export", inputs=TICKET):
            for _ in range(3):
                with contextlib.suppress(ApprovalPending):
                    read()
            (waiting,) = guard.operations.approvals()
            guard.operations.answer(waiting.request.id, approver="user:alice", approve=True)
            read()

        assert ran == [1]
        assert list(guard.records(kind="signal")) == []
