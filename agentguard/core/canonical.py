"""One value, one sequence of bytes: canonical JSON (RFC 8785) with bounds, and its digest.

What was checked is what runs, because both are read from these bytes. Refused with ``NotCanonical``: more than
1 MiB, nesting deeper than 64, more than 50,000 nodes, NaN and infinities, integers a double cannot hold exactly
(RFC 8785 section 3.2.2.3), lone surrogates, keys that are not text, and (in raw JSON) a member given twice.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

import orjson
import rfc8785

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 50_000
# RFC 8785 numbers are IEEE 754 doubles; past this, two integers share one spelling.
MAX_INTEGER = 2**53 - 1
# From here on RFC 8785 (ECMA-262 section 6.1.6.1.20) writes numbers with an exponent, so they stay floats.
_FIRST_EXPONENT = 1e21


class NotCanonical(ValueError):
    """The value has no canonical form within the bounds. The text says where and why, without the value."""


def sha256(data: bytes) -> str:
    """The digest as records write it: ``sha256:`` and 64 hex digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def commitment(salt: str, data: bytes) -> str:
    """What stands in a record for bytes that may hold a secret: SHA-256 over the salt, a full stop and the bytes.

    Without the salt nobody can search it, however short the secret; with it anybody can check it, offline.
    """
    return "sha256:" + hashlib.sha256(salt.encode() + b"." + data).hexdigest()


def canonical_bytes(value: Any) -> bytes:
    """The RFC 8785 bytes of a JSON value. Raises NotCanonical."""
    encoded = None if _check_bounds(value) else _plain(value)
    if encoded is None:
        encoded = _encode(value)
    if len(encoded) > MAX_BYTES:
        raise NotCanonical(f"longer than {MAX_BYTES} bytes")
    return encoded


def bytes_in_order(value: Any) -> tuple[bytes, bytes]:
    """A JSON value's bytes with members in the order they have, and its canonical bytes. Raises NotCanonical.

    Canonical bytes do not say in which order members came, nor whether a number was written 5 or 5.0.
    """
    canonical = canonical_bytes(value)
    in_order = orjson.dumps(value)
    return (canonical, canonical) if in_order == canonical else (in_order, canonical)


def member_order(value: Any) -> dict[str, list[str]]:
    """Where an object's members are in another order than the canonical one: JSON pointers, and the members' names."""
    found: dict[str, list[str]] = {}
    pending: list[tuple[str, Any]] = [("", value)]
    while pending:
        where, item = pending.pop()
        if isinstance(item, dict):
            names = list(item)
            if names != sorted(names, key=None if "".join(names).isascii() else _utf16):
                found[where] = names
            for name, part in item.items():
                if isinstance(part, dict | list):
                    step = name.replace("~", "~0").replace("/", "~1")
                    pending.append((f"{where}/{step}", part))
        elif isinstance(item, list):
            pending += [(f"{where}/{at}", part) for at, part in enumerate(item) if isinstance(part, dict | list)]
    return dict(sorted(found.items()))


def in_order(value: Any, order: Mapping[str, Collection[str]], where: str = "") -> Any:
    """The value with its members in the order that ``member_order`` noted. Names that are not there are passed over."""
    if isinstance(value, list):
        return [in_order(part, order, f"{where}/{at}") for at, part in enumerate(value)]
    if not isinstance(value, dict):
        return value
    names = dict.fromkeys((*(name for name in order.get(where, ()) if name in value), *value))
    steps = {name: name.replace("~", "~0").replace("/", "~1") for name in names}
    return {name: in_order(value[name], order, f"{where}/{steps[name]}") for name in names}


def _utf16(name: str) -> bytes:
    """RFC 8785 section 3.2.3 sorts names by their UTF-16 code units."""
    return name.encode("utf-16-be", "surrogatepass")


def parse_json(text: str | bytes) -> Any:
    """Read raw JSON strictly: no duplicate members, no NaN, no lone surrogates, within the bounds.

    Raises NotCanonical.
    """
    if len(text) > MAX_BYTES:
        raise NotCanonical(f"longer than {MAX_BYTES} bytes")
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8", "strict")
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_int=_parse_int)
    except NotCanonical:
        raise
    except RecursionError:
        raise NotCanonical(f"nested deeper than {MAX_DEPTH}") from None
    except ValueError as error:
        raise NotCanonical(f"not JSON: {_without_value(error)}") from None
    _check_bounds(value)
    return value


def read_canonical(data: bytes) -> Any:
    """A fresh copy of the value behind bytes that ``canonical_bytes`` made."""
    return orjson.loads(data)


def _check_bounds(value: Any) -> bool:
    """Walk without recursion; refuse what has no canonical form. True where a float was met."""
    nodes, size, floats = 0, 0, False
    pending: list[tuple[Collection[Any], int]] = [((value,), 0)]
    while pending:
        items, depth = pending.pop()
        nodes += len(items)
        if nodes > MAX_NODES:
            raise NotCanonical(f"more than {MAX_NODES} values")
        for item in items:
            kind = type(item)
            if kind is str:
                size += len(item) if item.isascii() else _length(item)
            elif item is None or kind is bool:
                continue
            elif kind is int:
                if not -MAX_INTEGER <= item <= MAX_INTEGER:
                    raise NotCanonical(f"an integer beyond +-{MAX_INTEGER} would not survive as JSON; pass it as text")
            elif kind is dict or kind is list:
                if depth + 1 > MAX_DEPTH:
                    raise NotCanonical(f"nested deeper than {MAX_DEPTH}")
                pending.append((item.values() if kind is dict else item, depth + 1))
                for key in item if kind is dict else ():
                    if type(key) is not str:
                        raise NotCanonical(f"a key is {type(key).__name__}, not text")
                    size += len(key) if key.isascii() else _length(key)
            elif kind is float:
                if not math.isfinite(item):
                    raise NotCanonical("NaN and infinities are not JSON")
                # RFC 8785 writes these as integers, which no reader could give back (or check) as the same number.
                if MAX_INTEGER < abs(item) < _FIRST_EXPONENT:
                    raise NotCanonical(
                        f"a number beyond +-{MAX_INTEGER} would be read back as an integer; pass it as text"
                    )
                floats = True
            else:
                raise NotCanonical(f"{kind.__name__} is not a JSON type")
        if size > MAX_BYTES:
            raise NotCanonical(f"longer than {MAX_BYTES} bytes")
    return floats


def _length(text: str) -> int:
    """The bytes of a text in UTF-8. Raises NotCanonical on a lone surrogate, which has none."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise NotCanonical("a lone surrogate is not text") from None


def _plain(value: Any) -> bytes | None:
    """The canonical bytes by the quick encoder, where it and RFC 8785 agree: ASCII text, and no floats.

    Fact: for ASCII keys, code point order is UTF-16 order, and the escapes orjson makes are RFC 8785's. Anything else
    goes to the full encoder.
    """
    try:
        encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return None
    return encoded if encoded.isascii() else None


def _encode(value: Any) -> bytes:
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise NotCanonical(f"has no canonical form: {_without_value(error)}") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotCanonical("a member is given twice in one object")
    return found


def _no_constant(_: str) -> NoReturn:
    raise NotCanonical("NaN and infinities are not JSON")


def _parse_int(digits: str) -> int:
    # int() of a long digit string is quadratic; anything longer than this is past MAX_INTEGER anyway.
    if len(digits) > 20:
        raise NotCanonical(f"an integer beyond +-{MAX_INTEGER} would not survive as JSON; pass it as text")
    return int(digits)


def _without_value(error: Exception) -> str:
    """The first words of a library's message; the rest may quote the input."""
    return type(error).__name__
