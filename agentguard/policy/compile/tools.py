"""``Tools``: what each tool does, the names it is known by, and how its destinations are found."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from agentguard.core.canonical import canonical_bytes, sha256
from agentguard.core.declarations import DestinationDeclaration, ToolDeclaration
from agentguard.core.policy import Tool
from agentguard.core.values import ToolEffect
from agentguard.policy import models
from agentguard.policy.compile.parts import Parts, Written


def add_tools(parts: Parts, written: Written) -> None:
    """Tools and the exact names they are known by."""
    document: Any = written.document.data
    tools: models.Tools = written.model
    for name, entry in tools.tools.items():
        source = written.source("tools", name)
        if not parts.is_new("tool", name, source):
            continue
        parts.tools[name] = _tool(name, entry, written)
        parts.tool_digests[name] = sha256(canonical_bytes(document["tools"][name]))
        for index, word in ((None, name), *enumerate(entry.aliases)):
            here = source if index is None else written.source("tools", name, "aliases", index)
            if parts.is_new("the tool name or alias", word, here):
                parts.tool_by_alias[word] = name


def _tool(name: str, entry: models.ToolEntry, written: Written) -> ToolDeclaration:
    destinations = tuple(
        DestinationDeclaration(
            kind=place.kind,
            argument=place.argument,
            fixed=place.fixed,
            options=MappingProxyType(dict(place.__pydantic_extra__ or {})),
            optional=place.optional,
            secret=frozenset(place.secret),
            in_text=place.found_in is not None,
            source=written.source("tools", name, "destinations", index),
        )
        for index, place in enumerate(entry.destinations)
    )
    return ToolDeclaration(
        name=name,
        aliases=tuple(entry.aliases),
        effect=ToolEffect(entry.effect),
        destinations=destinations,
        secrets=tuple(entry.secrets),
        untrusted_results=tuple(entry.untrusted_results),
        personal=tuple(entry.personal),
        personal_results=tuple(entry.personal_results),
        credentials=tuple(entry.credentials),
        fingerprint=entry.fingerprint,
        strict=entry.strict,
        failure_did_nothing=entry.failure_did_nothing,
        keep_answer=entry.keep_answer,
        source=written.source("tools", name),
    )


def core_tools(parts: Parts) -> Mapping[str, Tool]:
    """What the decision must know of each tool."""
    return MappingProxyType(
        {
            name: Tool(name, tool.effect, tool.fingerprint, tool.failure_did_nothing)
            for name, tool in parts.tools.items()
        }
    )
