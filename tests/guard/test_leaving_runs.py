"""A run that is left ends, or waits for a person, whatever interrupts it; and it goes where it is taken on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentguard.errors import ApprovalPending, ConfigurationError, ToolCallDenied, ToolCallRefused
from agentguard.guard import Guard
from agentguard.guard.run import RunContext
from agentguard.ledger import memory_ledger

from .conftest import FILES, Tools

TICKET = {"ticket": "EXP-7"}
BIG = {"table": "orders", "rows": 2000, "target": "https://files.corp.example/x.csv"}


@pytest.fixture
def run(guard: Guard) -> RunContext:
    return guard.run("customer-export", inputs=TICKET)


@pytest.fixture
def look(guard: Guard, tools: Tools) -> Callable[[str], Any]:
    looked: Callable[[str], Any] = guard.wrap(tools.functions()[0])
    return looked


def statuses(guard: Guard) -> list[str]:
    return [str(state.status) for state in guard.operations.runs()]


# Leaving it.

LONG = 60  # seconds; what is left long before


async def left_by_a_scope(run: RunContext) -> None:
    with anyio.move_on_after(LONG) as scope:
        async with run:
            scope.deadline = anyio.current_time()
            await anyio.sleep(LONG)


async def left_by_a_scope_around_a_group(run: RunContext) -> None:
    entered = anyio.Event()
    async with anyio.create_task_group() as group:

        async def inside() -> None:
            async with run:
                entered.set()
                await anyio.sleep(LONG)

        group.start_soon(inside)
        await entered.wait()
        group.cancel_scope.cancel()


async def left_by_two_scopes(run: RunContext) -> None:
    with anyio.move_on_after(LONG) as outer, anyio.move_on_after(LONG) as inner:
        async with run:
            inner.deadline = outer.deadline = anyio.current_time()
            await anyio.sleep(LONG)


async def left_by_closing_a_generator(run: RunContext) -> None:
    async def lines() -> AsyncIterator[int]:
        async with run:
            for n in range(10):
                yield n

    async with contextlib.aclosing(lines()) as reading:
        async for _ in reading:
            break


async def left_by_a_scope_around_a_generator(run: RunContext) -> None:
    async def lines() -> AsyncIterator[int]:
        async with run:
            while True:
                yield 1
                await anyio.sleep(LONG)

    with anyio.move_on_after(LONG) as scope:
        async for _ in lines():
            scope.deadline = anyio.current_time()


async def cancelled_on_its_way_out(run: RunContext) -> None:
    with anyio.CancelScope() as scope:
        async with run:
            scope.cancel()


async def cancelled_on_its_way_in(run: RunContext) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with run:
            pytest.fail("entered")


ANY_LOOP = (
    left_by_a_scope, left_by_a_scope_around_a_group, left_by_two_scopes, left_by_closing_a_generator,
    left_by_a_scope_around_a_generator, cancelled_on_its_way_out, cancelled_on_its_way_in,
)  # fmt: skip


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("leave", ANY_LOOP)
def test_a_run_that_is_cancelled_ends(
    guard: Guard, run: RunContext, leave: Callable[[RunContext], Awaitable[None]], backend: str
) -> None:
    """A scope of anyio cancels again at every wait, so also the waits of whoever tidies up."""
    anyio.run(leave, run, backend=backend)

    assert statuses(guard) == ["ended"]


async def left_by_a_timeout(run: RunContext) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONG) as limit:
            async with run:
                limit.reschedule(0)
                await asyncio.sleep(LONG)


async def left_by_a_failing_sibling(run: RunContext) -> None:
    entered = asyncio.Event()

    async def inside() -> None:
        async with run:
            entered.set()
            await asyncio.sleep(LONG)

    async def fails() -> None:
        await entered.wait()
        raise ZeroDivisionError

    with contextlib.suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(inside())
            group.create_task(fails())


async def left_by_being_cancelled_again_and_again(run: RunContext) -> None:
    entered = asyncio.Event()

    async def inside() -> None:
        async with run:
            entered.set()
            await asyncio.sleep(LONG)

    task = asyncio.create_task(inside())
    await entered.wait()
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "leave", [left_by_a_timeout, left_by_a_failing_sibling, left_by_being_cancelled_again_and_again]
)
def test_a_run_that_asyncio_cancels_ends(
    guard: Guard, run: RunContext, leave: Callable[[RunContext], Awaitable[None]]
) -> None:
    """The same with what asyncio brings itself."""
    asyncio.run(leave(run))  # type: ignore[arg-type]

    assert statuses(guard) == ["ended"]


def test_a_cancellation_on_the_way_out_is_not_lost(guard: Guard, run: RunContext) -> None:
    """The run ends first; then the task hears that it is cancelled."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with run:
            task.cancel()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())

    assert statuses(guard) == ["ended"]


@pytest.mark.parametrize("stage", ["start_run", "change_run"])
def test_ctrl_c_while_a_run_begins_or_ends_leaves_none_open(
    guard: Guard, run: RunContext, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """The interruption is raised when the ledger has done what was asked."""
    asked = getattr(guard.ledger, stage)

    class Interrupted(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            if not getattr(self, "told", False):
                self.told = True
                raise KeyboardInterrupt
            return super().result(timeout)

    def interrupt(*args: Any, **kwargs: Any) -> Any:
        future, outer = asked(*args, **kwargs), Interrupted()
        future.add_done_callback(lambda done: outer.set_result(done.result()))
        return outer

    monkeypatch.setattr(guard.ledger, stage, interrupt)
    with pytest.raises(KeyboardInterrupt), run:
        pass

    assert statuses(guard) == ["ended"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run_that_is_cancelled_while_a_call_of_it_waits_for_a_person_waits_too(
    bundle: Path, tmp_path: Path, tools: Tools, backend: str
) -> None:
    """A closed tab does not take the question back: people may still answer it, and somebody may go on with the run."""

    async def inside() -> None:
        async with run:
            await look("EXP-7")
            await export(**BIG)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(inside)
            while not guard.operations.approvals():  # noqa: ASYNC110  the question comes from a thread
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    def as_async(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        namespace: dict[str, Any] = {"function": function}
        if function.__name__ == "get_ticket":

            async def get_ticket(ticket_id: str) -> Any:
                return function(ticket_id)

            return get_ticket

        async def export_orders(table: str, rows: int, target: str, password: str = "hunter2") -> Any:
            return function(table, rows, target, password)

        return export_orders if namespace else get_ticket

    with Guard.load(bundle, ledger=memory_ledger(), home=tmp_path / "home", wait=timedelta(minutes=5)) as guard:
        look, export = guard.wrap([as_async(function) for function in tools.functions()])
        run = guard.run("customer-export", inputs=TICKET)
        anyio.run(main, backend=backend)
        (asked,) = guard.operations.approvals()

        assert (statuses(guard), run.waiting) == (["active"], (asked.request.id,))


# A closed tab, with a real server.


@contextlib.contextmanager
def served(app: Any) -> Iterator[int]:
    uvicorn = pytest.importorskip("uvicorn")
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def read_and_close(port: int, enough: Callable[[bytes], bool]) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        got = b""
        while not enough(got):
            piece = browser.recv(4096)
            if not piece:
                break
            got += piece
        return got


def settled(guard: Guard) -> list[str]:
    deadline = time.monotonic() + 20
    while "active" in statuses(guard) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    return statuses(guard)


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_run_of_a_streamed_answer_ends_when_the_tab_is_closed(
    guard: Guard, look: Callable[[str], Any], kind: str
) -> None:
    """Starlette cancels the scope around the answer; a plain generator it reads on threads, each step on any."""
    responses = pytest.importorskip("starlette.responses")

    async def lines() -> AsyncIterator[str]:
        async with guard.run("customer-export", inputs=TICKET):
            while True:
                yield f"{look('EXP-7')['id']}\n"
                await asyncio.sleep(10)

    def plain_lines() -> Iterator[str]:
        with guard.run("customer-export", inputs=TICKET):
            for _ in range(3):
                yield f"{look('EXP-7')['id']}\n"
                time.sleep(0.05)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await responses.StreamingResponse(lines() if kind == "async" else plain_lines())(scope, receive, send)

    with served(app) as port:
        read_and_close(port, lambda got: got.count(b"EXP-7") >= 1)
        assert settled(guard) == ["ended"]


def test_a_streamed_answer_of_a_plain_generator_keeps_its_run_to_the_end(
    guard: Guard, look: Callable[[str], Any]
) -> None:
    """Each step is on another thread, with another context."""
    responses = pytest.importorskip("starlette.responses")

    def lines() -> Iterator[str]:
        with guard.run("customer-export", inputs=TICKET):
            for _ in range(4):
                yield f"{look('EXP-7')['id']}\n"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await responses.StreamingResponse(lines())(scope, receive, send)

    with served(app) as port:
        assert read_and_close(port, lambda got: got.endswith(b"0\r\n\r\n")).count(b"EXP-7") == 4
        assert settled(guard) == ["ended"]


# Generators.


def tickets(guard: Guard, look: Callable[[str], Any], ticket: str, times: int = 3) -> Iterator[str]:
    with guard.run("customer-export", inputs={"ticket": ticket}):
        for _ in range(times):
            yield look(ticket)["id"]


@contextlib.contextmanager
def my_run(guard: Guard, ticket: str) -> Iterator[RunContext]:
    with guard.run("customer-export", inputs={"ticket": ticket}) as run:
        yield run


def tickets_through_a_helper(guard: Guard, look: Callable[[str], Any], ticket: str) -> Iterator[str]:
    with my_run(guard, ticket):
        for _ in range(3):
            yield look(ticket)["id"]


@pytest.mark.parametrize("generator", [tickets, tickets_through_a_helper])
def test_a_generator_read_from_a_pool_keeps_its_run(
    guard: Guard, look: Callable[[str], Any], generator: Callable[..., Iterator[str]]
) -> None:
    """The context variable that was set in the first step is not there in the second."""
    reading = generator(guard, look, "EXP-7")
    got = []
    for _ in range(4):
        with ThreadPoolExecutor(1) as pool:
            got.append(pool.submit(next, reading, "over").result())

    assert got == ["EXP-7"] * 3 + ["over"] and statuses(guard) == ["ended"]


def test_generators_read_in_turn_have_each_its_own_run(guard: Guard, look: Callable[[str], Any]) -> None:
    """In one thread, the run entered last was that of both: the ticket of the other tenant was refused."""
    one, other = tickets(guard, look, "EXP-1"), tickets_through_a_helper(guard, look, "EXP-2")

    assert [next(each) for _ in range(3) for each in (one, other)] == ["EXP-1", "EXP-2"] * 3


def test_a_run_inside_a_generators_run_is_the_one_that_counts(guard: Guard, look: Callable[[str], Any]) -> None:
    """The innermost counts: entered further in, whether by a function, another generator or a helper."""

    def outer() -> Iterator[list[str]]:
        with guard.run("customer-export", inputs={"ticket": "EXP-1"}):
            inner = tickets(guard, look, "EXP-3")
            yield [next(inner), look("EXP-1")["id"]]
            with guard.run("customer-export", inputs={"ticket": "EXP-2"}), my_run(guard, "EXP-4"):
                yield [look("EXP-4")["id"], next(inner)]
            yield [look("EXP-1")["id"]]

    assert list(outer()) == [["EXP-3", "EXP-1"], ["EXP-4", "EXP-3"], ["EXP-1"]]


def test_an_async_generator_read_by_several_tasks_keeps_its_run(guard: Guard, look: Callable[[str], Any]) -> None:
    """Each task has a context of its own."""

    async def lines() -> AsyncIterator[str]:
        async with guard.run("customer-export", inputs=TICKET):
            for _ in range(3):
                yield look("EXP-7")["id"]

    async def main() -> list[str]:
        reading = lines()
        got = [await asyncio.create_task(anext(reading)) for _ in range(3)]  # type: ignore[arg-type]
        await asyncio.create_task(reading.aclose())  # type: ignore[attr-defined]
        return got

    assert asyncio.run(main()) == ["EXP-7"] * 3 and statuses(guard) == ["ended"]


def test_a_generator_that_is_dropped_half_read_ends_its_run(guard: Guard, look: Callable[[str], Any]) -> None:
    """Knowing its frame keeps no generator alive."""
    reading = tickets(guard, look, "EXP-7")
    next(reading)
    del reading

    assert statuses(guard) == ["ended"]


def test_whoever_reads_a_generator_is_not_in_its_run_on_another_thread(
    guard: Guard, look: Callable[[str], Any]
) -> None:
    """What the frame of the generator does not call is outside, as before."""
    reading = tickets(guard, look, "EXP-7")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(next, reading).result()
    with pytest.raises(ToolCallDenied):
        look("EXP-7")
    reading.close()  # type: ignore[attr-defined]


# Taking it along.


def test_a_run_is_carried_into_a_pool(guard: Guard, look: Callable[[str], Any], run: RunContext) -> None:
    """A bare pool knows nothing of the run; what is carried does, until the run is left."""
    with ThreadPoolExecutor(1) as pool:
        with run:
            with pytest.raises(ToolCallDenied):
                pool.submit(look, "EXP-7").result()
            assert pool.submit(run.carry(look), "EXP-7").result()["id"] == "EXP-7"
            with pytest.raises(ToolCallDenied):  # only that one call was taken along
                pool.submit(look, "EXP-7").result()
            carried = run.carry(look)
        with pytest.raises(ToolCallDenied):
            pool.submit(carried, "EXP-7").result()


def test_every_kind_of_function_is_carried(guard: Guard, look: Callable[[str], Any], run: RunContext) -> None:
    """And stays of its kind, so that a framework takes it for what it is."""

    async def one() -> str:
        return str(look("EXP-7")["id"])

    def several() -> Iterator[str]:
        for _ in range(2):
            yield look("EXP-7")["id"]

    async def several_async() -> AsyncIterator[str]:
        for _ in range(2):
            yield look("EXP-7")["id"]

    async def collect() -> list[str]:
        return [item async for item in run.carry(several_async)()]

    def in_a_thread(function: Callable[[], Any]) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(function).result()

    with run:
        assert in_a_thread(lambda: asyncio.run(run.carry(one)())) == "EXP-7"  # type: ignore[arg-type]
        assert in_a_thread(lambda: list(run.carry(several)())) == ["EXP-7"] * 2
        assert in_a_thread(lambda: asyncio.run(collect())) == ["EXP-7"] * 2
    assert run.carry(several).__name__ == "several"


def test_a_carried_run_counts_inside_another(guard: Guard, look: Callable[[str], Any]) -> None:
    """It was taken there on purpose, so it is the innermost; also below a generator that is in another run."""
    with guard.run("customer-export", inputs={"ticket": "EXP-1"}) as run:
        carried = run.carry(look)

        def other() -> Iterator[str]:
            with guard.run("customer-export", inputs={"ticket": "EXP-2"}):
                yield carried("EXP-1")["id"]
                yield look("EXP-2")["id"]

        assert list(other()) == ["EXP-1", "EXP-2"]


def test_going_on_with_a_run_that_somebody_is_inside_does_not_end_it(
    guard: Guard, look: Callable[[str], Any], run: RunContext
) -> None:
    """The guest leaves; whose run it is stays."""

    def elsewhere() -> Any:
        with guard.resume(run.id):
            return look("EXP-7")["id"]

    with run, ThreadPoolExecutor(1) as pool:
        assert pool.submit(elsewhere).result() == "EXP-7"
        assert look("EXP-7")["id"] == "EXP-7"
        assert statuses(guard) == ["active"]
    assert statuses(guard) == ["ended"]


def test_what_a_guest_asked_keeps_the_run_open(guard: Guard, tools: Tools, run: RunContext) -> None:
    """Who asked does not matter: the question is of the run."""
    look, export = guard.wrap(tools.functions())

    def elsewhere() -> None:
        with guard.resume(run.id), contextlib.suppress(ToolCallRefused):
            export(**BIG)

    with run, ThreadPoolExecutor(1) as pool:
        look("EXP-7")
        pool.submit(elsewhere).result()
    assert (len(run.waiting), statuses(guard)) == (1, ["active"])
    with guard.resume(run.id):
        guard.operations.answer(run.waiting[0], approver="user:alice", approve=False)
    assert statuses(guard) == ["ended"]


def test_going_on_in_another_process_does_not_end_a_run_either(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    """Two ledger objects on one file stand for two processes."""
    file, home = tmp_path / "l.sqlite3", tmp_path / "home"
    with Guard.load(bundle, ledger=file, home=home) as one, Guard.load(bundle, ledger=file, home=home) as other:
        look = other.wrap(tools.functions()[0])
        with one.run("customer-export", inputs=TICKET) as run:
            with other.resume(run.id):
                look("EXP-7")
            assert statuses(one) == ["active"]
        assert statuses(one) == ["ended"]
        with pytest.raises(ConfigurationError), other.resume(run.id):
            pass


# A call that waits.


def test_a_plain_function_that_would_stop_the_loop_says_so(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    """Nobody is asked: the program has to change first. On a thread of its own the same call may wait."""
    with Guard.load(bundle, ledger=memory_ledger(), home=tmp_path / "home", wait=timedelta(seconds=0.3)) as guard:
        look, export = guard.wrap(tools.functions())

        async def main() -> None:
            async with guard.run("customer-export", inputs=TICKET):
                look("EXP-7")  # asks nobody, so it may run here
                with pytest.raises(ConfigurationError, match=r"asyncio\.to_thread"):
                    export(**BIG)
                assert guard.operations.approvals() == []
                with pytest.raises(ApprovalPending):
                    await asyncio.to_thread(export, **BIG)

        asyncio.run(main())


assert FILES  # the bundle these tests stand on
