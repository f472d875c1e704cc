"""What cannot be guarded is refused here, before anything is wrapped, and what is no entry of a tool is named.

A subclass may change what a tool does (``_run``, ``_arun``) and how it describes itself. Whatever else of LangChain's
it overrides could reach the tool without passing the guard, so the rule is an allow-list: what is not known to be
harmless is refused. What it adds of its own, a method or something that can be called, is shut on the guarded tool: the
tool's body still reaches it, on the original, and nobody else does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import BaseModel

from agentguard.errors import ConfigurationError
from agentguard.guard.functions import is_guarded

# What a subclass may define although BaseTool has it too: none of these runs the tool.
_MAY_OVERRIDE = frozenset({
    "_run", "_arun", "_injected_args_keys", "args", "is_single_input", "tool_call_schema", "get_input_schema",
    "get_input_jsonschema", "get_output_schema", "get_output_jsonschema", "get_name", "is_lc_serializable",
    "get_lc_namespace", "lc_id", "lc_secrets", "lc_attributes", "to_json", "InputType", "OutputType", "config_specs",
    "model_post_init", "__init__", "__init_subclass__", "__pydantic_init_subclass__", "__repr__", "__str__", "__eq__",
    "__hash__", "__class_getitem__", "__repr_args__",
})  # fmt: skip
# Fields of BaseTool, StructuredTool and Tool whose values may be called.
_MAY_CALL = frozenset({"func", "coroutine", "callbacks", "handle_tool_error", "handle_validation_error", "args_schema"})
_LIBRARIES = frozenset({"langchain_core", "pydantic", "typing", "abc", "builtins"})
# What Python itself writes into every class. Types in it can be called, and none is an entry of the tool.
_PYTHONS = frozenset({
    "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__conditional_annotations__",
    "__dict__", "__doc__", "__firstlineno__", "__match_args__", "__module__", "__orig_bases__", "__parameters__",
    "__qualname__", "__static_attributes__", "__type_params__", "__weakref__",
})  # fmt: skip
_CALLS = frozenset({"__call__", "__getattr__", "__getattribute__", "__setattr__", "__reduce__", "__reduce_ex__"})


def check_tool(tool: BaseTool) -> None:
    """Raises ConfigurationError, with the remedy, for a tool with a door that could not be shut."""
    for rule in (_no_own_entries, _no_callable_attributes, _no_odd_bodies):
        for problem in rule(tool):
            raise ConfigurationError(f"`{tool.name}` cannot be guarded: {problem}")


def own_members(tool: BaseTool) -> frozenset[str]:
    """Members that the developer's classes add, which would run unguarded: they are to be shut."""
    return frozenset(
        name
        for name, value in _written(tool)
        if not name.startswith("_") and not isinstance(value, property | classmethod) and not hasattr(BaseTool, name)
    )


def own_attributes(tool: BaseTool) -> frozenset[str]:
    """Attributes of this object that hold something to call, which would run unguarded: they are to be shut."""
    return frozenset(
        name
        for name, value in _attributes(tool)
        if not name.startswith("_") and not hasattr(BaseTool, name) and name not in BaseTool.model_fields
        and _callable_inside(value)
    )  # fmt: skip


def _no_own_entries(tool: BaseTool) -> Iterator[str]:
    """Methods of LangChain's, and ways to reach anything, that the developer's own classes define."""
    for name, _ in _written(tool):
        if (hasattr(BaseTool, name) and not hasattr(object, name)) or name in _CALLS:
            verb = "defines" if name in _CALLS else "overrides"
            yield f"its class {verb} `{name}`; move the work into `_run`, or guard a plain function instead"


def _written(tool: BaseTool) -> Iterator[tuple[str, Any]]:
    """What the developer's own classes hold that runs, or could, and is not known to be harmless."""
    for cls in type(tool).__mro__:
        if cls.__module__.partition(".")[0] in _LIBRARIES:
            continue
        decorated = _decorated(cls)
        for name, value in vars(cls).items():
            runs = inspect.isroutine(value) or isinstance(value, property) or hasattr(value, "__get__")
            if not runs and not _callable_inside(value):
                continue
            harmless = name in _MAY_OVERRIDE or name in _PYTHONS or name in decorated
            if not (harmless or inspect.isclass(value) or _from_pydantic(name, value)):
                yield name, value


def _decorated(cls: type) -> frozenset[str]:
    """Validators and serialisers, which pydantic calls and nobody else."""
    known = getattr(cls, "__pydantic_decorators__", None)
    if known is None:
        return frozenset()
    groups = ("validators", "field_validators", "root_validators", "field_serializers", "model_serializers",
              "model_validators", "computed_fields")  # fmt: skip
    return frozenset(name for group in groups for name in getattr(known, group, {}))


def _from_pydantic(name: str, value: object) -> bool:
    return name.startswith(("__pydantic", "__private", "__abstract", "_abc", "__signature__", "__slots__")) or (
        type(value).__module__.partition(".")[0] in ("pydantic", "_abc")
    )


def _attributes(tool: BaseTool) -> Iterator[tuple[str, Any]]:
    private = tool.__pydantic_private__ or {}
    for name, value in {**tool.__dict__, **(tool.__pydantic_extra__ or {}), **private}.items():
        if not (name in _MAY_CALL or name.startswith("_tool_call_schema") or name == "_injected_args_keys"):
            yield name, value


def _no_callable_attributes(tool: BaseTool) -> Iterator[str]:
    """LangChain's own attributes, where this object replaced them or calls through them."""
    for name, value in _attributes(tool):
        if hasattr(BaseTool, name) and name not in type(tool).model_fields:
            yield f"its `{name}` was replaced on this object; wrap a tool as its class made it"
        elif name in BaseTool.model_fields and _callable_inside(value):
            yield f"its attribute `{name}` can be called and would run unguarded; keep it in a private attribute"


def _callable_inside(value: object, depth: int = 3) -> bool:
    if inspect.isclass(value):
        return False
    if callable(value) or isinstance(value, Runnable):
        return True
    if depth == 0 or isinstance(value, str | bytes):
        return False
    children: Any = ()
    if isinstance(value, dict):
        children = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        children = value
    return any(_callable_inside(child, depth - 1) for child in children)


def _no_odd_bodies(tool: BaseTool) -> Iterator[str]:
    """Bodies whose work would begin only after the guard has gone."""
    func: Callable[..., Any] | None = getattr(tool, "func", None)
    coroutine: Callable[..., Any] | None = getattr(tool, "coroutine", None)
    if "func" in type(tool).model_fields and func is None and coroutine is None:
        yield "it has neither `func` nor `coroutine`"
    for body in (func, coroutine):
        if body is not None and is_guarded(body):
            yield "its function is guarded already; make the tool from the original function, then wrap the tool"
    for place, body in (("func", func), ("_run", type(tool)._run)):
        if inspect.iscoroutinefunction(body):
            yield f"its `{place}` is async; pass it as `coroutine`, or name it `_arun`"
    for body in (func, coroutine, type(tool)._run, type(tool)._arun):
        if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
            yield "it is a generator, so its work would begin after the call; return a list, or guard the function"
    if isinstance(tool.args_schema, type) and not issubclass(tool.args_schema, BaseModel):
        yield "its args_schema is a pydantic 1 model; write it as a pydantic 2 model"
