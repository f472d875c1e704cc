"""What an outside signal says of a workload, a person or a run, once it was verified and before it takes effect.

Signals take power away, or give back what the same source took. None of them ever permits a call by itself.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from agentguard.core.values import Risk


class SignalEffect(enum.StrEnum):
    """What a signal does to the runs it is about."""

    NOTE = "note"  # it is recorded, and shows that its stream is alive
    END_RUNS = "end_runs"  # runs under way that began before it are stopped
    REFUSE_CREDENTIAL = "refuse_credential"  # assertions, or the named credential, are refused until restored
    RESTORE_CREDENTIAL = "restore_credential"  # takes back a refusal by the same source
    REQUIRE_NEWER = "require_newer"  # assertions issued before it are refused
    SET_RISK = "set_risk"  # this source's opinion of the risk; the highest of all sources counts


@dataclass(frozen=True, slots=True)
class Signal:
    """One statement of one source. Times are UTC.

    ``source`` is the stream's name in Trust, or one of a stream's opinions that stand apart (``idp/device``).
    ``about`` is whom it is about: a subject, or the person runs are for (``user:NAME``); ``run_id`` is a single run;
    ``credential`` is one that tools use, by its registered name, and then only that one is refused or restored. All
    three None: it is about nobody here, and is only recorded. ``risk`` is set for ``SET_RISK`` alone.
    """

    source: str
    event: str
    effect: SignalEffect
    at: datetime
    about: str | None = None
    run_id: str | None = None
    credential: str | None = None
    risk: Risk | None = None
    why: str = ""


# What people say through ``Operations``. A stream's name holds no colon, so no stream can speak as one of these.
OPERATIONS = "local:operations"


def rule_source(name: str) -> str:
    """The source of a workflow's own rule that raises risk."""
    return f"rule:{name}"


def stream_of(source: str) -> str | None:
    """The stream behind a source: what stands before ``/``. None for our own people and rules."""
    return None if ":" in source else source.partition("/")[0]
