"""Guards plain functions, async functions, generators and async generators: same name, signature and type."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Optional, Protocol

from agentguard.core.values import Json
from agentguard.errors import ConfigurationError, ToolCallDenied, ToolCallRefused
from agentguard.guard.arguments.signature import Signature, hints_of
from agentguard.guard.canary import CanaryGate
from agentguard.guard.gate import Gate

_GUARDED: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()


class MakesGates(Protocol):
    """What wrapping needs of a guard."""

    def gate(
        self, name: str, *, definition: Json, framework: str, suspends: Callable[[BaseException], bool] | None = None
    ) -> Gate:
        """The gate of one tool."""


class WrongArguments(ToolCallDenied, TypeError, ValueError):
    """Denied, because the arguments cannot be read. Whoever catches Python's own error for that catches this, too."""


def _told(error: Exception, refused: ToolCallRefused) -> WrongArguments:
    return WrongArguments(refused.decision_id, refused.hint)


def is_guarded(function: object) -> bool:
    """Whether this very object came out of ``guard.wrap``."""
    try:
        return function in _GUARDED
    except TypeError:
        return False


def wrap_function(guard: MakesGates, function: Callable[..., Any]) -> Callable[..., Any]:
    """A guarded function. Raises ConfigurationError for what could not be guarded."""
    name = getattr(function, "__name__", type(function).__name__)
    if not inspect.isroutine(function) or inspect.isbuiltin(function):
        raise ConfigurationError(f"`{name}` cannot be guarded: it is not a function or method; write a `def` around it")
    if is_guarded(function):
        raise ConfigurationError(f"`{name}` is guarded already; wrap the original once and use the result everywhere")
    signature = Signature.of(function)
    definition = {"name": name, "description": inspect.getdoc(function) or "", "parameters": signature.schema()}
    gate = guard.gate(name, definition=definition, framework="function")
    guarded = _door(gate, signature, function)
    gate.prove(lambda canary: {"call": _door(canary, signature, canary.stand_in(function))})
    gate.opens(*_by_json(gate, signature, function))
    return guarded


def _by_json(
    gate: Gate, signature: Signature, function: Callable[..., Any]
) -> tuple[Callable[[dict[str, Json]], Any] | None, Callable[[dict[str, Json]], Any] | None]:
    """How the function is called with arguments as JSON, now and in a task; None where it is not."""

    def run(ready: tuple[list[Any], dict[str, Any]]) -> Any:
        args, kwargs = ready
        return function(*args, **kwargs)

    def call(values: dict[str, Json]) -> Any:
        return gate.call(lambda change: signature.given_json(values if change is None else change(values)), run)

    async def acall(values: dict[str, Json]) -> Any:
        return await gate.acall(lambda change: signature.given_json(values if change is None else change(values)), run)

    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        return None, None
    return (None, acall) if inspect.iscoroutinefunction(function) else (call, None)


def _door(gate: Gate | CanaryGate, signature: Signature, function: Callable[..., Any]) -> Callable[..., Any]:
    guarded: Callable[..., Any]

    def run(ready: tuple[list[Any], dict[str, Any]]) -> Any:
        args, kwargs = ready
        return function(*args, **kwargs)

    if inspect.isasyncgenfunction(function):

        def guarded_asyncgen(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            return gate.astream(lambda change: signature.given(args, kwargs, change), run, told=_told)

        guarded = guarded_asyncgen
    elif inspect.isgeneratorfunction(function):

        def guarded_generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            return gate.stream(lambda change: signature.given(args, kwargs, change), run, told=_told)

        guarded = guarded_generator
    elif inspect.iscoroutinefunction(function):

        async def guarded_async(*args: Any, **kwargs: Any) -> Any:
            return await gate.acall(lambda change: signature.given(args, kwargs, change), run, told=_told)

        guarded = guarded_async
    else:

        def guarded_function(*args: Any, **kwargs: Any) -> Any:
            return gate.call(lambda change: signature.given(args, kwargs, change), run, told=_told)

        guarded = guarded_function
    for attribute in ("__name__", "__doc__", "__module__"):
        setattr(guarded, attribute, getattr(function, attribute, None))
    guarded.__qualname__ = own_place(function)
    # As types: as text, a framework would read them in this module.
    guarded.__annotations__ = {name: hint for name, hint in hints_of(function).items() if name not in gate.hidden}
    vars(guarded)["__signature__"] = _shown_signature(signature.signature, gate.hidden, gate.optional)
    for name in gate.optional & guarded.__annotations__.keys():
        guarded.__annotations__[name] = _or_none(guarded.__annotations__[name])
    _GUARDED.add(guarded)
    return guarded


def _shown_signature(
    signature: inspect.Signature, hidden: frozenset[str], optional: frozenset[str]
) -> inspect.Signature:
    """The signature without what the guard fills. What it may fill can be left out, and is given by its name."""
    if not hidden and not optional:
        return signature
    kept, open_ = [], []
    for name, parameter in signature.parameters.items():
        if name in optional and parameter.default is parameter.empty:
            hint = _or_none(parameter.annotation)
            open_.append(parameter.replace(kind=parameter.KEYWORD_ONLY, default=None, annotation=hint))
        elif name not in hidden:
            kept.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
    return signature.replace(parameters=[*kept, *open_])


def _or_none(hint: Any) -> Any:
    if hint is inspect.Parameter.empty:
        return hint
    return f"{hint} | None" if isinstance(hint, str) else Optional[hint]  # noqa: UP045 - not every hint knows `|`


def own_place(function: Callable[..., Any]) -> str:
    """A qualified name under which nobody finds the original.

    Pickle writes a function as the place where it stands. A worker process that imports the module finds the function
    there that was never wrapped, or not yet.
    """
    return f"{getattr(function, '__qualname__', type(function).__qualname__)}.<locals>.guarded"
