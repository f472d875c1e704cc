"""What an order of events asks of whoever drives it: to wait, to identify the caller, to pause, to run the tool."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from agentguard.ledger import Promise


class Wait(NamedTuple):
    """Let the ledger finish. It finishes even if the caller is cancelled; the cancellation is raised afterwards."""

    answer: Promise[Any]


@dataclass(frozen=True, slots=True)
class Identify:
    """Get and verify a fresh assertion for this request digest; the reply is an Identity or Unavailable."""

    digest: str
    subject: str | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Let some time pass."""

    seconds: float


class RunTool(NamedTuple):
    """Run the tool with what its call made ready, now."""

    values: Any


@dataclass(frozen=True, slots=True)
class Look:
    """Look at something large, where that stops no event loop; the reply is what the look found."""

    work: Callable[[], Any]


Ask: TypeAlias = Wait | Identify | Pause | RunTool | Look
Events: TypeAlias = Generator[Ask, Any, Any]
