"""Runs that are found by a key: one append decides which run it is, whoever asks, and whatever is interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_kit import DAY, a_closing, a_run, an_admission, at, child, forget_memory, got, paused, record, run_now

from agentguard.core.facts import Observed, RunState, RunStatus
from agentguard.core.policy import Counted
from agentguard.core.provenance import Seen
from agentguard.core.signals import Signal, SignalEffect
from agentguard.core.tallies import Tally
from agentguard.core.values import Risk, Sensitivity
from agentguard.errors import LedgerError
from agentguard.ledger import (
    LogLedger,
    NotOpened,
    Opened,
    Outcome,
    RecordFilter,
    Watch,
    WhyNot,
    memory_ledger,
    open_ledger,
)
from agentguard.ledger.rebuild import rebuild_ledger

CHILD = Path(__file__).parent / "ledger_keys_child.py"
HOUR = timedelta(hours=1)
_ALL = RecordFilter(kind="run")


def opening(ledger: LogLedger, name: str, *, follows: bool = False, **fields: Any) -> Opened | NotOpened:
    run = a_run(name, **({"key": "k", "requester": "user:ann", "salt": f"salt of {name}"} | fields))
    about = {"subject": run.subject, "run_key": run.key}
    return got(
        ledger.open_run(
            run,
            follows=follows,
            started=record("run", run_id=name, outcome="started", **about),
            found=record("run", outcome="resumed", **about),
            ended=record("run", outcome="ended", **about),
        )
    )


def opened(ledger: LogLedger, name: str, **fields: Any) -> RunState:
    found = opening(ledger, name, **fields)
    assert isinstance(found, Opened)
    return found.run


def permitted(ledger: LogLedger, run: RunState, name: str, **fields: Any) -> None:
    now = run_now(ledger, run.id)
    got(ledger.admit(an_admission(name, now.version, run_id=run.id, **fields), windows={}))


def end(ledger: LogLedger, run: RunState, status: str = "ended") -> None:
    got(ledger.change_run(run.id, at=at(0), record=record("run", run_id=run.id), status=status))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, path: Path) -> Iterator[LogLedger]:
    made = memory_ledger() if request.param == "memory" else open_ledger(path)
    yield made
    made.shut()


def test_a_key_opens_a_run_and_then_goes_on_with_it(ledger: LogLedger) -> None:
    first, second = opening(ledger, "r1"), opening(ledger, "r2")

    assert (first, second) == (Opened(run_now(ledger, "r1"), True), Opened(run_now(ledger, "r1"), False))
    assert got(ledger.run("r2", at=at(0), windows={})) is None
    said = [(each["run_id"], each["outcome"]) for each in ledger.records(_ALL)]
    assert said == [("r1", "started"), ("r1", "resumed")]


@pytest.mark.parametrize(
    "other",
    [
        {"subject": "spiffe://x/b"},
        {"subject": "spiffe://x/A"},
        {"workflow": "v"},
        {"requester": "user:bob"},
        {"requester": None},
        {"requester": "", "key": "user:annk"},
        {"key": "k\u0301"},
        {"key": "\u212a"},
        {"key": "K"},
    ],
)
def test_whoever_differs_has_another_run(ledger: LogLedger, other: dict[str, Any]) -> None:
    """A key is compared sign by sign: KELVIN SIGN is no k."""
    opened(ledger, "r1")

    assert opened(ledger, "r2", **other).id == "r2"
    assert opened(ledger, "r3").id == "r1"


def test_many_openings_in_one_append_are_one_run(ledger: LogLedger) -> None:
    """They are done in the order in which they were asked, and each sees what the one before it did."""
    with paused(ledger):
        asked = [
            ledger.open_run(
                a_run(f"r{n}", key="k"), follows=False, started=record("run"), found=record("run"), ended=record("run")
            )
            for n in range(20)
        ]
    answers = [got(each) for each in asked]

    assert {each.run.id for each in answers if isinstance(each, Opened)} == {"r0"}
    assert [each.begun for each in answers if isinstance(each, Opened)] == [True] + [False] * 19


def test_a_run_id_is_used_once_and_a_refusal_changes_nothing(ledger: LogLedger) -> None:
    run = opened(ledger, "r1", lasts=HOUR)
    before = run_now(ledger, "r1")
    with pytest.raises(LedgerError, match="already"):
        opening(ledger, "r1", started_at=at(7200), lasts=HOUR)

    assert run_now(ledger, "r1") == before == run


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"inputs": {"a": 2}}, WhyNot.OTHER_INPUTS),
        ({"inputs": {"a": 1, "b": 1}}, WhyNot.OTHER_INPUTS),
        ({"inputs": {}}, WhyNot.OTHER_INPUTS),
        ({"inputs": {"a": "1"}}, WhyNot.OTHER_INPUTS),
        ({"inputs": {"a": True}}, WhyNot.OTHER_INPUTS),
        ({"inputs": {"a": 1}, "requester": "user:Ann"}, WhyNot.ANOTHER_SPELLING),
        ({"inputs": {"a": 1}, "subject": "SPIFFE://x/a"}, WhyNot.ANOTHER_SPELLING),
    ],
)
def test_a_run_is_gone_on_with_as_it_was_opened(ledger: LogLedger, fields: dict[str, Any], why: WhyNot) -> None:
    opened(ledger, "r1", inputs={"a": 1})
    records = len(list(ledger.records(_ALL)))

    assert opening(ledger, "r2", **fields) == NotOpened(why, "r1")
    assert len(list(ledger.records(_ALL))) == records


def test_a_stopped_run_keeps_its_key_until_it_is_given_back(ledger: LogLedger) -> None:
    run = opened(ledger, "r1", lasts=HOUR)
    end(ledger, run, "stopped")
    assert opening(ledger, "r2", started_at=at(9 * 3600), lasts=HOUR) == NotOpened(WhyNot.STOPPED, "r1")
    got(ledger.free_key("r1", record("operation", run_id="r1")))

    assert opened(ledger, "r3").id == "r3"
    with pytest.raises(LedgerError, match="has opened another run since"):
        got(ledger.free_key("r1", record("operation", run_id="r1")))


def test_the_next_run_goes_on_counting_and_achieved_nothing(ledger: LogLedger) -> None:
    """All that limits it is as it was; all that it could rest on is not there."""
    first = opened(ledger, "r1", inputs={"a": 1})
    permitted(
        ledger, first, "d1", tallies=("s 1",), zones=frozenset({"data"}), read_sensitivity=Sensitivity.SECRET,
    )  # fmt: skip
    got(ledger.close(a_closing("d1", run_id="r1", kept={"x": 1})))
    end(ledger, first)
    second = opened(ledger, "r2", inputs={"a": 2})

    assert (second.counts, second.tallies) == ({"s": 1}, {"s 1": Tally(1, 0, 0)})
    assert (second.zones, second.high_water) == (frozenset({"data"}), Sensitivity.SECRET)
    assert (second.succeeded, second.kept, second.unsettled) == (frozenset(), {}, frozenset())
    assert (second.carries, second.inputs, second.status) == ("r1", {"a": 2}, RunStatus.ACTIVE)


def test_a_call_of_the_run_before_changes_nothing_in_the_next(ledger: LogLedger) -> None:
    """It counted when it was admitted; what comes of it later gives the next run nothing."""
    first = opened(ledger, "r1")
    permitted(ledger, first, "d1", tallies=("s 1",), failure_did_nothing=True)
    end(ledger, first)
    opened(ledger, "r2")
    got(ledger.close(a_closing("d1", Outcome.FAILED, run_id="r1")))

    assert run_now(ledger, "r2").tallies == {"s 1": Tally(1, 0, 0)}


def test_values_that_were_counted_are_known_again_in_the_next_run(ledger: LogLedger) -> None:
    """They are counted by digests under the run's salt."""
    end(ledger, opened(ledger, "r1"))

    assert opened(ledger, "r2").salt == "salt of r1"


@pytest.mark.parametrize(("follows", "calls"), [(True, 1), (True, 0), (False, 1)])
def test_what_the_run_before_read_is_lost_where_values_are_followed(
    ledger: LogLedger, follows: bool, calls: int
) -> None:
    """A run that called nothing has read nothing."""
    first = opened(ledger, "r1", follows=follows)
    for _ in range(calls):
        permitted(ledger, first, "d1")
    end(ledger, first)

    assert opened(ledger, "r2", follows=follows).seen == (Seen((), True) if follows and calls else Seen())


def test_what_is_said_of_a_run_is_said_of_the_next(ledger: LogLedger) -> None:
    first = opened(ledger, "r1")
    said = Signal("idp", "test", SignalEffect.SET_RISK, at(1), run_id="r1", risk=Risk.HIGH)
    got(ledger.signal(("iss", "1"), [said], at=at(1), records=[record("signal")]))
    end(ledger, first)

    assert opened(ledger, "r2").risk is Risk.HIGH


def test_what_rules_count_goes_on_in_the_next_run(ledger: LogLedger) -> None:
    """Two calls within a minute raise the risk; ending the run in between does not help."""
    rule = Watch("rule:calls", Risk.HIGH, Counted.CALLS, 2, timedelta(minutes=1), record("signal"))
    first = opened(ledger, "r1")
    permitted(ledger, first, "d1", watches=(rule,))
    end(ledger, first)
    second = opened(ledger, "r2")
    permitted(ledger, second, "d2", watches=(rule,))

    assert run_now(ledger, "r2").risk is Risk.HIGH


@pytest.mark.parametrize(
    ("was", "now", "after", "fresh"),
    [
        (HOUR, HOUR, HOUR, False),
        (HOUR, HOUR, HOUR + timedelta(microseconds=1), True),
        (HOUR, DAY, 2 * HOUR, False),
        (DAY, HOUR, 2 * HOUR, False),
        (HOUR, None, 99 * DAY, False),
        (None, HOUR, 99 * DAY, False),
        (None, None, 99 * DAY, False),
    ],
)
def test_a_key_begins_afresh_after_the_longer_of_both_times(
    ledger: LogLedger, was: timedelta | None, now: timedelta | None, after: timedelta, fresh: bool
) -> None:
    first = opened(ledger, "r1", lasts=was)
    permitted(ledger, first, "d1")
    end(ledger, first)
    second = opened(ledger, "r2", lasts=now, started_at=at(0) + after)

    assert second.counts == ({} if fresh else {"s": 1})
    assert second.carries == (None if fresh else "r1")


def test_the_window_is_that_of_the_first_run(ledger: LogLedger) -> None:
    """Opening again and again makes it no longer, and no shorter."""
    for n, minutes in enumerate((0, 30, 60)):
        run = opened(ledger, f"r{n}", lasts=HOUR, started_at=at(minutes * 60))
        assert sum(run.counts.values()) == n
        permitted(ledger, run, f"d{n}")
        end(ledger, run)

    assert opened(ledger, "r3", lasts=HOUR, started_at=at(3601)).counts == {}


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({"started_at": at(7201), "lasts": 2 * HOUR, "idle": HOUR}, ["run_expired"]),
        ({"started_at": at(3602), "lasts": 2 * HOUR, "idle": HOUR}, ["run_idle"]),
        ({"workflow_digest": "sha256:other", "lasts": 2 * HOUR, "idle": HOUR}, ["workflow_changed"]),
    ],
)
def test_a_run_that_can_permit_nothing_is_ended_on_record(
    ledger: LogLedger, fields: dict[str, Any], reasons: list[str]
) -> None:
    """In the append that begins the next."""
    first = opened(ledger, "r1", lasts=2 * HOUR, idle=HOUR)
    permitted(ledger, first, "d1", at=at(1))
    assert run_now(ledger, "r1").last_call_at == at(1)
    second = opened(ledger, "r2", **fields)

    assert (second.id, run_now(ledger, "r1").status) == ("r2", RunStatus.ENDED)
    ended = [each for each in ledger.records(_ALL) if each.get("outcome") == "ended"]
    assert [(each["run_id"], each["reasons"], each["requester"]) for each in ended] == [("r1", reasons, "user:ann")]


def test_a_run_whose_inputs_were_erased_is_followed_by_another(path: Path) -> None:
    """Nobody can say any more whether they are the same."""
    ledger = open_ledger(path)
    opened(ledger, "r1", inputs={"a": 1})
    got(ledger.erase(record("operation", run_id="r1"), run_id="r1"))

    assert opened(ledger, "r2", inputs={"a": 1}).id == "r2"
    ledger.shut()


def test_an_observed_run_and_an_enforced_one_have_each_their_own_past(ledger: LogLedger) -> None:
    watched = Observed(at(0).date())
    enforced = opened(ledger, "r1")
    permitted(ledger, enforced, "d1")
    end(ledger, enforced)
    observed = opened(ledger, "r2", observed=watched)
    assert (observed.counts, observed.carries) == ({"s": 1}, "r1")
    permitted(ledger, observed, "d2", observed="deny", step=None)
    again = opened(ledger, "r3")

    assert (again.id, again.counts, again.carries) == ("r3", {"s": 1}, "r1")


def test_those_who_are_inside_are_counted(path: Path) -> None:
    """Two ledger objects, one of them twice; one that is gone is inside no more."""
    one, two = open_ledger(path), open_ledger(path)
    for ledger in (one, two, two):
        opened(ledger, "r1" if ledger is one else "r2")
    assert not got(one.hold_run("r1", record("run"), alone=True))
    got(one.let_go("r1", record("run")))
    got(two.let_go("r1", record("run")))
    assert got(one.holders()) == {"r1": True}
    two.shut()
    assert got(one.holders()) == {"r1": False}
    opened(one, "r3")
    assert got(one.holders()) == {"r1": True}
    got(one.let_go("r1", record("run")))
    got(one.let_go("r1", record("run")))

    assert got(one.holders()) == {}
    assert got(one.hold_run("r1", record("run"), alone=True))
    one.shut()


def test_what_stands_of_keys_is_made_again_from_the_log(path: Path) -> None:
    ledger = open_ledger(path)
    first = opened(ledger, "r1", lasts=HOUR, idle=HOUR / 2, inputs={"a": 1})
    permitted(ledger, first, "d1", at=at(5), tallies=("s 1",))
    got(ledger.close(a_closing("d1", run_id="r1")))
    end(ledger, first, "stopped")
    got(ledger.free_key("r1", record("operation", run_id="r1")))
    opened(ledger, "r2", lasts=HOUR, idle=HOUR / 2, observed=Observed(at(0).date()))
    opened(ledger, "other", key="other")
    forget_memory(ledger)
    before = {name: run_now(ledger, name) for name in ("r1", "r2", "other")}
    assert [run.id for run in got(ledger.runs(key="k"))] == ["r2", "r1"]
    ledger.shut()

    assert not rebuild_ledger(path).differs
    again = open_ledger(path)
    assert {name: run_now(again, name) for name in before} == before
    assert opened(again, "r4", lasts=HOUR, observed=Observed(at(0).date())).id == "r2"
    again.shut()


@pytest.mark.parametrize("processes", [4])
def test_processes_that_open_a_key_at_once_are_in_one_run(path: Path, processes: int) -> None:
    """And one that is killed in it is inside no more; whoever comes next goes on."""
    open_ledger(path).shut()
    children = [child(CHILD, path, n) for n in range(processes)]
    for each in children:
        assert each.stdin is not None
        each.stdin.write(b"go\n")
        each.stdin.flush()
    lines = [_line(each) for each in children]
    assert {line["run"] for line in lines} == {lines[0]["run"]}
    assert sorted(line["begun"] for line in lines) == [False] * (processes - 1) + [True]
    for each in children:
        each.send_signal(signal.SIGKILL)
        each.wait(60)
    ledger = open_ledger(path)
    assert got(ledger.holders()) == {lines[0]["run"]: False}
    assert opened(ledger, "last").id == lines[0]["run"]
    assert got(ledger.holders()) == {lines[0]["run"]: True}
    ledger.shut()


def _line(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


# Any sequence, beside a tiny model.

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.sampled_from(["k", "l"]), st.sampled_from(["user:ann", None])),
        st.tuples(st.just("call"), st.integers(0, 3), st.none()),
        st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from(["ended", "ended", "stopped"])),
        st.tuples(st.just("free"), st.integers(0, 3), st.none()),
        st.tuples(st.just("leave"), st.integers(0, 3), st.none()),
        st.tuples(st.just("pass"), st.sampled_from([10, 31, 61]), st.none()),
        st.tuples(st.just("restart"), st.none(), st.none()),
    ),
    max_size=40,
)


PLACES = st.lists(st.integers(0, 1), min_size=40, max_size=40)


@pytest.fixture(params=["memory", "two on one file"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that makes a fresh pair of ledger objects."""

    def make() -> tuple[LogLedger, LogLedger]:
        if request.param == "memory":
            ledger = memory_ledger()
            return ledger, ledger
        path = tmp_path_factory.mktemp("keys") / "ledger.sqlite3"
        return open_ledger(path), open_ledger(path)

    return make


@settings(max_examples=50 if settings.default.max_examples <= 100 else settings.default.max_examples)
@given(steps=STEPS, places=PLACES)
def _check(pair: Any, steps: list[tuple[str, Any, Any]], places: list[int]) -> None:
    ledgers = pair()
    try:
        _play(ledgers, steps, places)
    finally:
        for ledger in ledgers:
            ledger.shut()


def test_any_sequence_gives_what_a_tiny_model_gives(pair: Any) -> None:
    """Runs last an hour and may be idle for thirty minutes. Each is a dict; each key has a list of them."""
    _check(pair=pair)  # type: ignore[call-arg]


def _play(ledgers: tuple[LogLedger, LogLedger], steps: list[tuple[str, Any, Any]], places: list[int]) -> None:
    minute, made, keys = 0, list[dict[str, Any]](), dict[Any, list[dict[str, Any]]]()
    alike = ledgers[0] is ledgers[1]
    for number, ((what, one, two), place) in enumerate(zip(steps, places, strict=False)):
        ledger, place = ledgers[place], 0 if alike else place
        if what == "pass":
            minute += one
        elif what == "open":
            past = keys.setdefault((one, two), [])
            asked = {"key": one, "requester": two, "lasts": HOUR, "idle": HOUR / 2, "started_at": at(minute * 60)}
            found = opening(ledger, f"r{number}", **asked)
            run = _model_of_opening(past, f"r{number}", minute)
            if run is None:
                assert found == NotOpened(WhyNot.STOPPED, past[-1]["id"])
                continue
            assert isinstance(found, Opened)
            assert (found.run.id, found.begun) == (run["id"], run["id"] == f"r{number}")
            run["inside"][place] += 1
            made += [run] if found.begun else []
        elif what == "restart":
            forget_memory(ledger)
        elif made:
            run = made[one % len(made)]
            if what == "call":
                now = run_now(ledger, run["id"])
                admission = an_admission(f"d{number}", now.version, run_id=run["id"], at=at(minute * 60))
                got(ledger.admit(admission, windows={}))
                if run["status"] == "active":
                    run["calls"], run["used"] = run["calls"] + 1, minute
            elif what == "end":
                end(ledger, run_now(ledger, run["id"]), two)
                if run["status"] != "stopped":
                    run["status"] = two
            elif what == "leave":
                got(ledger.let_go(run["id"], record("run")))
                run["inside"][place] = max(0, run["inside"][place] - 1)
            else:
                last = next(past[-1] for past in keys.values() if run in past)
                may = run["status"] == "stopped" and run is last
                freed = ledger.free_key(run["id"], record("operation"))
                assert (freed.exception(60) is None) is may
                run["freed"] = run["freed"] or may
        other = ledgers[1 - places[number]]
        for run in made:
            state = run_now(other, run["id"])
            assert (str(state.status), sum(state.counts.values())) == (run["status"], run["calls"])
        held = {run["id"] for run in made if run["status"] == "active" and any(run["inside"])}
        assert set(got(other.holders())) == held


def _model_of_opening(past: list[dict[str, Any]], name: str, minute: int) -> dict[str, Any] | None:
    """The run that the key opens; None: it is refused."""
    last = past[-1] if past else None
    if last is not None and last["status"] == "stopped" and not last["freed"]:
        return None
    if last is not None and last["status"] == "active":
        if minute - last["began"] <= 60 and minute - last["used"] <= 30:
            return last
        last["status"] = "ended"
    run: dict[str, Any] = {"id": name, "status": "active", "freed": False, "began": minute, "used": minute}
    run |= {"since": minute, "calls": 0, "inside": [0, 0]}
    if last is not None and minute - last["since"] <= 60:
        run |= {"since": last["since"], "calls": last["calls"]}
    past.append(run)
    return run
