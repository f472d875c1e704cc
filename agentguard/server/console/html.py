"""How texts get into pages: every value that a template prints goes through here, and none goes around it.

Rules:

1. What is not markup of ours is made safe by ``agentguard.display``: printable ASCII, and the rest by number.
2. Then it is escaped for HTML, in texts and in attributes.
3. What ``display`` wrote in place of something stands apart by its look, so that no value can imitate it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from agentguard import display
from agentguard.approvals import looks
from agentguard.core.values import Json

# Ours in a text that was made safe: a single backslash before a bracket, a brace or another backslash.
_OURS = re.compile(r"\\(?:u\{[0-9A-F]{4,6}\}|s\{[0-9]+\}|\\|\[[^\]\\]*\])")


@cache
def environment() -> Environment:
    """The templates of the console. One that asks for what is not there fails, and shows no half page."""
    made = Environment(
        loader=PackageLoader("agentguard.server.console"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"said": said, "words": words, "brief": brief, "segment": segment, "field": field, "hidden": hidden}
    return made


def _printed(given: Any) -> Any:
    """What a template prints where it says nothing else: a text is made safe; of anything else there is none."""
    if isinstance(given, Markup | int):
        return given
    if isinstance(given, str):
        return display.plain(given)
    raise TypeError(f"a template prints a {type(given).__name__}")


def said(text: str, most: int = display.MAX_SHOWN) -> Markup:
    """What somebody wrote: every code point seen; a long text is cut in the middle, and the cut says so."""
    return _marked(display.shown(str(text), most))


def value(leaf: Json, most: int = display.MAX_SHOWN) -> Markup:
    """A JSON value, with a text in quotes, so that `"5"` and `5` differ."""
    return _marked(display.value(leaf, most))


def words(text: str, most: int = display.MAX_SHOWN) -> Markup:
    """As ``said``, where no element may stand: in an attribute, a title, a picture."""
    return escape(display.shown(str(text), most))


def brief(found: Json, most: int = 60) -> Markup:
    """A JSON value for a line in a list. What is longer says so; the page that the line leads to shows all of it."""
    if not isinstance(found, str) or len(found) <= most:
        return value(found)
    return _marked(f"{display.value(found[:most])}\\[of {len(found)} characters]")


def segment(text: str) -> str:
    """A name as one part of an address."""
    return quote(text, safe="")


def field(text: str) -> Markup:
    """What a field of a form begins with. One that could deceive begins empty: it cannot be shown by numbers there."""
    return escape(text) if text.isascii() and text.isprintable() else Markup("")


def hidden(text: str) -> Markup:
    """What a form sends along and nobody sees, escaped for HTML alone: what comes back is what it was."""
    return escape(text)


def ago(since: timedelta) -> str:
    """How long ago, in one unit."""
    seconds = max(0, int(since.total_seconds()))
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"


def leaf(where: str, found: Json, most: int) -> Mapping[str, Any]:
    """One leaf of the arguments, for the page of a request."""
    text = found if isinstance(found, str) else None
    shown = value(found, most)
    return {
        "where": where or "(all)",
        # After the sign for a line feed comes one: a letter is read as a letter, and its box ends where it ends.
        "shown": shown.replace(_LINE_FEED, _LINE_FEED + Markup("\n")),
        "remarks": () if text is None else looks.remarks(text),
        "reading": None if text is None or (read := looks.reading(text)) is None else escape(read),
        "whole": text is None or len(text) <= most,
        "long": text is not None and len(shown) > 120,
    }


_LINE_FEED = Markup('<span class="esc">\\u{000A}</span>')


def _marked(safe: str) -> Markup:
    """Text that ``display`` made safe, escaped for HTML, with what stands in place of something marked."""
    parts: list[str] = []
    at = 0
    for found in _OURS.finditer(safe):
        parts += [escape(safe[at : found.start()]), Markup('<span class="esc">'), escape(found[0]), Markup("</span>")]
        at = found.end()
    return Markup("").join([*parts, escape(safe[at:])])
