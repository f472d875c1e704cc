"""What a policy can say of a tool's pattern, and of any value that is written into it."""

from __future__ import annotations

import json
import math
from typing import Any

from agentguard.core.canonical import MAX_INTEGER
from agentguard.evidence.draft.bounds import MOST_TEXT
from agentguard.policy.json_schema.shapes import compile_shape
from agentguard.policy.yaml.parse import is_seen

_ANYTHING = "[\\s\\S]*"


def whole_pattern(pattern: str) -> str | None:
    """A pattern as a policy reads it, for the whole text; None where it cannot say that in linear time.

    JSON Schema's looks anywhere in a text, so what is not anchored is let through around it.
    """
    if not pattern or len(pattern) > MOST_TEXT or not readable(pattern):
        return None
    begins, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    body = pattern[1 if begins else 0 : -1 if ends else None]
    if _alternatives(body):
        # `^a|b$` and `^a$|^b$` mean two different things, neither of them that of `(?:a|b)`.
        if begins or ends or "^" in body or "$" in body:
            return None
        body = f"(?:{body})"
    written = ("" if begins else _ANYTHING) + body + ("" if ends else _ANYTHING)
    shape, troubles = compile_shape({"text": {"type": "string", "pattern": written}})
    return None if shape is None or troubles else written


def _alternatives(body: str) -> bool:
    """Whether a `|` of a pattern stands outside of all brackets."""
    depth, escaped = 0, False
    for character in body:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "|" and depth == 0:
            return True
    return False


def is_number(value: Any) -> bool:
    """Whether a policy can write it as a number."""
    return type(value) in (int, float) and math.isfinite(value) and abs(value) <= MAX_INTEGER


def readable(value: Any) -> bool:
    """Whether a value can stand in a policy: short, and with nothing in it that a person would not see."""
    if isinstance(value, str):
        return len(value) <= MOST_TEXT and all(
            c in "\n\t" or " " <= c <= "~" or (c > "~" and is_seen(c)) for c in value
        )
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return is_number(value)
    return readable(json.dumps(value, ensure_ascii=False))
