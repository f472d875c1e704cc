"""`kind: Tools`: what each tool does to the world, and which of its arguments matter to whom."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentguard.policy.models.words import (
    AnyJson,
    EffectWord,
    Fingerprint,
    Line,
    Name,
    PolicyFile,
    StrictModel,
    ToolName,
)


class ToolDestination(BaseModel):
    """Where a call leads: an argument that names it, or a fixed place. Other keys are options of the kind."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, AnyJson] = Field(init=False)

    kind: Name
    argument: Line | None = None
    fixed: Line | None = None
    optional: bool = False
    secret: list[Name] = []
    found_in: Literal["text"] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> ToolDestination:
        if (self.argument is None) is (self.fixed is None):
            raise ValueError("expected `argument` (where in the call it stands) or `fixed` (the place), and not both")
        if self.found_in is not None and self.argument is None:
            raise ValueError("`found_in: text` is for an `argument` that holds a text")
        return self


class ToolEntry(StrictModel):
    """What one tool does to the world, and which of its arguments matter to whom."""

    effect: EffectWord
    aliases: list[ToolName] = []
    destinations: list[ToolDestination] = []
    secrets: list[Line] = []
    untrusted_results: list[Line] = []
    personal: list[Line] = []
    personal_results: list[Line] = []
    credentials: list[Name] = []
    fingerprint: Fingerprint | None = None
    strict: bool = False
    failure_did_nothing: bool = False
    keep_answer: bool | None = None


class Tools(PolicyFile):
    """The tools of an agent, as their developers and security declared them."""

    kind: Literal["Tools"]
    tools: Annotated[dict[ToolName, ToolEntry], Field(min_length=1)]
