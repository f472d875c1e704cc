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

# A gap inside a number: nobody breaks a line there. An ordinary space stands between two numbers.
_GAP = "\u00a0\u202f"
# Thousands are parted by commas or by gaps. With one comma and no point behind it, it may be either sign; a comma of
# decimals is read only where gaps part the thousands.
_NUMBER = (
    r"(?:(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+(?=\.)|[0-9]{1,3}(?:,[0-9]{3}){2,})(?:\.[0-9]+)?"
    rf"|[0-9]{{1,3}}(?P<gap>[{_GAP}])[0-9]{{3}}(?:(?P=gap)[0-9]{{3}})*(?:\.[0-9]+|,[0-9]{{1,2}})?)"
)
# Currencies by their signs, and by the codes of ISO 4217 that are in use: other capitals are part of some name.
_CODES = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
    "CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL "
    "HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD "
    "MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG "
    "QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD "
    "TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG"
)
_SIGNS = rf"(?:[$\u00a3\u00a5\u20a0-\u20c0]|{_CODES.replace(' ', '|')})"
# A currency stands before or behind, once; or a percent sign behind.
_WHOLE = re.compile(
    rf"\s*(?P<sign>[+-]?)(?:(?P<before>{_SIGNS})[\s{_GAP}]*(?P<inner>[+-]?))?(?P<number>{_NUMBER})"
    rf"(?:[\s{_GAP}]*(?P<behind>{_SIGNS}|%))?\s*",
    re.ASCII,
)
_RUN = re.compile(rf"(?:(?<![0-9A-Za-z.,])-)?[0-9][0-9.,]*(?:[{_GAP}][0-9][0-9.,]*)*", re.ASCII)
_ONE = re.compile(_NUMBER, re.ASCII)
_BETWEEN = re.compile(f"[{_GAP}]")


def number(value: Any) -> float:
    """A number, or the one that a text is, with a currency beside it where one stands there."""
    if type(value) is not str:
        return as_double(as_decimal(number_of(value, "what it reads")))
    found = _WHOLE.fullmatch(value) if len(value) <= 100 else None
    if found is None or (found["before"] and found["behind"]) or (found["sign"] and found["inner"]):
        raise Refused("a text is not one number, with one currency or percent sign at most")
    return _parsed(found["sign"] + (found["inner"] or "") + found["number"])


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
    whole = _BETWEEN.sub("", written)
    exact = Decimal(whole.replace(",", "." if whole != written else ""))
    if len(exact.as_tuple().digits) > _MAX_DIGITS:
        raise Refused(f"a number has more than {_MAX_DIGITS} digits")
    return as_double(exact)


def same_amount(one: Any, other: Any) -> bool:
    """Whether two numbers are the same amount of money: less than half a cent apart."""
    exact = as_decimal(number_of(one, "an amount")), as_decimal(number_of(other, "an amount"))
    return abs(as_double(exact[0]) - as_double(exact[1])) < 1 and abs(exact[0] - exact[1]) < _HALF_A_CENT
