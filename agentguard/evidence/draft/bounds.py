"""How much of a schema a person reads in a draft. No tool of any public server that was looked at has half as much."""

from __future__ import annotations

MOST_NODES = 600
MOST_DEPTH = 12
# Alternatives, and values of a list.
MOST_WORDS = 200
MOST_TEXT = 500
