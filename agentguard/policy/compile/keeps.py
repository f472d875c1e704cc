"""``keep`` of a workflow's steps: each entry read once, and every name in its paths looked up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from agentguard.core.declarations import ToolDeclaration
from agentguard.core.paths import Every, Path, Step, Values, Where, may_meet, parse, parse_place
from agentguard.policy import models
from agentguard.policy.cel.scope import ANYTHING, Known
from agentguard.policy.keeps import ROOTS, Form, Keep, compile_keep
from agentguard.policy.words import shown, unknown

Trouble: TypeAlias = "tuple[tuple[Any, ...], str]"


def compiled_keeps(step: models.StepEntry) -> tuple[tuple[Keep, ...], list[Trouble]]:
    """What one step keeps, and everything that cannot be read in it."""
    keeps: list[Keep] = []
    troubles: list[Trouble] = []
    for name, entry in step.keep.items():
        try:
            keeps.append(
                compile_keep(
                    name, entry.path, entry.match, form=form_of(entry), by=entry.by, key=entry.key or "",
                    as_type=entry.as_type,
                )
            )  # fmt: skip
        except ValueError as error:
            troubles.append(((name,), str(error)))
    return tuple(keeps), troubles


def form_of(entry: models.KeepEntry) -> Form:
    """Whether it takes the place of the last one, or grows."""
    return "put" if entry.by is not None else "add" if entry.add is not None else "set"


def grows_in(steps: Mapping[str, models.StepEntry]) -> frozenset[str]:
    """The kept values that grow over several calls."""
    return frozenset(name for step in steps.values() for name, entry in step.keep.items() if form_of(entry) != "set")


def known_of_kept(steps: Mapping[str, models.StepEntry]) -> Mapping[str, Known]:
    """What conditions know of each kept value: that it is a number, where ``as`` makes one of it in every step."""
    found: dict[str, Known] = {}
    for step in steps.values():
        for name, entry in step.keep.items():
            known = _known_of(entry)
            found[name] = known if found.get(name, known) == known else ANYTHING
    return found


def _known_of(entry: models.KeepEntry) -> Known:
    path = keep_path(entry)
    one = form_of(entry) == "set" and path is not None and not any(isinstance(at, Every | Values) for at in path.steps)
    return {"type": entry.as_type} if one and entry.as_type == "number" else ANYTHING


def keep_troubles(
    keeps: Mapping[str, tuple[Keep, ...]], steps: Mapping[str, models.StepEntry], inputs: Iterable[str]
) -> Iterator[Trouble]:
    """Every name in a path that is not there, and one name kept in two ways."""
    known = {"inputs": set(inputs), "kept": {name for step in steps.values() for name in step.keep}}
    first: dict[str, tuple[str, Keep]] = {}
    for step, found in keeps.items():
        for keep in found:
            here = ("steps", step, "keep", keep.name)
            for path in (*keep.path.references(), *(() if keep.by is None else keep.by.references())):
                names = {**known, "args": set(steps[step].arguments)}.get(path.root)
                for message in () if names is None else name_troubles(path, names):
                    yield here, f"keep.{keep.name}: {message}"
            other, before = first.setdefault(keep.name, (step, keep))
            if (before.form, before.key) != (keep.form, keep.key):
                yield (
                    here,
                    f"keep.{keep.name}: step {shown(other)} keeps this name in another way; give it another name",
                )


def name_troubles(path: Path, names: Iterable[str]) -> Iterator[str]:
    """What is wrong with the first name of a path below `args`, `inputs` or `kept`."""
    what = {"args": "argument", "inputs": "input", "kept": "kept value"}[path.root]
    first = path.steps[0] if path.steps else None
    if not isinstance(first, str):
        yield f"{shown(path)} names no {what}; expected such as `{path.root}.name`"
    elif first not in names:
        yield unknown(what, first, names)


def outsiders_places(tool: ToolDeclaration) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Where outsiders can write in a tool's results, as it is written and as steps. What cannot be read is told by
    whoever loads the bundle."""
    for text in tool.untrusted_results:
        try:
            yield text, () if text == "*" else parse_place(text)
        except ValueError:
            continue


def keep_path(entry: models.KeepEntry) -> Path | None:
    """Where an entry finds its value; None where that cannot be read, which is told elsewhere."""
    return _path_or_none(entry.path)


def written_by_outsiders(entry: models.KeepEntry, tool: ToolDeclaration) -> str | None:
    """The place of ``untrusted_results`` that decides what an entry keeps, or None: the value stands in it, or what
    chooses the value does."""
    path = keep_path(entry)
    if path is None or path.root != "result":
        return None
    places = [path.steps, *looked_at_by(path.steps), *keyed_by(entry)]
    return next(
        (text for text, outside in outsiders_places(tool) if any(may_meet(place, outside) for place in places)), None
    )


def keyed_by(entry: models.KeepEntry) -> Iterator[tuple[Step, ...]]:
    """Where in the result the key stands at which something is kept."""
    by = None if entry.by is None else _path_or_none(entry.by)
    if by is not None and by.root == "result":
        yield by.steps
        yield from looked_at_by(by.steps)


def choosers(entry: models.KeepEntry) -> Iterator[Path]:
    """The kept values that choose what an entry keeps, or at which key."""
    for text in (entry.path, entry.by):
        path = None if text is None else _path_or_none(text)
        for part in () if path is None else path.references():
            if part.root == "kept" and part.steps:
                yield part


def _path_or_none(text: str) -> Path | None:
    try:
        return parse(text, ROOTS)
    except ValueError:  # told elsewhere
        return None


def looked_at_by(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """What the tests of a path look at."""
    for at, step in enumerate(steps):
        if isinstance(step, Where):
            yield from ((*steps[:at], step, *test.field) for test in step.tests)
