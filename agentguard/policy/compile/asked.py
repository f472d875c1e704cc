"""``approval.show``: what those who are asked see beside the call, so that ids mean something to them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agentguard.core.paths import Path, parse
from agentguard.policy import models
from agentguard.policy.words import expected, shown

_ROOTS = ("args", "inputs", "kept")


@dataclass(frozen=True, slots=True)
class Show:
    """The paths by label, and what is wrong with those that are none."""

    paths: Mapping[str, Path]
    troubles: tuple[tuple[str, str], ...]


def shown_to_people(rule: models.Approval, workflow: models.Workflow, arguments: Collection[str]) -> Show:
    """Read ``show`` of one step's approval."""
    kept = {name for step in workflow.steps.values() for name in step.keep}
    names: Mapping[str, Collection[str]] = {"args": arguments, "inputs": workflow.inputs, "kept": kept}
    paths: dict[str, Path] = {}
    troubles: list[tuple[str, str]] = []
    for label, text in rule.show.items():
        try:
            paths[label] = parse(text, _ROOTS)
        except ValueError as error:
            troubles.append((label, f"show.{label}: {error}"))
        else:
            troubles += [(label, f"show.{label}: {message}") for message in _unknown(paths[label], names)]
    return Show(MappingProxyType(paths), tuple(troubles))


def _unknown(path: Path, names: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Names in a path, and in the paths inside its brackets, that nothing declares."""
    for each in path.references():
        name = each.steps[0] if each.steps else None
        if not isinstance(name, str):
            yield f"{shown(str(each))}: after `{each.root}` stands a name"
        elif name not in names[each.root]:
            yield f"there is no {shown(f'{each.root}.{name}')}; {expected(name, names[each.root])}"
