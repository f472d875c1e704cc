"""How much work a JSON Schema makes of one value, so that values are judged in a time that nobody notices.

A kilobyte of schema can hold a million million combinations: each level refers to the next in two alternatives. And of
a schema that refers to itself, what the model sends says how deep it goes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# How many schemas one value may be judged by: 10 ns each, and at most 50,000 values in the arguments.
MOST_SCHEMAS = 10_000
# What is wrong is told under every combination of alternatives, and for every value in them: a microsecond each.
_MOST_EXPLAINED = 50_000
# Readers that try every alternative (pydantic's unions) take as many tries as alternatives to the power of the levels.
_MOST_TRIES = 10_000
# Members that hold values and texts, or schemas for others to refer to.
_NO_SCHEMAS = frozenset({"enum", "const", "default", "examples", "description", "title", "required", "$defs"})
# Members whose schemas judge the same value. Those of all others judge its parts, each another part.
_SAME_VALUE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


@dataclass(frozen=True, slots=True)
class Extent:
    """``schemas``: how many at most judge one value, counted up to one more than the most. ``returns``: one refers to
    itself."""

    schemas: int
    returns: bool

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> Extent:
        """Count each schema as often as it is used, and what comes back to itself once."""
        sizes: dict[int, int] = {}
        under_way: set[int] = set()
        returns = False
        pending: list[tuple[Any, bool]] = [(schema, False)]
        while pending:
            node, ready = pending.pop()
            if ready:
                same, parts = _applied(node, schema)
                most = max((sizes.get(id(part), 1) for part in parts), default=0)
                total = 1 + most + sum(sizes.get(id(part), 1) for part in same)
                sizes[id(node)] = min(total, MOST_SCHEMAS + 1)
                under_way.discard(id(node))
            elif id(node) in under_way:
                returns = True
            elif id(node) not in sizes:
                under_way.add(id(node))
                pending.append((node, True))
                same, parts = _applied(node, schema)
                pending += [(part, False) for part in (*same, *parts)]
        return cls(sizes[id(schema)], returns)

    def explains(self, values: Any) -> bool:
        """Whether it may be asked what is wrong with these values, and not only whether something is."""
        return not self.returns and self.schemas * _count(values, _MOST_EXPLAINED) <= _MOST_EXPLAINED


class NestedTooDeep(ValueError):
    """The values would take too long to read. The text holds none of them."""


class Levels:
    """How deep objects may nest for a reader that tries every alternative, where these come back to themselves.

    And({Or, And}) in each other's lists double the work at each level; a discriminator names the one to try.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        alternatives = max((_returning(node, schema) for node in _reached(schema, schema)), default=0)
        self.most = int(math.log(_MOST_TRIES, alternatives)) if alternatives > 1 else None

    def check(self, values: Any) -> None:
        """Raises NestedTooDeep for values that would keep the reader busy."""
        if self.most is not None and _nesting(values, self.most) > self.most:
            raise NestedTooDeep(
                f"objects nest deeper than {self.most} levels, each of which may be one of several kinds; "
                "give the alternatives in the tool's types a discriminator"
            )


def _returning(node: Any, schema: Mapping[str, Any]) -> int:
    """How many alternatives of this schema are objects that lead back to it."""
    alternatives = node.get("anyOf") if isinstance(node, dict) else None
    if not isinstance(alternatives, list):
        return 0
    targets = [_target(part, schema) for part in alternatives if isinstance(part, dict)]
    objects = [part for part in targets if part.get("type") == "object" or "properties" in part]
    return sum(any(found is node for found in _reached(part, schema)) for part in objects)


def _target(node: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return _referred(schema, reference) if isinstance(reference, str) else node


def _reached(start: Any, schema: Mapping[str, Any]) -> list[Any]:
    """A schema and all those it leads to, each once."""
    seen: dict[int, Any] = {}
    pending = [start]
    while pending:
        node = pending.pop()
        if id(node) not in seen:
            seen[id(node)] = node
            same, parts = _applied(node, schema)
            pending += [*same, *parts]
    return list(seen.values())


def _nesting(values: Any, most: int) -> int:
    """How many objects stand in each other at the deepest place, up to one more than the most."""
    deepest = 0
    pending = [(values, 0)]
    while pending and deepest <= most:
        value, level = pending.pop()
        if isinstance(value, Mapping):
            deepest = max(deepest, level + 1)
            pending += [(part, level + 1) for part in value.values()]
        elif isinstance(value, list | tuple):
            pending += [(part, level) for part in value]
    return deepest


def _applied(node: Any, schema: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """The schemas that a schema applies to the same value, and those that it applies to parts of it."""
    same: list[Any] = []
    parts: list[Any] = []
    for key, member in node.items() if isinstance(node, dict) else ():
        if key in _REFERENCES and isinstance(member, str):
            same.append(_referred(schema, member))
        elif key not in _NO_SCHEMAS:
            (same if key in _SAME_VALUE else parts).extend(_schemas(key, member))
    return same, parts


def _schemas(key: str, member: Any) -> list[Any]:
    """The schemas in one member: itself, a list of them, or a mapping of names to them."""
    if isinstance(member, list):
        return [part for part in member if isinstance(part, dict)]
    if not isinstance(member, dict):
        return []
    named = key in ("properties", "patternProperties", "dependentSchemas")
    return [part for part in member.values() if isinstance(part, dict)] if named else [member]


def _referred(schema: Mapping[str, Any], reference: str) -> Any:
    """The schema behind a JSON pointer (RFC 6901) within this one; for any other reference all of it."""
    node: Any = schema
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else schema


def _count(values: Any, most: int) -> int:
    """How many values there are in these, up to one more than the most."""
    found, pending = 0, [values]
    while pending and found <= most:
        found += 1
        value = pending.pop()
        pending += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return found
