"""The kind ``pattern``: a name of the owner's own, such as a ticket queue or a cluster.

Options: ``name`` (required; what kind of thing it is) and ``pattern`` (required; an RE2 expression that must match the
whole argument). The id is ``NAME:ARGUMENT``.

Patterns: ``queue:billing``, ``queue:*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind, make_place, unknown_options
from agentguard.destinations.text import is_plain_text

MAX_LENGTH = 1024
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class _Pattern(TextKind):
    name = "pattern"
    options = frozenset({"name", "pattern"})
    max_length = MAX_LENGTH

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        if not text:
            return Ambiguous("empty")
        if not text.isprintable() or not is_plain_text(text) or text != text.strip():
            return Ambiguous("character_not_allowed")
        compiled = _compiled(str(options["pattern"]))
        if compiled is None or compiled.fullmatch(text) is None:
            return Ambiguous("no_match")
        label = str(options["name"])
        return self.place(f"{label}:{text}", name=label, value=text)

    def option_problem(self, options: Mapping[str, Json]) -> str | None:
        unknown = unknown_options(options, self.options)
        if unknown is not None:
            return unknown
        label, pattern = options.get("name"), options.get("pattern")
        if type(label) is not str or _NAME.fullmatch(label) is None:
            return "`name` must be a word such as `queue`"
        if type(pattern) is not str or _compiled(pattern) is None:
            return "`pattern` must be an RE2 regular expression"
        return None

    def place_from_id(self, identity: str) -> Place | None:
        label, _, value = identity.partition(":")
        return make_place(self.name, identity, name=label, value=value) if _NAME.fullmatch(label) and value else None

    def pattern_key(self, pattern: str) -> str:
        label, colon, value = pattern.partition(":")
        if not colon or _NAME.fullmatch(label) is None or not value or ("*" in value and value != "*"):
            raise ValueError(f"`{pattern}` is not NAME:VALUE or NAME:*; expected such as `queue:billing`")
        return pattern

    def place_keys(self, place: Place) -> Iterable[str]:
        # An argument that is a lone star must not read as the wildcard.
        if place.parts["value"] != "*":
            yield place.id
        yield f"{place.parts['name']}:*"


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    """RE2, whose time is linear; None where it is not an expression. ``re2`` would log the error by itself."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError):
        return None


PATTERN = _Pattern()
