"""What is wrong with a pattern of ``matches``: it looks anywhere in a text unless it is anchored."""

from __future__ import annotations

import re

import re2

_MULTILINE = re.compile(r"\(\?[a-zA-Z]*m")


def pattern_trouble(pattern: str) -> str | None:
    """What is wrong with a pattern of ``matches``, which looks anywhere in the text unless it is anchored."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        re2.compile(pattern, options)
        if _MULTILINE.search(pattern) is not None:
            return "uses the flag `m`, with which `^` and `$` hold at every line"
        if pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith("\\$"):
            # Balanced on its own, so the outer `^` and `$` belong to the whole and not to one branch of `|`.
            re2.compile(f"(?:{pattern[1:-1]})", options)
            if not _has_outer_choice(pattern[1:-1]):
                return None
    except re2.error:
        return "is not a regular expression (RE2)"
    return "also matches in the middle of a text; write `^(...)$`, with `.*` where anything may stand"


def _has_outer_choice(pattern: str) -> bool:
    """Whether a ``|`` stands outside every group and class."""
    depth, index, in_class = 0, 0, False
    while index < len(pattern):
        character = pattern[index]
        if character == "\\":
            if pattern.startswith("\\Q", index):
                end = pattern.find("\\E", index)
                index = len(pattern) if end < 0 else end
            index += 2
            continue
        if in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
            index += 1 if pattern.startswith(("[]"), index) else 2 if pattern.startswith("[^]", index) else 0
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "|" and depth == 0:
            return True
        index += 1
    return False
