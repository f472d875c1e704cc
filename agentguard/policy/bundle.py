"""A policy bundle that was loaded: what it says, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from agentguard.core.declarations import CatalogEntry, ConsoleTrust, IssuerTrust, Observe, StreamTrust, ToolDeclaration
from agentguard.core.policy import Policy, Shape
from agentguard.errors import PolicyProblem

if TYPE_CHECKING:
    from agentguard.policy.compile.included import FullWorkflow
    from agentguard.policy.keeps import Keep


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything one directory approves, compiled. Immutable.

    ``workflows_inputs`` check what a run is started with; ``keeps`` are found by (workflow, step); ``tool_by_alias``
    maps every exact name and alias to the tool's name. ``full`` is each workflow as it is written, with
    the steps it includes. ``notes`` say of what is no mistake that it does something else than it seems to.
    ``observed``: the workflows whose runs begin observed, by name. ``console``: who may do what there.
    """

    directory: Path
    revision: str
    policy: Policy
    workflows_inputs: Mapping[str, Shape]
    keeps: Mapping[tuple[str, str], tuple[Keep, ...]]
    tools: Mapping[str, ToolDeclaration]
    tool_by_alias: Mapping[str, str]
    issuers: tuple[IssuerTrust, ...]
    streams: tuple[StreamTrust, ...]
    catalog: tuple[CatalogEntry, ...]
    files: tuple[str, ...]
    full: Mapping[str, FullWorkflow]
    notes: tuple[PolicyProblem, ...] = ()
    observed: Mapping[str, Observe] = field(default_factory=lambda: MappingProxyType({}))
    console: ConsoleTrust | None = None
