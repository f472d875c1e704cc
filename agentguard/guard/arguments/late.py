"""Arguments that are read once it is known what the guard fills in them.

A door reads what the caller gave by the tool's own types, and refuses what is missing. Where a step fills an argument,
the model leaves it out, and what belongs there is known only when the run has been looked up. So the door hands over
how it reads, and the order of events reads when it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from agentguard.core.canonical import canonical_bytes, read_canonical
from agentguard.core.fill import Filling, Missing, value_of
from agentguard.core.values import Json
from agentguard.errors import ToolCallRefused
from agentguard.guard.arguments.given import Given

Change: TypeAlias = "Callable[[Mapping[str, Any]], dict[str, Any]]"


def _as_raised(error: Exception, refused: ToolCallRefused) -> Exception:
    return error


@dataclass(frozen=True, slots=True)
class Late:
    """How a door reads one call. ``told``: what the caller gets where that fails, made of the error and the refusal."""

    read: Callable[[Change | None], Given]
    told: Callable[[Exception, ToolCallRefused], Exception] = _as_raised


@dataclass(slots=True)
class Filler:
    """Fills one call's arguments, by the run as it was when the call was looked at.

    ``unknown``: what could not be filled, and why, for reviewers. ``keeps_nulls``: the tool takes no call without them,
    so null that means absent is handed on; it is judged as absent all the same.
    """

    filling: Filling
    inputs: Mapping[str, Json]
    kept: Mapping[str, Json]
    keeps_nulls: bool = False
    unknown: list[str] = field(default_factory=list)

    def __call__(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as they are read: what is absent, or null, is filled; null that means absent is left out."""
        nulls = frozenset[str]() if self.keeps_nulls else self.filling.nulls
        found = {name: value for name, value in given.items() if value is not None or name not in nulls}
        for name, source in self.filling.fills.items():
            if found.get(name) is not None:
                continue  # the decision compares it
            value = value_of(source, self.inputs, self.kept, found)
            if isinstance(value, Missing):
                self.unknown.append(f"`{name}` is filled from `{source}`: {value.detail}")
                found.pop(name, None)
            else:
                found[name] = read_canonical(canonical_bytes(value))  # the caller's own, whatever is done to it
        return found


def as_late(given: Given) -> Late:
    """A call whose door read it without asking what is filled: what it lacks is put into what the door read."""
    return Late(lambda change: given if change is None else replace(given, values=change(given.values)))
