"""Plain data as YAML that this package reads back: what ``agentguard show`` prints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agentguard import display

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./@-]*(?: [A-Za-z0-9_./@-]+)*")
_WORDS = re.compile(r"yes|no|on|off|y|n|true|false|null", re.IGNORECASE)
# Python writes `1e-07`, which strict YAML refuses: a nought before an exponent's digits.
_EXPONENT = re.compile(r"e([+-]?)0+([0-9])")
# So much stands in one line.
_WIDTH = 100


def as_yaml(data: Mapping[str, Any], margin: str = "") -> str:
    """A mapping as YAML in blocks, with short lists and mappings in one line."""
    return "".join(f"{line}\n" for line in _mapping(data, margin))


def _mapping(data: Mapping[str, Any], margin: str) -> Iterator[str]:
    for key, value in data.items():
        name = _scalar(key)
        short = in_line(value)
        if not isinstance(value, dict | list) or not value or len(margin) + len(name) + len(short) + 2 <= _WIDTH:
            yield f"{margin}{name}: {short}"
        elif isinstance(value, dict):
            yield f"{margin}{name}:"
            yield from _mapping(value, margin + "  ")
        else:
            yield f"{margin}{name}:"
            for item in value:
                yield from _item(item, margin + "  ")


def _item(item: Any, margin: str) -> Iterator[str]:
    short = in_line(item)
    if not isinstance(item, dict) or not item or len(margin) + len(short) + 2 <= _WIDTH:
        yield f"{margin}- {short}"
        return
    first, *rest = _mapping(item, margin + "  ")
    yield f"{margin}- {first.strip()}"
    yield from rest


def in_line(value: Any) -> str:
    """One value in one line, in flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {in_line(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(in_line, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return _EXPONENT.sub(r"e\1\2", json.dumps(value))
    if _PLAIN.fullmatch(value) is not None and _WORDS.fullmatch(value) is None:
        return value
    return "".join(map(_character, json.dumps(value, ensure_ascii=False)))


def _character(character: str) -> str:
    """What a screen would not show as it is, stands as its number."""
    if character.isascii() or display.plain(character) == character:
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
