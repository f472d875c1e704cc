"""Runs that another run delegates: one cell holds what the whole tree counts, keeps and has read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_kit import (
    a_charge,
    a_closing,
    a_run,
    an_admission,
    ask,
    at,
    child,
    forget_memory,
    got,
    paused,
    record,
    run_now,
)

from agentguard.core.facts import RunState
from agentguard.core.people import who
from agentguard.core.provenance import Brought, digest
from agentguard.core.signals import Signal, SignalEffect
from agentguard.core.values import Risk, Sensitivity
from agentguard.errors import LedgerError
from agentguard.ledger import (
    Admitted,
    LogLedger,
    NotOpened,
    Opened,
    Outcome,
    RecordFilter,
    Refusal,
    Refused,
    WhyNot,
    memory_ledger,
    open_ledger,
)
from agentguard.ledger.cells import Child, micros
from agentguard.ledger.operations.delegated import MOST_DEEP, MOST_OPEN
from agentguard.ledger.rebuild import rebuild_ledger
from agentguard.ledger.worker import DURABLE

CHILD = Path(__file__).parent / "ledger_tree_child.py"
OTHER = "spiffe://x/b"


@pytest.fixture
def ledger(ledger: LogLedger) -> LogLedger:
    """With one run in it."""
    got(ledger.start_run(a_run(inputs={"a": 1}, salt="salt", requester="user:ann"), record("run", run_id="r")))
    return ledger


def delegated(ledger: LogLedger, name: str, parent: str = "r", steps: list[str] | None = None, **run: Any) -> RunState:
    found = asked(ledger, name, parent, steps, **run)
    assert isinstance(found, Opened) and found.begun
    return found.run


def asked(
    ledger: LogLedger, name: str, parent: str = "r", steps: list[str] | None = None, **run: Any
) -> Opened | NotOpened:
    return got(
        ledger.delegate(
            a_run(name, **run), parent=parent, steps=steps, record=record("run", run_id=name, subject=OTHER)
        )
    )


def admit(ledger: LogLedger, run_id: str, name: str, **more: Any) -> Admitted | Refused:
    version = run_now(ledger, run_id).version
    return got(ledger.admit(an_admission(name, version, run_id=run_id, **more), windows={"b": None}))


def end(ledger: LogLedger, run_id: str, status: str = "ended") -> None:
    got(ledger.change_run(run_id, at=at(0), record=record("run", run_id=run_id), status=status))


def status(ledger: LogLedger, run_id: str) -> str:
    return str(run_now(ledger, run_id).status)


# One place in which it is counted.


def test_a_run_below_is_begun_with_what_its_tree_has(ledger: LogLedger) -> None:
    """Inputs, salt, requester and workflow are those of the first run; only name, subject and steps are its own."""
    made = delegated(ledger, "c", steps=["s", "t"], subject=OTHER, inputs={"a": 2}, requester="user:bob", workflow="v")
    first = run_now(ledger)

    assert (made.inputs, made.requester, made.workflow, made.salt) == ({"a": 1}, "user:ann", "w", "salt")
    assert made.family is not None and first.family is not None
    assert made.family == (("r", "r", first.started_at, frozenset({"s", "t"}), (), ("spiffe://x/a",)))
    assert first.family == ((None, "r", first.started_at, None, ("c",), ()))


def test_what_one_takes_and_keeps_all_have(ledger: LogLedger) -> None:
    delegated(ledger, "c", subject=OTHER), delegated(ledger, "d", parent="c")
    more = {"charges": (a_charge(3, 9),), "tallies": ("s 1",), "read_sensitivity": Sensitivity.SECRET}
    assert isinstance(admit(ledger, "d", "d1", zones=frozenset({"z"}), **more), Admitted)
    seen = Brought("t.get", 1, {"t.get": frozenset({digest("x")})})
    got(ledger.close(a_closing("d1", run_id="d", kept={"k": 1}, brought=seen)))

    found = [run_now(ledger, each, b=None) for each in ("r", "c", "d")]
    for state in found:
        assert (state.counts, state.spent, dict(state.kept)) == ({"s": 1}, {"b": 3}, {"k": 1})
        assert (state.tallies["s 1"].taken, state.tallies["s 1"].done) == (1, 1)
        assert (state.high_water, state.zones, state.succeeded) == (Sensitivity.SECRET, {"z"}, {"s"})
        assert state.seen == found[0].seen and state.seen.marks
    assert [state.subject for state in found] == ["spiffe://x/a", OTHER, "spiffe://x/a"]


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.FAILED])
def test_a_call_that_nobody_knows_the_end_of_is_the_whole_trees(ledger: LogLedger, outcome: Outcome) -> None:
    delegated(ledger, "c")
    admit(ledger, "c", "d1", tallies=("s",), counts_successes=True, failure_did_nothing=True)
    got(ledger.close(a_closing("d1", outcome, run_id="c")))
    unknown = outcome is Outcome.UNKNOWN
    assert run_now(ledger).unsettled == ({"d1"} if unknown else set())
    if unknown:
        got(ledger.settle("d1", outcome=Outcome.FAILED, record=record("operation", decision_id="d1")))

    assert (run_now(ledger).unsettled, run_now(ledger).tallies["s"].back) == (frozenset(), 1)


def test_two_calls_of_a_tree_do_not_take_the_last_one_twice(ledger: LogLedger) -> None:
    """Both were decided on the same state, and are admitted in one append."""
    runs = ("r", "c", "d", "e")
    delegated(ledger, "c"), delegated(ledger, "d"), delegated(ledger, "e", parent="d")
    versions = {each: run_now(ledger, each).version for each in runs}
    with paused(ledger):
        waiting = [
            ledger.admit(an_admission(f"x{n}", versions[each], run_id=each, step_at_most=1), windows={})
            for n, each in enumerate(runs)
        ]
    answers = [got(each) for each in waiting]

    assert isinstance(answers[0], Admitted)
    assert [each.reason for each in answers[1:] if isinstance(each, Refused)] == [Refusal.RUN_MOVED] * 3
    assert isinstance(admit(ledger, "e", "again", step_at_most=1), Refused)


def test_processes_do_not_take_the_last_call_of_a_tree_twice(tmp_path: Path) -> None:
    """Each has a run of its own below the same one."""
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path)
    got(ledger.start_run(a_run(), record("run")))
    others = [child(CHILD, path, 10, f"c{n}") for n in range(3)]
    for each in others:
        assert each.stdout is not None and each.stdout.readline() == b"ready\n"
    for each in others:
        assert each.stdin is not None
        each.stdin.write(b"go\n")
        each.stdin.close()
    taken = [int(each.stdout.readline()) for each in others if each.stdout is not None]
    assert [each.wait(60) for each in others] == [0, 0, 0]
    state = run_now(ledger, b=None)
    ledger.shut()

    assert sum(taken) == state.counts["s"] == 7
    assert state.spent == {"b": 21}


# What holds for it.


@pytest.mark.parametrize(("told", "after"), [("ended", "ended"), ("stopped", "stopped")])
def test_all_below_end_with_a_run_and_each_end_is_a_record(ledger: LogLedger, told: str, after: str) -> None:
    delegated(ledger, "c"), delegated(ledger, "d", parent="c"), delegated(ledger, "e")
    end(ledger, "c", told)

    assert [status(ledger, each) for each in ("r", "c", "d", "e")] == ["active", after, after, "active"]
    last = [each["run_id"] for each in ledger.records(RecordFilter(kind="run"))][-2:]
    assert last == ["d", "c"]
    first = run_now(ledger)
    assert first.family is not None and first.family.children == ("e",)
    assert [each.id for each in got(ledger.runs(active_only=True))] == ["e", "r"]


def test_a_run_is_as_far_as_the_runs_above_it(ledger: LogLedger) -> None:
    """Where sessions are ended of a subject above, nobody has to find the runs below it."""
    delegated(ledger, "c", subject=OTHER)
    version = run_now(ledger, "c").version
    with paused(ledger):
        said = Signal("idp", "s", SignalEffect.END_RUNS, at(1), about="spiffe://x/a")
        heard = ledger.signal(("iss", "1"), [said], at=at(1), records=[record("signal")])
        call = ledger.admit(an_admission("d1", version, run_id="c"), windows={})
    got(heard)

    assert got(call).reason is Refusal.RUN_MOVED  # type: ignore[union-attr]
    assert status(ledger, "c") == "stopped"


def test_a_run_whose_end_nobody_wrote_down_is_over_with_its_parent(ledger: LogLedger) -> None:
    delegated(ledger, "c")
    end_of_r = ("end", "r", "ended")
    got(ask(ledger, DURABLE, lambda world, _: world.write(record("run"), [end_of_r])))

    assert status(ledger, "c") == "ended"
    assert isinstance(admit(ledger, "c", "d1"), Refused)


def test_a_run_whose_stop_nobody_wrote_down_is_stopped_by_the_word_on_its_parent(ledger: LogLedger) -> None:
    delegated(ledger, "c", subject=OTHER)
    word = ("say", "party", who("spiffe://x/a"), "idp", "end_runs", micros(at(1)), None)
    got(ask(ledger, DURABLE, lambda world, _: world.write(record("signal"), [word])))

    assert status(ledger, "c") == "stopped"
    assert isinstance(admit(ledger, "c", "d1"), Refused)


def test_what_is_said_of_a_run_is_said_of_those_below_it(ledger: LogLedger) -> None:
    delegated(ledger, "c", subject=OTHER)
    before = run_now(ledger, "c").version
    signals = [
        Signal("idp", "s", SignalEffect.SET_RISK, at(1), about="spiffe://x/a", risk=Risk.HIGH),
        Signal("idp", "s", SignalEffect.REQUIRE_NEWER, at(2), about="spiffe://x/a"),
        Signal("idp", "s", SignalEffect.REFUSE_CREDENTIAL, at(3), about="spiffe://x/a"),
    ]
    got(ledger.signal(("iss", "1"), signals, at=at(3), records=[record("signal")] * 3))
    state = run_now(ledger, "c")

    assert (state.risk, state.issued_after, state.credential_refused) == (Risk.HIGH, at(2), True)
    assert state.version > before


def test_what_is_said_of_a_run_below_is_not_said_of_those_above(ledger: LogLedger) -> None:
    delegated(ledger, "c", subject=OTHER)
    got(ledger.suspend_subject(OTHER, at=at(0), record=record("operation"), suspended=True))
    got(ledger.change_run("c", at=at(0), record=record("operation"), risk=Risk.HIGH))

    assert (run_now(ledger, "c").subject_suspended, run_now(ledger).subject_suspended) == (True, False)
    assert (run_now(ledger, "c").risk, run_now(ledger).risk) == (Risk.HIGH, Risk.LOW)


def test_a_zone_is_known_where_every_subject_of_the_tree_knows_it(ledger: LogLedger) -> None:
    got(ledger.start_run(a_run("o", subject=OTHER), record("run")))
    admit(ledger, "o", "d0", zones=frozenset({"data"}))
    delegated(ledger, "c", subject=OTHER)
    assert run_now(ledger, "c").contacts == frozenset()
    admit(ledger, "c", "d1", zones=frozenset({"data", "more"}))

    assert run_now(ledger, "c").contacts == run_now(ledger).contacts == {"data", "more"}


# What is refused.


def test_nothing_is_begun_below_what_is_over(ledger: LogLedger) -> None:
    delegated(ledger, "c"), delegated(ledger, "d")
    end(ledger, "c"), end(ledger, "d", "stopped")
    before = len(list(ledger.records(RecordFilter(kind="run"))))

    assert asked(ledger, "x", "c") == NotOpened(WhyNot.ENDED, "c")
    assert asked(ledger, "x", "d") == NotOpened(WhyNot.STOPPED, "d")
    with pytest.raises(LedgerError, match="no run `nobody`"):
        asked(ledger, "x", "nobody")
    with pytest.raises(LedgerError, match="already"):
        asked(ledger, "c")
    assert len(list(ledger.records(RecordFilter(kind="run")))) == before


def test_a_tree_has_bounds(ledger: LogLedger) -> None:
    above = "r"
    for n in range(MOST_DEEP):
        above = delegated(ledger, f"deep-{n}", above).id
    assert asked(ledger, "x", above) == NotOpened(WhyNot.TOO_DEEP, above)
    for n in range(MOST_OPEN - 1):
        delegated(ledger, f"wide-{n}")
    assert asked(ledger, "x") == NotOpened(WhyNot.TOO_MANY, "r")
    end(ledger, "wide-7")
    assert isinstance(asked(ledger, "x"), Opened)


@pytest.mark.parametrize(
    ("steps", "may"), [(["s"], True), ([], True), (None, True), (["s", "t"], True), (["u"], False)]
)
def test_steps_only_become_fewer(ledger: LogLedger, steps: list[str] | None, may: bool) -> None:
    delegated(ledger, "c", steps=["t", "s"])
    delegated(ledger, "d", "c")
    found = asked(ledger, "e", "d", steps)

    assert isinstance(found, Opened) is may
    if isinstance(found, Opened):
        assert found.run.family is not None
        assert found.run.family.steps == frozenset(["t", "s"] if steps is None else steps)
    else:
        assert found == NotOpened(WhyNot.WIDER, "d")


# What is kept of it.


def test_what_is_erased_of_a_run_is_erased_of_those_below_it(ledger: LogLedger) -> None:
    delegated(ledger, "c")
    admit(ledger, "c", "d1", personal={"/iban": "DE1"})
    got(ledger.close(a_closing("d1", run_id="c", kept={"k": 1})))
    got(ledger.erase(run_id="r", record=record("operation", run_id="r")))

    assert run_now(ledger, "c").erased == run_now(ledger).erased == {"inputs", "kept"}
    private = [held for _, held in ledger.history(["decision", "outcome"]) if held]
    assert all(value is None or name == "salt" for held in private for name, value in held.items())


def test_what_is_erased_of_a_run_below_leaves_its_tree_its_inputs(ledger: LogLedger) -> None:
    delegated(ledger, "c")
    admit(ledger, "c", "d1")
    got(ledger.close(a_closing("d1", run_id="c", kept={"k": 1})))
    got(ledger.erase(run_id="c", record=record("operation", run_id="c")))

    assert run_now(ledger).erased == {"kept"}


def test_the_next_run_of_a_key_goes_on_counting_what_was_done_below(ledger: LogLedger) -> None:
    def opened(name: str) -> RunState:
        run = a_run(name, key="k", requester="user:ann")
        found = got(ledger.open_run(run, follows=False, **{e: record("run") for e in ("started", "found", "ended")}))
        assert isinstance(found, Opened)
        return found.run

    opened("k1")
    delegated(ledger, "c", "k1")
    admit(ledger, "c", "d1")
    end(ledger, "k1")

    assert opened("k2").counts == {"s": 1}
    assert (status(ledger, "c"), run_now(ledger, "k2").family) == ("ended", None)


def test_a_place_in_a_tree_is_stored_as_it_was(ledger: LogLedger) -> None:
    delegated(ledger, "c", steps=["s"], subject=OTHER), delegated(ledger, "d", "c")
    before = [run_now(ledger, each) for each in ("r", "c", "d")]
    forget_memory(ledger)

    assert [run_now(ledger, each) for each in ("r", "c", "d")] == before
    assert [each.id for each in got(ledger.runs(parent="c"))] == ["d"]
    assert Child("r", "r", 0, 1).above == ()


# Any sequence, beside a tiny model.

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.none(), st.none()),
        st.tuples(st.just("delegate"), st.integers(0, 9), st.sampled_from([None, "s", "t", "st"])),
        st.tuples(st.just("call"), st.integers(0, 9), st.sampled_from("st")),
        st.tuples(st.just("stale"), st.integers(0, 9), st.sampled_from("st")),
        st.tuples(st.just("close"), st.integers(0, 9), st.sampled_from(list(Outcome))),
        st.tuples(st.just("end"), st.integers(0, 9), st.sampled_from(["ended", "stopped"])),
        st.tuples(st.just("restart"), st.none(), st.none()),
    ),
    max_size=40,
)
AT_MOST = 3


@pytest.fixture(params=["memory", "two on one file"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that makes a fresh pair of ledger objects, and where their file is."""

    def make() -> tuple[LogLedger, LogLedger, Path | None]:
        if request.param == "memory":
            ledger = memory_ledger()
            return ledger, ledger, None
        path = tmp_path_factory.mktemp("trees") / "ledger.sqlite3"
        return open_ledger(path), open_ledger(path), path

    return make


@settings(max_examples=50 if settings.default.max_examples <= 100 else settings.default.max_examples)
@given(steps=STEPS, places=st.lists(st.integers(0, 1), min_size=40, max_size=40))
def _check(pair: Any, steps: list[tuple[str, Any, Any]], places: list[int]) -> None:
    *ledgers, path = pair()
    try:
        made = _play(ledgers, steps, places)
        before = [run_now(ledgers[0], each["id"]) for each in made]
    finally:
        for ledger in ledgers:
            ledger.shut()
    if path is not None:
        rebuild_ledger(path)
        again = open_ledger(path)
        assert [run_now(again, each["id"]) for each in made] == before
        again.shut()


def test_any_sequence_gives_what_a_tiny_model_gives(pair: Any) -> None:
    """Each run is a dict that knows its parent; what is counted stands once for each tree."""
    _check(pair=pair)  # type: ignore[call-arg]


def _play(ledgers: list[LogLedger], steps: list[tuple[str, Any, Any]], places: list[int]) -> list[dict[str, Any]]:
    made, calls = list[dict[str, Any]](), list[dict[str, Any]]()
    for number, ((what, one, two), place) in enumerate(zip(steps, places, strict=False)):
        ledger, name = ledgers[place], f"r{number}"
        run = made[one % len(made)] if made and isinstance(one, int) else None
        if what == "start":
            got(ledger.start_run(a_run(name), record("run")))
            made.append({"id": name, "up": None, "may": set("st"), "status": "active", "counts": {}, "unknown": set()})
        elif what == "restart":
            forget_memory(ledger)
        elif run is None:
            continue
        elif what == "delegate":
            found = asked(ledger, name, run["id"], None if two is None else list(two))
            wanted = run["may"] if two is None else set(two)
            alive = _status(run) == "active"
            assert isinstance(found, Opened) is (alive and wanted <= run["may"] and len(_line(run)) <= MOST_DEEP)
            if isinstance(found, Opened):
                tree = _line(run)[-1]
                made.append({**tree, "id": name, "up": run, "may": wanted, "status": "active"})
        elif what in ("call", "stale"):
            version = run_now(ledger, run["id"]).version - (what == "stale")
            asking = an_admission(f"d{number}", version, run_id=run["id"], step=two, step_at_most=AT_MOST)
            answer = got(ledger.admit(asking, windows={}))
            may = what == "call" and _status(run) == "active" and run["counts"].get(two, 0) < AT_MOST
            assert isinstance(answer, Admitted) is may
            if may:
                run["counts"][two] = run["counts"].get(two, 0) + 1
                calls.append({"id": f"d{number}", "run": run, "step": two})
        elif what == "close" and calls:
            call = calls.pop(one % len(calls))
            got(ledger.close(a_closing(call["id"], two, run_id=call["run"]["id"], step=call["step"])))
            call["run"]["unknown"] |= {call["id"]} if two is Outcome.UNKNOWN else set()
        elif what == "end":
            end(ledger, run["id"], two)
            for each in made:
                if run in _line(each) and (each["status"] == "active" or (each is run and two == "stopped")):
                    each["status"] = two
        other = ledgers[1 - places[number]]
        for each in made:
            state = run_now(other, each["id"])
            assert (str(state.status), dict(state.counts), state.unsettled) == (
                _status(each), each["counts"], each["unknown"],
            )  # fmt: skip
            assert state.family is None or state.family.steps is None or state.family.steps == each["may"]
    return made


def _line(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The run and those above it."""
    return [run, *([] if run["up"] is None else _line(run["up"]))]


def _status(run: dict[str, Any]) -> str:
    return str(run["status"])
