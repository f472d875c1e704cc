"""Patterns over whole path segments: ``/reports/*`` covers ``/reports`` and everything below it, never
``/reports2``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

# Deeper patterns are refused at load, so a lookup never needs more than this many steps.
MAX_PATTERN_DEPTH = 32


def path_keys(path: str) -> Iterator[str]:
    """Every pattern that covers an absolute path, most specific first."""
    yield path
    # No pattern reaches past an empty segment: a server may keep it, or not.
    segments = list(takewhile(bool, path.split("/")[1:]))[:MAX_PATTERN_DEPTH]
    for depth in range(len(segments), 0, -1):
        yield "/" + "/".join(segments[:depth]) + "/*"
    yield "/*"


def check_path_pattern(path: str) -> str:
    """An absolute path, or one that ends in ``/*``. Raises ValueError."""
    if not path.startswith("/"):
        raise ValueError(f"`{path}` does not begin with `/`")
    body = path.removesuffix("*") if path.endswith("/*") else path
    if "*" in body:
        raise ValueError(f"`{path}` has a `*` that is not the whole last segment; expected such as `/reports/*`")
    if body.count("/") > MAX_PATTERN_DEPTH:
        raise ValueError(f"`{path}` has more than {MAX_PATTERN_DEPTH} segments")
    return path
