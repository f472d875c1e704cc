"""Dates and times as tools write them: ``2024-06-10``, ``2024-06-10 17:00``, ``2024-06-10T17:00:00Z``."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from agentguard.policy.cel.functions.values import Refused, text_of

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:([ T])([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?",
    re.ASCII,
)
_SPAN = re.compile(r"(-?[0-9]{1,5}) (minute|hour|day|week|month|year)s?", re.ASCII)
_SPANS: Mapping[str, Callable[[int], timedelta]] = {
    "minute": lambda count: timedelta(minutes=count),
    "hour": lambda count: timedelta(hours=count),
    "day": lambda count: timedelta(days=count),
    "week": lambda count: timedelta(weeks=count),
}
_FORMS = "write `2024-06-10`, `2024-06-10 17:00` or `2024-06-10T17:00:00Z`"


def time(value: Any) -> datetime:
    """The moment that a text says, in UTC where it names no zone; a day is its midnight."""
    if type(value) is datetime:
        return value
    return _read(text_of(value, "what it reads"))[0]


def plus(value: Any, span: Any) -> str:
    """A date or time so much later, in the form of the text: ``plus("2024-06-10", "1 month")``.

    A month later than the 31st is the last day of that month.
    """
    moment, found = _read(text_of(value, "what it adds to"))
    said = _SPAN.fullmatch(text_of(span, "what it adds"))
    if said is None:
        raise Refused('a span is not written like "3 days", "-1 month" or "90 minutes"')
    count, unit = int(said[1]), said[2]
    if found[4] is None and unit in ("minute", "hour"):
        raise Refused("a day has no hours to add to")
    try:
        if unit in _SPANS:
            local = moment.astimezone(_zone(found[9])) + _SPANS[unit](count)
        else:
            local = _months_later(moment.astimezone(_zone(found[9])), count * (12 if unit == "year" else 1))
    except (OverflowError, ValueError):
        raise Refused("a date is out of range") from None
    return _written(local, found)


def is_span(text: str) -> bool:
    """Whether a text is a span of time for ``plus``."""
    return _SPAN.fullmatch(text) is not None


def _read(text: str) -> tuple[datetime, re.Match[str]]:
    found = _TIME.fullmatch(text)
    if found is None:
        raise Refused(f"a text is not a date or a time; {_FORMS}")
    year, month, day, _, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "").ljust(6, "0")),
            _zone(zone),
        ).astimezone(UTC)
    except (OverflowError, ValueError):
        raise Refused("a text names a day or an hour that there is not") from None
    return moment, found


def _zone(word: str | None) -> timezone:
    if word is None or word == "Z":
        return UTC
    hours, minutes = int(word[1:3]), int(word[4:6])
    if hours > 23 or minutes > 59:
        raise ValueError(word)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if word[0] == "-" else offset)


def _months_later(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise Refused("a date is out of range")
    return moment.replace(year=year, month=month + 1, day=min(moment.day, calendar.monthrange(year, month + 1)[1]))


def _written(moment: datetime, form: re.Match[str]) -> str:
    day = f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}"
    if form[4] is None:
        return day
    clock = f"{moment.hour:02d}:{moment.minute:02d}" + ("" if form[7] is None else f":{moment.second:02d}")
    fraction = "" if form[8] is None else f".{moment.microsecond:06d}"[: len(form[8]) + 1]
    return f"{day}{form[4]}{clock}{fraction}{form[9] or ''}"
