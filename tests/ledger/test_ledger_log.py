"""The ledger is a log: what stands in a row, what is made of it, and that nothing but the log need be kept."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_kit import (
    T0,
    a_charge,
    a_closing,
    a_question,
    a_run,
    an_admission,
    an_answer,
    ask,
    at,
    got,
    paused,
    record,
    run_now,
    seqs,
)

from agentguard.core.canonical import canonical_bytes, commitment
from agentguard.core.provenance import Brought, digests
from agentguard.core.signals import Signal, SignalEffect
from agentguard.core.values import Risk
from agentguard.errors import LedgerError
from agentguard.ledger import (
    Admitted,
    LogLedger,
    Outcome,
    RecordFilter,
    cells,
    engine,
    memory_ledger,
    open_ledger,
    stored,
)
from agentguard.ledger.log import Log, Row
from agentguard.ledger.memory import MemoryLog
from agentguard.ledger.mirror import Mirror
from agentguard.ledger.worker import DURABLE, LISTS, READ, SWEEPS
from agentguard.ledger.world import World

DAY = {"day": at(86_400) - T0}


def admitted(ledger: LogLedger, name: str, **fields: Any) -> None:
    run = run_now(ledger, fields.get("run_id", "r"))
    assert isinstance(got(ledger.admit(an_admission(name, run.version, **fields), windows={})), Admitted)


# --- what stands in a row


def test_a_private_part_stands_in_public_as_a_commitment_that_nobody_can_search(ledger: LogLedger) -> None:
    """Whoever holds salt and part can check it; two equal parts look alike to nobody."""
    for name in ("r1", "r2"):
        got(ledger.start_run(a_run(name, inputs={"pin": "4711"}), record("run")))
    rows = [ledger.engine.log.row(number) for number in (1, 2)]

    assert [b"4711" in public for public, _ in rows] == [False, False]
    marks = [json.loads(public)["commitments"]["inputs"] for public, _ in rows]
    assert marks[0] != marks[1]
    for mark, (_, private) in zip(marks, rows, strict=True):
        salt, part = json.loads(private or b"")["inputs"]
        assert (part, len(salt) >= 32) == ({"pin": "4711"}, True)
        assert commitment(salt, canonical_bytes(part)) == mark
    assert got(ledger.private(1))["inputs"] == {"pin": "4711"}


def test_what_a_result_brought_and_what_is_kept_of_it_is_private(ledger: LogLedger) -> None:
    got(ledger.start_run(a_run(), record("run")))
    admitted(ledger, "d1")
    got(ledger.close(a_closing("d1", kept={"name": "Ann Vendor"}, brought=Brought("mail", 1, {}, "outsiders' words"))))
    assert seqs(ledger) == [1, 2, 3]

    public, private = ledger.engine.log.row(3)
    for words in (b"Ann Vendor", b"outsiders' words"):
        assert (words in public, words in (private or b"")) == (False, True)


def test_a_record_says_what_it_changes(ledger: LogLedger) -> None:
    """Anybody can read in the log alone why the state is what it is."""
    got(ledger.start_run(a_run(), record("run")))
    admitted(ledger, "d1")
    got(ledger.close(a_closing("d1")))
    got(ledger.suspend_subject("spiffe://x/a", at=T0, record=record("operation"), suspended=True))

    words = [[change[0] for change in each["changes"]] for each in ledger.records(RecordFilter())]
    assert words == [["start"], ["call"], ["close"], ["suspend"]]


# --- in which order, and how often


def test_what_is_owed_comes_before_what_is_asked_later(ledger: LogLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outcome counts at once, so it stands before whatever was decided on it."""
    monkeypatch.setattr(engine, "FLUSH_SECONDS", 60)
    got(ledger.start_run(a_run(), record("run")))
    for name in ("d1", "d2"):
        admitted(ledger, name)
        got(ledger.close(a_closing(name)))

    found = [(each["kind"], each.get("decision_id")) for each in ledger.records(RecordFilter())][1:]
    assert found == [("decision", "d1"), ("outcome", "d1"), ("decision", "d2"), ("outcome", "d2")]


def test_a_list_shows_what_was_asked_just_before_it(ledger: LogLedger) -> None:
    """A list is read from the store, so it goes alone, after everything before it."""
    got(ledger.start_run(a_run(), record("run")))
    with paused(ledger):
        call = ledger.admit(an_admission("d1"), windows={})
        calls = ledger.open_calls()
        run = ledger.start_run(a_run("r2"), record("run"))
        runs = ledger.runs()

    assert isinstance(got(call), Admitted)
    assert [each["decision_id"] for each in got(calls)] == ["d1"]
    assert got(run).id == "r2"
    assert [each.id for each in got(runs)] == ["r2", "r"]


def test_a_decision_on_an_outcome_that_others_overtook_is_not_admitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process made another state of the same version, while this one's outcome was not yet in the log."""
    monkeypatch.setattr(engine, "FLUSH_SECONDS", 60)
    one, two = open_ledger(tmp_path / "l"), open_ledger(tmp_path / "l")
    got(one.start_run(a_run(), record("run")))
    admitted(one, "d1")
    admitted(two, "d2")
    assert run_now(one) == run_now(two)
    decided_on = got(one.close(a_closing("d1")))
    got(two.close(a_closing("d2", kept={"x": 1})))
    seqs(two)

    assert decided_on is not None
    refused = got(one.admit(an_admission("d3", decided_on.version), windows={}))
    assert not isinstance(refused, Admitted)
    assert run_now(one).kept == {"x": 1}
    one.shut()
    two.shut()


class Interrupted(KeyboardInterrupt):
    """Ctrl-C at the worst moment."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_was_interrupted_around_its_append_happens_once(
    ledger: LogLedger, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says whether it happened; whoever works next goes on from there."""
    got(ledger.start_run(a_run(), record("run")))
    log = ledger.engine.log
    append = log.append

    def interrupted(first: int, rows: Sequence[Row]) -> None:
        monkeypatch.undo()
        if when == "after":
            append(first, rows)
        raise Interrupted

    monkeypatch.setattr(log, "append", interrupted)
    with pytest.raises(Interrupted):
        ledger.admit(an_admission("d1"), windows={}).result()

    assert [each["decision_id"] for each in ledger.records(RecordFilter(kind="decision"))] == ["d1"]
    assert run_now(ledger).counts == {"s": 1}
    assert seqs(ledger) == [1, 2]
    assert got(ledger.append(record())) == 3


def test_a_look_that_others_overtake_begins_anew(tmp_path: Path) -> None:
    """Half of it from before a stop and half from after would be a state that never was."""
    one, two = open_ledger(tmp_path / "l"), open_ledger(tmp_path / "l")
    looked = 0

    def look(world: World, _: Any) -> bool:
        nonlocal looked
        looked += 1
        if looked == 1:
            got(two.start_run(a_run("fresh"), record("run")))
        return world.run("fresh") is not None

    assert ask(one, READ, look).result() is True
    assert looked == 2
    one.shut()
    two.shut()


# --- damage


def test_a_log_with_a_gap_is_damaged_and_nothing_is_decided_on_it(tmp_path: Path) -> None:
    """A record that somebody took out may have been a stop."""
    path = tmp_path / "l"
    one, two = open_ledger(path), open_ledger(path)
    for _ in range(5):
        got(one.append(record()))
    thief = sqlite3.connect(path)
    thief.execute("DELETE FROM records WHERE seq = 3")
    thief.commit()
    thief.close()

    with pytest.raises(LedgerError, match="record 3 is damaged"):
        got(two.append(record()))
    with pytest.raises(LedgerError, match="record 3 is damaged"):
        got(two.run("r", at=T0, windows={}))
    one.shut()
    two.shut()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"changes":[["nobody knows this"]]}', b'{"changes":[["end","r"]]}']
)
def test_a_row_that_makes_no_sense_is_damage_and_is_named(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "l"
    one, two = open_ledger(path), open_ledger(path)
    got(one.append(record()))
    forger = sqlite3.connect(path)
    forger.execute("UPDATE records SET body = ? WHERE seq = 1", (body,))
    forger.commit()
    forger.close()

    with pytest.raises(LedgerError, match="record 1 is damaged"):
        got(two.append(record()))
    one.shut()
    two.shut()


# --- turns


def _is_held(path: Path) -> bool:
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def test_whoever_writes_has_the_turn_and_leaves_the_queue(tmp_path: Path) -> None:
    """Whoever comes next is already waiting when the turn ends."""
    queue, turn = tmp_path / "l-queue", tmp_path / "l-turn"
    ledger = open_ledger(tmp_path / "l")

    held = ask(ledger, DURABLE, lambda world, _: (_is_held(queue), _is_held(turn))).result()

    assert held == (False, True)
    assert (_is_held(queue), _is_held(turn)) == (False, False)
    with pytest.raises(LedgerError):
        got(ledger.append({"kind": 1}))
    with pytest.raises(LedgerError):
        ask(ledger, DURABLE, lambda world, _: 1 // 0).result()
    assert (_is_held(queue), _is_held(turn)) == (False, False), "it is given back, whatever went wrong"
    ledger.shut()


def test_what_is_asked_while_the_turn_is_waited_for_is_done_in_it(tmp_path: Path) -> None:
    """Else a busy process takes one call with each of its turns, and of others like it one takes them all."""
    one, two = open_ledger(tmp_path / "l"), open_ledger(tmp_path / "l")
    appended: list[int] = []
    append = two.engine.log.append
    two.engine.log.append = lambda first, rows: (appended.append(len(rows)), append(first, rows))[1]  # type: ignore
    with ThreadPoolExecutor(1) as pool, paused(one):
        one.engine.log.enter(write=True)
        waiting = pool.submit(lambda: got(two.append(record())))
        while not _is_held(tmp_path / "l-queue"):
            time.sleep(0.001)
        late = [two.append(record()) for _ in range(3)]
        runs = two.runs()
        more = two.append(record())
        one.engine.log.leave()
        one.engine.worker._torn = True
        assert [waiting.result(30), *map(got, late)] == [1, 2, 3, 4]
    assert (list(got(runs)), got(more)) == ([], 5)
    assert appended[0] == 4, "all that go together; a list goes alone, and what comes after it later"
    one.shut()
    two.shut()


def test_two_that_both_want_a_turn_never_wait_for_each_other(tmp_path: Path) -> None:
    """Whoever has the turn and wants another goes to the end of the queue without it."""
    one, two = open_ledger(tmp_path / "l"), open_ledger(tmp_path / "l")
    log = one.engine.log
    with ThreadPoolExecutor(2) as pool, paused(one):
        log.enter(write=True)
        other = pool.submit(lambda: got(two.append(record())))
        while not _is_held(tmp_path / "l-queue"):
            time.sleep(0.001)
        again = pool.submit(log.enter, write=True)
        try:
            assert again.result(30) is True
        except TimeoutError:  # so that not only this test fails, but the process ends
            fcntl.flock(log.file.turns._turn, fcntl.LOCK_UN)  # type: ignore[attr-defined]
            again.result(30)
            log.leave()
            raise
        log.leave()
        assert other.result(30) == 1
        one.engine.worker._torn = True
    assert got(one.append(record())) == 2
    one.shut()
    two.shut()


def test_whoever_is_interrupted_keeps_nobody_from_their_turn(tmp_path: Path) -> None:
    """What it was asked is done later, by whoever works next; others need not wait for that."""
    ledger = open_ledger(tmp_path / "l")
    got(ledger.start_run(a_run(), record("run")))
    interruptions: list[BaseException] = [KeyboardInterrupt()]

    def interrupted(world: World, _: Any) -> int:
        number = world.write(record())
        if interruptions:
            raise interruptions.pop()
        return number

    asked = ask(ledger, DURABLE, interrupted)
    with pytest.raises(KeyboardInterrupt):
        ledger.engine.lead(asked)
    assert not _is_held(tmp_path / "l-turn")
    assert not ledger.engine.log._connection.in_transaction  # type: ignore[attr-defined]
    assert got(asked) == 2
    ledger.shut()


def test_what_follows_when_cells_were_kept_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """Keeping cells ends a transaction; a message's records are appended in one of their own."""
    ledger = open_ledger(tmp_path / "l")
    got(ledger.start_run(a_run(), record("run")))
    log = ledger.engine.log
    seen: list[bool] = []

    def look(world: World, _: Any) -> None:
        seen.append(log._connection.in_transaction)  # type: ignore[attr-defined]

    ask(ledger, SWEEPS, look).result()
    assert seen == [True]
    ledger.shut()


def test_a_forked_child_does_not_keep_its_parents_turn(tmp_path: Path) -> None:
    """A lock is inherited; a child that outlives its parent must not keep everybody from writing."""
    ledger = open_ledger(tmp_path / "l")
    gate, born = os.pipe(), os.pipe()

    def fork(world: World, _: Any) -> int:
        pid = os.fork()
        if pid == 0:
            os.close(gate[1])
            os.write(born[1], b".")
            os.read(gate[0], 1)
            os._exit(0)
        os.close(gate[0])
        os.read(born[0], 1)
        turns = ledger.engine.log.file.turns  # type: ignore[attr-defined]
        # What the death of the parent does to its locks.
        os.close(turns._turn)
        held = _is_held(tmp_path / "l-turn")
        turns._turn = os.open(tmp_path / "l-turn", os.O_RDWR | os.O_CLOEXEC)
        os.close(gate[1])
        os.waitpid(pid, 0)
        return held

    assert ask(ledger, DURABLE, fork).result() is False
    ledger.shut()


# --- everything is a fold of the log


def fold_again(ledger: LogLedger) -> None:
    """Throw away all that was made of the log, and make it again."""
    with paused(ledger):
        log = ledger.engine.log
        log.enter(write=True)
        log.forget(None)
        log.leave()
        ledger.engine.worker.mirror = Mirror(log)
        log.enter(write=True)
        ledger.engine.worker.mirror.catch_up(write=True)
        log.leave()


def everything(ledger: LogLedger) -> list[Any]:
    """Every answer that the ledger can give about what is."""
    return [
        got(ledger.runs()),
        [got(ledger.run(run.id, at=at(100), windows=DAY)) for run in got(ledger.runs())],
        got(ledger.approvals()),
        got(ledger.approvals(open_at=at(1))),
        got(ledger.approval_for("sha256:q")),
        got(ledger.streams()),
        got(ledger.credential_states(["db", "mail", "api"])),
        got(ledger.open_calls()),
        got(ledger.holders()),
        list(ledger.records(RecordFilter())),
    ]


def lived(ledger: LogLedger) -> None:
    """A life in which everything happens that can happen."""
    for name in ("r", "r2", "r3"):
        got(ledger.start_run(a_run(name, inputs={"n": 1}, requester="user:ann", salt="s"), record("run")))
    charges = (a_charge(3, 20), a_charge(2, 30, budget="day", per=DAY["day"]))
    admitted(ledger, "d1", charges=charges, zones=frozenset({"data"}), keeps=frozenset({"x"}))
    admitted(ledger, "d2", step="t", assertion_key=("iss", "1"), assertion_until=at(60))
    got(
        ledger.close(
            a_closing("d1", kept={"x": [1, {"y": "z"}]}, brought=Brought("m", 1, {"m": digests("v")}, "words"))
        )
    )
    admitted(ledger, "d3", run_id="r2", charges=charges)
    got(ledger.close(a_closing("d3", Outcome.UNKNOWN, run_id="r2")))
    admitted(ledger, "d4", run_id="r2", step="u", keeps=frozenset({"k"}))
    got(ledger.close(a_closing("d4", Outcome.UNKNOWN, run_id="r2", step="u")))
    got(ledger.settle("d3", outcome=Outcome.SUCCEEDED, record=record("operation", decision_id="d3")))
    got(ledger.ask(a_question(), record("approval")))
    got(ledger.answer("ask-1", an_answer(), record("approval")))
    got(ledger.ask(a_question("ask-2", request_digest="sha256:other", run_id="r2", quorum=1), record("approval")))
    got(ledger.answer("ask-2", an_answer(), record("approval")))
    admitted(ledger, "d5", run_id="r2", approval_id="ask-2")
    got(ledger.revoke_credential("db", at=T0, record=record("operation"), state="rotated"))
    got(ledger.stream_heard("idp", at=at(5), record=record("stream"), status="paused"))
    said = [
        Signal("idp", "s", SignalEffect.SET_RISK, at(6), about="user:ann", risk=Risk.MEDIUM),
        Signal("idp", "s", SignalEffect.REFUSE_CREDENTIAL, at(6), credential="mail"),
        Signal("hr", "s", SignalEffect.END_RUNS, at(6), run_id="r3"),
    ]
    got(ledger.signal(("iss", "j"), said, at=at(7), records=[record("signal") for _ in said], status="enabled"))
    got(ledger.suspend_subject("spiffe://x/b", at=T0, record=record("operation"), suspended=True))
    got(ledger.let_go("r2", record("run")))
    got(ledger.change_run("r", at=T0, record=record("operation"), risk=Risk.HIGH))


def test_all_cells_may_be_thrown_away_and_made_again(ledger: LogLedger) -> None:
    """Runs, approvals, streams, credentials, open calls: every answer is the same as before."""
    lived(ledger)
    before = everything(ledger)
    fold_again(ledger)

    assert everything(ledger) == before
    assert [each["decision_id"] for each in before[7]] == ["d2", "d5"]
    refused = got(ledger.admit(an_admission("d9", run_now(ledger).version, assertion_key=("iss", "1")), windows={}))
    assert str(getattr(refused, "reason", None)) == "assertion_used"
    assert got(ledger.signal(("iss", "j"), [], at=at(8), records=[])) is True, "another stream's"
    heard = [Signal("idp", "s", SignalEffect.NOTE, at(6)), Signal("hr", "s", SignalEffect.NOTE, at(6))]
    assert got(ledger.signal(("iss", "j"), heard, at=at(8), records=[record("signal")] * 2)) is False


def test_a_ledger_that_was_left_without_its_cells_is_read_by_the_next(tmp_path: Path) -> None:
    """Another process, which has nothing in memory, makes the same of the log."""
    first = open_ledger(tmp_path / "l")
    lived(first)
    second = open_ledger(tmp_path / "l")
    fold_again(second)
    assert everything(second) == everything(first)
    first.shut()
    second.shut()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from("ab"), st.integers(0, 5), st.booleans()),
        st.tuples(
            st.just("end"),
            st.integers(0, 3),
            st.sampled_from(list(Outcome)),
            st.dictionaries(st.sampled_from("xy"), st.sampled_from([0, 1, True, "1", None, [1], {"a": 2**53 - 1}])),
        ),
        st.tuples(st.just("settle"), st.integers(0, 3), st.sampled_from([Outcome.SUCCEEDED, Outcome.FAILED])),
        st.tuples(
            st.just("say"),
            st.sampled_from(["idp", "hr", "operations"]),
            st.sampled_from([each for each in SignalEffect if each is not SignalEffect.NOTE]),
            st.integers(-2, 3),
        ),
        st.tuples(st.just("suspend"), st.booleans()),
        st.tuples(st.just("touch"), st.sampled_from([Risk.LOW, Risk.HIGH])),
        st.tuples(st.just("credential"), st.sampled_from(["active", "revoked"])),
        st.tuples(st.just("list")),
        st.tuples(st.just("ask"), st.sampled_from("ab")),
        st.tuples(st.just("erase"), st.sampled_from(["a", "b", 0, 1, 2, 3])),
    ),
    max_size=25,
)


def _do(ledger: LogLedger, n: int, step: tuple[Any, ...], calls: list[str], unknown: list[str]) -> None:
    """One step; what is refused is refused."""
    what, *rest = step
    if what == "call":
        run_id, amount, permit = rest
        charges = (a_charge(amount, 9), a_charge(amount, 9, budget="day", per=DAY["day"]))
        asked = an_admission(
            f"d{n}", run_now(ledger, run_id).version, run_id=run_id, permit=permit, charges=charges, at=at(n),
            zones=frozenset({f"z{amount}"}), keeps=frozenset("x"), assertion_key=("iss", str(amount + n // 5)),
        )  # fmt: skip
        if isinstance(got(ledger.admit(asked, windows={})), Admitted) and permit:
            calls.append(f"{run_id}:d{n}")
    elif what == "end" and calls:
        run_id, name = calls.pop(rest[0] % len(calls)).split(":")
        brought = Brought("t", n, {"t": digests(n)}, "text" * (n % 2), False)
        got(ledger.close(a_closing(name, rest[1], run_id=run_id, kept=rest[2], brought=brought)))
        if rest[1] is Outcome.UNKNOWN:
            unknown.append(name)
    elif what == "settle" and unknown:
        name = unknown.pop(rest[0] % len(unknown))
        got(ledger.settle(name, outcome=rest[1], record=record("operation", decision_id=name)))
    elif what == "say":
        source, effect, when = rest
        thing = {"credential": "db"} if "credential" in str(effect) and when % 2 else {"about": "user:ann"}
        risk = Risk.MEDIUM if effect is SignalEffect.SET_RISK else None
        said = Signal(source, "s", effect, at(when), risk=risk, **thing)  # type: ignore[arg-type]
        got(ledger.signal(("iss", str(n // 2)), [said], at=at(n), records=[record("signal")]))
    elif what == "suspend":
        got(ledger.suspend_subject("spiffe://x/a", at=T0, record=record("operation"), suspended=rest[0]))
    elif what == "touch":
        got(ledger.change_run("a", at=T0, record=record("operation"), risk=rest[0]))
    elif what == "credential":
        got(ledger.revoke_credential("db", at=T0, record=record("operation"), state=rest[0]))
    elif what == "ask":
        name = f"ask-{n}"
        got(ledger.ask(a_question(name, request_digest=f"sha256:{n}", run_id=rest[0]), record("approval")))
    elif what == "erase" and rest[0] in ("a", "b"):
        got(ledger.erase(record("operation"), run_id=rest[0]))
    elif what == "erase":
        known = [each["decision_id"] for each in ledger.records(RecordFilter(kind="decision"))]
        if known:
            got(ledger.erase(record("operation"), decision_id=known[rest[0] % len(known)]))
    else:
        got(ledger.runs())


def held(log: Log) -> dict[Any, bytes]:
    """Every cell that a store keeps."""
    assert isinstance(log, MemoryLog)
    return {cell.key: cell.value or b"" for kind in log._cells.values() for cell in kind.values()}


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_is_made_of_own_records_is_what_is_made_of_the_same_rows_read_back(steps: list[tuple[Any, ...]]) -> None:
    """To the byte of every cell: what a record did when it was written, and what it does to whoever reads it."""
    ledger = memory_ledger()
    for name in "ab":
        got(ledger.start_run(a_run(name, inputs={"n": 1.5}, requester="user:ann"), record("run")))
    calls: list[str] = []
    unknown: list[str] = []
    for n, step in enumerate(steps):
        _do(ledger, n, step, calls, unknown)
    ask(ledger, LISTS, lambda world, _: None).result()

    copy = MemoryLog()
    copy._rows = list(ledger.engine.log._rows)  # type: ignore[attr-defined]
    mirror = Mirror(copy)
    mirror.catch_up(write=True)
    mirror.save()
    kept = held(ledger.engine.log)
    # The first forgets assertions that have expired, which is no change of the log.
    assert {key: cell for key, cell in held(copy).items() if key in kept or key[0] != cells.USED} == kept
    for cell in kept:
        assert stored.encode(stored.decode(cell[0], kept[cell])) == kept[cell]
