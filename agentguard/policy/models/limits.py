"""What a workflow says over several calls: its budgets, and what a level of risk takes away."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from agentguard.policy.models.words import Duration, EffectWord, Expression, Name, StrictModel, Window, one_or_more


class BudgetEntry(StrictModel):
    """A limit over several calls: a sum of amounts, or a number of calls."""

    total: Expression | None = Field(default=None, alias="sum")
    count: Literal[True] | None = None
    of: Annotated[
        list[Name],
        Field(min_length=1),
        BeforeValidator(one_or_more),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
    ]
    at_most: int | float
    per: Window = None
    counting: Literal["successes"] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> BudgetEntry:
        if (self.total is None) is (self.count is None):
            raise ValueError("expected `sum: EXPRESSION` or `count: true`, and not both")
        return self


class RiskEntry(StrictModel):
    """What a level of risk takes away; what is not written stays as the default has it."""

    effects: list[EffectWord] | None = None
    lower_ceiling_by: Annotated[int, Field(ge=0, le=5)] | None = None


# The times of that many are kept for each run under way.
_MOST_COUNTED = 10_000


class RaiseAfter(StrictModel):
    """So many of something, within a time."""

    denials: Annotated[int, Field(ge=1, le=_MOST_COUNTED)] | None = None
    calls: Annotated[int, Field(ge=1, le=_MOST_COUNTED)] | None = None
    within: Duration

    @model_validator(mode="after")
    def _one_of(self) -> RaiseAfter:
        if (self.denials is None) is (self.calls is None):
            raise ValueError("expected `denials: NUMBER` or `calls: NUMBER`, and not both")
        return self


class RaiseRisk(StrictModel):
    """A rule that raises a run's risk by itself. Its name stands in the record; without one, its place in the list."""

    name: Name | None = None
    to: Literal["medium", "high"]
    after: RaiseAfter | None = None
    first_use_of: Literal["zone", "destination"] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> RaiseRisk:
        if (self.after is None) is (self.first_use_of is None):
            raise ValueError("expected `after: {...}` or `first_use_of: zone` (or `destination`), and not both")
        return self
