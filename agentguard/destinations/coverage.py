"""What the catalog does not cover of what was really reached, and what it lists in vain.

Works from the destinations in the decision records: their kinds and ids. What a record said of a place then does not
count; the catalog of today does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agentguard.core.declarations import CatalogEntry
from agentguard.core.values import Place
from agentguard.destinations.catalog import Catalog
from agentguard.destinations.kinds import Ambiguous, Divided, Kind, Recalled, find_kind


@dataclass(slots=True)
class UsedPlace:
    """One place of the records: how many decisions named it, of which tools, and when last."""

    kind: str
    id: str
    decisions: int = 0
    last: str = ""
    tools: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Missing:
    """A place that no entry covers. ``write`` is the entry to add, or None where no pattern can name the place."""

    seen: UsedPlace
    write: str | None


@dataclass(frozen=True, slots=True)
class Coverage:
    """``unclassified``: the most used first. ``unused``: entries that nothing in the records answers to."""

    places: int
    unclassified: tuple[Missing, ...]
    unused: tuple[CatalogEntry, ...]


def collect(records: Iterable[Mapping[str, object]]) -> list[UsedPlace]:
    """The places of decision records. What is not as our records are is passed over: records are read, not judged."""
    found: dict[tuple[str, str], UsedPlace] = {}
    for data in records:
        places = data.get("destinations")
        for place in places if isinstance(places, list) else ():
            if not isinstance(place, Mapping):
                continue
            kind, identity = place.get("kind"), place.get("id")
            if type(kind) is not str or type(identity) is not str:
                continue
            seen = found.setdefault((kind, identity), UsedPlace(kind, identity))
            seen.decisions += 1
            seen.last = max(seen.last, str(data.get("time") or ""))
            seen.tools.add(str(data.get("tool") or ""))
    return list(found.values())


def compare(catalog: Catalog, seen: Iterable[UsedPlace]) -> Coverage:
    """The catalog beside what was seen."""
    answered: set[int] = set()
    missing: list[Missing] = []
    count = 0
    for one in seen:
        count += 1
        kind = find_kind(one.kind)
        place = None if kind is None else recall(kind, one.id)
        if kind is None or place is None:
            missing.append(Missing(one, None))
            continue
        if _is_part(kind, one.id):
            # Its table stands in the same record. Without an entry of its own, a column is under that table.
            answered.update(id(entry) for entry in catalog.parts_of(place))
            continue
        entry = catalog.find(place)
        if entry is None:
            missing.append(Missing(one, _entry_for(kind, place)))
        else:
            answered.add(id(entry))
    missing.sort(key=lambda found: (-found.seen.decisions, found.seen.kind, found.seen.id))
    unused = tuple(entry for entry in catalog.entries if id(entry) not in answered)
    return Coverage(count, tuple(missing), unused)


def recall(kind: Kind, identity: str) -> Place | None:
    """The place that an id in a record names, or None where the kind cannot read its own id back."""
    try:
        if isinstance(kind, Recalled):
            return kind.place_from_id(identity)
        derived = kind.derive(identity, {})
    except Exception:
        return None
    if isinstance(derived, Ambiguous) or [place.id for place in derived] != [identity]:
        return None
    return derived[0]


def _is_part(kind: Kind, identity: str) -> bool:
    return isinstance(kind, Divided) and kind.split_pattern(identity) is not None


def _entry_for(kind: Kind, place: Place) -> str | None:
    """A line for the catalog that covers exactly this place; its sensitivity is the owner's to say."""
    keys = set(kind.place_keys(place))
    local, at, domain = place.id.partition("@")
    tried = (place.id, place.id.removeprefix("sql:"), place.id.partition("?")[0], local.partition("+")[0] + at + domain)
    for pattern in tried:
        try:
            if kind.pattern_key(pattern) in keys:
                shown = json.dumps(pattern, ensure_ascii=False)
                return f"- {{kind: {kind.name}, pattern: {shown}, sensitivity: }}"
        except ValueError:
            continue
    return None
