"""A tool's definition beside the steps that name it: calls that a step refuses though nobody gave a wrong value.

A guard judges every argument, also those that the caller leaves out and that have a default.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from agentguard.core.policy import Policy, Step
from agentguard.core.values import Json
from agentguard.policy.json_schema.shapes import CompiledShape, fits
from agentguard.policy.words import shown


def definition_notes(policy: Policy, tool: str, definition: Json) -> Iterator[str]:
    """What to tell whoever wraps a tool, whose JSON Schema is `parameters` of its definition. Never raises."""
    parameters = definition.get("parameters") if isinstance(definition, Mapping) else None
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    for name, schema in properties.items() if isinstance(properties, Mapping) else ():
        for workflow in policy.workflows.values():
            for step in workflow.steps_by_tool.get(tool, ()):
                why = _refused(step, name, schema)
                if why is not None:
                    yield f"step {shown(step.name)} of {shown(workflow.name)}: {why}"


def _refused(step: Step, name: str, schema: Json) -> str | None:
    listed = step.arguments.schema.get("properties") if isinstance(step.arguments, CompiledShape) else None
    if not isinstance(listed, Mapping) or not isinstance(schema, Mapping):
        return None
    if name not in listed:
        return f"does not list the argument {shown(name)}, which every call has, so every call is refused; list it"
    if "default" not in schema or fits(listed[name], schema["default"]) or name in step.fills:
        return None
    if schema["default"] is None and name in step.null_is_absent:
        return None
    default = json.dumps(schema["default"])
    absent = '; write `null_is_absent: true` where null means nothing here, else `type: [..., "null"]`'
    remedy = absent if schema["default"] is None else ""
    return (
        f"the default of {shown(name)}, {shown(default)}, does not fit the schema there, so a call that leaves "
        f"{shown(name)} out is refused, whatever `optional` says{remedy}"
    )
