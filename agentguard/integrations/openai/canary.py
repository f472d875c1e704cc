"""The entries of a function that a model may call, for the guard to prove that each refuses."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from agentguard.guard.canary import REFUSED
from agentguard.integrations.openai.functions import ArgumentShape, GuardedFunction

if TYPE_CHECKING:
    from agentguard.guard import CanaryGate, Gate


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
    shape: ArgumentShape,
    body: Callable[..., Any],
    tools_of: Callable[[Iterable[GuardedFunction]], Tools],
) -> None:
    """Raises ConfigurationError if an entry did not refuse, or reached the body."""

    def entries(canary: CanaryGate) -> dict[str, Callable[[], Any]]:
        function = GuardedFunction(canary, gate.name, definition, shape, canary.stand_in(body))
        return _entries(tools_of([function]), gate.name)

    gate.prove(entries, refuses=lambda outcome: outcome == str(REFUSED))


def _entries(tools: Tools, name: str) -> dict[str, Callable[[], Any]]:
    """Each gives the text that a model is answered with."""
    chat = {"role": "assistant", "tool_calls": [
        {"id": "canary", "type": "function", "function": {"name": name, "arguments": "{}"}},
    ]}  # fmt: skip
    items = [{"type": "function_call", "call_id": "canary", "name": name, "arguments": "{}"}]

    async def aanswered(message: Any, member: str) -> Any:
        return (await tools.aanswer(message))[0][member]

    found: dict[str, Callable[[], Any]] = {}
    if not tools.has_async:
        found["answer(chat)"] = lambda: tools.answer(chat)[0]["content"]
        found["answer(responses)"] = lambda: tools.answer(items)[0]["output"]
    found["aanswer(chat)"] = lambda: aanswered(chat, "content")
    found["aanswer(responses)"] = lambda: aanswered(items, "output")
    # Older releases of the client have no tool runner, so no entry there; and definitions need no client at all.
    if _has("openai") and _has("openai.lib.responses_tool_runner"):
        if not tools.has_async:
            found["registered"] = lambda: tools.registered[0].execute({})
        found["async_registered"] = lambda: tools.async_registered[0].execute({})
    return found


def _has(module: str) -> bool:
    """Whether it can be imported. Of a module inside a package, the package is looked for first."""
    return importlib.util.find_spec(module) is not None
