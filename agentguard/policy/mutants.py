"""Each rule of a workflow changed, one at a time, so that somebody can ask which change no decision case notices.

A change takes a rule away or widens it by the least amount: a condition dropped, a comparison turned, a bound one
further, an order, a source or an approval left out. What cannot be loaded any more is no change.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from agentguard.core.values import Sensitivity
from agentguard.policy.bundle import Bundle
from agentguard.policy.cel import why
from agentguard.policy.loader import load, read_documents
from agentguard.policy.yaml.files import list_files
from agentguard.policy.yaml.parse import Document

Where: TypeAlias = "tuple[str | int, ...]"
Edit: TypeAlias = "Callable[[Any], None]"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: in which file and line, of which workflows, in words, and its document with it."""

    file: str
    line: int
    workflows: frozenset[str]
    what: str
    name: str
    index: int
    document: Document


class Mutants:
    """All changes of one directory's workflows. Raises PolicyError where the bundle itself does not load."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.bundle = load(self.directory)
        names = list_files(self.directory).names
        self._read = {name: read_documents(self.directory, name) for name in names}

    def all(self) -> list[Mutant]:
        """Every change, in the order of files and lines."""
        return [mutant for name, found in self._read.items() if not isinstance(found, str)
                for index, document in enumerate(found[0]) for mutant in self._of(name, index, document)]  # fmt: skip

    def with_it(self, mutant: Mutant) -> Bundle:
        """The bundle with one change. Raises PolicyError where it is none any more."""

        def read(name: str) -> Any:
            found = self._read[name]
            if name != mutant.name or isinstance(found, str):
                return found
            documents = list(found[0])
            documents[mutant.index] = mutant.document
            return documents, found[1]

        return load(self.directory, read=read)

    def _of(self, name: str, index: int, document: Document) -> Iterator[Mutant]:
        data: Any = document.data
        kind = data.get("kind")
        own = str(data["metadata"]["name"]) if kind in ("Workflow", "Steps") else ""
        including = (each for each, full in self.bundle.full.items() if own in full.brought.values())
        workflows = frozenset([own] if kind == "Workflow" else including)
        for where, what, edit in _edits(data) if kind in ("Workflow", "Steps") else ():
            changed: Any = copy.deepcopy(data)
            edit(changed)
            file = str(self.directory / name)
            yield Mutant(file, document.line(*where), workflows, what, name, index, Document(changed, document.place))


def _edits(data: Mapping[str, Any]) -> Iterator[tuple[Where, str, Edit]]:
    if data["kind"] == "Workflow":
        yield from _of_workflow(data)
    for name, step in (data.get("steps") or {}).items():
        for where, what, edit in _of_step(step, ("steps", name)):
            yield where, f"step `{name}`: {what}", edit


def _without(where: Where) -> Edit:
    def edit(data: Any) -> None:
        del _at(data, where[:-1])[where[-1]]

    return edit


def _with(where: Where, value: Any) -> Edit:
    def edit(data: Any) -> None:
        _at(data, where[:-1])[where[-1]] = value

    return edit


def _at(data: Any, where: Where) -> Any:
    for part in where:
        data = data[part]
    return data


def _of_workflow(data: Mapping[str, Any]) -> Iterator[tuple[Where, str, Edit]]:
    for key in ("identity", "idle", "lasts", "no_write_down", "risk"):
        if data.get(key):
            yield (key,), f"without `{key}`", _without((key,))
    for index in range(len(data.get("raise_risk") or ())):
        yield ("raise_risk", index), f"without rule {index + 1} of `raise_risk`", _without(("raise_risk", index))
    for name, budget in (data.get("budgets") or {}).items():
        here: Where = ("budgets", name)
        yield here, f"without budget `{name}`", _without(here)
        yield from _wider((*here, "at_most"), budget["at_most"], f"budget `{name}`: `at_most`", 1)


# Keys of a step that take something away from what it may do.
_LIMITS = ("after", "after_any", "not_after", "at_most", "not_above", "approval", "identity", "readers", "reaches")
# Keys beside an argument's type that say more than JSON Schema does.
_ABOUT_AN_ARGUMENT = ("from", "fill", "carries_nothing_of", "links", "addresses")
_BOUNDS = {
    "maximum": 1, "exclusiveMaximum": 1, "maxLength": 1, "maxItems": 1,
    "minimum": -1, "exclusiveMinimum": -1, "minLength": -1, "minItems": -1,
}  # fmt: skip


def _of_step(step: Mapping[str, Any], here: Where) -> Iterator[tuple[Where, str, Edit]]:
    for key in _LIMITS:
        if key in step:
            yield (*here, key), f"without `{key}`", _without((*here, key))
    for key in ("after", "not_after"):
        for index in range(len(step.get(key) or ()) if len(step.get(key) or ()) > 1 else 0):
            yield (*here, key, index), f"without `{step[key][index]}` in `{key}`", _without((*here, key, index))
    if "at_most" in step:
        yield from _wider((*here, "at_most"), step["at_most"], "`at_most`", 1)
    for key in ("per", "counting"):
        if key in step:
            yield (*here, key), f"without `{key}`", _without((*here, key))
    yield from _of_reach(step.get("destinations"), (*here, "destinations"))
    for index, entry in enumerate(step.get("require") or ()):
        where: Where = (*here, "require", index)
        yield where, f"without condition {index + 1}", _without(where)
        inner = (*where, "that") if isinstance(entry, dict) else where
        text = entry["that"] if isinstance(entry, dict) else entry
        yield from _of_condition(text, inner, f"condition {index + 1}")
    approval = step.get("approval") or {}
    if "when" in approval:
        yield from _of_condition(approval["when"], (*here, "approval", "when"), "`approval.when`")
    if approval.get("quorum", 1) > 1:
        yield from _wider((*here, "approval", "quorum"), approval["quorum"], "`quorum`", -1)
    for name, schema in (step.get("arguments") or {}).items():
        for at, what, edit in _of_schema(schema, (*here, "arguments", name)):
            yield at, f"argument `{name}`: {what}", edit


def _of_reach(reach: Any, here: Where) -> Iterator[tuple[Where, str, Edit]]:
    if not isinstance(reach, dict):
        return
    words = Sensitivity.words()
    up_to = reach.get("up_to")
    if up_to in words[:-1]:
        further = words[words.index(up_to) + 1]
        yield (*here, "up_to"), f"`up_to: {further}`", _with((*here, "up_to"), further)
    if "unclassified" not in reach:
        yield here, "with `unclassified: allow`", _with((*here, "unclassified"), "allow")


def _of_schema(schema: Any, here: Where) -> Iterator[tuple[Where, str, Edit]]:
    if not isinstance(schema, dict):
        return
    for key in _ABOUT_AN_ARGUMENT:
        if key in schema:
            yield (*here, key), f"without `{key}`", _without((*here, key))
    for key, by in _BOUNDS.items():
        if key in schema:
            yield from _wider((*here, key), schema[key], f"`{key}`", by)
    for key in ("pattern", "format"):
        if key in schema:
            yield (*here, key), f"without `{key}`", _without((*here, key))
    for key in ("enum", "const"):
        if key in schema:
            free = {name: value for name, value in schema.items() if name != key}
            free.setdefault("type", _types(schema[key]))
            yield (*here, key), f"without `{key}`", _with(here, free)
    for name, inner in (schema.get("properties") or {}).items():
        yield from _of_schema(inner, (*here, "properties", name))
    if "items" in schema:
        yield from _of_schema(schema["items"], (*here, "items"))


def _types(values: Any) -> Any:
    """The JSON Schema types of what an enum lists."""
    found = [_type(value) for value in (values if isinstance(values, list) else [values])]
    kinds = list(dict.fromkeys(found))
    return kinds[0] if len(kinds) == 1 else kinds


def _type(value: Any) -> str:
    named = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return named.get(type(value), "string")


def _wider(where: Where, value: Any, what: str, by: int) -> Iterator[tuple[Where, str, Edit]]:
    if isinstance(value, int | float) and not isinstance(value, bool) and value + by >= 0:
        yield where, f"{what} {value + by} instead of {value}", _with(where, value + by)


_TURNED = {"==": "!=", "!=": "==", "<=": "<", ">=": ">", "<": "<=", ">": ">="}
_COMPARISON = re.compile(r"[=!<>]=|[<>]")
_NUMBER = re.compile(r"[0-9]+(?![0-9.])")


def _of_condition(text: str, where: Where, what: str) -> Iterator[tuple[Where, str, Edit]]:
    parts = why.conjuncts(text)
    for index in range(len(parts) if len(parts) > 1 else 0):
        rest = " && ".join(f"({part})" for at, part in enumerate(parts) if at != index)
        yield where, f"{what} without {why.source(parts[index])}", _with(where, rest)
    outside = dict(why.outside(text))
    for found in _COMPARISON.finditer(text):
        if all(at in outside for at in range(found.start(), found.end())):
            turned = _TURNED[found[0]]
            near = why.source(_near(text, found))
            yield where, f"{what} with `{turned}` for `{found[0]}` in {near}", _with(where, _put(text, found, turned))
            number = _NUMBER.match(text, _skip(text, found.end()))
            if number is not None and found[0] in ("<", "<=", ">", ">="):
                further = str(int(number[0]) + (1 if "<" in found[0] else -1) * 1)
                if not further.startswith("-"):
                    change = f"{what} with {further} for {number[0]}"
                    yield where, change, _with(where, _put(text, number, further))


def _near(text: str, found: re.Match[str]) -> str:
    """What stands around a sign, with dots where more does: a number cut in two reads as another one."""
    start, end = max(0, found.start() - 30), found.end() + 30
    return f"{'...' if start else ''}{text[start:end]}{'...' if end < len(text) else ''}"


def _put(text: str, found: re.Match[str], instead: str) -> str:
    return text[: found.start()] + instead + text[found.end() :]


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] == " ":
        at += 1
    return at
