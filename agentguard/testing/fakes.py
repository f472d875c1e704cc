"""A guard that needs nothing, and a clock that obeys. Nothing here turns a check off."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentguard.errors import ConfigurationError

if TYPE_CHECKING:
    from agentguard.guard import Guard


class FakeClock:
    """A wall clock that moves only when told to: pass it as ``clock=``, then ``clock.forward(seconds=61)``."""

    def __init__(self, at: datetime | None = None) -> None:
        """Start at ``at``, or now. Raises ConfigurationError for a time without a zone."""
        self._at = datetime.now(UTC) if at is None else _aware(at)

    def __call__(self) -> datetime:
        return self._at

    def forward(self, by: timedelta | None = None, *, seconds: float = 0) -> None:
        """Let time pass; a negative amount turns the clock back."""
        self._at += (by or timedelta()) + timedelta(seconds=seconds)

    def set(self, at: datetime) -> None:
        """Jump to a time. Raises ConfigurationError for a time without a zone."""
        self._at = _aware(at)


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ConfigurationError("a clock needs times with a zone, such as datetime(2026, 11, 24, tzinfo=UTC)")
    return at.astimezone(UTC)


@contextmanager
def in_memory_guard(bundle: str | Path | Mapping[str, str], **options: Any) -> Iterator[Guard]:
    """A whole guard over a ledger in memory and a local identity that is gone afterwards.

    ``bundle`` is a directory, or file names with their YAML. ``options`` are those of ``Guard.load``: ``clock``,
    ``wait``, ``identity`` … Raises what ``Guard.load`` raises.
    """
    from agentguard.guard import Guard
    from agentguard.ledger import memory_ledger

    with tempfile.TemporaryDirectory(prefix="agentguard-") as scratch:
        directory = Path(scratch) / "bundle"
        if isinstance(bundle, Mapping):
            directory.mkdir()
            for name, text in bundle.items():
                (directory / name).write_text(text, "utf-8")
        else:
            directory = Path(bundle)
        chosen = {"ledger": memory_ledger(), "home": Path(scratch) / "home", **options}
        with Guard.load(directory, **chosen) as guard:
            yield guard
