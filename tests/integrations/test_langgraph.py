"""Guarded tools in LangGraph's own tool node: drop-in, in threads and tasks, and whatever the saved state says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import pytest
from guard.conftest import FILES, Clock
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode, ToolRuntime

from agentguard.guard import Guard
from agentguard.ledger import memory_ledger

TICKET = {"ticket": "EXP-7"}
EXPORT = {"table": "orders", "target": "https://files.corp.example/x", "password": "p"}


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    directory = tmp_path / "policy"
    directory.mkdir()
    for name, text in FILES.items():
        (directory / name).write_text(text)
    with Guard.load(directory, ledger=memory_ledger(), home=tmp_path / "home", clock=Clock()) as made:
        yield made


class Bodies:
    """Tools that remember what they really did."""

    def __init__(self) -> None:
        self.ran: list[Any] = []

    def tools(self) -> list[BaseTool]:
        @tool
        def get_ticket(ticket_id: str) -> dict[str, Any]:
            """Look a ticket up."""
            self.ran.append(ticket_id)
            return {"tables": ["orders"]}

        @tool
        def export_orders(table: str, rows: int, target: str, password: str) -> str:
            """Export rows to a place."""
            self.ran.append(rows)
            return "done"

        return [get_ticket, export_orders]


@pytest.fixture
def bodies() -> Bodies:
    return Bodies()


def graph(tools: list[BaseTool], **options: Any) -> Any:
    """A graph of one tool node, with a memory where it is given one."""
    saver = options.pop("checkpointer", None)
    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode(tools, **options))
    builder.add_edge(START, "tools")
    builder.add_edge("tools", END)
    return builder.compile(checkpointer=saver)


def asks(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """What a model's message with these calls looks like."""
    made = [{"type": "tool_call", "id": f"c{n}", "name": name, "args": args} for n, (name, args) in enumerate(calls)]
    return {"messages": [AIMessage("", tool_calls=made, id="m1")]}


def answers(state: dict[str, Any]) -> list[ToolMessage]:
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


def in_thread(app: Any, state: dict[str, Any]) -> dict[str, Any]:
    return dict(app.invoke(state))


def in_task(app: Any, state: dict[str, Any]) -> dict[str, Any]:
    return dict(asyncio.run(app.ainvoke(state)))


@pytest.mark.parametrize("drive", [in_thread, in_task])
def test_each_call_of_a_message_is_judged_and_answered(
    guard: Guard, bodies: Bodies, drive: Callable[..., dict[str, Any]]
) -> None:
    """The node runs a message's calls side by side, in threads or tasks; each is in the run that is under way."""
    app = graph(guard.wrap(bodies.tools()))
    state = asks(*[("get_ticket", {"ticket_id": f"EXP-{7 + n % 2}"}) for n in range(6)])
    with guard.run("customer-export", inputs=TICKET):
        told = answers(drive(app, state))
    outside = answers(drive(app, state))

    assert [message.status for message in told] == ["success", "error"] * 3
    assert [message.status for message in outside] == ["error"] * 6
    assert bodies.ran == ["EXP-7"] * 3
    assert all("decision `d-" in str(message.content) for message in told[1::2])


@pytest.mark.parametrize("drive", [in_thread, in_task])
def test_a_flood_of_calls_in_one_message_does_not_exceed_a_limit(
    guard: Guard, bodies: Bodies, drive: Callable[..., dict[str, Any]]
) -> None:
    """Twenty calls side by side, of which five may be made in a run."""
    app = graph(guard.wrap(bodies.tools()))
    with guard.run("customer-export", inputs=TICKET):
        told = answers(drive(app, asks(*[("get_ticket", {"ticket_id": "EXP-7"})] * 20)))

    assert sum(message.status == "success" for message in told) == len(bodies.ran) == 5


def test_two_tenants_in_threads_do_not_share_a_run(guard: Guard, bodies: Bodies) -> None:
    """One graph, compiled once, serves both; each is judged by its own inputs."""
    app = graph(guard.wrap(bodies.tools()))

    def serve(ticket: str) -> list[str]:
        with guard.run("customer-export", inputs={"ticket": ticket}):
            return [m.status for m in answers(app.invoke(asks(("get_ticket", {"ticket_id": "EXP-7"}))))]

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(serve, ["EXP-7", "EXP-8"] * 4))

    assert told == [["success"], ["error"]] * 4


def test_what_a_hook_around_the_call_makes_of_it_is_what_is_judged(guard: Guard, bodies: Bodies) -> None:
    """A hook outside the tool may change arguments or the tool's name; the guard stands inside of it."""

    def meddling(request: Any, execute: Callable[[Any], Any]) -> Any:
        return execute(request.override(tool_call=request.tool_call | {"args": {"ticket_id": "EXP-8"}}))

    app = graph(guard.wrap(bodies.tools()), wrap_tool_call=meddling)
    with guard.run("customer-export", inputs=TICKET):
        (told,) = answers(app.invoke(asks(("get_ticket", {"ticket_id": "EXP-7"}))))

    assert told.status == "error" and bodies.ran == []


def test_what_the_framework_injects_reaches_the_tool_and_a_model_cannot_forge_it(guard: Guard) -> None:
    """State, runtime and the call's id are the framework's to fill in, and no argument to judge."""
    seen: list[Any] = []

    @tool("get_ticket")
    def look(
        ticket_id: str,
        state: Annotated[dict[str, Any], InjectedState],
        runtime: ToolRuntime,
        call: Annotated[str, InjectedToolCallId],
    ) -> str:
        """Look a ticket up."""
        seen.append((ticket_id, len(state["messages"]), type(runtime), call))
        return "found"

    app = graph([guard.wrap(look)])
    forged = {"ticket_id": "EXP-7", "state": {"messages": []}, "runtime": {"state": 1}, "call": "forged"}
    with guard.run("customer-export", inputs=TICKET):
        for arguments in ({"ticket_id": "EXP-7"}, forged):
            assert [m.content for m in answers(app.invoke(asks(("get_ticket", arguments))))] == ["found"]

    assert seen == [("EXP-7", 1, ToolRuntime, "c0")] * 2
    assert [r["arguments"] for r in guard.records(kind="decision")] == [{"ticket_id": "EXP-7"}] * 2


def test_saved_state_wakes_the_agent_and_approves_nothing(guard: Guard, bodies: Bodies) -> None:
    """History edited between the approval and the call is another request; a state resumed twice runs once."""
    app = graph(guard.wrap(bodies.tools()), checkpointer=InMemorySaver())
    thread: dict[str, Any] = {"configurable": {"thread_id": "t"}}

    def export(rows: int) -> dict[str, Any]:
        return asks(("export_orders", EXPORT | {"rows": rows}))

    with guard.run("customer-export", inputs=TICKET) as run:
        app.invoke(asks(("get_ticket", {"ticket_id": "EXP-7"})), thread)
        assert "waits for a person" in str(answers(app.invoke(export(1001), thread))[-1].content)
    (approval,) = run.waiting
    for person in ("user:alice", "user:bob"):
        guard.operations.answer(approval, approver=person, approve=True)

    with guard.resume(run.id):
        edited = app.invoke(export(9999), thread)
        assert "waits for a person" in str(answers(edited)[-1].content)
        assert answers(app.invoke(export(1001), thread))[-1].content == "done"
        assert "waits for a person" in str(answers(app.invoke(export(1001), thread))[-1].content)

    assert bodies.ran == ["EXP-7", 1001]
