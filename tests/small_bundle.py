"""A guard over any list of tools: a bundle so small and permissive that only what is under test matters."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Any

from agentguard.guard import Guard
from agentguard.testing import in_memory_guard

AGENT = "spiffe://corp.example/agent/a"
TEXT = {"type": "string"}
WHOLE = {"type": "integer"}

_TRUST = f"""
apiVersion: agentguard/v1
kind: Trust
groups:
  leads: ["user:dana", "user:kim"]
issuers:
  - name: local
    profile: local
    issuer: https://local.example
    audience: spiffe://corp.example/agentguard
    max_age: 60s
    max_lifetime: 60s
    subjects: ["{AGENT}"]
"""


_OF_STEP = ("require", "at_most", "after", "keep", "hint", "per", "counting")


def small_bundle(tools: dict[str, dict[str, Any]], tool_of: dict[str, str] | None = None) -> dict[str, str]:
    """One step a tool. Of each: ``args`` (name to JSON Schema), ``effect``, ``approval`` (a lead must say yes), of the
    step what ``_OF_STEP`` names, and ``tool``: more of what Tools says of it. ``tool_of``: the tool that a step of
    another name calls."""
    steps: dict[str, Any] = {}
    for name, tool in tools.items():
        step = {key: tool[key] for key in _OF_STEP if key in tool}
        step |= {"tool": (tool_of or {}).get(name, name), "arguments": tool.get("args", {})}
        if tool.get("approval"):
            step["approval"] = {"from": ["group:leads"], "quorum": 1, "within": "30m"}
        steps[name.replace("_", "-").replace(".", "-")] = step
    listed = {name: {"effect": tool.get("effect", "read"), **tool.get("tool", {})} for name, tool in tools.items()}
    workflow = {
        "apiVersion": "agentguard/v1", "kind": "Workflow",
        "metadata": {"name": "w", "version": 1, "owner": "o", "purpose": "Test.", "review_by": "@"},
        "subjects": [AGENT], "steps": steps,
    }  # fmt: skip
    return {
        "trust.yaml": _TRUST,
        "tools.yaml": json.dumps({"apiVersion": "agentguard/v1", "kind": "Tools", "tools": listed}),
        "w.yaml": json.dumps(workflow).replace('"@"', "2029-12-31"),
    }


def guard_of(
    tools: dict[str, dict[str, Any]], *, tool_of: dict[str, str] | None = None, **options: Any
) -> AbstractContextManager[Guard]:
    """A guard over ``small_bundle(tools)``; its one workflow is ``w``."""
    return in_memory_guard(small_bundle(tools, tool_of), **options)
