"""Guards plain functions, async functions, generators and async generators: same name, signature and type."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NoReturn, Optional, Protocol

from agentguard.core.values import Json
from agentguard.errors import ConfigurationError, ToolCallDenied, ToolCallRefused
from agentguard.guard.arguments.given import Given
from agentguard.guard.arguments.signature import Signature, hints_of
from agentguard.guard.canary import CanaryGate
from agentguard.guard.gate import Gate

_GUARDED: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()


class MakesGates(Protocol):
    """What wrapping needs of a guard."""

    def gate(self, name: str, *, definition: Json, framework: str) -> Gate:
        """The gate of one tool."""


class WrongArguments(ToolCallDenied, TypeError, ValueError):
    """Denied, because the arguments cannot be read. Whoever catches Python's own error for that catches this, too."""


def _wrong(refused: ToolCallRefused) -> WrongArguments:
    return WrongArguments(refused.decision_id, refused.hint)


def _told(error: Exception, refused: ToolCallRefused) -> WrongArguments:
    return _wrong(refused)


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
    _canary(gate, signature, function)
    gate.proved(["call"])
    return guarded


def _door(gate: Gate | CanaryGate, signature: Signature, function: Callable[..., Any]) -> Callable[..., Any]:
    guarded: Callable[..., Any]
    if inspect.isasyncgenfunction(function):

        def guarded_asyncgen(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            try:
                arguments = gate.given(lambda change: signature.given(args, kwargs, change), _told)
            except Exception as error:
                return _misread_stream(gate, error)  # recorded and raised at the first item: here nobody can wait
            return gate.astream(arguments, _runner(function))

        guarded = guarded_asyncgen
    elif inspect.isgeneratorfunction(function):

        def guarded_generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                arguments = gate.given(lambda change: signature.given(args, kwargs, change), _told)
            except Exception as error:
                raise _wrong(gate.misread(error)) from error
            return gate.stream(arguments, _runner(function))

        guarded = guarded_generator
    elif inspect.iscoroutinefunction(function):

        async def guarded_async(*args: Any, **kwargs: Any) -> Any:
            try:
                arguments = gate.given(lambda change: signature.given(args, kwargs, change), _told)
            except Exception as error:
                raise _wrong(await gate.amisread(error)) from error
            return await gate.acall(arguments, _runner(function))

        guarded = guarded_async
    else:

        def guarded_function(*args: Any, **kwargs: Any) -> Any:
            try:
                arguments = gate.given(lambda change: signature.given(args, kwargs, change), _told)
            except Exception as error:
                raise _wrong(gate.misread(error)) from error
            return gate.call(arguments, _runner(function))

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


async def _misread_stream(gate: Gate | CanaryGate, error: Exception) -> AsyncIterator[Any]:
    yield await _misread(gate, error)


async def _misread(gate: Gate | CanaryGate, error: Exception) -> NoReturn:
    raise _wrong(await gate.amisread(error)) from error


def _runner(function: Callable[..., Any]) -> Callable[[tuple[list[Any], dict[str, Any]]], Any]:
    def run(ready: tuple[list[Any], dict[str, Any]]) -> Any:
        args, kwargs = ready
        return function(*args, **kwargs)

    return run


def _canary(gate: Gate, signature: Signature, function: Callable[..., Any]) -> None:
    """Call the same door over a gate that refuses: the body must not be reached."""
    tripped: list[str] = []

    class _AnyArguments(Signature):
        def given(self, args: Any, kwargs: Any, change: Any = None) -> Given:
            return Given({})

    stand_in = _same_kind(function, tripped)
    door = _door(
        gate.canary,
        _AnyArguments(signature.signature, signature.fields, signature.codec),
        stand_in,
    )
    try:
        _exhaust(door())
    except ToolCallDenied:
        if not tripped and gate.canary.refused:
            return
    raise ConfigurationError(f"`{gate.name}` cannot be guarded: its canary call was not refused")


def _same_kind(function: Callable[..., Any], tripped: list[str]) -> Callable[..., Any]:
    async def asyncgen() -> AsyncIterator[None]:
        tripped.append("reached")
        yield

    def generator() -> Iterator[None]:
        tripped.append("reached")
        yield

    async def coroutine() -> None:
        tripped.append("reached")

    def plain() -> None:
        tripped.append("reached")

    if inspect.isasyncgenfunction(function):
        return asyncgen
    if inspect.isgeneratorfunction(function):
        return generator
    return coroutine if inspect.iscoroutinefunction(function) else plain


def _exhaust(result: Any) -> None:
    """Drive a canary's result to its first step, without an event loop."""
    if inspect.iscoroutine(result):
        result.send(None)
    elif hasattr(result, "__anext__"):
        result.__anext__().send(None)
    elif hasattr(result, "__next__"):
        next(result)
