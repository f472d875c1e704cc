"""The JSON Schema of each kind of policy file."""

from __future__ import annotations

from typing import Any

from agentguard.policy.cases import Cases
from agentguard.policy.models import API_VERSION, KINDS, PolicyFile


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of each kind of file (and of ``Cases``), for editors."""
    found = {}
    kinds: dict[str, type[PolicyFile]] = {**KINDS, "Cases": Cases}
    for kind, model in kinds.items():
        schema = model.model_json_schema(by_alias=True)
        found[kind] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"{API_VERSION}/{kind}",
            **schema,
        }
    return found
