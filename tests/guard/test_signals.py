"""What people and streams say reaches every run at its next call, and each word is a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentguard.core.signals import Signal, SignalEffect
from agentguard.core.values import Risk
from agentguard.errors import ToolCallDenied
from agentguard.guard import Guard

from .conftest import EXPORTER, Clock, Tools

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
    """A sign of life is no record; a change of status is one."""
    guard.operations.stream_heard("idp", at=clock())
    assert list(guard.records(kind="signal")) == []
    guard.operations.stream_heard("idp", at=clock(), status="paused", why="maintenance")

    (written,) = guard.records(kind="signal")
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
