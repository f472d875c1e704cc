"""What a developer meets first: names that are not listed, an address given as a ledger, the id of a permit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agentguard.core.values import Effect
from agentguard.errors import ConfigurationError, LedgerError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.ledger import open_ledger

from .conftest import Tools

TICKET = {"ticket": "EXP-7"}


def test_all_tools_that_the_bundle_does_not_list_are_named_at_once(guard: Guard, tools: Tools) -> None:
    """Whoever writes Tools writes it once, and not a name at a time."""

    def send_mail(to: str) -> None: ...
    def drop_table(name: str) -> None: ...

    with pytest.raises(ConfigurationError, match=r"`send_mail` or `drop_table`; Tools lists: .*get_ticket"):
        guard.wrap([send_mail, *tools.functions(), [drop_table]])


def test_what_is_wrong_with_a_tool_that_is_listed_is_still_said(guard: Guard) -> None:
    """It is not taken for one that is not listed."""
    with pytest.raises(ConfigurationError, match="not a function"):
        guard.wrap([len])


# The ledger's place.

ADDRESSES = (
    "postgresql://svc:hunter2@db.example/guard",
    "postgres://db.example/guard",
    "mysql+pymysql://svc:hunter2@db.example/x",
    "sqlite:///ledger.sqlite3",
    "file:ledger.sqlite3?mode=memory",
    "https://ledger.example/",
    "redis://db.example",
    ":memory:",
    "host=db.example dbname=guard password=hunter2",
    "user=svc password=hunter2 host=db.example",
)


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_given_as_the_ledger_is_refused_and_makes_no_file(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, kind: Any
) -> None:
    """A guard that believes it writes to a server and writes to a file beside itself shares nothing with anybody."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigurationError) as refused:
        Guard.load(bundle, ledger=kind(address), home=tmp_path / "home")
    with pytest.raises(LedgerError) as refused_below:
        open_ledger(kind(address))

    assert "hunter2" not in str(refused.value) + str(refused_below.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["ledger.sqlite3", "a b/c.db", "my-host=1.db", "dir/postgresql:", "dir/x:y.sqlite3"])
def test_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Near misses: a colon further on, a sign of equality, a name that says so with its folder."""
    monkeypatch.chdir(tmp_path)
    open_ledger(name).shut()
    assert (tmp_path / name).is_file()


# Which decision it was.


def test_the_decision_of_a_permitted_call_can_be_had(guard: Guard, tools: Tools) -> None:
    """A permit returns what the tool returns, so its id is noted beside; refusals are, too."""
    look = guard.wrap(tools.functions()[0])
    with guard.run("customer-export", inputs=TICKET), guard.decisions() as made:
        look("EXP-7")
        with guard.decisions() as inner, pytest.raises(ToolCallDenied) as refused:
            look("EXP-8")
    look_again = [(each.decision_id, str(each.effect)) for each in made]

    assert look_again == [(record["decision_id"], record["effect"]) for record in guard.records(kind="decision")]
    assert [each.effect for each in made] == [Effect.PERMIT, Effect.DENY]
    assert [each.decision_id for each in inner] == [refused.value.decision_id] and made[0].tool == "tickets.get"


def test_the_decisions_of_tasks_and_threads_are_noted_where_their_context_goes(guard: Guard, tools: Tools) -> None:
    """As a run is taken along; another task that notes for itself sees its own."""
    look = guard.wrap(tools.functions()[0])

    async def one() -> int:
        with guard.decisions() as mine:
            await asyncio.to_thread(look, "EXP-7")
            return len(mine)

    async def main() -> tuple[int, list[int]]:
        async with guard.run("customer-export", inputs=TICKET) as run:
            with guard.decisions() as made:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one()) for _ in range(3)]
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(run.carry(look), "EXP-7").result()  # nobody took the list along
            return len(made), [task.result() for task in tasks]

    assert asyncio.run(main()) == (3, [1, 1, 1])


def test_the_decision_of_a_stream_is_noted(bundle: Path, tmp_path: Path) -> None:
    """At its first item, when it is decided; sync and async."""
    with Guard.load(bundle, ledger=tmp_path / "l.sqlite3", home=tmp_path / "home") as guard:

        @guard.wrap
        def get_ticket(ticket_id: str) -> Iterator[str]:
            yield ticket_id

        async def lines(ticket_id: str) -> AsyncIterator[str]:
            yield ticket_id

        lines.__name__ = "get_ticket"
        streamed = guard.wrap(lines)

        async def read() -> int:
            with guard.decisions() as made:
                async for _ in streamed("EXP-7"):
                    pass
            return len(made)

        with guard.run("customer-export", inputs=TICKET), guard.decisions() as made:
            assert list(get_ticket("EXP-7")) == ["EXP-7"] and len(made) == 1
            assert asyncio.run(read()) == 1


# Fakes without pytest.


def test_the_fakes_need_no_pytest(tmp_path: Path) -> None:
    """A program's own self-test, or another test runner, imports them where pytest is not installed."""
    (tmp_path / "pytest.py").write_text("raise ImportError('no pytest here')")
    script = "from agentguard.testing import FakeClock, in_memory_guard; import agentguard.testing.plugin"
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
