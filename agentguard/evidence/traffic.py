"""What happened once, from records or from transcripts: runs, and the calls in them. Plain data; nothing is judged."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agentguard.core.values import Json


class Ran(enum.StrEnum):
    """What came of a call."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NOT_RUN = "not run"


@dataclass(slots=True)
class PastCall:
    """One call. ``arguments`` as they are known; ``hidden`` names those of which a part is in no record.

    ``seen_in``: where each argument was seen before, by path (``guard.seen_in``); None where nobody knows. ``record``:
    the record of its decision, empty for a call of a transcript.
    """

    tool: str
    arguments: Mapping[str, Json]
    ran: Ran = Ran.UNKNOWN
    at: datetime | None = None
    hidden: frozenset[str] = frozenset()
    seen_in: Mapping[str, tuple[str, ...]] | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""


@dataclass(slots=True)
class PastRun:
    """One run. ``inputs`` None: nobody knows them any more."""

    id: str
    workflow: str
    subject: str | None = None
    requester: str | None = None
    started: datetime | None = None
    inputs: Mapping[str, Json] | None = None
    calls: list[PastCall] = field(default_factory=list)

    @property
    def day(self) -> str:
        """The day on which it began, or nothing."""
        return "" if self.started is None else self.started.date().isoformat()
