"""Power that is taken away from somebody is taken away however the name is spelt; nobody else is touched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from agentguard import ToolCallDenied
from agentguard.core.signals import Signal, SignalEffect
from agentguard.guard import Guard

from .conftest import EXPORTER, Tools

TICKET = {"ticket": "EXP-7"}

HOST, _, PATH = EXPORTER.removeprefix("spiffe://").partition("/")
MEANT = ["user:Eli", "USER:eli", "user:ｅｌｉ", "user:e\u200bli", EXPORTER, f"SPIFFE://{HOST.upper()}./{PATH}"]
OTHERS = [
    "user:elif",
    "agent:eli",
    EXPORTER.replace(PATH, PATH.upper()),
    f"{EXPORTER}2",
    f"{EXPORTER}/",
    f"{EXPORTER}.",
]
TAKE: dict[str, Callable[[Guard, str], None]] = {
    "stop": lambda guard, name: guard.operations.end_sessions(name, by="user:ops", why="test"),
    "risk": lambda guard, name: guard.operations.set_subject_risk(name, "high", by="user:ops", why="test"),
}


@pytest.mark.parametrize("how", TAKE)
@pytest.mark.parametrize(("names", "touched"), [(MEANT, True), (OTHERS, False)])
@pytest.mark.parametrize("requester", ["user:eli", "Eli"])
def test_a_run_is_reached_by_every_spelling_of_whose_it_is(
    guard: Guard, tools: Tools, how: str, names: list[str], touched: bool, requester: str
) -> None:
    guard.wrap(tools.functions())
    for name in names:
        with guard.run("customer-export", inputs=TICKET, requester=requester) as run:
            TAKE[how](guard, name)
            state = guard.operations.run(run.id)
            assert state is not None
            assert (str(state.status) == "stopped" or state.risk.word == "high") is touched, name
        guard.operations.set_subject_risk(name, "low", by="user:ops", why="test")


@pytest.mark.parametrize(("name", "refused"), [(EXPORTER, True), (MEANT[-1], True), (OTHERS[2], False)])
def test_a_workload_is_suspended_and_restored_by_every_spelling_of_its_host(
    guard: Guard, tools: Tools, name: str, refused: bool
) -> None:
    look, _ = guard.wrap(tools.functions())[:2]
    guard.operations.suspend_subject(name, by="user:ops", why="test")
    with guard.run("customer-export", inputs=TICKET):
        if refused:
            with pytest.raises(ToolCallDenied):
                look("EXP-7")
            guard.operations.suspend_subject(EXPORTER, by="user:ops", why="test", suspended=False)
        look("EXP-7")


def test_a_credential_is_revoked_by_every_spelling_of_its_name(guard: Guard) -> None:
    guard.operations.set_credential("vault-token", "active", by="user:ops", why="test")
    guard.operations.set_credential("Vault-Token", "revoked", by="user:ops", why="test")
    assert guard.operations.credential_states(["vault-token"]) == {"vault-token": "revoked"}
    assert guard.operations.credential_states(["vault-token-2"]) == {}


def test_a_token_counts_on_each_stream_that_it_is_sent_to_and_once_on_each(guard: Guard, tools: Tools) -> None:
    """One stream may not speak of its subject, and notes it; the other may."""
    guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET) as run:
        at = guard.now()
        assert isinstance(at, datetime)
        noted = Signal("people", "session-revoked", SignalEffect.NOTE, at, about=EXPORTER)
        meant = Signal("workloads", "session-revoked", SignalEffect.END_RUNS, at, about=EXPORTER)
        token = ("https://idp.example", "j1")
        assert guard.operations.apply(token, [noted], at)
        assert guard.operations.apply(token, [meant], at)
        assert not guard.operations.apply(token, [noted], at)
        assert not guard.operations.apply(token, [meant], at)
        state = guard.operations.run(run.id)
        assert state is not None
        assert str(state.status) == "stopped"
