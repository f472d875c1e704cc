"""What is written of a value as JSON: that it can be read again, in one order, and with nothing that nobody gave."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Any

from pydantic import BaseModel, RootModel
from pydantic_core import PydanticUndefined

from agentguard.core.canonical import NotCanonical, canonical_bytes
from agentguard.guard.arguments.misfits import Misfit
from agentguard.guard.arguments.parts import ABSENT, DEEPEST, beside, fields, members, state
from agentguard.guard.arguments.same import EXACT, JSON_KINDS, same, same_json


def readable_again(value: Any, where: str, depth: int) -> None:
    """Raises Misfit for a value that only one reader can read. Writing it as JSON would use it up."""
    kind = type(value)
    if kind in EXACT or kind is float:
        return
    if depth > DEEPEST:
        raise Misfit(where, "is nested too deep")
    if any(hasattr(kind, entry) for entry in ("__next__", "__anext__", "__await__")):
        raise Misfit(where, "can be read only once; give a list")
    if isinstance(value, dict):
        for key, item in value.items():
            readable_again(key, where, depth + 1)
            readable_again(item, where, depth + 1)
    elif isinstance(value, list | tuple | deque | set | frozenset):
        for item in value:
            readable_again(item, where, depth + 1)
    elif isinstance(value, BaseModel):
        for item in members(value).values():
            readable_again(item, where, depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in state(value).values():
            readable_again(item, where, depth + 1)


def settle(read: Any, written: Any, where: str) -> None:
    """Put what was written of sets in one order: they are written in the order in which they were filled.

    Raises Misfit for a serializer that writes another text, number or truth than the value is: that would be judged.
    """
    if isinstance(read, RootModel) and isinstance(written, list | dict):
        return settle(read.root, written, where)
    for part, key, item in beside(read, written):
        value = part.root if isinstance(part, RootModel) else part
        place = str(key) if where == "(all)" else where
        if type(value) in JSON_KINDS and not isinstance(value, list | dict) and not same_json(value, item):
            raise Misfit(place, "is judged as another value than it is: take the serializer out of its type")
        if isinstance(value, set | frozenset) and isinstance(item, list):
            try:
                written[key] = sorted(item, key=canonical_bytes)
            except NotCanonical:
                continue  # refused when all of it becomes canonical
        elif isinstance(item, dict | list):
            settle(value, item, place)
    return None


def without_defaults(read: Any, judged: Any, written: Any) -> Any:
    """The judged JSON without what nobody gave and the model itself says."""
    if isinstance(read, RootModel):
        return without_defaults(read.root, judged, written)
    if not isinstance(judged, dict | list):
        return judged
    inside = {key: (value, item) for value, key, item in beside(read, written)}
    if isinstance(judged, list):
        parts = enumerate(judged)
        return [without_defaults(inside[i][0], item, inside[i][1]) if i in inside else item for i, item in parts]
    bare = {}
    unset = _unset(read) if isinstance(read, BaseModel) else frozenset()
    for key, item in judged.items():
        value, was = inside.get(key, (None, ABSENT))
        if key in unset and same(item, was):
            continue
        bare[key] = item if was is ABSENT else without_defaults(value, item, was)
    return bare


def _unset(read: BaseModel) -> frozenset[str]:
    """Every name of the fields that hold a default which is the same each time."""
    return frozenset(
        key
        for name, keys, info in fields(type(read))
        if name not in read.model_fields_set and info.default is not PydanticUndefined and info.default_factory is None
        for key in keys
    )
