"""The context objects that frameworks hand to a tool beside its arguments.

A model cannot send one: it holds the application's session, its keys and its connections. So it is neither judged nor
recorded, and handed on as it came. Rules:

1. A parameter is a context where its annotation names a context class of a framework, and nothing else but None.
2. Such a parameter takes an object of such a class and nothing else: whatever a model could write is refused.
3. Where a context cannot be told from an argument (a union with text, a list of contexts, a dict), the function is not
   wrapped, and the error names the parameter.

Classes are told by their package and name, so no framework is imported.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from agentguard.errors import ConfigurationError

_CONTEXTS = frozenset({
    ("agents", "RunContextWrapper"),  # openai-agents; its ToolContext is one, too
    ("agent_framework", "FunctionInvocationContext"), ("agno", "RunContext"), ("autogen_core", "CancellationToken"),
    ("fastmcp", "Context"), ("google", "ReadonlyContext"), ("haystack", "State"),
    ("langchain_core", "BaseRunManager"), ("langchain_core", "BaseCallbackManager"),
    ("langgraph", "ToolRuntime"), ("langgraph", "Runtime"), ("langgraph", "BaseStore"),
    ("livekit", "RunContext"), ("llama_index", "Context"), ("workflows", "Context"),
    ("mcp", "Context"), ("mcp", "BaseContext"), ("mcp", "RequestContext"), ("mcp", "ServerRequestContext"),
    ("mcp", "BaseSession"), ("pydantic_ai", "RunContext"), ("strands", "ToolContext"),
})  # fmt: skip
# Plain dicts at run time: a model could have written one.
_DICTS = frozenset({("langchain_core", "RunnableConfig")})
# Frameworks fill in a parameter of this name even where no annotation says what it is.
_BY_NAME = {"tool_context": "ADK"}
_MOST_HINTS = 2_000
# What JSON is read into: no context is of one of these very types.
_DATA = frozenset({str, int, float, bool, type(None), list, dict})


def is_context(value: object) -> bool:
    """Whether this object is a framework's context, by its type."""
    kind: Any = type(value)
    return _is_context_type(kind)


def takes_context(function: str, parameter: inspect.Parameter, hint: Any) -> bool:
    """Whether a parameter is set aside for a context. Raises ConfigurationError where that cannot be told."""
    name = parameter.name
    if hint is Any and parameter.annotation is parameter.empty and name in _BY_NAME:
        raise ConfigurationError(
            f"`{function}` cannot be guarded: `{name}` has no annotation, and {_BY_NAME[name]} fills it in by its "
            "name; annotate it with the class of its context, or call it something else"
        )
    leaves = [leaf for leaf in _alternatives(hint) if leaf is not type(None)]
    contexts = [leaf for leaf in leaves if _is_context_class(leaf)]
    if contexts and len(contexts) == len(leaves):
        return True
    found = contexts or list(filter(_names_context, _parts(hint)))
    if found:
        kind = getattr(found[0], "__name__", str(found[0]))
        remedy = f"give the function one parameter of type `{kind}` and of no other"
        if not _DICTS.isdisjoint(_kinds(found[0])):
            remedy = "make a LangChain tool of it with `@tool`, and wrap that"
        raise ConfigurationError(
            f"`{function}` cannot be guarded: `{name}` may hold a `{kind}`, which cannot be told from an argument "
            f"there; {remedy}"
        )
    return False


def check_context(name: str, value: object, parameter: inspect.Parameter, hint: Any) -> None:
    """Raises TypeError where what was given for a context is none."""
    may_be_none = parameter.default is None or type(None) in _alternatives(hint)
    if not (is_context(value) or (value is None and may_be_none)):
        raise TypeError(f"`{name}` takes the context of a framework, and {type(value).__name__} is none")


def refuse_contexts(values: typing.Mapping[str, object]) -> None:
    """Raises TypeError where an argument is a context: it would be judged, and written down with all it holds."""
    for name in contexts_in(values):
        kind = type(values[name]).__name__
        raise TypeError(f"`{name}` was given a {kind}; annotate it so, and it is no argument")


def contexts_in(values: typing.Mapping[str, object]) -> list[str]:
    """The names of those that are contexts, in order."""
    found: list[str] = []
    for name, value in values.items():
        if type(value) not in _DATA and is_context(value):
            found.append(name)
    return found


@lru_cache(maxsize=4096)
def _is_context_type(kind: type) -> bool:
    """Asked about the type of every argument."""
    return _is_context_class(kind)


def _is_context_class(kind: Any) -> bool:
    return not _CONTEXTS.isdisjoint(_kinds(kind))


def _names_context(kind: Any) -> bool:
    return not (_CONTEXTS | _DICTS).isdisjoint(_kinds(kind))


def _kinds(kind: Any) -> frozenset[tuple[str, str]]:
    kind = get_origin(kind) or kind
    if not isinstance(kind, type):
        return frozenset()
    return frozenset((cls.__module__.partition(".")[0], cls.__name__) for cls in kind.__mro__)


def _alternatives(hint: Any) -> Iterator[Any]:
    """What a hint names: each member of a union, without its metadata."""
    origin = get_origin(hint)
    if origin is Annotated:
        yield from _alternatives(get_args(hint)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(hint):
            yield from _alternatives(member)
    elif hasattr(hint, "__value__"):  # a name for a type (`type X = ...`)
        yield from _alternatives(hint.__value__)
    else:
        yield hint


def _parts(hint: Any) -> Iterator[Any]:
    """Every type that a hint is made of: arguments of generics, and members of models, dataclasses and typed dicts."""
    pending, seen = [hint], set[int]()
    while pending and len(seen) < _MOST_HINTS:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if not _names_context(part):
            named = [getattr(part, name, None) for name in ("__value__", "__bound__", "__supertype__")]
            pending += [*named, *get_args(part), *_members(get_origin(part) or part)]


def _members(kind: Any) -> list[Any]:
    if not isinstance(kind, type):
        return []
    if issubclass(kind, BaseModel):
        return [info.annotation for info in kind.model_fields.values()]
    if dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
        try:
            return list(typing.get_type_hints(kind).values())
        except Exception:  # pydantic reads it, or refuses it
            return []
    return []
