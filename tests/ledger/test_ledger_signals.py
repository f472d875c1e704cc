"""What outside sources say: kept apart by source, the worst counts, heard once, and obeyed by the next decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from ledger_kit import T0, a_run, an_admission, at, got, record, run_now, seqs

from agentguard.core.facts import RunState, RunStatus
from agentguard.core.signals import OPERATIONS, Signal, SignalEffect
from agentguard.core.values import Risk
from agentguard.errors import LedgerError
from agentguard.ledger import Admitted, LogLedger, Refusal, StreamStatus

SUBJECT = "spiffe://x/a"
ANN = "user:ann"


@pytest.fixture(autouse=True)
def _runs(ledger: LogLedger) -> None:
    got(ledger.start_run(a_run(requester=ANN), record("run", run_id="r")))
    got(ledger.start_run(a_run("other", subject="spiffe://x/b", requester="user:bob"), record("run")))


_NAMES = iter(range(10**9))


def said(effect: SignalEffect, when: datetime = T0, *, source: str = "idp", **about: Any) -> Signal:
    return Signal(source=source, event="test", effect=effect, at=when, **(about or {"about": SUBJECT}))


def tell(ledger: LogLedger, *signals: Signal, jti: str | None = None, when: datetime = T0) -> bool:
    name = f"jti-{next(_NAMES)}" if jti is None else jti
    return got(ledger.signal(("https://idp.example", name), signals, at=when, records=[record("signal")]))


def risk(level: Risk, when: datetime = T0, **more: Any) -> Signal:
    return replace(said(SignalEffect.SET_RISK, when, **more), risk=level)


def standing(state: RunState) -> tuple[Any, ...]:
    return state.status.value, state.risk.word, state.credential_refused, state.issued_after


QUIET = ("active", "low", False, None)
EFFECTS: dict[str, tuple[Callable[..., Signal], tuple[Any, ...]]] = {
    "risk": (lambda **about: risk(Risk.HIGH, **about), ("active", "high", False, None)),
    "refused": (lambda **about: said(SignalEffect.REFUSE_CREDENTIAL, **about), ("active", "low", True, None)),
    "newer": (lambda **about: said(SignalEffect.REQUIRE_NEWER, **about), ("active", "low", False, T0)),
    "ended": (lambda **about: said(SignalEffect.END_RUNS, **about), ("stopped", "low", False, None)),
}


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("about", [{"about": SUBJECT}, {"about": ANN}, {"run_id": "r"}], ids=str)
def test_a_signal_reaches_the_run_it_is_about_and_no_other(
    ledger: LogLedger, effect: str, about: dict[str, str]
) -> None:
    """By the workload, by the person it works for, or by the run itself; and what was decided before is void."""
    make, expected = EFFECTS[effect]
    before = run_now(ledger).version
    assert tell(ledger, make(**about))

    assert standing(run_now(ledger)) == expected
    assert got(ledger.admit(an_admission("d1", before), windows={})).reason is Refusal.RUN_MOVED
    assert standing(run_now(ledger, "other")) == QUIET
    assert run_now(ledger, "other").version == 1
    assert isinstance(got(ledger.admit(an_admission("d2", 1, run_id="other"), windows={})), Admitted)


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_person_is_known_by_name_with_or_without_the_word_user(ledger: LogLedger, effect: str) -> None:
    """Code that starts a run may write `ann`; whoever speaks of people writes `user:ann`."""
    got(ledger.start_run(a_run("bare", requester="ann"), record("run")))
    make, expected = EFFECTS[effect]
    assert tell(ledger, make(about=ANN))

    assert standing(run_now(ledger, "bare")) == standing(run_now(ledger)) == expected
    assert got(ledger.admit(an_admission("d1", 1, run_id="bare"), windows={})).reason is Refusal.RUN_MOVED
    assert standing(got(ledger.start_run(a_run("later", requester="ann", started_at=T0), record("run")))) == expected


NEAR_MISSES = {
    "a longer subject": {"about": SUBJECT + "b"},
    "a shorter subject": {"about": SUBJECT[:-1]},
    "another case": {"about": SUBJECT.upper()},
    "the bare name of the person": {"about": "ann"},
    "the run's id as a subject": {"about": "r"},
    "the subject as a run": {"run_id": SUBJECT},
    "a credential": {"credential": "r"},
}


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("about", NEAR_MISSES)
def test_a_signal_about_somebody_else_changes_nothing(ledger: LogLedger, effect: str, about: str) -> None:
    """Names are compared letter for letter, each in its own kind."""
    assert tell(ledger, EFFECTS[effect][0](**NEAR_MISSES[about]))
    assert standing(run_now(ledger)) == QUIET


def test_a_note_is_recorded_and_moves_nothing(ledger: LogLedger) -> None:
    """It only shows that the stream is alive."""
    assert tell(ledger, said(SignalEffect.NOTE), when=at(7))
    assert run_now(ledger).version == 1
    assert seqs(ledger) == [1, 2, 3]
    assert got(ledger.streams())["idp"].last_heard == at(7)


def test_a_message_is_heard_once(ledger: LogLedger) -> None:
    """A transmitter repeats what it is not sure of; taken twice, an old alarm would undo what came between."""
    alarm = risk(Risk.HIGH)
    assert tell(ledger, alarm, jti="one")
    assert tell(ledger, risk(Risk.LOW, at(1)), jti="two")
    before, version = seqs(ledger), run_now(ledger).version

    assert not tell(ledger, replace(alarm, at=at(2)), jti="one", when=at(99))
    assert run_now(ledger).risk is Risk.LOW
    assert (seqs(ledger), run_now(ledger).version) == (before, version)
    assert got(ledger.streams())["idp"].heard_at == T0


def test_the_same_jti_of_another_issuer_is_another_message(ledger: LogLedger) -> None:
    """Issuers choose their identifiers without asking each other, and no two pairs read alike."""
    for issuer, jti in (("a", "bc"), ("ab", "c"), ("a", "b")):
        assert got(ledger.signal((issuer, jti), [risk(Risk.HIGH)], at=T0, records=[]))


def test_a_source_takes_back_only_what_it_said_itself(ledger: LogLedger) -> None:
    """One stream's calm does not silence another's alarm, nor what people set."""
    tell(ledger, risk(Risk.HIGH, source="a"), risk(Risk.MEDIUM, source="b"))
    tell(ledger, risk(Risk.LOW, at(1), source="b"))
    assert run_now(ledger).risk is Risk.HIGH
    tell(ledger, risk(Risk.LOW, at(1), source="a/device"))
    assert run_now(ledger).risk is Risk.HIGH
    tell(ledger, risk(Risk.LOW, at(1), source="a"))
    assert run_now(ledger).risk is Risk.LOW

    got(ledger.change_run("r", at=T0, record=record("operation"), risk=Risk.MEDIUM))
    tell(ledger, risk(Risk.LOW, at(2), source="a"))
    assert run_now(ledger).risk is Risk.MEDIUM
    tell(ledger, risk(Risk.HIGH, at(3), source="a"))
    got(ledger.change_run("r", at=T0, record=record("operation"), risk=Risk.LOW))
    assert run_now(ledger).risk is Risk.HIGH


def test_a_refusal_is_lifted_by_whoever_refused(ledger: LogLedger) -> None:
    """And by nobody else."""
    tell(ledger, said(SignalEffect.REFUSE_CREDENTIAL, source="a"))
    tell(ledger, said(SignalEffect.RESTORE_CREDENTIAL, at(1), source="b"))
    assert run_now(ledger).credential_refused
    tell(ledger, said(SignalEffect.RESTORE_CREDENTIAL, at(1), source="a"))
    assert not run_now(ledger).credential_refused


@pytest.mark.parametrize("about", [{"run_id": "r"}, {"about": SUBJECT}, {"about": ANN}], ids=str)
def test_the_highest_of_run_subject_and_requester_counts(ledger: LogLedger, about: dict[str, str]) -> None:
    """A calm word about one of them says nothing about the others."""
    tell(ledger, risk(Risk.HIGH, **about))
    for other in ({"run_id": "r"}, {"about": SUBJECT}, {"about": ANN}):
        if other != about:
            tell(ledger, risk(Risk.LOW, at(9), **other))
    assert run_now(ledger).risk is Risk.HIGH


LATE: dict[str, tuple[Signal, Signal]] = {
    "risk": (risk(Risk.HIGH, at(5)), risk(Risk.LOW, at(4))),
    "risk, calm last": (risk(Risk.LOW, at(5)), risk(Risk.HIGH, at(4))),
    "refused": (said(SignalEffect.REFUSE_CREDENTIAL, at(5)), said(SignalEffect.RESTORE_CREDENTIAL, at(4))),
    "restored": (said(SignalEffect.RESTORE_CREDENTIAL, at(5)), said(SignalEffect.REFUSE_CREDENTIAL, at(4))),
    "newer": (said(SignalEffect.REQUIRE_NEWER, at(5)), said(SignalEffect.REQUIRE_NEWER, at(4))),
    "ended": (said(SignalEffect.END_RUNS, at(5)), said(SignalEffect.END_RUNS, at(4))),
}


@pytest.mark.parametrize("case", LATE)
def test_what_is_older_than_the_sources_last_word_is_not_news(ledger: LogLedger, case: str) -> None:
    """Messages overtake each other on the way; their own times say which is the last. It is recorded all the same."""
    newest, late = LATE[case]
    tell(ledger, newest)
    expected, version = standing(run_now(ledger)), run_now(ledger).version

    assert tell(ledger, late, when=at(99))
    assert standing(run_now(ledger)) == expected
    assert run_now(ledger).version == version
    assert seqs(ledger) == [1, 2, 3, 4]


SAME_MOMENT: dict[str, tuple[Signal, Signal]] = {
    "risk": (risk(Risk.HIGH), risk(Risk.LOW)),
    "credential": (said(SignalEffect.REFUSE_CREDENTIAL), said(SignalEffect.RESTORE_CREDENTIAL)),
}


@pytest.mark.parametrize("case", SAME_MOMENT)
@pytest.mark.parametrize("turned", [False, True])
def test_of_two_words_for_the_same_moment_the_worse_counts(ledger: LogLedger, case: str, turned: bool) -> None:
    """A poll brings messages in no order, and event times are often whole seconds."""
    bad, good = SAME_MOMENT[case]
    tell(ledger, *((good, bad) if turned else (bad, good)))
    assert standing(run_now(ledger)) != QUIET


def test_what_people_say_counts_in_the_order_they_say_it(ledger: LogLedger) -> None:
    """A clock that was set back must not swallow an order."""
    tell(ledger, risk(Risk.HIGH, at(9), source=OPERATIONS))
    tell(ledger, risk(Risk.LOW, at(1), source=OPERATIONS))
    assert run_now(ledger).risk is Risk.LOW
    tell(ledger, risk(Risk.MEDIUM, at(0), source=OPERATIONS))
    assert run_now(ledger).risk is Risk.MEDIUM
    assert OPERATIONS not in got(ledger.streams())


def test_sessions_end_up_to_the_moment_named(ledger: LogLedger) -> None:
    """A run begun afterwards is a new session, to the microsecond."""
    for name, started in (("before", at(4.999999)), ("then", at(5)), ("after", at(5.000001))):
        got(ledger.start_run(a_run(name, started_at=started), record("run")))
    tell(ledger, said(SignalEffect.END_RUNS, at(5)))

    found = {name: run_now(ledger, name).status for name in ("before", "then", "after")}
    assert found == {"before": RunStatus.STOPPED, "then": RunStatus.STOPPED, "after": RunStatus.ACTIVE}


def test_a_run_that_was_being_started_when_its_session_ended_is_born_stopped(ledger: LogLedger) -> None:
    """Otherwise it would slip between: begun before the signal, stored after it."""
    tell(ledger, said(SignalEffect.END_RUNS, at(5)))
    late = got(ledger.start_run(a_run("late", started_at=at(5)), record("run")))
    new = got(ledger.start_run(a_run("new", started_at=at(5.000001)), record("run")))

    assert (late.status, new.status) == (RunStatus.STOPPED, RunStatus.ACTIVE)
    answer = got(ledger.admit(an_admission("d1", 1, run_id="late"), windows={}))
    assert answer.reason is Refusal.RUN_MOVED


def test_an_older_end_of_sessions_does_not_take_the_place_of_the_latest(ledger: LogLedger) -> None:
    """Otherwise a message that comes late would let through a run that was being started."""
    tell(ledger, said(SignalEffect.END_RUNS, at(5)))
    tell(ledger, said(SignalEffect.END_RUNS, at(4)))
    assert got(ledger.start_run(a_run("late", started_at=at(4.5)), record("run"))).status is RunStatus.STOPPED


def test_a_run_that_has_ended_is_not_ended_again(ledger: LogLedger) -> None:
    """How a run ended is history."""
    got(ledger.change_run("r", at=T0, record=record("run"), status="ended"))
    tell(ledger, said(SignalEffect.END_RUNS, at(5)))
    assert run_now(ledger).status is RunStatus.ENDED


def test_a_signal_before_the_run_holds_for_the_run(ledger: LogLedger) -> None:
    """Risk and credentials belong to the workload and the person, not to what they are doing just now."""
    tell(ledger, risk(Risk.MEDIUM), said(SignalEffect.REFUSE_CREDENTIAL), said(SignalEffect.REQUIRE_NEWER, at(3)))
    born = got(ledger.start_run(a_run("born"), record("run")))
    assert standing(born) == ("active", "medium", True, at(3))


def test_a_registered_credential_is_active_where_everybody_says_so(ledger: LogLedger) -> None:
    """A stream's refusal is not undone by people, nor theirs by a stream."""
    named = {"credential": "db"}

    def state() -> str | None:
        return got(ledger.credential_states(["db"])).get("db")

    def people(word: str) -> None:
        got(ledger.revoke_credential("db", at=T0, record=record("operation"), state=word))

    tell(ledger, said(SignalEffect.RESTORE_CREDENTIAL, **named))
    assert state() is None  # never registered: a stream cannot put it in force
    people("active")
    version = run_now(ledger).version
    tell(ledger, said(SignalEffect.REFUSE_CREDENTIAL, at(1), source="a", **named))
    assert state() == "revoked"
    assert run_now(ledger).version > version
    assert not run_now(ledger).credential_refused
    people("active")
    tell(ledger, said(SignalEffect.RESTORE_CREDENTIAL, at(2), source="b", **named))
    assert state() == "revoked"
    tell(ledger, said(SignalEffect.RESTORE_CREDENTIAL, at(2), source="a", **named))
    assert state() == "active"
    people("rotated")
    tell(ledger, said(SignalEffect.RESTORE_CREDENTIAL, at(3), source="a", **named))
    assert state() == "rotated"


def test_a_stream_is_heard_by_its_latest_sign_of_life(ledger: LogLedger) -> None:
    """A late message does not make it older."""
    got(ledger.stream_heard("idp", at=at(5), record=record("signal")))
    got(ledger.stream_heard("idp", at=at(3), record=record("signal")))
    tell(ledger, said(SignalEffect.NOTE, source="idp/device"), when=at(4))
    tell(ledger, said(SignalEffect.NOTE, source="hr"), when=at(1))

    found = got(ledger.streams())
    assert {name: each.last_heard for name, each in found.items()} == {"idp": at(5), "hr": at(1)}


@pytest.mark.parametrize("status", ["paused", "disabled"])
def test_a_paused_stream_counts_as_silent_until_it_is_enabled(ledger: LogLedger, status: str) -> None:
    """What arrives meanwhile is obeyed, but does not prove that all arrives. What was decided before is void."""
    got(ledger.stream_heard("idp", at=at(1), record=record("signal")))
    version = run_now(ledger).version
    got(ledger.stream_heard("idp", at=at(2), status=status, record=record("signal")))
    assert run_now(ledger).version > version
    tell(ledger, risk(Risk.HIGH), when=at(3))

    silent = got(ledger.streams())["idp"]
    assert (silent.last_heard, silent.heard_at, silent.status) == (None, at(3), StreamStatus(status))
    assert run_now(ledger).risk is Risk.HIGH
    got(ledger.stream_heard("idp", at=at(4), record=record("signal")))
    assert got(ledger.streams())["idp"].last_heard == at(4)


@pytest.mark.parametrize("status", ["paused", "disabled"])
def test_a_message_can_say_that_its_stream_is_paused(ledger: LogLedger, status: str) -> None:
    """In the transaction that hears it, so that a repeated message neither loses nor repeats it."""

    def hear(jti: str, when: int, status: str | None) -> bool:
        note = [said(SignalEffect.NOTE)]
        return got(ledger.signal(("https://idp.example", jti), note, at=at(when), records=[], status=status))

    hear("1", 1, None)
    version = run_now(ledger).version
    assert hear("2", 2, status)
    assert run_now(ledger).version > version
    assert got(ledger.streams())["idp"].last_heard is None
    assert hear("3", 3, "enabled")
    assert not hear("2", 4, status), "a message that was heard before is not heard again"
    assert hear("4", 2, status), "what a stream said of itself before it last spoke is no news"
    assert got(ledger.streams())["idp"].last_heard == at(3)


def test_a_sign_of_life_disturbs_no_decision_under_way(ledger: LogLedger) -> None:
    """Streams say every few seconds that they are there."""
    got(ledger.stream_heard("idp", at=at(1), record=record("signal")))
    got(ledger.stream_heard("idp", at=at(2), record=record("signal")))
    assert run_now(ledger).version == 1


NONSENSE: dict[str, Callable[[LogLedger], object]] = {
    "no risk": lambda ledger: tell(ledger, said(SignalEffect.SET_RISK)),
    "a number for a risk": lambda ledger: tell(ledger, risk(2)),  # type: ignore[arg-type]
    "risk of a note": lambda ledger: tell(ledger, replace(said(SignalEffect.NOTE), risk=Risk.LOW)),
    "a word for an effect": lambda ledger: tell(ledger, said("end_runs")),  # type: ignore[arg-type]
    "no source": lambda ledger: tell(ledger, said(SignalEffect.NOTE, source="")),
    "an opinion of nobody": lambda ledger: tell(ledger, said(SignalEffect.NOTE, source="/device")),
    "about the empty name": lambda ledger: tell(ledger, said(SignalEffect.NOTE, about="")),
    "a run that is a number": lambda ledger: tell(ledger, said(SignalEffect.NOTE, run_id=1)),
    "no time zone": lambda ledger: tell(ledger, said(SignalEffect.NOTE, T0.replace(tzinfo=None))),
    "half a surrogate pair": lambda ledger: tell(ledger, said(SignalEffect.NOTE, about="\ud800")),
    "too many": lambda ledger: tell(ledger, *[said(SignalEffect.NOTE)] * 1_001),
    "one good, one bad": lambda ledger: tell(ledger, risk(Risk.HIGH), said(SignalEffect.SET_RISK)),
    "no jti": lambda ledger: got(ledger.signal(("iss",), [], at=T0, records=[])),  # type: ignore[arg-type]
    "jti is a number": lambda ledger: got(ledger.signal(("iss", 1), [], at=T0, records=[])),  # type: ignore[arg-type]
    "a record with a seq": lambda ledger: got(ledger.signal(("i", "j"), [], at=T0, records=[record(seq=1)])),
    "no such status of a message": lambda ledger: got(
        ledger.signal(("i", "j"), [], at=T0, records=[], status="asleep")
    ),
    "no such status": lambda ledger: got(ledger.stream_heard("idp", at=T0, status="asleep", record=record("signal"))),
    "a stream of ours": lambda ledger: got(ledger.stream_heard(OPERATIONS, at=T0, record=record("signal"))),
    "an opinion as a stream": lambda ledger: got(ledger.stream_heard("idp/device", at=T0, record=record("signal"))),
    "a stream without a name": lambda ledger: got(ledger.stream_heard("", at=T0, record=record("signal"))),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_what_makes_no_sense_is_refused_whole(ledger: LogLedger, case: str) -> None:
    """Half a message would be worse than none: the transmitter would think that all of it is in force."""
    with pytest.raises(LedgerError):
        NONSENSE[case](ledger)
    assert seqs(ledger) == [1, 2]
    assert standing(run_now(ledger)) == QUIET
    assert run_now(ledger).version == 1
    assert got(ledger.streams()) == {}
