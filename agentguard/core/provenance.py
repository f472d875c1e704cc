"""Where a value came from: the run's inputs, what was kept, what tools returned, and what outsiders could write.

The rules:

1. A value comes from a source if the source held exactly it: the same text, or the same number. Of a list or an object
   every single text and number is judged; a value that holds none comes from nowhere, and so do booleans and null.
2. Outsiders' text is compared without what a spelling can change: case, accents, width, punctuation, spaces, what
   nobody can see, JSON escapes, HTML entities, percent-encoding. It is enough that it *contains* the value. Short
   values are contained in nearly any text, and count as seen there all the same.
3. Inputs were there before everything. Else the order of calls decides who had a value first: outsiders' text counts
   from when its call was admitted, a clean value from when its call had ended. In a tie outsiders had it first.
4. Past the bounds nothing is known any more, of any value.

Pure, and the same in the guard, in decision cases and in the ledger.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any, TypeAlias, TypeGuard

from agentguard.core.canonical import NotCanonical, canonical_bytes
from agentguard.core.text.told import EVERYTHING_LOST, NOTHING_TOLD, Telling, Told
from agentguard.core.values import Json

Scalar: TypeAlias = "str | int | float"

# What one run may hold. An argument is compared with all of it before a call runs: some 10 ms at these sizes.
MAX_VALUES = 20_000
MAX_TEXT = 256 * 1024
MAX_MARKS = 2_000
# Texts and numbers in one argument; past it, nothing is known of it.
MAX_PARTS = 100
# Outsiders' text of one result before its spelling is taken away, which shortens it.
MAX_RAW = 1024 * 1024
# How often what was escaped is read again.
MAX_READINGS = 4

# A value that was given in no other spelling.
_SAME: Any = object()

INPUTS, CATALOG, UNTRUSTED, FIRST, UNKNOWN = "inputs", "catalog", "untrusted", "untrusted-first", "unknown"
# Words that stand for something else than a tool of that name.
RESERVED = frozenset({INPUTS, CATALOG, UNTRUSTED, FIRST, UNKNOWN})

_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
# Letters by their category, and nothing to the eye.
_FILLERS = dict.fromkeys((0x115F, 0x1160, 0x3164, 0xFFA0, 0x17B4, 0x17B5))
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_PERCENT = re.compile("(?:%[0-9a-fA-F]{2})+")
_LONG_ENTITY = re.compile("&#(?:([xX])(?=[0-9a-fA-F]{8})|(?=[0-9]{8}))([0-9a-fA-F]+)")
_MOST_DIGITS = 7
_JSON_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|([nrtbf"/\\]))')


@dataclass(frozen=True, slots=True)
class Mark:
    """What one source had, and since when: ``values`` are digests of clean texts and numbers, ``text`` outsiders'."""

    source: str
    order: int
    values: frozenset[bytes] = frozenset()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Brought:
    """What one call's result brings: clean values by source (the tool, ``kept.NAME``), and outsiders' text.

    ``call`` is the number of the call in its run, as it was admitted. ``lost``: it could not be followed. ``telling``:
    what the call returned and was given, where the workflow asks what a text carries.
    """

    tool: str
    call: int
    clean: Mapping[str, frozenset[bytes]]
    text: str = ""
    lost: bool = False
    telling: Telling | None = None

    def gone(self) -> Brought:
        """The same call, when what it brought could not be stored."""
        telling = self.telling
        return Brought(self.tool, self.call, {}, lost=True, telling=None if telling is None else telling.gone())


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run has seen, oldest first. ``overflowed``: some of it was lost, so nothing is known of any value.
    ``telling``: what texts may carry, which has bounds of its own; None where nobody said."""

    marks: tuple[Mark, ...] = ()
    overflowed: bool = False
    telling: Told | None = None

    @property
    def told(self) -> Told:
        """What tools returned and were given. Where marks were lost and nobody said of these, these were lost, too."""
        if self.telling is not None:
            return self.telling
        return EVERYTHING_LOST if self.overflowed else NOTHING_TOLD

    def after(self, brought: Brought, calls: int) -> Seen:
        """With one more result, which came in when so many calls had been admitted."""
        telling = self.telling if brought.telling is None else self.told.after(brought.telling, calls)
        if self.overflowed or brought.lost:
            return Seen((), True, telling)
        fresh = []
        for source, values in sorted(brought.clean.items()):
            new = values.difference(*(mark.values for mark in self.marks if mark.source == source))
            if new:
                fresh.append(Mark(source, calls, new))
        if brought.text and not any(brought.text in m.text for m in self.marks if m.source == brought.tool):
            fresh.append(Mark(brought.tool, brought.call, text=brought.text))
        marks = (*self.marks, *fresh)
        fits = (
            len(marks) <= MAX_MARKS
            and sum(len(mark.values) for mark in marks) <= MAX_VALUES
            and sum(len(mark.text) for mark in marks) <= MAX_TEXT
        )
        return Seen(marks, telling=telling) if fits else Seen((), True, telling)

    def holds(self, *texts: str) -> bool:
        """Whether outsiders' text contains one of these, or may."""
        if self.overflowed:
            return True
        wanted = {spelling for text in texts for spelling in spellings(text)}
        return any(spelling in mark.text for mark in self.marks if mark.text for spelling in wanted)


NOTHING_SEEN = Seen()


@dataclass(frozen=True, slots=True)
class Part:
    """Where one text or number came from. ``outsiders``: the tools whose untrusted fields hold it."""

    clean: frozenset[str]
    outsiders: frozenset[str]
    outsider_first: bool


@dataclass(frozen=True, slots=True)
class Origins:
    """Where a value's parts came from."""

    parts: tuple[Part, ...]

    @property
    def words(self) -> list[str]:
        """In words: a clean source holds for every part; what outsiders had, and what is unknown, for any."""
        clean = frozenset.intersection(*(part.clean for part in self.parts)) if self.parts else frozenset()
        words = set(clean)
        for part in self.parts:
            if part.outsiders:
                words |= {UNTRUSTED, *(f"{UNTRUSTED}:{tool}" for tool in part.outsiders)}
            if part.outsider_first:
                words.add(FIRST)
            if not part.clean and not part.outsiders:
                words.add(UNKNOWN)
        return sorted(words or {UNKNOWN})


class Trail:
    """Finds out where values came from, in one run as it is now."""

    __slots__ = ("_given", "_seen")

    def __init__(self, inputs: Mapping[str, Json], kept: Mapping[str, Json], seen: Seen) -> None:
        self._seen = seen
        self._given: dict[Scalar, set[str]] = {}
        for name, value in inputs.items():
            self._add(value, INPUTS, f"{INPUTS}.{name}")
        for name, value in kept.items():
            self._add(value, f"kept.{name}")

    def _add(self, value: Json, *sources: str) -> None:
        for leaf in _leaves(value, MAX_VALUES):
            if _is_scalar(leaf):
                self._given.setdefault(leaf, set()).update(sources)

    def origins(self, value: Json, spelt: Json = _SAME) -> Origins | None:
        """Where a value came from, or None where that cannot be found out.

        ``spelt`` is the same value in the spelling in which it was given: a destination was returned, or written by an
        outsider, in either.
        """
        parts = list(_leaves(value, MAX_PARTS + 1))
        others = parts if spelt is _SAME else list(_leaves(spelt, MAX_PARTS + 1))
        if self._seen.overflowed or len(parts) > MAX_PARTS or len(parts) != len(others):
            return None
        return Origins(tuple(map(self._part, parts, others)))

    def _part(self, leaf: Json, spelt: Json) -> Part:
        scalars = [part for part in (leaf, spelt) if _is_scalar(part)]
        keys = {digest(part) for part in scalars} - {None}  # what has no exact form is equal to nothing
        given = set().union(*(self._given.get(part, ()) for part in scalars))
        holding = [mark for mark in self._seen.marks if not keys.isdisjoint(mark.values)]
        # What is kept counts only while it is; what a tool returned stays returned.
        clean = given | {mark.source for mark in holding if not mark.source.startswith("kept.")}
        orders = [0] if INPUTS in given else [mark.order for mark in holding if mark.source in clean]
        wanted = spellings(leaf) | spellings(spelt)
        outside = [mark for mark in self._seen.marks if mark.text and any(spelling in mark.text for spelling in wanted)]
        # Without an order (what trusted code gave to keep) nobody knows who was first, so outsiders were.
        first = bool(outside) and (not orders or min(mark.order for mark in outside) <= min(orders))
        return Part(frozenset(clean), frozenset(mark.source for mark in outside), first)


def digest(leaf: Json) -> bytes | None:
    """What stands for one text or number exactly; None for what is neither, or has no exact form as JSON."""
    if not _is_scalar(leaf):
        return None
    try:
        return sha256(canonical_bytes(leaf)).digest()
    except NotCanonical:
        return None


def digests(value: Json) -> frozenset[bytes]:
    """The digests of every text and number in a value."""
    found = (digest(leaf) for leaf in _leaves(value, MAX_VALUES + 1))
    return frozenset(key for key in found if key is not None)


def outsiders_text(leaves: Iterable[Json]) -> str | None:
    """Outsiders' texts and numbers as they are compared, in the order in which they were returned; None: too long.

    They stand without anything between, so that a value that was split over two fields is found.
    """
    scalars = [leaf for leaf in leaves if _is_scalar(leaf)]
    if sum(len(leaf) if isinstance(leaf, str) else 1 for leaf in scalars) > MAX_RAW:
        return None
    whole = "".join(leaf if isinstance(leaf, str) else _fixed(leaf) for leaf in scalars)
    if len(whole) > MAX_RAW:  # a number of a few digits and an exponent is long when it is written out
        return None
    other = {spelling for leaf in scalars if not isinstance(leaf, str) for spelling in spellings(leaf)}
    texts = dict.fromkeys((*map(_plain, _readings(whole)), *sorted(other)))
    return "\n".join(text for text in texts if text)


def spellings(leaf: Json) -> frozenset[str]:
    """A text or number without what a spelling can change, in every form that it may be meant in."""
    if isinstance(leaf, str):
        return frozenset(map(_plain, _readings(leaf)))
    if isinstance(leaf, bool) or not isinstance(leaf, int | float):
        return frozenset()
    number = abs(leaf)
    fixed = _fixed(number)
    return frozenset({_plain(_exact(number)), _plain(fixed), _plain(fixed).lstrip("0") or "0"})


def _is_scalar(leaf: object) -> TypeGuard[Scalar]:
    return isinstance(leaf, str | int | float) and not isinstance(leaf, bool)


def _exact(number: float) -> str:
    try:
        return canonical_bytes(number).decode()
    except NotCanonical:
        return str(number)


def _fixed(number: float) -> str:
    """Without an exponent, and without a fraction that is nought."""
    if number - number != 0:
        return str(number)
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _leaves(value: Json, most: int) -> Iterator[Json]:
    """Every value that is no container, in order, up to so many. An empty container is one part: of nothing."""
    pending: list[Json] = [value]
    while pending and most > 0:
        item = pending.pop()
        inside = list(item.values()) if isinstance(item, dict) else item if isinstance(item, list) else None
        if inside:
            pending += reversed(inside)
        else:
            most -= 1
            yield item


def _plain(text: str) -> str:
    if text.isascii():
        return _NOT_ALPHANUMERIC.sub("", text.lower())
    # In pieces, so that other threads get their turn: one translation holds the interpreter.
    return "".join(text[at : at + _PIECE].translate(_LETTERS) for at in range(0, len(text), _PIECE))


class _Letters(dict[int, str]):
    """What is left of each character. One at a time: putting the marks of a whole text in order (a letter with 60,000
    of them) takes time in their square, and no mark is left in the end, so their order says nothing."""

    def __missing__(self, code: int) -> str:
        left = chr(code)
        if not (left.isalnum() or unicodedata.decomposition(left) or left.casefold() != left):
            return ""  # nor kept: outsiders can write a million of these
        for _ in range(2):  # folding case can bring in what decomposes, and the other way about (Unicode, D146)
            left = unicodedata.normalize("NFKD", left).casefold()
        left = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in left.translate(_FILLERS))
        left = _NOT_ALPHANUMERIC.sub("", left)
        if len(self) < _MOST_LETTERS:
            self[code] = left
        return left


_PIECE = 16 * 1024
# Every letter that Unicode has by now, and some to come.
_MOST_LETTERS = 200_000
_LETTERS = _Letters()


def _readings(text: str) -> list[str]:
    """The text as it is, and with what is escaped in it read: JSON in JSON, an entity in an encoded address."""
    found = [text]
    while len(found) < MAX_READINGS and (read := _decoded(found[-1])) != found[-1]:
        found.append(read)
    return found


def _decoded(text: str) -> str:
    """With JSON escapes, HTML entities and percent-encoding read once."""
    if not any(sign in text for sign in "\\&%"):
        return text
    text = _LONG_ENTITY.sub(_shortened, _JSON_ESCAPE.sub(_unescaped, text))
    if _SURROGATE.search(text) is not None:  # JSON writes a character beyond 16 bits as two
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = html.unescape(text)
    return _PERCENT.sub(lambda found: bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "replace"), text)


def _shortened(found: re.Match[str]) -> str:
    """An entity without its leading noughts. One of more digits than any character has stands for none, and must not
    keep those beside it from being read."""
    digits = found[2].lstrip("0") or "0"
    return "" if len(digits) > _MOST_DIGITS else f"&#{found[1] or ''}{digits}"


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[2], found[2])


_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
