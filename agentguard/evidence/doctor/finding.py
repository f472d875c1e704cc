"""What doctor finds, in one form: what, where, and what to do about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How much a finding matters, the worst first."""

    BLOCKED = "blocked"  # no call can be permitted, or none of a workflow or a tool
    WEAK = "weak"  # calls are decided, on less than a deployment should stand on
    NOTE = "note"  # worth knowing


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing: ``where`` is a file and line, a path, a package or a workflow."""

    severity: Severity
    what: str
    where: str
    remedy: str
