"""Where ``from`` stands in the arguments of a step: beside the type of an argument, or below its items and members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from agentguard.core.paths import EVERY, Place
from agentguard.policy import models

FROM = "from"


class From(NamedTuple):
    """One ``from``: the place in the arguments, the schema beside which it stands, and where that is in the file."""

    place: Place
    schema: Mapping[str, Any]
    where: tuple[Any, ...]


def all_from(arguments: Mapping[str, models.Schema]) -> Iterator[From]:
    """Every ``from`` of a step, also of several places in one argument."""
    for name, schema in arguments.items():
        yield from _below(schema, (name,), (name,))


def _below(schema: Any, place: Place, where: tuple[Any, ...]) -> Iterator[From]:
    if type(schema) is not dict:
        return
    if FROM in schema:
        yield From(place, schema, where)
    yield from _below(schema.get("items"), (*place, EVERY), (*where, "items"))
    inside = schema.get("properties")
    for name, inner in inside.items() if type(inside) is dict else ():
        yield from _below(inner, (*place, name), (*where, "properties", name))


def listed_words(given: object) -> list[str]:
    """The words of a ``from``, which is one word or a list of them; none for what is neither."""
    listed = given if isinstance(given, list) else [given]
    return [word for word in listed if isinstance(word, str)]
