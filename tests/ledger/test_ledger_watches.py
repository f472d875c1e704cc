"""Rules that raise a run's risk count in the admission itself: exactly, per run, across processes, and once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ledger_kit import T0, a_run, an_admission, ask, at, got, record, run_now, seqs

from agentguard.core.policy import Counted
from agentguard.core.signals import Signal, SignalEffect
from agentguard.core.values import Risk
from agentguard.errors import LedgerError
from agentguard.ledger import Admission, Admitted, FirstUse, LogLedger, RecordFilter, Refusal, Watch, cells, open_ledger
from agentguard.ledger.worker import LISTS

MINUTE = timedelta(minutes=1)
RISE = record("signal", by="rule:1")


@pytest.fixture(autouse=True)
def _a_run(ledger: LogLedger) -> None:
    got(ledger.start_run(a_run(), record("run", run_id="r")))


def watch(at_least: int = 3, counts: Counted = Counted.CALLS, **fields: Any) -> Watch:
    base = {"source": "rule:1", "to": Risk.MEDIUM, "within": MINUTE, "record": RISE} | fields
    return Watch(counts=counts, at_least=at_least, **base)


def asked(ledger: LogLedger, name: str, when: float = 0, **fields: Any) -> Admission:
    base = {"at": at(when), "watches": (watch(),)} | fields
    return an_admission(name, run_now(ledger).version, **base)


def admit(ledger: LogLedger, name: str, when: float = 0, **fields: Any) -> Admitted:
    answer = got(ledger.admit(asked(ledger, name, when, **fields), windows={}))
    assert isinstance(answer, Admitted)
    return answer


def counted_runs(ledger: LogLedger) -> list[str]:
    """The runs of which anything is still remembered, whatever a decision is shown."""
    got(ask(ledger, LISTS, lambda world, _: None))
    listed = ledger.engine.worker.mirror.listed(cells.RUN)
    return [run_id for run_id, cell in listed if isinstance(cell, cells.RunCell) and any(cell.happened.values())]


def test_the_number_is_reached_by_the_one_that_reaches_it(ledger: LogLedger) -> None:
    """It is admitted as decided; the state it leaves is of the new risk, and the rise is told and recorded."""
    answers = [admit(ledger, f"d{n}") for n in range(4)]

    assert [answer.run and answer.run.risk for answer in answers] == [Risk.LOW, Risk.LOW, Risk.MEDIUM, Risk.MEDIUM]
    assert [answer.raised for answer in answers] == [(), (), (RISE,), ()]
    assert seqs(ledger, RecordFilter(kind="signal")) == [answers[2].seq + 1]


@pytest.mark.parametrize(("last", "risk"), [(59.999999, Risk.MEDIUM), (60, Risk.LOW)])
def test_what_is_as_old_as_the_window_is_long_does_not_count(ledger: LogLedger, last: float, risk: Risk) -> None:
    """To the microsecond."""
    for name, when in (("d1", 0), ("d2", 0), ("d3", last)):
        admit(ledger, name, when)
    assert run_now(ledger).risk is risk


def test_a_clock_that_was_set_back_forgets_nothing(ledger: LogLedger) -> None:
    """What happened "later" counts as well: turning the clock is no way round."""
    for name, when in (("d1", 500), ("d2", 500), ("d3", 0)):
        admit(ledger, name, when)
    assert run_now(ledger).risk is Risk.MEDIUM


def test_a_decision_made_before_the_rise_is_not_admitted_after_it(ledger: LogLedger) -> None:
    """It was made at the old risk."""
    early = replace(asked(ledger, "early"), permit=True)
    denial = {"permit": False, "step": None, "watches": (watch(1, Counted.DENIALS),)}
    admit(ledger, "d1", **denial)

    assert run_now(ledger).risk is Risk.MEDIUM
    assert got(ledger.admit(early, windows={})).reason is Refusal.RUN_MOVED  # type: ignore[union-attr]


def test_calls_and_denials_are_counted_apart(ledger: LogLedger) -> None:
    """Two calls and two denials are neither three calls nor three denials."""
    for n in range(2):
        admit(ledger, f"c{n}")
        admit(ledger, f"d{n}", permit=False, watches=(watch(3, Counted.DENIALS),))
    assert run_now(ledger).risk is Risk.LOW
    admit(ledger, "d3", permit=False, watches=(watch(3, Counted.DENIALS),))
    assert run_now(ledger).risk is Risk.MEDIUM


@pytest.mark.parametrize(
    ("calls", "whens", "risk"),
    [
        (("a", "a", "a"), (0, 1, 3), Risk.LOW),
        (("a", "a", "a"), (0, 9.999999, 10), Risk.LOW),  # what was not counted does not make the time longer
        (("a", "a", "a"), (0, 10, 20), Risk.MEDIUM),
        (("a", "b", "c"), (0, 0, 0), Risk.MEDIUM),
        (("a", "b", "a"), (0, 0, 0), Risk.LOW),
        ((None, None, None), (0, 0, 0), Risk.MEDIUM),
    ],
)
def test_the_same_call_repeated_at_once_counts_once(
    ledger: LogLedger, calls: tuple[str | None, ...], whens: tuple[float, ...], risk: Risk
) -> None:
    """A framework that retries what raised is not an attacker who tries again; three different calls may be one."""
    for n, (call, when) in enumerate(zip(calls, whens, strict=True)):
        admit(ledger, f"d{n}", when, permit=False, watches=(watch(3, Counted.DENIALS, call=call),))
    assert run_now(ledger).risk is risk


def test_a_repetition_in_another_run_counts_there(ledger: LogLedger) -> None:
    """Each run is counted for itself."""
    got(ledger.start_run(a_run("r2"), record("run")))
    for n, run_id in enumerate(("r", "r2", "r2")):
        version = run_now(ledger, run_id).version
        watches = (watch(2, Counted.DENIALS, call="a"),)
        admitted = an_admission(f"d{n}", version, run_id=run_id, permit=False, at=T0, watches=watches)
        got(ledger.admit(admitted, windows={}))
    assert run_now(ledger, "r").risk is run_now(ledger, "r2").risk is Risk.LOW


def test_what_was_refused_is_not_counted(ledger: LogLedger) -> None:
    """It is tried again, and counts then."""
    stale = replace(asked(ledger, "stale"), run_version=99)
    used_up = replace(asked(ledger, "used"), step_at_most=0)
    for refused in (stale, used_up, stale, used_up):
        assert not isinstance(got(ledger.admit(refused, windows={})), Admitted)
    admit(ledger, "d1")
    admit(ledger, "d2")
    assert run_now(ledger).risk is Risk.LOW


@pytest.mark.parametrize("turned", [False, True])
def test_the_longest_window_keeps_what_the_shorter_has_forgotten(ledger: LogLedger, turned: bool) -> None:
    """Each rule counts for itself, in whatever order they are written."""
    short = watch(2, source="rule:short", to=Risk.HIGH, within=timedelta(seconds=1), record=record("signal", by="s"))
    both = (short, watch(3))[:: -1 if turned else 1]
    for name, when in (("d1", 0), ("d2", 30), ("d3", 59)):
        admit(ledger, name, when, watches=both)
    assert run_now(ledger).risk is Risk.MEDIUM
    assert len(admit(ledger, "d4", 59.5, watches=both).raised) == 1
    assert run_now(ledger).risk is Risk.HIGH


@pytest.mark.parametrize("levels", [(Risk.MEDIUM, Risk.HIGH), (Risk.HIGH, Risk.MEDIUM)])
def test_of_two_rules_that_one_call_reaches_the_highest_counts(ledger: LogLedger, levels: tuple[Risk, Risk]) -> None:
    """The one that is written last must not lower what the other has just raised."""
    both = tuple(watch(1, source=f"rule:{n}", to=level) for n, level in enumerate(levels))
    answer = admit(ledger, "d1", watches=both)

    assert len(answer.raised) == 2
    assert (answer.run and answer.run.risk, run_now(ledger).risk) == (Risk.HIGH, Risk.HIGH)


def test_another_run_is_another_count(ledger: LogLedger) -> None:
    """The same workload in two runs."""
    got(ledger.start_run(a_run("other"), record("run")))
    for n in range(2):
        admit(ledger, f"a{n}")
        version = run_now(ledger, "other").version
        got(ledger.admit(an_admission(f"b{n}", version, run_id="other", watches=(watch(),)), windows={}))
    assert (run_now(ledger).risk, run_now(ledger, "other").risk) == (Risk.LOW, Risk.LOW)


@pytest.mark.parametrize("status", ["stopped", "ended"])
def test_a_run_that_is_over_is_not_counted(ledger: LogLedger, status: str) -> None:
    """There is nothing left to take from it."""
    got(ledger.change_run("r", at=T0, record=record("run"), status=status))
    answer = admit(ledger, "d1", permit=False, watches=(watch(1, Counted.DENIALS),))
    assert (answer.raised, run_now(ledger).risk) == ((), Risk.LOW)
    assert counted_runs(ledger) == []


def test_what_was_counted_is_forgotten_with_the_run(ledger: LogLedger) -> None:
    """However it ended; the records stay."""
    for name in ("ended", "signalled", "goes-on"):
        got(ledger.start_run(a_run(name, requester=f"user:{name}"), record("run")))
        counted = an_admission(f"d-{name}", 1, run_id=name, watches=(watch(),))
        assert isinstance(got(ledger.admit(counted, windows={})), Admitted)
    got(ledger.change_run("ended", at=T0, record=record("run"), status="ended"))
    said = Signal("idp", "x", SignalEffect.END_RUNS, T0, about="user:signalled")
    got(ledger.signal(("iss", "jti"), [said], at=T0, records=[]))

    assert counted_runs(ledger) == ["goes-on"]


def test_a_denial_outside_any_run_counts_for_nobody(ledger: LogLedger) -> None:
    """No run, no risk."""
    denial = an_admission("d1", None, permit=False, run_id=None, watches=(watch(1, Counted.DENIALS),))
    answer = got(ledger.admit(denial, windows={}))
    assert isinstance(answer, Admitted)
    assert answer.raised == ()


BAD: dict[str, Callable[[], Watch]] = {
    "a rise that cannot be stored": lambda: watch(1, record=record(value=float("nan"))),
    "a rise with a number of its own": lambda: watch(1, record=record(seq=1)),
    "reached by nothing": lambda: watch(0),
    "a number that is true": lambda: watch(True),
    "no time at all": lambda: watch(within=timedelta(0)),
    "a risk that is a number": lambda: watch(to=2),
    "counts a word": lambda: watch(counts="calls"),  # type: ignore[arg-type]
    "a name that is none": lambda: watch(source=1),
}


@pytest.mark.parametrize("case", BAD)
def test_a_rule_that_makes_no_sense_admits_nothing(ledger: LogLedger, case: str) -> None:
    """Neither the call, nor its assertion, nor half of the count."""
    wrong = replace(asked(ledger, "d1"), watches=(BAD[case](),), assertion_key=("iss", "jti"))
    with pytest.raises(LedgerError):
        got(ledger.admit(wrong, windows={}))
    assert seqs(ledger) == [1]
    assert run_now(ledger).version == 1
    admit(ledger, "d1", assertion_key=("iss", "jti"))


def test_two_ledgers_on_one_file_count_together_and_raise_once(tmp_path: Path) -> None:
    """Two processes' guards, from many threads at once."""
    one, two = open_ledger(tmp_path / "l.sqlite3"), open_ledger(tmp_path / "l.sqlite3")
    got(one.start_run(a_run("both"), record("run")))
    rule = watch(50, source="rule:both")

    def call(n: int) -> Risk:
        ledger = (one, two)[n % 2]
        while True:
            state = run_now(ledger, "both")
            wanted = an_admission(f"d{n}", state.version, run_id="both", watches=(rule,))
            if isinstance(got(ledger.admit(wanted, windows={})), Admitted):
                return state.risk

    with ThreadPoolExecutor(8) as pool:
        risks = list(pool.map(call, range(100)))
    rises = seqs(one, RecordFilter(kind="signal"))
    one.shut()
    two.shut()

    assert (risks.count(Risk.LOW), risks.count(Risk.MEDIUM), len(rises)) == (50, 50, 1)


# First uses.


def first(kind: str = "destination", *values: str, **fields: Any) -> FirstUse:
    base = {"source": "rule:new", "to": Risk.MEDIUM, "record": RISE} | fields
    return FirstUse(kind=kind, values=frozenset(values), **base)


def uses(ledger: LogLedger, name: str, *rules: FirstUse, **fields: Any) -> Risk:
    admit(ledger, name, watches=(), first_uses=rules, **fields)
    return run_now(ledger).risk


def test_the_first_use_of_a_place_raises_the_risk_and_the_second_does_not(ledger: LogLedger) -> None:
    """Per subject: in another run of it, the place is known."""
    assert uses(ledger, "d1", first("destination", "url a")) is Risk.MEDIUM
    got(ledger.start_run(a_run("s"), record("run", run_id="s")))
    got(ledger.admit(an_admission("d2", run_id="s", first_uses=(first("destination", "url a"),)), windows={}))
    assert run_now(ledger, "s").risk is Risk.LOW
    version = run_now(ledger, "s").version
    both = (first("destination", "url a", "url b"),)
    got(ledger.admit(an_admission("d3", version, run_id="s", first_uses=both), windows={}))
    assert run_now(ledger, "s").risk is Risk.MEDIUM
    assert len(list(ledger.records(RecordFilter(kind="signal")))) == 2


def test_a_zone_that_was_reached_before_the_rule_came_is_known(ledger: LogLedger) -> None:
    assert uses(ledger, "d1", zones=frozenset({"data"})) is Risk.LOW
    assert uses(ledger, "d2", first("zone", "data"), zones=frozenset({"data"})) is Risk.LOW
    assert uses(ledger, "d3", first("zone", "data", "vault"), zones=frozenset({"data", "vault"})) is Risk.MEDIUM


def test_a_first_use_and_a_first_contact_are_one_transaction(ledger: LogLedger) -> None:
    """The rule is judged by what was known before the call, whose contact is written with it."""
    assert uses(ledger, "d1", first("zone", "data"), zones=frozenset({"data"})) is Risk.MEDIUM


@pytest.mark.parametrize("broken", [{"permit": False}, {"step_at_most": 0}])
def test_what_is_not_permitted_uses_nothing(ledger: LogLedger, broken: dict[str, Any]) -> None:
    got(ledger.admit(asked(ledger, "d1", watches=(), first_uses=(first("destination", "a"),), **broken), windows={}))

    assert run_now(ledger).risk is Risk.LOW
    assert uses(ledger, "d2", first("destination", "a")) is Risk.MEDIUM


def test_a_destination_and_a_zone_of_the_same_name_are_two_things(ledger: LogLedger) -> None:
    assert uses(ledger, "d1", zones=frozenset({"a"})) is Risk.LOW
    assert uses(ledger, "d2", first("destination", "a")) is Risk.MEDIUM


def test_of_50_first_uses_at_once_one_raises_its_run(tmp_path: Path) -> None:
    """Exact across two ledgers on one file."""
    one, two = open_ledger(tmp_path / "l"), open_ledger(tmp_path / "l")
    for number in range(50):
        got(one.start_run(a_run(f"r{number}"), record("run")))
    futures = [
        (one, two)[number % 2].admit(
            an_admission(f"d{number}", run_id=f"r{number}", first_uses=(first("destination", "a"),)), windows={}
        )
        for number in range(50)
    ]
    assert all(isinstance(got(future), Admitted) for future in futures)

    assert [run_now(one, f"r{number}").risk for number in range(50)].count(Risk.MEDIUM) == 1
    one.shut()
    two.shut()


@pytest.mark.parametrize(
    "wrong",
    [first("place", "a"), first(to=1), first("zone", 1), first(source=1), first("zone", "a", record=record(seq=1))],  # type: ignore[arg-type]
)
def test_a_first_use_that_makes_no_sense_admits_nothing(ledger: LogLedger, wrong: FirstUse) -> None:
    with pytest.raises(LedgerError):
        got(ledger.admit(asked(ledger, "d1", watches=(), first_uses=(wrong,)), windows={}))
    assert (seqs(ledger), run_now(ledger).version) == ([1], 1)
