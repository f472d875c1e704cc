"""Approval requests and the answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from agentguard.core.answers import OPEN, ApprovalStatus, Life, Need, confirms, is_denied, why_not, why_not_cancel
from agentguard.core.facts import Answer, RunStatus
from agentguard.core.values import Json
from agentguard.errors import LedgerError
from agentguard.ledger import cells
from agentguard.ledger.cells import MICROSECOND, ApprovalCell, AskedCell, moment
from agentguard.ledger.entry import Change, canonical, known_text, micros
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
    body: dict[str, Json] = {each: getattr(asked, each) for each in _TEXTS} | {
        "requester": asked.requester,
        "approvers": list(asked.approvers),
        "quorum": asked.quorum,
        "decide_by": micros(asked.expires_at),
        "deny_quorum": asked.deny_quorum,
        "use_within": None if asked.use_within is None else asked.use_within // MICROSECOND,
        "needs": [[[list(need.approvers), need.quorum] for need in rule] for rule in asked.needs],
        "editors": list(asked.editors),
        "basis": asked.basis,
    }
    return body


def ask(world: World, question: Question) -> ApprovalRow:
    """Store a question, unless the same one is open, or was refused, already: then that one.

    The same call asked about on other grounds takes the place of what was open.
    """
    asked, now = question.asked, moment(question.requested_at)
    superseded: list[Change] = []
    for approval_id in reversed(_asked(world, asked.request_digest)):
        row = approval(world, approval_id)
        if row is None:
            continue
        found = row.status(now)
        same = (row.request.basis, row.request.policy_revision if not asked.basis else "") == (
            asked.basis, asked.policy_revision if not asked.basis else "",
        )  # fmt: skip
        # What was erased can be shown to nobody.
        if found is ApprovalStatus.DENIED or (found in OPEN and same and not row.request.erased):
            return row
        if found in OPEN:
            superseded.append(("lapse", approval_id, str(ApprovalStatus.SUPERSEDED), question.requested_at))
    if world.get((cells.APPROVAL, asked.id)) is not None:
        raise LedgerError(f"there is an approval request `{asked.id}` already; each request needs its own id")
    body = {**_body(asked), "asked_by": world.below.owner}
    change = (
        "ask", asked.id, asked.request_digest, asked.policy_revision, asked.run_id, question.requested_at,
        question.expires_at, body,
    )  # fmt: skip
    world.write(question.record, [*superseded, change], {"shown": asked.shown})
    return ApprovalRow(asked, ())


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
    asked, at = _must(world, approval_id), moment(reply.at)
    problem = why_not(asked.request, asked.answers, asked.life, given.approver, agree=given.approve, at=at)
    if problem is None and given.approve and confirms(asked.request, given.approver):
        problem = _why_not_here(world, asked.request)
    if problem is not None:
        raise LedgerError(problem)
    world.write(reply.record, [("answer", approval_id, given.approver, given.approve, reply.at)])
    return _must(world, approval_id)


def _why_not_here(world: World, asked: ApprovalRequest) -> str | None:
    """Why whom a call is for cannot confirm it in this process, or None: the agent could say it in their name."""
    cell = world.get((cells.APPROVAL, asked.id))
    run = world.run(asked.run_id)
    inside = () if run is None else (run.holder, *(() if run.keyed is None else run.keyed.inside))
    asked_by = cell.body.get("asked_by") if isinstance(cell, ApprovalCell) else None
    if world.below.owner in (asked_by, *inside):
        return (
            f"`{asked.id}` is confirmed where `{asked.requester}` is signed in, and never by the process of the agent "
            "that asks: by `agentguard approvals approve`, or in the console"
        )
    return None


class Cancel(NamedTuple):
    """A request that is taken back, checked."""

    approval_id: str
    by: str
    at: int
    record: RecordData


def check_cancel(approval_id: str, by: str, at: datetime, record: RecordData) -> Cancel:
    """Raises LedgerError for what cannot be taken back so."""
    return Cancel(known_text(approval_id, "an approval id"), known_text(by, "who cancels"), micros(at), record)


def cancel(world: World, asked: Cancel) -> ApprovalRow:
    """Nobody needs an answer any more."""
    row = _must(world, asked.approval_id)
    problem = why_not_cancel(row.request, row.answers, row.life, asked.by, at=moment(asked.at))
    if problem is not None:
        raise LedgerError(problem)
    world.write(asked.record, [("lapse", asked.approval_id, str(ApprovalStatus.CANCELLED), asked.at)])
    return _must(world, asked.approval_id)


def _must(world: World, approval_id: str) -> ApprovalRow:
    row = approval(world, approval_id)
    if row is None:
        raise LedgerError(f"there is no approval request `{approval_id}`; `agentguard approvals list` shows them")
    return row


def approval(world: World, approval_id: str) -> ApprovalRow | None:
    """One request."""
    found = world.get((cells.APPROVAL, approval_id))
    return _row(world, approval_id, found) if isinstance(found, ApprovalCell) else None


def approval_for(world: World, digest: str) -> ApprovalRow | None:
    """The latest request for a digest.

    A refusal stands for the request, also where it was asked again under another revision before somebody said no.
    """
    known = [row for each in reversed(_asked(world, digest)) if (row := approval(world, each)) is not None]
    refused = [row for row in known if is_denied(row.answers, row.request.deny_quorum)]
    found = refused or known
    return found[0] if found else None


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
        _row(world, approval_id, cell)
        for approval_id, cell in world.below.listed(cells.APPROVAL, **how)
        if isinstance(cell, ApprovalCell)
    )
    open_at = wanted.open_at
    return list(islice((row for row in found if open_at is None or row.status(open_at) in OPEN), wanted.limit))


def _asked(world: World, digest: str) -> tuple[str, ...]:
    found = world.get((cells.ASKED, digest))
    return found.ids if isinstance(found, AskedCell) else ()


def _row(world: World, approval_id: str, cell: ApprovalCell) -> ApprovalRow:
    body: Any = cell.body
    use_within = body.get("use_within")
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
        expires_at=moment(body.get("decide_by", cell.expires_at)),
        shown=dict(cell.shown or {}),
        erased=cell.shown is None,
        needs=tuple(tuple(Need(tuple(who), n) for who, n in rule) for rule in body.get("needs", ())),
        deny_quorum=body.get("deny_quorum", 1),
        use_within=None if use_within is None else use_within * MICROSECOND,
        editors=tuple(body.get("editors", ())),
        basis=body.get("basis", ""),
    )
    return ApprovalRow(asked, cell.given(), _life(world, cell))


def _life(world: World, cell: ApprovalCell) -> Life:
    """What became of it. A run that a signal stopped cancels what it asked, as one that was ended does."""
    lapsed = None if cell.lapsed is None else (ApprovalStatus(cell.lapsed[0]), _moment(cell.lapsed[1]))
    run = world.run(cell.run_id)
    if lapsed is None and not cell.consumed and run is not None and world.status(cell.run_id, run) != RunStatus.ACTIVE:
        ended = None if run.status != RunStatus.ACTIVE else world.standing(cell.run_id, run).ended
        lapsed = (ApprovalStatus.CANCELLED, _moment(ended))
    return Life(cell.consumed, cell.claimed_by or None, cell.outcome or None, lapsed)


def _moment(at: int | None) -> datetime | None:
    return None if at is None else moment(at)
