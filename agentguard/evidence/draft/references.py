"""A schema with its ``$ref`` and ``allOf`` written into it, as far as that leads somewhere and does not lead back.

What leads back to itself is a reference that stands inside of what it names. Two that stand side by side and name the
same are no ring: each remembers only where it stands itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentguard.evidence.draft.bounds import MOST_DEPTH, MOST_WORDS

Inside = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """``inside``: the references that the schema stands in; ``of``: those of a property that came with fewer of them.
    ``trouble``: why it cannot be written out, if it cannot."""

    schema: Mapping[str, Any]
    inside: Inside
    trouble: str | None = None
    of: Mapping[str, Inside] = field(default_factory=dict)

    def inside_of(self, name: str) -> Inside:
        """The references that a property stands in."""
        return self.of.get(name, self.inside)


class References:
    """Writes references out. ``root``: what they point into. ``spend`` hears of each node, and raises past a bound."""

    def __init__(self, root: Any, spend: Callable[[int], None]) -> None:
        self._root = root
        self._spend = spend

    def resolved(self, schema: Mapping[str, Any], inside: Inside, level: int = 0) -> Resolved:
        """The schema with its ``$ref`` and ``allOf`` written into it, or why that cannot be."""
        of: dict[str, Inside] = {}
        for _ in range(MOST_DEPTH):
            self._spend(1)
            if level > MOST_DEPTH:
                return Resolved(schema, inside, "nested too deep")
            reference, parts = schema.get("$ref"), schema.get("allOf")
            if reference is not None:
                if reference in inside:
                    return Resolved(schema, inside, "a `$ref` that leads back to itself")
                target = self._target(reference)
                if target is None:
                    return Resolved(schema, inside, "a `$ref` that leads nowhere here")
                of = {**dict.fromkeys(_properties(schema), inside), **of}
                inside = (*inside, str(reference))
                schema = merged({key: value for key, value in schema.items() if key != "$ref"}, target)
            elif isinstance(parts, list):
                whole: Mapping[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
                of = {**dict.fromkeys(_properties(whole), inside), **of}
                beside: dict[str, None] = {}
                for part in parts[:MOST_WORDS]:
                    if not isinstance(part, Mapping):
                        return Resolved(schema, inside, "an `allOf` that is none")
                    found = self.resolved(part, inside, level + 1)
                    if found.trouble is not None:
                        return Resolved(schema, inside, found.trouble)
                    of = {**{name: found.inside_of(name) for name in _properties(found.schema)}, **of}
                    beside |= dict.fromkeys(found.inside[len(inside) :])
                    whole = merged(whole, found.schema)
                schema, inside = whole, (*inside, *beside)
            else:
                return Resolved(schema, inside, None, of)
        return Resolved(schema, inside, "a `$ref` too far away")

    def _target(self, reference: Any) -> Mapping[str, Any] | None:
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        node = self._root
        for part in reference[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            node = node.get(name) if isinstance(node, Mapping) else None
        return node if isinstance(node, Mapping) else None


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two schemas that both hold, as one. Where both say something else of the same, the first is kept."""
    whole = {**other, **one}
    for word in ("properties", "$defs", "definitions"):
        if isinstance(one.get(word), Mapping) and isinstance(other.get(word), Mapping):
            whole[word] = {**other[word], **one[word]}
    if isinstance(one.get("required"), list) and isinstance(other.get("required"), list):
        whole["required"] = [*one["required"], *other["required"]]
    return whole
