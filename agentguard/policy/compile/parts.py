"""What the files of a bundle have given so far: compiled parts, everything wrong, and where each name was first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from agentguard.core.declarations import CatalogEntry, IssuerTrust, Source, StreamTrust, ToolDeclaration
from agentguard.core.policy import Workflow, Zone
from agentguard.core.values import Assurance, Risk, Sensitivity
from agentguard.errors import PolicyProblem
from agentguard.policy.json_schema.shapes import CompiledShape
from agentguard.policy.keeps import Keep
from agentguard.policy.words import shown
from agentguard.policy.yaml.parse import Document


@dataclass(frozen=True, slots=True)
class Written:
    """One document with its file, its content and its digest."""

    file: str
    document: Document
    model: Any
    digest: str
    origin: Mapping[str, Written] = field(default_factory=dict)

    def source(self, *path: Any) -> Source:
        """Where something in it was written. An included step stands in another document: its ``origin``."""
        if len(path) > 1 and path[0] == "steps" and path[1] in self.origin:
            return self.origin[path[1]].source(*path)
        return Source(self.file, self.document.line(*path))


@dataclass(slots=True)
class Parts:
    """Everything compiled so far, everything wrong so far, and what is right but means something unexpected."""

    problems: list[PolicyProblem] = field(default_factory=list)
    notes: list[PolicyProblem] = field(default_factory=list)
    groups: dict[str, frozenset[str]] = field(default_factory=dict)
    issuers: dict[str, IssuerTrust] = field(default_factory=dict)
    streams: dict[str, StreamTrust] = field(default_factory=dict)
    tools: dict[str, ToolDeclaration] = field(default_factory=dict)
    tool_digests: dict[str, str] = field(default_factory=dict)
    tool_by_alias: dict[str, str] = field(default_factory=dict)
    catalog: list[CatalogEntry] = field(default_factory=list)
    zones: dict[str, Zone] = field(default_factory=dict)
    freshness: dict[Sensitivity, timedelta] = field(default_factory=dict)
    assurance: dict[Sensitivity, Assurance] = field(default_factory=dict)
    risk_ceilings: dict[Risk, Sensitivity] = field(default_factory=dict)
    workflows: dict[str, Workflow] = field(default_factory=dict)
    inputs: dict[str, CompiledShape] = field(default_factory=dict)
    keeps: dict[tuple[str, str], tuple[Keep, ...]] = field(default_factory=dict)
    shared: dict[str, Written] = field(default_factory=dict)
    included: set[str] = field(default_factory=set)
    full: dict[str, Written] = field(default_factory=dict)
    _includers: dict[PolicyProblem, dict[str, None]] = field(default_factory=dict)
    _first: dict[tuple[str, str], Source] = field(default_factory=dict)

    def say(self, source: Source, message: str) -> None:
        """Add one problem."""
        self.problems.append(PolicyProblem(source.file, source.line, message))

    def note(self, source: Source, message: str) -> None:
        """Add one note."""
        self.notes.append(PolicyProblem(source.file, source.line, message))

    def brings(self, source: Source, message: str, workflow: str) -> None:
        """Remember that a problem or a note is about a step which this workflow includes."""
        self._includers.setdefault(PolicyProblem(source.file, source.line, message), {})[workflow] = None

    def told(self, found: list[PolicyProblem]) -> list[PolicyProblem]:
        """Problems or notes; those of included steps with the workflows that include them, each once."""
        return [self._told(one) for one in dict.fromkeys(found)]

    def _told(self, found: PolicyProblem) -> PolicyProblem:
        first, *more = self._includers.get(found, {"": None})
        if not first:
            return found
        also = f" and {len(more)} more" if more else ""
        return PolicyProblem(found.file, found.line, f"{found.message} (included by {shown(first)}{also})")

    def is_new(self, what: str, name: str, source: Source) -> bool:
        """Whether this name is given for the first time; else it is a problem."""
        first = self._first.setdefault((what, name), source)
        if first is not source:
            self.say(source, f"{what} {shown(name)} is given twice; the first is at {first}")
        return first is source
