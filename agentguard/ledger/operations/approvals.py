"""Approval requests and the answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from agentguard.core.answers import why_not
from agentguard.core.facts import Answer
from agentguard.core.values import Json
from agentguard.errors import LedgerError
from agentguard.ledger import cells
from agentguard.ledger.cells import (
    ApprovalCell,
    AskedCell,
    moment,
)
from agentguard.ledger.entry import canonical, known_text, micros
from agentguard.ledger.values import (
    ApprovalRequest,
    ApprovalRow,
    RecordData,
)
from agentguard.ledger.world import World

# What of a request is public, beside what stands in its change by itself.
_TEXTS = ("workflow", "step", "tool", "subject")
_NAMES = ("id", "request_digest", "policy_revision", "run_id", *_TEXTS)


class Question(NamedTuple):
    """An approval request, checked."""

    asked: ApprovalRequest
    requested_at: int
    expires_at: int
    record: RecordData


def check_question(asked: ApprovalRequest, record: RecordData) -> Question:
    """Raises LedgerError for what cannot be stored."""
    for each in _NAMES:
        known_text(getattr(asked, each), f"an approval request's {each}")
    canonical(_body(asked), "an approval request")
    canonical(asked.shown, "what approvers are shown")
    return Question(asked, micros(asked.requested_at), micros(asked.expires_at), record)


def _body(asked: ApprovalRequest) -> dict[str, Json]:
    return {each: getattr(asked, each) for each in _TEXTS} | {
        "requester": asked.requester,
        "approvers": list(asked.approvers),
        "quorum": asked.quorum,
    }


def ask(world: World, question: Question) -> ApprovalRow:
    """Store a question, unless the same one is open already: then that one."""
    asked = question.asked
    for approval_id in reversed(_asked(world, asked.request_digest)):
        found = world.get((cells.APPROVAL, approval_id))
        if (
            isinstance(found, ApprovalCell)
            and found.revision == asked.policy_revision
            and not found.consumed
            and found.expires_at > question.requested_at
            and found.shown is not None  # what was erased can be shown to nobody
        ):
            return _row(approval_id, found)
    if world.get((cells.APPROVAL, asked.id)) is not None:
        raise LedgerError(f"there is an approval request `{asked.id}` already; each request needs its own id")
    change = (
        "ask", asked.id, asked.request_digest, asked.policy_revision, asked.run_id, question.requested_at,
        question.expires_at, _body(asked),
    )  # fmt: skip
    world.write(question.record, [change], {"shown": asked.shown})
    return ApprovalRow(asked, (), False)


class Reply(NamedTuple):
    """One person's answer, checked."""

    approval_id: str
    answer: Answer
    at: int
    record: RecordData


def check_reply(approval_id: str, answer: Answer, record: RecordData) -> Reply:
    """Raises LedgerError for what is no answer."""
    known_text(answer.approver, "an approver")
    if type(answer.approve) is not bool:
        raise LedgerError(f"an answer is {type(answer.approve).__name__}; expected true or false")
    return Reply(known_text(approval_id, "an approval id"), answer, micros(answer.at), record)


def answer(world: World, reply: Reply) -> ApprovalRow:
    """Add one person's answer, and make a decision that was taken without it come to nothing."""
    approval_id, given = reply.approval_id, reply.answer
    found = world.get((cells.APPROVAL, approval_id))
    if not isinstance(found, ApprovalCell):
        raise LedgerError(f"there is no approval request `{approval_id}`; `agentguard approvals list` shows them")
    asked = _row(approval_id, found)
    at = moment(reply.at)
    problem = why_not(asked.request, asked.answers, asked.consumed, given.approver, agree=given.approve, at=at)
    if problem is not None:
        raise LedgerError(problem)
    world.write(reply.record, [("answer", approval_id, given.approver, given.approve, reply.at)])
    after = world.get((cells.APPROVAL, approval_id))
    return _row(approval_id, after) if isinstance(after, ApprovalCell) else asked


def approval(world: World, approval_id: str) -> ApprovalRow | None:
    """One request."""
    found = world.get((cells.APPROVAL, approval_id))
    return _row(approval_id, found) if isinstance(found, ApprovalCell) else None


def approval_for(world: World, digest: str) -> ApprovalRow | None:
    """The latest request for a digest.

    A refusal stands for the request, also where it was asked again under another revision before somebody said no.
    """
    found = [(each, world.get((cells.APPROVAL, each))) for each in reversed(_asked(world, digest))]
    known = [(each, cell) for each, cell in found if isinstance(cell, ApprovalCell)]
    refused = [(each, cell) for each, cell in known if _is_refused(cell)]
    return _row(*(refused or known)[0]) if known else None


class WantedApprovals(NamedTuple):
    """Which requests are listed. ``open_at``: those that waited for somebody then. ``before``: only those that were
    asked before that one."""

    open_at: datetime | None
    run_id: str | None
    workflow: str | None
    subject: str | None
    before: str | None
    limit: int | None


def approvals(world: World, wanted: WantedApprovals) -> Sequence[ApprovalRow]:
    """Requests, newest first."""
    before = None
    if wanted.before is not None:
        last = world.get((cells.APPROVAL, wanted.before))
        if not isinstance(last, ApprovalCell):
            raise LedgerError(f"there is no approval request `{wanted.before}`; begin again without it")
        before = last.number
    how: dict[str, Any] = {"about": wanted.run_id, "before": before}
    asked_of = ((cells.WORKFLOW_OF_APPROVAL, wanted.workflow), (cells.SUBJECT_OF_APPROVAL, wanted.subject))
    how["equal"] = {place: word for place, word in asked_of if word is not None}
    if wanted.open_at is not None:
        how |= {"live": True, "above": {cells.EXPIRY_OF_APPROVAL: micros(wanted.open_at)}}
    found = (
        _row(approval_id, cell)
        for approval_id, cell in world.below.listed(cells.APPROVAL, **how)
        if isinstance(cell, ApprovalCell) and (wanted.open_at is None or not _is_refused(cell))
    )
    return list(islice(found, wanted.limit))


def _is_refused(cell: ApprovalCell) -> bool:
    return any(not approve for _, approve, _ in cell.answers)


def _asked(world: World, digest: str) -> tuple[str, ...]:
    found = world.get((cells.ASKED, digest))
    return found.ids if isinstance(found, AskedCell) else ()


def _row(approval_id: str, cell: ApprovalCell) -> ApprovalRow:
    body: Any = cell.body
    asked = ApprovalRequest(
        id=approval_id,
        request_digest=cell.digest,
        policy_revision=cell.revision,
        run_id=cell.run_id,
        **{each: body[each] for each in _TEXTS},
        requester=body["requester"],
        approvers=tuple(body["approvers"]),
        quorum=body["quorum"],
        requested_at=moment(cell.requested_at),
        expires_at=moment(cell.expires_at),
        shown=dict(cell.shown or {}),
        erased=cell.shown is None,
    )
    return ApprovalRow(asked, cell.given(), cell.consumed)
