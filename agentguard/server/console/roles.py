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
    """What a bundle lets a person do. Names that give power compare letter for letter."""
    trust = None if bundle is None else bundle.console
    if trust is None:
        return NOTHING
    see, search, stop = (people is None or person in people for people in (trust.see, trust.search, trust.stop))
    # Whoever reads the records, or stops what they find, sees what there is.
    return May(see=see or search or stop, search=search, stop=stop)
