"""What somebody may do on the console beside answering what they are asked: what ``Trust`` says, and else nothing."""

from __future__ import annotations

from dataclasses import dataclass

from agentguard.policy import Bundle


@dataclass(frozen=True, slots=True)
class May:
    """``see``: every request, decision and run. ``search``: the records. ``stop``: runs, and suspend workloads.

    Who answers is no role: it is asked by a workflow, and judged below every channel (``core/answers.py``).
    """

    see: bool = False
    search: bool = False
    stop: bool = False


NOTHING = May()
ALL = May(see=True, search=True, stop=True)


def may(bundle: Bundle | None, person: str) -> May:
    """What a bundle lets a person do."""
    return NOTHING
