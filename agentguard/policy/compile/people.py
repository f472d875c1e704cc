"""Who is asked: every group exists, and there are people enough to agree."""

from __future__ import annotations

from typing import Any

from agentguard.core.answers import REQUESTER, Need, are_enough
from agentguard.core.people import person
from agentguard.core.policy import ApprovalRule
from agentguard.policy import models
from agentguard.policy.compile.parts import Parts, Written
from agentguard.policy.words import shown, unknown


def rule_of(asked: models.FirstContact) -> ApprovalRule:
    """The rule without a condition. An agreement is good for as long as people had, where nobody says for how long."""
    first, *also = [Need(approvers, quorum) for approvers, quorum in asked.needs]
    use_within = asked.within if asked.use_within is None else asked.use_within
    return ApprovalRule(
        None, first.approvers, first.quorum, asked.within, (), also=tuple(also), use_within=use_within,
        deny_quorum=asked.deny_quorum,
    )  # fmt: skip


def check_people(parts: Parts, written: Written, path: tuple[Any, ...], rule: models.FirstContact) -> bool:
    """Whether every group that may approve exists; that there are enough people is checked, too."""
    listed = not isinstance(rule.approvers, dict)
    if not listed and "quorum" in rule.model_fields_set:
        message = "`from` says how many of each; `quorum` belongs to a list: leave one of them out"
        parts.say(written.source(*path, "quorum"), message)
        return False
    people: list[set[str] | None] = []
    for approvers, quorum in rule.needs:
        found: set[str] | None = set()
        for index, word in enumerate(approvers):
            where = written.source(*path, "from", index if listed else word)
            group = word.removeprefix("group:")
            if word == REQUESTER and (len(approvers) > 1 or quorum != 1):
                remedy = "write `{requester: 1, group:NAME: 1}`"
                parts.say(where, f"`requester` is one person, who counts for no group; {remedy}")
                return False
            if word == "anyone":
                found = None
            elif group != word and group not in parts.groups:
                parts.say(where, unknown("group", group, parts.groups))
                return False
            elif found is not None:
                found |= parts.groups[group] if group != word else {word}
        people.append(found)
    _check_enough(parts, written, path, rule, people)
    return True


def _check_enough(
    parts: Parts, written: Written, path: tuple[Any, ...], rule: models.FirstContact, people: list[set[str] | None]
) -> None:
    """One person counts once, however they are spelt, and for one of the groups that they are in."""
    listed = not isinstance(rule.approvers, dict)
    known = [(need, {*map(person, found)}) for need, found in zip(rule.needs, people, strict=True) if found is not None]
    for (approvers, quorum), found in known:
        if len(found) < quorum:
            where = written.source(*path, *(("quorum",) if listed else ("from", approvers[0])))
            parts.say(where, f"quorum {quorum} can never be reached: only {len(found)} may approve")
            return
    able = [
        [n for n, (_, found) in enumerate(known) if one in found] for one in sorted(set().union(*(f for _, f in known)))
    ]
    if known and not are_enough([quorum for (_, quorum), _ in known], able):
        names = ", ".join(shown(approvers[0]) for (approvers, _), _ in known)
        message = f"the quorums of {names} can never be reached together: one person counts for one group"
        parts.say(written.source(*path, "from"), message)
