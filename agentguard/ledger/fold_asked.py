"""How the fold follows an approval request: asked, answered, lapsed or claimed, and how the call came out that used it.

A request that is open is among those its run waits for, so that the end of the run cancels it in the same append.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentguard.core.answers import ApprovalStatus
from agentguard.core.values import Json
from agentguard.ledger import cells
from agentguard.ledger.cells import ApprovalCell, AskedCell, CallCell, Cells, Private


def asked(
    at: Cells, number: int, private: Private, approval_id: str, digest: str, revision: str, run_id: str,
    requested: int, expires: int, body: Mapping[str, Json],
) -> None:  # fmt: skip
    """People are asked about a call."""
    shown: Any = private.get("shown")
    request = ApprovalCell(number, digest, revision, run_id, requested, expires, body, shown)
    at.put((cells.APPROVAL, approval_id), request)
    for place in ((cells.ASKED, digest), (cells.WAITS, run_id)):
        found = at.get(place)
        before = found.ids if isinstance(found, AskedCell) else ()
        at.put(place, AskedCell((*before, approval_id)))


def answered(at: Cells, approval_id: str, approver: str, approve: bool, when: int) -> str | None:
    """Somebody answered. The run that asked."""
    request = at.get((cells.APPROVAL, approval_id))
    if not isinstance(request, ApprovalCell):
        return None
    use_within: Any = request.body.get("use_within")
    until = request.expires_at
    if approve and use_within is not None:
        until = max(until, when + use_within)
    answers = (*request.answers, (approver, approve, when))
    at.put((cells.APPROVAL, approval_id), request._replace(answers=answers, expires_at=until))
    return request.run_id


def claimed(at: Cells, number: int, private: Private, approval_id: str, decision_id: str = "") -> None:
    """An admitted call uses a request up, and its outcome is the request's."""
    request = at.get((cells.APPROVAL, approval_id))
    if isinstance(request, ApprovalCell):
        at.put((cells.APPROVAL, approval_id), request._replace(consumed=True, claimed_by=decision_id))
    call = at.get((cells.CALL, decision_id))
    if isinstance(call, CallCell):
        at.put((cells.CALL, decision_id), call._replace(approval=approval_id))


def came_out(at: Cells, call: CallCell, outcome: str) -> None:
    """The call has its outcome, or a person says what it was."""
    request = at.get((cells.APPROVAL, call.approval))
    if isinstance(request, ApprovalCell):
        at.put((cells.APPROVAL, call.approval), request._replace(outcome=outcome))


def lapsed(at: Cells, number: int, private: Private, approval_id: str, word: str, when: int | None) -> None:
    """A request was cancelled or superseded, unless it was claimed or lapsed before."""
    request = at.get((cells.APPROVAL, approval_id))
    if isinstance(request, ApprovalCell) and not request.consumed and request.lapsed is None:
        at.put((cells.APPROVAL, approval_id), request._replace(lapsed=(word, when)))


def run_ended(at: Cells, run_id: str, when: int | None) -> None:
    """Nobody is asked about the calls of a run that has ended or was stopped."""
    waits = at.get((cells.WAITS, run_id))
    if isinstance(waits, AskedCell):
        at.put((cells.WAITS, run_id), None)
        for approval_id in waits.ids:
            lapsed(at, 0, {}, approval_id, str(ApprovalStatus.CANCELLED), when)
