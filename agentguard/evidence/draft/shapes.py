"""An argument's schema as a tool gives it, in the words that a policy has for it.

1. What both know is kept. What a policy does not know and would narrow is left out, and told.
2. A ``$ref`` is written out. One that leads back to itself, leads elsewhere, or stands too deep is left open, and told:
   what is open asks a person in a step that does more than read.
3. What is too big for a person to read is left open, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentguard.core.canonical import MAX_INTEGER
from agentguard.core.values import Json
from agentguard.policy.json_schema.shapes import compile_shape
from agentguard.policy.yaml.parse import is_seen

# A person reads a draft; no tool of any public server that was looked at has half as much.
MOST_NODES = 600
_MOST_DEPTH = 12
_MOST_WORDS = 200
_MOST_TEXT = 500

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
_ANYTHING = "[\\s\\S]*"
OPEN_OBJECT: dict[str, Json] = {"type": "object", "additionalProperties": True}


def anything() -> dict[str, Json]:
    """A schema that every JSON value fits, but lists of lists."""
    scalars: dict[str, Json] = {"type": ["string", "number", "boolean", "null"]}
    return {"anyOf": [scalars, OPEN_OBJECT, {"type": "array", "items": {"anyOf": [scalars, OPEN_OBJECT]}}]}


@dataclass(slots=True)
class Shape:
    """One argument's schema for a policy; ``open``: whether it lets through what nobody described; what was lost."""

    schema: dict[str, Json]
    open: bool = False
    lost: list[str] = field(default_factory=list)


def shape_of(schema: Any, root: Any) -> Shape:
    """The shape of one argument. ``root`` is what a ``$ref`` points into. Never raises."""
    reader = _Reader(root)
    try:
        made = reader.read(schema, 0, ())
    except _TooMuch:
        return Shape(anything(), True, ["more than a person reads"])
    return Shape(made, reader.open, sorted(reader.lost))


class _TooMuch(Exception):
    """The schema is bigger than a person reads."""


class _Reader:
    """Reads one schema within bounds."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.open = False
        self.lost: set[str] = set()
        self._left = MOST_NODES

    def _spend(self, nodes: int) -> None:
        self._left -= nodes
        if self._left < 0:
            raise _TooMuch

    def _opened(self, why: str) -> dict[str, Json]:
        self.open = True
        self.lost.add(why)
        return anything()

    def read(self, schema: Any, depth: int, inside: tuple[str, ...]) -> dict[str, Json]:
        self._spend(1)
        if depth > _MOST_DEPTH:
            return self._opened("nested too deep")
        if schema is True or schema == {}:
            return self._opened("not described")
        if not isinstance(schema, Mapping):
            return self._opened("no schema")
        schema, inside, trouble = self._resolved(schema, inside)
        if trouble is not None:
            return self._opened(trouble)
        self.lost.update(f"`{word}`" for word in _LOST if word in schema)
        for word in ("anyOf", "oneOf"):
            parts = schema.get(word)
            if isinstance(parts, list) and parts:
                return self._one_of(word, schema, parts, depth, inside)
        return self._plain(schema, depth, inside)

    def _resolved(
        self, schema: Mapping[str, Any], inside: tuple[str, ...], level: int = 0
    ) -> tuple[Mapping[str, Any], tuple[str, ...], str | None]:
        """The schema with its ``$ref`` and ``allOf`` written into it, or why that cannot be."""
        for _ in range(_MOST_DEPTH):
            self._spend(1)
            if level > _MOST_DEPTH:
                return schema, inside, "nested too deep"
            reference, parts = schema.get("$ref"), schema.get("allOf")
            if reference is not None:
                if reference in inside:
                    return schema, inside, "a `$ref` that leads back to itself"
                target = self._target(reference)
                if target is None:
                    return schema, inside, "a `$ref` that leads nowhere here"
                inside = (*inside, str(reference))
                schema = merged({key: value for key, value in schema.items() if key != "$ref"}, target)
            elif isinstance(parts, list):
                whole: Mapping[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
                for part in parts[:_MOST_WORDS]:
                    if not isinstance(part, Mapping):
                        return schema, inside, "an `allOf` that is none"
                    resolved, inside, trouble = self._resolved(part, inside, level + 1)
                    if trouble is not None:
                        return schema, inside, trouble
                    whole = merged(whole, resolved)
                schema = whole
            else:
                return schema, inside, None
        return schema, inside, "a `$ref` too far away"

    def _target(self, reference: Any) -> Mapping[str, Any] | None:
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        node = self.root
        for part in reference[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            node = node.get(name) if isinstance(node, Mapping) else None
        return node if isinstance(node, Mapping) else None

    def _one_of(
        self, word: str, schema: Mapping[str, Any], parts: list[Any], depth: int, inside: tuple[str, ...]
    ) -> dict[str, Json]:
        if len(parts) > _MOST_WORDS:
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

    def _plain(self, schema: Mapping[str, Any], depth: int, inside: tuple[str, ...]) -> dict[str, Json]:
        listed = self._listed(schema)
        types = _types(schema)
        if listed is not None:
            return listed if not types else {"type": _one(types), **listed}
        if not types:
            return self._opened("no type")
        made: dict[str, Json] = {"type": _one(types)}
        for kind in types:
            self._add(kind, made, schema, depth, inside)
        return made

    def _listed(self, schema: Mapping[str, Any]) -> dict[str, Json] | None:
        """`enum` or `const`, where a person can read them."""
        given = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(given, list) or not given:
            return None
        if schema.get("nullable") is True and None not in given:
            given = [*given, None]
        types = _types(schema)
        if len(given) > _MOST_WORDS:
            self.lost.add(f"more than {_MOST_WORDS} values")
            return None
        readable = [value for value in given if _readable(value)]
        if len(readable) < len(given):
            self.lost.add("values that nobody could read")
        given = readable
        if not given:
            return None
        if types and not all(_type_of(value) & set(types) for value in given):
            self.lost.add("values of another type")
            return None
        return {"enum": [*given]}

    def _add(
        self, kind: str, made: dict[str, Json], schema: Mapping[str, Any], depth: int, inside: tuple[str, ...]
    ) -> None:
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
            made["items"] = self._items(schema, depth, inside)
        elif kind == "object":
            self._object(made, schema, depth, inside)

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

    def _items(self, schema: Mapping[str, Any], depth: int, inside: tuple[str, ...]) -> dict[str, Json]:
        given = schema.get("items", True)
        first = schema.get("prefixItems", given if isinstance(given, list) else None)
        if isinstance(first, list) and first:
            self.lost.add("which item is which")
            rest = [given] if isinstance(given, Mapping) else []
            return self._one_of("anyOf", {}, [*first, *rest], depth, inside)
        return self.read(given, depth + 1, inside)

    def _object(self, made: dict[str, Json], schema: Mapping[str, Any], depth: int, inside: tuple[str, ...]) -> None:
        properties = schema.get("properties")
        more = schema.get("additionalProperties", not isinstance(properties, Mapping) or "patternProperties" in schema)
        if isinstance(properties, Mapping):
            self._spend(len(properties))
            usable = {str(name): part for name, part in properties.items() if _is_key(name)}
            if len(usable) < len(properties):
                self.lost.add("names that are not plain text")
            made["properties"] = {name: self.read(part, depth + 1, inside) for name, part in usable.items()}
            required = schema.get("required")
            if isinstance(required, list):
                named: list[Json] = [*sorted({name for name in required if isinstance(name, str) and name in usable})]
                made["required"] = named
        if isinstance(more, Mapping) and more:
            made["additionalProperties"] = self.read(more, depth + 1, inside)
        elif more is not False:
            self.open = True
            self.lost.add("names that nobody listed")
            made["additionalProperties"] = True
        elif not isinstance(properties, Mapping):
            made["properties"] = {}


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two schemas that both hold, as one. Where both say something else of the same, the first is kept."""
    whole = {**other, **one}
    for word in ("properties", "$defs", "definitions"):
        if isinstance(one.get(word), Mapping) and isinstance(other.get(word), Mapping):
            whole[word] = {**other[word], **one[word]}
    if isinstance(one.get("required"), list) and isinstance(other.get("required"), list):
        whole["required"] = [*one["required"], *other["required"]]
    return whole


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


def whole_pattern(pattern: str) -> str | None:
    """A pattern as a policy reads it, for the whole text; None where it cannot say that in linear time.

    JSON Schema's looks anywhere in a text, so what is not anchored is let through around it.
    """
    if not pattern or len(pattern) > _MOST_TEXT or not _readable(pattern):
        return None
    begins, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    body = pattern[1 if begins else 0 : -1 if ends else None]
    if _alternatives(body):
        # `^a|b$` and `^a$|^b$` mean two different things, neither of them that of `(?:a|b)`.
        if begins or ends or "^" in body or "$" in body:
            return None
        body = f"(?:{body})"
    written = ("" if begins else _ANYTHING) + body + ("" if ends else _ANYTHING)
    shape, troubles = compile_shape({"text": {"type": "string", "pattern": written}})
    return None if shape is None or troubles else written


def _alternatives(body: str) -> bool:
    """Whether a `|` of a pattern stands outside of all brackets."""
    depth, escaped = 0, False
    for character in body:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "|" and depth == 0:
            return True
    return False


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
            if _is_number(schema.get(other)):
                made.pop(other, None)
                made[word] = schema[other]
        elif isinstance(limit, int | float) and _is_number(limit) and not (word == "multipleOf" and limit <= 0):
            made[word] = limit


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) <= MAX_INTEGER


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


def _readable(value: Any) -> bool:
    """Whether a value can stand in a policy: short, and with nothing in it that a person would not see."""
    if isinstance(value, str):
        return len(value) <= _MOST_TEXT and all(
            c in "\n\t" or " " <= c <= "~" or (c > "~" and is_seen(c)) for c in value
        )
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return _is_number(value)
    return _readable(json.dumps(value, ensure_ascii=False))
