"""What others wrote, made safe for a screen: it shows what is there and nothing else.

Rules:

1. Only printable ASCII reaches the screen as itself. Every other code point is written ``\\u{XXXX}``: no control,
   bidirectional, zero-width or look-alike character is ever raw. This is a list of what passes, not of what does not.
2. A backslash is doubled, so a value cannot imitate an escape: every single ``\\`` on the screen is ours.
3. Two or more spaces, and a space at either end, are written ``\\s{COUNT}``: padding cannot push text out of sight.
4. What is too long is cut in the middle, and the cut says how much is missing, with the digest of the whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from agentguard.core.canonical import sha256
from agentguard.core.values import Json

# Room for a long URL or a short statement. Past it, head and tail are shown: an ending is where a suffix hides.
MAX_SHOWN = 400
# More leaves than a person reads. Past it the rest is counted, never silently dropped.
MAX_LEAVES = 200

_PASSES = frozenset(map(chr, range(0x20, 0x7F)))
_PADDING = re.compile(r"\A +| +\Z| {2,}")


def escape(text: str) -> str:
    """All of a text in printable ASCII, one line, nothing lost: two texts that differ never look the same."""
    return _PADDING.sub(_counted, plain(text))


def plain(text: str) -> str:
    """As ``escape``, but spaces stay as they are: for our own sentences that may quote what others wrote."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_character, text))


def shown(text: str, most: int = MAX_SHOWN) -> str:
    """As ``escape``, and cut in the middle where it is longer than ``most`` characters.

    The mark in the cut begins with a single backslash, which no value can produce.
    """
    if len(text) <= most:
        return escape(text)
    tail = most // 3
    head = most - tail
    left_out = len(text) - most
    digest = sha256(text.encode("utf-8", "surrogatepass"))
    mark = f"\\[{left_out} of {len(text)} characters left out, {digest}]"
    return f"{escape(text[:head])}{mark}{escape(text[-tail:])}"


def value(leaf: Json, most: int = MAX_SHOWN) -> str:
    """One JSON value; text stands in quotes, so that ``"5"`` and ``5`` differ. Nested values are one line of JSON."""
    if isinstance(leaf, str):
        return '"' + shown(leaf, most).replace('"', '\\"') + '"'
    if isinstance(leaf, list | dict) and leaf:
        return shown(json.dumps(leaf, ensure_ascii=True), most)
    return json.dumps(leaf)


def leaves(tree: Json, most: int = MAX_SHOWN, most_leaves: int = MAX_LEAVES) -> Iterator[tuple[str, str]]:
    """Every leaf of a JSON value as (where, what), both safe to show; then one line that counts what was left out."""
    left_out = 0
    for count, (where, leaf) in enumerate(each_leaf(tree)):
        if count < most_leaves:
            yield where or "(all)", value(leaf, most)
        else:
            left_out += 1
    if left_out:
        yield "\\[more]", f"\\[{left_out} of {most_leaves + left_out} values left out]"


def machine(data: Json) -> str:
    """One line of JSON for another program, safe on a terminal too: all but printable ASCII is escaped."""
    return json.dumps(data, ensure_ascii=True)


def _character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    return character if character in _PASSES else f"\\u{{{ord(character):04X}}}"


def _counted(spaces: re.Match[str]) -> str:
    return f"\\s{{{len(spaces[0])}}}"


def each_leaf(tree: Json) -> Iterator[tuple[str, Json]]:
    """Every leaf of a JSON value in order, with where it stands; that is safe to show, the leaf is not.

    Without recursion: an argument may be nested as deeply as canonical JSON allows.
    """
    pending: list[tuple[str, Json]] = [("", tree)]
    while pending:
        place, item = pending.pop()
        if isinstance(item, dict) and item:
            pending.extend((f"{place}.{_key(key)}" if place else _key(key), item[key]) for key in reversed(item))
        elif isinstance(item, list) and item:
            pending.extend((f"{place}[{index}]", item[index]) for index in reversed(range(len(item))))
        else:
            yield place, item


_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def _key(key: str) -> str:
    """A member's name; one that is not a plain word stands in quotes, so that it cannot imitate a path."""
    return key if _BARE_KEY.fullmatch(key) else value(key, 100)
