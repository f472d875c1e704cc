"""What a tool may hand back: data. Work that has yet to run, or that goes on by itself, would run past the guard.

Rules:

1. Data is listed: JSON values, bytes, dates and other plain values, containers of these, dataclasses, pydantic models,
   messages of frameworks, tables and arrays of the usual libraries, HTTP responses that were read whole, exceptions,
   and objects with attributes alone.
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
from collections.abc import Callable, Iterable, Mapping
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
_COMMON = frozenset({dict, list, tuple})
_PLAIN = (
    *(int, float, complex, str, bytes, bytearray, memoryview, array.array, range, slice, enum.Enum),
    *(date, time, timedelta, tzinfo, Decimal, Fraction, UUID, PurePath, re.Pattern, re.Match, type(...)),
    *(IPv4Address, IPv6Address, IPv4Network, IPv6Network, subprocess.CompletedProcess),
)
_IN_MEMORY = frozenset({BytesIO, StringIO})
_ROWS = (list, tuple, set, frozenset, deque)
_EMPTIES: tuple[dict[str, Any], ...] = ({}, OrderedDict())
_VIEWS = frozenset(type(view()) for one in _EMPTIES for view in (one.keys, one.values, one.items))
_HOLDERS = frozenset({MappingProxyType, ChainMap, UserDict, UserList})
# With one of these of its own, a container may make what it hands out.
_LOOKED_UP = ("__iter__", "__getitem__", "__missing__", "get", "items", "values", "keys")
# What a lookup in a defaultdict may make.
_EMPTY = frozenset({type(None), list, dict, set, int, float, str, bool, tuple, Counter, OrderedDict})
# Package and class: data of libraries, whose insides are not looked into.
_KNOWN = frozenset({
    ("numpy", "generic"), ("numpy", "dtype"), ("pandas", "NaTType"), ("pandas", "NAType"), ("pandas", "BaseOffset"),
    ("pandas", "Interval"), ("pandas", "Period"), ("pandas", "ExtensionArray"), ("pandas", "ExtensionDtype"),
    ("polars", "DataFrame"), ("polars", "Series"),
    ("pyarrow", "Table"), ("pyarrow", "RecordBatch"), ("pyarrow", "Array"), ("pyarrow", "ChunkedArray"),
    ("pyarrow", "Scalar"), ("PIL", "Image"), ("torch", "Tensor"), ("asyncpg", "Record"), ("google", "Message"),
    ("bson", "ObjectId"), ("bson", "Decimal128"), ("bson", "DBRef"), ("bson", "Timestamp"), ("pymongo", "_WriteResult"),
    ("shapely", "BaseGeometry"), ("xml", "Element"), ("xml", "ElementTree"), ("email", "Message"),
    ("pydantic", "_BaseUrl"), ("pydantic_core", "Url"), ("pydantic_core", "MultiHostUrl"), ("pydantic", "_SecretBase"),
    ("httpx", "URL"), ("httpx", "Headers"), ("httpx2", "URL"), ("httpx2", "Headers"), ("yarl", "URL"),
    ("multidict", "MultiDict"), ("multidict", "CIMultiDict"), ("requests", "CaseInsensitiveDict"),
    ("elastic_transport", "HttpHeaders"), ("packaging", "Version"), ("psycopg", "Range"), ("dateutil", "relativedelta"),
})  # fmt: skip
# Data of libraries that may hold any object, and what it holds. (An array of numbers holds none.)
_HOLDING: dict[tuple[str, str], Callable[[Any], Iterable[Any]]] = {
    ("numpy", "ndarray"): lambda array: array.ravel().tolist() if array.dtype.hasobject else (),
    ("pandas", "DataFrame"): lambda frame: [*frame.dtypes.index, *(frame.iloc[:, at] for at in range(frame.shape[1]))],
    ("pandas", "Series"): lambda series: series.tolist() if series.dtype == object else (),
    ("pandas", "Index"): lambda index: index.tolist() if index.dtype == object else (),
    ("sqlite3", "Row"): tuple,
    ("sqlalchemy", "Row"): tuple,
    ("sqlalchemy", "RowMapping"): lambda row: tuple(row.values()),
    ("elastic_transport", "ApiResponse"): lambda answer: (answer.body,),
}
# An answer over HTTP is data once its body was read whole. Before that, reading it is work.
_RESPONSES = frozenset({("requests", "Response"), ("httpx", "Response"), ("httpx2", "Response")})
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
    "__ge__", "__init_subclass__", "__class_getitem__", "__post_init__", "__len__", "__bool__", "__format__",
    "__contains__", "__bytes__", "__int__", "__float__", "__index__", "__complex__", "__round__", "__abs__", "__neg__",
    "__pos__", "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__",
    "__floordiv__", "__mod__", "__divmod__", "__pow__", "__and__", "__or__", "__xor__", "__invert__", "__copy__",
    "__deepcopy__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__setattr__",
    "__delattr__", "__dir__", "__sizeof__", "__rich_repr__", "__match_args__",
})  # fmt: skip
_MOST_STOPPED = 1_000


def refuse_work(result: Any, name: str) -> None:
    """Raises ConfigurationError where a result, or a part of it, is not data."""
    found = () if type(result) in _SCALARS else _not_data(result)
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
    seen: dict[int, Any] = {}  # and kept: what is made here to be looked at would leave its id to another
    pending = [result]
    while pending and len(found) < _MOST_STOPPED:
        value = pending.pop()
        if type(value) in _SCALARS or id(value) in seen:
            continue
        seen[id(value)] = value
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
    if kind in _COMMON:
        return [*value, *value.values()] if kind is dict else value
    if issubclass(kind, enum.Enum):
        return (value._value_,)
    names = _names(kind)
    if issubclass(kind, _PLAIN) or kind in _IN_MEMORY or not _KNOWN.isdisjoint(names):
        return ()
    holding = next((_HOLDING[name] for name in names if name in _HOLDING), None)
    if holding is not None:
        return holding(value)
    if not _RESPONSES.isdisjoint(names):
        return () if _was_read(vars(value)) else None
    if _defines(kind, *_DOORS):
        return None
    if issubclass(kind, dict):
        return _of_dict(kind, value)
    if issubclass(kind, _ROWS):
        return None if _own(kind, "__iter__", "__getitem__") else [*value, *_attributes(kind, value)]
    if kind in _VIEWS:
        return list(value)
    if kind in _HOLDERS or (issubclass(kind, UserDict | UserList) and not _own(kind, *_LOOKED_UP)):
        return [*value.keys(), *value.values()] if not issubclass(kind, UserList) else list(value)
    if issubclass(kind, BaseModel):
        lazy = _own(kind, "__iter__", "__getattr__", "__getattribute__") and not issubclass(kind, RootModel)
        hidden = [*(value.__pydantic_extra__ or {}).values(), *(value.__pydantic_private__ or {}).values()]
        return None if lazy else [*vars(value).values(), *hidden]
    if ("pydantic", "BaseModel") in names:  # of pydantic 1
        return None if _own(kind, "__iter__", "__getattr__", "__getattribute__") else list(vars(value).values())
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
    if _own(kind, *_LOOKED_UP):
        return None
    if issubclass(kind, defaultdict) and value.default_factory not in _EMPTY and value.default_factory is not None:
        return None
    return [*dict.keys(value), *dict.values(value), *_attributes(kind, value)]


def _was_read(held: Mapping[str, Any]) -> bool:
    """Whether the whole body of an HTTP response is in memory, by what the object holds."""
    no_more = held.get("_content_consumed", True) is True or held.get("raw", ...) is None
    return type(held.get("_content")) is bytes and no_more


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
