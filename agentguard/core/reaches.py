"""Places that a call reaches without naming them in its arguments: the people whom a tool tells of what it does.

A step says where they stand: ``{kind: email, value: kept.events[?id_ == args.event_id].participants[*]}``. They are
destinations of the call like any other. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentguard.core.declarations import DestinationDeclaration
from agentguard.core.paths import Missing, Path, value_at
from agentguard.core.reasons import Reason
from agentguard.core.values import Json, Unavailable


@dataclass(frozen=True, slots=True)
class Reach:
    """Where such places stand, and how they are read: ``declaration`` is of one argument, named ``value``."""

    value: Path
    declaration: DestinationDeclaration

    @property
    def key(self) -> tuple[Any, ...]:
        """The same for two that reach the same."""
        return self.value.text, self.declaration.kind, sorted(map(repr, self.declaration.options.items()))


def reached(
    reach: Reach, inputs: Mapping[str, Json], kept: Mapping[str, Json], arguments: Mapping[str, Json]
) -> list[Json] | Unavailable:
    """The places as they are written there. A list without elements is nobody; what is not there is not known."""
    found = value_at(reach.value, {"inputs": inputs, "kept": kept, "args": arguments})
    if isinstance(found, Missing):
        return Unavailable(Reason.DESTINATION_MISSING, f"`reaches`: {found.detail}")
    return found if isinstance(found, list) else [found]
