"""Numbers as tools write them: ``98.70``, ``EUR 1,234.50``, ``Rating: 4.5``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from agentguard.policy.cel.functions.values import Refused, as_decimal, as_double, number_of, text_of

# Half a cent: two amounts that are nearer are the same amount.
_HALF_A_CENT = Decimal("0.005")
# More digits than a number with decimals holds.
_MAX_DIGITS = 15

_NUMBER = r"(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+(?=\.)|[0-9]{1,3}(?:,[0-9]{3}){2,})(?:\.[0-9]+)?"
# A currency's sign or its three letters stand before or behind, or a percent sign behind.
_SIGNS = r"(?:[$\u20ac\u00a3\u00a5]|[A-Z]{3})"
_WHOLE = re.compile(rf"\s*(?:{_SIGNS}\s*)?([+-]?)(?:{_SIGNS}\s*)?({_NUMBER})\s*(?:{_SIGNS}|%)?\s*", re.ASCII)
_RUN = re.compile(r"(?:(?<![0-9A-Za-z.,])-)?[0-9][0-9.,]*", re.ASCII)
_ONE = re.compile(_NUMBER, re.ASCII)


def number(value: Any) -> float:
    """A number, or the one that a text is, with a currency beside it where one stands there."""
    if type(value) is not str:
        return as_double(as_decimal(number_of(value, "what it reads")))
    found = _WHOLE.fullmatch(value) if len(value) <= 100 else None
    if found is None:
        raise Refused("a text is not one number")
    return _parsed(found[1] + found[2])


def numbers(value: Any) -> list[float]:
    """The numbers that stand in a text, in their order."""
    found = []
    for run in _RUN.findall(text_of(value, "what it reads")):
        written = run.rstrip(".,")
        if len(written) > 100 or _ONE.fullmatch(written.lstrip("-")) is None:
            raise Refused("a text holds digits that are not plainly a number")
        found.append(_parsed(written))
    return found


def _parsed(written: str) -> float:
    exact = Decimal(written.replace(",", ""))
    if len(exact.as_tuple().digits) > _MAX_DIGITS:
        raise Refused(f"a number has more than {_MAX_DIGITS} digits")
    return as_double(exact)


def same_amount(one: Any, other: Any) -> bool:
    """Whether two numbers are the same amount of money: less than half a cent apart."""
    exact = as_decimal(number_of(one, "an amount")), as_decimal(number_of(other, "an amount"))
    return abs(as_double(exact[0]) - as_double(exact[1])) < 1 and abs(exact[0] - exact[1]) < _HALF_A_CENT
