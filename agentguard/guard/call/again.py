"""A call that was made before, by the same id of the same message: what is admitted of it, and what its caller is
told.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from agentguard.core.facts import CallStatus, MadeBefore
from agentguard.errors import CallRepeated
from agentguard.guard.answers import from_kept
from agentguard.guard.asks import Ask, Wait
from agentguard.guard.engine import Engine
from agentguard.guard.records import REPETITION
from agentguard.ledger import Admission, MadeCall


def as_made(admission: Admission, key: str, digest: str, made: MadeBefore | None) -> Admission:
    """The admission, with how its call is known again. Where it is an earlier one, it takes nothing."""
    if made is None:
        return replace(admission, made=MadeCall(key, digest)) if admission.permit else admission
    if not (admission.permit or admission.record["kind"] == REPETITION):
        return admission
    data = admission.record
    # An observed call runs whatever is said of it, once.
    data["kind"], data["repeats"], data["step"] = REPETITION, made.decision_id, made.step or None
    return replace(
        admission, permit=False, step=made.step, step_at_most=None, charges=(), approval_id=None, read_sensitivity=None,
        zones=frozenset(), watches=(), first_uses=(), tallies=(), observed=None,
        made=MadeCall(key, digest, made, continues=made.status is CallStatus.SUSPENDED),
    )  # fmt: skip


def is_repetition(admission: Admission) -> bool:
    """Whether it is a call that was made before, and is not denied."""
    return admission.made is not None and admission.made.sees is not None


def is_continued(admission: Admission) -> bool:
    """Whether the tool of this call interrupted itself before, and is entered again."""
    return admission.made is not None and admission.made.continues


def first_admission(admission: Admission) -> Admission:
    """The admission under which a suspended call goes on: that of the first."""
    first = admission.record["repeats"]
    return replace(admission, decision_id=first, record={**admission.record, "decision_id": first})


def told_again(guard: Engine, admission: Admission) -> Generator[Ask, Any, Any]:
    """What the first call gave out, made anew. Raises CallRepeated where that cannot be told."""
    made = None if admission.made is None else admission.made.sees
    if made is None:
        raise TypeError("this is no call that was made before")
    if made.answered:
        text = yield Wait(guard.ledger.answer_of(made.decision_id))
        if text is not None:
            return from_kept(text)
    raise CallRepeated(admission.decision_id, made.decision_id, str(made.status))
