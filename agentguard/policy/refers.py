"""Schemas that refer to the run: an ``enum`` or a ``pattern`` whose values stand in the inputs, or were kept.

The rules:

1. ``enum: kept.ids`` is the list that stands there, or the one value. Values are equal as JSON, in value and in kind.
2. In a ``pattern``, ``{inputs.x}`` is that very text: quoted, so that no sign of it means anything. Only a text or a
   whole number can stand there.
3. What is referred to and not there fits nothing. Whether null may stand there is the type's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from agentguard.core.fill import same_json
from agentguard.core.paths import Missing, Path, Place, place_in_words, value_at, values_standing_at
from agentguard.core.spellings import respelt
from agentguard.core.values import Json

# A text that is quoted into a pattern; a longer one is no name, id or address.
MAX_QUOTED = 1_000
_MAX_MEMORY = 1 << 20


@dataclass(frozen=True, slots=True)
class Reference:
    """One rule of an argument's schema that refers to the run.

    ``place``: where in the arguments. ``listed``: the values that may stand there. ``pattern``: texts, and what is
    quoted between them; of the two one is set. ``text`` is as its owner wrote it.
    """

    place: Place
    text: str
    listed: Path | None = None
    pattern: tuple[str | Path, ...] = ()

    def refusal(
        self,
        arguments: Mapping[str, Any],
        inputs: Mapping[str, Json],
        kept: Mapping[str, Json],
        spellings: Mapping[str, str],
    ) -> str | None:
        """Why these arguments do not fit, without a value; None where they do."""
        # Where the type allows null, what is referred to is for the other values.
        found = [value for value in values_standing_at(self.place, arguments) if value is not None]
        if not found:
            return None
        roots = {"inputs": inputs, "kept": kept, "args": arguments}
        where = place_in_words(self.place)
        if self.listed is not None:
            allowed = value_at(self.listed, roots)
            if isinstance(allowed, Missing):
                return f"`{where}`: `enum: {self.text}`: {allowed.detail}"
            choices = [respelt(each, spellings) for each in (allowed if isinstance(allowed, list) else [allowed])]
            fits = all(any(same_json(respelt(value, spellings), each) for each in choices) for value in found)
            return None if fits else f"`{where}` is not among `{self.text}`"
        written = self._quoted(roots)
        if isinstance(written, Missing):
            return f"`{where}`: `pattern`: {written.detail}"
        compiled = compiled_pattern(written)
        if compiled is None:
            return f"`{where}`: its pattern cannot be used with what the run holds"
        fits = all(isinstance(value, str) and compiled.fullmatch(value) is not None for value in found)
        return None if fits else f"`{where}` does not fit the pattern `{self.text}`"

    def _quoted(self, roots: Mapping[str, Any]) -> str | Missing:
        parts = []
        for part in self.pattern:
            if isinstance(part, str):
                parts.append(part)
                continue
            value = value_at(part, roots)
            if isinstance(value, Missing):
                return value
            if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > MAX_QUOTED:
                return Missing(f"`{part}` is no text or whole number of at most {MAX_QUOTED} characters")
            parts.append(f"(?:{re2.escape(str(value))})")  # a sign behind it is of all of it
        return "".join(parts)


@lru_cache(maxsize=512)
def compiled_pattern(pattern: str) -> Any:
    """RE2, whose time is linear; None where it is no expression."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError):
        return None
