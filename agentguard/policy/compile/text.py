"""What the text of an argument may carry (``carries_nothing_of``, ``links``, ``addresses``), checked against what the
workflow declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentguard.core.provenance import CATALOG
from agentguard.core.text.rules import GIVEN, TextRule
from agentguard.policy import models
from agentguard.policy.compile.sources import SourceWords, Trouble
from agentguard.policy.words import shown, unknown

NOTHING_OF, LINKS, ADDRESSES = "carries_nothing_of", "links", "addresses"
KEYS = (NOTHING_OF, LINKS, ADDRESSES)
_EXPECTED = "expected `none`, or where they may come from: `{from: [inputs.site, get_webpage]}`"


def text_rules(arguments: Mapping[str, models.Schema], words: SourceWords) -> tuple[TextRule, ...]:
    """What is said of the texts of a step's arguments."""
    return tuple(
        TextRule(
            name,
            frozenset(_listed(schema.get(NOTHING_OF, []))),
            None if LINKS not in schema else words.as_sources(sources_in(schema[LINKS])),
            None if ADDRESSES not in schema else words.as_sources(sources_in(schema[ADDRESSES])),
        )
        for name, schema in arguments.items()
        if not schema.keys().isdisjoint(KEYS)
    )


def text_troubles(arguments: Mapping[str, models.Schema], words: SourceWords) -> Iterator[Trouble]:
    """Everything wrong with what the texts of a step's arguments may carry."""
    for name, schema in arguments.items():
        if NOTHING_OF in schema:
            yield from _tool_troubles(name, schema[NOTHING_OF], words)
        for key in (LINKS, ADDRESSES):
            if key in schema:
                yield from _source_troubles(name, key, schema[key], arguments, words)
        if not schema.keys().isdisjoint(KEYS) and not _may_be_text(schema):
            said = next(key for key in KEYS if key in schema)
            yield (name, said), f"{name}.{said}: only a text carries something; this argument can hold none"


def _tool_troubles(name: str, given: Any, words: SourceWords) -> Iterator[Trouble]:
    path = (name, NOTHING_OF)
    if not isinstance(given, list) or not given or not all(isinstance(word, str) for word in given):
        yield path, f"{name}.{NOTHING_OF}: expected a list of tools, such as `[read_inbox]`"
        return
    for word in given:
        if word not in words.tools:
            yield path, f"{name}.{NOTHING_OF}: {unknown('tool of a step', word, words.tools, words.meant)}"
    if len(set(given)) != len(given):
        yield path, f"{name}.{NOTHING_OF}: a tool is listed twice"


def _source_troubles(
    name: str, key: str, given: Any, arguments: Mapping[str, models.Schema], words: SourceWords
) -> Iterator[Trouble]:
    if given == "none":
        return
    listed = sources_in(given)
    if not listed:
        yield (name, key), f"{name}.{key}: {_EXPECTED}"
        return
    for word in listed:
        path = None if word in words.in_from else words.places.read(word)
        if word == CATALOG:
            yield (name, key), f"{name}.{key}: {unknown('source', word, words.in_from - {CATALOG}, words.meant)}"
        elif path is not None and path.root not in GIVEN:
            message = f"{shown(word)} is not held letter by letter; `keep` it, and write `kept.NAME[*]`"
            yield (name, key), f"{name}.{key}: {message}, or name the whole tool: {shown(path.root)}"
        else:
            for message in words.troubles(word, arguments):
                yield (name, key), f"{name}.{key}: {message}"
    if len(set(listed)) != len(listed):
        yield (name, key), f"{name}.{key}: a source is listed twice"


def sources_in(given: Any) -> list[str]:
    """The words of `{from: ...}`; nothing of anything else."""
    return _listed(given["from"]) if isinstance(given, dict) and given.keys() == {"from"} else []


def _listed(words: Any) -> list[str]:
    words = [words] if isinstance(words, str) else words
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else []


def _may_be_text(schema: Mapping[str, Any]) -> bool:
    """Whether a value that fits this schema may hold a text."""
    types = schema.get("type", "string")
    return not {"string", "array", "object"}.isdisjoint(types if isinstance(types, list) else [types])
