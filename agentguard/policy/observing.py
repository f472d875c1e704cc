"""For how long a bundle may observe: what is not enforced ends by itself, soon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from agentguard.core.declarations import Observe
from agentguard.errors import PolicyProblem
from agentguard.policy.bundle import Bundle

# A month shows what a workflow does; what is observed for longer has been forgotten.
LONGEST = timedelta(days=30)


def is_in_force(observe: Observe, today: date) -> bool:
    """Whether a run that begins today (UTC) begins observed. Further ahead than may be said, the clock is wrong."""
    return timedelta(0) <= observe.until - today <= LONGEST


def observing_problems(bundle: Bundle, today: date) -> Iterator[PolicyProblem]:
    """What Trust observes for too long, seen from today (UTC)."""
    for each in bundle.observed.values():
        if each.until - today > LONGEST:
            message = f"observe: `until` is at most {LONGEST.days} days ahead, so not after {today + LONGEST}"
            yield PolicyProblem(each.source.file, each.source.line, message)


def observing_notes(bundle: Bundle, today: date) -> Iterator[PolicyProblem]:
    """What is not enforced, and what is enforced again though Trust still names it."""
    for each in bundle.observed.values():
        what = each.workflow if each.steps is None else f"{each.workflow}: {', '.join(sorted(each.steps))}"
        if each.until < today:
            message = f"`{what}` was observed until {each.until} and is enforced now; remove it from `observe`"
        else:
            message = f"`{what}` is observed until {each.until}: its calls are decided, recorded, and run all the same"
        yield PolicyProblem(each.source.file, each.source.line, message)
