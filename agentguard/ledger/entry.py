"""One record on its way into the log: encoded once, with what it changes and what may not stand in public.

A private part stands in the public bytes as a commitment (``core.canonical``) under a salt of its own. Whoever is given
salt and part can check it; without the salt nobody can guess the part, however short.
Whatever cannot be stored is refused here, with ``LedgerError``, before anything is written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from agentguard.core.canonical import NotCanonical, canonical_bytes, commitment
from agentguard.core.values import Json
from agentguard.errors import LedgerError
from agentguard.jose.nonce import nonce
from agentguard.ledger.cells import EPOCH, MICROSECOND, moment
from agentguard.ledger.log import Row
from agentguard.ledger.ready import ReadyRecord
from agentguard.ledger.values import RecordData, Unstorable

# The names that the ledger itself gives to what a record says; nobody else may.
CHANGES, COMMITMENTS = "changes", "commitments"
# The private part that opens commitments which stand in the record itself. It needs none of its own.
SALTS = "salts"
# The private part with the personal values that a record leaves out.
PERSONAL = "personal"

# The members that stand in columns of their own, too, in their order; and what they are.
_COLUMNS = ("kind", "run_id", "subject", "tool", "effect", "decision_id")
_PLAIN = frozenset({str, type(None)})

Change = Sequence[Any]


class Entry(NamedTuple):
    """A record ready to be appended."""

    row: Row
    changes: Sequence[Change]
    private: Mapping[str, Json]


def encode(record: RecordData, changes: Sequence[Change] = (), private: Mapping[str, Json] | None = None) -> Entry:
    """Encode a record. Raises LedgerError, ``Unstorable`` where the value itself is at fault."""
    if "seq" in record:
        raise LedgerError("a record brings its own `seq`; the ledger numbers records, leave it out")
    marks: dict[str, str] = {}
    kept: bytes | None = None
    if private:
        held: list[bytes] = []
        for name, value in private.items():
            part = _salts(value) if name == SALTS else canonical(value, f"the private part `{name}`")
            salt = "" if name == SALTS else nonce()
            if salt:
                marks[name] = commitment(salt, part)
            held.append(b'"%b":["%b",%b]' % (name.encode(), salt.encode(), part))
        kept = b"{" + b",".join(held) + b"}"
    body = record.public_bytes(marks, changes) if type(record) is ReadyRecord else None
    reasons = record.get("reasons")
    columns: list[Any] = list(map(record.get, _COLUMNS))
    if not _PLAIN.issuperset(map(type, columns)):
        columns = [_text(record, name) for name in _COLUMNS]
    when = record.at if type(record) is ReadyRecord else _time(record.get("time"))
    codes = _codes(reasons) if reasons else None
    if body is None:
        body = canonical(_whole(record, marks, changes), "a record")
    row = Row._make((when, *columns, codes, body, kept))
    return Entry(row, changes, private or {})


def _salts(salts: Any) -> bytes:
    """The bytes of what opens a record's commitments. They are no part of anything that is committed to, so they need
    not be canonical."""
    try:
        return orjson.dumps(salts)
    except orjson.JSONEncodeError:
        return canonical(salts, f"the private part `{SALTS}`")


def _whole(record: RecordData, marks: Mapping[str, str], changes: Sequence[Change]) -> RecordData:
    whole = {**record, COMMITMENTS: marks} if marks else {**record}
    return {**whole, CHANGES: [list(change) for change in changes]} if changes else whole


def decode(number: int, body: bytes) -> RecordData:
    """The record as it is read: what was written, and its number. Raises LedgerError where it is none."""
    try:
        record = orjson.loads(body)  # canonical: no number in it is beyond what both read alike
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise damaged(number)
    record["seq"] = number
    return record


def open_private(number: int, private: bytes | None) -> dict[str, Json]:
    """The private parts that are still there. Raises LedgerError where they cannot be read."""
    if private is None:
        return {}
    try:
        return {name: value for name, (_, value) in orjson.loads(private).items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise damaged(number) from None


def damaged(number: int) -> LedgerError:
    """What is said of a row that is no record."""
    return LedgerError(f"record {number} is damaged; keep the ledger's file as it is, and restore a backup beside it")


def micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exactly. Raises LedgerError for a time without a zone."""
    try:
        return (moment - EPOCH) // MICROSECOND
    except TypeError:
        raise LedgerError(f"a time is {moment!r}; expected a datetime with a time zone") from None


def written(at: int) -> str:
    """Microseconds since 1970 UTC as a record's time."""
    return moment(at).isoformat(timespec="microseconds").replace("+00:00", "Z")


def canonical(value: Any, what: str) -> bytes:
    """Canonical bytes, or Unstorable."""
    try:
        return canonical_bytes(value)
    except NotCanonical as error:
        raise Unstorable(f"{what} cannot be stored: {error}") from None


def known_text(value: object, what: str) -> str:
    """The text itself, if it is text that a column can hold. Raises LedgerError."""
    if type(value) is not str and not isinstance(value, str):
        raise LedgerError(f"{what} is {type(value).__name__}; expected text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise LedgerError(f"{what} holds half a surrogate pair, which is not text") from None
    return value


def key_digest(key: tuple[str, str], what: str = "an assertion's issuer or jti") -> str:
    """One name of fixed size for (issuer, jti); the length in front keeps two pairs from reading alike."""
    issuer, identifier = (known_text(part, what).encode() for part in key)
    return hashlib.sha256(b"%d:%b%b" % (len(issuer), issuer, identifier)).hexdigest()


def _text(record: RecordData, key: str) -> str | None:
    value = record.get(key)
    if value is None or type(value) is str:
        return value
    if isinstance(value, str):
        return str(value)
    raise LedgerError(f"a record's `{key}` is {type(value).__name__}; expected text or nothing")


def _time(value: object) -> int | None:
    if value is None:
        return None
    try:
        if type(value) is not str or not value.endswith("Z"):
            raise ValueError
        return micros(datetime.fromisoformat(value))
    except ValueError:
        raise LedgerError(f"a record's `time` is {value!r}; expected RFC 3339 in UTC, ending in `Z`") from None


def _codes(value: object) -> str:
    if not isinstance(value, list | tuple) or not all(isinstance(code, str) for code in value):
        raise LedgerError("a record's `reasons` are not a list of codes")
    return json.dumps(value)
