"""How decision cases are written: what may stand in ``*.cases.yaml``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from agentguard.core.canonical import NotCanonical, parse_json
from agentguard.core.reasons import Reason
from agentguard.policy import models
from agentguard.policy.words import expected, shown

_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z")


def _moment(value: Any) -> datetime:
    if isinstance(value, str) and _MOMENT.fullmatch(value) is not None:
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except ValueError:
            pass
    raise ValueError("expected a moment in UTC such as 2026-11-24T12:00:00Z")


def _as_expected(value: Any) -> Any:
    return {"effect": value} if isinstance(value, str) else value


def _reason(value: Any) -> Reason:
    words = [reason.value for reason in Reason]
    if value in words:
        return Reason(value)
    raise ValueError(f"there is no such reason; {expected(str(value), words)}")


def _json_text(value: Any) -> Any:
    if isinstance(value, str):
        try:
            parse_json(value)
        except NotCanonical as error:
            raise ValueError(f"not JSON: {error}") from None
    return value


EffectWord: TypeAlias = Literal["permit", "escalate", "deny"]
Moment: TypeAlias = Annotated[
    datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
ReasonWord: TypeAlias = Annotated[
    Reason, BeforeValidator(_reason), WithJsonSchema({"enum": [reason.value for reason in Reason]})
]


class SeenEntry(models.StrictModel):
    """What one earlier call returned, in its JSON form; calls in order, the first first."""

    tool: models.ToolName
    result: models.AnyJson


class CalledEntry(models.StrictModel):
    """One earlier call of a story, and what came of it: a result in its JSON form, or an error that the tool raised."""

    tool: models.ToolName
    arguments: dict[str, models.AnyJson] = {}
    result: models.AnyJson = None
    result_json: Annotated[str, BeforeValidator(_json_text)] | None = None
    error: models.Text | None = None
    approved_by: list[models.UserName] = []

    @model_validator(mode="after")
    def _one_of(self) -> CalledEntry:
        said = self.model_fields_set & {"result", "result_json", "error"}
        if len(said) != 1:
            raise ValueError("expected one of `result`, `result_json` (the result as JSON text) and `error`")
        return self


# What a story says by itself.
FOLLOWS = ("done", "counts", "kept", "spent", "seen")


class GivenEntry(models.StrictModel):
    """The run before the call."""

    calls: list[CalledEntry] | None = None
    inputs: dict[str, models.AnyJson] | None = None
    kept: dict[str, models.AnyJson] | None = None
    done: list[models.Name] | None = None
    counts: dict[models.Name, Annotated[int, Field(ge=0)]] | None = None
    spent: dict[models.Name, int | float] | None = None
    risk: models.RiskWord | None = None
    status: Literal["active", "stopped", "ended"] | None = None
    suspended: bool | None = None
    high_water: models.SensitivityWord | None = None
    requester: models.Line | None = None
    zones: list[models.Name] | None = None
    contacts: list[models.Name] | None = None
    credential_refused: bool | None = None
    issued_after: Moment | None = None
    seen: list[SeenEntry] | None = None
    revoked_credentials: list[models.Name] | None = None
    silent_streams: list[models.Name] | None = None
    now: Moment | None = None
    age: models.Skew | None = None
    idle: models.Skew | None = None

    @model_validator(mode="after")
    def _idle_within_age(self) -> GivenEntry:
        if self.age is not None and self.idle is not None and self.idle > self.age:
            raise ValueError(
                "no run is idle for longer than it is old; expected an `idle` that is no longer than `age`"
            )
        return self

    @model_validator(mode="after")
    def _one_story(self) -> GivenEntry:
        twice = [name for name in FOLLOWS if getattr(self, name) is not None] if self.calls is not None else []
        if twice:
            raise ValueError(f"`{twice[0]}` follows from `calls`; leave one of the two out")
        return self


class Story(models.StrictModel):
    """The calls of a run so far, in a file of their own."""

    calls: Annotated[list[CalledEntry], Field(min_length=1)]


class CaseDestination(models.StrictModel):
    """A destination given outright, instead of derived."""

    kind: models.Name
    id: models.Line
    sensitivity: models.SensitivityWord | None = None
    zone: models.Name | None = None
    owner: models.Text | None = None
    category: models.Text | None = None


class CallEntry(models.StrictModel):
    """The call."""

    tool: models.ToolName
    arguments: dict[str, models.AnyJson] = Field(default_factory=dict)
    destinations: list[CaseDestination] | None = None


class IdentityEntry(models.StrictModel):
    """How the caller's identity differs from the ordinary."""

    subject: models.Line | None = None
    age: models.Skew = timedelta(0)
    assurance: models.AssuranceWord | None = None
    claims: dict[str, models.AnyJson] = Field(default_factory=dict)
    proof: Literal["call"] | None = None
    unavailable: bool = False


class ApprovalEntry(models.StrictModel):
    """Who has answered, and how."""

    approved_by: list[models.UserName] = Field(default_factory=list)
    refused_by: list[models.UserName] = Field(default_factory=list)


class ExpectEntry(models.StrictModel):
    """The decision expected."""

    effect: EffectWord
    reasons: list[ReasonWord] = Field(default_factory=list)
    step: models.Name | None = None


class CaseEntry(models.StrictModel):
    """One case."""

    name: models.Text
    workflow: models.Name | None = None
    given: GivenEntry = GivenEntry()
    call: CallEntry
    identity: IdentityEntry = IdentityEntry()
    approval: ApprovalEntry | None = None
    expect: Annotated[ExpectEntry, BeforeValidator(_as_expected, json_schema_input_type=EffectWord | ExpectEntry)]


class Cases(models.PolicyFile):
    """Decision cases. ``workflow`` and ``given`` at the top hold for every case that does not say otherwise."""

    kind: Literal["Cases"]
    workflow: models.Name | None = None
    given: GivenEntry = GivenEntry()
    cases: Annotated[list[CaseEntry], Field(min_length=1)]

    @model_validator(mode="after")
    def _workflow_is_said(self) -> Cases:
        for case in self.cases:
            if case.workflow is None and self.workflow is None:
                raise ValueError(
                    f"case {shown(case.name)} says no `workflow`; write it there or at the top of the file"
                )
        return self
