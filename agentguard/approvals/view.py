"""One approval request as the person who decides sees it, and where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agentguard import display
from agentguard.core.answers import ApprovalStatus, Life, Question, approved_since, counts, status, use_by, why_not
from agentguard.core.canonical import in_order
from agentguard.core.facts import Answer
from agentguard.core.people import person
from agentguard.core.values import Json


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """A request, the answers so far, and the moment at which it is looked at."""

    asked: Question
    answers: Sequence[Answer]
    life: Life
    now: datetime

    @property
    def status(self) -> ApprovalStatus:
        """Where the request stands now."""
        return status(self.asked, self.answers, self.life, self.now)

    @property
    def until(self) -> datetime:
        """Until when it is to be decided; once people have agreed, until when its call is to be made."""
        return use_by(self.asked, approved_since(self.asked, self.answers))

    @property
    def agreed(self) -> int:
        """How many people have agreed whose yes counts, as far as that was known when they were asked."""
        yes = {answer.approver for answer in self.answers if answer.approve and counts(self.asked, answer.approver)}
        return len(set(map(person, yes)))

    @property
    def why(self) -> str:
        """Why people are asked, in the words of the workflow's owner; nothing where they wrote none."""
        return "; ".join(map(str, self._list("why")))

    def why_not(self, approver: str, *, agree: bool) -> str | None:
        """Why this person cannot answer so, in words for them, or None. The decision judges the answer again."""
        return why_not(self.asked, self.answers, self.life, approver, agree=agree, at=self.now)

    def may_see(self, person: str) -> bool:
        """Whether somebody is asked, so that personal values are theirs to see."""
        return counts(self.asked, person)

    def rows(self, most: int = display.MAX_SHOWN, *, personal: bool = True) -> Iterator[tuple[str, str]]:
        """Everything an approver decides by, as (label, text); every text is safe to show. Without ``personal``: for
        somebody who is not asked (``may_see``)."""
        asked = self.asked
        yield "approval", display.shown(asked.id)
        yield "status", f"{self.status}, {self.agreed} of {asked.quorum} have agreed"
        yield "may agree", ", ".join(map(display.shown, asked.approvers))
        if self._list("people"):
            yield "who that is", display.shown(", ".join(map(str, self._list("people"))), most)
        yield "workflow", display.shown(asked.workflow)
        yield "step", display.shown(asked.step)
        yield "tool", display.shown(asked.tool)
        yield "workload", display.shown(asked.subject)
        yield "requested by", display.shown(asked.requester) if asked.requester is not None else "(nobody named)"
        for text in self._list("why"):
            yield "why", display.shown(str(text), most)
        for entry in self._meaning(personal=personal):
            if isinstance(entry, dict):
                yield f"({display.shown(str(entry.get('label')))})", _meaning(entry, most)
        yield "run", display.shown(asked.run_id)
        yield "asked at", moment(asked.requested_at)
        yield "expires at", f"{moment(self.until)} ({remaining(self.until, self.now)})"
        if self.life.claimed_by is not None:
            yield "used by", f"decision {display.shown(self.life.claimed_by)}"
        if asked.erased:
            yield "argument", "(erased: nobody can agree to this any more)"
        for where, what in display.leaves(self._arguments(personal=personal), most):
            yield f"argument {where}", what
        for pointer in self._list("redacted"):
            yield "left out (secret)", display.value(pointer)
        for place in self._list("destinations"):
            yield "destination", _place(place)
        for why in self._list("because"):
            yield "because", display.value(why)
        yield "request digest", display.shown(asked.request_digest)
        yield "policy revision", display.shown(asked.policy_revision)
        for answer in self.answers:
            word = "approved" if answer.approve else "denied"
            yield "answer", f"{display.shown(answer.approver)} {word} at {moment(answer.at)}"

    def to_json(self, *, personal: bool = True) -> dict[str, Json]:
        """The same for a program."""
        asked = self.asked
        return {
            "id": asked.id,
            "status": str(self.status),
            "agreed": self.agreed,
            "quorum": asked.quorum,
            "approvers": list(asked.approvers),
            "people": self._shown("people"),
            "workflow": asked.workflow,
            "step": asked.step,
            "tool": asked.tool,
            "subject": asked.subject,
            "requester": asked.requester,
            "run_id": asked.run_id,
            "requested_at": moment(asked.requested_at),
            "expires_at": moment(asked.expires_at),
            "use_by": None if approved_since(asked, self.answers) is None else moment(self.until),
            "claimed_by": self.life.claimed_by,
            "arguments": self._arguments(personal=personal),
            "redacted": self._list("redacted"),
            "erased": asked.erased,
            "destinations": self._list("destinations"),
            "because": self._list("because"),
            "why": self._list("why"),
            "meaning": self._meaning(personal=personal),
            "request_digest": asked.request_digest,
            "policy_revision": asked.policy_revision,
            "answers": [{"approver": a.approver, "approve": a.approve, "at": moment(a.at)} for a in self.answers],
        }

    def _arguments(self, *, personal: bool) -> Json:
        """The arguments, with members in the order in which the tool will get them."""
        order, values = self.asked.shown.get("order"), self._shown("personal")
        found: Json = self._shown("arguments")
        if personal and isinstance(values, dict):
            for pointer, value in values.items():
                found = _put(found, pointer.split("/")[1:], value)
        ordered: Json = in_order(found, order if isinstance(order, dict) else {})
        return ordered

    def _meaning(self, *, personal: bool) -> list[Json]:
        """What the owner shows beside the call. It comes from what the run was given and has kept."""
        entries = self._list("meaning")
        if personal:
            return entries
        return [
            {**each, "value": "[personal]"} if isinstance(each, dict) and "value" in each else each for each in entries
        ]

    def _shown(self, name: str) -> Json:
        found: Json = self.asked.shown.get(name)
        return found

    def _list(self, name: str) -> list[Json]:
        found = self._shown(name)
        return found if isinstance(found, list) else []


def _meaning(entry: dict[str, Any], most: int) -> str:
    """A value that the owner of the workflow shows, or why there is none. Whoever wrote it, it stands in quotes."""
    return (
        display.value(entry["value"], most)
        if "value" in entry
        else f"not known: {display.shown(str(entry.get('none')))}"
    )


def moment(at: datetime) -> str:
    """UTC, to the second (RFC 3339)."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def remaining(until: datetime, now: datetime) -> str:
    """How long is left, in the two largest units that matter."""
    seconds = int((until - now).total_seconds())
    if seconds <= 0:
        return "over"
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min left"
    return f"{minutes} min {seconds % 60} s left" if minutes else f"{seconds} s left"


def _place(place: Json) -> str:
    if not isinstance(place, Mapping):
        return display.value(place)
    zone = place.get("zone")
    known = [display.shown(str(place.get(name))) for name in ("kind", "id", "sensitivity")]
    return f"{known[0]} {known[1]} ({known[2]}" + (f", zone {display.shown(str(zone))})" if zone else ")")


def _put(into: Json, steps: Sequence[str], value: Json) -> Json:
    """A copy with a value at a JSON pointer's place; what has no such place stays as it is."""
    if not steps:
        return value
    step, rest = steps[0].replace("~1", "/").replace("~0", "~"), steps[1:]
    if isinstance(into, dict) and step in into:
        return {**into, step: _put(into[step], rest, value)}
    if isinstance(into, list) and step.isdecimal() and int(step) < len(into):
        return [_put(item, rest, value) if index == int(step) else item for index, item in enumerate(into)]
    return into
