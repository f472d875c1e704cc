"""One spelling for each place in what a condition compares. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def respelt(value: Any, spellings: Mapping[str, str]) -> Any:
    """The value with every text that has another spelling in that one. Names of members too, unless two became one."""
    if isinstance(value, str):
        return spellings.get(value, value)
    if isinstance(value, list):
        return [respelt(item, spellings) for item in value]
    if isinstance(value, Mapping):
        changed = {spellings.get(name, name): respelt(item, spellings) for name, item in value.items()}
        if len(changed) == len(value):
            return changed
        return {name: respelt(item, spellings) for name, item in value.items()}
    return value
