"""Records by themselves, and what is kept beside them."""

from __future__ import annotations

from collections.abc import Mapping

from agentguard.core.values import Json
from agentguard.ledger.values import (
    RecordData,
)
from agentguard.ledger.world import World


def private(world: World, number: int) -> Mapping[str, Json]:
    """The private parts that are kept beside a record, with what opens their commitments."""
    return world.below.row(number)[1]


def append(world: World, record: RecordData) -> int:
    """A record that changes nothing."""
    return world.write(record)
