"""What later steps may rely on: values taken out of a step's result or arguments, or a Fault. Never a guess.

A path (``agentguard.core.paths``) reads structured results: mappings, lists, pydantic models and dataclasses. With
``match``, the text at that path is searched with RE2 and the first group is the value; text that holds two different
matches has no one value, so nothing is kept. Of a path to several places each is searched. ``as_type`` reads text as a
number.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import re2
from pydantic import BaseModel

from agentguard.core.canonical import MAX_DEPTH, MAX_NODES
from agentguard.core.fill import same_json
from agentguard.core.growing import Growth
from agentguard.core.paths import Every, Missing, Path, Step, Values, parse, scalar_key, value_at
from agentguard.core.policy import Fault
from agentguard.core.values import Json
from agentguard.policy.words import shown

# Text longer than this is not searched: a pattern's time grows with it. For all elements of a list together.
MAX_TEXT = 1024 * 1024
# A pattern with an optional tail looks for it to the end of the text, from every match: so much is looked through.
MAX_SEARCHED = 64 * MAX_TEXT
_MAX_MEMORY = 1 << 20
# Where a kept value may come from.
ROOTS = ("result", "args")

Form: TypeAlias = Literal["set", "put", "add"]
TypeWord: TypeAlias = Literal["number", "integer", "text"]

# Fifteen digits are exact in every number that JSON knows.
_NUMBER = re.compile(r"[+-]?(?=[0-9.]{1,16}\Z)[0-9]{1,15}(?:\.[0-9]{1,15})?")
_NO_ROOTS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Keep:
    """How one kept value is found. ``name`` is what conditions call it: ``kept.NAME``.

    ``form``: whether a call's value takes the place of what was kept before (``set``), stands at the key that ``by``
    leads to (``put``), or is added (``add``); then ``key`` is the field by which two elements are the same one.
    """

    name: str
    text: str
    path: Path
    form: Form = "set"
    by: Path | None = None
    key: str = ""
    as_type: TypeWord | None = None
    _pattern: Any = field(default=None, compare=False)

    def extract(self, result: Any, roots: Mapping[str, Any] = _NO_ROOTS) -> Json | Fault:
        """The value that one call gives, or a Fault that says which part of the path failed. Never raises.

        ``roots``: the call's ``args``, and its run's ``inputs`` and ``kept``, as far as they are known.
        """
        try:
            found = value_at(self.path, {**roots, "result": result}, structure)
            if isinstance(found, Missing):
                return Fault(found.detail)
            return self._read(found)
        except Exception as error:
            return Fault(f"`{self.text}` could not be read ({type(error).__name__})")

    def growths(self, result: Any, roots: Mapping[str, Any] = _NO_ROOTS) -> tuple[tuple[Growth, ...], Fault | None]:
        """What one call adds to a value that grows, and what was wrong with it. Never raises."""
        value = self.extract(result, roots)
        if self.form == "put":
            key = self._key_of(result, roots)
            if isinstance(key, Fault):
                return (), key
            if isinstance(value, Fault):
                return (Growth(self.name, "forget", key),), value
            return (Growth(self.name, "put", key, value),), None
        if isinstance(value, Fault):
            return (), value
        return self._addition(value)

    def shape_of(self, result: Any, roots: Mapping[str, Any]) -> Any:
        """What one call keeps under this name, of a result without what outsiders wrote: nothing, where the value or
        what chooses it was theirs. Not plain JSON; only the texts and numbers in it are to be used. Never raises."""
        try:
            found = value_at(self.path, {**roots, "result": result}, structure)
            if isinstance(found, Missing):
                return None
            value = found if self._pattern is None and self.as_type is None else self._read(found)
        except Exception:
            return None
        if isinstance(value, Fault):
            return None
        if self.form == "put":  # who writes the key says of whom the value is
            return None if isinstance(self._key_of(result, roots), Fault) else {"": value}
        alone = not isinstance(value, list) and (bool(self.key) or not isinstance(value, dict))
        return [value] if self.form == "add" and alone else value

    def _addition(self, value: Json) -> tuple[tuple[Growth, ...], Fault | None]:
        if isinstance(value, dict) and not self.key:
            return (Growth(self.name, "add", "", value),), None
        elements: list[Json] = value if isinstance(value, list) else [value]
        for number, element in enumerate(elements if self.key else ()):
            named = element.get(self.key) if isinstance(element, dict) else None
            if not isinstance(named, str | int | float) or isinstance(named, bool):
                return (), Fault(f"`{self.text}`: element {number} has no text or number `{self.key}`")
        return self._without_conflicts(elements)

    def _without_conflicts(self, elements: list[Json]) -> tuple[tuple[Growth, ...], Fault | None]:
        """One call that says two things of one element says nothing of it: neither is kept, nor what was before."""
        first: dict[object, Json] = {}
        torn: dict[object, Json] = {}
        for element in elements if self.key else ():
            named = element[self.key] if isinstance(element, dict) else None
            if not same_json(first.setdefault(scalar_key(named), element), element):
                torn[scalar_key(named)] = named
        if not torn:
            return (Growth(self.name, "add", self.key, elements),), None
        sound: list[Json] = [
            element for element in elements if isinstance(element, dict) and scalar_key(element[self.key]) not in torn
        ]
        fault = Fault(f"`{self.text}`: {len(torn)} of `{self.key}` stand for several different elements")
        forgotten = Growth(self.name, "forget", self.key, [*torn.values()])
        return (Growth(self.name, "add", self.key, sound), forgotten), fault

    def _key_of(self, result: Any, roots: Mapping[str, Any]) -> str | Fault:
        try:
            key = Missing("") if self.by is None else value_at(self.by, {**roots, "result": result}, structure)
        except Exception as error:
            return Fault(f"`{self.by}` could not be read ({type(error).__name__})")
        if isinstance(key, Missing):
            return Fault(key.detail)
        if type(key) is int:
            return str(key)
        return (
            key if type(key) is str else Fault(f"`{self.by}` is {type(key).__name__}; a key is text or a whole number")
        )

    def _read(self, found: Any) -> Json | Fault:
        """The value with its pattern and its type, each of several by itself."""
        if self._pattern is None and self.as_type is None:
            return _as_json(found)
        if found is None:
            return Fault("the value is null")
        return self._each(found, levels(self.path.steps), _Room())

    def _each(self, found: Any, levels: tuple[type, ...], room: _Room) -> Json | Fault:
        if not levels:
            value = found if self._pattern is None else self._matched(found, room)
            return value if isinstance(value, Fault) or self.as_type is None else _typed(value, self.as_type, self.text)
        parts: dict[Any, Json] = {}
        for name, part in found.items() if isinstance(found, dict) else enumerate(found):
            value = self._each(part, levels[1:], room)
            if isinstance(value, Fault):
                return Fault(f"{value.detail}, in element {name}") if levels[0] is Every else value
            parts[name] = value
        return parts if levels[0] is Values else [*parts.values()]

    def _matched(self, text: Any, room: _Room) -> str | Fault:
        if type(text) is not str:
            return Fault(f"`{self.text}`: found {type(text).__name__}, and `match` reads text")
        room.text += len(text)
        if room.text > MAX_TEXT:
            return Fault(f"`{self.text}`: the text is longer than {MAX_TEXT} characters")
        found: str | None = None
        for match in self._pattern.finditer(text):
            room.searched += len(text) - match.start()
            if room.searched > MAX_SEARCHED:
                return Fault(f"`{self.text}`: the text holds too many matches")
            group = match.group(1)
            if group is None or (found is not None and group != found):
                return Fault(f"`{self.text}`: the text holds several different matches")
            found = group
        return found if found is not None else Fault(f"`{self.text}`: no match")


@dataclass(slots=True)
class _Room:
    """How much one keep has looked through so far."""

    text: int = 0
    searched: int = 0


def compile_keep(
    name: str,
    source: str,
    match: str | None = None,
    *,
    form: Form = "set",
    by: str | None = None,
    key: str = "",
    as_type: TypeWord | None = None,
) -> Keep:
    """Read a keep as its owner wrote it. Raises ValueError, saying what was expected."""
    pattern = None if match is None else _compile(match)
    text = source if match is None else f"{source} ~ {match}"
    at = None if by is None else _path(by)
    if at is not None and at.several is not None:
        raise ValueError(f"{shown(by)} leads to several values; `by` is one text or whole number")
    return Keep(name, text, _path(source), form, at, key, as_type, pattern)


def _path(text: str) -> Path:
    try:
        return parse(text, ROOTS)
    except ValueError as error:
        raise ValueError(f"{error}; expected a path such as `result.tables`, `result[*].id` or `args.user`") from None


def levels(steps: tuple[Step, ...]) -> tuple[type, ...]:
    """What the value of a path to several places is made of, from the outside in: lists in lists are one list."""
    several = [type(step) for step in steps if isinstance(step, Every | Values)]
    return tuple(kind for at, kind in enumerate(several) if not at or kind is Values or several[at - 1] is Values)


def _typed(value: Any, wanted: TypeWord, text: str) -> Json | Fault:
    """A text or number of the type that was asked for. Digits with anything between them are no number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return Fault(f"`{text}`: found {type(value).__name__}, expected text or a number")
    if wanted == "text":
        return str(value)
    if isinstance(value, str):
        if _NUMBER.fullmatch(value) is None:
            return Fault(f"`{text}`: a text is no number; expected digits such as `1200` or `12.50`")
        value = float(value) if "." in value else int(value)
    if wanted == "integer" and value != int(value):
        return Fault(f"`{text}`: a number is not whole")
    return int(value) if wanted == "integer" else value


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
