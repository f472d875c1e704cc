"""What Trust observes, as a guard says it: when it loads, and in the records of a run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from agentguard.core.facts import Observed
from agentguard.core.values import Unavailable
from agentguard.errors import ConfigurationError, PolicyError
from agentguard.guard.clock import WatchedClock
from agentguard.policy import Bundle
from agentguard.policy.observing import observing_problems


def check_observing(bundle: Bundle, clock: Callable[[], datetime]) -> None:
    """Raises PolicyError for what is observed for too long, ConfigurationError where nobody knows what day it is."""
    if not bundle.observed:
        return
    now = WatchedClock(clock).now()
    if isinstance(now, Unavailable):
        raise ConfigurationError(
            f"Trust observes up to a day, and the clock tells none that can be believed: {now.detail}"
        )
    problems = [*observing_problems(bundle, now.date())]
    if problems:
        raise PolicyError(problems)


def observed_words(observed: Observed | None) -> str | None:
    """How a run began, for its record; None where it is enforced."""
    if observed is None:
        return None
    what = "" if observed.steps is None else f" (steps: {', '.join(sorted(observed.steps))})"
    return f"observed until {observed.until}{what}: what would be refused runs"
