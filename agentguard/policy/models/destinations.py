"""`kind: Destinations`: which places there are, how sensitive each is, and which zone may reach which."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag

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


# Which of two forms a value has: in the paths of errors, and never in a file.
FORMS = LIST, MAPPING = "[list]", "[mapping]"
Quorum: TypeAlias = Annotated[int, Field(ge=1, le=100)]


def _form(value: Any) -> str:
    return MAPPING if isinstance(value, dict) else LIST


class FirstContact(StrictModel):
    """Who is asked before a workload reaches a zone for the first time, how many, how long they may take, how long
    their agreement is good for, and how many noes are final."""

    approvers: Annotated[
        Annotated[list[Approver], Field(min_length=1), Tag(LIST)]
        | Annotated[dict[Approver, Quorum], Field(min_length=1), Tag(MAPPING)],
        Discriminator(_form),
    ] = Field(alias="from")
    quorum: Quorum = 1
    within: Duration
    use_within: Duration | None = None
    deny_quorum: Quorum = 1

    @property
    def needs(self) -> tuple[tuple[tuple[str, ...], int], ...]:
        """Who is needed, and how many of them: one of a list, or each of a mapping."""
        if isinstance(self.approvers, dict):
            return tuple(((name,), quorum) for name, quorum in self.approvers.items())
        return ((tuple(self.approvers), self.quorum),)


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
