"""Attacks on the assembled guard, each tried before it was a test. What was judged is what runs, once, on record."""

from __future__ import annotations

import asyncio
import contextlib
import email
import enum
import inspect
import io
import ipaddress
import itertools
import json
import os
import pickle
import re
import subprocess
import sys
import threading
from collections import Counter, OrderedDict, UserDict, defaultdict, deque, namedtuple
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any
from urllib.parse import unquote
from uuid import UUID
from xml.etree import ElementTree

import httpx
import pydantic.v1
import pytest
import requests
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.types import Command, Send
from pydantic import AfterValidator, BaseModel, ConfigDict, HttpUrl, RootModel
from small_bundle import TEXT, guard_of

from agentguard.core import decide as decide_module
from agentguard.core.canonical import MAX_BYTES, bytes_in_order, read_canonical
from agentguard.core.reasons import Reason
from agentguard.errors import (
    ApprovalPending,
    ApprovalRefused,
    ConfigurationError,
    LedgerError,
    ToolCallDenied,
)
from agentguard.guard import Guard, Signature
from agentguard.guard.arguments.late import json_as_it_is
from agentguard.ledger import Promise, memory_ledger

from .conftest import Clock, Tools

TICKET = {"ticket": "EXP-7"}
GOOD = {"table": "orders", "rows": 10, "target": "https://files.corp.example/x.csv"}
BIG = GOOD | {"rows": 2000}


def reasons(guard: Guard) -> list[str]:
    return list(guard.records(kind="decision"))[-1]["reasons"]


def outcomes(guard: Guard) -> list[tuple[str, str | None]]:
    return [(r["outcome"], r["error"]) for r in guard.records(kind="outcome")]


def rewrite_file(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


# Other values than were judged


def test_a_type_that_changes_its_value_each_time_it_is_read_does_not_run(guard: Guard, tools: Tools) -> None:
    """Judged as 500 rows, the same validator would make 50,000 of it on the way to the tool."""
    ran = []

    def export_orders(
        table: str, rows: Annotated[int, AfterValidator(lambda rows: rows * 100)], target: str, password: str = "x"
    ) -> None:
        ran.append(rows)

    look, export = guard.wrap([tools.functions()[0], export_orders])
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        with pytest.raises(ConfigurationError, match="not what was judged"):
            export(**(GOOD | {"rows": 5}))

    assert ran == []


def rewrites_argument(function: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """What the function would be called with."""
    given = Signature.of(function).given(args, kwargs)
    by_position, by_name = given.ready(read_canonical(bytes_in_order(given.values)[0]))
    return by_name | dict(enumerate(by_position))


def test_a_type_that_takes_one_layer_off_each_time_it_is_read_does_not_run() -> None:
    """Judged as `%2e%2e`, the path would be `..` in the tool, and `..` it would stay however often it is read."""

    def tool(path: Annotated[str, AfterValidator(unquote)]) -> None: ...

    with pytest.raises(ConfigurationError, match="for `path` is not what was judged"):
        rewrites_argument(tool, "%252e%252e/keys")


def test_a_number_that_was_judged_is_not_handed_on_as_a_truth() -> None:
    """For Python, 1 is True; for a policy they are of different types."""

    def tool(rows: Annotated[Any, AfterValidator({2: 1, 1: True}.__getitem__)]) -> None: ...

    with pytest.raises(ConfigurationError, match="not what was judged"):
        rewrites_argument(tool, 2)


def test_a_type_that_only_tidies_its_value_runs() -> None:
    """And a set is written in one order, however it was filled: a question to people is about one call."""

    def tool(text: Annotated[str, AfterValidator(str.strip)], tags: frozenset[str], link: HttpUrl) -> None: ...

    tags = sorted({f"tag-{number}" for number in range(40)}, key=hash)
    given = Signature.of(tool).given((" EXP-7 ", frozenset(tags), "https://files.corp.example"), {})
    values = rewrites_argument(tool, " EXP-7 ", frozenset(tags), "https://files.corp.example")

    assert given.values["text"] == values["text"] == "EXP-7"
    assert given.values["tags"] == sorted(tags) and values["tags"] == frozenset(tags)
    assert given.coerced == ("/text", "/link") and given.retyped == ()


def test_a_list_is_not_handed_on_in_another_order_than_was_judged() -> None:
    """From one account to another: only a set has no order, and one beside it changes nothing."""

    def tool(accounts: Annotated[list[str], AfterValidator(lambda all: all[::-1])], tags: set[str]) -> None: ...

    with pytest.raises(ConfigurationError, match="not what was judged"):
        rewrites_argument(tool, ["b", "a", "c"], {"x"})


class Lying(Mapping[str, Any]):
    """Arguments that raise when they are read."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 1


class Text(str):
    """Text that claims to equal anything."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True


class Dict(dict[str, Any]):
    """A dict with two sets of values."""

    def __getitem__(self, key: str) -> Any:
        return "EXP-7"


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "arguments",
    [
        Lying(),
        {"ticket_id": Text("EXP-8")},
        Dict(ticket_id="EXP-8"),
        {"ticket_id": Dict(a=1)},
        {"ticket_id": deep(100_000)},
        {"ticket_id": "x" * 2_000_000},
        {"ticket_id": "\ud800"},
        {"ticket_id": float("nan")},
        {"ticket_id": 2**53},
        {"ticket_id": b"EXP-7"},
        {Text("ticket_id"): "EXP-7"},
        {1: "EXP-7"},
        {"ticket_id": ["EXP-7"]},
        {"ticket_id": "EXP-7", "more": None},
        {"ticket_id": "EXP-7\n"},
        {},
        None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_arguments_that_are_not_what_they_seem_are_refused_on_record(guard: Guard, arguments: Any) -> None:
    ran: list[Any] = []
    gate = guard.gate("get_ticket", definition={}, framework="test")

    with guard.run("customer-export", inputs=TICKET), pytest.raises(ToolCallDenied):
        gate.call(json_as_it_is(arguments), ran.append)

    assert ran == []
    assert "arguments_invalid" in reasons(guard) or "condition_false" in reasons(guard)


TOO_LARGE = {"text": "x" * (1024 * 1024 - 100), "values": ["x"] * 49_990, "levels": deep(63)}


@pytest.mark.parametrize("large", TOO_LARGE)
def test_arguments_that_no_record_can_hold_are_denied_on_record(guard: Guard, large: str) -> None:
    """They are within the bounds of canonical JSON, and would leave no room for what else a record says."""
    ran: list[Any] = []
    gate = guard.gate("get_ticket", definition={}, framework="test")

    with guard.run("customer-export", inputs=TICKET), pytest.raises(ToolCallDenied):
        gate.call(json_as_it_is({"ticket_id": TOO_LARGE[large]}), ran.append)

    (denied,) = guard.records(kind="decision")
    assert ran == [] and denied["arguments"] == {} and "arguments_too_large" in denied["reasons"]


@pytest.mark.parametrize(("less", "waits"), [(4_000, True), (0, False)], ids=["fits", "does not fit"])
def test_arguments_that_no_question_can_hold_are_denied_on_record(less: int, waits: bool) -> None:
    """A question to people shows what is personal beside the rest, where a record leaves it out: so it may be too
    large where the record is not."""
    ran: list[Any] = []
    letter = "x" * (MAX_BYTES // 2)
    arguments = {"to": "a" * (MAX_BYTES - len(letter) - 100 - less), "letter": letter}
    step = {"args": {"to": TEXT, "letter": TEXT}, "effect": "write", "approval": True, "tool": {"personal": ["letter"]}}
    with guard_of({"send": step}) as guard, guard.run("w"):
        with pytest.raises(ApprovalPending if waits else ToolCallDenied):
            guard.gate("send", definition={}, framework="test").call(json_as_it_is(arguments), ran.append)
        asked, *denied = guard.records(kind="decision")
        waiting = guard.operations.approvals()

    assert asked["effect"] == "escalate" and ran == [] and len(waiting) == waits
    assert [(each["effect"], each["arguments"]) for each in denied] == ([] if waits else [("deny", {})])
    assert all("arguments_too_large" in each["reasons"] for each in denied)


@pytest.mark.parametrize("call_id", ["c-\ud800", "c" * 2_000_000, 7])
def test_an_id_of_a_call_that_no_record_can_hold_changes_nothing(guard: Guard, tools: Tools, call_id: Any) -> None:
    """Models and their servers write it, and nothing is decided by it."""
    gate = guard.gate("get_ticket", definition={}, framework="test")
    with guard.run("customer-export", inputs=TICKET):
        read = json_as_it_is({"ticket_id": "EXP-7"})
        assert gate.call(read, lambda values: values, call_id=call_id) == {"ticket_id": "EXP-7"}

    assert len(list(guard.records(kind="outcome"))) == 1


def test_what_the_caller_changes_during_the_call_changes_nothing(guard: Guard) -> None:
    """The caller's dict is changed while the identity is being proved, between judging and running."""
    ran: list[Any] = []
    mine = {"ticket_id": "EXP-7"}
    at_once = guard.identity_at_once

    def slow(digest: str, subject: str | None, now: Any) -> Any:
        mine["ticket_id"] = "EXP-8"
        return at_once(digest, subject, now)

    gate = guard.gate("get_ticket", definition={}, framework="test")
    with guard.run("customer-export", inputs=TICKET), pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "identity_at_once", slow)
        gate.call(json_as_it_is(mine), ran.append)

    assert ran == [{"ticket_id": "EXP-7"}]


def test_a_refused_validation_does_not_repeat_the_value(guard: Guard) -> None:
    """The text of a validation error goes to the model and to logs."""

    def export_orders(table: str, rows: int, target: str, password: int = 7) -> None: ...

    export = guard.wrap(export_orders)
    with pytest.raises(ToolCallDenied) as refused:
        export(**GOOD, password="s3cr3t-value")

    assert "s3cr3t-value" not in f"{refused.value} {refused.value.__cause__}"


# Running outside what was permitted


def test_a_stream_made_in_a_run_does_not_run_after_the_run_was_left(guard: Guard) -> None:
    """A run left by a waiting call stays open in the ledger; what was made inside it must not go on outside."""
    ran = []

    def get_ticket(ticket_id: str) -> Iterator[int]:
        ran.append(ticket_id)
        yield 1

    look = guard.wrap(get_ticket)
    with contextlib.suppress(ApprovalPending), guard.run("customer-export", inputs=TICKET):
        stream = look("EXP-7")
        raise ApprovalPending("d-1", "a-1")

    with pytest.raises(ToolCallDenied):
        list(stream)
    assert ran == []
    assert "no_run" in reasons(guard)


class _Promise:
    """Awaitable, and none of Python's own kinds."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work

    def __await__(self) -> Iterator[None]:
        self.work()
        yield


async def _later(work: Callable[[], None]) -> None:
    work()


async def _later_items(work: Callable[[], None]) -> AsyncIterator[None]:
    work()
    yield


def _call(work: Callable[[], None]) -> None:
    work()


@contextlib.contextmanager
def _entered(work: Callable[[], None]) -> Iterator[None]:
    work()
    yield


def _exit_stack(work: Callable[[], None]) -> contextlib.ExitStack:
    stack = contextlib.ExitStack()
    stack.callback(work)
    return stack


class _Lazy:
    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work

    def __iter__(self) -> Iterator[None]:
        yield self.work()


class _LazyList(list[Any]):
    work: Callable[[], None]

    def __iter__(self) -> Iterator[None]:
        yield self.work()


class _Later(BaseModel):
    work: Any

    def __iter__(self) -> Any:
        yield self.work()


@dataclass
class _Job:
    work: Any

    def __call__(self) -> None:
        self.work()


class _Order:
    """What has a method can be told to work."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.done = False

    def start(self) -> None:
        self.done = True


def _lazy_list(work: Callable[[], None]) -> _LazyList:
    made = _LazyList([1])
    made.work = work
    return made


class _ListWithMore(list[Any]):
    more: Any


class _DictWithMore(dict[str, Any]):
    more: Any


class _Private(BaseModel):
    _more: Any = None


class ndarray:
    """An array of objects, as numpy has it. It is told by its package and name."""

    def __init__(self, *items: Any) -> None:
        self.items = items
        self.dtype = SimpleNamespace(hasobject=bool(items))

    def ravel(self) -> Any:
        return SimpleNamespace(tolist=lambda: list(self.items))


class RowMapping(dict[str, Any]):
    """A row, as SQLAlchemy has it."""


for _known, _module in ((ndarray, "numpy"), (RowMapping, "sqlalchemy.engine.row")):
    _known.__module__ = _module


def _with_more(holder: Any, more: Any) -> Any:
    object.__setattr__(holder, "more", more)
    return holder


def _private(work: Any) -> _Private:
    made = _Private()
    made._more = work
    return made


class _Choice(enum.Enum):
    WORK = partial(_call, print)


def _unread(work: Callable[[], None]) -> Any:
    return httpx.Response(200, content=(b"" for _ in map(_call, (work,))))


def _unread_too(work: Callable[[], None]) -> Any:
    answer = requests.Response()
    answer.raw = io.BytesIO(b"more")
    return answer


def _read_whole(body: bytes) -> Any:
    answer = _unread_too(print)
    answer.raw = io.BytesIO(body)
    assert answer.content == body
    return answer


HANDED_BACK: dict[str, Callable[[Callable[[], None]], Any]] = {
    "a context manager": _entered,
    "a zip": lambda work: zip(map(_call, (work,)), (None,), strict=True),
    "a chain": lambda work: itertools.chain(map(_call, (work,))),
    "a slice of an iterator": lambda work: itertools.islice(map(_call, (work,)), 1),
    "an enumeration": lambda work: enumerate(map(_call, (work,))),
    "an iterator": lambda work: iter([1]),
    "a lazy iterable": _Lazy,
    "a list that iterates in its own way": _lazy_list,
    "a model that iterates in its own way": lambda work: _Later(work=1),
    "a coroutine in a list": lambda work: [1, _later(work)],
    "a generator in a dict": lambda work: {"rows": (work() for _ in (None,))},
    "a generator in a dataclass": lambda work: Kept(work for _ in (None,)),
    "a generator in a model": lambda work: HasAny(value=(work() for _ in (None,))),
    "a partial": lambda work: partial(work),
    "a function": lambda work: work,
    "a bound method": lambda work: [].append,
    "a class": lambda work: _Lazy,
    "a job": _Job,
    "an object with a method": _Order,
    "a stack of work": _exit_stack,
    "a thread": lambda work: threading.Thread(target=work),
    "a pool": lambda work: [ThreadPoolExecutor(1)],
    "a process": lambda work: subprocess.Popen(["sleep", "5"]),
    "a dict that makes its values": lambda work: defaultdict(lambda: work()),
    "a lock": lambda work: threading.Lock(),
    "a coroutine": _later,
    "a generator": lambda work: (work() for _ in (None,)),
    "an async generator": _later_items,
    "something awaitable": _Promise,
    "a map": lambda work: map(_call, (work,)),
    "a filter": lambda work: filter(lambda _: work(), (None,)),
    "a future": lambda work: Future(),
    "a list with more to it": lambda work: _with_more(_ListWithMore(), work),
    "a dict with more to it": lambda work: _with_more(_DictWithMore(), work),
    "a private attribute": _private,
    "a member of an enumeration": lambda work: _Choice.WORK,
    "an array of objects": lambda work: ndarray(1, work),
    "a row of objects": lambda work: RowMapping(a=work),
    "a response that nobody read": _unread,
    "another response that nobody read": _unread_too,
}


@pytest.mark.parametrize("kind", HANDED_BACK)
def test_a_tool_that_hands_back_work_to_do_later_is_refused(guard: Guard, kind: str) -> None:
    """The work would run after its outcome was written, or after the run was stopped."""
    ran: list[str] = []

    def get_ticket(ticket_id: str) -> Any:
        return HANDED_BACK[kind](lambda: ran.append(ticket_id))

    look = guard.wrap(get_ticket)
    with guard.run("customer-export", inputs=TICKET), pytest.raises(ConfigurationError, match="async def"):
        look("EXP-7")

    assert ran == []
    assert outcomes(guard) == [("failed", "ConfigurationError")]


@dataclass
class Kept:
    value: Any
    also: Any = None


class HasAny(BaseModel):
    model_config = ConfigDict(extra="allow")
    value: Any


class Rows(RootModel[list[int]]):
    def __iter__(self) -> Any:
        return iter(self.root)


class Plain:
    __slots__ = ("at",)

    def __init__(self, at: Any) -> None:
        self.at = at


Pair = namedtuple("Pair", ["a", "b"])


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __str__(self) -> str:
        return f"{self.cents / 100:.2f}"

    def __add__(self, other: Money) -> Money:
        return Money(self.cents + other.cents)


class OfPydantic1(pydantic.v1.BaseModel):
    a: int = 1

    def twice(self) -> int:
        return 2 * self.a


class Named(UserDict[str, int]):
    pass


DATA = [
    None, 1.5, "x", b"x", {"a": [1, (2, {3})]}, datetime.now(), Decimal("1.1"), Path("/a"), UUID(int=1), range(3),
    Kept([1]), HasAny(value=Kept(1), more=2), Rows([1]), Plain({"a": 1}), Pair(1, 2), SimpleNamespace(a=1),
    Reason.NO_RUN, OrderedDict(a=1), Counter("ab"), defaultdict(list, a=[1]), deque([1]), {1: 2}.values(),
    io.BytesIO(b"x"), ipaddress.ip_address("::1"), HttpUrl("https://a.example"), re.compile("a"),
    ToolMessage("x", tool_call_id="c"),
    Command(update={"messages": [AIMessage("x")]}, goto=Send("n", {"a": 1})), [Document("x", metadata={"a": 1})],
    subprocess.CompletedProcess(["a"], 0, "out"), os.stat("/"), {"k": (None, [HasAny(value=b"")])},
    Money(5), OfPydantic1(), [OfPydantic1(a=2)], Named(a=1), _with_more(_ListWithMore([1]), "text"), ndarray(),
    ndarray(1), RowMapping(a=1), httpx.Response(200, json={"a": 1}), _read_whole(b"x"), httpx.Headers({"a": "b"}),
    requests.structures.CaseInsensitiveDict(a=1), email.message_from_string("A: b\n\nc"),
    ElementTree.fromstring("<a/>"), re.match("a", "a"), OrderedDict(a=1).items(), ...,
]  # fmt: skip


@pytest.mark.parametrize("data", DATA, ids=lambda data: type(data).__name__)
def test_data_of_every_kind_is_handed_back_as_it_is(guard: Guard, data: Any) -> None:
    look = guard.wrap(_returning(data))
    with guard.run("customer-export", inputs=TICKET):
        assert look("EXP-7") is data

    assert [outcome for outcome, _ in outcomes(guard)] == ["succeeded"]


def test_work_among_the_items_of_a_stream_is_refused(guard: Guard) -> None:
    """And the stream has cleaned up before its outcome is written."""
    ended: list[str] = []

    def get_ticket(ticket_id: str) -> Iterator[Any]:
        try:
            yield 1
            yield ended.clear
        finally:
            ended.append(ticket_id)

    async def later(ticket_id: str) -> AsyncIterator[Any]:
        for item in get_ticket(ticket_id):
            yield item

    async def take(items: AsyncIterator[Any]) -> list[Any]:
        return [item async for item in items]

    later.__name__ = "get_ticket"
    look, look_later = guard.wrap([get_ticket, later])
    with guard.run("customer-export", inputs=TICKET):
        with pytest.raises(ConfigurationError, match="no data"):
            list(look("EXP-7"))
        assert ended == ["EXP-7"]
        with pytest.raises(ConfigurationError, match="no data"):
            asyncio.run(take(look_later("EXP-7")))

    assert outcomes(guard) == [("failed", "ConfigurationError")] * 2


def test_a_function_that_makes_a_context_manager_is_refused_when_wrapping(guard: Guard) -> None:
    """`succeeded` stood in the record before anything had begun."""

    @contextlib.contextmanager
    def get_ticket(ticket_id: str) -> Iterator[None]:
        yield

    with pytest.raises(ConfigurationError, match="enter the context inside"):
        guard.wrap(get_ticket)


def test_an_async_tool_that_leaves_a_task_behind_is_refused_and_the_task_stopped(guard: Guard) -> None:
    """It would go on after the call has its outcome."""
    ran: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    async def get_ticket(ticket_id: str) -> Any:
        tasks.append(asyncio.create_task(_later(lambda: ran.append(ticket_id))))
        return tasks[0]

    async def main() -> None:
        async with guard.run("customer-export", inputs=TICKET):
            with pytest.raises(ConfigurationError, match="go on by itself"):
                await look("EXP-7")
        await asyncio.wait(tasks)

    look = guard.wrap(get_ticket)
    asyncio.run(main())

    assert ran == [] and tasks[0].cancelled()
    assert outcomes(guard) == [("failed", "ConfigurationError")]


IN_A_MODULE = """
def get_ticket(ticket_id: str) -> None: ...
async def aget_ticket(ticket_id: str) -> None: ...
def get_tickets(ticket_id: str): yield
async def aget_tickets(ticket_id: str): yield
"""


@pytest.mark.parametrize("kind", ["get_ticket", "aget_ticket", "get_tickets", "aget_tickets"])
def test_a_guarded_function_in_the_place_of_the_original_does_not_lead_another_process_there(
    guard: Guard, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Pickle writes the place of a function. In a worker process the module is imported anew, and what stands there
    is what was never wrapped: `get_ticket = guard.wrap(get_ticket)` was done where only the parent does it."""
    module = ModuleType("an_agents_module")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(IN_A_MODULE, vars(module))  # as an import does
    original = vars(module)[kind]
    assert pickle.loads(pickle.dumps(original)) is original
    original.__name__ = "get_ticket"
    vars(module)[kind] = guard.wrap(original)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(vars(module)[kind], protocol)


def test_a_run_cannot_be_entered_twice_or_after_its_end(guard: Guard, tools: Tools) -> None:
    look, _ = guard.wrap(tools.functions())
    run = guard.run("customer-export", inputs=TICKET)
    with run:
        with pytest.raises(ConfigurationError, match="entered already"), run:
            pass
        look("EXP-7")
    with pytest.raises(ConfigurationError, match=r"guard\.resume"), run:
        look("EXP-7")
    with pytest.raises(ConfigurationError), guard.resume(run.id):
        look("EXP-7")

    assert len(tools.ran) == 1


def test_a_guarded_tool_inside_a_guarded_tool_is_judged_by_itself(guard: Guard, tools: Tools) -> None:
    look, export = guard.wrap(tools.functions())

    def read_vault() -> str:
        return str(export(**GOOD))

    read = guard.wrap(read_vault)
    guard.operations.set_credential("vault-token", "active", by="user:ops", why="issued")
    with guard.run("customer-export", inputs=TICKET), pytest.raises(ToolCallDenied):
        read()

    assert tools.ran == []
    assert look.__name__ == "get_ticket"


def test_an_inner_run_does_not_outlive_itself(guard: Guard, tools: Tools) -> None:
    look, _ = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET) as outer:
        with guard.run("customer-export", inputs={"ticket": "EXP-8"}):
            with pytest.raises(ToolCallDenied):
                look("EXP-7")
            look("EXP-8")
        look("EXP-7")

    assert tools.ran == [("get_ticket", "EXP-8"), ("get_ticket", "EXP-7")]
    assert list(guard.records(kind="decision"))[-1]["run_id"] == outer.id


def test_after_the_guard_was_shut_nothing_runs(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    guard = Guard.load(bundle, ledger=memory_ledger(), home=tmp_path)
    look, _ = guard.wrap(tools.functions())
    run = guard.run("customer-export", inputs=TICKET)
    run.__enter__()
    guard.shut()

    with pytest.raises(LedgerError):
        look("EXP-7")
    assert tools.ran == []


def test_a_forked_child_runs_nothing(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    with Guard.load(bundle, ledger=tmp_path / "l.sqlite3", home=tmp_path) as guard:
        look, _ = guard.wrap(tools.functions())
        with guard.run("customer-export", inputs=TICKET):
            child = os.fork()
            if child == 0:
                try:
                    look("EXP-7")
                except LedgerError:
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            look("EXP-7")


# What ran is on record


class Stop(BaseException):
    """As KeyboardInterrupt: no Exception."""


def test_a_result_that_interrupts_while_it_is_kept_still_has_its_outcome(guard: Guard) -> None:
    class Nasty:
        def __getattribute__(self, name: str) -> Any:
            raise Stop

    look = guard.wrap(_returning(Nasty()))
    with guard.run("customer-export", inputs=TICKET):
        with pytest.raises(ConfigurationError, match="no data"):
            look("EXP-7")
        assert [o for o, _ in outcomes(guard)] == ["failed"]


def _returning(value: Any) -> Callable[..., Any]:
    def get_ticket(ticket_id: str) -> Any:
        return value

    return get_ticket


def test_a_log_that_interrupts_after_the_permit_leaves_no_call_open(guard: Guard, tools: Tools) -> None:
    look, _ = guard.wrap(tools.functions())

    def interrupt(body: bytes) -> None:
        if json.loads(body)["kind"] == "decision":
            raise KeyboardInterrupt

    with guard.run("customer-export", inputs=TICKET):
        guard.ledger.listen(interrupt)
        with pytest.raises(KeyboardInterrupt):
            look("EXP-7")

    assert tools.ran == []
    assert guard.operations.open_calls() == []
    assert [outcome for outcome, _ in outcomes(guard)] == ["failed"]


@pytest.mark.parametrize("kept", [["x" * 1_040_000], ["x"] * 49_990, deep(60), ["\ud800"], [float("nan")]])
def test_a_result_of_any_size_keeps_its_outcome(guard: Guard, kept: Any) -> None:
    look = guard.wrap(_returning({"tables": kept}))
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")

    assert guard.operations.open_calls() == []
    assert [outcome for outcome, _ in outcomes(guard)] == ["succeeded"]


def test_interrupted_at_any_line_what_ran_is_what_the_ledger_says(guard: Guard, tools: Tools) -> None:
    """KeyboardInterrupt at each line of the order of events and of what drives it."""
    look, _ = guard.wrap(tools.functions())
    home = Path(inspect.getfile(Guard)).parent
    files = {str(path) for path in (home / "drive.py", home / "gate.py", *(home / "call").glob("*.py"))}
    assert str(home / "call" / "order.py") in files

    def interrupted(at: int) -> bool:
        seen = 0

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal seen
            seen += event == "line" and frame.f_code.co_filename in files
            if seen == at:
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace if frame.f_code.co_filename in files else None

        with guard.run("customer-export", inputs=TICKET):
            sys.settrace(trace)
            try:
                look("EXP-7")
            except KeyboardInterrupt:
                return True
            finally:
                sys.settrace(None)
        return False

    at = 1
    while interrupted(at):
        at += 1
        assert len(tools.ran) <= at
    assert at > 50
    assert guard.operations.open_calls() == []
    permits = [r for r in guard.records(kind="decision") if r["effect"] == "permit"]
    ended = list(guard.records(kind="outcome"))
    assert sorted(r["decision_id"] for r in permits) == sorted(r["decision_id"] for r in ended)
    found = [r["outcome"] for r in ended]
    assert found.count("succeeded") <= len(tools.ran) <= found.count("succeeded") + found.count("unknown")


class Broken:
    """A ledger with one operation that fails."""

    def __init__(self, real: Any, broken: str) -> None:
        self._real, self._broken = real, broken

    def __getattr__(self, name: str) -> Any:
        if name == self._broken:

            def fail(*_: Any, **__: Any) -> Promise[Any]:
                failed: Promise[Any] = Promise(self._real.engine, 0, lambda *_: None, None)
                failed.answer(None, LedgerError("the disk is full"))
                return failed

            return fail
        return getattr(self._real, name)


@pytest.mark.parametrize("operation", ["run", "admit", "append"])
def test_a_ledger_that_fails_before_the_tool_runs_nothing(guard: Guard, tools: Tools, operation: str) -> None:
    look, _ = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET), pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "ledger", Broken(guard.ledger, operation))
        if operation != "append":
            with pytest.raises(LedgerError):
                look("EXP-7")
            assert tools.ran == []
        else:
            with pytest.raises(LedgerError):
                guard.wrap(_returning(None))


def test_a_ledger_that_cannot_take_the_question_asks_nobody(guard: Guard, tools: Tools) -> None:
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(guard, "ledger", Broken(guard.ledger, "ask"))
            with pytest.raises(LedgerError):
                export(**BIG)

    assert len(tools.ran) == 1


def test_a_tool_that_ran_gives_its_result_though_its_outcome_could_not_be_written(guard: Guard, tools: Tools) -> None:
    """An error here would make the caller repeat what has happened."""
    look, _ = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET), pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "ledger", Broken(guard.ledger, "close"))
        assert look("EXP-7")["id"] == "EXP-7"

    assert len(guard.operations.open_calls()) == 1


# Reloads


def test_a_reload_that_cannot_be_used_leaves_everything_as_it_was(guard: Guard, tools: Tools, bundle: Path) -> None:
    """New Trust without an issuer for this guard: no part of the bundle may be in force."""
    look, export = guard.wrap(tools.functions())
    before = guard.bundle.revision
    text = (bundle / "trust.yaml").read_text()
    issuer = text[text.index("  - name: local") :]
    second = issuer.replace("name: local", "name: other").replace("//local.", "//other.")
    (bundle / "trust.yaml").write_text(text + second)
    rewrite_file(bundle / "destinations.yaml", "files.corp.example", "other.corp.example")
    with pytest.raises(ConfigurationError, match="several issuers"):
        guard.reload()

    assert guard.bundle.revision == before
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        export(**GOOD)


def reload_while_it_proves_who_it_is(guard: Guard, file: Path, old: str, new: str, call: Callable[[], Any]) -> None:
    at_once = guard.identity_at_once

    def slow(digest: str, subject: str | None, now: Any) -> Any:
        if old in file.read_text():
            rewrite_file(file, old, new)
            guard.reload()
        return at_once(digest, subject, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "identity_at_once", slow)
        with pytest.raises(ToolCallDenied):
            call()
    assert list(guard.records(kind="decision"))[-1]["policy_revision"] == guard.bundle.revision


def test_a_rule_that_changes_during_a_call_is_the_rule(guard: Guard, tools: Tools, bundle: Path) -> None:
    """The first call of a run, where no second look at the run would find out by itself."""
    look, _ = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        reload_while_it_proves_who_it_is(
            guard, bundle / "customer-export.yaml", "args.ticket_id ==", "args.ticket_id !=", lambda: look("EXP-7")
        )

    assert tools.ran == []


def test_a_place_that_leaves_the_catalog_during_a_call_is_out_of_it(guard: Guard, tools: Tools, bundle: Path) -> None:
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        reload_while_it_proves_who_it_is(
            guard, bundle / "destinations.yaml", "files.corp.example", "other.corp.example", lambda: export(**GOOD)
        )

    assert len(tools.ran) == 1


def test_a_result_is_kept_as_the_bundle_says_that_permitted_its_call(guard: Guard, tools: Tools, bundle: Path) -> None:
    """Not as a bundle says that was in force for a moment while the tool ran."""
    file = bundle / "customer-export.yaml"

    def get_ticket(ticket_id: str) -> dict[str, Any]:
        rewrite_file(file, "result.tables", "result.others")
        guard.reload()
        return {"tables": ["orders"], "others": ["salaries"]}

    look, export = guard.wrap([get_ticket, tools.functions()[1]])
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        rewrite_file(file, "result.others", "result.tables")
        guard.reload()
        with pytest.raises(ToolCallDenied):
            export(**GOOD | {"table": "salaries"})
        export(**GOOD)


def test_a_name_that_the_bundle_gave_to_another_tool_calls_neither(guard: Guard, tools: Tools, bundle: Path) -> None:
    look, _ = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        rewrite_file(bundle / "tools.yaml", "aliases: [get_ticket]", "aliases: [get_old_ticket]")
        guard.reload()
        with pytest.raises(ToolCallDenied):
            look("EXP-7")

    assert tools.ran == []
    assert "tool_changed" in reasons(guard)


# Approvals


@pytest.mark.parametrize(
    ("requester", "approver"),
    [
        *(("dave", "user:dave"), ("user:dave", "dave"), ("user:dave", "user:dave"), ("dave", "dave")),
        *(
            ("user:Dave", "user:dave"),
            ("dave ", "user:dave"),
            ("user:dave", "user:da\u200bve"),
            ("USER:dave", "user:dave"),
        ),
        *(("USER:dave", "user:dave"), ("user:JOSE\u0301", "user:jos\xe9"), ("user:user:dave", "user:dave")),
    ],
)
def test_nobody_answers_for_themselves_however_their_name_is_written(
    guard: Guard, tools: Tools, requester: str, approver: str
) -> None:
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET, requester=requester):
        look("EXP-7")
        with pytest.raises(ApprovalPending) as pending:
            export(**BIG)

    with pytest.raises(LedgerError, match=r"somebody else must answer|is no person"):
        guard.operations.answer(pending.value.approval_id, approver=approver, approve=True)
    guard.operations.answer(pending.value.approval_id, approver="user:alice", approve=True)


def ask(guard: Guard, export: Callable[..., Any]) -> str:
    with pytest.raises(ApprovalPending) as pending:
        export(**BIG)
    return pending.value.approval_id


def agree(guard: Guard, approval_id: str) -> None:
    for name in ("user:alice", "user:bob"):
        guard.operations.answer(approval_id, approver=name, approve=True)


def test_a_refusal_stands_when_a_reload_takes_the_question_away(guard: Guard, tools: Tools, bundle: Path) -> None:
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        guard.operations.answer(ask(guard, export), approver="user:alice", approve=False)
        rewrite_file(bundle / "customer-export.yaml", "args.rows > 1000", "args.rows > 9000")
        guard.reload()
        with pytest.raises(ApprovalRefused):
            export(**BIG)
        text = (bundle / "customer-export.yaml").read_text()
        (bundle / "customer-export.yaml").write_text(
            text[: text.index("    approval:")] + text[text.index("  unlock:") :]
        )
        guard.reload()
        with pytest.raises(ToolCallDenied):
            export(**BIG)

    assert len(tools.ran) == 1


def test_a_refusal_of_an_older_question_stands_beside_a_newer_one(guard: Guard, tools: Tools, bundle: Path) -> None:
    """Asked under one revision and again under the next; one no to this very request is enough."""
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        first = ask(guard, export)
        rewrite_file(bundle / "destinations.yaml", "sensitivity: internal", "sensitivity: confidential")
        guard.reload()
        second = ask(guard, export)
        assert first != second
        guard.operations.answer(first, approver="user:alice", approve=False)
        agree(guard, second)
        with pytest.raises(ApprovalRefused):
            export(**BIG)

    assert len(tools.ran) == 1


CHANGES = {
    "the class of its place": ("destinations.yaml", "sensitivity: internal", "sensitivity: confidential"),
    "the owner of its place": ("destinations.yaml", "sensitivity: internal", "sensitivity: internal, owner: it"),
    "somebody less in its group": ("trust.yaml", '["user:alice", "user:bob"]', '["user:alice", "user:cyd"]'),
    "somebody more in its group": (
        "trust.yaml",
        '["user:alice", "user:bob"]',
        '["user:alice", "user:bob", "user:cyd"]',
    ),
}
UNRELATED = {
    "the class of another place": ("destinations.yaml", "sensitivity: secret", "sensitivity: confidential"),
    "another group": ("trust.yaml", "groups:\n", "groups:\n  auditors: [user:eve]\n"),
    "another tool": ("tools.yaml", "tools:\n", "tools:\n  clock.read: {effect: read}\n"),
}


@pytest.mark.parametrize("change", [*CHANGES, *UNRELATED])
def test_an_approval_rests_on_its_own_part_of_the_policy(guard: Guard, tools: Tools, bundle: Path, change: str) -> None:
    """What changes the call's step, its places' classes or its approvers voids it; an unrelated edit does not."""
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        first = ask(guard, export)
        agree(guard, first)
        rewrite_file(bundle / (CHANGES | UNRELATED)[change][0], *(CHANGES | UNRELATED)[change][1:])
        guard.reload()
        if change in UNRELATED:
            assert export(**BIG) == "done"
        else:
            assert ask(guard, export) != first
        row = guard.operations.approval(first)
        assert row is not None
        assert str(row.status(guard.last_known_time)) == ("succeeded" if change in UNRELATED else "superseded")

    assert len(tools.ran) == (2 if change in UNRELATED else 1)


def test_two_callers_waiting_on_one_approval_run_it_once(bundle: Path, tmp_path: Path) -> None:
    """The second one finds the approval used up and asks anew, in its own name."""
    ran = []

    async def export_orders(table: str, rows: int, target: str, password: str = "x") -> None:
        ran.append(rows)

    clock = Clock()
    with Guard.load(bundle, ledger=memory_ledger(), home=tmp_path, wait=timedelta(seconds=30), clock=clock) as guard:
        look, export = guard.wrap([_returning({"tables": ["orders"]}), export_orders])

        async def main() -> list[Any]:
            async with guard.run("customer-export", inputs=TICKET):
                look("EXP-7")
                calls = [asyncio.create_task(export(**BIG)) for _ in range(2)]
                while not guard.operations.approvals():  # noqa: ASYNC110  answers come from threads
                    await asyncio.sleep(0)
                (row,) = guard.operations.approvals()
                await asyncio.to_thread(agree, guard, row.request.id)
                while not ran:  # noqa: ASYNC110  answers come from threads
                    await asyncio.sleep(0.01)
                while not guard.operations.approvals():  # noqa: ASYNC110  answers come from threads
                    await asyncio.sleep(0.01)
                (again,) = guard.operations.approvals()
                assert again.request.id != row.request.id
                clock.pass_by(31)
                return await asyncio.gather(*calls, return_exceptions=True)

        results = asyncio.run(main())

    assert ran == [2000]
    assert sorted(type(result).__name__ for result in results) == ["ApprovalPending", "NoneType"]


def test_an_answer_while_the_tool_runs_comes_too_late(guard: Guard, tools: Tools) -> None:
    ran = []
    said: list[BaseException] = []
    approval_id = ""

    def export_orders(table: str, rows: int, target: str, password: str = "x") -> None:
        ran.append(rows)
        try:
            guard.operations.answer(approval_id, approver="user:carol", approve=False)
        except LedgerError as error:
            said.append(error)

    look, export = guard.wrap([tools.functions()[0], export_orders])
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        approval_id = ask(guard, export)
        agree(guard, approval_id)
        export(**BIG)

    assert ran == [2000]
    assert "used already" in str(said[0])


# The decision itself


class PanicException(BaseException):
    """As a Rust extension raises it: not an Exception."""


def test_a_check_that_panics_denies(guard: Guard, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(_: Any) -> Any:
        raise PanicException

    look, _ = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        monkeypatch.setattr(decide_module, "CALL_CHECKS", (panic,))
        with pytest.raises(ToolCallDenied):
            look("EXP-7")

    assert tools.ran == []
    assert reasons(guard) == [Reason.INTERNAL_ERROR]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_somebody_who_stops_the_program_during_a_decision_is_heard(
    guard: Guard, tools: Tools, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    def interrupted(_: Any) -> Any:
        raise stop

    look, _ = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        monkeypatch.setattr(decide_module, "CALL_CHECKS", (interrupted,))
        with pytest.raises(stop):
            look("EXP-7")

    assert tools.ran == []


# Clocks


def test_a_clock_that_lies_about_its_zone_tells_no_time(guard: Guard, tools: Tools, clock: Clock) -> None:
    class Nowhere(tzinfo):
        def utcoffset(self, _: datetime | None) -> None:
            return None

    class Raising(tzinfo):
        def utcoffset(self, _: datetime | None) -> timedelta:
            raise RuntimeError

    look, _ = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET), pytest.MonkeyPatch.context() as patch:
        for zone in (Nowhere(), Raising()):
            patch.setattr(clock, "at", datetime(2026, 11, 24, 12, tzinfo=zone))
            with pytest.raises(ToolCallDenied):
                look("EXP-7")
            assert "clock_untrusted" in reasons(guard) or "clock_unavailable" in reasons(guard)

    assert tools.ran == []


# Secrets


def test_a_secret_that_does_not_fit_is_in_no_record(guard: Guard, tools: Tools, bundle: Path) -> None:
    rewrite_file(
        bundle / "customer-export.yaml",
        "password: {type: string}",
        "password: {type: string, maxLength: 3, pattern: 'abc'}",
    )
    guard.reload()
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        with pytest.raises(ToolCallDenied):
            export(**GOOD, password="s3cr3t-value")

    assert "s3cr3t-value" not in json.dumps(list(guard.records()))


def test_a_secret_that_is_a_destination_is_in_no_record(guard: Guard, tools: Tools, bundle: Path) -> None:
    """Where a call goes is in every record: of this one, that it went to a secret place, and how sensitive that is."""
    rewrite_file(bundle / "tools.yaml", "secrets: [password]", "secrets: [password, target]")
    guard.reload()
    look, export = guard.wrap(tools.functions())
    with guard.run("customer-export", inputs=TICKET):
        look("EXP-7")
        export(**GOOD)

    assert GOOD["target"] not in json.dumps(list(guard.records()))
    (place,) = list(guard.records(kind="decision"))[-1]["destinations"]
    assert (place["id"], place["sensitivity"]) == ("secret", "internal")
