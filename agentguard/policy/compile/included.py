"""``include: [NAME]``: the steps of ``kind: Steps`` files, put behind a workflow's own.

They mean what they would mean if they stood in the workflow: its inputs, its other steps, what those keep. A mistake in
one is told where it is written, and which workflows include it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentguard.core.canonical import canonical_bytes, sha256
from agentguard.core.declarations import Source
from agentguard.policy import models
from agentguard.policy.compile.parts import Parts, Written
from agentguard.policy.words import shown, unknown


def add_steps(parts: Parts, written: Written) -> None:
    """Remember one set of steps under its name."""
    file: models.Steps = written.model
    if parts.is_new("Steps", file.metadata.name, written.source("metadata", "name")):
        parts.shared[file.metadata.name] = written


def with_included(parts: Parts, written: Written) -> Written:
    """A workflow with the steps that it includes, behind its own in the order of ``include``; says what is wrong."""
    file: models.Workflow = written.model
    steps: dict[str, models.StepEntry] = dict(file.steps)
    origin: dict[str, Written] = {}
    digests: list[str] = []
    for index, name in enumerate(file.include):
        shared = parts.shared.get(name)
        if shared is None:
            parts.say(written.source("include", index), unknown("Steps", name, parts.shared))
        elif name in file.include[:index]:
            parts.say(written.source("include", index), f"{shown(name)} is included twice")
        else:
            parts.included.add(name)
            digests.append(shared.digest)
            for step, entry in shared.model.steps.items():
                if step in steps:
                    first = origin.get(step, written).source("steps", step)
                    message = f"{shown(name)} brings a step {shown(step)}, which is there already, at {first}"
                    parts.say(written.source("include", index), f"{message}; give one of the two another name")
                else:
                    steps[step], origin[step] = entry, shared
    if not file.include:
        return written
    # Whatever a workflow includes is part of it: a run stops when that changes.
    digest = sha256(canonical_bytes([written.digest, *digests]))
    return replace(written, model=file.model_copy(update={"steps": steps}), digest=digest, origin=origin)


@dataclass(frozen=True, slots=True)
class FullWorkflow:
    """A workflow as it was written, with the steps that it includes behind its own. ``brought``: by step, the name of
    the set that it comes from. ``sources``: where each step was written."""

    content: Mapping[str, Any]
    steps: Mapping[str, Any]
    brought: Mapping[str, str]
    sources: Mapping[str, Source]


def in_full(written: Written) -> FullWorkflow:
    """A workflow with the steps that it includes."""
    data: Any = written.document.data
    steps = dict(data.get("steps") or {})
    for name, shared in written.origin.items():
        content: Any = shared.document.data
        steps[name] = content["steps"][name]
    return FullWorkflow(
        content={key: value for key, value in data.items() if key not in ("include", "steps")},
        steps=steps,
        brought={name: shared.model.metadata.name for name, shared in written.origin.items()},
        sources={name: written.source("steps", name) for name in steps},
    )


def unused(parts: Parts) -> Iterable[tuple[Written, str]]:
    """Sets of steps that no workflow includes: nothing has looked at what they say."""
    for name, written in parts.shared.items():
        if name not in parts.included:
            yield written, f"no workflow includes {shown(name)}, so its steps permit nothing and are not checked"
