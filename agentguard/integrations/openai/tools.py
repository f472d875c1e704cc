"""Answers every tool call of a model's message; each one runs only through its gate.

Rules:
1. Every call id is answered, once.
2. A refusal is answered with its safe text: that it was refused, and the decision id.
3. A call that cannot be read (unknown tool, not JSON, a member given twice, wrong types) runs nothing, is denied on
   record, and is answered with what is wrong. A message that cannot be trusted as a whole (an id twice, too many calls,
   cut short) runs nothing.
4. A tool's own exception is answered with a neutral text; ``on_error`` sees it, and may raise. LedgerError and
   ConfigurationError always raise: they are for people, not for a model.
5. Calls run one after another, in the message's order.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from agentguard.errors import AgentGuardError, ConfigurationError, ToolCallRefused
from agentguard.guard import CanaryGate
from agentguard.integrations.openai.calls import Call, Said, read_calls, well_formed
from agentguard.integrations.openai.canary import prove
from agentguard.integrations.openai.functions import (
    BadArguments,
    GuardedFunction,
    guard_entry,
    read_arguments,
)

if TYPE_CHECKING:
    from openai.lib.responses_tool_runner import AsyncRegisteredFunction, RegisteredFunction

    from agentguard.guard import Gate, Guard

OnError = Callable[[str, Exception], str | None]
NO_SUCH_TOOL = "there is no such tool"
_LOG = logging.getLogger("agentguard")


class OpenAITools:
    """Guarded functions for a model: their definitions, and the answers to its calls."""

    def __init__(self, guard: Guard, functions: Iterable[Any], *, on_error: OnError | None = None) -> None:
        """Guard plain functions, async functions, and (definition, implementation) pairs.

        ``on_error`` gets a tool's name and its own exception, and returns the text for the model (None: a neutral one).
        Raises ConfigurationError for what could not be guarded.
        """
        self._functions: dict[str, GuardedFunction] = {}
        self._on_error = on_error
        self._stray: Callable[[str], Gate | CanaryGate] = partial(guard.stray_gate, framework="openai")
        for entry in functions:
            gate, definition, shape, body = guard_entry(guard, entry)
            if definition["name"] in self._functions:
                raise ConfigurationError(f"two functions are called `{definition['name']}`")
            function = GuardedFunction(gate, definition["name"], definition, shape, body)
            gate.proved(prove(gate, definition, body))
            self._functions[function.name] = function

    @classmethod
    def of(cls, functions: Iterable[GuardedFunction], *, on_error: OnError | None = None) -> OpenAITools:
        """Tools made of functions that have their gates already."""
        made = cls.__new__(cls)
        made._functions = {function.name: function for function in functions}
        made._on_error = on_error
        made._stray = lambda name: CanaryGate()
        return made

    @property
    def has_async(self) -> bool:
        """Whether some function is async, so that only ``aanswer`` can answer its calls."""
        return any(function.asynchronous for function in self._functions.values())

    @property
    def chat_tools(self) -> list[Any]:
        """For ``client.chat.completions.create(tools=...)``."""
        return [{"type": "function", "function": function.definition} for function in self._functions.values()]

    @property
    def responses_tools(self) -> list[Any]:
        """For ``client.responses.create(tools=...)``."""
        return [{"type": "function", "strict": False, **f.definition} for f in self._functions.values()]

    def answer(self, message: Any) -> list[Any]:
        """Run the calls of a message and answer each: what to append to ``messages`` or ``input``.

        Takes a chat completion, its message, a response, or a response's output items. Raises ConfigurationError for
        tools executed outside the guard and for async functions (use ``aanswer``), LedgerError where nothing could run.
        What is raised between two calls has the answers of those that came before as ``answers``.
        """
        calls = read_calls(message)
        for call in calls:
            function = self._functions.get(call.name)
            if call.problem is None and function is not None and function.asynchronous:
                raise ConfigurationError(f"`{call.name}` is async; use `await tools.aanswer(...)`")
        answers: list[Any] = []
        with _carrying(answers):
            for call in calls:
                said = self._text(call)
                answers.append(call.answer(said))
        return answers

    async def aanswer(self, message: Any) -> list[Any]:
        """As ``answer``, on this task. Functions that are not async run on a thread."""
        answers: list[Any] = []
        with _carrying(answers):
            for call in read_calls(message):
                said = await self._atext(call)
                answers.append(call.answer(said))
        return answers

    @cached_property
    def registered(self) -> list[RegisteredFunction]:
        """For the client's own ``ResponsesToolRunner(functions=...)``."""
        from agentguard.integrations.openai.registered import registered

        return [registered(function, self) for function in self._functions.values() if not function.asynchronous]

    @cached_property
    def async_registered(self) -> list[AsyncRegisteredFunction]:
        """For the client's own ``AsyncResponsesToolRunner(functions=...)``."""
        from agentguard.integrations.openai.registered import async_registered

        return [async_registered(function, self) for function in self._functions.values()]

    def _text(self, call: Call) -> Said:
        function, problem = self._look_up(call)
        try:
            if function is None:
                self._stray(call.name).misread(problem, call_id=call.id)
                return Said(_error(problem))
            return Said(as_text(function.call(lambda: read_arguments(call.arguments), call.id)))
        except Exception as error:
            artifact = error.artifact if isinstance(error, ToolCallRefused) else None
            return Said(self.explain(call.name, error), artifact)

    async def _atext(self, call: Call) -> Said:
        function, problem = self._look_up(call)
        try:
            if function is None:
                await self._stray(call.name).amisread(problem, call_id=call.id)
                return Said(_error(problem))
            return Said(as_text(await function.acall(lambda: read_arguments(call.arguments), call.id)))
        except Exception as error:
            artifact = error.artifact if isinstance(error, ToolCallRefused) else None
            return Said(self.explain(call.name, error), artifact)

    def _look_up(self, call: Call) -> tuple[GuardedFunction | None, str]:
        """The function that a call may run, or why there is none."""
        if call.problem is not None:
            return None, call.problem
        return self._functions.get(call.name), NO_SUCH_TOOL

    def explain(self, name: str, error: Exception) -> str:
        """What the model is told of an exception. Raises those that are for people."""
        if isinstance(error, ToolCallRefused):
            return str(error)
        if isinstance(error, AgentGuardError):
            raise error
        if isinstance(error, BadArguments):
            return _error(str(error))
        said = None if self._on_error is None else self._on_error(name, error)
        if said is None:
            _LOG.warning("the tool `%s` failed: %s", name, type(error).__name__)
        return _error("the tool failed") if said is None else said


@contextmanager
def _carrying(answers: list[Any]) -> Iterator[None]:
    """Whatever is raised has the answers so far: what ran must not be lost, or it would run again."""
    try:
        yield
    except BaseException as error:
        with suppress(AttributeError, TypeError):  # an exception of the developer's that takes no attributes
            error.answers = answers  # type: ignore[attr-defined]
        raise


def as_text(result: object) -> str:
    """A tool's result as a model reads it: text as it is, anything else as JSON. Both can be sent and read by anybody.

    JSON has no NaN and no infinity, so they are null.
    """
    if isinstance(result, str):
        return well_formed(result)
    try:
        written = _written(result)
        if written is None:  # found by their letters; a model's own settings may have put them there
            written = to_json(_whole(to_jsonable_python(result)))
        return written.decode()
    except (PydanticSerializationError, ValueError, RecursionError):
        return _error("the tool ran, but its result cannot be written as JSON")


def _written(result: object) -> bytes | None:
    """As JSON; None where there may be something in it that is not."""
    try:
        written = to_json(result, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError):
        return None
    return None if b"NaN" in written or b"Infinity" in written else written


def _whole(value: Any) -> Any:
    """The same of what JSON has: text that can be written, and numbers that are some."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _error(text: str) -> str:
    return json.dumps({"error": well_formed(text)})
