"""``kind: Steps``: steps that several workflows include by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agentguard.policy.models.steps import StepEntry
from agentguard.policy.models.words import Name, PolicyFile, StrictModel, Text


class StepsMetadata(StrictModel):
    """What a set of steps is called, and whose it is."""

    name: Name
    owner: Text | None = None
    purpose: Text | None = None


class Steps(PolicyFile):
    """Steps that several workflows include by name. They mean in each what they would mean if they stood there."""

    kind: Literal["Steps"]
    metadata: StepsMetadata
    steps: Annotated[dict[Name, StepEntry], Field(min_length=1)]
