"""What one step of a workflow may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from agentguard.policy.models.destinations import FirstContact
from agentguard.policy.models.keeps import Keep
from agentguard.policy.models.words import (
    AnyJson,
    AssuranceWord,
    Duration,
    Expression,
    HintText,
    Label,
    Line,
    Name,
    Schema,
    SensitivityWord,
    StrictModel,
    ToolName,
    Word,
)


class StepIdentity(StrictModel):
    """What this step asks of the caller's identity."""

    max_age: Duration | None = None
    assurance: AssuranceWord | None = None
    proof: Literal["call"] | None = None


class StepDestinations(StrictModel):
    """How sensitive a place this step may reach, and whether it may reach places that nobody has listed."""

    up_to: SensitivityWord | None = None
    unclassified: Literal["allow"] | None = None

    @model_validator(mode="after")
    def _something(self) -> StepDestinations:
        if self.up_to is None and self.unclassified is None:
            raise ValueError("expected `up_to: ...`, `unclassified: allow` or both")
        return self


class StepReach(BaseModel):
    """People or places that the tool tells of the call without naming them in its arguments. Other keys are options of
    the kind."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, AnyJson] = Field(init=False)

    kind: Name
    value: Line


class Approval(FirstContact):
    """When a person is asked, who, how many, and for how long the question stands; why, and what they are shown."""

    when: Expression | None = None
    because: Line | None = None
    show: Annotated[dict[Label, Line], Field(max_length=10)] = {}


class ConditionEntry(StrictModel):
    """A condition that must be true, and what the model is told while what it reads is not there."""

    that: Expression
    hint: HintText | None = None


def _as_condition(value: Any) -> Any:
    return {"that": value} if isinstance(value, str) else value


ConditionText: TypeAlias = Annotated[
    ConditionEntry, BeforeValidator(_as_condition, json_schema_input_type=Expression | ConditionEntry)
]


class StepEntry(StrictModel):
    """One step: a tool, when it may be called, with what, and to where."""

    tool: ToolName
    after: list[Name] = []
    # Of no steps none can have succeeded, so an empty list says never; whoever writes one means always.
    after_any: Annotated[list[Name], Field(min_length=1)] = []
    not_after: list[Name] = []
    at_most: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    per: Line | None = None
    counting: Literal["successes"] | None = None
    not_above: SensitivityWord | None = None
    arguments: dict[str, Schema]
    require: list[ConditionText] = []
    keep: dict[Word, Keep] = {}
    destinations: StepDestinations | None = None
    reaches: list[StepReach] = []
    identity: StepIdentity | None = None
    approval: Approval | None = None
    hint: HintText | None = None
