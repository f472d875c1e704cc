"""Whether two values are the same, in value and in type. ``==`` of Python does not say it: 1 is True, and 1 is 1.0."""

from __future__ import annotations

import dataclasses
import enum
from collections import deque
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from agentguard.guard.arguments.parts import state


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same in value and in type, at every depth and in the same order."""
    return same_value(one, other, True)


def same_value(one: Any, other: Any, private: bool) -> bool:
    """``private``: whether private attributes of objects count, too."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in EXACT:
        return bool(one == other)
    if kind is float:
        return repr(one) == repr(other)  # minus zero is another number, and NaN is itself
    if isinstance(one, enum.Enum):
        return one is other
    if isinstance(one, Decimal):
        return bool(one.as_tuple() == other.as_tuple())
    if isinstance(one, datetime | time):
        return bool(one == other) and one.utcoffset() == other.utcoffset()
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same_value(a, b, private) and same_value(one[a], other[b], private) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(same_value(a, b, private) for a, b in zip(one, other, strict=True))
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and {_typed(item) for item in one} == {_typed(item) for item in other}
    if isinstance(one, BaseModel):
        return _same_model(one, other, private)
    if dataclasses.is_dataclass(one):
        return same_value(state(one), state(other), private)
    if "__eq__" in {name for cls in kind.__mro__[:-1] for name in vars(cls)}:
        return (one == other) is True
    held = state(one)
    return bool(held) and same_value(held, state(other), private)


def same_members(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """As ``same``, of two objects of JSON: in one go where they hold texts and whole numbers."""
    if len(one) != len(other):
        return False
    for (name, value), (other_name, other_value) in zip(one.items(), other.items(), strict=True):
        kind = type(value)
        if name != other_name or kind is not type(other_value):
            return False
        if value != other_value if kind in EXACT else not same_value(value, other_value, True):
            return False
    return True


EXACT = frozenset({str, int, bool, bytes, type(None), date, timedelta})


def _same_model(one: BaseModel, other: BaseModel, private: bool) -> bool:
    if not same_value(vars(one), vars(other), private):
        return False
    if not same_value(one.__pydantic_extra__, other.__pydantic_extra__, private):
        return False
    if private and not same_value(one.__pydantic_private__, other.__pydantic_private__, private):
        return False
    if one.__pydantic_fields_set__ != other.__pydantic_fields_set__:
        # What was given and what is a default is part of the value (exclude_unset); JSON cannot say it.
        object.__setattr__(other, "__pydantic_fields_set__", set(one.__pydantic_fields_set__))
    return True


def _typed(item: Any) -> Any:
    """A set's element with its type: for Python, 1 is True."""
    if isinstance(item, tuple):
        return (type(item), *map(_typed, item))
    return (type(item), frozenset(map(_typed, item))) if isinstance(item, frozenset) else (type(item), item)


JSON_KINDS: dict[type, str] = {
    bool: "truth", int: "number", float: "number", str: "text", type(None): "nothing", list: "list", dict: "object",
}  # fmt: skip


def same_json(one: Any, other: Any) -> bool:
    if JSON_KINDS[type(one)] == "number" == JSON_KINDS.get(type(other)):
        return bool(one == other)  # JSON has one kind of number: 5 and 5.0
    return same(one, other)
