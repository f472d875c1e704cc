"""How the loader words its complaints: what was found, what was expected, and the nearest valid word."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# Longer lists do not help anybody who reads an error; the nearest word does.
_MOST_LISTED = 12
_MOST_SHOWN = 80


def shown(text: object) -> str:
    """The user's text in backticks: one line, escaped, and cut where it is long."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return f"`{plain if len(plain) <= _MOST_SHOWN else plain[:_MOST_SHOWN] + '...'}`"


def listed(words: Iterable[str]) -> str:
    """A short list for a message."""
    names = sorted(words)
    if not names:
        return "nothing"
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(map(shown, names[:_MOST_LISTED])) + more


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The valid word that was probably meant."""
    found = get_close_matches(word, sorted(words), 1, 0.6)
    return found[0] if found else None


def expected(word: str, words: Iterable[str]) -> str:
    """The half of a sentence that says what would have been right."""
    names = tuple(words)
    meant = nearest(word, names)
    return f"did you mean {shown(meant)}?" if meant is not None else f"expected {listed(names)}"


def unknown(what: str, word: str, words: Iterable[str]) -> str:
    """``there is no tool `x`; did you mean `y`?``"""
    return f"there is no {what} {shown(word)}; {expected(word, words)}"
