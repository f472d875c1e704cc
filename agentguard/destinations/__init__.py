"""Arguments to canonical destinations, and destinations to sensitivity."""

from __future__ import annotations

from agentguard.destinations.catalog import Catalog
from agentguard.destinations.derive import (
    compared,
    declaration_problem,
    derive,
    other_spellings,
    parse_path,
    rewrite,
)
from agentguard.destinations.kinds import Ambiguous, Kind, TextKind, find_kind, kind_names

__all__ = [
    "Ambiguous",
    "Catalog",
    "Kind",
    "TextKind",
    "compared",
    "declaration_problem",
    "derive",
    "find_kind",
    "kind_names",
    "other_spellings",
    "parse_path",
    "rewrite",
]
