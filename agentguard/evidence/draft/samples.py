"""One value that fits a schema, for the cases of a draft. What was made is always checked by the schema itself."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from agentguard.core.values import Json
from agentguard.policy.json_schema.shapes import compile_shape

_FORMATS = {
    "date": "2026-01-15", "date-time": "2026-01-15T09:30:00Z", "time": "09:30:00Z", "duration": "P1D",
    "email": "someone@replace-me.example", "idn-email": "someone@replace-me.example",
    "hostname": "replace-me.example", "idn-hostname": "replace-me.example", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
    "uri": "https://replace-me.example/a", "uri-reference": "https://replace-me.example/a",
    "iri": "https://replace-me.example/a", "iri-reference": "https://replace-me.example/a",
    "uuid": "123e4567-e89b-12d3-a456-426614174000", "json-pointer": "/a", "relative-json-pointer": "1/a", "regex": "a",
}  # fmt: skip
_MOST_TRIED = 200
_LONGEST = 2_000


def sample(schema: Mapping[str, Any], given: tuple[Json, ...] = ()) -> tuple[Json, bool]:
    """A value that fits, and whether one was found. ``given`` is tried first: what the tool itself shows."""
    shape, _ = compile_shape({"value": {key: part for key, part in schema.items() if key != "optional"}})
    if shape is None:
        return None, False
    for value in itertools.islice(itertools.chain(given, _values(schema, 0)), _MOST_TRIED):
        if shape.refusal({"value": value}) is None:
            return value, True
    return None, False


def misfit(schema: Mapping[str, Any]) -> tuple[Json, bool]:
    """A value that is just not one of these, and whether one was found: of another type, or past a limit."""
    shape, _ = compile_shape({"value": {key: part for key, part in schema.items() if key != "optional"}})
    others: tuple[Json, ...] = ("5", 5, "yes", True, [], {})
    for value in others:
        if shape is not None and shape.refusal({"value": value}) is not None:
            return value, True
    return None, False


def _values(schema: Mapping[str, Any], depth: int) -> Iterator[Json]:
    if depth > 14:
        return
    if "const" in schema:
        yield schema["const"]
    yield from schema.get("enum", ())
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from itertools.islice(_values(part, depth + 1), 5)
    types = schema.get("type")
    for kind in types if isinstance(types, list) else [types]:
        yield from _of_type(kind, schema, depth)


def _of_type(kind: Any, schema: Mapping[str, Any], depth: int) -> Iterator[Json]:
    match kind:
        case "string":
            yield from _texts(schema)
        case "integer" | "number":
            yield from _numbers(schema)
        case "boolean":
            yield False
        case "null":
            yield None
        case "array":
            least = min(schema.get("minItems", 0), 50)
            for length in dict.fromkeys((max(least, 1), least)):
                items = list(itertools.islice(_values(schema["items"], depth + 1), length if least > 1 else 5))
                if items:
                    yield [items[0]] if length == 1 else (items * length)[:length]
            yield []
        case "object":
            properties = schema.get("properties", {})
            needed = [name for name in schema.get("required", ()) if name in properties]
            for names in (needed, list(properties)):
                made = {name: next(_fitting(properties[name], depth + 1), None) for name in names}
                yield made
        case _:
            return


def _fitting(schema: Mapping[str, Any], depth: int) -> Iterator[Json]:
    shape, _ = compile_shape({"value": schema})
    for value in itertools.islice(_values(schema, depth), 50):
        if shape is None or shape.refusal({"value": value}) is None:
            yield value


def _texts(schema: Mapping[str, Any]) -> Iterator[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", _LONGEST)
    if "format" in schema:
        yield _FORMATS.get(schema["format"], "a")
    if "pattern" in schema:
        yield from itertools.islice(_matching(schema["pattern"]), 20)
    for text in ("example", "EX-1", "A1", "1", "a", ""):
        if least <= len(text) <= most:
            yield text
    if least <= _LONGEST:
        yield "a" * least
        yield "1" * least


def _numbers(schema: Mapping[str, Any]) -> Iterator[Json]:
    step = schema.get("multipleOf", 1)
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    yield step if isinstance(step, int) else float(step)
    yield 1
    for limit in (least, most):
        if limit is not None:
            yield from (limit, limit + 1, limit - 1, (limit // step) * step, (limit // step + 1) * step)
    if least is not None and most is not None:
        yield (least + most) / 2
    yield 0


def _matching(pattern: str) -> Iterator[str]:
    """Texts that a plain pattern probably matches: the first alternative, and each repeat as seldom as it may be."""
    parser = importlib.import_module("re._parser")
    try:
        parsed = parser.parse(pattern)
    except Exception:
        return
    for repeats in (1, 2, 5):
        made = "".join(_piece(op, value, repeats) for op, value in parsed)
        if len(made) <= _LONGEST:
            yield made


def _piece(op: Any, value: Any, repeats: int) -> str:
    match str(op):
        case "LITERAL":
            return chr(int(value))
        case "NOT_LITERAL":
            return "a" if value != ord("a") else "b"
        case "ANY":
            return "a"
        case "IN":
            return _one_of(value)
        case "BRANCH":
            return "".join(_piece(o, v, repeats) for o, v in value[1][0])
        case "SUBPATTERN":
            return "".join(_piece(o, v, repeats) for o, v in value[-1])
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, inner = value
            times = min(max(least, min(repeats, int(most)) if least == 0 and repeats > 1 else least), 200)
            text = "".join(_piece(o, v, repeats) for o, v in inner)
            return str(text * times)[: _LONGEST + 1]  # repeats of repeats are cut: what is too long is not tried
        case _:
            return ""


def _one_of(members: Any) -> str:
    for op, value in members:
        match str(op):
            case "NEGATE":
                taken = {chr(v) for o, v in members if str(o) == "LITERAL"}
                return next((c for c in "aA1-_ " if c not in taken), "~")
            case "LITERAL":
                return chr(value)
            case "RANGE":
                return chr(value[0])
            case "CATEGORY":
                return {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " ", "CATEGORY_NOT_SPACE": "a"}.get(str(value), "a")
    return "a"
