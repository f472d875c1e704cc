"""Guards a function that was registered with the OpenAI client's own tool runner."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

from openai.lib.responses_tool_runner import AsyncRegisteredFunction, RegisteredFunction

from agentguard.errors import ConfigurationError
from agentguard.guard.arguments.json_schema import JsonShape
from agentguard.integrations.openai.canary import prove
from agentguard.integrations.openai.functions import (
    ArgumentShape,
    GuardedFunction,
    WholeShape,
    defined_shape,
    open_gate,
    read_definition,
)
from agentguard.integrations.openai.runner import (
    async_guarded_execute,
    guarded_execute,
    is_guarded,
    shown_definition,
)
from agentguard.integrations.openai.texts import explain
from agentguard.integrations.openai.tools import OpenAITools

if TYPE_CHECKING:
    from agentguard.guard import Guard


def wrap(guard: Guard, tool: Any) -> Any:
    """Guard one function registered with the client's tool runner. The same class, definition and switches.

    Raises ConfigurationError for any other object of the client: a browser, a computer or a hosted tool is executed
    outside the guard.
    """
    if not isinstance(tool, RegisteredFunction | AsyncRegisteredFunction):
        raise ConfigurationError(
            f"`{type(tool).__name__}` cannot be guarded: only registered functions can; "
            "offer what it does as functions, or pass plain functions to OpenAITools"
        )
    if is_guarded(tool.execute):
        raise ConfigurationError(f"`{tool.tool['name']}` is guarded already; wrap the original once")
    function, model = read_definition(tool.tool)
    if tool._parsed_tool is None:
        shape: ArgumentShape = WholeShape(JsonShape(function["name"], function["parameters"]))
    else:
        shape = defined_shape(function, model, tool.execute)
    gate = open_gate(guard, function)
    guarded = GuardedFunction(gate, function["name"], function, shape, tool.execute)
    prove(gate, function, shape, tool.execute, OpenAITools.of)
    # The runner would ask a model of the client's for what the guard fills, so it gets the definition alone.
    filled = gate.hidden or gate.optional
    offered: Any = shown_definition(guarded) if filled else copy.deepcopy(tool.tool)
    if isinstance(tool, AsyncRegisteredFunction):
        return dataclasses.replace(tool, tool=offered, execute=async_guarded_execute(guarded, explain))
    return dataclasses.replace(tool, tool=offered, execute=guarded_execute(guarded, explain))
