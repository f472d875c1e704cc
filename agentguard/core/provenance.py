"""Where a value came from: the run's inputs, what was kept, what tools returned, and what outsiders could write.

The rules:

1. A value comes from a source if the source held exactly it: the same text, or the same number. Of a list or an object
   every single text and number is judged; booleans and null come from nowhere. In an empty list or object there is
   nothing that could be from elsewhere.
2. Outsiders' text is compared without what a spelling can change: case, accents, width, punctuation, spaces, what
   nobody can see, JSON escapes, HTML entities, percent-encoding. It is enough that it *contains* the value. Short
   values are contained in nearly any text, and count as seen there all the same.
3. Inputs were there before everything. Else the order of calls decides who had a value first: outsiders' text counts
   from when its call was admitted, a clean value from when its call had ended. In a tie outsiders had it first.
4. A named place (``list_files[*].id_``) is its owner's word that a value comes from there: what stood at that place,
   and was not outsiders' there, passes whatever stands in free text elsewhere, and however early.
5. Past the bounds of text, what outsiders wrote is known in pieces (``core.coarse``): more is taken for theirs, and
   never less. Past those of values, new ones are not remembered. After a result that could not be followed nothing is
   known any more, but of inputs and of named places.

Pure, and the same in the guard, in decision cases and in the ledger.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Any, TypeAlias, TypeGuard

from agentguard.core.canonical import NotCanonical, canonical_bytes
from agentguard.core.coarse import NOTHING_COARSE, Coarse, pieces_of
from agentguard.core.paths import Missing, Named, Path, Where, leaves_at, scalar_key, value_at
from agentguard.core.sealed import sealed
from agentguard.core.text.told import EVERYTHING_LOST, NOTHING_TOLD, Telling, Told
from agentguard.core.values import Json

Scalar: TypeAlias = "str | int | float"

# What one run may hold. An argument is compared with all of it before a call runs: some 10 ms at these sizes.
MAX_VALUES = 20_000
MAX_TEXT = 256 * 1024
MAX_MARKS = 2_000
# Texts and numbers in one argument; past it, nothing is known of it.
MAX_PARTS = 100
# Outsiders' text of one result before its spelling is taken away, which shortens it. Past it, it is lost.
MAX_RAW = 4 * 1024 * 1024
# How often what was escaped is read again.
MAX_READINGS = 4

NO_PLACES: Mapping[str, Path] = MappingProxyType({})
# A value that was given in no other spelling.
_SAME: Any = object()

INPUTS, CATALOG, UNTRUSTED, FIRST, UNKNOWN = "inputs", "catalog", "untrusted", "untrusted-first", "unknown"
# What the source of a named place begins with; no tool's name does.
PLACE = "@"
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


@sealed
@dataclass(frozen=True, slots=True)
class Brought:
    """What one call's result brings: clean values by source (the tool, ``kept.NAME``, a named place), outsiders' text.

    ``call`` is the number of the call in its run, as it was admitted. ``lost``: it could not be followed. ``telling``:
    what the call returned and was given, where the workflow asks what a text carries. ``pieces``: text that is too long
    to be kept letter by letter, as ``core.coarse`` holds it.
    """

    tool: str
    call: int
    clean: Mapping[str, frozenset[bytes]]
    text: str = ""
    lost: bool = False
    telling: Telling | None = None
    pieces: bytes = b""

    def gone(self) -> Brought:
        """The same call, when what it brought could not be stored."""
        telling = self.telling
        return Brought(self.tool, self.call, {}, lost=True, telling=None if telling is None else telling.gone())


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run has seen, oldest first. ``coarse``: outsiders' text past ``MAX_TEXT``. ``overflowed``: some of it was
    lost, so nothing is known of any value but of inputs and named places. ``telling``: what texts may carry, which has
    bounds of its own; None where nobody said."""

    marks: tuple[Mark, ...] = ()
    overflowed: bool = False
    coarse: Coarse | None = None
    telling: Told | None = None

    @property
    def told(self) -> Told:
        """What tools returned and were given. Where marks were lost and nobody said of these, these were lost, too."""
        if self.telling is not None:
            return self.telling
        return EVERYTHING_LOST if self.overflowed else NOTHING_TOLD

    @property
    def room(self) -> int:
        """How much more of outsiders' text is kept letter by letter."""
        return MAX_TEXT - sum([len(mark.text) for mark in self.marks]) if len(self.marks) < MAX_MARKS else 0

    def after(self, brought: Brought, calls: int) -> Seen:
        """With one more result, which came in when so many calls had been admitted."""
        telling = self.telling if brought.telling is None else self.told.after(brought.telling, calls)
        marks = [*self.marks]
        # Named places first: what they hold was asked for by name.
        for source, values in sorted(brought.clean.items(), key=lambda item: (not is_place(item[0]), item[0])):
            new = values.difference(*(mark.values for mark in marks if mark.source == source))
            if new and sum(len(mark.values) for mark in marks) + len(new) <= MAX_VALUES:
                _remember(marks, source, calls, new)
        if self.overflowed or brought.lost:
            return Seen(tuple(mark for mark in marks if is_place(mark.source)), True, telling=telling)
        coarse, pieces = self.coarse, brought.pieces
        if brought.text and not any(brought.text in m.text for m in marks if m.source == brought.tool):
            if len(brought.text) <= MAX_TEXT - sum(len(m.text) for m in marks) and len(marks) < MAX_MARKS:
                marks.append(Mark(brought.tool, brought.call, text=brought.text))
            else:
                pieces = pieces_of(brought.tool, brought.text)
        if pieces:
            coarse = (coarse or NOTHING_COARSE).after(brought.tool, brought.call, pieces)
        return Seen(tuple(marks), coarse=coarse, telling=telling)

    def holds(self, *texts: str) -> bool:
        """Whether outsiders' text contains one of these, or may."""
        return self.overflowed or any(True for _ in self.holders({w for text in texts for w in spellings(text)}))

    def holders(self, wanted: Collection[str]) -> Iterator[tuple[str, int]]:
        """The tools whose text contains one of these spellings, or may, and since which call."""
        for mark in self.marks:
            for spelling in wanted if mark.text else ():
                if spelling in mark.text:
                    yield mark.source, mark.order
                    break
        for tool, order in () if self.coarse is None else self.coarse.first.items():
            if any(self.coarse is not None and self.coarse.may_hold(tool, spelling) for spelling in wanted):
                yield tool, order


def _remember(marks: list[Mark], source: str, calls: int, new: frozenset[bytes]) -> None:
    """Add a mark; where there are many, join the new values with the last of that source, as of now."""
    last = next((at for at in reversed(range(len(marks))) if marks[at].source == source and marks[at].values), None)
    if last is not None and (is_place(source) or len(marks) >= MAX_MARKS):
        marks[last] = Mark(source, calls, marks[last].values | new)
    elif len(marks) < MAX_MARKS:
        marks.append(Mark(source, calls, new))


def is_place(source: str) -> bool:
    """Whether a source is a named place (``@list_files[*].id_``), and not a tool or another word."""
    return source.startswith(PLACE)


NOTHING_SEEN = Seen()


@sealed
@dataclass(frozen=True, slots=True)
class Part:
    """Where one text or number came from. ``outsiders``: the tools whose untrusted fields hold it, or may. ``places``:
    the named places that held it. ``lost``: nobody knows, but of places. ``is_nothing``: it is an empty list or object,
    so there is nothing in it that could be from elsewhere."""

    clean: frozenset[str]
    outsiders: frozenset[str]
    outsider_first: bool
    places: frozenset[str] = frozenset()
    lost: bool = False
    is_nothing: bool = False


@dataclass(frozen=True, slots=True)
class Origins:
    """Where a value's parts came from."""

    parts: tuple[Part, ...]

    @property
    def words(self) -> list[str]:
        """In words: a clean source holds for every part; what outsiders had, and what is unknown, for any."""
        named = [part.clean | {place.removeprefix(PLACE) for place in part.places} for part in self.parts]
        words = set(frozenset[str].intersection(*named) if named else ())
        for part in self.parts:
            if part.outsiders:
                words |= {UNTRUSTED, *(f"{UNTRUSTED}:{tool}" for tool in part.outsiders)}
            if part.outsider_first:
                words.add(FIRST)
            if part.lost or (not part.clean and not part.places and not part.outsiders):
                words.add(UNKNOWN)
        return sorted(words or {UNKNOWN})


NOTHING_STANDS_THERE = Origins(())


class Trail:
    """Finds out where values came from, in one run as it is now.

    ``places``: the named places that its workflow asks for, by source. ``arguments``: of the call, which their paths
    may read.
    """

    __slots__ = ("_given", "_held", "_places", "_roots", "_seen")

    def __init__(
        self,
        inputs: Mapping[str, Json],
        kept: Mapping[str, Json],
        seen: Seen,
        places: Mapping[str, Path] = NO_PLACES,
        arguments: Mapping[str, Json] = MappingProxyType({}),
    ) -> None:
        self._seen = seen
        self._places = places
        self._roots = {"inputs": inputs, "kept": kept, "args": arguments}
        self._held: dict[str, frozenset[object]] = {}
        self._given: dict[Scalar, set[str]] = {}
        for name, value in inputs.items():
            self._add(value, INPUTS, f"{INPUTS}.{name}")
        for name, value in kept.items() if not seen.overflowed else ():
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
        if len(parts) > MAX_PARTS or len(parts) != len(others):
            return None
        return Origins(tuple(map(self._part, parts, others)))

    def is_clean(self, leaf: Json, source: str) -> bool:
        """Whether a text or number comes from a source, and no outsider had it first."""
        part = self._part(leaf, leaf)
        return source in part.clean and not part.outsider_first

    def held_at(self, source: str) -> Iterator[Json]:
        """The texts and numbers that stand at a named place in what the run holds, and were clean when they came."""
        path = self._places.get(source)
        if path is None or path.root not in self._roots:
            return
        came = frozenset[bytes]().union(*(mark.values for mark in self._seen.marks if mark.source == source))
        for leaf in self._leaves_of(path):
            if path.root == INPUTS or digest(leaf) in came:
                yield leaf

    def _part(self, leaf: Json, spelt: Json) -> Part:
        scalars = [part for part in (leaf, spelt) if _is_scalar(part)] if _is_scalar(leaf) else []
        is_nothing = isinstance(leaf, list | dict) and isinstance(spelt, list | dict)
        keys = {digest(part) for part in scalars} - {None}  # what has no exact form is equal to nothing
        given = set().union(*(self._given.get(part, ()) for part in scalars))
        holding = [mark for mark in self._seen.marks if not keys.isdisjoint(mark.values)]
        marked = {mark.source for mark in holding}
        places = frozenset(name for name in self._places if self._stood_at(name, scalars, marked))
        if self._seen.overflowed:
            return Part(frozenset(given), frozenset(), False, places, INPUTS not in given, is_nothing)
        # What is kept counts only while it is; what a tool returned stays returned.
        clean = given | {source for source in marked if not source.startswith(("kept.", PLACE))}
        orders = [0] if INPUTS in given else [mark.order for mark in holding if mark.source in clean]
        outside = list(self._seen.holders(spellings(leaf) | spellings(spelt)))
        # Without an order (what trusted code gave to keep) nobody knows who was first, so outsiders were.
        first = bool(outside) and (not orders or min(order for _, order in outside) <= min(orders))
        tools = frozenset(tool for tool, _ in outside)
        return Part(frozenset(clean), tools, first, places, is_nothing=is_nothing)

    def _stood_at(self, name: str, scalars: Sequence[Scalar], marked: Collection[str]) -> bool:
        """Whether one of these stood at a named place: at that time, and of what the run holds, now."""
        path = self._places[name]
        if path.root != INPUTS and name not in marked:
            return False
        if path.root not in self._roots:
            return True
        if name not in self._held:
            self._held[name] = frozenset(map(scalar_key, self._leaves_of(path)))
        return any(scalar_key(scalar) in self._held[name] for scalar in scalars)

    def _leaves_of(self, path: Path) -> Iterator[Json]:
        """What stands at a place now; of one element or member, where the path chooses it."""
        if not any(isinstance(step, Where | Named) for step in path.steps):
            return leaves_at(path.steps, self._roots[path.root])
        found = value_at(path, self._roots)
        return iter(()) if isinstance(found, Missing) else leaves_at((), found)


def digest(leaf: Json) -> bytes | None:
    """What stands for one text or number exactly; None for what is neither, or has no exact form as JSON."""
    if type(leaf) is str and len(leaf) <= _SHORT:
        return _digest_of_text(leaf)
    return _digest(leaf) if _is_scalar(leaf) else None


def _digest(leaf: Json) -> bytes | None:
    try:
        return sha256(canonical_bytes(leaf)).digest()
    except NotCanonical:
        return None


# What a tool returned is looked for again when it is an argument. Only short texts are remembered.
_SHORT = 200
_digest_of_text = lru_cache(maxsize=4096)(_digest)


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
        return _spellings_of_text(leaf) if len(leaf) <= _SHORT else _spellings_of(leaf)
    if isinstance(leaf, bool) or not isinstance(leaf, int | float):
        return frozenset()
    number = abs(leaf)
    fixed = _fixed(number)
    return frozenset({_plain(_exact(number)), _plain(fixed), _plain(fixed).lstrip("0") or "0"})


def _spellings_of(text: str) -> frozenset[str]:
    return frozenset(map(_plain, _readings(text)))


_spellings_of_text = lru_cache(maxsize=4096)(_spellings_of)


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
    if "\\" not in text and "&" not in text and "%" not in text:
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
