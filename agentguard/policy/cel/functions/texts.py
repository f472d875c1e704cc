"""Functions over text. What they give is bounded before it is made, and each takes time in proportion to the text."""

from __future__ import annotations

from typing import Any

from agentguard.policy.cel.functions.values import Refused, list_of, text_of

# What a function may make of text. A call's arguments are no longer together.
MAX_TEXT = 1 << 20


def lines(value: Any) -> list[str]:
    """The lines of a text, without their ends."""
    text = text_of(value, "what it reads").replace("\r\n", "\n").replace("\r", "\n")
    found = text.split("\n")
    return found[:-1] if found[-1] == "" else found


def split(value: Any, by: Any, most: Any = -1) -> list[str]:
    """The pieces of a text, at most so many; between its characters where the separator is empty."""
    text, separator = text_of(value, "what it splits"), text_of(by, "a separator")
    if type(most) is not int:
        raise Refused("how many pieces is not a whole number")
    if most == 0:
        return []
    if separator:
        return text.split(separator, most - 1 if most > 0 else -1)
    if most < 0 or most >= len(text):
        return [*text]
    return [*text[: most - 1], text[most - 1 :]]


def join(value: Any, by: Any = "") -> str:
    """Texts one after the other."""
    separator = text_of(by, "a separator")
    parts = [text_of(part, "a part") for part in list_of(value, "what it joins")]
    if sum(map(len, parts)) + len(separator) * max(len(parts) - 1, 0) > MAX_TEXT:
        raise Refused(f"a text would be longer than {MAX_TEXT:,} characters")
    return separator.join(parts)


def replace(value: Any, old: Any, new: Any, most: Any = -1) -> str:
    """A text with one thing in place of another."""
    text, before, after = text_of(value, "what it changes"), text_of(old, "a text"), text_of(new, "a text")
    if type(most) is not int:
        raise Refused("how many times is not a whole number")
    times = text.count(before)
    times = times if most < 0 else min(times, most)
    if len(text) + times * (len(after) - len(before)) > MAX_TEXT:
        raise Refused(f"a text would be longer than {MAX_TEXT:,} characters")
    return text.replace(before, after, times)


def contains(value: Any, part: Any) -> bool:
    """Whether a text holds another. In linear time, which the runtime's own search does not keep to."""
    return text_of(part, "a text") in text_of(value, "a text")


def index_of(value: Any, part: Any) -> int:
    """Where a text holds another first, or -1."""
    return text_of(value, "a text").find(text_of(part, "a text"))
