"""Whatever a transmitter signs, the receiver answers, and what it accepts is what a ledger can hold."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identity.identity_maker import key_set

from agentguard.core.signals import SignalEffect
from agentguard.guard import Operations
from agentguard.ledger import memory_ledger
from agentguard.signals import Received, Receiver, RefusedSet, SetRefusal, Streams
from signals.signals_maker import CAEP, GOOD, KEY, RUN, SSF, URI, at, claims, trust

SUBJECTS: list[Any] = [
    URI,
    {"format": "iss_sub", "iss": "https://idp.example", "sub": "jane"},
    {"format": "opaque", "id": RUN},
    {"format": "complex", "session": {"format": "opaque", "id": RUN}, "user": {"format": "email", "email": "a@b.c"}},
    {"format": "aliases", "identifiers": [URI, {"format": "account", "uri": "acct:a@b.c"}]},
]
EVENTS = [*GOOD, f"{SSF}verification", f"{SSF}stream-updated", "https://schemas.example/unknown"]
WORDS = ["", "HIGH", "revoke", "create", "user", "paused", "USER", "opaque", "complex", "aliases", RUN, "#", "x" * 3000]
WORDS += ["\ud800", "\u202e"]
MEMBERS = ["exp", "sub", "format", "extra", "friendly_name", "session"]
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(), st.sampled_from(WORDS), st.text(max_size=8)
)
VALUES = st.recursive(
    LEAVES, lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=6), one, max_size=3)
)


def _places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from _places(inner, (*here, name))


@st.composite
def nearly_good(draw: st.DrawFn) -> dict[str, Any]:
    """A good token's claims, broken in nought to two places: replaced, removed, or added to."""
    event = draw(st.sampled_from(EVENTS))
    made = copy.deepcopy(claims(event, subject=draw(st.sampled_from(SUBJECTS))))
    if event.endswith("stream-updated"):
        made["events"][event]["status"] = "paused"
    made["events"][next(iter(made["events"]))]["event_timestamp"] = made["iat"] - 5
    for _ in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from([place for place in _places(made) if place]))
        owner = made
        for name in path[:-1]:
            owner = owner[name]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                owner[path[-1]] = draw(VALUES)
            case "remove":
                owner.pop(path[-1])
            case "add" if isinstance(owner, dict):
                owner[draw(st.sampled_from(["exp", "sub", "format", "extra", "friendly_name", "session"]))] = draw(
                    VALUES
                )
    return made


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    directory: Path = tmp_path_factory.mktemp("streams")
    (directory / "idp.jwks.json").write_bytes(key_set(KEY))
    ledger = memory_ledger()
    streams = Streams((trust(),), directory)
    yield Receiver(lambda: streams, Operations(ledger, at), clock=at)
    ledger.shut()


_NAMES = iter(range(10**9))


@settings(max_examples=300)
@given(made=nearly_good())
def test_whatever_is_signed_is_answered_and_what_is_accepted_can_be_held(
    receiver: Receiver, made: dict[str, Any]
) -> None:
    """No exception, and none from a real ledger: a token that is accepted and cannot be stored would come for ever."""
    if made.get("jti") == "j-1":
        made["jti"] = f"j-{next(_NAMES)}"
    answer = receiver.receive("idp", KEY.sign(made, typ="secevent+jwt"))

    if isinstance(answer, RefusedSet):
        assert answer.code is not SetRefusal.INTERNAL_ERROR, answer.detail
        assert answer.detail.isprintable()
        return
    assert isinstance(answer, Received)
    assert "exp" not in made and "sub" not in made
    for signal in answer.signals:
        known = signal.event in GOOD or f"{CAEP}{signal.event}" in made["events"]
        assert known or signal.effect is SignalEffect.NOTE
        assert signal.effect is SignalEffect.NOTE or (signal.about is None) is not (signal.run_id is None)
        assert (signal.risk is not None) is (signal.effect is SignalEffect.SET_RISK)
        assert signal.at <= at(5)


@settings(max_examples=200)
@given(token=st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_no_bytes_from_a_stranger_are_taken(receiver: Receiver, token: bytes | str) -> None:
    """Anybody can reach an address."""
    answer = receiver.receive("idp", token)

    assert isinstance(answer, RefusedSet)
    assert answer.code is not SetRefusal.INTERNAL_ERROR


def test_much_of_what_is_tried_is_accepted(receiver: Receiver) -> None:
    """On input that is all wrong, the first test would prove nothing."""
    accepted: list[bool] = []

    @settings(max_examples=200)
    @given(made=nearly_good())
    def count(made: dict[str, Any]) -> None:
        answer = receiver.receive("idp", KEY.sign(made, typ="secevent+jwt"))
        accepted.append(isinstance(answer, Received))

    count()
    assert 0.2 < sum(accepted) / len(accepted) < 0.95
