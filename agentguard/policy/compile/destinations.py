"""``Destinations``: the catalog, the zones, and what sensitivity and risk ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from agentguard.core.declarations import CatalogEntry
from agentguard.core.policy import ApprovalRule, Zone
from agentguard.core.values import Assurance, Risk, Sensitivity
from agentguard.policy import models
from agentguard.policy.compile.parts import Parts, Written
from agentguard.policy.compile.people import check_people, rule_of
from agentguard.policy.words import unknown


def add_destinations(parts: Parts, written: Written) -> None:
    """The catalog, the zones, what each sensitivity asks of an identity, and what each risk leaves in reach."""
    file: models.Destinations = written.model
    for index, entry in enumerate(file.destinations):
        parts.catalog.append(
            CatalogEntry(
                kind=entry.kind,
                pattern=entry.pattern,
                sensitivity=Sensitivity.parse(entry.sensitivity),
                zone=entry.zone,
                owner=entry.owner,
                category=entry.category,
                environment=entry.environment,
                source=written.source("destinations", index),
                promises=frozenset(entry.promises),
            )
        )
    for name, zone in file.zones.items():
        if parts.is_new("zone", name, written.source("zones", name)):
            parts.zones[name] = _zone(name, zone)
        for index, subject in enumerate(zone.subjects):
            parts.is_new("the subject of a zone", subject, written.source("zones", name, "subjects", index))
    for word, age in file.freshness.items():
        if parts.is_new("freshness of", word, written.source("freshness", word)):
            parts.freshness[Sensitivity.parse(word)] = age
    for word, level in file.assurance.items():
        if parts.is_new("assurance of", word, written.source("assurance", word)):
            parts.assurance[Sensitivity.parse(word)] = Assurance.parse(level)
    for risk, ceiling in file.risk.items():
        if parts.is_new("risk", risk, written.source("risk", risk)):
            parts.risk_ceilings[Risk.parse(risk)] = Sensitivity.parse(ceiling.up_to)


def _zone(name: str, zone: models.ZoneEntry) -> Zone:
    first: ApprovalRule | Literal["deny"] | None = None
    if isinstance(zone.first_contact, models.FirstContact):
        asked = zone.first_contact
        first = rule_of(asked)
    elif zone.first_contact is not None:
        first = "deny"
    return Zone(
        name=name,
        subjects=frozenset(zone.subjects),
        reaches=_levels(zone.reaches),
        then=None if zone.then is None else _levels(zone.then),
        first_contact=first,
    )


def _levels(words: Mapping[str, models.SensitivityWord]) -> Mapping[str, Sensitivity]:
    return MappingProxyType({name: Sensitivity.parse(word) for name, word in words.items()})


def check_zones(parts: Parts, files: Iterable[Written], *, groups_known: bool) -> None:
    """Every zone that is named exists. A bundle without zones may still write them down in its catalog."""
    for written in files:
        for name, zone in written.model.zones.items():
            for key in ("reaches", "then"):
                for other in getattr(zone, key) or ():
                    if other not in parts.zones:
                        parts.say(written.source("zones", name, key, other), unknown("zone", other, parts.zones))
            if groups_known and isinstance(zone.first_contact, models.FirstContact):
                check_people(parts, written, ("zones", name, "first_contact"), zone.first_contact)
    for entry in parts.catalog:
        if parts.zones and entry.zone is not None and entry.zone not in parts.zones:
            parts.say(entry.source, unknown("zone", entry.zone, parts.zones))
