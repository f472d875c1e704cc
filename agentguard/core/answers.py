"""The life of a question to people: who may answer it, who may take it back, and where it stands. Pure.

One rule for every channel that takes answers, and for the decision:

1. A person counts once: for one group's quorum of a rule, and under whatever spelling.
2. Nobody counts who the call is for, who runs it, or who changed it. ``requester`` asks the person that the run is for:
   that is a confirmation, and counts for no group.
3. Answers count from the moment of the question until ``expires_at``; an agreement is good for ``use_within`` after the
   answer that completed it.
4. Anybody else may say no: it takes power away. As many noes as ``deny_quorum`` are final.
5. What was claimed, denied, cancelled or superseded, or has expired, never comes back: the call is asked about anew.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol, TypeAlias

from agentguard.core.facts import Answer
from agentguard.core.people import person, same_person

REQUESTER = "requester"


class ApprovalStatus(enum.StrEnum):
    """Where a request stands. ``approved`` is not yet a permit: the guard decides again. ``claimed``: its call was
    permitted, and has no outcome yet."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    CLAIMED = "claimed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


# What can still lead to a permit.
OPEN = frozenset({ApprovalStatus.PENDING, ApprovalStatus.APPROVED})


class Life(NamedTuple):
    """What became of a request beside its answers. ``claimed_by``: the decision that used it, where that is known.
    ``outcome``: of that call. ``lapsed``: whether it was cancelled or superseded, and when, where that is known."""

    claimed: bool = False
    claimed_by: str | None = None
    outcome: str | None = None
    lapsed: tuple[ApprovalStatus, datetime | None] | None = None


NEW = Life()


class Need(NamedTuple):
    """So many people of these: ``user:NAME``, ``group:NAME``, ``anyone``, or ``requester`` alone."""

    approvers: tuple[str, ...]
    quorum: int = 1


# A need, and everybody whose yes counts for it; None: anybody's.
Asked: TypeAlias = "tuple[Need, Collection[str] | None]"


class Question(Protocol):
    """A question to people about one call.

    ``needs``: for each rule that asks, whom it needs; one person counts once for each rule. ``approvers`` are all of
    them, ``quorum`` how many it takes in all. ``shown`` is what they see of it besides; ``shown["people"]`` is
    everybody whose yes counts, as that was known when they were asked, ``shown["members"]`` the same for each need;
    without it, anybody's. ``erased``: ``shown`` is gone. ``editors`` changed the call before it was asked about.
    """

    @property
    def id(self) -> str: ...
    @property
    def request_digest(self) -> str: ...
    @property
    def policy_revision(self) -> str: ...
    @property
    def basis(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def workflow(self) -> str: ...
    @property
    def step(self) -> str: ...
    @property
    def tool(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def requester(self) -> str | None: ...
    @property
    def editors(self) -> tuple[str, ...]: ...
    @property
    def approvers(self) -> tuple[str, ...]: ...
    @property
    def quorum(self) -> int: ...
    @property
    def needs(self) -> tuple[tuple[Need, ...], ...]: ...
    @property
    def deny_quorum(self) -> int: ...
    @property
    def requested_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def use_within(self) -> timedelta | None: ...
    @property
    def shown(self) -> dict[str, Any]: ...
    @property
    def erased(self) -> bool: ...


# --- who counts


def counts_for(approver: str, asked: Asked, requester: str | None, others: Iterable[str | None]) -> bool:
    """Whether somebody's yes counts for this need. ``others``: who runs the call, or changed it."""
    need, people = asked
    if not approver.startswith("user:"):
        return False  # only people approve: nobody can be called `anyone` or `group:…`
    if REQUESTER in need.approvers:
        return need.approvers == (REQUESTER,) and same_person(approver, requester)
    if any(same_person(approver, other) for other in (requester, *others)):
        return False
    return people is None or approver in people


def are_enough(quorums: Sequence[int], able: Sequence[Collection[int]]) -> bool:
    """Whether people fill every quorum, each of them counted for one of those that they are ``able`` to fill."""
    holders: list[list[int]] = [[] for _ in quorums]

    def placed(one: int, tried: set[int]) -> bool:
        for need in able[one]:
            if need in tried:
                continue
            tried.add(need)
            if len(holders[need]) < max(quorums[need], 1):
                holders[need].append(one)
                return True
            for place, other in enumerate(holders[need]):
                if placed(other, tried):
                    holders[need][place] = one
                    return True
        return False

    for one in range(len(able)):
        placed(one, set())
    # All of nothing is no.
    return bool(quorums) and all(len(held) >= max(n, 1) for held, n in zip(holders, quorums, strict=True))


def agreed_at(
    asked: Sequence[Asked], yes: Iterable[tuple[str, datetime]], requester: str | None, others: Sequence[str | None]
) -> datetime | None:
    """When one rule had all that it needs; None: it has not. ``yes``: who agreed, and when."""
    quorums = [need.quorum for need, _ in asked]
    able: dict[str, list[int]] = {}
    for approver, at in sorted(yes, key=lambda each: (each[1], each[0])):
        found = [n for n, each in enumerate(asked) if counts_for(approver, each, requester, others)]
        known = able.setdefault(person(approver), [])
        known += [n for n in found if n not in known]
        if found and are_enough(quorums, list(able.values())):
            return at
    return None


def is_denied(answers: Iterable[Answer], deny_quorum: int) -> bool:
    """Whether so many people said no that it is final. What is no clear yes is a no."""
    return len({person(each.approver) for each in answers if each.approve is not True}) >= max(deny_quorum, 1)


# --- where it stands


def status(asked: Question, answers: Sequence[Answer], life: Life, at: datetime) -> ApprovalStatus:
    """Where a request stands, as far as that was known when people were asked; the decision judges again."""
    if life.outcome is not None:
        return ApprovalStatus(life.outcome)
    if life.claimed:
        return ApprovalStatus.CLAIMED
    if is_denied(answers, asked.deny_quorum):
        return ApprovalStatus.DENIED
    since = approved_since(asked, answers)
    until = use_by(asked, since)
    if life.lapsed is not None:
        word, when = life.lapsed
        return word if when is None or when < until else ApprovalStatus.EXPIRED
    if at >= until:
        return ApprovalStatus.EXPIRED
    return ApprovalStatus.PENDING if since is None else ApprovalStatus.APPROVED


def approved_since(asked: Question, answers: Iterable[Answer]) -> datetime | None:
    """When the answer came that completed the agreement; None: it is not complete."""
    yes = [(a.approver, a.at) for a in answers if a.approve is True and asked.requested_at <= a.at < asked.expires_at]
    found = [agreed_at(rule, yes, asked.requester, _others(asked)) for rule in needed(asked)]
    times = [at for at in found if at is not None]
    return max(times) if found and len(times) == len(found) else None


def use_by(asked: Question, since: datetime | None) -> datetime:
    """Until when a request can lead to a permit: until it is to be decided, or until its agreement is to be used."""
    return asked.expires_at if since is None or asked.use_within is None else since + asked.use_within


def needed(asked: Question) -> list[list[Asked]]:
    """For each rule that asks, each need with everybody whose yes counts for it."""
    rules = asked.needs or ((Need(asked.approvers, asked.quorum),),)
    members = asked.shown.get("members")
    if not isinstance(members, list):
        people = asked.shown.get("people")
        known = people if isinstance(people, list) else None
        return [[(need, known) for need in rule] for rule in rules]
    return [
        [(need, known) for need, known in zip(rule, people, strict=True)]
        for rule, people in zip(rules, members, strict=True)
    ]


# --- who may do what


def why_not(
    asked: Question, answers: Sequence[Answer], life: Life, approver: str, *, agree: bool, at: datetime
) -> str | None:
    """Why this person cannot answer so, or None. The decision judges every answer again.

    Anybody but those the call is for may say no: it takes power away.
    """
    kind, _, name = approver.partition(":")
    if kind != "user" or not person(name):
        return f"`{approver}` is no person; expected `user:NAME`, as the channel authenticated them"
    if not counts(asked, approver) and _is_own(asked, approver):
        return f"`{asked.id}` was asked for by or for `{approver}`; somebody else must answer it"
    if any(same_person(approver, answer.approver) for answer in answers):
        return f"`{approver}` has answered `{asked.id}` already; one answer a person"
    over = why_over(asked, answers, life, at)
    # A no to the older question is a no to the call.
    if over is not None and (agree or status(asked, answers, life, at) is not ApprovalStatus.SUPERSEDED):
        return over
    if agree and at >= asked.expires_at:
        return f"`{asked.id}` was to be decided until {_time(asked.expires_at)}; it can only be refused now"
    if agree and asked.erased:
        return f"what `{asked.id}` asks was erased, so nobody can see what they would agree to; the agent may ask anew"
    if agree and not counts(asked, approver):
        return f"`{approver}` cannot agree to `{asked.id}`; it asks {', '.join(asked.approvers)}"
    return None


def why_not_cancel(asked: Question, answers: Sequence[Answer], life: Life, by: str, *, at: datetime) -> str | None:
    """Why this party cannot take a question back, or None: whom the call is for may, and the agent that asked."""
    if by != asked.subject and not same_person(by, asked.requester):
        return f"`{asked.id}` was asked neither by nor for `{by}`; who is neither can refuse it instead"
    return why_over(asked, answers, life, at)


def why_over(asked: Question, answers: Sequence[Answer], life: Life, at: datetime) -> str | None:
    """Why a question can lead to no permit any more, or None."""
    match status(asked, answers, life, at):
        case ApprovalStatus.PENDING | ApprovalStatus.APPROVED:
            return None
        case ApprovalStatus.DENIED:
            return f"`{asked.id}` has been refused by somebody, which is final; the agent may ask anew"
        case ApprovalStatus.EXPIRED:
            until = use_by(asked, approved_since(asked, answers))
            return f"`{asked.id}` expired at {_time(until)}; the agent must ask anew"
        case ApprovalStatus.CANCELLED:
            return f"`{asked.id}` was cancelled: whoever asked needs no answer any more"
        case ApprovalStatus.SUPERSEDED:
            return f"`{asked.id}` was superseded: the same call was asked about anew; answer the newer question"
        case _:
            return f"`{asked.id}` was used already, for its one call; another call asks anew"


def counts(asked: Question, approver: str) -> bool:
    """Whether this person's yes counts."""
    others = _others(asked)
    return any(counts_for(approver, each, asked.requester, others) for rule in needed(asked) for each in rule)


def confirms(asked: Question, approver: str) -> bool:
    """Whether a yes of this person is a confirmation by whom the call is for, and no approval."""
    return same_person(approver, asked.requester)


def _others(asked: Question) -> tuple[str | None, ...]:
    return (asked.subject, *asked.editors)


def _is_own(asked: Question, approver: str) -> bool:
    return any(same_person(approver, other) for other in (asked.requester, *_others(asked)))


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
