"""Makes the guarded class: every way into the tool ends in a gate.

The gate and the original body live in closures of the class, not in attributes of the object, so copies, deep copies
and objects made in any other way from this class are guarded too.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import weakref
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, Tool, ToolException
from langchain_core.tools.base import FILTERED_ARGS, _get_runnable_config_param
from pydantic import BaseModel

from agentguard.errors import CallRepeated, ConfigurationError, ToolCallRefused
from agentguard.guard import CanaryGate, Gate
from agentguard.guard.arguments.late import Change
from agentguard.guard.arguments.misfits import binder
from agentguard.guard.arguments.signature import hints_of
from agentguard.guard.functions import own_place
from agentguard.integrations.langchain.arguments import Arguments, Read, body_of
from agentguard.integrations.langchain.guardable import own_attributes, own_members
from agentguard.integrations.langchain.hints import config_parameter, parameters_of
from agentguard.integrations.langchain.refusals import answer_refusal, answer_repetition, raise_refusal
from agentguard.integrations.langchain.turns import known_as
from agentguard.policy.json_schema.shown import shown_schema

_GUARDED: weakref.WeakSet[type] = weakref.WeakSet()
# What may change on a guarded tool: how it is watched and how its own errors are answered. Nothing that was judged.
_MAY_SET = frozenset({
    "callbacks", "tags", "metadata", "verbose", "handle_tool_error", "handle_validation_error", "return_direct",
    "extras", "_tool_call_schema_memo",
})  # fmt: skip


def is_guarded_tool(tool: BaseTool) -> bool:
    """Whether this object, or the one it was copied from, came out of ``guard.wrap``."""
    return any(cls in _GUARDED for cls in type(tool).__mro__)


@dataclass(frozen=True, slots=True)
class _Given:
    """What the framework was given, unread; passed from LangChain's ``run`` to our ``_run``."""

    tool_input: Any
    call_id: str | None


def shut_doors(tool: BaseTool, gate: Gate | CanaryGate, arguments: Arguments) -> BaseTool:
    """A copy of the tool whose every entry goes through the gate. The tool itself is not changed."""
    original = BaseModel.__copy__(tool)
    original.__dict__.pop("_injected_args_keys", None)
    cls = type(tool)
    guarded = BaseModel.__copy__(tool)
    guarded.__dict__.pop("_injected_args_keys", None)
    for name, make in (("func", _func_door), ("coroutine", _coroutine_door)):
        body = guarded.__dict__.get(name)
        if body is not None:
            guarded.__dict__[name] = make(gate, arguments, body)
    for name in own_attributes(tool):
        held = guarded.__dict__ if name in guarded.__dict__ else guarded.__pydantic_extra__ or {}
        held[name] = _shut(tool.name, name)
    shut = {name: _shut(tool.name, name) for name in own_members(tool)}
    made = subclass(cls, shut | _namespace(cls, original, gate, arguments))
    _GUARDED.add(made)
    object.__setattr__(guarded, "__class__", made)
    return guarded


def _shut(tool: str, name: str) -> Callable[..., Any]:
    """In place of what a developer's class adds: on the guarded tool nobody reaches it."""

    def shut(*_: Any, **__: Any) -> NoReturn:
        raise ConfigurationError(
            f"`{name}` of `{tool}` is shut on the guarded tool, because it would run unguarded; "
            "use it on the original, or guard it as a tool of its own"
        )

    shut.__name__ = name
    return shut


def subclass(cls: type[BaseTool], members: dict[str, Any]) -> type[BaseTool]:
    """A class that looks like ``cls`` in every way but these members."""
    looks = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    metaclass: Any = type(cls)
    made: type[BaseTool] = metaclass(cls.__name__, (cls,), {**members, **looks})
    return made


def _namespace(
    cls: type[BaseTool], original: BaseTool, gate: Gate | CanaryGate, arguments: Arguments
) -> dict[str, Any]:
    """The members of the guarded class."""
    call, acall = _body(original, original._run), _body(original, _async_target(original), original._arun)
    fits, afits = _fits(original, arguments, awaited=False), _fits(original, arguments, awaited=True)
    hidden = frozenset(FILTERED_ARGS) | arguments.injected

    # Not methods: they need nothing of the object, and LangChain asks for the signature of ``self._run`` at every call,
    # which of a function takes a tenth of the time that it takes of a method.
    def _run(*args: Any, config: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return gate.call(
            lambda change: _read(arguments, args, kwargs, change).for_body(fits),
            lambda ready: call(ready, config, run_manager),
            call_id=known_as(_call_id(args)),
        )

    async def _arun(*args: Any, config: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return await gate.acall(
            lambda change: _read(arguments, args, kwargs, change).for_body(afits),
            lambda ready: acall(ready, config, run_manager),
            call_id=known_as(_call_id(args)),
        )

    # LangChain reads these annotations at every call, to see what it must pass: none are read quickly.
    for entry, awaited in ((_run, False), (_arun, True)):
        entry.__annotations__ = {"config": RunnableConfig} if _takes_config(original, awaited=awaited) else {}
        vars(entry)["__signature__"] = inspect.signature(entry)  # it asks for that at every call, too

    if isinstance(gate, Gate):
        waits_only = isinstance(original, StructuredTool | Tool) and original.func is None
        gate.opens(
            None if waits_only else lambda values: _run(_Given(values, None)),
            lambda values: _arun(_Given(values, None)),
        )

    def run(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return cls.run(self, tool_input, *args, **kwargs)
        except ToolCallRefused as refused:
            return answer_refusal(self.name, kwargs.get("tool_call_id"), refused)
        except CallRepeated as repeated:
            return answer_repetition(self.name, kwargs.get("tool_call_id"), repeated)

    async def arun(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await cls.arun(self, tool_input, *args, **kwargs)
        except ToolCallRefused as refused:
            return answer_refusal(self.name, kwargs.get("tool_call_id"), refused)
        except CallRepeated as repeated:
            return answer_repetition(self.name, kwargs.get("tool_call_id"), repeated)

    run.__signature__ = inspect.signature(cls.run)  # type: ignore[attr-defined]
    arun.__signature__ = inspect.signature(cls.arun)  # type: ignore[attr-defined]

    def _to_args_and_kwargs(self: BaseTool, tool_input: Any, tool_call_id: str | None) -> Any:
        return (_Given(tool_input, tool_call_id),), {}

    def _filter_injected_args(self: BaseTool, tool_input: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in tool_input.items() if name not in hidden}

    def get_input_schema(self: BaseTool, config: RunnableConfig | None = None) -> Any:
        return original.get_input_schema(config)

    def model_copy(self: BaseTool, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> BaseTool:
        _only_settable(self, update or {})
        return cls.model_copy(self, update=update, deep=deep)

    def copy_of(self: BaseTool, *, update: Mapping[str, Any] | None = None, deep: bool = False, **_: Any) -> BaseTool:
        return self.model_copy(update=update, deep=deep)

    def __setattr__(self: BaseTool, name: str, value: Any) -> None:
        _only_settable(self, {name: value})
        cls.__setattr__(self, name, value)

    def __reduce_ex__(self: BaseTool, protocol: Any) -> NoReturn:
        raise ConfigurationError(
            f"`{self.name}` is guarded and cannot be pickled; build the tool and wrap it where it will be used"
        )

    members: dict[str, Any] = {
        "_run": staticmethod(_run),
        "_arun": staticmethod(_arun),
        "run": run,
        "arun": arun,
        "_to_args_and_kwargs": _to_args_and_kwargs,
        "_filter_injected_args": _filter_injected_args,
        "get_input_schema": get_input_schema,
        "_injected_args_keys": property(lambda _: arguments.injected),
        "model_copy": model_copy,
        "copy": copy_of,
        "__setattr__": __setattr__,
        "__reduce_ex__": __reduce_ex__,
    }
    if gate.hidden or gate.optional:
        shown = shown_schema(arguments.schema, gate.hidden, gate.optional)
        members["tool_call_schema"] = property(
            lambda self: {**copy.deepcopy(shown), "title": self.name, "description": self.description}
        )
        members["args"] = property(lambda _: copy.deepcopy(shown["properties"]))
    return members


def _read(arguments: Arguments, args: tuple[Any, ...], kwargs: dict[str, Any], change: Change | None) -> Read:
    if len(args) == 1 and type(args[0]) is _Given:
        return arguments.from_framework(args[0].tool_input, args[0].call_id, change)
    return arguments.from_code(args, kwargs, change)


def _call_id(args: tuple[Any, ...]) -> str | None:
    given = args[0].call_id if len(args) == 1 and type(args[0]) is _Given else None
    return given if isinstance(given, str) else None


def _only_settable(tool: BaseTool, changes: Mapping[str, Any]) -> None:
    for name in changes.keys() - _MAY_SET:
        raise ConfigurationError(
            f"`{name}` of `{tool.name}` cannot be changed once it is guarded; change the original and wrap that"
        )


Fits: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


def _fits(original: BaseTool, arguments: Arguments, *, awaited: bool) -> Fits:
    """Raises, before the call is admitted, what the framework would raise on the way to the body."""
    body = body_of(original)
    if isinstance(original, StructuredTool | Tool) and type(original)._run in (StructuredTool._run, Tool._run):
        body = (original.coroutine if awaited else None) or original.func
    filled_in = dict.fromkeys(p.name for p in parameters_of(body) if p.name in arguments.runtime)
    bind = None if body is None or arguments.single is not None else binder(body)

    def fits(values: dict[str, Any]) -> dict[str, Any]:
        if body is None and not awaited and isinstance(original, StructuredTool | Tool):
            raise NotImplementedError(f"{type(original).__name__} does not support sync invocation.")
        if bind is not None:
            bind({**filled_in, **values} if filled_in else values)
        return values

    return fits


def _async_target(original: BaseTool) -> Callable[..., Any]:
    """The method whose signature says what LangChain passes to ``_arun``."""
    own = type(original)._arun is not BaseTool._arun
    return original._arun if own else original._run


def _body(
    original: BaseTool, reads: Callable[..., Any], target: Callable[..., Any] | None = None
) -> Callable[[dict[str, Any], Any, Any], Any]:
    """Calls the original ``_run`` or ``_arun`` with what LangChain would have passed."""
    func = _own_function(original, awaited=target is not None)
    if func is not None:
        return _function_body(func)
    target = reads if target is None else target
    config_name = config_parameter(reads)
    manager = "run_manager" in {parameter.name for parameter in parameters_of(reads)}
    single = isinstance(original, Tool)

    def body(values: dict[str, Any], config: Any, run_manager: Any) -> Any:
        if config_name is not None:
            values[config_name] = {} if config is None else config
        if manager:
            values["run_manager"] = run_manager
        if not single:
            return target(**values)
        given = [values.pop(name) for name in list(values) if name not in (config_name, "run_manager")]
        if len(given) != 1:
            raise ToolException(f"`{original.name}` takes one argument; use StructuredTool for more")
        return target(*given, **values)

    return body


def _takes_config(original: BaseTool, *, awaited: bool) -> bool:
    """Whether what is called in the end is handed the config of the call."""
    func = _own_function(original, awaited=awaited)
    if func is not None:
        return _get_runnable_config_param(func) is not None
    return config_parameter(_async_target(original) if awaited else original._run) is not None


def _own_function(original: BaseTool, *, awaited: bool) -> Callable[..., Any] | None:
    """The function that LangChain's own ``_run`` or ``_arun`` would call; None where the tool has one of its own."""
    if not isinstance(original, StructuredTool):
        return None
    if awaited:
        return original.coroutine if type(original)._arun is StructuredTool._arun else None
    return original.func if type(original)._run is StructuredTool._run else None


def _function_body(func: Callable[..., Any]) -> Callable[[dict[str, Any], Any, Any], Any]:
    """Calls a function as ``StructuredTool`` does. It reads the annotations of the function at each call, to see what
    it must pass; they never change, so they are read once."""
    config_name = _get_runnable_config_param(func)
    callbacks = "callbacks" in {parameter.name for parameter in parameters_of(func)}

    def body(values: dict[str, Any], config: Any, run_manager: Any) -> Any:
        for taken in ("config", "run_manager"):  # its own parameters are called so
            values.pop(taken, None)
        if callbacks and run_manager:
            values["callbacks"] = run_manager.get_child()
        if config_name is not None:
            values[config_name] = {} if config is None else config
        return func(**values)

    return body


def _func_door(gate: Gate | CanaryGate, arguments: Arguments, func: Callable[..., Any]) -> Callable[..., Any]:
    fits, invoke = _direct(func, arguments)

    def guarded_func(*args: Any, **kwargs: Any) -> Any:
        try:
            return gate.call(lambda change: arguments.from_code(args, kwargs, change).for_body(fits), invoke)
        except ToolCallRefused as refused:
            raise_refusal(refused)

    return _disguise(guarded_func, func)


def _coroutine_door(
    gate: Gate | CanaryGate, arguments: Arguments, func: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    fits, invoke = _direct(func, arguments)

    async def guarded_coroutine(*args: Any, **kwargs: Any) -> Any:
        try:
            return await gate.acall(lambda change: arguments.from_code(args, kwargs, change).for_body(fits), invoke)
        except ToolCallRefused as refused:
            raise_refusal(refused)

    return _disguise(guarded_coroutine, func)


def _direct(func: Callable[..., Any], arguments: Arguments) -> tuple[Fits, Callable[[dict[str, Any]], Any]]:
    """Calls the original function, by position where its parameters have no names to call them by."""
    by_position = [parameter.name for parameter in parameters_of(func) if parameter.kind is parameter.POSITIONAL_ONLY]
    if arguments.single is not None:
        by_position = [arguments.single]

    def invoke(ready: dict[str, Any]) -> Any:
        return func(*[ready.pop(name) for name in by_position if name in ready], **ready)

    return binder(func, by_position), invoke


def _disguise(door: Callable[..., Any], func: Callable[..., Any]) -> Callable[..., Any]:
    """The name and signature of the original, and no way back to it (no ``__wrapped__``)."""
    for name in ("__name__", "__doc__", "__module__", "__annotations__"):
        if hasattr(func, name):
            setattr(door, name, getattr(func, name))
    door.__qualname__ = own_place(func)
    # As types: as text, a framework that looks for injected arguments would read them in this module.
    with contextlib.suppress(NameError, TypeError, ValueError):
        door.__annotations__ = hints_of(func)
    door.__signature__ = inspect.signature(func)  # type: ignore[attr-defined]
    return door
