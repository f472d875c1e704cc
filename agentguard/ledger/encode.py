"""From the values of the contract to what a row holds. Runs in the caller's thread, so the ledger's own stays short.

Whatever cannot be stored is refused here, with ``LedgerError``, before anything is queued.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from agentguard.core.canonical import NotCanonical, canonical_bytes
from agentguard.core.policy import Counted
from agentguard.core.values import Json, Risk
from agentguard.errors import LedgerError
from agentguard.ledger.contract import Admission, Charge, Closing, FirstUse, RecordData, Unstorable, Watch

# time, kind, run_id, subject, tool, effect, decision_id, reasons, body, private
Row: TypeAlias = (
    "tuple[int | None, str | None, str | None, str | None, str | None, str | None, str | None, str | None, bytes, "
    "bytes | None]"
)
Values: TypeAlias = dict[str, bytes]

# A signed 64-bit column holds no more; a sum past it is refused, never wrapped.
MAX_AMOUNT = 2**63 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exactly. Raises LedgerError for a time without a zone."""
    try:
        return (moment - _EPOCH) // _MICROSECOND
    except TypeError:
        raise LedgerError(f"a time is {moment!r}; expected a datetime with a time zone") from None


def moment(stored: int) -> datetime:
    """The UTC time behind ``micros``."""
    return _EPOCH + timedelta(microseconds=stored)


def encode_record(record: RecordData, private: Mapping[str, str] | None = None) -> Row:
    """The row of a record: the columns that filters ask about, its canonical bytes, and what is kept beside them."""
    if "seq" in record:
        raise LedgerError("a record brings its own `seq`; the ledger numbers records, leave it out")
    reasons = record.get("reasons")
    return (
        _record_time(record.get("time")),
        _text(record, "kind"),
        _text(record, "run_id"),
        _text(record, "subject"),
        _text(record, "tool"),
        _text(record, "effect"),
        _text(record, "decision_id"),
        _reason_codes(reasons) if reasons else None,
        _canonical(record, "a record"),
        _canonical(private, "what is kept beside a record") if private else None,
    )


def encode_values(values: Mapping[str, Json], what: str) -> Values:
    """Each value as its canonical bytes, by name."""
    for name in values:
        known_text(name, what)
    return {name: _canonical(value, f"{what} `{name}`") for name, value in values.items()}


def decode_record(seq: int, body: bytes) -> RecordData:
    """The record as it is read: what was written, and its number. Raises LedgerError where it is none."""
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise LedgerError(f"record {seq} is damaged; keep the ledger's file as it is, and restore a backup beside it")
    record["seq"] = seq
    return record


@dataclass(frozen=True, slots=True)
class ReadyAdmission:
    """An admission with everything encoded that can be encoded outside the ledger's thread."""

    asked: Admission
    at: int
    row: Row
    assertion: bytes | None
    until: int | None
    windows: Mapping[str, timedelta | None]


@dataclass(frozen=True, slots=True)
class ReadyClosing:
    """A closing, encoded."""

    asked: Closing
    row: Row
    kept: Values


def brought(arguments: Iterable[object]) -> Iterator[bytes]:
    """The assertions that the admissions among these bring."""
    for argument in arguments:
        if type(argument) is ReadyAdmission and argument.assertion is not None:
            yield argument.assertion


def encode_admission(asked: Admission, windows: Mapping[str, timedelta | None]) -> ReadyAdmission:
    """Check an admission's shape and encode it."""
    if type(asked.permit) is not bool:
        raise LedgerError(f"an admission's `permit` is {type(asked.permit).__name__}; expected true or false")
    known_text(asked.decision_id, "a decision id")
    if asked.permit and (asked.run_id is None or asked.step is None):
        raise LedgerError("a permit names no run or no step; only a call inside a run can be admitted")
    for charge in asked.charges:
        _check_charge(charge)
    for zone in asked.zones:
        known_text(zone, "a zone")
    for first in asked.first_uses:
        _check_first_use(first)
    for watch in asked.watches:
        _check_watch(watch)
    used, until = asked.assertion_key, asked.assertion_until
    return ReadyAdmission(
        asked,
        micros(asked.at),
        encode_record(asked.record, asked.private),
        None if used is None else key_digest(used),
        None if until is None else micros(until),
        windows,
    )


def encode_closing(asked: Closing) -> ReadyClosing:
    """Encode a closing."""
    return ReadyClosing(asked, encode_record(asked.record), encode_values(asked.kept, "a kept value"))


def known_text(value: object, what: str) -> str:
    """The text itself, if it is text that a column can hold. Raises LedgerError."""
    if type(value) is not str and not isinstance(value, str):
        raise LedgerError(f"{what} is {type(value).__name__}; expected text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise LedgerError(f"{what} holds half a surrogate pair, which is not text") from None
    return value


def key_digest(key: tuple[str, str], what: str = "an assertion's issuer or jti") -> bytes:
    """One fixed-size key for (issuer, jti); the length in front keeps two pairs from reading alike."""
    issuer, identifier = (known_text(part, what).encode() for part in key)
    return hashlib.sha256(b"%d:%b%b" % (len(issuer), issuer, identifier)).digest()


def _check_charge(charge: Charge) -> None:
    if type(charge.amount) is not int or charge.amount < 0:
        raise LedgerError(f"budget `{charge.budget}`: the amount is not a whole number of millionths from 0 up")
    if type(charge.at_most) is not int:
        raise LedgerError(f"budget `{charge.budget}`: the limit is not a whole number of millionths")
    if charge.per is not None and charge.per <= timedelta(0):
        raise LedgerError(f"budget `{charge.budget}`: the window is not longer than nothing")
    known_text(charge.budget, "a budget's name")


def _check_first_use(first: FirstUse) -> None:
    known_text(first.source, "a rule's name")
    if type(first.to) is not Risk or first.kind not in ("zone", "destination"):
        raise LedgerError(f"rule `{first.source}` looks at or raises what nobody knows; expected values of core")
    for value in first.values:
        known_text(value, f"a {first.kind}")


def _check_watch(watch: Watch) -> None:
    known_text(watch.source, "a rule's name")
    if type(watch.to) is not Risk or type(watch.counts) is not Counted:
        raise LedgerError(f"rule `{watch.source}` counts or raises what nobody knows; expected values of core")
    if type(watch.at_least) is not int or watch.at_least < 1:
        raise LedgerError(f"rule `{watch.source}`: the number to reach is not a whole number from 1 up")
    if watch.within <= timedelta(0):
        raise LedgerError(f"rule `{watch.source}`: the time it looks back is not longer than nothing")


def _canonical(value: Any, what: str) -> bytes:
    try:
        return canonical_bytes(value)
    except NotCanonical as error:
        raise Unstorable(f"{what} cannot be stored: {error}") from None


def _text(record: RecordData, key: str) -> str | None:
    value = record.get(key)
    if value is None or type(value) is str:
        return value
    if isinstance(value, str):
        return str(value)
    raise LedgerError(f"a record's `{key}` is {type(value).__name__}; expected text or nothing")


def _record_time(value: object) -> int | None:
    if value is None:
        return None
    try:
        if type(value) is not str or not value.endswith("Z"):
            raise ValueError
        return micros(datetime.fromisoformat(value))
    except ValueError:
        raise LedgerError(f"a record's `time` is {value!r}; expected RFC 3339 in UTC, ending in `Z`") from None


def _reason_codes(value: object) -> str:
    if not isinstance(value, list | tuple) or not all(isinstance(code, str) for code in value):
        raise LedgerError("a record's `reasons` are not a list of codes")
    return json.dumps(value)
