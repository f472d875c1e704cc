"""What a run is that is found by a key: which key is whose, what it goes on counting, and who is inside it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from agentguard.core.people import who, who_for
from agentguard.core.provenance import NOTHING_SEEN, Seen
from agentguard.ledger.cells import Keyed, RunCell, name, with_changes

# Where it stands in the change that begins a run: its key, the run it goes on from, whether what that read is lost.
_KEYED = 11


def place(workflow: str, subject: str, requester: str | None, key: str) -> str:
    """Where it stands which run a key opens. Another spelling of the same requester is no other key: it would have
    limits of its own."""
    return name(workflow, who(subject), "" if requester is None else who_for(requester), key)


def earlier_of(start: Sequence[Any]) -> str | None:
    """Of the change that begins a run: the run of its key that it goes on counting from."""
    keyed = start[_KEYED] if len(start) > _KEYED else None
    return None if keyed is None else keyed[1]


def begun(
    run: RunCell, owner: str, key: str, carries: str | None = None, before: RunCell | None = None, *, lost: bool = False
) -> RunCell:
    """A run as it begins under a key. ``before``: the one, known as ``carries``, that it goes on counting from.

    What was counted, reached and read goes on. What a call achieved does not: no step has succeeded, and of a call for
    a value nobody knows any more what came of it. ``lost``: what the run before had read can be followed no more.
    """
    if before is None or before.keyed is None:
        return with_changes(run, holder=None, keyed=Keyed(key, run.started, None, {owner: 1}))
    return with_changes(
        run,
        risk=max(run.risk, before.risk),
        high_water=before.high_water,
        counts=before.counts,
        spent=before.spent,
        zones=before.zones,
        happened=before.happened,
        seen=Seen((), True) if lost else NOTHING_SEEN,
        holder=None,
        tallies={each: tally._replace(done=0) for each, tally in before.tallies.items()},
        keyed=Keyed(key, before.keyed.since, carries, {owner: 1}),
    )


def entered(keyed: Keyed, owner: str, gone: Collection[str]) -> Keyed:
    """One more is inside by this ledger object; of those that are ``gone``, nobody is."""
    inside = {each: times for each, times in keyed.inside.items() if each not in gone}
    return keyed._replace(inside={**inside, owner: inside.get(owner, 0) + 1})


def left(keyed: Keyed, owner: str) -> Keyed:
    """One fewer is."""
    inside = {**keyed.inside, owner: keyed.inside.get(owner, 0) - 1}
    return keyed._replace(inside={each: times for each, times in inside.items() if times > 0})
