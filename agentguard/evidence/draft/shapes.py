"""An argument's schema as a tool gives it, in the words that a policy has for it.

1. What both know is kept. What a policy does not know and would narrow is left out, and told.
2. A ``$ref`` is written out. One that leads back to itself, leads elsewhere, or stands too deep is left open, and told:
   what is open asks a person in a step that does more than read.
3. What is too big for a person to read is left open, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentguard.core.canonical import MAX_INTEGER
from agentguard.core.values import Json
from agentguard.evidence.draft.bounds import MOST_DEPTH, MOST_NODES, MOST_WORDS
from agentguard.evidence.draft.nulls import with_null
from agentguard.evidence.draft.patterns import is_number, readable, whole_pattern
from agentguard.evidence.draft.references import Inside, References, Resolved, merged

_SCALARS = ("string", "integer", "number", "boolean", "null")
_TYPES = frozenset((*_SCALARS, "object", "array"))
_FORMATS = frozenset(
    (
        *("date", "date-time", "time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6"),
        *("uri", "uri-reference", "iri", "iri-reference", "uuid", "json-pointer", "relative-json-pointer", "regex"),
    )
)
_WHOLE = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
# What narrows and has no word in a policy.
_LOST = (
    *("not", "if", "patternProperties", "propertyNames", "contains", "dependentSchemas", "dependentRequired"),
    *("unevaluatedProperties", "unevaluatedItems", "additionalItems"),
)
OPEN_OBJECT: dict[str, Json] = {"type": "object", "additionalProperties": True}


def anything() -> dict[str, Json]:
    """A schema that every JSON value fits, but lists of lists."""
    scalars: dict[str, Json] = {"type": ["string", "number", "boolean", "null"]}
    return {"anyOf": [scalars, OPEN_OBJECT, {"type": "array", "items": {"anyOf": [scalars, OPEN_OBJECT]}}]}


@dataclass(slots=True)
class DraftShape:
    """One argument's schema for a policy; ``open``: whether it lets through what nobody described; what was lost."""

    schema: dict[str, Json]
    open: bool = False
    lost: list[str] = field(default_factory=list)


def shape_of(schema: Any, root: Any) -> DraftShape:
    """The shape of one argument. ``root`` is what a ``$ref`` points into. Never raises."""
    reader = _Reader(root)
    try:
        made = reader.read(schema, 0, ())
    except _TooMuch:
        return DraftShape(anything(), True, ["more than a person reads"])
    return DraftShape(made, reader.open, sorted(reader.lost))


class _TooMuch(Exception):
    """The schema is bigger than a person reads."""


class _Reader:
    """Reads one schema within bounds."""

    def __init__(self, root: Any) -> None:
        self.open = False
        self.lost: set[str] = set()
        self._left = MOST_NODES
        self._references = References(root, self._spend)

    def _spend(self, nodes: int) -> None:
        self._left -= nodes
        if self._left < 0:
            raise _TooMuch

    def _opened(self, why: str) -> dict[str, Json]:
        self.open = True
        self.lost.add(why)
        return anything()

    def read(self, schema: Any, depth: int, inside: Inside) -> dict[str, Json]:
        self._spend(1)
        if depth > MOST_DEPTH:
            return self._opened("nested too deep")
        if schema is True or schema == {}:
            return self._opened("not described")
        if not isinstance(schema, Mapping):
            return self._opened("no schema")
        found = self._references.resolved(schema, inside)
        if found.trouble is not None:
            return self._opened(found.trouble)
        schema, inside = found.schema, found.inside
        self.lost.update(f"`{word}`" for word in _LOST if word in schema)
        for word in ("anyOf", "oneOf"):
            parts = schema.get(word)
            if isinstance(parts, list) and parts:
                return self._one_of(word, schema, parts, depth, inside)
        return self._plain(found, depth)

    def _one_of(
        self, word: str, schema: Mapping[str, Any], parts: list[Any], depth: int, inside: Inside
    ) -> dict[str, Json]:
        if len(parts) > MOST_WORDS:
            return self._opened("more alternatives than a person reads")
        beside = {key: value for key, value in schema.items() if key in ("properties", "required", "type", "items")}
        read: list[Json] = []
        for part in parts:
            whole = merged(beside, part) if beside and isinstance(part, Mapping) else part
            found = self.read(whole, depth + 1, inside)
            if found not in read:
                read.append(found)
        if schema.get("nullable") is True and {"type": "null"} not in read:
            read.append({"type": "null"})
        return self._joined(word, read)

    @staticmethod
    def _joined(word: str, read: list[Json]) -> dict[str, Json]:
        """Alternatives; one and null is the one with null, as an owner would write it."""
        if len(read) == 1 and isinstance(read[0], dict):
            return read[0]
        others = [one for one in read if one != {"type": "null"}]
        if len(others) == 1 and len(read) == 2 and isinstance(others[0], dict):
            return with_null(others[0])
        return {word: read}

    def _plain(self, found: Resolved, depth: int) -> dict[str, Json]:
        schema = found.schema
        listed = self._listed(schema)
        types = _types(schema)
        if listed is not None:
            return listed if not types else {"type": _one(types), **listed}
        if not types:
            return self._opened("no type")
        made: dict[str, Json] = {"type": _one(types)}
        for kind in types:
            self._add(kind, made, found, depth)
        return made

    def _listed(self, schema: Mapping[str, Any]) -> dict[str, Json] | None:
        """`enum` or `const`, where a person can read them."""
        given = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(given, list) or not given:
            return None
        if schema.get("nullable") is True and None not in given:
            given = [*given, None]
        types = _types(schema)
        if len(given) > MOST_WORDS:
            self.lost.add(f"more than {MOST_WORDS} values")
            return None
        plain = [value for value in given if readable(value)]
        if len(plain) < len(given):
            self.lost.add("values that nobody could read")
        given = plain
        if not given:
            return None
        if types and not all(_type_of(value) & set(types) for value in given):
            self.lost.add("values of another type")
            return None
        return {"enum": [*given]}

    def _add(self, kind: str, made: dict[str, Json], found: Resolved, depth: int) -> None:
        schema = found.schema
        for word in _WHOLE.get(kind, ()):
            if type(schema.get(word)) is int and 0 <= schema[word] <= MAX_INTEGER:
                made[word] = schema[word]
        if kind == "string":
            self._text(made, schema)
        elif kind in ("integer", "number"):
            _limits(made, schema)
        elif kind == "array":
            if schema.get("uniqueItems") is True:
                made["uniqueItems"] = True
            made["items"] = self._items(schema, depth, found.inside)
        elif kind == "object":
            self._object(made, found, depth)

    def _text(self, made: dict[str, Json], schema: Mapping[str, Any]) -> None:
        if schema.get("format") in _FORMATS:
            made["format"] = schema["format"]
        pattern = schema.get("pattern")
        if pattern is None:
            return
        anchored = isinstance(pattern, str) and whole_pattern(pattern)
        if isinstance(anchored, str):
            made["pattern"] = anchored
        else:
            self.lost.add("`pattern`")

    def _items(self, schema: Mapping[str, Any], depth: int, inside: Inside) -> dict[str, Json]:
        given = schema.get("items", True)
        first = schema.get("prefixItems", given if isinstance(given, list) else None)
        if isinstance(first, list) and first:
            self.lost.add("which item is which")
            rest = [given] if isinstance(given, Mapping) else []
            return self._one_of("anyOf", {}, [*first, *rest], depth, inside)
        return self.read(given, depth + 1, inside)

    def _object(self, made: dict[str, Json], found: Resolved, depth: int) -> None:
        schema = found.schema
        properties = schema.get("properties")
        more = schema.get("additionalProperties", not isinstance(properties, Mapping) or "patternProperties" in schema)
        if isinstance(properties, Mapping):
            self._spend(len(properties))
            usable = {str(name): part for name, part in properties.items() if _is_key(name)}
            if len(usable) < len(properties):
                self.lost.add("names that are not plain text")
            made["properties"] = {
                name: self.read(part, depth + 1, found.inside_of(name)) for name, part in usable.items()
            }
            required = schema.get("required")
            if isinstance(required, list):
                named: list[Json] = [*sorted({name for name in required if isinstance(name, str) and name in usable})]
                made["required"] = named
        if isinstance(more, Mapping) and more:
            made["additionalProperties"] = self.read(more, depth + 1, found.inside)
        elif more is not False:
            self.open = True
            self.lost.add("names that nobody listed")
            made["additionalProperties"] = True
        elif not isinstance(properties, Mapping):
            made["properties"] = {}


def _one(types: list[str]) -> Json:
    """One type alone, several as a list."""
    return types[0] if len(types) == 1 else [*types]


def _types(schema: Mapping[str, Any]) -> list[str]:
    given = schema.get("type")
    found = [word for word in (given if isinstance(given, list) else [given]) if word in _TYPES]
    if not found:
        found = list(_implied(schema))
    if schema.get("nullable") is True and found and "null" not in found:
        found.append("null")
    return list(dict.fromkeys(found))


def _implied(schema: Mapping[str, Any]) -> Iterator[str]:
    """The type that other words only make sense for."""
    if "properties" in schema or "additionalProperties" in schema:
        yield "object"
    elif "items" in schema or "prefixItems" in schema:
        yield "array"
    elif any(word in schema for word in ("pattern", "minLength", "maxLength", "format")):
        yield "string"
    elif any(word in schema for word in _NUMBERS):
        yield "number"


def _limits(made: dict[str, Json], schema: Mapping[str, Any]) -> None:
    for word in _NUMBERS:
        limit = schema.get(word)
        # Drafts before 6 say `exclusiveMinimum: true` beside the limit.
        if limit is True and word.startswith("exclusive"):
            other = "minimum" if word.endswith("Minimum") else "maximum"
            if is_number(schema.get(other)):
                made.pop(other, None)
                made[word] = schema[other]
        elif isinstance(limit, int | float) and is_number(limit) and not (word == "multipleOf" and limit <= 0):
            made[word] = limit


def _type_of(value: Any) -> set[str]:
    match value:
        case None:
            return {"null"}
        case bool():
            return {"boolean"}
        case int():
            return {"integer", "number"}
        case float():
            return {"number", "integer"} if value.is_integer() else {"number"}
        case str():
            return {"string"}
        case list():
            return {"array"}
        case _:
            return {"object"}


def _is_key(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name) <= 200 and name.isascii() and name.isprintable()
