"""Proves at wrapping time that each entry to a function refuses: the same entries, a gate that says no, a tripwire."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from agentguard.errors import ConfigurationError, ToolCallDenied
from agentguard.guard.arguments.given import Given
from agentguard.integrations.openai.functions import GuardedFunction

if TYPE_CHECKING:
    from agentguard.guard import Gate

_REFUSED = str(ToolCallDenied("canary"))


class _AnyArguments:
    """A shape that everything fits, so that the call comes as far as the gate."""

    def given(self, values: Mapping[str, Any]) -> Given:
        return Given({})

    def call(self, body: Callable[..., Any], ready: Any) -> Any:
        return body()


class Tools(Protocol):
    """The entries that lead a model's calls to functions."""

    @property
    def has_async(self) -> bool: ...

    def answer(self, message: Any) -> list[Any]: ...

    async def aanswer(self, message: Any) -> list[Any]: ...

    @property
    def registered(self) -> list[Any]: ...

    @property
    def async_registered(self) -> list[Any]: ...


def prove(
    gate: Gate,
    definition: dict[str, Any],
    body: Callable[..., Any],
    tools_of: Callable[[Iterable[GuardedFunction]], Tools],
) -> list[str]:
    """The entries that were seen to refuse. Raises ConfigurationError if one did not, or reached the body."""
    tripped: list[str] = []

    def trap() -> None:
        tripped.append("reached")

    async def atrap() -> None:
        tripped.append("reached")

    trapped = atrap if inspect.iscoroutinefunction(body) else trap
    function = GuardedFunction(gate.canary, gate.name, definition, _AnyArguments(), trapped)
    proof = _Proof(tools_of([function]), gate)
    # A thread of its own: the caller may be inside an event loop.
    thread = threading.Thread(target=proof.run, name="agentguard-canary")
    thread.start()
    thread.join()
    if tripped or proof.problem is not None:
        raise ConfigurationError(f"`{gate.name}` cannot be guarded: {proof.problem or 'its canary reached the tool'}")
    return proof.proved


class _Proof:
    def __init__(self, tools: Tools, gate: Gate) -> None:
        self._tools = tools
        self._gate = gate
        self.proved: list[str] = []
        self.problem: str | None = None
        self._seen = gate.canary.refused

    def run(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:
            self.problem = f"its canary call failed with {type(error).__name__}: {error}"

    async def _run(self) -> None:
        name = self._gate.name
        chat = {"role": "assistant", "tool_calls": [
            {"id": "canary", "type": "function", "function": {"name": name, "arguments": "{}"}},
        ]}  # fmt: skip
        items = [{"type": "function_call", "call_id": "canary", "name": name, "arguments": "{}"}]
        synchronous = not self._tools.has_async
        for form, message in (("chat", chat), ("responses", items)):
            if synchronous:
                self._judge(f"answer({form})", self._tools.answer(message)[0])
            self._judge(f"aanswer({form})", (await self._tools.aanswer(message))[0])
        if self._runner_exists():
            if synchronous:
                self._judge("registered", {"output": self._tools.registered[0].execute({})})
            self._judge("async_registered", {"output": await self._tools.async_registered[0].execute({})})

    @staticmethod
    def _runner_exists() -> bool:
        """Older releases of the client have no tool runner, so no entry there."""
        return importlib.util.find_spec("openai.lib.responses_tool_runner") is not None

    def _judge(self, entry: str, answer: dict[str, Any]) -> None:
        """One more refusal by the canary gate, and its text in the answer."""
        self._seen += 1
        if answer.get("output", answer.get("content")) != _REFUSED or self._gate.canary.refused != self._seen:
            self.problem = f"its entry `{entry}` did not refuse a canary call"
        else:
            self.proved.append(entry)
