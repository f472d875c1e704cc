"""5. An escalation puts a question to people, and waits until somebody answered, or took power away."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from agentguard.core.answers import ApprovalStatus
from agentguard.core.canonical import member_order
from agentguard.core.decision import Ask as Asks
from agentguard.core.decision import Decision
from agentguard.core.facts import ApprovalState, Facts, RunState
from agentguard.core.values import Json, Unavailable
from agentguard.errors import ApprovalPending, ApprovalRefused, ToolCallDenied, ToolCallRefused
from agentguard.guard.answered import LOOK_EVERY_SECONDS
from agentguard.guard.asks import Ask, Pause, Wait
from agentguard.guard.call.gather import inactive_credentials
from agentguard.guard.call.meaning import meanings
from agentguard.guard.call.plan import GuardedTool
from agentguard.guard.call.prepare import Call
from agentguard.guard.engine import Engine
from agentguard.guard.proceed import stored
from agentguard.guard.records import about_question, new_id, record, rfc3339
from agentguard.ledger import Admission, ApprovalRequest, ApprovalRow


@dataclass(frozen=True, slots=True)
class Question:
    """The approval this call waits for, how long it may, and under which revision of the bundle it asked last."""

    row: ApprovalRow
    deadline: datetime
    revision: str


def ask(
    guard: Engine,
    admission: Admission,
    decision: Decision,
    call: Call,
    facts: Facts,
    asked: Question | None,
    gate: GuardedTool,
    known_by: str | None,
) -> Generator[Ask, Any, Question]:
    """Put the question durably; return when the answers or the call's standing changed, or raise that it must wait."""
    decision_id, now = admission.decision_id, admission.at
    question, run, step = decision.ask, facts.run, decision.step
    if question is None or step is None or not isinstance(run, RunState):
        raise ToolCallDenied(decision_id)
    if guard.wait:
        yield Pause(0)  # whoever cannot wait says so before anybody is asked
    # No approval among the facts: the one waited for was used up by the same call made elsewhere, or has expired.
    if asked is None or facts.approval is None or asked.revision != guard.bundle.revision:
        request = ApprovalRequest(
            id=new_id("a"),
            request_digest=call.request.digest,
            policy_revision=guard.bundle.revision,
            run_id=run.id,
            workflow=call.request.workflow,
            step=step.name,
            tool=call.request.tool,
            subject=run.subject,
            requester=run.requester,
            approvers=question.approvers,
            quorum=question.quorum,
            requested_at=now,
            expires_at=now + question.within,
            needs=tuple(rule.needs for rule in question.rules),
            deny_quorum=question.deny_quorum,
            use_within=question.use_within,
            basis=question.basis,
            shown={
                "arguments": call.told.shown,
                "order": member_order(call.told.shown),
                "redacted": call.told.redacted,
                "personal": dict(call.told.personal),
                "destinations": _shown(call),
                "because": [call.told.unsaid(found.detail) for found in decision.findings],
                "people": _everybody(question),
                "members": [[None if who is None else [*who] for who in rule] for rule in question.people],
                "why": [*dict.fromkeys(text for rule in question.rules for text in rule.because)],
                "meaning": meanings({k: path for rule in question.rules for k, path in rule.show.items()}, call, run),
                "call": stored(gate.name, call.request.in_order, known_by, secret=bool(call.told.redacted)),
            },
        )
        data = record(
            "approval",
            now,
            decision_id=decision_id,
            **about_question(request),
            outcome=str(ApprovalStatus.PENDING),
            why=f"asks {question.quorum} of {', '.join(question.approvers)} until {rfc3339(request.expires_at)}",
        )
        row: ApprovalRow = yield Wait(guard.ledger.ask(request, data))
        deadline = asked.deadline if asked is not None else now + (guard.wait or timedelta(0))
        asked = Question(row, deadline, guard.bundle.revision)
    # Of answers that came since the facts were gathered, the call is decided again at once.
    known = facts.approval
    seen = len(known.answers) if isinstance(known, ApprovalState) and known.id == asked.row.request.id else 0
    if len(asked.row.answers) != seen:
        return asked
    while True:
        at = guard.now()
        if isinstance(at, Unavailable) or at >= asked.deadline:
            raise ApprovalPending(decision_id, asked.row.request.id)
        match asked.row.status(at):
            case ApprovalStatus.PENDING | ApprovalStatus.APPROVED:
                pass
            case ApprovalStatus.EXPIRED | ApprovalStatus.CANCELLED:
                raise ApprovalRefused(decision_id)
            case _:
                return asked
        yield Pause(LOOK_EVERY_SECONDS)
        fresh = yield Wait(guard.ledger.approval(asked.row.request.id))
        if isinstance(fresh, ApprovalRow):
            asked = replace(asked, row=fresh)
            if len(fresh.answers) != seen:
                return asked
        if (yield from _moved(guard, run, facts, asked, gate.tool)):
            return asked


def unanswered(guard: Engine, admission: Admission, approval_id: str) -> Generator[Ask, Any, ToolCallRefused]:
    """Why a call that waited does not run under its approval. Nobody is asked anew: whoever goes on asked for that
    call, and no other."""
    row = yield Wait(guard.ledger.approval(approval_id))
    status = row.status(guard.last_known_time) if isinstance(row, ApprovalRow) else None
    if status is ApprovalStatus.PENDING:
        return ApprovalPending(admission.decision_id, approval_id)
    if status in (ApprovalStatus.EXPIRED, ApprovalStatus.CANCELLED):
        return ApprovalRefused(admission.decision_id)
    return ToolCallDenied(admission.decision_id)


def _moved(guard: Engine, run: RunState, facts: Facts, asked: Question, tool: str) -> Generator[Ask, Any, bool]:
    """Whether somebody took power from a waiting call, or gave it back: then it is decided again at once.

    What the run's own other calls change can wait for the answer; it is judged then with everything else.
    """
    if asked.revision != guard.bundle.revision:
        return True
    fresh = yield Wait(guard.ledger.run(run.id, at=guard.last_known_time, windows={}))
    if not isinstance(fresh, RunState) or any(getattr(fresh, name) != getattr(run, name) for name in _POWER):
        return True
    inactive = yield from inactive_credentials(guard, tool)
    return inactive != facts.credentials_revoked


_POWER = ("status", "risk", "subject_suspended", "issued_after", "credential_refused")


def _everybody(question: Asks) -> Json:
    """Everybody whose yes counts, for those who are asked; None where anybody's does. The decision judges again."""
    found = [people for rule in question.people for people in rule]
    known = [people for people in found if people is not None]
    return None if len(known) < len(found) else [*sorted({name for people in known for name in people})]


def _shown(call: Call) -> Json:
    if isinstance(call.destinations, Unavailable):
        return []
    return [
        {
            "kind": p.kind,
            "id": call.told.unsaid(p.said),
            "sensitivity": "unclassified" if p.sensitivity is None else p.sensitivity.word,
        }
        for p in call.destinations
    ]
