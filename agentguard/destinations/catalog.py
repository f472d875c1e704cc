"""The destinations catalog: from a place to its sensitivity, zone and owner.

Each kind's patterns form a tree (whole labels, whole segments), so of all patterns that cover a place one is
the most specific, and a lookup asks for exact keys from the most specific up: its cost does not grow with the
catalog.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agentguard.core.declarations import CatalogEntry
from agentguard.core.values import Destination, Place
from agentguard.destinations.kinds import Divided, Kind, Promised, find_kind, kind_names
from agentguard.errors import PolicyError, PolicyProblem


class Catalog:
    """What every listed destination is worth. Immutable once made."""

    def __init__(self, entries: Sequence[CatalogEntry] = ()) -> None:
        """Index the entries. Raises PolicyError naming every pattern that cannot be read or is listed
        twice."""
        problems: list[PolicyProblem] = []
        index: dict[str, dict[str, CatalogEntry]] = {}
        for entry in entries:
            key = _key(entry, problems)
            if key is None:
                continue
            first = index.setdefault(entry.kind, {}).setdefault(key, entry)
            if first is not entry and _worth(first) != _worth(entry):
                problems.append(_tie(first, entry))
        if problems:
            raise PolicyError(problems)
        self._index: Mapping[str, Mapping[str, CatalogEntry]] = index
        self._parts = _parts(index)
        self._promised: dict[str, tuple[Kind | None, Promised | None]] = {}
        self.entries = tuple(entries)

    def classify(self, place: Place) -> Destination:
        """The place with what its most specific entry says; unlisted is unclassified (sensitivity None)."""
        entry = self.find(place)
        if entry is None:
            return Destination(place.kind, place.id, None)
        return Destination(place.kind, place.id, entry.sensitivity, entry.zone, entry.owner, entry.category)

    def destinations(self, place: Place) -> Iterator[Destination]:
        """The place, and each listed part of it that is reached: a column counts beside its table, never instead."""
        whole = self.classify(place)
        yield whole
        kind = find_kind(place.kind) if place.kind in self._parts else None
        if kind is None or not isinstance(kind, Divided):
            return
        for part, entry in self._reached(kind, place):
            yield Destination(
                place.kind,
                kind.part_id(place, part),
                entry.sensitivity,
                entry.zone or whole.zone,
                entry.owner or whole.owner,
                entry.category or whole.category,
            )

    def parts_of(self, place: Place) -> Iterator[CatalogEntry]:
        """The entries of the listed parts that a place reaches."""
        kind = find_kind(place.kind) if place.kind in self._parts else None
        if isinstance(kind, Divided):
            yield from (entry for _, entry in self._reached(kind, place))

    def _reached(self, kind: Divided, place: Place) -> Iterator[tuple[str, CatalogEntry]]:
        found: dict[str, CatalogEntry] = {}
        for key in kind.place_keys(place):
            for part, entry in self._parts[place.kind].get(key, {}).items():
                found.setdefault(part, entry)
        for part in sorted(found):
            if kind.touches(place, part):
                yield part, found[part]

    def find(self, place: Place) -> CatalogEntry | None:
        """The most specific entry that covers the place."""
        return next(self._covering(place), None)

    def doubt(self, place: Place) -> str | None:
        """Why the place is refused for want of a promise in the catalog, as a stable slug; or None."""
        found = find_kind(place.kind)
        # Whether a kind has certain members takes longer to find out than all else about a place.
        known = self._promised.get(place.kind)
        if known is None or known[0] is not found:
            known = self._promised[place.kind] = (found, found if isinstance(found, Promised) else None)
        kind = known[1]
        return None if kind is None else kind.doubt(place, (entry.promises for entry in self._covering(place)))

    def _covering(self, place: Place) -> Iterator[CatalogEntry]:
        """The entries that cover the place, most specific first."""
        listed = self._index.get(place.kind)
        kind = find_kind(place.kind)
        if not listed or kind is None:
            return
        for key in kind.place_keys(place):
            entry = listed.get(key)
            if entry is not None:
                yield entry


def _parts(index: Mapping[str, Mapping[str, CatalogEntry]]) -> dict[str, dict[str, dict[str, CatalogEntry]]]:
    """Kind, key of the whole place, name of the part: what is listed about parts."""
    found: dict[str, dict[str, dict[str, CatalogEntry]]] = {}
    for name, listed in index.items():
        kind = find_kind(name)
        if not isinstance(kind, Divided):
            continue
        for key, entry in listed.items():
            split = kind.split_pattern(key)
            if split is not None:
                found.setdefault(name, {}).setdefault(split[0], {})[split[1]] = entry
    return found


def _key(entry: CatalogEntry, problems: list[PolicyProblem]) -> str | None:
    kind = find_kind(entry.kind)
    if kind is None:
        message = f"`{entry.kind}` is not a kind of destination; expected one of {', '.join(kind_names())}"
        problems.append(PolicyProblem(entry.source.file, entry.source.line, message))
        return None
    try:
        key = kind.pattern_key(entry.pattern)
        problem = _promise_problem(kind, entry)
        if problem is None:
            return key
        problems.append(PolicyProblem(entry.source.file, entry.source.line, problem))
        return None
    except ValueError as error:
        problems.append(PolicyProblem(entry.source.file, entry.source.line, str(error)))
        return None
    except Exception as error:
        message = (
            f"the kind `{entry.kind}` failed on this pattern ({type(error).__name__}); tell whoever wrote the kind"
        )
        problems.append(PolicyProblem(entry.source.file, entry.source.line, message))
        return None


def _promise_problem(kind: Kind, entry: CatalogEntry) -> str | None:
    known = kind.promises if isinstance(kind, Promised) else frozenset()
    for word in sorted(entry.promises - known):
        expected = ", ".join(f"`{one}`" for one in sorted(known)) or "none"
        return f"`{word}` is nothing that an entry of the kind `{entry.kind}` can promise; expected {expected}"
    return kind.promise_problem(entry.pattern, entry.promises) if isinstance(kind, Promised) else None


def _worth(entry: CatalogEntry) -> tuple[object, ...]:
    return entry.sensitivity, entry.zone, entry.owner, entry.category, entry.environment, entry.promises


def _tie(first: CatalogEntry, second: CatalogEntry) -> PolicyProblem:
    message = (
        f"`{second.pattern}` is listed already at {first.source}, with another value; "
        "remove one of the two, or make one pattern more specific"
    )
    return PolicyProblem(second.source.file, second.source.line, message)
