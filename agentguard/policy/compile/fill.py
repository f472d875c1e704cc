"""``fill`` and ``null_is_absent`` of an argument: what the guard puts there, checked against what is declared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from agentguard.core.declarations import CatalogEntry, ToolDeclaration
from agentguard.core.fill import Listed, Source
from agentguard.core.paths import Path, parse
from agentguard.core.provenance import CATALOG
from agentguard.core.values import Sensitivity
from agentguard.policy import models
from agentguard.policy.cel.why import conjuncts
from agentguard.policy.compile.places import Places
from agentguard.policy.words import shown, unknown

Trouble: TypeAlias = "tuple[tuple[Any, ...], str]"

FILL, NULL = "fill", "null_is_absent"
_ROOTS = ("inputs", "kept")
_EXPECTED = "expected `inputs.NAME`, `kept.NAME`, a path below one of these, or `catalog`"


@dataclass(frozen=True, slots=True)
class Declared:
    """What the workflow around a step declares. ``kept``: for each kept name, the steps that keep it."""

    workflow: models.Workflow
    tools: Mapping[str, ToolDeclaration]
    catalog: Sequence[CatalogEntry]
    kept: Mapping[str, list[tuple[str, models.StepEntry]]]

    @classmethod
    def of(
        cls, workflow: models.Workflow, tools: Mapping[str, ToolDeclaration], catalog: Sequence[CatalogEntry]
    ) -> Declared:
        """Made once for a workflow: each of its steps looks things up in it."""
        kept: dict[str, list[tuple[str, models.StepEntry]]] = {}
        for name, step in workflow.steps.items():
            for word in step.keep:
                kept.setdefault(word, []).append((name, step))
        return cls(workflow, tools, catalog, kept)


def without_fill(arguments: Mapping[str, models.Schema]) -> dict[str, models.Schema]:
    """The arguments' schemas as JSON Schema knows them: what may be null because that is absent may be left out."""
    plain: dict[str, models.Schema] = {}
    for name, schema in arguments.items():
        plain[name] = {key: schema[key] for key in schema if key not in (FILL, NULL)}
        if schema.get(NULL) is True:
            plain[name]["optional"] = True
    return plain


def nulls_of(arguments: Mapping[str, models.Schema]) -> frozenset[str]:
    """The arguments for which null and absent are one."""
    return frozenset(name for name, schema in arguments.items() if schema.get(NULL) is True)


def fills_of(step: models.StepEntry, tool: ToolDeclaration, declared: Declared) -> Mapping[str, Source]:
    """Where the guard takes each argument from that it fills; those that are in order."""
    found: dict[str, Source] = {}
    for name, schema in step.arguments.items():
        if FILL in schema:
            source = _source(name, schema[FILL], step, tool, declared)
            if not isinstance(source, str):
                found[name] = source
    return MappingProxyType(found)


def reads_kept(fills: Mapping[str, Source]) -> bool:
    """Whether anything is filled with, or by, what the run kept."""
    return any(
        part.root == "kept" for source in fills.values() if isinstance(source, Path) for part in source.references()
    )


def fill_troubles(step: models.StepEntry, tool: ToolDeclaration | None, declared: Declared) -> Iterator[Trouble]:
    """Everything wrong with what the guard is to fill in a step."""
    for name, schema in step.arguments.items():
        if NULL in schema and type(schema[NULL]) is not bool:
            yield (name, NULL), f"{name}.{NULL}: found {shown(schema[NULL])}, expected `true` or `false`"
        if FILL not in schema:
            continue
        if schema.get(NULL) is True or schema.get("optional") is True:
            word = NULL if schema.get(NULL) is True else "optional"
            yield (name, word), f"{name}.{word}: the guard always fills this argument; remove `{word}`"
        if tool is None:
            continue
        source = _source(name, schema[FILL], step, tool, declared)
        if isinstance(source, str):
            yield (name, FILL), f"{name}.fill: {source}"
            continue
        misfit = _misfit(source, schema, declared)
        if misfit is not None:
            yield (name, FILL), f"{name}.fill: {misfit}"
        for why in _outsiders(source, step, schema, declared):
            message = (
                f"{why}; what outsiders or the model write fills nothing by itself: ask a person each time "
                "(`approval` without `when`), or let the value be a listed place (`from: catalog` beside `fill`)"
            )
            yield (name, FILL), f"{name}.fill: {message}"


def _misfit(source: Source, schema: models.Schema, declared: Declared) -> str | None:
    """Why an input can never be what an argument is filled with: it is of another type."""
    if not isinstance(source, Path) or source.root != "inputs" or len(source.steps) != 1:
        return None
    given = _types(declared.workflow.inputs.get(str(source.steps[0]), {}))
    wanted = _types(schema)
    if not given or not wanted or not given.isdisjoint(wanted):
        return None
    said, needed = " or ".join(sorted(given)), " or ".join(sorted(wanted))
    return f"{shown(source)} is {said}, and the argument {needed}, so no call would ever fit; declare the input so, too"


def _types(schema: Mapping[str, Any]) -> set[str]:
    """The types that a schema names; nothing where it names none. A whole number is a number."""
    named = schema.get("type", [])
    found = {named} if isinstance(named, str) else {each for each in named if isinstance(each, str)}
    return {"number" if each == "integer" else each for each in found}


def _source(name: str, written: Any, step: models.StepEntry, tool: ToolDeclaration, declared: Declared) -> Source | str:
    """Where a value comes from, or what is wrong with what was written."""
    if not isinstance(written, str):
        return f"found {shown(written)}, {_EXPECTED}"
    if written == CATALOG:
        return _listed(name, step, tool, declared.catalog)
    try:
        path = parse(written, _ROOTS)
    except ValueError as error:
        return f"{error}; {_EXPECTED}"
    for part in path.references():
        if not part.steps or not isinstance(part.steps[0], str):
            return f"{shown(part.text)} names nothing; {_EXPECTED}"
        known = {"inputs": declared.workflow.inputs, "kept": declared.kept, "args": step.arguments}[part.root]
        if part.steps[0] not in known:
            what = {"inputs": "input", "kept": "kept value", "args": "argument"}[part.root]
            return unknown(what, part.steps[0], known)
        if part.root == "args" and FILL in step.arguments[part.steps[0]]:
            return f"{shown(part.text)} is filled itself; an argument is filled by what the model gives, or by the run"
    return path


def _listed(name: str, step: models.StepEntry, tool: ToolDeclaration, catalog: Sequence[CatalogEntry]) -> Source | str:
    """The one place that the argument can be."""
    place = next((each for each in tool.destinations if each.argument == name), None)
    if place is None:
        return f"{shown(tool.name)} declares no destination whose `argument` is {shown(name)}, so no catalog lists it"
    reach = step.destinations
    most = None if reach is None or reach.up_to is None else Sensitivity.parse(reach.up_to)
    fitting = sorted(
        {
            entry.pattern
            for entry in catalog
            if entry.kind == place.kind and "*" not in entry.pattern and most is not None and entry.sensitivity <= most
        }
    )
    if len(fitting) != 1:
        found = "none" if not fitting else ", ".join(map(shown, fitting[:3]))
        return (
            f"expected exactly one {shown(place.kind)} in Destinations, written without `*`, within `up_to`; "
            f"found {found}"
        )
    label = place.options.get("name")
    return Listed(fitting[0].removeprefix(f"{label}:") if isinstance(label, str) else fitting[0])


def _outsiders(source: Source, step: models.StepEntry, schema: models.Schema, declared: Declared) -> Iterator[str]:
    """Why outsiders or the model can write what a source leads to, where nobody is asked and no catalog lists it."""
    named = schema.get("from")
    listed = named in (CATALOG, [CATALOG])
    asks = step.approval is not None and step.approval.when is None
    if listed or asks or not isinstance(source, Path):
        return
    places = Places(declared.workflow, {}, declared.tools)
    yield from places.outsiders(source)
    for part in source.references():
        if part is not source and part.root == "kept":
            yield from places.writers(str(part.steps[0]))


_ONE_ARGUMENT = re.compile(r"args\.([A-Za-z_][A-Za-z0-9_]*)")
_ONE_SOURCE = re.compile(r"(?:inputs|kept)\.[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


def could_be_filled(condition: str, step: models.StepEntry, declared: Declared) -> Iterator[str]:
    """What to note of a condition that only compares an argument with something the run holds, and could fill it."""
    for part in conjuncts(condition):
        sides = [side.strip() for side in part.split("==")]
        for one, other in (sides, sides[::-1]) if len(sides) == 2 else ():
            named = _ONE_ARGUMENT.fullmatch(one)
            schema = step.arguments.get(named[1], {}) if named is not None else {}
            if named is None or _ONE_SOURCE.fullmatch(other) is None or FILL in schema or schema.get("optional"):
                continue
            if any(_outsiders(parse(other, _ROOTS), step, schema, declared)):
                continue  # what outsiders or the model wrote fills nothing, and may be compared with
            yield (
                f"{shown(part.strip())} only compares; `fill: {other}` beside the type of {shown(named[1])} says the "
                "same, and the model need not give it"
            )
