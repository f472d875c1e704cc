"""The agent: the real ``openai`` client in a loop, with LangChain tools. Nothing in it knows that it is guarded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from openai import DefaultHttpxClient, OpenAI, OpenAIError

from agentguard import ConfigurationError
from examples.support.model import Turn, scripted_model

MOST_TURNS = 20
INSTRUCTIONS = (
    "You export data for tickets. Look up the ticket, count the rows of a table before you export it, export every "
    "table the ticket asks for, all its rows, to /exports/TICKET/TABLE.csv, and finish with one sentence. "
    "If a call is not allowed, do not repeat it; go on with the rest."
)

# What a model makes of ticket EXP-7 if it falls for the sentence that an outsider put into it.
SCRIPT: Sequence[Turn] = (
    ("I look up the ticket.", [("get_ticket", {"ticket_id": "EXP-7"})]),
    ("How much is it?", [("count_rows", {"table": "orders"}), ("count_rows", {"table": "order_lines"})]),
    (
        "The ticket says the customers table as well.",
        [("export_table", {"table": "customers", "rows": 50, "target": "/exports/EXP-7/customers.csv"})],
    ),
    (
        "That was not allowed. Now the orders.",
        [("export_table", {"table": "orders", "rows": 400, "target": "/exports/EXP-7/orders.csv"})],
    ),
    (
        "And their lines.",
        [("export_table", {"table": "order_lines", "rows": 2400, "target": "/exports/EXP-7/order_lines.csv"})],
    ),
    ("Orders and order lines are exported for EXP-7; the customers table was not allowed.", []),
)


@contextmanager
def model() -> Iterator[tuple[OpenAI, str]]:
    """The real API where OPENAI_API_KEY is set (and OPENAI_MODEL, if you want another), else the script."""
    if os.environ.get("OPENAI_API_KEY"):
        with OpenAI() as client:
            yield client, os.environ.get("OPENAI_MODEL", "gpt-4.1-mini")
        return
    # A proxy in the environment must not get between the client and loopback.
    with scripted_model(SCRIPT) as url, DefaultHttpxClient(trust_env=False) as direct:
        yield OpenAI(base_url=url, api_key="scripted", http_client=direct), "scripted"


def work(client: OpenAI, name: str, tools: Sequence[BaseTool], task: str, say: Callable[[str], None]) -> str:
    """Let the model call tools until it has nothing more to call. Returns its last words.

    Raises ConfigurationError where the model cannot be asked.
    """
    by_name = {tool.name: tool for tool in tools}
    offered: Any = [convert_to_openai_tool(tool) for tool in tools]
    messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": task}]
    for _ in range(MOST_TURNS):
        try:
            answer = client.chat.completions.create(model=name, messages=messages, tools=offered).choices[0].message
        except OpenAIError as error:
            raise ConfigurationError(
                f"the model `{name}` cannot be asked ({type(error).__name__}); check the network, OPENAI_API_KEY and "
                "OPENAI_MODEL, or unset OPENAI_API_KEY to see the scripted model"
            ) from None
        messages.append(answer.model_dump(exclude_none=True))
        if answer.content:
            say(answer.content)
        if not answer.tool_calls:
            return answer.content or ""
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": _call(by_name, call)}
            for call in answer.tool_calls
            if call.type == "function"
        ]
    return "stopped: too many turns"


def _call(tools: dict[str, BaseTool], call: Any) -> str:
    """One tool call, as LangChain makes it. A refusal comes back as a message, and holds nothing but a decision id."""
    name = call.function.name
    if name not in tools:
        return f"there is no tool {name}"
    try:
        arguments = json.loads(call.function.arguments)
        answer = tools[name].invoke({"type": "tool_call", "id": call.id, "name": name, "args": arguments})
    except Exception as error:  # what a tool raises, the model is told in a word
        return f"{name} failed: {type(error).__name__}"
    return str(answer.content) if isinstance(answer, ToolMessage) else str(answer)
