"""What the text of an argument may carry, as an owner says it beside the argument's type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agentguard.core.values import Json

# A source that trusted code filled: a link in it may also be the beginning of a longer one.
GIVEN = ("inputs", "kept")


@dataclass(frozen=True, slots=True)
class TextRule:
    """What is said of one argument. ``links``, ``addresses``: where those in it may come from; nothing: none may be in
    it; None: nothing is said of them. ``nothing_of``: tools of which it carries nothing."""

    argument: str
    nothing_of: frozenset[str] = frozenset()
    links: frozenset[str] | None = None
    addresses: frozenset[str] | None = None

    @property
    def tools(self) -> frozenset[str]:
        """The tools whose results must be remembered for it."""
        words = self.nothing_of | self.sources
        return frozenset(word for word in words if root_of(word) not in GIVEN)

    @property
    def sources(self) -> frozenset[str]:
        """Where links and addresses may come from. One that begins with ``@`` is a named place in an input or in what
        is kept."""
        return (self.links or frozenset()) | (self.addresses or frozenset())


def root_of(word: str) -> str:
    """What a source begins with: `inputs`, `kept`, or the name of a tool."""
    given = re.match(r"@?(inputs|kept)(?![\w-])", word)
    return word if given is None else given[1]


def texts_of(value: Json) -> Iterator[str]:
    """Every text and number in a value, names of members too."""
    pending: list[Json] = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending += [*reversed(list(item.values())), *item]
        elif isinstance(item, list):
            pending += reversed(item)
        elif isinstance(item, str):
            yield item
        elif item is not None and not isinstance(item, bool):
            yield str(item)


def source_value(word: str, inputs: Mapping[str, Json], kept: Mapping[str, Json]) -> Json:
    """What an input or a kept value holds; None where there is none."""
    root, _, name = word.partition(".")
    values = inputs if root == "inputs" else kept
    return dict(values) if not name else values.get(name)
