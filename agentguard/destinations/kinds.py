"""What a kind of destination is, and the table of kinds.

A kind turns one argument into canonical places, and says which catalog patterns such a place answers to.
Third parties add kinds through the entry-point group ``agentguard.destinations``; a built-in name cannot be
taken over. Everything here is loaded when first used, so importing this package costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast, runtime_checkable

from agentguard.core.values import Json, Place

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "agentguard.destinations"


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """An argument that names no single place. ``reason`` is a stable slug, such as ``userinfo``."""

    reason: str


Derived: TypeAlias = "tuple[Place, ...] | Ambiguous"


class Kind(Protocol):
    """One kind of destination.

    ``options`` names what a declaration may set. ``handed_on`` says that a place's id is a usable argument,
    which the tool is given instead of the original spelling. ``most`` bounds how many such arguments one call
    may carry.
    """

    @property
    def name(self) -> str:
        """The word that declarations and catalogs use."""

    @property
    def options(self) -> frozenset[str]:
        """The names of the options a declaration may set."""

    @property
    def handed_on(self) -> bool:
        """Whether the tool is given the canonical id instead of the original argument."""

    @property
    def most(self) -> int:
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


_BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "channel": "agentguard.destinations.channel:CHANNEL",
        "command": "agentguard.destinations.command:COMMAND",
        "dsn": "agentguard.destinations.dsn:DSN",
        "email": "agentguard.destinations.email:EMAIL",
        "git": "agentguard.destinations.git:GIT",
        "host": "agentguard.destinations.host:HOST",
        "iban": "agentguard.destinations.iban:IBAN",
        "ip": "agentguard.destinations.ip:IP",
        "object": "agentguard.destinations.object_store:OBJECT",
        "path": "agentguard.destinations.path:PATH",
        "pattern": "agentguard.destinations.pattern:PATTERN",
        "sql": "agentguard.destinations.sql:SQL",
        "url": "agentguard.destinations.url:URL_KIND",
    }
)
_MEMBERS = ("derive", "option_problem", "pattern_key", "place_keys")

_loaded: dict[str, Kind] = {}
_lock = threading.Lock()


def find_kind(name: str) -> Kind | None:
    """The kind of this name, loaded on first use; None where there is none or it cannot be loaded."""
    found = _loaded.get(name)
    return found if found is not None else _load(name)


def kind_names() -> tuple[str, ...]:
    """Every name ``find_kind`` knows, for messages."""
    return tuple(sorted({*_BUILT_IN, *_foreign()}))


def _load(name: str) -> Kind | None:
    with _lock:
        if name in _loaded:
            return _loaded[name]
        target = _BUILT_IN.get(name)
        if target is not None:
            module, _, attribute = target.partition(":")
            loaded = getattr(import_module(module), attribute)
        else:
            loaded = _load_foreign(name)
        if loaded is None:
            return None
        _loaded[name] = cast(Kind, loaded)
        return _loaded[name]


def _foreign() -> Mapping[str, EntryPoint]:
    from importlib import metadata

    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}


def _load_foreign(name: str) -> object | None:
    """Somebody else's kind, or None: one that fails to load, or is called otherwise, does not exist."""
    point = _foreign().get(name)
    if point is None:
        return None
    try:
        loaded: object = point.load()
        return loaded if _fits(loaded, name) else None
    except Exception:
        return None


def _fits(kind: object, name: str) -> bool:
    """Whether somebody else's object has every member of a kind, each of its type."""
    options, most = getattr(kind, "options", None), getattr(kind, "most", None)
    return (
        getattr(kind, "name", None) == name
        and isinstance(options, frozenset)
        and type(getattr(kind, "handed_on", None)) is bool
        and type(most) is int
        and most > 0
        and all(callable(getattr(kind, member, None)) for member in _MEMBERS)
    )


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
