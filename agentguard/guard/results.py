"""What a tool may hand back: data. Work that has yet to run, or that goes on by itself, would run past the guard.

Rules:

1. Data is listed: JSON values, bytes, dates and other plain values, containers of these, dataclasses, pydantic models,
   messages of frameworks, tables and arrays of the usual libraries, exceptions, and objects with attributes alone.
2. What is not listed is refused, at any depth: functions, iterators, coroutines, context managers, threads, processes.
   Objects of listed kinds are refused, too, where their class can be called, entered, awaited or iterated in its own
   way.
3. The work is stopped where that can be done. The tool has run, so the outcome says that it failed.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import dataclasses
import enum
import re
import subprocess
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Iterable
from concurrent.futures import Future
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from io import BytesIO, StringIO
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from types import CoroutineType, GeneratorType, MappingProxyType, SimpleNamespace
from typing import Any
from uuid import UUID

from pydantic import BaseModel, RootModel

from agentguard.errors import ConfigurationError

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_PLAIN = (
    *(int, float, complex, str, bytes, bytearray, memoryview, array.array, range, slice, enum.Enum),
    *(date, time, timedelta, tzinfo, Decimal, Fraction, UUID, PurePath, re.Pattern),
    *(IPv4Address, IPv6Address, IPv4Network, IPv6Network, subprocess.CompletedProcess),
)
_IN_MEMORY = frozenset({BytesIO, StringIO})
_ROWS = (list, tuple, set, frozenset, deque)
_VIEWS = frozenset({type({}.keys()), type({}.values()), type({}.items())})
_HOLDERS = frozenset({MappingProxyType, ChainMap, UserDict, UserList})
# What a lookup in a defaultdict may make.
_EMPTY = frozenset({type(None), list, dict, set, int, float, str, bool, tuple, Counter, OrderedDict})
# Package and class: data of libraries, whose insides are not looked into.
_KNOWN = frozenset({
    ("numpy", "ndarray"), ("numpy", "generic"), ("pandas", "DataFrame"), ("pandas", "Series"), ("pandas", "Index"),
    ("pandas", "NaTType"), ("pandas", "NAType"), ("polars", "DataFrame"), ("polars", "Series"), ("pyarrow", "Table"),
    ("pyarrow", "RecordBatch"), ("pyarrow", "Array"), ("pyarrow", "ChunkedArray"), ("pyarrow", "Scalar"),
    ("PIL", "Image"), ("torch", "Tensor"), ("sqlite3", "Row"), ("sqlalchemy", "Row"), ("asyncpg", "Record"),
    ("google", "Message"), ("bson", "ObjectId"), ("shapely", "BaseGeometry"), ("xml", "Element"),
    ("pydantic", "_BaseUrl"), ("pydantic_core", "Url"), ("pydantic_core", "MultiHostUrl"), ("pydantic", "_SecretBase"),
})  # fmt: skip
# Packages whose own classes are messages and results of tools; what is inside of them is looked at.
_FRAMEWORKS = frozenset({
    "langchain_core", "langgraph", "mcp", "mcp_types", "fastmcp", "pydantic_ai", "agents", "openai", "anthropic",
    "google", "autogen_core", "agent_framework", "llama_index", "haystack", "agno", "strands", "smolagents", "crewai",
})  # fmt: skip
# A class with one of these runs something when it is used: called, entered, awaited, iterated.
_DOORS = ("__call__", "__enter__", "__aenter__", "__await__", "__next__", "__anext__", "__aiter__", "invoke")
# What a class may define that holds nothing but attributes.
_HARMLESS = frozenset({
    "__init__", "__new__", "__repr__", "__str__", "__eq__", "__ne__", "__hash__", "__lt__", "__le__", "__gt__",
    "__ge__", "__init_subclass__", "__class_getitem__", "__post_init__", "__len__", "__bool__",
})  # fmt: skip
_MOST_STOPPED = 1_000


def refuse_work(result: Any, name: str) -> None:
    """Raises ConfigurationError where a result, or a part of it, is not data."""
    found = _not_data(result)
    if not found:
        return
    for part in found:
        _stop(part)
    kind = type(found[0])
    raise ConfigurationError(
        f"`{name}` hands back a {kind.__module__}.{kind.__qualname__}, which is no data: it may have yet to run, or go "
        "on by itself. Finish the work in the tool and return what came of it: JSON values, bytes, dates, dataclasses, "
        "pydantic models. Write the tool itself as `async def`, or, where it is a plain function, with `yield`"
    )


def makes_context_manager(function: Any) -> bool:
    """Whether calling this only makes a context manager, whose work begins when somebody enters it."""
    return getattr(function, "__globals__", None) is vars(contextlib)


def _not_data(result: Any) -> list[Any]:
    """The parts of a result that are no data, up to a bound. Without recursion, and each part once."""
    found: list[Any] = []
    seen: set[int] = set()
    pending = [result]
    while pending and len(found) < _MOST_STOPPED:
        value = pending.pop()
        if type(value) in _SCALARS or id(value) in seen:
            continue
        seen.add(id(value))
        try:
            parts = _parts(type(value), value)
        except Exception:  # what cannot be looked at cannot be taken for data
            parts = None
        if parts is None:
            found.append(value)
        else:
            pending += [part for part in parts if type(part) not in _SCALARS]
    return found


def _parts(kind: type, value: Any) -> Iterable[Any] | None:
    """What a value holds; None where it is not data. By its type: a result may lie about its class."""
    if issubclass(kind, _PLAIN) or kind in _IN_MEMORY or not _KNOWN.isdisjoint(_names(kind)):
        return ()
    if _defines(kind, *_DOORS):
        return None
    if issubclass(kind, dict):
        return _of_dict(kind, value)
    if issubclass(kind, _ROWS):
        return None if _own(kind, "__iter__", "__getitem__") else list(value)
    if kind in _VIEWS:
        return list(value)
    if kind in _HOLDERS:
        return [*value.keys(), *value.values()] if kind is not UserList else list(value)
    if issubclass(kind, BaseModel):
        lazy = _own(kind, "__iter__", "__getattr__", "__getattribute__") and not issubclass(kind, RootModel)
        return None if lazy else [*vars(value).values(), *(value.__pydantic_extra__ or {}).values()]
    if issubclass(kind, BaseException):
        return list(value.args)
    if _defines(kind, "__iter__") or _own(kind, "__getattribute__", "__getattr__"):
        return None
    shaped = dataclasses.is_dataclass(kind) or hasattr(kind, "__attrs_attrs__") or hasattr(kind, "__struct_fields__")
    framework = not _FRAMEWORKS.isdisjoint(package for package, _ in _names(kind))
    if shaped or framework or kind is SimpleNamespace or _only_attributes(kind):
        return _attributes(kind, value)
    return None


def _of_dict(kind: type, value: Any) -> Iterable[Any] | None:
    if _own(kind, "__iter__", "__getitem__", "__missing__", "get", "items", "values", "keys"):
        return None
    if issubclass(kind, defaultdict) and value.default_factory not in _EMPTY and value.default_factory is not None:
        return None
    return [*dict.keys(value), *dict.values(value)]


def _defines(kind: type, *names: str) -> bool:
    """Whether one of its classes defines one of these. (Every class can be called: to make an object.)"""
    return any(name in vars(cls) for cls in kind.__mro__[:-1] for name in names)


def _own(kind: type, *names: str) -> bool:
    """Whether a class that an application wrote defines one of these."""
    own = [cls for cls in kind.__mro__ if cls.__module__.partition(".")[0] not in _LIBRARIES]
    return any(name in vars(cls) for cls in own for name in names)


_LIBRARIES = frozenset(
    {"builtins", "types", "collections", "typing", "pydantic", "langchain_core", "langgraph", "enum"}
)


def _names(kind: type) -> frozenset[tuple[str, str]]:
    return frozenset((cls.__module__.partition(".")[0], cls.__name__) for cls in kind.__mro__)


def _only_attributes(kind: type) -> bool:
    """Whether nothing of a class could do any work later: it has no methods and no computed attributes."""
    if kind.__mro__[-2].__module__ == "builtins":  # functions, modules and the like
        return False
    for cls in kind.__mro__[:-1]:
        for name, member in vars(cls).items():
            computed = hasattr(member, "__get__") and not isinstance(member, type) and name not in _HARMLESS
            if computed and name not in ("__dict__", "__weakref__") and name not in _slots(cls):
                return False
    return True


def _attributes(kind: type, value: Any) -> list[Any]:
    held = [slot for cls in kind.__mro__ for slot in _slots(cls) if hasattr(value, slot)]
    return [*(getattr(value, slot) for slot in held), *getattr(value, "__dict__", {}).values()]


def _slots(cls: type) -> tuple[str, ...]:
    found = vars(cls).get("__slots__", ())
    return (found,) if isinstance(found, str) else tuple(found)


def _stop(part: Any) -> None:
    """Stop the work, where that runs none of it."""
    kind = type(part)
    with contextlib.suppress(Exception):
        if issubclass(kind, GeneratorType | CoroutineType):
            part.close()
        elif issubclass(kind, Future | asyncio.Future):
            part.cancel()
        elif issubclass(kind, subprocess.Popen):
            part.kill()
            part.wait(1)
