"""Which calls a candidate would have decided in another way, grouped by the rule that does it, with one example each.

One pass over the verdicts that were recorded beside the live policy. What is held is as much as there are groups.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agentguard.core import nearest
from agentguard.core.values import Effect

SAME, CHANGED, UNJUDGED, LOST = "same", "changed", "cannot be judged", "lost"
# Groups that are told apart; calls of further ones are counted together.
MOST_GROUPS = 2_000
# The rule itself, at the beginning of what a finding says.
_NAMED = re.compile(r"(?:budget )?`[^`]{1,300}`")
_BY_TEXT = frozenset({"condition_false", "condition_failed", "budget_exceeded", "budget_unavailable"})
_LOSS = re.compile(r"([0-9]{1,9}) calls were not judged")


class Finding(NamedTuple):
    """A finding of a record."""

    effect: str
    reason: str
    step: str | None
    detail: str


@dataclass(slots=True)
class Group:
    """Calls that one rule turns the same way. ``live``, ``candidate``: what each says; the second None: not known."""

    live: str
    candidate: str | None
    workflow: str
    tool: str
    rule: str
    example: str
    calls: int = 0


@dataclass(slots=True)
class Compared:
    """What came of it. ``counts``: calls; ``others``: verdicts of candidates before this one."""

    candidate: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    groups: dict[tuple[str, ...], Group] = field(default_factory=dict)
    others: int = 0
    left_out: int = 0

    def in_order(self) -> list[Group]:
        """What would newly be permitted first, and of each kind the most frequent first."""
        order = {"permit": 0, "escalate": 1, "deny": 2, None: 3}
        return sorted(
            self.groups.values(),
            key=lambda each: (order.get(each.candidate, 4), -each.calls, each.workflow, each.tool, each.rule),
        )


def compare(records: Iterable[Mapping[str, Any]], candidate: str) -> Compared:
    """Add up the verdicts of the candidate with that revision."""
    found = Compared(candidate)
    for data in records:
        said = data.get("candidate")
        if data.get("kind") != "candidate" or not isinstance(said, Mapping):
            continue
        if said.get("revision") != candidate:
            found.others += 1
        elif data.get("outcome") == LOST:
            loss = _LOSS.match(str(data.get("why")))
            found.counts[LOST] += int(loss[1]) if loss is not None else 1
        else:
            _count(found, data, said)
    return found


def _count(found: Compared, data: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    live, verdict = _mapping(said.get("live")), _mapping(said.get("verdict"))
    before, now = str(live.get("effect")), verdict.get("effect")
    if now == before:
        found.counts[SAME] += 1
        return
    found.counts[CHANGED if now in tuple(Effect) else UNJUDGED] += 1
    after = str(now) if now in tuple(Effect) else None
    for rule in _rules(data, live, verdict, after):
        key = (before, str(after), str(data.get("workflow")), str(data.get("tool")), rule)
        group = found.groups.get(key)
        if group is None:
            if len(found.groups) >= MOST_GROUPS:
                found.left_out += 1
                continue
            example = str(data.get("decision_id"))
            group = found.groups[key] = Group(before, after, key[2], key[3], rule, example)
        group.calls += 1


def _rules(
    data: Mapping[str, Any], live: Mapping[str, Any], verdict: Mapping[str, Any], after: str | None
) -> Iterator[str]:
    """What turns a call: what the candidate finds, or, where it finds nothing, what it no longer finds."""
    if after is None:
        lacks = verdict.get("lacks")
        yield from (str(each) for each in lacks) if isinstance(lacks, list) and lacks else (str(data.get("why")),)
        return
    stricter = after == "deny" or (after == "escalate" and live.get("effect") == "permit")
    told = [*_told(verdict if stricter else live)]
    yield from dict.fromkeys(told) if told else ("no step permits it",)


def _told(decision: Mapping[str, Any]) -> Iterator[str]:
    """The rules behind a decision; of a refusal, those of the nearest step."""
    findings = [_finding(each) for each in decision.get("findings") or () if isinstance(each, Mapping)]
    for found in nearest.told(decision.get("effect"), findings):
        if isinstance(found, Finding):
            under = "" if found.step is None else f" ({found.step})"
            text = _NAMED.match(found.detail) if found.reason in _BY_TEXT else None
            yield f"{found.reason}{under}" + ("" if text is None else f": {text[0]}")


def _finding(data: Mapping[str, Any]) -> Finding:
    step = data.get("step")
    effect, reason, detail = (str(data.get(name)) for name in ("effect", "reason", "detail"))
    return Finding(effect, reason, None if step is None else str(step), detail)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
