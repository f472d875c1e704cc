"""Named places in ``from``: ``list_files[*].id_``, ``kept.events[?id_ == args.id].participants[*]``.

The owner says that a value comes from exactly there, so it must be a place that outsiders cannot write, and the model
neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentguard.core.declarations import ToolDeclaration
from agentguard.core.paths import Every, Named, Path, Step, Where, may_meet, parse
from agentguard.core.provenance import PLACE
from agentguard.policy import models
from agentguard.policy.cel.places import SOME, Looked
from agentguard.policy.compile.from_words import FROM, all_from, listed_words
from agentguard.policy.compile.keeps import (
    choosers,
    form_of,
    keep_path,
    keyed_by,
    looked_at_by,
    name_troubles,
    outsiders_places,
    written_by_outsiders,
)
from agentguard.policy.keeps import levels
from agentguard.policy.words import shown

# What an argument may say so that the model does not choose its value.
_BOUND = frozenset({"from", "fill", "const"})
# What a text may hold, where it may come from a place.
_OF_TEXTS = ("links", "addresses")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.){1,500})"|\'([^\'\\]{1,500})\'')


@dataclass(frozen=True, slots=True)
class Places:
    """What a workflow's named places can begin with, and what is declared of that."""

    workflow: models.Workflow
    used: Mapping[str, str]
    tools: Mapping[str, ToolDeclaration]

    def read(self, word: str) -> Path | None:
        """A named place; None for a plain word, and for what is no path."""
        try:
            path = parse(word, {*self.used.values(), "inputs", "kept"})
        except ValueError:
            return None
        return path if len(path.steps) > (path.root in ("inputs", "kept")) else None

    def all(self) -> dict[str, Path]:
        """Every named place that an argument or a condition asks for, by its source."""
        words: set[str] = set()
        for step in self.workflow.steps.values():
            words.update(*(listed_words(each.schema[FROM]) for each in all_from(step.arguments)))
            for schema in step.arguments.values():
                texts = [schema[key].get(FROM) for key in _OF_TEXTS if isinstance(schema.get(key), dict)]
                words.update(*map(listed_words, texts))
            for text in _conditions(step):
                words |= {found[0] or found[1] for found in _QUOTED.findall(text)} if "origins" in text else set()
        found = {PLACE + word: self.read(word) for word in sorted(words)}
        return {source: path for source, path in found.items() if path is not None}

    def troubles(self, path: Path, arguments: Iterable[str]) -> Iterator[str]:
        """Everything wrong with a named place in a step with these arguments."""
        kept = {name for step in self.workflow.steps.values() for name in step.keep}
        names = {"args": [*arguments], "inputs": [*self.workflow.inputs], "kept": sorted(kept)}
        for part in path.references():
            yield from name_troubles(part, names[part.root]) if part.root in names else ()
        if path.root not in ("inputs", "kept") and any(isinstance(step, Where | Named) for step in path.steps):
            yield (
                f"{shown(path)} chooses one element, and what a tool returned is not held; `keep` it, and write "
                "`kept.NAME[?X]`"
            )
        yield from self.outsiders(path)

    def outsiders(self, path: Path) -> Iterator[str]:
        """Why somebody else than the owner of the place can write there, or choose what stands there."""
        if path.root == "inputs":
            return
        if path.root == "kept":
            yield from self.writers(str(path.steps[0]), path.steps[1:])
            for part in path.references():
                if part is not path and part.root == "kept" and self.is_outsiders(part):
                    yield f"outsiders choose: `{part}` is theirs"
            return
        for written, outside in outsiders_places(self.tools[path.root]) if path.root in self.tools else ():
            if may_meet(path.steps, outside):
                yield f"outsiders write there: `untrusted_results` of {shown(path.root)} says {shown(written)}"

    def binds(self, schema: Mapping[str, Any], above: frozenset[str] = frozenset()) -> bool:
        """Whether an argument's schema leaves its value to the owner. An `enum` that refers to the run does so where
        neither outsiders nor the model write what it refers to. ``above``: the kept names that led here."""
        enum = schema.get("enum")
        if _BOUND & schema.keys() or not isinstance(enum, str):
            return bool(_BOUND & schema.keys()) or enum is not None
        try:
            read = [part for part in parse(enum, ("inputs", "kept")).references() if part.root == "kept" and part.steps]
        except ValueError:  # said where the reference is read
            return True
        places = [(str(part.steps[0]), part.steps[1:]) for part in read]
        return not any(True for name, rest in places if name not in above for _ in self.writers(name, rest, above))

    def is_chosen(self, entry: models.KeepEntry, above: frozenset[str] = frozenset()) -> bool:
        """Whether outsiders wrote a kept value that chooses what an entry keeps."""
        return any(self.is_outsiders(part, above) for part in choosers(entry))

    def is_outsiders(self, place: Path, above: frozenset[str] = frozenset()) -> bool:
        """Whether outsiders can write at a place in what is kept. The model's word is no outsider's."""
        name = str(place.steps[0])
        for step in self.workflow.steps.values() if name not in above else ():
            entry, tool = step.keep.get(name), self.tools.get(step.tool)
            if entry is None or tool is None:
                continue
            path = keep_path(entry)
            if path is None or path.root != "result":
                continue
            places = [*_in_result(entry, path.steps, place.steps[1:]), *looked_at_by(path.steps), *keyed_by(entry)]
            if _meets(places, tool) or self.is_chosen(entry, above | {name}):
                return True
        return False

    def chosen(self, name: str) -> list[str]:
        """The steps that keep something under a name where outsiders choose what it is."""
        return [
            step_name
            for step_name, step in self.workflow.steps.items()
            if name in step.keep and (tool := self.tools.get(step.tool)) is not None
            if self._is_chosen_by_outsiders(name, step.keep[name], tool, frozenset())
        ]

    def _is_chosen_by_outsiders(
        self, name: str, entry: models.KeepEntry, tool: ToolDeclaration, above: frozenset[str]
    ) -> bool:
        path = keep_path(entry)
        tested = path is not None and path.root == "result" and any(isinstance(part, Where) for part in path.steps)
        return (
            (tested and written_by_outsiders(entry, tool) is not None)
            or _meets(keyed_by(entry), tool)
            or self.is_chosen(entry, above | {name})
        )

    def writers(
        self, name: str, rest: tuple[Step, ...] | None = None, above: frozenset[str] = frozenset()
    ) -> Iterator[str]:
        """Who writes what is kept under a name, if not the owners of its tools. ``rest``: the place in it; without it,
        only whether the model does."""
        for step_name, step in self.workflow.steps.items():
            entry = step.keep.get(name)
            path = None if entry is None else keep_path(entry)
            if entry is None or path is None:
                continue
            if path.root == "args":
                schema = step.arguments.get(str(path.steps[0]) if path.steps else "", {})
                if not self.binds(schema, above | {name}):
                    yield (
                        f"`kept.{name}` is what the model wrote (step {shown(step_name)} keeps {shown(path)}); say "
                        "where that argument comes from, too"
                    )
                continue
            tool = self.tools.get(step.tool)
            if rest is None or tool is None:
                continue
            if self._is_chosen_by_outsiders(name, entry, tool, above):
                yield f"outsiders choose what is kept as `kept.{name}` (step {shown(step_name)})"
                continue
            looked_at = [rest, *looked_at_by(rest)]
            places = [place for part in looked_at for place in _in_result(entry, path.steps, part)]
            for text, outside in outsiders_places(tool):
                if any(may_meet(place, outside) for place in places):
                    yield (
                        f"outsiders write there: step {shown(step_name)} keeps {shown(path)}, and `untrusted_results` "
                        f"of {shown(step.tool)} says {shown(text)}"
                    )


def written_at(entry: models.KeepEntry, tool: ToolDeclaration, name: str, looked: Looked) -> str | None:
    """The place of ``untrusted_results`` that decides what a condition finds where it looks at this kept value."""
    path = keep_path(entry)
    if path is None or path.root != "result":
        return None
    at = [place for rest in _below(name, looked.at, entry) for place in _in_result(entry, path.steps, rest)]
    counted = [place for rest in _below(name, looked.counted, entry) for place in _in_result(entry, path.steps, rest)]
    chosen = [*looked_at_by(path.steps), *keyed_by(entry)]
    for text, outside in outsiders_places(tool):
        sized = [place for place in counted if len(place) >= len(outside)]
        if any(may_meet(place, outside) for place in (*at, *sized, *chosen)):
            return text
    return None


def _below(name: str, places: Iterable[tuple[Step, ...]], entry: models.KeepEntry) -> Iterator[tuple[Step, ...]]:
    """The places in one kept value; a step that nobody knows may be this one. What has a `key` is a list."""
    for place in places:
        if not place or not isinstance(place[0], str) or place[0] == name:
            rest = place[1:]
            yield (Every(), *rest[1:]) if entry.key is not None and rest and rest[0] is SOME else rest


def _meets(places: Iterable[tuple[Step, ...]], tool: ToolDeclaration) -> bool:
    """Whether outsiders can write at one of these places in a tool's result."""
    outside = [steps for _, steps in outsiders_places(tool)]
    return any(may_meet(place, theirs) for place in places for theirs in outside)


def _in_result(entry: models.KeepEntry, path: tuple[Step, ...], rest: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """Where in the result a place in a kept value may stand."""
    if form_of(entry) == "put":
        rest = rest[1:]
    several = len(levels(path))
    yield (*path, *rest[several:])
    if form_of(entry) == "add" and not several:
        yield (*path, *rest[1:])


def _conditions(step: models.StepEntry) -> Iterator[str]:
    yield from (entry.that for entry in step.require)
    if step.approval is not None and step.approval.when is not None:
        yield step.approval.when
