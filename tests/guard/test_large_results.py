"""What a call keeps or follows of a large result is looked up where that stops no event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from small_bundle import TEXT, guard_of

from agentguard.guard.call import outcome


@pytest.mark.parametrize(
    ("body", "aside"),
    [
        ("short", False),
        ("x" * 15_000, False),
        ("x" * 40_000, True),
        (["x"] * 100, False),
        (["x"] * 5_000, True),
        ({"a": ["x"] * 5_000}, True),
    ],
    ids=["short", "below", "long", "some", "many", "many inside"],
)
def test_a_large_result_is_looked_at_on_a_thread(monkeypatch: pytest.MonkeyPatch, body: Any, aside: bool) -> None:
    """A regular expression over a megabyte takes a second; every other task would stand still for it."""
    where: list[int] = []
    keep = outcome.keep_all

    def noted(*args: Any) -> Any:
        where.append(threading.get_ident())
        return keep(*args)

    monkeypatch.setattr(outcome, "keep_all", noted)

    async def read(q: str) -> dict[str, Any]:
        return {"body": body}

    async def use(guard: Any) -> None:
        tool = guard.wrap(read)
        async with guard.run("w"):
            assert await tool("x") == {"body": body}

    step = {"args": {"q": TEXT}, "keep": {"first": "result.body"}}
    with guard_of({"read": {"effect": "read", **step}}) as guard:
        asyncio.run(use(guard))
        kept = [record["kept"] for record in guard.records(kind="outcome")]
    assert kept == [["first"]]
    assert [ident != threading.get_ident() for ident in where] == [aside]
