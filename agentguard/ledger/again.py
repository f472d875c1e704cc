"""How the fold knows a call again that is made a second time.

A call has an id in the message it stands in. Its run, its message and its id have one name (``MadeCell``); the first
call that is admitted under it takes the name, and its outcome says there how it ended. What the call gave out is a
private part of the outcome's record; the run counts how much of that there is (``AnswersCell``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentguard.core.facts import CallStatus
from agentguard.core.values import Json
from agentguard.ledger import cells
from agentguard.ledger.cells import AnswersCell, CallCell, Cells, MadeCell

Private = Mapping[str, Json]


def of_run(at: Cells, run_id: str) -> AnswersCell:
    """What a run keeps of calls that may be made again."""
    return at.get((cells.ANSWERS, run_id)) or AnswersCell()  # type: ignore[return-value]


def made(at: Cells, number: int, private: Private, decision_id: str, key: str, digest: str, did_nothing: bool) -> None:
    """An admitted call takes the name of its run, message and id."""
    call = at.get((cells.CALL, decision_id))
    if isinstance(call, CallCell):
        at.put((cells.CALL, decision_id), call._replace(made=key))
        cell = MadeCell(decision_id, call.run_id, digest, call.step, str(CallStatus.RUNNING), did_nothing)
        at.put((cells.MADE, key), cell)


def kept(at: Cells, number: int, private: Private, decision_id: str, run_id: str, kib: int) -> None:
    """What an open call gave out is kept beside the record of its outcome."""
    call, cell = _open(at, decision_id)
    if call is not None and cell is not None:
        at.put((cells.MADE, call.made), cell._replace(answered=True))
        known = of_run(at, run_id)
        at.put((cells.ANSWERS, run_id), known._replace(kib=known.kib + kib, kept=(*known.kept, decision_id)))


def unmade(at: Cells, number: int, private: Private, decision_id: str) -> None:
    """The tool of an open call never started: the same call may be made again."""
    call, cell = _open(at, decision_id)
    if call is not None and cell is not None:
        at.put((cells.MADE, call.made), None)
        at.put((cells.CALL, decision_id), call._replace(made=""))


def ended(at: Cells, call: CallCell, decision_id: str, outcome: str) -> None:
    """A call has its outcome, from its tool or from a person. A failure that did nothing gives the name back."""
    cell = at.get((cells.MADE, call.made))
    if not isinstance(cell, MadeCell) or cell.decision_id != decision_id:
        return
    gone = outcome == CallStatus.FAILED and cell.did_nothing
    at.put((cells.MADE, call.made), None if gone else cell._replace(status=outcome))
    _let_go(at, call.run_id, decision_id)


def suspended(at: Cells, number: int, private: Private, decision_id: str) -> None:
    """The tool of an open call interrupted itself. Nobody is at it until the same call is made again."""
    call, cell = _open(at, decision_id)
    if call is None or cell is None or cell.status != CallStatus.RUNNING:
        return
    at.put((cells.CALL, decision_id), call._replace(owner=""))
    at.put((cells.MADE, call.made), cell._replace(status=str(CallStatus.SUSPENDED)))
    known = of_run(at, call.run_id)
    at.put((cells.ANSWERS, call.run_id), known._replace(suspended=(*known.suspended, decision_id)))


def continued(at: Cells, number: int, private: Private, decision_id: str, owner: str) -> None:
    """The tool of a suspended call is entered again."""
    call, cell = _open(at, decision_id)
    if call is None or cell is None or cell.status != CallStatus.SUSPENDED:
        return
    at.put((cells.CALL, decision_id), call._replace(owner=owner))
    at.put((cells.MADE, call.made), cell._replace(status=str(CallStatus.RUNNING)))
    _let_go(at, call.run_id, decision_id)


def _open(at: Cells, decision_id: str) -> tuple[CallCell | None, MadeCell | None]:
    call: Any = at.get((cells.CALL, decision_id))
    cell: Any = None if call is None or not call.made else at.get((cells.MADE, call.made))
    return call, cell if cell is not None and cell.decision_id == decision_id else None


def _let_go(at: Cells, run_id: str, decision_id: str) -> None:
    known = at.get((cells.ANSWERS, run_id))
    if isinstance(known, AnswersCell) and decision_id in known.suspended:
        left = tuple(each for each in known.suspended if each != decision_id)
        at.put((cells.ANSWERS, run_id), known._replace(suspended=left))
