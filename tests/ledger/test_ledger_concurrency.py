"""Single use is single use: under threads, tasks and processes, and with callers that give up."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ledger_kit import (
    T0,
    R,
    a_charge,
    a_closing,
    a_question,
    a_run,
    an_admission,
    an_answer,
    child,
    got,
    paused,
    record,
    run_now,
    seqs,
)

from agentguard.errors import LedgerError
from agentguard.ledger import (
    Admission,
    Admitted,
    LogLedger,
    Promise,
    RecordFilter,
    Refusal,
    Refused,
    engine,
    memory_ledger,
    open_ledger,
)
from agentguard.ledger.promise import Later
from agentguard.ledger.sqlite.files import open_file
from agentguard.ledger.sqlite.store import SqliteLog

CALLS = 200


class open_again:
    """Open a ledger for the length of a block; without ``recover``, as it was left."""

    def __init__(self, path: Path, *, recover: bool = True) -> None:
        self.ledger = open_ledger(path) if recover else LogLedger(lambda: SqliteLog(open_file(path)), threaded=True)

    def __enter__(self) -> LogLedger:
        return self.ledger

    def __exit__(self, *_: object) -> None:
        self.ledger.shut()


def one_call(n: int, version: int = 1) -> Admission:
    return an_admission(f"d{n}", version, step_at_most=1, charges=(a_charge(1, 1),))


def test_of_two_hundred_threads_one_is_admitted(ledger: LogLedger) -> None:
    """A limit of one, decided on the newest state over and over: nobody gets past it by being quick."""
    got(ledger.start_run(a_run(), record("run")))
    barrier = threading.Barrier(CALLS)

    def call(n: int) -> bool:
        barrier.wait(60)
        answer = got(ledger.admit(one_call(n), windows={}))
        while isinstance(answer, Refused) and answer.reason is Refusal.RUN_MOVED:
            assert answer.run is not None
            answer = got(ledger.admit(one_call(n, answer.run.version), windows={}))
        return isinstance(answer, Admitted)

    with ThreadPoolExecutor(CALLS) as pool:
        assert sum(pool.map(call, range(CALLS))) == 1
    assert (run_now(ledger, b=None).counts, run_now(ledger, b=None).spent) == ({"s": 1}, {"b": 1})
    assert seqs(ledger) == [1, 2]


def test_of_two_hundred_tasks_one_is_admitted(ledger: LogLedger) -> None:
    """The same through one event loop."""
    got(ledger.start_run(a_run(), record("run")))

    async def call(n: int) -> bool:
        answer = await wait_for(ledger.admit(one_call(n), windows={}))
        while isinstance(answer, Refused) and answer.reason is Refusal.RUN_MOVED:
            assert answer.run is not None
            again = one_call(n, answer.run.version)
            answer = await wait_for(ledger.admit(again, windows={}))
        return isinstance(answer, Admitted)

    async def main() -> int:
        return sum(await asyncio.gather(*(call(n) for n in range(CALLS))))

    assert asyncio.run(main()) == 1
    assert seqs(ledger) == [1, 2]


def test_several_processes_on_one_database_stay_exact(tmp_path: Path) -> None:
    """Each with threads, each with its own memory: one admitted for a limit of one, budgets reached and not passed."""
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path)
    got(ledger.start_run(a_run(), record("run")))
    script = Path(__file__).with_name("ledger_limit_child.py")
    children = [child(script, path, 50, f"p{n}") for n in range(4)]
    for each in children:
        assert each.stdout is not None
        assert each.stdout.readline() == b"ready\n"
    answers = []
    for each in children:
        assert each.stdin is not None
        each.stdin.write(b"go\n")
        each.stdin.flush()
    for each in children:
        out, _ = each.communicate(timeout=120)
        assert each.returncode == 0
        answers.append(tuple(map(int, out.split())))

    assert [sum(column) for column in zip(*answers, strict=True)] == [1, 6], "six times three is the most below twenty"
    state = run_now(ledger, b=None)
    assert (state.counts, state.spent) == ({"once": 1, "few": 6}, {"b": 18})
    assert seqs(ledger) == list(range(1, 9))
    # The children have shut their ledgers without closing their calls, so nobody ever will. Two notice at once.
    with open_again(path, recover=False) as other:
        marked = [each.recover(at=T0) for each in (ledger, other)]
        names = [call["decision_id"] for each in marked for call in got(each)]
    assert len(names) == len(set(names)) == 7
    assert seqs(ledger) == list(range(1, 9 + 7))
    ledger.shut()


def test_an_approval_is_consumed_by_one_of_many(ledger: LogLedger) -> None:
    """Each call in a run of its own, so that nothing but the approval can stop the second."""
    for n in range(8):
        got(ledger.start_run(a_run(f"r{n}"), record("run")))
    got(ledger.ask(a_question(run_id="r0"), record("approval")))
    with paused(ledger):
        futures = [
            ledger.admit(an_admission(f"d{n}", 1 + n, run_id="r0", approval_id="ask-1"), windows={}) for n in range(4)
        ]
        answer = ledger.answer("ask-1", an_answer(), record("approval"))

    assert [isinstance(got(future), Admitted) for future in futures] == [True, False, False, False]
    assert isinstance(answer.exception(60), LedgerError)


def test_a_caller_that_gives_up_changes_nothing(ledger: LogLedger) -> None:
    """Cancellation between `granted` and `recorded` must not exist: what is queued happens."""
    got(ledger.start_run(a_run(), record("run")))

    async def give_up() -> None:
        with paused(ledger):
            future = ledger.admit(an_admission("d1"), windows={})
            waiting = asyncio.ensure_future(wait_for(future))
            await asyncio.sleep(0)
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert future.done, "it is told to stop once it is known what happened"
        assert isinstance(await asyncio.to_thread(got, future), Admitted)

    asyncio.run(give_up())
    assert run_now(ledger).counts == {"s": 1}


def test_a_loop_that_is_gone_by_the_time_of_the_answer_hurts_nobody(ledger: LogLedger) -> None:
    """The answer has nowhere to go; the ledger goes on."""
    got(ledger.start_run(a_run(), record("run")))
    loop = asyncio.new_event_loop()
    with paused(ledger):
        promise = ledger.admit(an_admission("d1"), windows={})
        waiting = loop.create_task(wait_for(promise))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert isinstance(got(promise), Admitted)
    waiting.get_coro().close()  # type: ignore[union-attr]
    assert run_now(ledger).counts == {"s": 1}


def test_the_ways_to_wait_for_an_answer(ledger: LogLedger) -> None:
    """Time-outs and callbacks, before and after the answer."""
    called: list[int] = []
    with paused(ledger):
        promises = [ledger.append(record()) for _ in range(3)]
        promises[0].add_done_callback(lambda promise: called.append(promise.result()))
        assert not promises[0].done
        with pytest.raises(TimeoutError):
            promises[0].result(timeout=0)
        with pytest.raises(TimeoutError):
            promises[0].exception(timeout=0.001)
    assert [promise.result(60) for promise in promises] == [1, 2, 3]
    promises[1].add_done_callback(lambda promise: called.append(promise.result()))
    promises[1].add_done_callback(lambda promise: called.append(1 // 0))
    assert called == [1, 2]
    assert promises[0].exception() is None
    assert ledger.append({"seq": 1}).exception(60) is not None


async def wait_for(promise: Promise[R]) -> R:
    return await promise


def test_many_threads_waiting_for_one_future_all_get_the_answer(ledger: LogLedger) -> None:
    """Each waiter has its own lock; none is forgotten."""
    with ThreadPoolExecutor(16) as pool:
        for _ in range(50):
            future = ledger.append(record())
            answers = [pool.submit(future.result, 60) for _ in range(16)]
            assert len({answer.result(60) for answer in answers}) == 1


def test_after_shut_every_call_fails_and_says_so(ledger: LogLedger) -> None:
    """Nothing hangs and nothing is lost: what was queued before is done."""
    before = [ledger.append(record()) for _ in range(100)]
    ledger.shut()
    ledger.shut()

    assert [got(future) for future in before] == list(range(1, 101))
    with pytest.raises(LedgerError, match="was shut"):
        got(ledger.append(record()))
    with pytest.raises(LedgerError, match="was shut"):
        list(ledger.records(RecordFilter()))


def test_shutting_while_others_ask_answers_everybody() -> None:
    """No caller waits for ever, whichever side of the end its question fell on."""
    for _ in range(20):
        ledger = memory_ledger()
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(lambda ledger=ledger: [ledger.append(record()) for _ in range(20)]) for _ in range(8)]
            ledger.shut()
            futures = [future for each in asked for future in each.result(60)]
        for future in futures:
            error = future.exception(timeout=60)
            assert error is None or isinstance(error, LedgerError)


def test_a_ledger_nobody_holds_any_more_ends_its_thread(tmp_path: Path) -> None:
    """And stores what was queued."""
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path)
    thread = ledger.engine._thread
    ledger.append(record())
    gone = weakref.ref(ledger)
    del ledger
    gc.collect()

    assert gone() is None
    assert thread is None or (not thread.join(60) and not thread.is_alive())
    with open_again(path) as again:
        assert seqs(again) == [1]


def test_a_forked_child_is_refused_and_the_parent_goes_on(tmp_path: Path) -> None:
    """SQLite forbids carrying a connection over a fork; the child is told, and its end does not touch the parent."""
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path)
    got(ledger.start_run(a_run(), record("run")))
    got(ledger.admit(an_admission("d1"), windows={}))
    pid = os.fork()
    if pid == 0:
        error = ledger.append(record()).exception(10)
        ledger.shut()
        ok = isinstance(error, LedgerError) and "opened before the process forked" in str(error)
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    got(ledger.close(a_closing("d1")))
    assert seqs(ledger) == [1, 2, 3]
    ledger.shut()


def test_a_forked_child_does_not_open_what_its_parent_has_open(tmp_path: Path) -> None:
    """SQLite would take the parent's locks for the child's. Once the parent had gone, the child's records went into a
    journal that the next process had removed."""
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path)
    shut = open_ledger(tmp_path / "other.sqlite3")
    shut.shut()
    pid = os.fork()
    if pid == 0:
        told = ""
        try:
            open_ledger(path)
        except LedgerError as error:
            told = str(error)
        with open_again(tmp_path / "other.sqlite3") as other:
            got(other.append(record()))
        os._exit(0 if "after the fork" in told else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    ledger.shut()
    with open_again(tmp_path / "other.sqlite3") as other:
        assert seqs(other) == [1]


ANOTHER_PROCESS = """
import sys
from agentguard.ledger import RecordFilter, open_ledger
ledger = open_ledger(sys.argv[1])
print([record["seq"] for record in ledger.records(RecordFilter())])
ledger.shut()
"""


def test_a_file_opened_twice_in_one_process_keeps_its_journal(tmp_path: Path) -> None:
    """Reading its header a second time gave up the process's locks on it; another process that opened and closed it
    then removed the journal, and whatever was recorded after that nobody else ever saw."""
    path, script = tmp_path / "ledger.sqlite3", tmp_path / "another.py"
    script.write_text(ANOTHER_PROCESS)

    def another_sees() -> bytes:
        return child(script, path).communicate(timeout=60)[0].strip()

    with open_again(path) as first, open_again(path) as second:
        got(first.append(record()))
        assert another_sees() == b"[1]"
        got(second.append(record()))
        got(first.append(record()))
        assert another_sees() == b"[1, 2, 3]"


def test_a_forked_child_does_not_keep_its_parents_calls_alive(tmp_path: Path) -> None:
    """The lock is inherited by a fork; a child that outlives its parent must not hold it."""
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path)
    got(ledger.start_run(a_run(), record("run")))
    got(ledger.admit(an_admission("d1"), windows={}))
    gate, born = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gate[1])
        os.write(born[1], b".")
        os.read(gate[0], 1)
        os._exit(0)
    os.close(gate[0])
    os.read(born[0], 1)  # its first instructions let the lock go
    # What the death of the parent does, as far as its lock is concerned.
    ledger.engine.log.file.owner.let_go()
    with open_again(path) as again:
        assert got(again.open_calls()) == []
        assert seqs(again) == [1, 2, 3]
    ledger.shut()
    os.close(gate[1])
    os.waitpid(pid, 0)


def test_a_sequence_of_calls_costs_one_commit_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome of one call becomes durable with the next call's admission."""
    monkeypatch.setattr(engine, "FLUSH_SECONDS", 60)
    ledger = open_ledger(tmp_path / "ledger.sqlite3")
    got(ledger.start_run(a_run(), record("run")))
    statements: list[str] = []
    ledger.engine.log.file.connection.set_trace_callback(statements.append)
    version = 1
    for n in range(20):
        assert isinstance(got(ledger.admit(an_admission(f"d{n}", version), windows={})), Admitted)
        closed = got(ledger.close(a_closing(f"d{n}")))
        assert closed is not None
        assert run_now(ledger) == closed
        version = closed.version

    assert statements.count("COMMIT") == 20
    ledger.shut()


def test_an_outcome_becomes_durable_without_anybody_asking(tmp_path: Path) -> None:
    """An agent that thinks for a minute after a call must not leave its outcome in memory."""
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path)
    got(ledger.start_run(a_run(), record("run")))
    got(ledger.admit(an_admission("d1"), windows={}))
    got(ledger.close(a_closing("d1")))
    with open_again(path, recover=False) as other:
        deadline = time.monotonic() + 30
        while len(seqs(other)) < 3:
            assert time.monotonic() < deadline
    ledger.shut()


def test_an_outcome_that_could_not_be_taken_at_once_is_taken_without_anybody_asking(tmp_path: Path) -> None:
    """It came while somebody else was at work, and nobody waits for it."""
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path)
    got(ledger.start_run(a_run(), record("run")))
    got(ledger.admit(an_admission("d1"), windows={}))
    with paused(ledger):
        ledger.close(a_closing("d1"))
    with open_again(path, recover=False) as other:
        deadline = time.monotonic() + 30
        while len(seqs(other)) < 3:
            assert time.monotonic() < deadline
    ledger.shut()


def test_two_processes_take_turns_even_when_one_is_always_busy(tmp_path: Path) -> None:
    """A ledger that has work at all times must let another in between two transactions."""
    path = tmp_path / "ledger.sqlite3"
    busy, other = open_ledger(path), open_ledger(path)
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            for promise in [busy.append(record()) for _ in range(20)]:
                promise.result()

    with ThreadPoolExecutor(3) as pool:
        flooding = [pool.submit(flood) for _ in range(3)]
        try:
            for _ in range(20):
                got(other.append(record()))
        finally:
            stop.set()
        for each in flooding:
            each.result(60)
    total = len(seqs(busy))
    assert seqs(other) == list(range(1, total + 1))
    busy.shut()
    other.shut()


class _Run(Later):
    def made(self) -> Any:
        return a_run()


class _Raced:
    """A field into which another thread puts what it made, right after it was read for the first time."""

    def __init__(self) -> None:
        self.values: list[Any] = [_Run(), a_run()]

    def __get__(self, _: object, __: type) -> Any:
        return self.values.pop(0) if len(self.values) > 1 else self.values[0]

    def __set__(self, _: object, value: object) -> None:
        pass


def test_two_threads_may_ask_for_the_same_run_at_the_same_time() -> None:
    """It is made when somebody looks at it, and calls of one run look at the same answer."""

    class Answer(Promise[Any]):
        _result = _Raced()

    class Allowed(Admitted):
        _run = _Raced()

    made = memory_ledger()
    promise = Answer(made.engine, 0, lambda world, argument: None, None)
    promise.answer(None, None)

    assert promise.result() == Allowed(1, None).run == a_run()
    made.shut()


def test_a_machine_without_a_thread_to_spare_loses_no_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool has run by then: whoever called it gets what it returned, and whoever waits does the work."""

    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    async def awaited(promise: Promise[int]) -> int:
        return await asyncio.wait_for(asyncio.ensure_future(promise), 20)

    ledger, heard = open_ledger(tmp_path / "l"), threading.Event()
    got(ledger.start_run(a_run(), record("run")))
    got(ledger.admit(an_admission("d1"), windows={}))
    monkeypatch.setattr(engine.threading, "Thread", NoThread)

    assert got(ledger.close(a_closing("d1"))) is not None
    assert asyncio.run(awaited(ledger.append(record("operation")))) == 4
    ledger.append(record("operation")).add_done_callback(lambda _: heard.set())
    assert heard.is_set()

    monkeypatch.undo()
    ledger.shut()
    with open_again(tmp_path / "l") as again:
        assert [found["kind"] for found in again.records(RecordFilter())] == [
            "run", "decision", "outcome", "operation", "operation",
        ]  # fmt: skip
