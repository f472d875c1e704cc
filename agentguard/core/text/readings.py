"""A text as programs read it that show it: without what nobody sees, with entities and escapes read, without markup.

Nobody knows which program will show a text, so every reading is looked at, and what is found in any of them counts.
"""

from __future__ import annotations

import html
import re
import unicodedata

# Longer texts are not looked at, and a text that was not looked at is refused.
MAX_TEXT = 64 * 1024
# Escapes in escapes: an entity in an entity.
_ROUNDS = 2
# In pieces, so that other threads get their turn: one translation holds the interpreter.
_PIECE = 16 * 1024
_MOST_KEPT = 200_000

# Nothing to the eye, though not by their category.
_UNSEEN = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0}
# Full stops that a browser takes for a dot in a name, though NFKC does not.
_DOTS = {0x3002: ".", 0xFF61: "."}
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_TAG = re.compile(r"<!--[^<>]{0,2000}-->|</?[a-zA-Z][\w-]*(?:[\s/][^<>]{0,2000})?>")
_EMPHASIS = re.compile(r"[*`]|~~")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def readings(text: str) -> tuple[str, ...]:
    """Every reading of a text, each once. The first has a space wherever something unseen was, the second nothing."""
    seen, joined = (text, text) if text.isascii() else (_translated(text, _CUT), _translated(text, _JOINED))
    found = [_CONTROL.sub(" ", seen), _CONTROL.sub("", joined)]
    plain = found[-1]
    for _ in range(_ROUNDS):
        plain = _translated(_ESCAPED.sub(r"\1", html.unescape(plain)), _JOINED)
        found.append(plain)
    if "<" in plain or "*" in plain or "`" in plain or "~~" in plain:
        found.append(_EMPHASIS.sub("", _TAG.sub("", plain)))
    return tuple(dict.fromkeys(found))


def is_unseen(code: int) -> bool:
    """Whether nobody sees this character, nor a gap where it is."""
    return (
        code in _UNSEEN or 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
        or unicodedata.category(chr(code)) in ("Cf", "Cs", "Co", "Cn")
    )  # fmt: skip


class _Characters(dict[int, str]):
    """What each character is read as. ``unseen``: what stands for one that nobody sees."""

    def __init__(self, unseen: str) -> None:
        super().__init__()
        self._unseen = unseen

    def __missing__(self, code: int) -> str:
        read = self._unseen if is_unseen(code) else _DOTS.get(code) or unicodedata.normalize("NFKC", chr(code))
        if len(self) < _MOST_KEPT:
            self[code] = read
        return read


_CUT, _JOINED = _Characters(" "), _Characters("")


def _translated(text: str, table: _Characters) -> str:
    if text.isascii():
        return text
    return "".join(text[at : at + _PIECE].translate(table) for at in range(0, len(text), _PIECE))
