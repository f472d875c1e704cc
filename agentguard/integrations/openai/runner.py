"""Guarded functions as the OpenAI client's own tool runner calls them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

from openai.lib.responses_tool_runner import AsyncRegisteredFunction, RegisteredFunction
from pydantic import BaseModel

from agentguard.integrations.openai.functions import BadArguments, GuardedFunction, as_json
from agentguard.integrations.openai.texts import as_text

# What the model is told of a function's exception; it raises those that are for people.
Explain = Callable[[str, Exception], str]
_GUARDED: weakref.WeakSet[Any] = weakref.WeakSet()


def is_guarded(execute: object) -> bool:
    """Whether the runner would call a guarded function."""
    return execute in _GUARDED


def registered(function: GuardedFunction, explain: Explain) -> RegisteredFunction:
    """A guarded function as the client's tool runner takes it."""
    return RegisteredFunction(shown_definition(function), guarded_execute(function, explain))


def async_registered(function: GuardedFunction, explain: Explain) -> AsyncRegisteredFunction:
    """A guarded function as the client's asynchronous tool runner takes it."""
    return AsyncRegisteredFunction(shown_definition(function), async_guarded_execute(function, explain))


def shown_definition(function: GuardedFunction) -> Any:
    """What the runner offers to the model."""
    return {"type": "function", "strict": False, **function.definition}


def guarded_execute(function: GuardedFunction, explain: Explain) -> Any:
    """What the runner calls in place of the function."""

    def execute(arguments: Any) -> str:
        try:
            return as_text(function.call(lambda: _plain(arguments), None))
        except Exception as error:
            return explain(function.name, error)

    _GUARDED.add(execute)
    return execute


def async_guarded_execute(function: GuardedFunction, explain: Explain) -> Any:
    """As ``guarded_execute``, for the asynchronous runner."""

    async def execute(arguments: Any) -> str:
        try:
            return as_text(await function.acall(lambda: _plain(arguments), None))
        except Exception as error:
            return explain(function.name, error)

    _GUARDED.add(execute)
    return execute


def _plain(arguments: object) -> Mapping[str, Any]:
    """The runner hands over a dict, or the model it has parsed the arguments into."""
    if isinstance(arguments, BaseModel):
        return as_json(arguments)
    if not isinstance(arguments, Mapping):
        raise BadArguments("the arguments are not a JSON object")
    return arguments
