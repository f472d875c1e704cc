"""Argument shapes: JSON Schema as owners write it, closed on all sides, compiled once.

What JSON Schema leaves open is closed or refused here: an argument that is not listed is refused, nested objects too
unless they say ``additionalProperties``; a ``pattern`` covers the whole text; every schema says its type; a keyword
that would do nothing is an error; formats are checked; patterns run in linear time; nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import jsonschema_rs

from agentguard.core.values import Json
from agentguard.policy.json_schema.extent import Extent
from agentguard.policy.words import expected, shown

Path: TypeAlias = "tuple[str | int, ...]"
Trouble: TypeAlias = "tuple[Path, str]"

# A pattern is compiled within this much memory; past it, it is refused at load.
_REGEX = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)
_MOST_TOLD = 5

_TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")
_ANY = frozenset(_TYPES)
_NUMBERS = frozenset({"integer", "number"})

# Each keyword and the types it says something about.
_KEYWORDS: Mapping[str, frozenset[str]] = {
    "type": _ANY,
    "enum": _ANY,
    "const": _ANY,
    "anyOf": _ANY,
    "oneOf": _ANY,
    "title": _ANY,
    "description": _ANY,
    "examples": _ANY,
    "pattern": frozenset({"string"}),
    "format": frozenset({"string"}),
    "minLength": frozenset({"string"}),
    "maxLength": frozenset({"string"}),
    "minimum": _NUMBERS,
    "maximum": _NUMBERS,
    "exclusiveMinimum": _NUMBERS,
    "exclusiveMaximum": _NUMBERS,
    "multipleOf": _NUMBERS,
    "items": frozenset({"array"}),
    "minItems": frozenset({"array"}),
    "maxItems": frozenset({"array"}),
    "uniqueItems": frozenset({"array"}),
    "properties": frozenset({"object"}),
    "required": frozenset({"object"}),
    "additionalProperties": frozenset({"object"}),
    "minProperties": frozenset({"object"}),
    "maxProperties": frozenset({"object"}),
}

# Keywords of JSON Schema that are left out, and what to do instead.
_LEFT_OUT: Mapping[str, str] = {
    "$ref": "write the schema out where it is used",
    "$defs": "write the schema out where it is used",
    "definitions": "write the schema out where it is used",
    "not": "say what is allowed instead",
    "allOf": "write one schema",
    "if": "use `oneOf`, or two steps",
    "default": "the tool's own default is what runs; mark the argument `optional: true`",
    "patternProperties": "list the properties",
    "$schema": "it is always draft 2020-12",
    "from": "it stands in an argument of a step, beside a type: of the argument, or below its `items` and `properties`",
    "fill": "it stands in an argument of a step, beside the type of the whole argument",
    "null_is_absent": "it stands in an argument of a step, beside the type of the whole argument",
}
_LIMITS: tuple[tuple[str, str], ...] = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)
# Keywords that people use for something else than they mean.
_MEANT: Mapping[str, str] = {"required": "an argument is required unless it says `optional: true`"}


class CompiledShape:
    """A closed JSON Schema, ready to check arguments."""

    __slots__ = ("_extent", "_is_valid", "_validator", "schema")

    def __init__(self, schema: Mapping[str, Any], validator: jsonschema_rs.Draft202012Validator) -> None:
        self.schema = schema
        self._validator = validator
        self._is_valid = validator.is_valid
        self._extent = Extent.of(schema)

    def refusal(self, arguments: Mapping[str, Any]) -> str | None:
        """Why these arguments do not fit, without their values; or None where they do. Never raises."""
        try:
            if self._is_valid(arguments) is True:
                return None
            return self._why(arguments) if self._extent.explains(arguments) else "they do not fit"
        except Exception as error:
            return f"they could not be checked ({type(error).__name__})"

    def _why(self, arguments: Mapping[str, Any]) -> str:
        told: list[str] = []
        for error in self._validator.iter_errors(arguments):
            told.append(_sentence(error))
            if len(told) == _MOST_TOLD:
                break
        return "; ".join(told) or "they do not fit"


def compile_shape(properties: Mapping[str, Any]) -> tuple[CompiledShape | None, list[Trouble]]:
    """The shape of an object with exactly these properties; those marked ``optional: true`` may be left out."""
    return _shape(json.dumps(properties))


# In a bundle of many workflows, one shape stands in many steps.
@lru_cache(maxsize=4096)
def _shape(written: str) -> tuple[CompiledShape | None, list[Trouble]]:
    properties: Mapping[str, Any] = json.loads(written)
    troubles: list[Trouble] = []
    closed: dict[str, Json] = {}
    required: list[Json] = []
    for name, schema in properties.items():
        inner = dict(schema)
        optional = inner.pop("optional", False)
        if type(optional) is not bool:
            troubles.append(((name, "optional"), f"found {shown(optional)}, expected `true` or `false`"))
        if optional is not True:
            required.append(name)
        closed[name] = _close(inner, (name,), troubles)
    if troubles:
        return None, troubles
    whole: dict[str, Json] = {
        "type": "object",
        "properties": closed,
        "required": required,
        "additionalProperties": False,
    }
    return _compile(whole)


def fits(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a value that stands in the policy fits a schema; True where the schema cannot be used."""
    try:
        return bool(_rules(json.dumps(schema, sort_keys=True)).is_valid(value))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError):
        return True  # said elsewhere


@lru_cache(maxsize=1024)
def _rules(schema: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        json.loads(schema), validate_formats=True, ignore_unknown_formats=False, pattern_options=_REGEX, offline=True
    )


def _compile(schema: dict[str, Json]) -> tuple[CompiledShape | None, list[Trouble]]:
    try:
        validator = jsonschema_rs.Draft202012Validator(
            schema, validate_formats=True, ignore_unknown_formats=False, pattern_options=_REGEX, offline=True
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        path = [part for part in getattr(error, "instance_path", ()) if part != "properties"]
        return None, [(tuple(path), f"not a JSON Schema: {_first_line(error)}")]
    return CompiledShape(schema, validator), []


def _first_line(error: Exception) -> str:
    return str(getattr(error, "message", error)).split("\n", 1)[0]


def _close(schema: Any, path: Path, troubles: list[Trouble]) -> Json:
    """The schema with every object closed and every pattern anchored. What cannot be closed is a trouble."""
    if type(schema) is not dict:
        troubles.append((path, "expected a schema such as `{type: string}`"))
        return False
    types = _types(schema, path, troubles)
    for keyword in schema:
        _check_keyword(keyword, types, path, troubles)
    closed: dict[str, Json] = {key: schema[key] for key in schema if key not in ("title", "description", "examples")}
    for keyword in ("anyOf", "oneOf"):
        if type(schema.get(keyword)) is list:
            closed[keyword] = [
                _close(part, (*path, keyword, index), troubles) for index, part in enumerate(schema[keyword])
            ]
    if "array" in types:
        if "items" not in schema:
            troubles.append((path, "an array must say its `items`, such as `items: {type: string}`"))
        else:
            closed["items"] = _close(schema["items"], (*path, "items"), troubles)
    if "object" in types:
        closed.update(_close_object(schema, path, troubles))
    _check_listed(closed, path, troubles)
    for least, most in _LIMITS:
        if _above(schema.get(least), schema.get(most)):
            message = f"`{most}` is below `{least}`, so nothing fits"
            troubles.append(((*path, most), message))
    if type(schema.get("pattern")) is str:
        closed["pattern"] = _whole(schema["pattern"], path, troubles)
    return closed


def _check_listed(schema: Mapping[str, Json], path: Path, troubles: list[Trouble]) -> None:
    """Each value of `enum` and `const` fits the rest of the schema: one that does not was not meant so."""
    rest = {key: schema[key] for key in schema if key not in ("enum", "const", "optional")}
    words = schema.get("enum", [])
    listed = list(enumerate(words)) if type(words) is list else []
    places: list[tuple[Path, Json]] = [(("enum", index), word) for index, word in listed]
    places += [(("const",), schema["const"])] if "const" in schema else []
    for where, value in places:
        if type(value) is float and value.is_integer() and not _types_of(schema) & _NUMBERS:
            message = f"{value:.0f}: write it without an exponent or decimals, or in quotes if it is text"
            troubles.append(((*path, *where), f"is read as the number {message}"))
        elif not fits(rest, value):
            hint = "; put text in quotes" if type(value) in (int, float) and schema.get("type") == "string" else ""
            troubles.append(((*path, *where), f"{shown(json.dumps(value))} does not fit the rest of its schema{hint}"))


def _types_of(schema: Mapping[str, Json]) -> frozenset[str]:
    given = schema.get("type")
    return frozenset(word for word in (given if type(given) is list else [given]) if type(word) is str)


def _above(least: Any, most: Any) -> bool:
    return all(type(limit) in (int, float) for limit in (least, most)) and least > most


def _close_object(schema: Mapping[str, Any], path: Path, troubles: list[Trouble]) -> dict[str, Json]:
    closed: dict[str, Json] = {}
    properties = schema.get("properties", {})
    if "properties" not in schema and "additionalProperties" not in schema:
        troubles.append((path, "an object must say its `properties`, or `additionalProperties`"))
    if type(properties) is dict:
        closed["properties"] = {
            name: _close(inner, (*path, "properties", name), troubles) for name, inner in properties.items()
        }
    required = schema.get("required", [])
    if type(required) is list and type(properties) is dict and "additionalProperties" not in schema:
        for name in required:
            if name not in properties:
                found = f"`required` names {shown(name)}, which is not a property; {expected(str(name), properties)}"
                troubles.append(((*path, "required"), found))
    more = schema.get("additionalProperties", False)
    closed["additionalProperties"] = (
        more if type(more) is bool else _close(more, (*path, "additionalProperties"), troubles)
    )
    return closed


def _types(schema: Mapping[str, Any], path: Path, troubles: list[Trouble]) -> frozenset[str]:
    """The types a schema lets through. A schema that does not say is a trouble: it would let everything through."""
    given = schema.get("type")
    if given is None:
        if not schema.keys() & {"enum", "const", "anyOf", "oneOf"}:
            troubles.append((path, f"says no `type`; expected one of {', '.join(_TYPES)}"))
        return _ANY - {"array", "object"}
    words = given if type(given) is list else [given]
    troubles.extend(
        ((*path, "type"), f"there is no type {shown(word)}; {expected(str(word), _TYPES)}")
        for word in words
        if word not in _TYPES
    )
    return _types_of(schema)


def _check_keyword(keyword: str, types: frozenset[str], path: Path, troubles: list[Trouble]) -> None:
    about = _KEYWORDS.get(keyword)
    if about is None:
        remedy = _LEFT_OUT.get(keyword)
        why = f"`{keyword}` is not used here; {remedy}" if remedy else None
        troubles.append(
            ((*path, keyword), why or f"there is no schema keyword {shown(keyword)}; {expected(keyword, _KEYWORDS)}")
        )
    elif not about & types and types <= _ANY:
        of = " or ".join(sorted(types))
        remedy = _MEANT.get(keyword, "remove it or change `type`")
        troubles.append(((*path, keyword), f"`{keyword}` says nothing about {of}; {remedy}"))


def _whole(pattern: str, path: Path, troubles: list[Trouble]) -> str:
    """The pattern for the whole text. Compiled alone first, so that no stray bracket can step out of the anchors."""
    _, trouble = _compile_pattern(pattern)
    if trouble is not None:
        troubles.append(((*path, "pattern"), trouble))
    return f"^(?:{pattern})$"


@lru_cache(maxsize=1024)
def _compile_pattern(pattern: str) -> tuple[None, str | None]:
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=_REGEX, offline=True)
    except (jsonschema_rs.ValidationError, ValueError):
        return (
            None,
            f"{shown(pattern)} is not a regular expression that runs in linear time; look-around and back-references "
            "do not, and every bracket needs its other half",
        )
    return None, None


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    """One complaint without the value: where, and which rule of the schema."""
    place = _place(error.instance_path)
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        return f"{place}{shown(kind.property)} is missing"
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
        return f"{place}{', '.join(map(shown, kind.unexpected[:3]))} is not allowed"
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Type):
        # A parameter that nobody gives has its default, and `None` is what most defaults are.
        null = ", found null" if error.instance is None else ""
        return f"{place}expected {' or '.join(kind.types)}{null}"
    return f"{place}does not fit `{kind.name}`"


def _place(path: list[str | int]) -> str:
    return "".join(_parts(path)).lstrip(".") + ": " if path else ""


def _parts(path: list[str | int]) -> Iterator[str]:
    for part in path:
        yield f"[{part}]" if isinstance(part, int) else "." + shown(part).strip("`")
