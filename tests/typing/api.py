"""Ordinary calls of the public API, for type checkers; a test gives it to mypy. Nothing here is run."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any, assert_type

from langchain_core.tools import BaseTool, StructuredTool

from agentguard import Guard


def get(ticket_id: str, *, deep: bool = False) -> dict[str, Any]:
    return {}


def send(to: str, cents: int) -> str:
    return ""


async def fetch(url: str) -> bytes:
    return b""


def lines(path: str) -> Iterator[str]:
    yield path


async def rows(n: int) -> AsyncIterator[int]:
    yield n


class Look(BaseTool):
    name: str = "look"
    description: str = "Look."

    def _run(self, x: str) -> str:
        return x


class Callable_:
    """A framework's tool that is called, as some are."""

    name: str = "x"

    def __call__(self, x: int) -> str:
        return str(x)


class Desk:
    def close(self, ticket: int) -> bool:
        return True


def functions(guard: Guard) -> None:
    assert_type(guard.wrap(get)("T-1", deep=True), dict[str, Any])
    assert_type(guard.wrap(send)(to="bob", cents=5), str)
    assert_type(guard.wrap(Desk().close)(7), bool)
    assert_type(list(guard.wrap(lines)("x")), list[str])
    guard.wrap(get)(1)  # type: ignore[arg-type]
    guard.wrap(send)("bob")  # type: ignore[call-arg]
    print(guard.wrap(get)("T-1").nothing)  # type: ignore[attr-defined]


async def async_functions(guard: Guard) -> None:
    assert_type(await guard.wrap(fetch)("https://x"), bytes)
    assert_type([n async for n in guard.wrap(rows)(3)], list[int])
    await guard.wrap(fetch)(5)  # type: ignore[arg-type]


@contextlib.contextmanager
def decorated(guard: Guard) -> Iterator[Callable[[str], str]]:
    @guard.wrap
    def shout(word: str) -> str:
        return word.upper()

    assert_type(shout("x"), str)
    yield shout


def tools(guard: Guard, structured: StructuredTool) -> None:
    assert_type(guard.wrap(structured), StructuredTool)
    assert_type(guard.wrap(Look()), Look)
    assert_type(guard.wrap([structured]), list[StructuredTool])
    assert_type(guard.wrap(Callable_()), Callable_)
    several: list[BaseTool] = guard.wrap([Look(), structured])
    assert_type(several[0].name, str)


def lists(guard: Guard, given: list[Callable[..., Any]]) -> None:
    one, other = guard.wrap([send, send])
    assert_type(one("bob", 5), str)
    assert_type(other("bob", 5), str)
    first, second = guard.wrap([get, send])
    first("T-1", deep=True)
    second("bob", 5)
    assert_type(guard.wrap(given), list[Callable[..., Any]])
    for tool in guard.wrap((send, get)):
        tool("bob", 5)


def runs(guard: Guard) -> None:
    with guard.run("w", inputs={"ticket": "EXP-7"}) as run:
        assert_type(run.carry(send)("bob", 5), str)
        assert_type(run.carry(lines)("x"), Iterator[str])
        carried: Callable[[str], Coroutine[Any, Any, bytes]] = run.carry(fetch)
        del carried
        run.carry(send)(5)  # type: ignore[call-arg, arg-type]
    with guard.decisions() as made:
        assert_type(made[0].decision_id, str)


async def async_runs(guard: Guard) -> None:
    async with guard.run("w") as run:
        assert_type(run.waiting, tuple[str, ...])
        assert_type(await run.until_answered(within=timedelta(minutes=5)), dict[str, str])
        assert_type(await run.carry(fetch)("x"), bytes)
