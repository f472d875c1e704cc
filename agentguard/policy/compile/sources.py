"""``from:`` of an argument: the words for where a value may come from, checked against what the workflow declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from agentguard.core.declarations import ToolDeclaration
from agentguard.core.paths import Path, Place, place_in_words
from agentguard.core.provenance import CATALOG, FIRST, INPUTS, PLACE, RESERVED, UNKNOWN, UNTRUSTED
from agentguard.policy import models
from agentguard.policy.compile.from_words import FROM, all_from, listed_words
from agentguard.policy.compile.places import Places
from agentguard.policy.words import shown, unknown

Trouble: TypeAlias = "tuple[tuple[Any, ...], str]"

# What stands beside an argument's type, and JSON Schema does not know.
_OURS = (FROM, "carries_nothing_of", "links", "addresses")
_EXPECTED = (
    "expected `inputs`, `inputs.NAME`, `kept.NAME`, the name of a tool, a path behind one of these such as "
    "`list_files[*].id`, `catalog`, or a list of these"
)


@dataclass(frozen=True, slots=True)
class SourceWords:
    """The words of one workflow. ``untrusted``: its tools whose results outsiders can write in. ``meant``: which tool
    is meant where somebody writes an alias of it, or a step that calls it."""

    in_from: frozenset[str]
    in_conditions: tuple[str, ...]
    tools: frozenset[str]
    untrusted: frozenset[str]
    meant: Mapping[str, str]
    places: Places
    named: Mapping[str, Path]

    @classmethod
    def of(
        cls, workflow: models.Workflow, tools: Mapping[str, ToolDeclaration], aliases: Mapping[str, str]
    ) -> SourceWords:
        """What this workflow's inputs, steps and tools bring."""
        called = {name: aliases.get(step.tool, step.tool) for name, step in workflow.steps.items()}
        used = set(called.values())
        kept = {f"kept.{name}" for step in workflow.steps.values() for name in step.keep}
        inputs = {INPUTS, *(f"{INPUTS}.{name}" for name in workflow.inputs)}
        untrusted = frozenset(name for name in used if name in tools and tools[name].untrusted_results)
        places = Places(workflow, called, tools)
        named = places.all()
        outside = {UNTRUSTED, FIRST, UNKNOWN, *(f"{UNTRUSTED}:{name}" for name in untrusted)}
        return cls(
            in_from=frozenset(used | kept | inputs | {CATALOG}),
            in_conditions=tuple(sorted(used | kept | inputs | outside | {word.removeprefix(PLACE) for word in named})),
            tools=frozenset(used),
            untrusted=untrusted,
            meant={word: tool for word, tool in {**aliases, **called}.items() if tool in used and word != tool},
            places=places,
            named=MappingProxyType(named),
        )

    def as_sources(self, listed: Iterable[str]) -> frozenset[str]:
        """The words as provenance knows them: plain ones, and named places."""
        return frozenset(word if word in self.in_from else PLACE + word for word in listed)

    def troubles(self, word: str, arguments: Mapping[str, models.Schema]) -> Iterator[str]:
        """What is wrong with one word of `from`, in a step with these arguments."""
        if word in self.in_from:
            yield from self.places.writers(word.removeprefix("kept.")) if word.startswith("kept.") else ()
            return
        path = self.places.read(word)
        if path is None:
            yield unknown("source", word, self.in_from, self.meant)
        else:
            yield from self.places.troubles(path, arguments)


def is_reserved(tool: str) -> bool:
    """Whether a tool's name is a word for another source."""
    return tool in RESERVED or tool.startswith((f"{INPUTS}.", "kept.", f"{UNTRUSTED}:"))


def sources(arguments: Mapping[str, models.Schema], words: SourceWords) -> Mapping[Place, frozenset[str]]:
    """What may stand at each place of the arguments that must come from somewhere."""
    found = {each.place: words.as_sources(listed_words(each.schema[FROM])) for each in all_from(arguments)}
    return MappingProxyType(found)


def without_sources(arguments: Mapping[str, models.Schema]) -> dict[str, models.Schema]:
    """The arguments' schemas as JSON Schema knows them."""
    plain = {name: {key: schema[key] for key in schema if key not in _OURS} for name, schema in arguments.items()}
    return {name: _without_from(schema) for name, schema in plain.items()}


def _without_from(schema: Any) -> Any:
    """A schema without the ``from`` that ``all_from`` finds in it; another one is told where schemas are read."""
    if type(schema) is not dict:
        return schema
    plain = {key: inner for key, inner in schema.items() if key != FROM}
    if "items" in plain:
        plain["items"] = _without_from(plain["items"])
    if type(plain.get("properties")) is dict:
        plain["properties"] = {name: _without_from(inner) for name, inner in plain["properties"].items()}
    return plain


def source_troubles(
    arguments: Mapping[str, models.Schema], tool: ToolDeclaration | None, words: SourceWords
) -> Iterator[Trouble]:
    """Everything wrong with where the arguments of a step are said to come from."""
    for each in all_from(arguments):
        given, where, name = each.schema[FROM], (*each.where, FROM), place_in_words(each.place)
        named = [given] if isinstance(given, str) else given
        if not isinstance(named, list) or not named or not all(isinstance(word, str) for word in named):
            yield where, f"{name}.from: {_EXPECTED}"
            continue
        for word in named:
            for message in words.troubles(word, arguments):
                yield where, f"{name}.from: {message}"
        if len(set(named)) != len(named):
            yield where, f"{name}.from: a source is listed twice"
        if CATALOG in named and tool is not None and not _is_destination(name, tool):
            message = f"{shown(tool.name)} declares no destination whose `argument` is {shown(name)}"
            yield where, f"{name}.from: {message}, so no catalog lists it"
        why = _cannot_pass(each.schema)
        if why is not None:
            yield where, f"{name}.from: {why}"
        below = [other for other in all_from(arguments) if len(other.place) > len(each.place)]
        if any(other.place[: len(each.place)] == each.place for other in below):
            yield where, f"{name}.from: another `from` stands below it; say each place once"


def _is_destination(name: str, tool: ToolDeclaration) -> bool:
    """Whether every value in the argument is a destination."""
    return any(place.argument in (name, f"{name}[*]") and not place.in_text for place in tool.destinations)


def _cannot_pass(schema: Any) -> str | None:
    """What in a schema no value could ever pass with, or could pass unseen."""
    pending = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending += part
        if not isinstance(part, dict):
            continue
        types = part.get("type")
        if {"boolean", "null"} & set(types if isinstance(types, list) else [types]):
            return "a boolean or null comes from nowhere; leave out `from`, or mark the argument `optional: true`"
        if part.get("additionalProperties", False) is not False:
            return "the names of an open object could come from anywhere; list its `properties`"
        properties = part.get("properties")
        pending += [*properties.values()] if isinstance(properties, dict) else []
        pending += [part[key] for key in ("items", "anyOf", "oneOf") if key in part]
    return None
