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

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from agentguard.errors import CallRepeated, ConfigurationError, ToolCallRefused
from agentguard.guard import CanaryGate
from agentguard.integrations.openai.calls import Call, Said, read_calls
from agentguard.integrations.openai.canary import prove
from agentguard.integrations.openai.functions import (
    GuardedFunction,
    guard_entry,
    read_arguments,
)
from agentguard.integrations.openai.texts import OnError, as_error, as_text, explain

if TYPE_CHECKING:
    from openai.lib.responses_tool_runner import AsyncRegisteredFunction, RegisteredFunction

    from agentguard.guard import Gate, Guard

NO_SUCH_TOOL = "there is no such tool"


class OpenAITools:
    """Guarded functions for a model: their definitions, and the answers to its calls."""

    def __init__(self, guard: Guard, functions: Iterable[Any], *, on_error: OnError | None = None) -> None:
        """Guard plain functions, async functions, and (definition, implementation) pairs.

        ``on_error`` gets a tool's name and its own exception, and returns the text for the model (None: a neutral one).
        Raises ConfigurationError for what could not be guarded.
        """
        self._functions: dict[str, GuardedFunction] = {}
        self._explain = partial(explain, on_error=on_error)
        self._stray: Callable[[str], Gate | CanaryGate] = partial(guard.stray_gate, framework="openai")
        for entry in functions:
            gate, definition, shape, body = guard_entry(guard, entry)
            if definition["name"] in self._functions:
                raise ConfigurationError(f"two functions are called `{definition['name']}`")
            function = GuardedFunction(gate, definition["name"], definition, shape, body)
            prove(gate, definition, shape, body, OpenAITools.of)
            self._functions[function.name] = function

    @classmethod
    def of(cls, functions: Iterable[GuardedFunction], *, on_error: OnError | None = None) -> OpenAITools:
        """Tools made of functions that have their gates already."""
        made = cls.__new__(cls)
        made._functions = {function.name: function for function in functions}
        made._explain = partial(explain, on_error=on_error)
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
        from agentguard.integrations.openai.runner import registered

        return [registered(f, self._explain) for f in self._functions.values() if not f.asynchronous]

    @cached_property
    def async_registered(self) -> list[AsyncRegisteredFunction]:
        """For the client's own ``AsyncResponsesToolRunner(functions=...)``."""
        from agentguard.integrations.openai.runner import async_registered

        return [async_registered(f, self._explain) for f in self._functions.values()]

    def _text(self, call: Call) -> Said:
        function, problem = self._look_up(call)
        try:
            if function is None:
                self._stray(call.name).deny(problem, call_id=call.id)
                return Said(as_error(problem))
            return Said(as_text(function.call(lambda: read_arguments(call.arguments), call.known_as)))
        except Exception as error:
            artifact = error.artifact if isinstance(error, ToolCallRefused | CallRepeated) else None
            return Said(self._explain(call.name, error), artifact)

    async def _atext(self, call: Call) -> Said:
        function, problem = self._look_up(call)
        try:
            if function is None:
                await self._stray(call.name).adeny(problem, call_id=call.id)
                return Said(as_error(problem))
            return Said(as_text(await function.acall(lambda: read_arguments(call.arguments), call.known_as)))
        except Exception as error:
            artifact = error.artifact if isinstance(error, ToolCallRefused | CallRepeated) else None
            return Said(self._explain(call.name, error), artifact)

    def _look_up(self, call: Call) -> tuple[GuardedFunction | None, str]:
        """The function that a call may run, or why there is none."""
        if call.problem is not None:
            return None, call.problem
        return self._functions.get(call.name), NO_SUCH_TOOL


@contextmanager
def _carrying(answers: list[Any]) -> Iterator[None]:
    """Whatever is raised has the answers so far: what ran must not be lost, or it would run again."""
    try:
        yield
    except BaseException as error:
        with suppress(AttributeError, TypeError):  # an exception of the developer's that takes no attributes
            error.answers = answers  # type: ignore[attr-defined]
        raise
