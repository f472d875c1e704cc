"""Functions over lists, linear in the list. ``field`` is a path in each element: ``"size"``, ``"owner.name"``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Any

from agentguard.core.paths import Missing, Path, Step, scalar_key, value_at
from agentguard.policy.cel.functions.values import (
    Refused,
    alike,
    as_decimal,
    as_double,
    in_order,
    key_of,
    list_of,
    number_of,
    text_of,
    word_of,
)

# Every sum of amounts that anybody writes is exact in this; what is not is refused.
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow])

Place = tuple[Step, ...]


class Nothing:
    """What a field gives where it is not there."""


def field_of(element: Any, place: Place) -> Any | type[Nothing]:
    """The value at a place in an element, or Nothing."""
    if not place:
        return element
    if len(place) == 1 and type(place[0]) is str:
        return element.get(place[0], Nothing) if type(element) is dict else Nothing
    found = value_at(Path("", place, ""), {"": element})
    return Nothing if isinstance(found, Missing) else found


def _values(given: Any, place: Place | None) -> list[Any]:
    elements = list_of(given, "what it looks through")
    if place is None:
        return elements
    found = [field_of(element, place) for element in elements]
    if Nothing in found:
        raise Refused(f"element {found.index(Nothing)} has no such field")
    return found


def _some(given: Any, place: Place | None) -> list[Any]:
    found = _values(given, place)
    if not found:
        raise Refused("the list is empty")
    in_order(found)
    return found


def largest(given: Any, place: Place | None = None) -> Any:
    """The largest of numbers, or the last of texts by their letters."""
    return max(_some(given, place))


def smallest(given: Any, place: Place | None = None) -> Any:
    """The smallest of numbers, or the first of texts by their letters."""
    return min(_some(given, place))


def total(given: Any, place: Place | None = None) -> float:
    """The sum, exact by the decimal texts of the numbers; 0 of nothing."""
    found = Decimal(0)
    try:
        for value in _values(given, place):
            found = _EXACT.add(found, as_decimal(number_of(value, "a part of the sum")))
    except (Inexact, Overflow, InvalidOperation):
        raise Refused("the sum cannot be exact") from None
    return as_double(found)


def in_sequence(given: Any, place: Place | None = None) -> list[Any]:
    """The elements in ascending order, of the field where one is named. Equal ones stay as they stood."""
    elements = list_of(given, "what it sorts")
    keys = _values(given, place)
    in_order(keys)
    return [elements[at] for at in sorted(range(len(elements)), key=keys.__getitem__)]


def last(given: Any) -> Any:
    """The last element."""
    elements = list_of(given, "what it looks through")
    if not elements:
        raise Refused("the list is empty")
    return elements[-1]


def distinct(given: Any, place: Place | None = None) -> list[Any]:
    """Each different value once, where it stood first."""
    found: dict[object, Any] = {}
    for value in _values(given, place):
        found.setdefault(key_of(value), value)
    return [*found.values()]


class Index:
    """The elements of a list by what one field says, for many questions about one list."""

    def __init__(self, given: Any, place: Place) -> None:
        self._found: dict[object, list[Any]] = {}
        for element in list_of(given, "what it looks through"):
            key = scalar_key(field_of(element, place))
            if key is not None:
                self._found.setdefault(key, []).append(element)

    def where(self, value: Any) -> list[Any]:
        """The elements whose field is exactly this text, number, boolean or null."""
        key = scalar_key(value)
        if key is None:
            raise Refused(f"a field is compared with {word_of(value)}, not with one text or number")
        return self._found.get(key, [])

    def one(self, value: Any) -> Any:
        """The one element that says so. None, or two that differ, is refused."""
        found = self.where(value)
        if not found:
            raise Refused("no element says so")
        if any(not alike(found[0], other) for other in found[1:]):
            raise Refused("several different elements say so")
        return found[0]


def _ordered(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compares(one: Any, other: Any) -> bool:
        in_order((one, other))
        return holds(one, other)

    return compares


def _texts(holds: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    return lambda one, other: holds(text_of(one, "a field"), text_of(other, "what it is compared with"))


COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "!=": lambda one, other: not alike(one, other),
    "<": _ordered(lambda one, other: one < other),
    "<=": _ordered(lambda one, other: one <= other),
    ">": _ordered(lambda one, other: one > other),
    ">=": _ordered(lambda one, other: one >= other),
    "startsWith": _texts(str.startswith),
    "contains": _texts(lambda one, other: other in one),
}


def where(given: Any, place: Place, comparison: str, value: Any) -> list[Any]:
    """The elements whose field compares so. One without the field is refused."""
    elements: Sequence[Any] = list_of(given, "what it looks through")
    holds = COMPARISONS[comparison]
    return [element for element, found in zip(elements, _values(given, place), strict=True) if holds(found, value)]
