"""LangChain tools: the same class, name and schema, and no way in but through the guard."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import BaseTool

from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.guard import Guard
from agentguard.integrations.langchain.arguments import Arguments
from agentguard.integrations.langchain.canary import prove
from agentguard.integrations.langchain.guardable import check_tool
from agentguard.integrations.langchain.guarded_class import is_guarded_tool, shut_doors
from agentguard.integrations.langchain.interrupts import await_in_graph, wait_in_graph
from agentguard.integrations.langchain.refusals import DeniedTool, PendingTool, RefusedTool
from agentguard.integrations.langchain.turns import interrupts_itself

__all__ = ["DeniedTool", "PendingTool", "RefusedTool", "await_in_graph", "wait_in_graph", "wrap"]


def wrap(guard: Guard, tool: Any) -> Any:
    """Guard one LangChain tool. The original stays unguarded: hand only the result to an agent.

    Raises ConfigurationError for what could not be guarded; the text says what to change.
    """
    if not isinstance(tool, BaseTool):
        raise ConfigurationError(
            f"`{type(tool).__name__}` cannot be guarded: it is not a LangChain tool; make one of it with `@tool`"
        )
    if is_guarded_tool(tool):
        raise ConfigurationError(
            f"`{tool.name}` is guarded already; wrap the original once and use the result everywhere"
        )
    check_tool(tool)
    arguments = Arguments.of(tool)
    definition: Json = {"name": tool.name, "description": tool.description, "parameters": arguments.schema}
    gate = guard.gate(tool.name, definition=definition, framework="langchain", suspends=interrupts_itself)
    guarded = shut_doors(tool, gate, arguments)
    prove(tool, gate, arguments)
    return guarded
