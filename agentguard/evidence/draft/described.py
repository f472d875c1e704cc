"""What a source says of one tool, before anything is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentguard.core.values import Json

# More than any agent has. Past it, the rest is left out.
MOST_TOOLS = 5_000


@dataclass(frozen=True, slots=True)
class Described:
    """One tool: its name, its arguments as JSON Schema, and what its source says of its effect.

    ``root``: what a ``$ref`` in ``parameters`` points into. ``read_only``, ``destructive``: hints of an MCP
    server, None where it gives none. ``method``: the HTTP method. ``fixed``: the address that every call goes to.
    ``defaults_are_judged``: a default is part of every call, as of a Python function.
    """

    name: str
    parameters: Mapping[str, Json]
    root: Any = None
    read_only: bool | None = None
    destructive: bool | None = None
    method: str | None = None
    fixed: str | None = None
    defaults_are_judged: bool = False


@dataclass(slots=True)
class Found:
    """The tools of a source, and those that are none: their names and why. ``defined``: some are definitions alone,
    which run nothing."""

    tools: list[Described] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    defined: bool = False


def parameters_of(schema: Any) -> Mapping[str, Json]:
    """The arguments' schema of a tool, an empty one where there is none. Raises ValueError for anything else."""
    if schema is None:
        return {"type": "object", "properties": {}}
    if not isinstance(schema, Mapping):
        raise ValueError("its arguments are not described by a JSON Schema")
    return schema
