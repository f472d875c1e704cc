"""A tool's JSON Schema as a model is shown it: without what the guard fills, and with what it may fill left open."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Mapping
from typing import Any


def shown_schema(
    parameters: Mapping[str, Any], hidden: Collection[str], optional: Collection[str], *, strict: bool = False
) -> dict[str, Any]:
    """A copy without the ``hidden`` arguments, in which the ``optional`` ones may be left out.

    In ``strict`` mode every argument stands in ``required``; one that may be left out may be null there instead.
    """
    schema = copy.deepcopy(dict(parameters))
    if not hidden and not optional:
        return schema
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return schema
    schema["properties"] = {name: inner for name, inner in properties.items() if name not in hidden}
    left = set(hidden) if strict else {*hidden, *optional}
    if isinstance(schema.get("required"), list):
        schema["required"] = [name for name in schema["required"] if name not in left]
    for name in optional if strict else ():
        if name in schema["properties"]:
            schema["properties"][name] = _or_null(schema["properties"][name])
    return _without_unused(schema)


def _or_null(schema: Any) -> Any:
    if isinstance(schema, dict) and isinstance(schema.get("type"), str) and not schema.keys() & {"enum", "const"}:
        return schema if schema["type"] == "null" else {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _without_unused(schema: dict[str, Any]) -> dict[str, Any]:
    """A definition that nothing refers to any more would show what was hidden."""
    for place in ("$defs", "definitions"):
        while isinstance(schema.get(place), dict):
            text = json.dumps({key: value for key, value in schema.items() if key != place})
            inner = schema[place]
            used = {
                name
                for name in inner
                if f'"#/{place}/{name}"' in text
                or any(f'"#/{place}/{name}"' in json.dumps(other) for key, other in inner.items() if key != name)
            }
            if len(used) == len(inner):
                break
            schema[place] = {name: inner[name] for name in inner if name in used}
            if not used:
                del schema[place]
    return schema
