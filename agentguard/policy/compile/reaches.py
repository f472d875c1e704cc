"""``reaches`` of a step: whom its tool tells without naming them in its arguments, checked against what is declared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from agentguard.core.declarations import DestinationDeclaration, Source
from agentguard.core.paths import Path, parse
from agentguard.core.reaches import Reach
from agentguard.policy import models
from agentguard.policy.compile.sources import Trouble
from agentguard.policy.words import shown, unknown

_ROOTS = ("inputs", "kept", "args")
_WORDS = {"inputs": "input", "kept": "kept value", "args": "argument"}


def reaches_of(step: models.StepEntry, source: Callable[..., Source]) -> tuple[Reach, ...]:
    """What a step reaches beside its arguments' destinations; those that are in order."""
    found = []
    for index, entry in enumerate(step.reaches):
        path = _path(entry.value)
        if isinstance(path, Path):
            options = MappingProxyType(dict(entry.__pydantic_extra__ or {}))
            place = DestinationDeclaration(entry.kind, "value[*]", None, options, False, source("reaches", index))
            found.append(Reach(path, place))
    return tuple(found)


def reach_troubles(step: models.StepEntry, inputs: Collection[str], kept: Collection[str]) -> Iterator[Trouble]:
    """Everything wrong with what a step says that it reaches."""
    for index, entry in enumerate(step.reaches):
        path = _path(entry.value)
        if isinstance(path, str):
            yield (index, "value"), f"reaches: {path}"
            continue
        known: Mapping[str, Iterable[str]] = {"inputs": inputs, "kept": kept, "args": step.arguments}
        for part in path.references():
            if not part.steps or not isinstance(part.steps[0], str):
                yield (index, "value"), f"reaches: {shown(part.text)} names nothing in `{part.root}`"
            elif part.steps[0] not in known[part.root]:
                message = unknown(_WORDS[part.root], part.steps[0], known[part.root])
                yield (index, "value"), f"reaches: {message}"


def read_kept(reaches: Iterable[Reach]) -> bool:
    """Whether any of these is found in, or by, what the run kept."""
    return any(part.root == "kept" for reach in reaches for part in reach.value.references())


def _path(text: Any) -> Path | str:
    try:
        return parse(text, _ROOTS)
    except ValueError as error:
        return str(error)
