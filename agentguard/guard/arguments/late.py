"""How the arguments of a call are read, and what the caller is told where they cannot be.

A door says how it reads what the caller gave, by the tool's own types. Where a step fills an argument, the model leaves
it out, and what belongs there is known only when the run has been looked up: then the order of events reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

from agentguard.core.canonical import canonical_bytes, read_canonical
from agentguard.core.fill import Filling, Missing, value_of
from agentguard.core.values import Json
from agentguard.errors import ToolCallRefused
from agentguard.guard.arguments.given import Given

# What is done to the arguments as they came, before the tool's own types read them; None where nothing is.
Change: TypeAlias = "Callable[[Mapping[str, Any]], dict[str, Any]]"
# Reads one call's arguments. Raises what its framework raises for those that do not fit.
Read: TypeAlias = "Callable[[Change | None], Given]"
# What the caller gets for arguments that could not be read: made of the error, and of the refusal that is on record.
Told: TypeAlias = Callable[[Exception, ToolCallRefused], Exception]


def as_raised(error: Exception, refused: ToolCallRefused) -> Exception:
    """The error itself, as without a guard."""
    return error


def json_as_it_is(values: Mapping[str, Json]) -> Read:
    """Reads arguments that are JSON already, and are handed on as they are."""
    return lambda change: Given(values if change is None else change(values))


@dataclass(frozen=True, slots=True)
class Late:
    """A call that is read when its run is known."""

    read: Read
    told: Told


class Misread(Late):
    """A call that could not be read: whoever reads it finds the same error."""

    __slots__ = ()

    @classmethod
    def of(cls, error: Exception, told: Told) -> Misread:
        """Of what reading it raised."""

        def raised(change: Change | None) -> NoReturn:
            raise error

        return cls(raised, told)


@dataclass(slots=True)
class Filler:
    """Fills one call's arguments, by the run as it was when the call was looked at.

    ``unknown``: what could not be filled, and why, for reviewers; ``filled``: what was. ``keeps_nulls``: the tool takes
    no call without them, so null that means absent is handed on; it is judged as absent all the same.
    """

    filling: Filling
    inputs: Mapping[str, Json]
    kept: Mapping[str, Json]
    keeps_nulls: bool = False
    unknown: list[str] = field(default_factory=list)
    filled: set[str] = field(default_factory=set)

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
                self.filled.add(name)
        return found
