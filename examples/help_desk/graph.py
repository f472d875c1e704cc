"""LangGraph with a checkpointer: the thread is the key. ``python -m examples.help_desk.graph FOLDER [CENTS]``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from agentguard import Guard
from examples.help_desk.shop import Shop


class State(TypedDict, total=False):
    """What the checkpointer keeps of a conversation."""

    order: str
    cents: int
    answer: str


def main(folder: Path, cents: str | None = None) -> None:
    """Look the order up and ask how much to refund; or, in another process, go on with the answer."""
    thread, customer = "thread-7", "cid"
    with Guard.load(folder / "policy", home=folder / "home") as guard:
        look_up, refund = guard.wrap(Shop(folder).tools())

        def look(state: State) -> State:
            look_up(customer, state["order"])
            return {}

        def ask(state: State) -> State:
            return {"cents": int(interrupt("how much?"))}

        def give(state: State) -> State:
            return {"answer": refund(customer, state["order"], state["cents"])}

        graph: Any = StateGraph(State)
        for name, node in (("look", look), ("ask", ask), ("give", give)):
            graph.add_node(name, node)
        for before, after in ((START, "look"), ("look", "ask"), ("ask", "give"), ("give", END)):
            graph.add_edge(before, after)

        given: Any = {"order": "ORD-7"} if cents is None else Command(resume=cents)
        with (
            SqliteSaver.from_conn_string(str(folder / "threads.sqlite3")) as saver,
            guard.run("help-desk", inputs={"customer": customer}, requester=f"user:{customer}", key=thread) as run,
        ):
            state = graph.compile(saver).invoke(given, {"configurable": {"thread_id": thread}})
            if "__interrupt__" not in state:
                run.end()
    print(run.id, state.get("answer", "asks how much"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
