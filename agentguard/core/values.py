"""The words every part of agentguard shares. Immutable, and none of them does any work."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypeAlias

from agentguard.core.reasons import Reason
from agentguard.core.sealed import sealed

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class Effect(enum.StrEnum):
    """What a decision says."""

    PERMIT = "permit"
    ESCALATE = "escalate"
    DENY = "deny"


# What a record can be about. Words in the log are for ever: add, never rename.
RECORD_KINDS = (
    "decision", "outcome", "run", "approval", "operation", "signal", "canary", "reload", "snapshot", "candidate",
    "repetition", "suspension",
)  # fmt: skip


class ToolEffect(enum.StrEnum):
    """What a tool does to the world, as its owner declared it."""

    READ = "read"
    WRITE = "write"
    SEND = "send"
    DELETE = "delete"
    EXECUTE = "execute"
    ADMIN = "admin"


class _Ordered(enum.IntEnum):
    """An order with names; the name is what people write and what records hold."""

    word: str

    def __init__(self, _: int) -> None:
        self.word = self._name_.lower().replace("_", "-")

    @classmethod
    def words(cls) -> tuple[str, ...]:
        return tuple(member.word for member in cls)

    @classmethod
    def parse(cls, word: str) -> Self:
        """Read the written form. Raises ValueError on any other word."""
        for member in cls:
            if member.word == word:
                return member
        raise ValueError(f"`{word}` is not one of {', '.join(cls.words())}")


class Sensitivity(_Ordered):
    """How much harm a destination's disclosure or damage does. ``unclassified`` is not on this scale: it is None."""

    PUBLIC = 0
    INTERNAL = 1
    CONFIDENTIAL = 2
    RESTRICTED = 3
    SECRET = 4


class Risk(_Ordered):
    """How far a run is trusted now (CAEP risk-level-change: LOW, MEDIUM, HIGH)."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2


class Assurance(_Ordered):
    """How strongly the caller's identity was proved for this call, weakest first."""

    LOCAL = 0
    BEARER = 1
    BEARER_SINGLE_USE = 2
    CALL_BOUND = 3


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A fact that could not be found out. It never means yes. ``detail`` is for reviewers, never for a model."""

    reason: Reason
    detail: str = ""


@sealed
@dataclass(frozen=True, slots=True)
class Identity:
    """A workload's identity as one verified assertion states it. Made by the identity verifier only.

    Times are UTC. ``assertion_id`` is unique per issuer; (issuer, assertion_id) is the replay key.
    ``bound_to`` is the request digest the proof covers, or None where the assertion covers none. Where a proof came
    with the token, ``issued_at`` is when the proof was made, and ``token_issued_at`` when the token was.
    """

    subject: str
    issuer: str
    profile: str
    issued_at: datetime
    expires_at: datetime
    assertion_id: str
    key_id: str
    assurance: Assurance
    claims: Mapping[str, Json]
    bound_to: str | None = None
    token_issued_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where one argument of a call leads, in canonical form, before the catalog has been asked.

    ``id`` is the one spelling of this place (what policy sees, records hold and the tool is handed). ``parts`` are the
    pieces patterns match on (for a URL: scheme, host, port, path …), all canonical.
    """

    kind: str
    id: str
    parts: Mapping[str, str]


@sealed
@dataclass(frozen=True, slots=True)
class Destination:
    """A place with what the catalog knows of it. ``sensitivity`` None means unclassified: listed nowhere.

    ``chosen``: an argument of the call named it; else it is the tool's fixed one. ``shown``: the id with ``secret`` for
    what no record may hold; None where it holds nothing of the kind.
    """

    kind: str
    id: str
    sensitivity: Sensitivity | None
    zone: str | None = None
    owner: str | None = None
    category: str | None = None
    chosen: bool = True
    shown: str | None = None

    @property
    def said(self) -> str:
        """How records, questions and reasons name it."""
        return self.id if self.shown is None else self.shown
