"""Why a condition gave what it gave, for a reviewer: the part that decided, and the values it read.

Only values that may stand in a record are quoted, each cut to a line: the caller says which those are. What is beside
a secret, and is not recorded anyway, is not quoted either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from agentguard.policy.words import shown

# What stands in a record in place of a secret.
SECRET = "[redacted]"  # noqa: S105
_MOST_VALUES = 6
_MOST_ELEMENTS = 5
_MOST_TEXT = 60
_MOST_SOURCE = 200
_OPENS, _CLOSES = "([{", ")]}"
# A text of CEL. In a raw one (`r"..."`) a backslash is a letter like any other.
_TEXT = re.compile(
    r'''[bB]?[rR][bB]?(?:"""[\s\S]*?"""|\'{3}[\s\S]*?\'{3}|"[^"]*"|'[^']*')'''
    r'''|[bB]?(?:"""(?:\\.|[^\\])*?"""|\'{3}(?:\\.|[^\\])*?\'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')''',
    re.DOTALL,
)
_EACH = re.compile(r"(.+)\.all\(\s*([A-Za-z_][A-Za-z0-9_]*)\s*,(.+)\)", re.DOTALL)
# What runs over the values of one run only, and is in no record: not quoted beside a secret.
_PRIVATE = frozenset({"inputs", "kept", "claims"})


def without_texts(text: str) -> str:
    """An expression with nothing in its quotes."""
    return _TEXT.sub("''", text)


@lru_cache(maxsize=4096)
def conjuncts(text: str) -> tuple[str, ...]:
    """The parts that must all be true, as they are written. The whole where it is not a row of `&&`."""
    text = _bare(text)
    cuts = _signs(text)
    if any(sign in ("||", "?") for _, sign in cuts):
        return (text,)
    parts, begin = [], 0
    for at, _ in cuts:
        parts.append(text[begin:at])
        begin = at + 2
    parts.append(text[begin:])
    return (text,) if len(parts) == 1 else tuple(inner for part in parts for inner in conjuncts(part))


def each(text: str) -> tuple[str, str, str] | None:
    """What `list.all(x, body)` runs over, its variable and its body, where that is all there is."""
    found = _EACH.fullmatch(text)
    if found is None or _signs(found[1]) or not _is_closed(found[3]):
        return None
    return found[1], found[2], found[3].strip()


def _bare(text: str) -> str:
    """The text without brackets around all of it."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")") and _is_closed(text[1:-1]):
        text = text[1:-1].strip()
    return text


def _is_closed(text: str) -> bool:
    depth = 0
    for character in outside(text):
        depth += (character[1] in _OPENS) - (character[1] in _CLOSES)
        if depth < 0:
            return False
    return depth == 0


def _signs(text: str) -> list[tuple[int, str]]:
    """Where `&&`, `||` and `?` stand outside brackets and texts."""
    found, depth, last = [], 0, -1
    for at, character in outside(text):
        depth += (character in _OPENS) - (character in _CLOSES)
        if depth == 0 and at > last and (character == "?" or text[at : at + 2] in ("&&", "||")):
            found.append((at, "?" if character == "?" else text[at : at + 2]))
            last = at + 1
    return found


def outside(text: str) -> Iterator[tuple[int, str]]:
    """The characters that are not inside of a text in quotes."""
    at = 0
    while at < len(text):
        quoted = _TEXT.match(text, at)
        if quoted is not None:
            at = quoted.end()
            continue
        yield at, text[at]
        at += 1


def source(text: str) -> str:
    """An expression on one line, cut where it is long."""
    line = " ".join(text.split())
    return f"`{line if len(line) <= _MOST_SOURCE else line[:_MOST_SOURCE] + '...'}`"


def values(paths: Iterable[tuple[str, ...]], text: str, quotable: Mapping[str, Any]) -> str:
    """What the paths of the view hold, in the order in which the text names them."""
    cut = {tuple(path[: path.index("*")] if "*" in path else path) for path in paths}
    named = {path for path in cut if not any(path != other and other[: len(path)] == path for other in cut)}
    ordered = sorted(named, key=lambda path: (text.find(path[-1]), path))
    found = [(path, *_look(path, quotable)) for path in ordered]
    secret = any(what == "a secret" for _, what, _ in found)
    said = []
    for path, what, is_value in found[:_MOST_VALUES]:
        hidden = is_value and secret and path[0] in _PRIVATE
        said.append(f"{'.'.join(path)} is {'not recorded' if hidden else what}")
    more = len(found) - _MOST_VALUES
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")


def element(text: str, index: int, quotable: Mapping[str, Any]) -> str:
    """An element of the list that a loop runs over, where that is a plain path and may be quoted."""
    value: Any = quotable
    for part in text.strip().split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return f" ({quoted(value[index])})" if isinstance(value, list) and index < len(value) else ""


def _look(path: tuple[str, ...], quotable: Mapping[str, Any]) -> tuple[str, bool]:
    """A value in words, and whether it is one."""
    value: Any = quotable
    for depth, part in enumerate(path):
        if value == SECRET:
            return "a secret", False
        if not isinstance(value, Mapping) or part not in value:
            return ("not recorded" if depth == 0 else "not there"), False
        value = value[part]
    return ("a secret", False) if value == SECRET else (quoted(value), True)


def quoted(value: Any) -> str:
    """A value as JSON on one line, cut where it is long."""
    if isinstance(value, str):
        cut = value if len(value) <= _MOST_TEXT else value[:_MOST_TEXT] + "..."
        return shown(json.dumps(cut, ensure_ascii=False)).strip("`")
    if isinstance(value, Mapping):
        inside = [f"{quoted(str(key))}: {_inner(value[key])}" for key in list(value)[:_MOST_ELEMENTS]]
        return "{" + _enough(inside, len(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + _enough([_inner(item) for item in value[:_MOST_ELEMENTS]], len(value)) + "]"
    return json.dumps(value, default=str)


def _inner(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        return "{...}" if isinstance(value, Mapping) else f"a list of {len(value)}"
    return quoted(value)


def _enough(inside: list[str], whole: int) -> str:
    return ", ".join(inside) + (f", ... {whole} in all" if whole > len(inside) else "")
