"""The texts and numbers of a value that can be a name of something: an account, an order, a place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentguard.core.values import Json

# A longer text is a body, and no name.
_LONGEST = 256
# Of one value no more are looked at.
MAX_VALUES = 20_000


def names_in(value: Any, most: int) -> Iterator[Json]:
    """Every text and number in a value that can be a name of something, up to so many."""
    pending: list[Any] = [value]
    while pending and most > 0:
        item = pending.pop()
        if isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, list | tuple):
            pending += item
        elif _is_name(item):
            most -= 1
            yield item


def _is_name(item: Any) -> bool:
    if isinstance(item, str):
        return 0 < len(item) <= _LONGEST
    return isinstance(item, int | float) and not isinstance(item, bool)
