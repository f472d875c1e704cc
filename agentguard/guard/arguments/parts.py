"""What a value holds, and a model and its JSON side by side."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.fields import FieldInfo

from agentguard.core.canonical import MAX_DEPTH
from agentguard.core.values import Json

# Each level of a value may be an object with members of its own; deeper values have no canonical form anyway.
DEEPEST = 2 * MAX_DEPTH
ABSENT: Any = object()


def members(model: BaseModel) -> dict[str, Any]:
    """What a model holds, by name, extra members too. By its own data: an extra may have the name of a method."""
    return {**vars(model), **(model.__pydantic_extra__ or {})}


def state(value: Any) -> dict[str, Any]:
    """The attributes of an object, in slots too."""
    slots = [slot for cls in type(value).__mro__ for slot in _slots(cls)]
    held = {slot: getattr(value, slot) for slot in slots if hasattr(value, slot)}
    return {**held, **getattr(value, "__dict__", {})}


def _slots(cls: type) -> tuple[str, ...]:
    found = vars(cls).get("__slots__", ())
    names = (found,) if isinstance(found, str) else tuple(found)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


@lru_cache(maxsize=4096)
def fields(model: type[BaseModel]) -> tuple[tuple[str, tuple[str, ...], FieldInfo], ...]:
    """A model's fields: the name, every name that the field may have in JSON, and what pydantic knows of it."""
    found = []
    for name, info in model.model_fields.items():
        keys: list[Any] = [name, info.alias, info.serialization_alias]
        alias = info.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        keys += [choice.path[0] if isinstance(choice, AliasPath) else choice for choice in choices]
        found.append((name, tuple(dict.fromkeys(key for key in keys if isinstance(key, str))), info))
    return tuple(found)


def shown_name(model: type[BaseModel], name: str) -> str:
    """A field as its caller knows it."""
    info = model.model_fields.get(name)
    return name if info is None or info.alias is None else info.alias


def beside(read: Any, written: Json) -> Iterator[tuple[Any, Any, Json]]:
    """The parts of a value, each with its key in the JSON that was written of it; none where the two do not match."""
    if isinstance(read, BaseModel) and isinstance(written, dict):
        for name, keys, _ in fields(type(read)):
            key = next((key for key in keys if key in written), None)
            if key is not None and name in vars(read):
                yield vars(read)[name], key, written[key]
        for name, value in (read.__pydantic_extra__ or {}).items():
            if name in written:
                yield value, name, written[name]
    elif isinstance(read, dict) and isinstance(written, dict) and len(read) == len(written):
        for value, (key, item) in zip(read.values(), written.items(), strict=True):
            yield value, key, item
    elif isinstance(read, list | tuple | deque) and isinstance(written, list) and len(read) == len(written):
        for index, (value, item) in enumerate(zip(read, written, strict=True)):
            yield value, index, item
    elif dataclasses.is_dataclass(read) and isinstance(written, dict):
        for name, value in state(read).items():
            if name in written:
                yield value, name, written[name]
