"""What the text of an argument may carry, as an owner says it beside the argument's type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agentguard.core.text.links import Found, Link, address_key, addresses_of, link_key, links_in
from agentguard.core.values import Json

# A source that trusted code filled: a link in it may also be the beginning of a longer one.
_GIVEN = ("inputs", "kept")


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
        words = self.nothing_of | (self.links or frozenset()) | (self.addresses or frozenset())
        return frozenset(word for word in words if word.partition(".")[0] not in _GIVEN)


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


@dataclass(frozen=True, slots=True)
class Known:
    """The links and addresses that trusted code gave: each by its key, and those that others may stand below."""

    links: frozenset[str] = frozenset()
    below: tuple[str, ...] = ()
    addresses: frozenset[str] = frozenset()

    @classmethod
    def of(cls, value: Json) -> Known | None:
        """What stands in an input or a kept value; None where it could not be looked at."""
        links: set[str] = set()
        below: set[str] = set()
        addresses: set[str] = set()
        for text in texts_of(value):
            found = links_in(text)
            if found is None:
                return None
            for link in (*found, Link(Found.URL, f"https://{text}"), Link(Found.URL, text)):
                key = link_key(link.target) if link.found is Found.URL else None
                addresses |= {address_key(address) for address in addresses_of(link)}
                addresses |= {link.target.casefold()} if link.found is Found.MENTION else set()
                if key is not None:
                    links.add(key)
                    whole = not any(sign in key for sign in "/?#")
                    below |= {f"{key}{sign}" for sign in ("/?#" if whole else "/" if link.target.endswith("/") else "")}
        return cls(frozenset(links), tuple(sorted(below)), frozenset(addresses))

    def covers(self, key: str) -> bool:
        """Whether a link is one of these, or below one that is a host or ends in a slash."""
        return key in self.links or any(key.startswith(start) for start in self.below)


def source_value(word: str, inputs: Mapping[str, Json], kept: Mapping[str, Json]) -> Json:
    """What an input or a kept value holds; None where there is none."""
    root, _, name = word.partition(".")
    values = inputs if root == "inputs" else kept
    return dict(values) if not name else values.get(name)
