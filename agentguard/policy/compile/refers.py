"""``enum: inputs.x`` and ``pattern: "Hotel: {kept.hotel}"``: taken out of an argument's schema, and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from agentguard.core.paths import EVERY, Path, Place, parse
from agentguard.policy import models
from agentguard.policy.refers import Reference, compiled_pattern
from agentguard.policy.words import shown, unknown

Trouble: TypeAlias = "tuple[tuple[Any, ...], str]"

_ROOTS = ("inputs", "kept")
_QUOTED = re.compile(r"(?<!\\)(?:\\\\)*(\{((?:inputs|kept)[.\[][^{}]*)\})")
# A class of characters, as far as it goes, and text that `\Q` quotes: what a run holds cannot stand in either.
_ELSEWHERE = re.compile(r"\\Q(?:(?!\\E).)*|\\.|\[\^?\]?(?:\[:\w+:\]|\\.|[^\]\\])*", re.DOTALL)
# What a pair of braces may be in RE2: how often (`{2,3}`), or a class or a character by its name (`\pL`, `\x{2F}`).
_BRACES = re.compile(r"\\[pPx]\{[^{}]*\}|\\.|\{[0-9]+(?:,[0-9]*)?\}", re.DOTALL)
_MEANT = re.compile(r"\{+ *\$?[a-z]")
# A value that is the name of one, as it stands there or in braces.
_NAMED = re.compile(r"\$?\{*\s*((?:inputs|kept)\.[A-Za-z_]\w*(?:[.\[][^{}]*)?)\s*\}*")
_ALTERNATIVES = ("anyOf", "oneOf", "additionalProperties")


def with_references(
    arguments: Mapping[str, models.Schema], inputs: Mapping[str, Any], kept: Mapping[str, Any]
) -> tuple[dict[str, models.Schema], tuple[Reference, ...], list[Trouble]]:
    """The schemas without what refers to the run, what does, and everything wrong with that."""
    work = _References({"inputs": inputs, "kept": kept, "args": arguments})
    plain = {name: work.schema(schema, (name,), (name,)) for name, schema in arguments.items()}
    return plain, tuple(work.found), work.troubles


def refers_to_kept(references: tuple[Reference, ...]) -> bool:
    """Whether any of them reads what the run kept."""
    paths = [path for each in references for path in (each.listed, *each.pattern) if isinstance(path, Path)]
    return any(part.root == "kept" for path in paths for part in path.references())


class _References:
    def __init__(self, known: Mapping[str, Mapping[str, Any]]) -> None:
        self.found: list[Reference] = []
        self.troubles: list[Trouble] = []
        self._known = known

    def schema(self, schema: Any, place: Place, where: tuple[Any, ...]) -> Any:
        if type(schema) is not dict:
            return schema
        plain = dict(schema)
        for keyword in _ALTERNATIVES:
            if keyword in plain and _refers(plain[keyword]):
                message = f"{'.'.join(map(str, where))}: `{keyword}` cannot refer to the run; write two steps"
                self.troubles.append(((*where, keyword), message))
        for keyword in ("enum", "const"):
            listed = plain.get(keyword) if keyword == "const" or isinstance(plain.get(keyword), list) else []
            for value in listed if isinstance(listed, list) else [listed]:
                self._literal(value, (*where, keyword))
        if isinstance(plain.get("enum"), str):
            path = self._path(plain.pop("enum"), (*where, "enum"))
            if path is not None:
                self.found.append(Reference(place, path.text, listed=path))
        if isinstance(plain.get("pattern"), str) and self._misbraced(plain["pattern"], (*where, "pattern")):
            plain.pop("pattern")
        elif isinstance(plain.get("pattern"), str) and _QUOTED.search(plain["pattern"]) is not None:
            self._pattern(plain.pop("pattern"), place, (*where, "pattern"))
        if type(plain.get("items")) is dict:
            plain["items"] = self.schema(plain["items"], (*place, EVERY), (*where, "items"))
        if type(plain.get("properties")) is dict:
            plain["properties"] = {
                name: self.schema(inner, (*place, name), (*where, "properties", name))
                for name, inner in plain["properties"].items()
            }
        return plain

    def _literal(self, value: Any, where: tuple[Any, ...]) -> None:
        """A text that is the name of an input or a kept value is hardly meant as that text."""
        found = _NAMED.fullmatch(value) if isinstance(value, str) else None
        if found is not None:
            message = f"{shown(value)} stands there as text; a list or value of the run is `enum: {found[1]}`"
            self.troubles.append((where, f"{'.'.join(map(str, where))}: {message}, alone and without braces"))

    def _misbraced(self, text: str, where: tuple[Any, ...]) -> bool:
        """Braces that say nothing in a pattern, where a reference was meant."""
        plain = _BRACES.sub(lambda found: "x" * len(found[0]), text)
        plain = _ELSEWHERE.sub(lambda found: "x" * len(found[0]), plain)
        for found in re.finditer(r"\{+[^{}]*\}*", plain):
            part = text[found.start() : found.end()]
            if _MEANT.match(part) is None or re.fullmatch(r"\{(?:inputs|kept)[.\[][^{}]*\}", part) is not None:
                continue
            message = f"{shown(part)} is no reference; expected such as `{{inputs.NAME}}` or `{{kept.NAME}}`"
            self.troubles.append((where, f"{'.'.join(map(str, where))}: {message}; a brace is written `\\{{`"))
            return True
        return False

    def _path(self, text: str, where: tuple[Any, ...]) -> Path | None:
        said = ".".join(map(str, where))
        try:
            path = parse(text, _ROOTS)
        except ValueError as error:
            self.troubles.append((where, f"{said}: {error}, or a list of values"))
            return None
        for part in path.references():
            name = part.steps[0] if part.steps else None
            if not isinstance(name, str) or name not in self._known[part.root]:
                known = self._known[part.root]
                what = {"inputs": "input", "kept": "kept value", "args": "argument"}[part.root]
                self.troubles.append((where, f"{said}: {unknown(what, str(name or part.text), known)}"))
                return None
        return path

    def _pattern(self, text: str, place: Place, where: tuple[Any, ...]) -> None:
        parts: list[str | Path] = []
        at = 0
        for found in _QUOTED.finditer(text):
            path = self._path(found[2], where)
            if path is None:
                return
            if any(other.start() < found.start(1) < other.end() for other in _ELSEWHERE.finditer(text)):
                message = f"{'.'.join(map(str, where))}: {shown(found[1])} cannot stand in `[...]` or behind `\\Q`"
                self.troubles.append((where, message))
                return
            parts += [text[at : found.start(1)], path]
            at = found.end()
        parts.append(text[at:])
        if compiled_pattern("".join(part if isinstance(part, str) else "(?:x)" for part in parts)) is None:
            message = f"{'.'.join(map(str, where))}: {shown(text)} is not a regular expression (RE2)"
            self.troubles.append((where, message))
            return
        self.found.append(Reference(place, text, pattern=tuple(parts)))


def _refers(schema: Any) -> bool:
    pending = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending += part
        if isinstance(part, Mapping):
            pattern = part.get("pattern")
            if isinstance(part.get("enum"), str) or (isinstance(pattern, str) and _QUOTED.search(pattern)):
                return True
            pending += [*part.values()]
    return False
