"""What later steps may rely on: one value taken out of a step's result, or a Fault. Never a guess.

A path (``result.tables``, ``result.rows[0].id``, ``result["odd name"]``) reads structured results: mappings, lists,
pydantic models and dataclasses. With ``match``, the text at that path is searched with RE2 and the first group is the
value; text that holds two different matches has no one value, so nothing is kept.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import re2
from pydantic import BaseModel

from agentguard.core.canonical import MAX_DEPTH, MAX_NODES
from agentguard.core.policy import Fault
from agentguard.core.values import Json
from agentguard.policy.words import shown

# Text longer than this is not searched: a pattern's time grows with it.
MAX_TEXT = 1024 * 1024
# A pattern with an optional tail looks for it to the end of the text, from every match: so much is looked through.
MAX_SEARCHED = 64 * MAX_TEXT
MAX_PATH = 500
_MAX_MEMORY = 1 << 20

Part: TypeAlias = "str | int"
_PART = re.compile(r'\.([A-Za-z_][A-Za-z0-9_-]*)|\[(0|[1-9][0-9]{0,5})\]|\["((?:[^"\\\[\]])+)"\]')


@dataclass(frozen=True, slots=True)
class Keep:
    """How one kept value is found. ``name`` is what conditions call it: ``kept.NAME``."""

    name: str
    text: str
    _path: tuple[Part, ...]
    _pattern: Any = field(default=None, compare=False)

    def extract(self, result: Any) -> Json | Fault:
        """The value, or a Fault that says which part of the path failed. Never raises."""
        try:
            found = self._follow(result)
            if isinstance(found, Fault):
                return found
            return self._matched(found) if self._pattern is not None else _as_json(found)
        except Exception as error:
            return Fault(f"`{self.text}` could not be read ({type(error).__name__})")

    def _follow(self, value: Any) -> Any:
        for part in self._path:
            inside = structure(value)
            if isinstance(part, int):
                if not isinstance(inside, list) or part >= len(inside):
                    return Fault(f"`{self.text}`: there is no element {part}")
            elif not isinstance(inside, dict) or part not in inside:
                return Fault(f"`{self.text}`: there is no {shown(part)}")
            value = inside[part]
        return value

    def _matched(self, text: Any) -> str | Fault:
        if type(text) is not str:
            return Fault(f"`{self.text}`: found {type(text).__name__}, and `match` reads text")
        if len(text) > MAX_TEXT:
            return Fault(f"`{self.text}`: the text is longer than {MAX_TEXT} characters")
        found: str | None = None
        searched = 0
        for match in self._pattern.finditer(text):
            searched += len(text) - match.start()
            if searched > MAX_SEARCHED:
                return Fault(f"`{self.text}`: the text holds too many matches")
            group = match.group(1)
            if group is None or (found is not None and group != found):
                return Fault(f"`{self.text}`: the text holds several different matches")
            found = group
        return found if found is not None else Fault(f"`{self.text}`: no match")


def compile_keep(name: str, source: str, match: str | None) -> Keep:
    """Read a keep as its owner wrote it. Raises ValueError, saying what was expected."""
    path = _parse(source)
    if match is None:
        return Keep(name, source, path)
    return Keep(name, f"{source} ~ {match}", path, _compile(match))


def _parse(source: str) -> tuple[Part, ...]:
    if source[:7].rstrip(".[") != "result" or len(source) > MAX_PATH:
        raise ValueError(f"found {shown(source)}, expected a path such as `result.tables` or `result.rows[0].id`")
    parts: list[Part] = []
    at = len("result")
    while at < len(source):
        found = _PART.match(source, at)
        if found is None:
            raise ValueError(
                f'cannot read {shown(source[at:])} in {shown(source)}; expected `.name`, `[0]` or `["odd name"]`'
            )
        parts.append(int(found[2]) if found[2] is not None else found[1] or found[3])
        at = found.end()
    return tuple(parts)


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        compiled = re2.compile(pattern, options)
    except re2.error:
        raise ValueError(f"{shown(pattern)} is not a regular expression (RE2)") from None
    if compiled.groups != 1:
        raise ValueError(f"{shown(pattern)} has {compiled.groups} groups; expected exactly one, around what is kept")
    return compiled


def structure(value: Any) -> Any:
    """A container as a plain dict or list; anything else as it is."""
    if isinstance(value, dict | list):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {part.name: getattr(value, part.name) for part in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _as_json(value: Any) -> Json | Fault:
    """The value as plain JSON; nothing, and what is not JSON, is a Fault."""
    if value is None:
        return Fault("the value is null")
    plain: Json = _plain(value, 0, itertools.count(1))
    return plain


def _plain(value: Any, depth: int, nodes: Iterator[int]) -> Any:
    """``nodes`` counts: a few lines of YAML with aliases hold one list a million million times."""
    inside = structure(value)
    if depth > MAX_DEPTH or next(nodes) > MAX_NODES:
        raise ValueError("nested too deeply, or too large")
    if isinstance(inside, dict):
        return {_key(key): _plain(item, depth + 1, nodes) for key, item in inside.items()}
    if isinstance(inside, list):
        return [_plain(item, depth + 1, nodes) for item in inside]
    if inside is None or type(inside) in (str, int, float, bool):
        return inside
    raise ValueError("not JSON")


def _key(key: Any) -> str:
    if type(key) is not str:
        raise ValueError("a key is not text")
    return key
