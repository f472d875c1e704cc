"""A schema that lets null through, and the same one without it."""

from __future__ import annotations

from agentguard.core.values import Json


def with_null(schema: dict[str, Json]) -> dict[str, Json]:
    """The schema that lets null through, too."""
    if "enum" in schema and isinstance(schema["enum"], list):
        schema = {**schema, "enum": [*schema["enum"], *([] if None in schema["enum"] else [None])]}
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return schema if "null" in types else {**schema, "type": [*types, "null"]}
    for word in ("anyOf", "oneOf"):
        parts = schema.get(word)
        if isinstance(parts, list):
            return {**schema, word: [*parts, {"type": "null"}]}
    return schema


def without_null(schema: dict[str, Json]) -> dict[str, Json]:
    """The schema of a single type that lets no null through; the same one where it has several other types."""
    types = schema.get("type")
    if isinstance(types, list) and len(types) == 2 and "null" in types:
        schema = {**schema, "type": next(one for one in types if one != "null")}
    if isinstance(schema.get("enum"), list):
        schema = {**schema, "enum": [value for value in schema["enum"] if value is not None]}  # type: ignore[union-attr]
    return schema
