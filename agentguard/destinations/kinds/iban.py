"""The kind ``iban``: one bank account, by its International Bank Account Number (ISO 13616).

Spaces are accepted where the printed form has them. Country, length and check digits must be right.

Patterns: ``DE89370400440532013000``, ``DE*`` (every account of a country).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind

MAX_LENGTH = 50
_COMPACT = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{10,30}")
_PRINTED = re.compile(r"[A-Za-z0-9]{4}(?: [A-Za-z0-9]{4})*(?: [A-Za-z0-9]{1,4})?")
# Length to countries, from the IBAN registry (SWIFT).
_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_LENGTHS = {country: length for length, countries in _COUNTRIES.items() for country in countries.split()}


class _Iban(TextKind):
    name = "iban"
    rewrites_argument = True
    max_length = MAX_LENGTH

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        number = _canonical(text)
        return number if isinstance(number, Ambiguous) else self.place(number, country=number[:2])

    def pattern_key(self, pattern: str) -> str:
        if pattern[2:] == "*" and pattern[:2] in _LENGTHS:
            return pattern
        if _canonical(pattern) != pattern:
            raise ValueError(f"`{pattern}` is not an IBAN pattern; expected one without spaces, or such as `DE*`")
        return pattern

    def place_keys(self, place: Place) -> Iterable[str]:
        yield place.id
        yield f"{place.parts['country']}*"


def _canonical(text: str) -> str | Ambiguous:
    if " " in text and _PRINTED.fullmatch(text) is None:
        return Ambiguous("not_an_iban")
    number = text.replace(" ", "").upper() if text.isascii() else text
    if _COMPACT.fullmatch(number) is None or _LENGTHS.get(number[:2]) != len(number):
        return Ambiguous("not_an_iban")
    # ISO 7064 MOD 97-10; 00, 01 and 99 are congruent to check digits that are in use, and are not issued.
    digits = "".join(str(int(letter, 36)) for letter in number[4:] + number[:4])
    if int(digits) % 97 != 1 or number[2:4] in ("00", "01", "99"):
        return Ambiguous("wrong_check_digits")
    return number


IBAN = _Iban()
