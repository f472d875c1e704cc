"""Approval requests and the answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
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

_TEXTS = ("id", "request_digest", "policy_revision", "run_id", "workflow", "step", "tool", "subject")


class Question(NamedTuple):
    """An approval request, checked."""

    asked: ApprovalRequest
    requested_at: int
    expires_at: int
    record: RecordData


def check_question(asked: ApprovalRequest, record: RecordData) -> Question:
    """Raises LedgerError for what cannot be stored."""
    for each in _TEXTS:
        known_text(getattr(asked, each), f"an approval request's {each}")
    canonical(_body(asked), "an approval request")
    return Question(asked, micros(asked.requested_at), micros(asked.expires_at), record)


def _body(asked: ApprovalRequest) -> dict[str, Json]:
    return {each: getattr(asked, each) for each in _TEXTS} | {
        "requester": asked.requester,
        "approvers": list(asked.approvers),
        "quorum": asked.quorum,
        "shown": asked.shown,
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
        ):
            return _row(found)
    if world.get((cells.APPROVAL, asked.id)) is not None:
        raise LedgerError(f"there is an approval request `{asked.id}` already; each request needs its own id")
    change = (
        "ask", asked.id, asked.request_digest, asked.policy_revision, asked.run_id, question.requested_at,
        question.expires_at,
    )  # fmt: skip
    world.write(question.record, [change], {"request": _body(asked)})
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
    asked = _row(found)
    at = moment(reply.at)
    problem = why_not(asked.request, asked.answers, asked.consumed, given.approver, agree=given.approve, at=at)
    if problem is not None:
        raise LedgerError(problem)
    world.write(reply.record, [("answer", approval_id, given.approver, given.approve, reply.at)])
    after = world.get((cells.APPROVAL, approval_id))
    return _row(after) if isinstance(after, ApprovalCell) else _row(found)


def approval(world: World, approval_id: str) -> ApprovalRow | None:
    """One request."""
    found = world.get((cells.APPROVAL, approval_id))
    return _row(found) if isinstance(found, ApprovalCell) and found.body is not None else None


def approval_for(world: World, digest: str) -> ApprovalRow | None:
    """The latest request for a digest.

    A refusal stands for the request, also where it was asked again under another revision before somebody said no.
    """
    found = [world.get((cells.APPROVAL, each)) for each in reversed(_asked(world, digest))]
    known = [each for each in found if isinstance(each, ApprovalCell) and each.body is not None]
    refused = [each for each in known if any(not approve for _, approve, _ in each.answers)]
    return _row((refused or known)[0]) if known else None


def approvals(world: World, asked: tuple[datetime | None, str | None]) -> Sequence[ApprovalRow]:
    """All requests, newest first; or those that still wait for somebody at a time, perhaps of one run alone."""
    open_at, run_id = asked
    listed = world.below.listed(cells.APPROVAL, live=open_at is not None)
    found = [each for _, each in listed if isinstance(each, ApprovalCell) and each.body is not None]
    if open_at is None:
        return [_row(each) for each in found]
    at = micros(open_at)
    waiting = [each for each in found if not each.consumed and each.expires_at > at]
    waiting = [each for each in waiting if run_id is None or each.run_id == run_id]
    return [_row(each) for each in waiting if all(approve for _, approve, _ in each.answers)]


def _asked(world: World, digest: str) -> tuple[str, ...]:
    found = world.get((cells.ASKED, digest))
    return found.ids if isinstance(found, AskedCell) else ()


def _row(cell: ApprovalCell) -> ApprovalRow:
    body: Any = cell.body
    if body is None:
        raise LedgerError("what was asked in this approval request was erased; nobody can answer it any more")
    asked = ApprovalRequest(
        **{each: body[each] for each in _TEXTS},
        requester=body["requester"],
        approvers=tuple(body["approvers"]),
        quorum=body["quorum"],
        requested_at=moment(cell.requested_at),
        expires_at=moment(cell.expires_at),
        shown=body["shown"],
    )
    return ApprovalRow(asked, cell.given(), cell.consumed)
