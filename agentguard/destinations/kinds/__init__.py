"""The kinds of destinations: what one is, the table of them, and a file for each."""

from __future__ import annotations

from agentguard.destinations.kinds.base import (
    Ambiguous,
    Derived,
    Divided,
    Kind,
    Promised,
    Recalled,
    TextKind,
    is_seen_as_id,
    make_place,
    option_words,
    unknown_options,
)
from agentguard.destinations.kinds.table import find_kind, kind_names

__all__ = [
    "Ambiguous",
    "Derived",
    "Divided",
    "Kind",
    "Promised",
    "Recalled",
    "TextKind",
    "find_kind",
    "is_seen_as_id",
    "kind_names",
    "make_place",
    "option_words",
    "unknown_options",
]
