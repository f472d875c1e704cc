"""Who may answer a question to people, and until when. Pure; one rule for every channel that takes answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from agentguard.core.facts import Answer
from agentguard.core.people import person, same_person


class Question(Protocol):
    """A question to people about one call.

    ``shown`` is what they see of it besides; ``shown["people"]`` is everybody whose yes counts, as that was known when
    they were asked; without it, anybody's. ``erased``: ``shown`` is gone.
    """

    @property
    def id(self) -> str: ...
    @property
    def request_digest(self) -> str: ...
    @property
    def policy_revision(self) -> str: ...
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
    def approvers(self) -> tuple[str, ...]: ...
    @property
    def quorum(self) -> int: ...
    @property
    def requested_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def shown(self) -> dict[str, Any]: ...
    @property
    def erased(self) -> bool: ...


def why_not(
    asked: Question, answers: Sequence[Answer], used: bool, approver: str, *, agree: bool, at: datetime
) -> str | None:
    """Why this person cannot answer so, or None. The decision judges every answer again.

    Anybody but those the call is for may say no: it takes power away, and it is final.
    """
    kind, _, name = approver.partition(":")
    if kind != "user" or not person(name):
        return f"`{approver}` is no person; expected `user:NAME`, as the channel authenticated them"
    if _is_own(asked, approver):
        return f"`{asked.id}` was asked for by or for `{approver}`; somebody else must answer it"
    if any(same_person(approver, answer.approver) for answer in answers):
        return f"`{approver}` has answered `{asked.id}` already; one answer a person"
    if any(not answer.approve for answer in answers):
        return f"`{asked.id}` has been refused by somebody, which is final; the agent may ask anew"
    if used:
        return f"`{asked.id}` was used already, for its one call; another call asks anew"
    if at >= asked.expires_at:
        return f"`{asked.id}` expired at {asked.expires_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}; the agent must ask anew"
    if agree and asked.erased:
        return f"what `{asked.id}` asks was erased, so nobody can see what they would agree to; the agent may ask anew"
    if agree and not counts(asked, approver):
        return f"`{approver}` cannot agree to `{asked.id}`; it asks {', '.join(asked.approvers)}"
    return None


def counts(asked: Question, approver: str) -> bool:
    """Whether this person's yes counts."""
    people = asked.shown.get("people")
    return not _is_own(asked, approver) and (not isinstance(people, list) or approver in people)


def _is_own(asked: Question, approver: str) -> bool:
    return any(same_person(approver, other) for other in (asked.requester, asked.subject))
