"""How the loader words its complaints: what was found, what was expected, and the nearest valid word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

# Longer lists do not help anybody who reads an error; the nearest word does.
_MOST_LISTED = 12
_MOST_SHOWN = 80
# `create` is not what anybody wrote who meant `read` (0.6); `hihg` is `high` (0.75).
_LEAST_LIKE = 0.65


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
    found = get_close_matches(word, sorted(words), 1, _LEAST_LIKE)
    return found[0] if found else None


def expected(word: str, words: Iterable[str]) -> str:
    """The half of a sentence that says what would have been right."""
    names = tuple(words)
    meant = nearest(word, names)
    return f"did you mean {shown(meant)}?" if meant is not None else f"expected {listed(names)}"


def unknown(what: str, word: str, words: Iterable[str], meant: Mapping[str, str] = MappingProxyType({})) -> str:
    """``there is no tool `x`; did you mean `y`?`` ``meant``: what is right instead, by alias."""
    right = f"did you mean {shown(meant[word])}?" if word in meant else expected(word, words)
    return f"there is no {what} {shown(word)}; {right}"
