"""`kind: Destinations`: which places there are, how sensitive each is, and which zone may reach which."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from agentguard.policy.models.words import (
    Approver,
    AssuranceWord,
    Duration,
    Line,
    Name,
    PolicyFile,
    RiskWord,
    SensitivityWord,
    StrictModel,
    Text,
)


class DestinationEntry(StrictModel):
    """One pattern of one kind, and what a place that matches it is worth."""

    kind: Name
    pattern: Line
    sensitivity: SensitivityWord
    zone: Name | None = None
    owner: Text | None = None
    category: Text | None = None
    environment: Text | None = None
    promises: list[Name] = []


class FirstContact(StrictModel):
    """Who is asked before a workload reaches a zone for the first time, how many, and how long the question stands."""

    approvers: Annotated[list[Approver], Field(min_length=1)] = Field(alias="from")
    quorum: Annotated[int, Field(ge=1, le=100)] = 1
    within: Duration


def _first_contact(value: Any) -> Any:
    if value != "deny" and not isinstance(value, dict):
        raise ValueError("expected `deny`, or who is asked: `{from: [group:NAME], quorum: 1, within: 30m}`")
    return value


class ZoneEntry(StrictModel):
    """A zone: whose workloads start in it, and how sensitive a place they may reach in each zone."""

    subjects: list[Line] = []
    reaches: dict[Name, SensitivityWord] = {}
    then: dict[Name, SensitivityWord] | None = None
    first_contact: Annotated[
        Literal["deny"] | FirstContact | None,
        BeforeValidator(_first_contact, json_schema_input_type=Literal["deny"] | FirstContact | None),
    ] = None


class RiskCeiling(StrictModel):
    """How sensitive a place any call may reach at a level of risk, whatever its workflow says."""

    up_to: SensitivityWord


class Destinations(PolicyFile):
    """Which places there are, how sensitive each is, and which zone may reach which."""

    kind: Literal["Destinations"]
    destinations: list[DestinationEntry] = []
    zones: dict[Name, ZoneEntry] = {}
    freshness: dict[SensitivityWord, Duration] = {}
    assurance: dict[SensitivityWord, AssuranceWord] = {}
    risk: dict[RiskWord, RiskCeiling] = {}
