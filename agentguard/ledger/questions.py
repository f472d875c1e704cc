"""Approval requests: a question to a person, the answers, and where each stands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from agentguard.core.answers import why_not
from agentguard.core.facts import Answer
from agentguard.errors import LedgerError
from agentguard.ledger import schema
from agentguard.ledger.contract import ApprovalRequest, ApprovalRow
from agentguard.ledger.encode import Row, encode_values, known_text, micros, moment
from agentguard.ledger.store import Store

_TEXTS = ("id", "request_digest", "policy_revision", "run_id", "workflow", "step", "tool", "subject")


class Question(NamedTuple):
    """An approval request, encoded."""

    asked: ApprovalRequest
    requested_at: int
    expires_at: int
    body: bytes
    row: Row


class Reply(NamedTuple):
    """One person's answer, encoded."""

    approval_id: str
    answer: Answer
    at: int
    row: Row


def encode_question(asked: ApprovalRequest, row: Row) -> Question:
    """Check an approval request's shape and encode it."""
    for name in _TEXTS:
        known_text(getattr(asked, name), f"an approval request's {name}")
    body = {name: getattr(asked, name) for name in _TEXTS} | {
        "requester": asked.requester,
        "approvers": list(asked.approvers),
        "quorum": asked.quorum,
        "shown": asked.shown,
    }
    raw = encode_values({"request": body}, "an approval request")["request"]
    return Question(asked, micros(asked.requested_at), micros(asked.expires_at), raw, row)


def encode_reply(approval_id: str, answer: Answer, row: Row) -> Reply:
    """Check an answer's shape and encode it."""
    known_text(answer.approver, "an approver")
    if type(answer.approve) is not bool:
        raise LedgerError(f"an answer is {type(answer.approve).__name__}; expected true or false")
    return Reply(known_text(approval_id, "an approval id"), answer, micros(answer.at), row)


def ask(store: Store, question: Question) -> ApprovalRow:
    """Store a question, unless the same one is open already: then that one."""
    asked = question.asked
    same = (asked.request_digest, asked.policy_revision, question.requested_at)
    open_one = store.cursor.execute(schema.SAME_QUESTION, same).fetchone()
    if open_one is not None:
        return _row(store, open_one)
    if store.cursor.execute(schema.APPROVAL, (asked.id,)).fetchone() is not None:
        raise LedgerError(f"there is an approval request `{asked.id}` already; each request needs its own id")
    store.cursor.execute(
        schema.ADD_APPROVAL,
        (
            asked.id,
            asked.request_digest,
            asked.policy_revision,
            asked.run_id,
            question.requested_at,
            question.expires_at,
            question.body,
        ),
    )
    store.append(question.row)
    return ApprovalRow(asked, (), False)


def answer(store: Store, reply: Reply) -> ApprovalRow:
    """Add one person's answer, and make a decision that was taken without it come to nothing."""
    name, given = reply.approval_id, reply.answer
    row = store.cursor.execute(schema.APPROVAL, (name,)).fetchone()
    if row is None:
        raise LedgerError(f"there is no approval request `{name}`; `agentguard approvals list` shows them")
    n, run_id = row[0], row[2]
    asked = _row(store, row)
    problem = why_not(
        asked.request, asked.answers, asked.consumed, given.approver, agree=given.approve, at=moment(reply.at)
    )
    if problem is not None:
        raise LedgerError(problem)
    store.cursor.execute(schema.ADD_ANSWER, (n, given.approver, given.approve, reply.at))
    run = store.run(run_id)
    if run is not None:
        store.changed(run)
    store.append(reply.row)
    return _row(store, row)


def approval(store: Store, approval_id: str) -> ApprovalRow | None:
    """One request."""
    return _one(store, schema.APPROVAL, approval_id)


def approval_for(store: Store, digest: str) -> ApprovalRow | None:
    """The latest request for a digest."""
    return _one(store, schema.APPROVAL_FOR, digest)


def approvals(store: Store, asked: tuple[datetime | None, str | None]) -> Sequence[ApprovalRow]:
    """All requests, newest first; or those that still wait for somebody at a time."""
    open_at, run_id = asked
    if open_at is None:
        return [_row(store, row) for row in store.cursor.execute(schema.APPROVALS).fetchall()]
    if run_id is None:
        rows = store.cursor.execute(schema.OPEN_APPROVALS, (micros(open_at),)).fetchall()
    else:
        rows = store.cursor.execute(schema.OPEN_APPROVALS_OF, (run_id, micros(open_at))).fetchall()
    found = [_row(store, row) for row in rows]
    return [each for each in found if all(given.approve for given in each.answers)]


def _one(store: Store, statement: str, key: str) -> ApprovalRow | None:
    row = store.cursor.execute(statement, (key,)).fetchone()
    return None if row is None else _row(store, row)


def _answers(store: Store, n: int) -> tuple[Answer, ...]:
    rows = store.cursor.execute(schema.ANSWERS, (n,)).fetchall()
    return tuple(Answer(approver, bool(approve), moment(at)) for approver, approve, at in rows)


def _row(store: Store, row: tuple[Any, ...]) -> ApprovalRow:
    n, _, _, requested_at, expires_at, consumed, raw = row
    body = json.loads(raw)
    asked = ApprovalRequest(
        **{name: body[name] for name in _TEXTS},
        requester=body["requester"],
        approvers=tuple(body["approvers"]),
        quorum=body["quorum"],
        requested_at=moment(requested_at),
        expires_at=moment(expires_at),
        shown=body["shown"],
    )
    return ApprovalRow(asked, _answers(store, n), bool(consumed))
