"""Which adapter guards a tool, and what a tool says of itself, as wrapping reads it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.guard.functions import MakesGates, is_guarded, wrap_function

ADAPTERS = "agentguard.adapters"


def wrap_one(guard: MakesGates, tool: Any) -> Any:
    """Guard one tool: a function, or a tool of a framework with an adapter. Raises ConfigurationError."""
    adapter = None if is_guarded(tool) else _adapter_for(tool)
    return wrap_function(guard, tool) if adapter is None else adapter.load()(guard, tool)


def definition_of(tool: Any) -> Json:
    """The name, description and parameters under which a guard would wrap this tool. Nothing is wrapped or called.

    Raises ConfigurationError for what could not be wrapped, as far as that shows before a policy lists it.
    """
    try:
        wrap_one(_Reader(), tool)
    except _Read as read:
        return read.definition
    raise ConfigurationError(f"`{type(tool).__name__}` cannot be guarded: its adapter asks for no gate")


class _Read(BaseException):
    """Carries a definition past whatever an adapter catches."""

    def __init__(self, definition: Json) -> None:
        super().__init__()
        self.definition = definition


class _Reader:
    """Stands where a guard would, and makes no gate: it only hears what tool one was asked for."""

    def gate(
        self, name: str, *, definition: Json, framework: str, suspends: Callable[[BaseException], bool] | None = None
    ) -> NoReturn:
        """Hand the definition back."""
        raise _Read(definition)


def _adapter_for(tool: object) -> EntryPoint | None:
    """The adapter of the framework that one of the tool's classes comes from."""
    roots = [cls.__module__.partition(".")[0] for cls in type(tool).__mro__]
    found = {entry.name: entry for entry in entry_points(group=ADAPTERS)}
    return next((found[root] for root in roots if root in found), None)
