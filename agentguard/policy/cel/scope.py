"""What a condition may see, and what is known of it before any call: the language's names as one pseudo-schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

from agentguard.core.values import Assurance, Risk, Sensitivity
from agentguard.policy.cel.tree import Node

Known: TypeAlias = Mapping[str, Any]

# Nothing is known: any member, any type.
ANYTHING: Known = MappingProxyType({})

# Places that one call reaches, and words of where an argument comes from: lists that are short by themselves.
MAX_PLACES = 500

# A word from a fixed scale. `<` on it would compare letters ("secret" < "public" is false by luck only).
SCALE = "agentguard:scale"

# A number that always has decimals, whatever it is: CEL calculates with two of one kind only.
DOUBLE = "agentguard:double"


def closed(properties: Mapping[str, Known]) -> Known:
    """An object with exactly these members."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _words(words: Iterable[str]) -> Known:
    return {"type": "string", "enum": list(words), SCALE: True}


_TEXT: Known = {"type": "string"}
_PLACE = closed(
    {
        "kind": _TEXT,
        "id": _TEXT,
        "sensitivity": _words((*Sensitivity.words(), "unclassified")),
        "zone": _TEXT,
        "owner": _TEXT,
        "category": _TEXT,
    }
)
_ALWAYS: Mapping[str, Known] = {
    "subject": _TEXT,
    "claims": ANYTHING,
    "destination": _PLACE,
    "destinations": {"type": "array", "items": _PLACE, "maxItems": MAX_PLACES},
    "risk": _words(Risk.words()),
    "assurance": _words(Assurance.words()),
    "now": ANYTHING,
}
# What `done_for` looks up. No condition may name it: the keys in it are under the run's salt.
TALLIES = "tallies"
NAMES = ("args", "inputs", "kept", "counts", "origins", *_ALWAYS, TALLIES)


@dataclass(frozen=True, slots=True)
class Let:
    """An expression under a name: as it was written, its tree, and its type for the checker."""

    text: str
    tree: Node
    kind: str


@dataclass(frozen=True, slots=True)
class Scope:
    """The names of one step's conditions, and every step of its workflow.

    Scopes are equal where every expression means the same in them. ``lets`` are expressions that have a name of their
    own, by it.
    """

    names: Mapping[str, Known]
    steps: tuple[str, ...]
    lets: Mapping[str, Let] = field(default_factory=lambda: MappingProxyType({}))

    def __hash__(self) -> int:
        """By what is quick to hash; equality looks at everything."""
        return hash((self.steps, *(repr(self.names[root]["properties"]) for root in ("args", "inputs", "kept"))))

    @classmethod
    def make(
        cls,
        *,
        arguments: Known,
        inputs: Known,
        kept: Iterable[str] | Mapping[str, Known],
        origins: Iterable[str],
        steps: tuple[str, ...],
        subjects: Iterable[str],
        has_destinations: bool,
    ) -> Scope:
        """``arguments`` and ``inputs`` are the closed schemas of ``shapes``; ``origins`` are the words for sources."""
        words = {"type": "array", "items": {"type": "string", "enum": list(origins)}, "maxItems": MAX_PLACES}
        names = {
            "args": arguments,
            "inputs": inputs,
            "kept": closed({**dict.fromkeys(kept, ANYTHING), **(kept if isinstance(kept, Mapping) else {})}),
            "origins": closed(dict.fromkeys(arguments["properties"], words)),
            "counts": _counts(steps),
            **_ALWAYS,
            "subject": {"type": "string", "enum": list(subjects)},
        }
        if not has_destinations:
            del names["destination"], names["destinations"]
        return cls(names, steps)


class StepNames(tuple[str, ...]):
    """The names of a workflow's steps. They are hashed once: each step, and each condition, asks for it again."""

    _hashed: int | None = None

    def __hash__(self) -> int:
        """That of the names."""
        if self._hashed is None:
            self._hashed = super().__hash__()
        return self._hashed


@lru_cache(maxsize=64)
def _counts(steps: tuple[str, ...]) -> Known:
    """The same for each step of a workflow."""
    return closed({step: {"type": "integer"} for step in steps})


def member(known: Known, name: str) -> Known | None:
    """What is known of a member; None where there can be no such member."""
    properties = known.get("properties")
    if type(properties) is dict and name in properties:
        found: Known = properties[name]
        return found
    more = known.get("additionalProperties")
    if more is False:
        return None
    return more if type(more) is dict else ANYTHING


def element(known: Known) -> Known:
    """What is known of the elements of a list or, for a loop over an object, of its keys."""
    if known.get("type") == "array" and type(known.get("items")) is dict:
        items: Known = known["items"]
        return items
    return _TEXT if known.get("type") == "object" else ANYTHING


def required(known: Known, name: str) -> bool:
    """Whether the member is always there."""
    return name in known.get("required", ())
