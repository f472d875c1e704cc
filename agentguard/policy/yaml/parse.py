"""Strict YAML: plain data, and the line of everything in it. What two readers could read two ways is refused.

Refused: anchors, aliases, tags, merge keys, directives, duplicate keys, keys that are not plain ASCII text, values left
empty, and every plain word that YAML 1.1 reads as something else than text or JSON: ``no``, ``010``, ``12:30``, ``~``,
``1_000``, ``.inf``. Files are UTF-8 without a byte order mark, at most 1 MiB, 64 levels deep and 50,000 values.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import yaml

from agentguard.core.canonical import MAX_INTEGER
from agentguard.core.values import Json
from agentguard.policy.words import nearest, shown
from agentguard.policy.yaml.files import MAX_BYTES
from agentguard.policy.yaml.words import misread

MAX_DEPTH = 64
MAX_NODES = 50_000

# Where a date or a moment is expected, it may be written without quotes. Anywhere else YAML readers differ on it.
DATE_KEYS = frozenset({"review_by", "until", "now", "issued_after"})

# libyaml is ten times as fast; the pure parser gives the same events.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
# No nought before an exponent's digits: `12e03` is a part number more often than a number.
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?(?:0|[1-9][0-9]*))?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?")
_WORDS = re.compile(r"yes|no|on|off|y|n|true|false|null|~|=|<<|[-+]?\.(?:inf|nan)", re.IGNORECASE)
_ODD_NUMBER = re.compile(
    r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|0[0-9_]+"
    r"|[0-9][0-9_]*(?::[0-9_]+)+(?:\.[0-9_]*)?|[0-9][0-9_]*\.?[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9_]+(?:[eE][-+]?[0-9]+)?)"
)
_DIGITS = re.compile(r"[0-9]{3}(?:\.[0-9]+)?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_KEY = re.compile(r"[\x20-\x7e]{1,200}")

# An allow-list, because filters by category miss what merely looks empty (Hangul fillers, variation selectors).
_SEEN_CATEGORIES = frozenset(
    (
        *("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd", "Nl", "No"),
        *("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So"),
    )
)
_UNSEEN = (
    *((0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800), (0x3164, 0x3164)),
    *((0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFFC, 0xFFFD), (0x1D159, 0x1D159), (0xE0000, 0xE0FFF)),
)

# A scalar's place is its line; a container's is its line and its children's places.
Place: TypeAlias = "int | Branch"


@dataclass(slots=True)
class Branch:
    """Where a mapping or a list and its children were written."""

    line: int
    children: dict[Any, tuple[int, Place]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """One document: plain data and where it was written."""

    data: Json
    place: Place

    def line(self, *path: Any) -> int:
        """The line of the deepest part of this path that was written."""
        return find_line(self.place, path)


def find_line(place: Place, path: tuple[Any, ...]) -> int:
    """The line of the deepest part of a path, from a place on."""
    line = place if isinstance(place, int) else place.line
    for part in path:
        if isinstance(place, int) or part not in place.children:
            break
        line, place = place.children[part]
    return line


Trouble: TypeAlias = "tuple[int, str]"


def parse(raw: bytes) -> tuple[list[Document], list[Trouble]]:
    """The documents of one file, and everything wrong with it as (line, message). Never raises."""
    text, trouble = _decode(raw)
    if trouble is not None:
        return [], [trouble]
    builder = _Builder()
    try:
        _read(text, builder)
    except _Stop:
        pass
    except yaml.MarkedYAMLError as error:
        builder.say(*misread(error, text))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        builder.say(0, f"not YAML: {type(error).__name__}")
    return builder.documents, builder.troubles


def _read(text: str, builder: _Builder) -> None:
    loader = _LOADER(text)
    try:
        while loader.check_event():
            builder.take(loader.get_event())
    finally:
        loader.dispose()


def _decode(raw: bytes) -> tuple[str, Trouble | None]:
    if len(raw) > MAX_BYTES:
        return "", (0, f"longer than {MAX_BYTES} bytes; split it into several files")
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return "", (1, "begins with a byte order mark; save it as UTF-8 without one")
    try:
        text = raw.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        return "", (raw.count(b"\n", 0, error.start) + 1, "not UTF-8 text")
    text = text.replace("\r\n", "\n")
    control = _CONTROL.search(text)
    if control is not None:
        line = text.count("\n", 0, control.start()) + 1
        return "", (line, f"holds the control character U+{ord(control.group()):04X}; remove it")
    if not text.isascii():
        for index, character in enumerate(text):
            if character > "\x7f" and not is_seen(character):
                line = text.count("\n", 0, index) + 1
                return "", (line, f"holds the invisible character U+{ord(character):04X}; remove it")
    return text, None


def is_seen(character: str) -> bool:
    """Whether a person sees this character; an allow-list."""
    code = ord(character)
    if any(low <= code <= high for low, high in _UNSEEN):
        return False
    return unicodedata.category(character) in _SEEN_CATEGORIES


class _Stop(Exception):
    """Nothing after this can be read sensibly."""


class _Nothing:
    """No key is waiting for its value."""


_NOTHING = _Nothing()


class _Builder:
    """Takes the parser's events one at a time. A loop and a stack: depth costs no recursion."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.troubles: list[Trouble] = []
        self._nodes = 0
        # What is open now: the mapping or list, where it was written, and in a mapping the key that has no value yet.
        self._container: Any = None
        self._branch = Branch(0)
        self._key: Any = _NOTHING
        self._key_line = 0
        self._stack: list[tuple[Any, Branch, Any, int]] = []  # the same of what is around it
        self._take = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }

    def say(self, line: int, message: str) -> None:
        self.troubles.append((line, message))

    def take(self, event: Any) -> None:
        taker = self._take.get(type(event))
        if taker is not None:
            taker(event)

    def _stop(self, event: Any, message: str) -> None:
        self.say(event.start_mark.line + 1, message)
        raise _Stop

    def _document(self, event: Any) -> None:
        if event.version is not None or event.tags:
            self._stop(event, "YAML directives (`%...`) are not used here; remove the line")

    def _alias(self, event: Any) -> None:
        hint = f"put text that begins with `*` in quotes, or write the value of {shown('*' + event.anchor)} out"
        self._stop(event, f"aliases are not used here; {hint}")

    def _check(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES} values; split it into several files")
        if event.anchor is not None:
            self._stop(event, f"anchors are not used here; remove {shown('&' + event.anchor)}")
        if event.tag is not None:
            self._stop(
                event, f"tags are not used here; remove {shown(event.tag)}, or put text that begins with `!` in quotes"
            )

    def _open(self, event: Any) -> None:
        self._check(event)
        line = event.start_mark.line + 1
        if len(self._stack) >= MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH}")
        if self._key is _NOTHING and type(self._container) is dict:
            self._stop(event, "a key must be one word of text, not a list or a mapping")
        value: Any = {} if type(event) is yaml.MappingStartEvent else []
        branch = Branch(line)
        self._put(value, branch, line)
        self._stack.append((self._container, self._branch, self._key, self._key_line))
        self._container, self._branch, self._key, self._key_line = value, branch, _NOTHING, line

    def _close(self, _: Any) -> None:
        self._container, self._branch, self._key, self._key_line = self._stack.pop()

    def _scalar(self, event: Any) -> None:
        self._check(event)
        text, line = event.value, event.start_mark.line + 1
        plain = event.implicit[0]
        if event.style == '"':  # the only style in which an escape can bring in what the file itself may not hold
            self._escaped(text, line)
        if self._key is _NOTHING and type(self._container) is dict:
            self._take_key(text, plain, line)
        else:
            self._put(self._resolve(text, line, self._key) if plain else text, line, line)

    def _escaped(self, text: str, line: int) -> None:
        hidden = next((c for c in text if not (c in "\n\t" or " " <= c <= "~" or (c > "~" and is_seen(c)))), None)
        if hidden is not None:
            self.say(line, f"holds the invisible character U+{ord(hidden):04X}; remove it")

    def _take_key(self, text: str, plain: bool, line: int) -> None:
        trouble = _key_trouble(text, plain)
        if trouble is not None:
            self.say(line, trouble)
        elif text in self._container:
            first = self._branch.children[text][0]
            self.say(line, f"the key {shown(text)} is given twice; the first is in line {first}")
        self._key, self._key_line = text, line

    def _resolve(self, text: str, line: int, key: Any) -> Json:
        value = _plain(text)
        if not isinstance(value, _Refused):
            return value
        broken = not text and type(key) is str and _key_trouble(key, True) is not None  # and told so already
        if not broken and not (value.date and key in DATE_KEYS):
            self.say(line, value.why + _about(key, value, text))
        return text

    def _put(self, value: Any, place: Place, line: int) -> None:
        container = self._container
        if type(container) is dict:
            # The key's line is where an owner looks; a block below it begins a line later.
            self._branch.children[self._key] = (self._key_line, place)
            container[self._key] = value
            self._key = _NOTHING
        elif container is None:
            self.documents.append(Document(value, place))
        else:
            self._branch.children[len(container)] = (line, place)
            container.append(value)


@dataclass(frozen=True, slots=True)
class _Refused:
    why: str
    date: bool = False


def _about(key: Any, refused: _Refused, text: str) -> str:
    """What the key says about a value that is refused."""
    if type(key) is not str:
        return ""
    if refused.date:
        meant = nearest(key, DATE_KEYS)
        return "" if meant is None else f"; or did you mean the key {shown(meant)}?"
    if text or ":" not in key:
        return ""
    return f"; after the colon in {shown(key)} stands a space"


# The same few keys and words come again in every file.
@lru_cache(maxsize=8192)
def _key_trouble(text: str, plain: bool) -> str | None:
    if plain and _DIGITS.fullmatch(text) is not None:
        return f"{shown(text)} stands where a key should; write numbers without commas, or quotes around a key"
    if plain and type(_plain(text)) is not str:
        return f"the key {shown(text)} is not text to every reader of YAML; write it in quotes"
    if _KEY.fullmatch(text) is None:
        return f"the key {shown(text)} must be 1 to 200 printable ASCII characters"
    return None


_SAME = {"true": True, "false": False, "null": None}


def _plain(text: str) -> Json | _Refused:
    """What a word without quotes stands for: text, or JSON; or why it is refused."""
    if text in _SAME:
        return _SAME[text]
    if not text:
        return _Refused("a value is missing; write it, or `null`, `{}`, `[]` or `''`")
    first = text[0]
    if first in "0123456789+-.":
        return _number(text)
    if first in "yYnNoOtTfF~=<" and _WORDS.fullmatch(text) is not None:
        return _Refused(
            f"{shown(text)} is not text to every reader of YAML; write `true`, `false`, `null` or use quotes"
        )
    return text


def _number(text: str) -> Json | _Refused:
    if _INTEGER.fullmatch(text) is not None:
        if len(text) < 18 and -MAX_INTEGER <= int(text) <= MAX_INTEGER:
            return int(text) if text != "-0" else 0
        return _Refused(f"{shown(text)} is beyond +-{MAX_INTEGER}; write it in quotes")
    if _DECIMAL.fullmatch(text) is not None:
        value = float(text)
        if value - value != 0.0:
            return _Refused(f"{shown(text)} is too large for a number")
        return value
    if _DATE.fullmatch(text) is not None:
        return _Refused(f"{shown(text)} is a date to some readers of YAML; write it in quotes", date=True)
    if _ODD_NUMBER.fullmatch(text) is not None or _WORDS.fullmatch(text) is not None:
        return _Refused(f"{shown(text)} is not the same number to every reader of YAML; write it plainly or in quotes")
    return text
