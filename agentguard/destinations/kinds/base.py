"""What a kind of destination is, and the base of the kinds whose argument is one text.

A kind turns one argument into canonical places, and says which catalog patterns such a place answers to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Protocol, TypeAlias, runtime_checkable

from agentguard.core.values import Json, Place


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """An argument that names no single place. ``reason`` is a stable slug, such as ``userinfo``.

    ``unless_promised`` is the place that it does name where an entry of the catalog promises what the reason is about.
    """

    reason: str
    unless_promised: Place | None = field(default=None, compare=False)


Derived: TypeAlias = "tuple[Place, ...] | Ambiguous"


class Kind(Protocol):
    """One kind of destination.

    ``options`` names what a declaration may set. ``rewrites_argument`` says that a place's id is a usable argument,
    which the tool is given instead of the original spelling. ``max_per_call`` bounds how many such arguments one call
    may carry. A kind may also say ``seen_as_id = True``: then conditions see the id, and the tool is given the
    original spelling.
    """

    @property
    def name(self) -> str:
        """The word that declarations and catalogs use."""

    @property
    def options(self) -> frozenset[str]:
        """The names of the options a declaration may set."""

    @property
    def rewrites_argument(self) -> bool:
        """Whether the tool is given the canonical id instead of the original argument."""

    @property
    def max_per_call(self) -> int:
        """How many arguments of this kind one call may carry."""

    def derive(self, value: Json, options: Mapping[str, Json]) -> Derived:
        """The places this argument leads to. Never raises, and its time is bounded by a size limit."""

    def option_problem(self, options: Mapping[str, Json]) -> str | None:
        """What is wrong with a declaration's options, in the owner's words, or None."""

    def pattern_key(self, pattern: str) -> str:
        """The canonical spelling of a catalog pattern. Raises ValueError, saying what was expected."""

    def place_keys(self, place: Place) -> Iterable[str]:
        """Every pattern key that covers the place, most specific first."""


@runtime_checkable
class Divided(Kind, Protocol):
    """A kind whose places have parts that a catalog can list on their own, as a table has columns."""

    def split_pattern(self, pattern: str) -> tuple[str, str] | None:
        """The pattern of the place and the name of the part, or None for a pattern of whole places."""

    def touches(self, place: Place, part: str) -> bool:
        """Whether a listed part may be reached. Only certainty says no."""

    def part_id(self, place: Place, part: str) -> str:
        """The id of a place's part."""


@runtime_checkable
class Recalled(Kind, Protocol):
    """A kind whose ids are not arguments, and that can read them back all the same."""

    def place_from_id(self, identity: str) -> Place | None:
        """The place that an id in a record names, or None."""


def is_seen_as_id(kind: Kind) -> bool:
    """Whether conditions see the id of a place in place of the argument."""
    return kind.rewrites_argument or getattr(kind, "seen_as_id", None) is True


@runtime_checkable
class Promised(Kind, Protocol):
    """A kind of which some places and patterns are refused, unless an entry of the catalog promises something."""

    @property
    def promises(self) -> frozenset[str]:
        """The words that an entry of this kind may promise."""

    def promise_problem(self, pattern: str, promises: frozenset[str]) -> str | None:
        """What is wrong with what an entry promises, or does not, in its owner's words; or None."""

    def doubt(self, place: Place, promises: Iterable[frozenset[str]]) -> str | None:
        """Why a place is refused, given what each entry promises that covers it; or None. Asked of every place, also of
        those that stand in ``Ambiguous.unless_promised``."""


class TextKind(ABC):
    """The base of a kind whose argument is one text: a new kind writes the name and three methods.

    ``read`` is called with a text that is not too long, and with options that ``option_problem`` has accepted.
    """

    name: ClassVar[str]
    options: ClassVar[frozenset[str]] = frozenset()
    rewrites_argument: ClassVar[bool] = False
    seen_as_id: ClassVar[bool] = False
    max_per_call: ClassVar[int] = 256
    max_length: ClassVar[int]

    def derive(self, value: Json, options: Mapping[str, Json]) -> Derived:
        """The places the argument leads to."""
        if type(value) is not str:
            return Ambiguous("not_a_string")
        if self.option_problem(options) is not None:
            return Ambiguous("bad_option")
        return Ambiguous("too_long") if len(value) > self.max_length else self.read(value, options)

    def option_problem(self, options: Mapping[str, Json]) -> str | None:
        """What is wrong with a declaration's options: here, that there is one the kind does not have."""
        return unknown_options(options, self.options) if options else None

    def place(self, identity: str, **parts: str) -> tuple[Place]:
        """The answer that names one place."""
        return (make_place(self.name, identity, **parts),)

    @abstractmethod
    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        """The places the text leads to."""

    @abstractmethod
    def pattern_key(self, pattern: str) -> str:
        """The canonical spelling of a catalog pattern. Raises ValueError, saying what was expected."""

    @abstractmethod
    def place_keys(self, place: Place) -> Iterable[str]:
        """Every pattern key that covers the place, most specific first."""


def make_place(kind: str, identity: str, **parts: str) -> Place:
    """A place whose parts nobody can change."""
    return Place(kind, identity, MappingProxyType(parts))


def unknown_options(given: Mapping[str, Json], known: frozenset[str]) -> str | None:
    """A sentence about the first option that the kind does not have."""
    for name in sorted(given):
        if name not in known:
            expected = ", ".join(f"`{word}`" for word in sorted(known)) or "none"
            return f"`{name}` is not an option of this kind; expected {expected}"
    return None


def option_words(options: Mapping[str, Json], name: str, default: frozenset[str]) -> frozenset[str] | None:
    """An option that is a list of words; None where it is something else."""
    given = options.get(name)
    if given is None:
        return default
    if not isinstance(given, list) or not given:
        return None
    words = frozenset(word for word in given if isinstance(word, str))
    return words if len(words) == len(given) else None
