"""What the functions of conditions share: the refusal, and numbers, texts and equality without surprises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from agentguard.core.canonical import NotCanonical, canonical_bytes
from agentguard.core.paths import scalar_key

# A whole number past this has neighbours that are the same number with decimals.
MAX_EXACT = 2**53


class Refused(ValueError):
    """A function was given what it does not take. The text says what is wrong, without any value."""


def number_of(value: Any, what: str) -> int | float:
    """A finite number. ``true`` is none."""
    if (type(value) is not int and type(value) is not float) or not math.isfinite(value):
        raise Refused(f"{what} is {word_of(value)}, not a number")
    return value


def text_of(value: Any, what: str) -> str:
    """A text."""
    if type(value) is not str:
        raise Refused(f"{what} is {word_of(value)}, not text")
    return value


def list_of(value: Any, what: str) -> list[Any]:
    """A list; of an object, its values."""
    if type(value) is dict:
        return [*value.values()]
    if type(value) is not list:
        raise Refused(f"{what} is {word_of(value)}, not a list")
    return value


def as_decimal(value: int | float) -> Decimal:
    """A number as its shortest decimal text says it: ``0.1`` is a tenth."""
    return Decimal(value) if type(value) is int else Decimal(repr(value))


def as_double(value: Decimal) -> float:
    """The number with decimals that is nearest, where whole numbers are exact."""
    if abs(value) > MAX_EXACT:
        raise Refused("a number is too large to be exact")
    return float(value)


def alike(one: Any, other: Any) -> bool:
    """Equal in value and in type: ``5`` is ``5.0``, and neither is ``"5"`` or ``true``."""
    pending = [(one, other)]
    while pending:
        one, other = pending.pop()
        if type(one) is dict and type(other) is dict:
            if one.keys() != other.keys():
                return False
            pending += [(value, other[name]) for name, value in one.items()]
        elif type(one) is list and type(other) is list:
            if len(one) != len(other):
                return False
            pending += zip(one, other, strict=True)
        elif scalar_key(one) is None or scalar_key(one) != scalar_key(other):
            return False
    return True


def key_of(value: Any) -> object:
    """What two values have in common where they are alike."""
    scalar = scalar_key(value)
    if scalar is not None:
        return scalar
    try:
        return canonical_bytes(value)
    except NotCanonical:
        raise Refused(f"{word_of(value)} cannot be compared") from None


def in_order(values: Sequence[Any]) -> None:
    """Refuse what has no order: anything but numbers alone, or texts alone."""
    if all(type(value) is str for value in values):
        return
    for value in values:
        if (type(value) is not int and type(value) is not float) or not math.isfinite(value):
            raise Refused(f"a list holds {word_of(value)} beside or instead of numbers, which has no order")


def word_of(value: Any) -> str:
    """The type of a value in an owner's words."""
    if value is None:
        return "null"
    words = {bool: "true or false", str: "text", list: "a list", dict: "an object", int: "a number", float: "a number"}
    if type(value) is float and not math.isfinite(value):
        return "a number that is not finite"
    return words.get(type(value), "a value of another kind")
