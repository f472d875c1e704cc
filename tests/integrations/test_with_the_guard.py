"""The adapters on the real guard: what is decided, recorded and run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import pytest
from guard.conftest import FILES, Clock
from langchain_core.tools import InjectedToolCallId, StructuredTool, tool
from openai.lib.responses_tool_runner import RegisteredFunction

from agentguard.errors import ConfigurationError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.integrations.openai import OpenAITools
from agentguard.ledger import memory_ledger


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    directory = tmp_path / "policy"
    directory.mkdir()
    for name, text in FILES.items():
        (directory / name).write_text(text)
    with Guard.load(directory, ledger=memory_ledger(), home=tmp_path / "home", clock=Clock()) as made:
        yield made


def get_ticket(ticket_id: str) -> dict[str, Any]:
    """Look a ticket up."""
    return {"tables": ["orders"], "id": ticket_id}


def test_a_langchain_call_is_decided_recorded_and_run(guard: Guard) -> None:
    """One record per decision, with the call's id, and the canary's record before it."""
    guarded = guard.wrap(tool(get_ticket))
    call = {"type": "tool_call", "id": "call-7", "name": "get_ticket", "args": {"ticket_id": "EXP-7"}}
    with guard.run("customer-export", inputs={"ticket": "EXP-7"}):
        assert guarded.invoke(dict(call)).status == "success"
        assert guarded.batch([{"ticket_id": "EXP-7"}] * 2) == [get_ticket("EXP-7")] * 2
        assert asyncio.run(guarded.ainvoke({"ticket_id": "EXP-7"})) == get_ticket("EXP-7")
        with pytest.raises(ToolCallDenied):
            guarded.invoke({"ticket_id": "EXP-8"})
    with pytest.raises(ToolCallDenied):
        guarded.invoke({"ticket_id": "EXP-7"})

    records = list(guard.records())
    decisions = [item for item in records if item["kind"] == "decision"]
    assert [item["effect"] for item in decisions] == ["permit"] * 4 + ["deny"] * 2
    assert decisions[0]["call_id"] == "call-7" and {item["framework"] for item in decisions} == {"langchain"}
    assert "no_run" in decisions[-1]["reasons"]
    (canary,) = [item for item in records if item["kind"] == "canary"]
    assert "invoke" in canary["why"] and "coroutine" not in canary["why"]


def test_the_id_of_a_call_that_stands_among_its_arguments_is_on_record(guard: Guard) -> None:
    """A tool that takes its call's id may be called by code, which gives the id by itself. It is not judged."""

    @tool("get_ticket")
    def look(ticket_id: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
        """Look a ticket up."""
        return tool_call_id

    guarded = guard.wrap(look)
    with guard.run("customer-export", inputs={"ticket": "EXP-7"}):
        assert guarded.func("EXP-7", tool_call_id="call-9") == "call-9"

    (decision,) = guard.records(kind="decision")
    assert decision["call_id"] == "call-9" and decision["arguments"] == {"ticket_id": "EXP-7"}


def test_openai_calls_are_decided_recorded_and_run(guard: Guard) -> None:
    """The same for a model's message; a step used up in it is refused in it."""
    tools = OpenAITools(guard, [get_ticket])
    calls = [
        {"type": "function_call", "call_id": f"c{n}", "name": "get_ticket", "arguments": '{"ticket_id": "EXP-7"}'}
        for n in range(7)
    ]
    with guard.run("customer-export", inputs={"ticket": "EXP-7"}):
        texts = [answer["output"] for answer in tools.answer(calls)]

    assert texts[:5] == ['{"tables":["orders"],"id":"EXP-7"}'] * 5
    assert all(text.startswith("this tool call was not allowed") for text in texts[5:])
    decisions = [item for item in guard.records() if item["kind"] == "decision"]
    assert [item["call_id"] for item in decisions] == [f"c{n}" for n in range(7)]


def test_threads_of_a_batch_share_the_limit_of_their_run(guard: Guard) -> None:
    """Twenty parallel calls all passed a limit of one, elsewhere."""
    guarded = guard.wrap(tool(get_ticket))
    with guard.run("customer-export", inputs={"ticket": "EXP-7"}):
        results = guarded.batch([{"ticket_id": "EXP-7"}] * 20, return_exceptions=True)

    assert sum(isinstance(item, ToolCallDenied) for item in results) == 15


def test_two_runs_side_by_side_do_not_share_their_context(guard: Guard) -> None:
    """One context shared by two tenants let one act for the other."""
    guarded = guard.wrap(tool(get_ticket))

    def tenant(ticket: str) -> list[str]:
        with guard.run("customer-export", inputs={"ticket": ticket}):
            found = [guarded.invoke({"ticket_id": ticket})["id"]]
            with pytest.raises(ToolCallDenied):
                guarded.invoke({"ticket_id": "EXP-1" if ticket == "EXP-2" else "EXP-2"})
            return found

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(tenant, ["EXP-1", "EXP-2"])) == [["EXP-1"], ["EXP-2"]]


@pytest.mark.parametrize(
    "make",
    [
        lambda guard, function: guard.wrap(tool(function)),
        lambda guard, function: OpenAITools(guard, [function]),
        lambda guard, function: guard.wrap(
            RegisteredFunction({"type": "function", "name": "get_tickets", "parameters": {}, "strict": False}, function)
        ),
    ],
)
def test_a_tool_the_bundle_does_not_list_is_refused(make: Any, guard: Guard) -> None:
    """Exact names only: a longer name is another tool."""

    def get_tickets(ticket_id: str) -> str:
        """Look."""
        return ticket_id

    with pytest.raises(ConfigurationError, match="no tool or alias"):
        make(guard, get_tickets)


def test_hosted_tools_are_refused_by_wrap(guard: Guard) -> None:
    """A provider-executed tool never passes us."""
    for hosted in ({"type": "web_search"}, [{"type": "mcp", "server_url": "https://x.example"}]):
        with pytest.raises(ConfigurationError):
            guard.wrap(hosted)


def test_a_framework_tool_that_hands_back_work_to_do_later_is_refused(guard: Guard) -> None:
    """LangChain and the OpenAI adapter would give a coroutine to the caller, who would run it past the guard."""
    ran: list[str] = []

    async def later(ticket_id: str) -> None:
        ran.append(ticket_id)

    def get_ticket(ticket_id: str) -> Any:
        """Look a ticket up."""
        return later(ticket_id)

    async def aget_ticket(ticket_id: str) -> Any:
        return later(ticket_id)

    guarded = guard.wrap(StructuredTool.from_function(get_ticket, aget_ticket))
    tools = OpenAITools(guard, [get_ticket])
    call = {"type": "function_call", "call_id": "c", "name": "get_ticket", "arguments": '{"ticket_id": "EXP-7"}'}
    with guard.run("customer-export", inputs={"ticket": "EXP-7"}):
        for attempt in (
            lambda: guarded.invoke({"ticket_id": "EXP-7"}),
            lambda: guarded.func("EXP-7"),
            lambda: asyncio.run(guarded.ainvoke({"ticket_id": "EXP-7"})),
            lambda: asyncio.run(guarded.coroutine("EXP-7")),
            lambda: tools.answer([call]),
        ):
            with pytest.raises(ConfigurationError, match="yet to run"):
                attempt()

    assert ran == []
    assert [r["outcome"] for r in guard.records(kind="outcome")] == ["failed"] * 5


def test_an_agent_that_was_told_to_wait_goes_on_in_the_same_run(guard: Guard) -> None:
    """The wait is a message to the model, as every refusal; the answer comes when the agent's loop is long over."""
    ran: list[int] = []

    def export_orders(table: str, rows: int, target: str, password: str) -> str:
        """Export rows to a place."""
        ran.append(rows)
        return "done"

    look, langchain = guard.wrap([get_ticket, tool(export_orders)])
    openai = OpenAITools(guard, [export_orders])
    arguments = {"table": "orders", "target": "https://files.corp.example/x", "password": "p"}

    def by_langchain() -> str:
        call = {"type": "tool_call", "id": "c", "name": "export_orders", "args": arguments | {"rows": 1001}}
        return str(langchain.invoke(call).content)

    def by_openai() -> str:
        call = {"type": "function_call", "call_id": "c", "name": "export_orders"}
        (answer,) = openai.answer([call | {"arguments": json.dumps(arguments | {"rows": 1002})}])
        return str(answer["output"])

    for attempt in (by_langchain, by_openai):
        with guard.run("customer-export", inputs={"ticket": "EXP-7"}) as run:
            look("EXP-7")
            assert "waits for a person" in attempt()
        (approval,) = run.waiting
        for person in ("user:alice", "user:bob"):
            guard.operations.answer(approval, approver=person, approve=True)
        with guard.resume(run.id):
            assert attempt() == "done"

    assert ran == [1001, 1002]
