"""Functions registered with the OpenAI client's own tool runner, guarded where the runner calls them."""

from __future__ import annotations

import copy
import dataclasses
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openai.lib.responses_tool_runner import AsyncRegisteredFunction, RegisteredFunction
from pydantic import BaseModel

from agentguard.errors import ConfigurationError
from agentguard.guard.shapes import JsonShape
from agentguard.integrations.openai.canary import prove
from agentguard.integrations.openai.functions import (
    BadArguments,
    GuardedFunction,
    Shape,
    WholeShape,
    as_json,
    defined_shape,
    open_gate,
    read_definition,
)
from agentguard.integrations.openai.tools import OpenAITools, as_text

if TYPE_CHECKING:
    from agentguard.guard import Guard

_GUARDED: weakref.WeakSet[Any] = weakref.WeakSet()


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
    if tool.execute in _GUARDED:
        raise ConfigurationError(f"`{tool.tool['name']}` is guarded already; wrap the original once")
    function, model = read_definition(tool.tool)
    if tool._parsed_tool is None:
        shape: Shape = WholeShape(JsonShape(function["name"], function["parameters"]))
    else:
        shape = defined_shape(function, model, tool.execute)
    gate = open_gate(guard, function)
    guarded = GuardedFunction(gate, function["name"], function, shape, tool.execute)
    gate.proved(prove(gate, function, tool.execute))
    door = OpenAITools.of([guarded])
    if isinstance(tool, AsyncRegisteredFunction):
        return dataclasses.replace(tool, tool=copy.deepcopy(tool.tool), execute=_async_door(guarded, door))
    return dataclasses.replace(tool, tool=copy.deepcopy(tool.tool), execute=_door(guarded, door))


def registered(function: GuardedFunction, tools: OpenAITools) -> RegisteredFunction:
    """A guarded function as the client's tool runner takes it."""
    return RegisteredFunction(_definition(function), _door(function, tools))


def async_registered(function: GuardedFunction, tools: OpenAITools) -> AsyncRegisteredFunction:
    """A guarded function as the client's asynchronous tool runner takes it."""
    return AsyncRegisteredFunction(_definition(function), _async_door(function, tools))


def _definition(function: GuardedFunction) -> Any:
    return {"type": "function", "strict": False, **function.definition}


def _door(function: GuardedFunction, tools: OpenAITools) -> Any:
    def execute(arguments: Any) -> str:
        try:
            return as_text(function.call(lambda: _plain(arguments), None))
        except Exception as error:
            return tools.explain(function.name, error)

    _GUARDED.add(execute)
    return execute


def _async_door(function: GuardedFunction, tools: OpenAITools) -> Any:
    async def execute(arguments: Any) -> str:
        try:
            return as_text(await function.acall(lambda: _plain(arguments), None))
        except Exception as error:
            return tools.explain(function.name, error)

    _GUARDED.add(execute)
    return execute


def _plain(arguments: object) -> Mapping[str, Any]:
    """The runner hands over a dict, or the model it has parsed the arguments into."""
    if isinstance(arguments, BaseModel):
        return as_json(arguments)
    if not isinstance(arguments, Mapping):
        raise BadArguments("the arguments are not a JSON object")
    return arguments
