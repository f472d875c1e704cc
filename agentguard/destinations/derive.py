"""From a call's arguments to its destinations, as the tool's declarations say.

Rules:
1. A declared argument that is missing makes the destination missing, unless it is optional. ``null`` is
missing.
2. An argument of another type, or one that no single place can be read from, makes the call ambiguous.
3. One ambiguous or missing destination spoils the call: the others are not enough.
4. What is classified is what ``rewrite`` hands to the tool, but where the kind keeps the spelling that came.
5. Of a declaration with ``in_text`` every place that the text holds is one, and the text itself stays as it is.
6. Conditions see a destination in one form (``compared``), and so do they see what they compare it with
(``other_spellings``).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import TypeAlias, cast

from agentguard.core.credentials import SECRET, without_credentials
from agentguard.core.declarations import DestinationDeclaration
from agentguard.core.paths import Every, parse_place
from agentguard.core.reasons import Reason
from agentguard.core.values import Destination, Json, Place, Unavailable
from agentguard.destinations.catalog import Catalog
from agentguard.destinations.in_text import KINDS, found_in_text
from agentguard.destinations.kinds import Ambiguous, Derived, Kind, Promised, find_kind, is_seen_as_id, kind_names

# A path step: a member's name, or None for "every element".
Path: TypeAlias = "tuple[str | None, ...]"

# The parts of a place that can be declared secret, by kind; of every kind all of it, as `id`.
ID = "id"
PARTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "dsn": frozenset({"scheme", "host", "port", "database", "path"}),
        "git": frozenset({"host", "path"}),
        "object": frozenset({"bucket", "key"}),
        "url": frozenset({"scheme", "host", "port", "path", "query"}),
    }
)
# So many texts of a run are read as destinations for one call: a few milliseconds.
MAX_OTHERS = 200
MAX_OTHER = 2048


def derive(
    declarations: Sequence[DestinationDeclaration],
    arguments: Mapping[str, Json],
    catalog: Catalog,
    secrets: Sequence[Path] = (),
) -> tuple[Destination, ...] | Unavailable:
    """Every destination of a call, each once, in the order declared; or why they cannot all be told.

    What stands at a path of ``secrets`` is named in no record, and neither is what is read from it.
    """
    found: dict[tuple[str, str], Destination] = {}
    chosen: set[tuple[str, str]] = set()
    for declaration in declarations:
        for place in _places(declaration, arguments):
            if isinstance(place, Unavailable):
                return place
            reached = classified(catalog, place)
            if isinstance(reached, Ambiguous):
                return _ambiguous(reached.reason, declaration.argument or "(fixed)")
            for one in reached:
                key, shown = (one.kind, one.id), _shown_id(declaration, place, one, secrets)
                if key not in found or shown is not None:
                    found[key] = one if shown is None else replace(one, shown=shown)
                if declaration.fixed is None:
                    chosen.add((one.kind, one.id))
    return tuple(one if key in chosen else replace(one, chosen=False) for key, one in found.items())


def _shown_id(
    declaration: DestinationDeclaration, place: Place, one: Destination, secrets: Sequence[Path]
) -> str | None:
    """The id without what is declared secret, and without credentials; None where nothing had to go."""
    path = _path(declaration.argument) or ()
    if any(path and all(a == b for a, b in zip(path, secret, strict=False)) for secret in secrets):
        return SECRET
    shown = one.id
    for part in sorted(declaration.secret):
        text = place.parts.get(part)
        # A part that cannot be told from the rest takes all of it along.
        if text is None or (text and shown.count(text) != 1):
            return SECRET
        if text:
            shown = shown.replace(text, f"/{SECRET}" if text.startswith("/") else SECRET)
    shown = without_credentials(shown)
    return None if shown == one.id else shown


def rewrite(declarations: Sequence[DestinationDeclaration], arguments: Mapping[str, Json]) -> dict[str, Json]:
    """The arguments as the tool is given them: a destination by its id, where the kind hands that on; the rest
    untouched.

    A new object wherever something changed; the given one is never altered. What cannot be derived stays as
    it is: ``derive`` refuses that call.
    """
    return _respelt(declarations, arguments, lambda kind: kind.rewrites_argument)


def compared(declarations: Sequence[DestinationDeclaration], arguments: Mapping[str, Json]) -> dict[str, Json]:
    """The arguments as conditions see them: also those destinations by their id that the tool is given as they came."""
    return _respelt(declarations, arguments, is_seen_as_id)


def other_spellings(
    declarations: Sequence[DestinationDeclaration], arguments: Mapping[str, Json], *others: Mapping[str, Json]
) -> dict[str, str]:
    """Texts that name a destination of this call otherwise than its id does, each with that id.

    ``others``: what conditions may compare the arguments with, such as a run's inputs. A text as the call has it is
    always found; of other spellings as many as ``MAX_OTHERS`` texts allow. One that names two places names none.
    """
    readers = [
        (declaration, kind)
        for declaration in declarations
        if declaration.fixed is None
        and not declaration.in_text
        and (kind := find_kind(declaration.kind)) is not None
        and is_seen_as_id(kind)
    ]
    given: dict[str, set[str]] = {}
    for declaration, kind in readers:
        for value in _values(declaration, arguments):
            place = _one_place(kind, value, declaration.options) if isinstance(value, str) else None
            if place is not None and isinstance(value, str):
                given.setdefault(value, set()).add(place)
    places = frozenset[str]().union(*given.values())
    if places:
        for text in islice(_texts(others), MAX_OTHERS):
            if len(text) <= MAX_OTHER and text not in given and text not in places:
                given[text] = found = set()
                for declaration, kind in readers:
                    place = _one_place(kind, text, declaration.options)
                    if place is not None and place in places:
                        found.add(place)
    return {text: min(found) for text, found in given.items() if len(found) == 1 and text not in found}


def _respelt(
    declarations: Sequence[DestinationDeclaration], arguments: Mapping[str, Json], by_id: Callable[[Kind], bool]
) -> dict[str, Json]:
    respelt: Json = dict(arguments)
    for declaration in declarations:
        kind = find_kind(declaration.kind)
        path = _path(declaration.argument)
        if kind is not None and by_id(kind) and path is not None and not declaration.in_text:
            respelt = _replace(respelt, path, kind, declaration.options)
    return cast("dict[str, Json]", respelt)


def _read(kind: Kind, value: Json, options: Mapping[str, Json]) -> Derived:
    """The places that a value names, as a kind reads it. A text is read once, however often a call asks for it: what is
    classified, handed on and compared is one reading."""
    if not isinstance(value, str) or len(value) > MAX_OTHER:
        return safely(kind, value, options)
    try:
        return _remembered(kind.name, json.dumps(dict(options), sort_keys=True) if options else "{}", value)
    except _Failed:
        return Ambiguous("kind_failed")


class _Failed(Exception):
    """A kind failed on a text. It may not the next time, so that is not remembered."""


@lru_cache(maxsize=4096)  # a run's inputs are the same at each of its calls, and its arguments at each look
def _remembered(kind_name: str, options: str, text: str) -> Derived:
    kind = find_kind(kind_name)
    found = Ambiguous("kind_failed") if kind is None else safely(kind, text, json.loads(options))
    if isinstance(found, Ambiguous) and found.reason == "kind_failed":
        raise _Failed
    return found


def _one_place(kind: Kind, value: Json, options: Mapping[str, Json]) -> str | None:
    """The id, where an argument names one place alone."""
    derived = _read(kind, value, options)
    return derived[0].id if not isinstance(derived, Ambiguous) and len(derived) == 1 else None


def _texts(values: Iterable[Mapping[str, Json]]) -> Iterator[str]:
    """Every text in these, names of members too, without recursion."""
    pending: deque[Json] = deque(dict(value) for value in values)
    while pending:
        item = pending.popleft()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            pending += (*item, *item.values())
        elif isinstance(item, list):
            pending += item


def parse_path(text: str) -> Path:
    """Read an argument path: ``to``, ``request.url``, ``to[*].address``, ``headers["x.y"]``. Raises
    ValueError."""
    path = _path(text)
    if path is None:
        raise ValueError(f"`{text}` is not an argument path; expected such as `to`, `request.url` or `to[*].address`")
    return path


def declaration_problem(declaration: DestinationDeclaration) -> str | None:
    """What is wrong with a declaration, in the words of its owner, or None. For use when a bundle is
    loaded."""
    kind = find_kind(declaration.kind)
    if kind is None:
        return f"`{declaration.kind}` is not a kind of destination; expected one of {', '.join(kind_names())}"
    problem = kind.option_problem(declaration.options)
    if problem is not None:
        return problem
    for part in sorted(declaration.secret - PARTS.get(kind.name, frozenset()) - {ID}):
        known = ", ".join(f"`{word}`" for word in sorted({*PARTS.get(kind.name, ()), ID}))
        return f"`secret`: `{part}` is no part of a {kind.name}; expected some of {known}"
    if declaration.argument is not None:
        try:
            parse_path(declaration.argument)
        except ValueError as error:
            return str(error)
        if declaration.in_text and declaration.kind not in KINDS:
            return f"no {declaration.kind} is looked for in a text; `found_in: text` is for {', '.join(KINDS)}"
        return None
    fixed = safely(kind, declaration.fixed, declaration.options)
    if isinstance(fixed, Ambiguous):
        return f"`{declaration.fixed}` is not one {declaration.kind} ({fixed.reason})"
    return None


def safely(kind: Kind, value: Json, options: Mapping[str, Json]) -> Derived:
    """Ask a kind, and trust it with nothing: what it raises, and an answer of no places, or of another kind's, is a
    refusal. Only a kind that says so may find that nothing is reached (``select 1``). A place that wants a promise is
    one here: ``classified`` refuses it without the promise."""
    try:
        derived = kind.derive(value, options)
        if isinstance(derived, Ambiguous):
            if derived.unless_promised is None or not isinstance(kind, Promised):
                return derived
            derived = (derived.unless_promised,)
        certain = bool(derived) or getattr(kind, "may_reach_nothing", False) is True
        if certain and all(_is_place(place, kind.name) for place in derived):
            return tuple(derived)
    except Exception:
        return Ambiguous("kind_failed")
    return Ambiguous("no_destination")


def classified(catalog: Catalog, place: Place) -> tuple[Destination, ...] | Ambiguous:
    """What the catalog says of a place. A place that wants a promise, and a kind that fails while it is looked up, is a
    refusal, too."""
    try:
        doubt = catalog.doubt(place)
        if doubt is not None:
            return Ambiguous(doubt)
        return tuple(catalog.destinations(place))
    except Exception:
        return Ambiguous("kind_failed")


def _is_place(place: object, kind: str) -> bool:
    return type(place) is Place and place.kind == kind and type(place.id) is str and bool(place.id)


def _places(declaration: DestinationDeclaration, arguments: Mapping[str, Json]) -> Iterator[Place | Unavailable]:
    kind = find_kind(declaration.kind)
    shown = declaration.argument if declaration.argument is not None else "(fixed)"
    if kind is None:
        yield _ambiguous("unknown_kind", shown)
        return
    for count, value in enumerate(_values(declaration, arguments)):
        if count == kind.max_per_call:
            yield _ambiguous("too_many", shown)
            return
        if isinstance(value, Unavailable):
            yield value
            return
        derived = _read(kind, value, declaration.options)
        if isinstance(derived, Ambiguous):
            yield _ambiguous(derived.reason, shown)
            return
        yield from derived


def _values(declaration: DestinationDeclaration, arguments: Mapping[str, Json]) -> Iterator[Json | Unavailable]:
    """The declared argument's values. Nothing is yielded only where the declaration is optional."""
    if declaration.fixed is not None:
        yield declaration.fixed
        return
    path = _path(declaration.argument)
    if path is None:
        yield _ambiguous("bad_argument_path", declaration.argument or "")
        return
    empty = True
    for value in _walk(cast("dict[str, Json]", arguments), path):
        empty = False
        if value is not None and declaration.in_text and not isinstance(value, Unavailable):
            yield from found_in_text(declaration.kind, value, declaration.argument or "")
        elif value is not None:
            yield value
        elif not declaration.optional:
            yield Unavailable(Reason.DESTINATION_MISSING, f"missing: `{declaration.argument}`")
    if empty and not declaration.optional:
        yield Unavailable(Reason.DESTINATION_MISSING, f"missing: `{declaration.argument}`")


def _walk(value: Json, path: Path) -> Iterator[Json | Unavailable]:
    """The values at a path; None where something on the way is missing."""
    for index, step in enumerate(path):
        if value is None:
            break
        if step is None:
            if not isinstance(value, list):
                yield _ambiguous("not_a_list", _shown(path[:index]))
                return
            for element in value:
                yield from _walk(element, path[index + 1 :])
            return
        if not isinstance(value, Mapping):
            yield _ambiguous("not_an_object", _shown(path[:index]))
            return
        value = value.get(step)
    yield value


def _replace(value: Json, path: Path, kind: Kind, options: Mapping[str, Json]) -> Json:
    """A copy along the path with the canonical form at its end; the very same value where nothing changed."""
    if not path:
        place = _one_place(kind, value, options)
        return value if place is None else place
    step, rest = path[0], path[1:]
    if step is None:
        return [_replace(element, rest, kind, options) for element in value] if isinstance(value, list) else value
    if not isinstance(value, dict) or value.get(step) is None:
        return value
    before = value[step]
    after = _replace(before, rest, kind, options)
    return value if after is before else {**value, step: after}


@lru_cache(maxsize=4096)
def _path(text: str | None) -> Path | None:
    """A parsed path of names and ``[*]``, or None. The first step is a name."""
    try:
        steps = parse_place(text or "")
    except ValueError:
        return None
    plain = tuple(step if isinstance(step, str) else None for step in steps)
    whole = all(isinstance(step, str | Every) for step in steps)
    return plain if whole and plain[0] is not None else None


def _shown(path: Path) -> str:
    return "".join("[*]" if step is None else f".{step}" for step in path).lstrip(".")


def _ambiguous(reason: str, where: str) -> Unavailable:
    return Unavailable(Reason.DESTINATION_AMBIGUOUS, f"{reason}: `{where}`")
