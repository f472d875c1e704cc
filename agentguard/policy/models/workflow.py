"""`kind: Workflow`: one approved workflow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agentguard.policy.models.limits import BudgetEntry, RaiseRisk, RiskEntry
from agentguard.policy.models.steps import StepEntry
from agentguard.policy.models.words import (
    Day,
    Duration,
    Expression,
    LetName,
    Line,
    Name,
    PolicyFile,
    RiskWord,
    Schema,
    StrictModel,
    Text,
    Word,
)


class Metadata(StrictModel):
    """What a workflow is called, whose it is, and until when it holds."""

    name: Name
    version: Annotated[int, Field(ge=1)]
    owner: Text
    purpose: Text | None = None
    review_by: Day


class WorkflowIdentity(StrictModel):
    """How old an assertion may be in this workflow."""

    max_age: Duration


class Workflow(PolicyFile):
    """One approved workflow."""

    kind: Literal["Workflow"]
    metadata: Metadata
    status: Literal["draft"] | None = None
    subjects: Annotated[list[Line], Field(min_length=1)]
    lasts: Duration | None = None
    idle: Duration | None = None
    identity: WorkflowIdentity | None = None
    inputs: dict[Word, Schema] = {}
    let: dict[LetName, Expression] = {}
    include: list[Name] = []
    steps: Annotated[dict[Name, StepEntry], Field(min_length=1)] = {}
    budgets: dict[Name, BudgetEntry] = {}
    risk: dict[RiskWord, RiskEntry] = {}
    raise_risk: list[RaiseRisk] = []
    no_write_down: bool = False

    @model_validator(mode="after")
    def _some_steps(self) -> Workflow:
        if not self.steps and not self.include:
            raise ValueError("a workflow without steps permits nothing; expected `steps`, `include: [NAME]` or both")
        return self

    @model_validator(mode="after")
    def _idle_within_lasts(self) -> Workflow:
        if self.lasts is not None and self.idle is not None and self.idle >= self.lasts:
            raise ValueError(
                "a run is over after `lasts`, however idle; expected an `idle` that is shorter than `lasts`"
            )
        return self
