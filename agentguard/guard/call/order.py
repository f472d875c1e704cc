"""The order of events of one guarded call, written once.

A generator that asks for what it needs (``Wait``, ``Identify``, ``Pause``, ``RunTool``), driven synchronously
and asynchronously by ``drive``. In order:

1. Arguments become bytes: as they were given, and canonical. Destinations are derived, and put back in canonical form
   where the tool is given that. What the tool gets is read from the bytes, so that nothing can fail after the permit.
2. Facts are gathered: identity by a fresh assertion, the run, approvals, credentials, the clock.
3. ``core.decide``.
   Of a run that is observed, ``core.observing`` says which decisions are enforced: nobody else does.
4. ``ledger.admit``: one transaction. If the world has moved, gather and decide again.
   The first look may use the run as this guard saw it last: ``admit`` permits nothing by a state that has changed
   since. Everything but a permit is decided again on what the ledger says now.
5. A denial is raised; an escalation asks a person and starts again at 2 once somebody answered, or took power away.
   A call that was made before, by the same id of the same message, is decided all the same and takes nothing: its
   caller is told what came of the first, and its tool does not run, unless it had interrupted itself.
6. Only after a durable permit does the tool run, with what was read from the bytes in 1.
7. The outcome is written.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from agentguard.core.facts import MadeBefore, RunState
from agentguard.core.reasons import Reason
from agentguard.core.values import Effect, Identity, Unavailable
from agentguard.errors import ApprovalRefused, ToolCallDenied
from agentguard.guard.arguments.given import Given
from agentguard.guard.arguments.late import Late
from agentguard.guard.asks import Ask, Events, Wait
from agentguard.guard.call.admission import admission_of
from agentguard.guard.call.again import as_made, first_admission, is_continued, is_repetition, told_again
from agentguard.guard.call.gather import run_state
from agentguard.guard.call.judge import Judged, judge_filled
from agentguard.guard.call.outcome import Attempt, Suspends, keeps_of, never, perform
from agentguard.guard.call.plan import GuardedTool
from agentguard.guard.call.prepare import Call, ReadArguments, left_out
from agentguard.guard.call.question import Question, ask, unanswered
from agentguard.guard.engine import Engine, Hears
from agentguard.guard.noted import Decided, is_noted, note
from agentguard.guard.records import new_id, record, storable
from agentguard.guard.run import RunContext
from agentguard.guard.turns import CallRef, key_of
from agentguard.ledger import Admission, Admitted, Promise, Refusal, Refused, Unstorable
from agentguard.policy import Bundle

# Each round at least one other call of the run is admitted, so this many rounds serve this many parallel calls.
MAX_ROUNDS = 2_000
NO_WINDOWS: Mapping[str, timedelta | None] = MappingProxyType({})


def events(
    guard: Engine,
    gate: GuardedTool,
    arguments: Given | Late | Unavailable,
    call_id: str | None,
    context: RunContext | None,
    *,
    streamed: bool = False,
    suspends: Suspends = never,
) -> Events:
    """All events of one call. Returns what the tool returned. Raises a ``ToolCallRefused`` where it
    may not run, a ``LedgerError`` where that could not be recorded, and the tool's own exceptions as they are.

    ``arguments`` that could not even be read are denied here, with a record. ``streamed``: what the tool gives out is
    not seen here. ``suspends``: whether what the tool raised says that it interrupted itself.
    """
    read = ReadArguments.read(arguments) if isinstance(arguments, Given) else arguments
    return _events(guard, gate, read, call_id, context, Attempt(guard, context, streamed, suspends=suspends))


def _events(
    guard: Engine,
    gate: GuardedTool,
    arguments: ReadArguments | Late | Unavailable,
    call_id: str | None,
    context: RunContext | None,
    attempt: Attempt,
) -> Events:
    try:
        key = None if context is None else key_of(call_id, context.id)
        known_by, only = call_id, call_id.approval if isinstance(call_id, CallRef) else None
        call_id = storable(call_id) if isinstance(call_id, str) else None
        made: MadeBefore | None = None
        call: Call | None = None
        identity: Identity | Unavailable | None = None
        asked: Question | None = None
        for look in range(MAX_ROUNDS):
            bundle = guard.bundle
            known = None if look or context is None else context.recall()
            run = guard.with_untold(known or (yield from run_state(guard, context)))
            if key is not None and known is None:
                made = yield Wait(guard.ledger.made(key))
            # 1 to 3
            judged = yield from judge_filled(guard, gate, arguments, call_id, context, run, identity, made, only)
            if guard.bundle is not bundle:
                identity = None  # a reload in the middle: all of it again, by the new bundle alone
                continue
            call, facts, decision, identity = judged.call, judged.facts, judged.decision, judged.identity
            if known is not None and decision.effect is not Effect.PERMIT:
                continue
            # 4
            observed = (
                judged.unenforced(bundle.policy) if isinstance(run, RunState) and run.observed is not None else None
            )
            admission = admission_of(
                guard,
                gate,
                call,
                bundle.policy,
                facts,
                decision,
                readable=judged.readable,
                observed=observed,
                seen=None if context is None or observed is None else context.seen_in,
            )
            if key is not None:
                admission = as_made(admission, key, call.request.digest, made)
                attempt.made, attempt.keeps_answer = admission.made, call.plan.keeps_answers
            if admission.permit:
                attempt.keeps = keeps_of(bundle, admission)
                if attempt.keeps:
                    admission = replace(admission, keeps=frozenset(keep.name for keep in attempt.keeps))
                attempt.admission = admission
            elif is_continued(admission):
                attempt.admission = first_admission(admission)
                attempt.keeps = keeps_of(bundle, attempt.admission)
            windows = {charge.budget: charge.per for charge in admission.charges} if admission.charges else NO_WINDOWS
            admitted: Promise[Admitted | Refused] | None = None
            try:  # asked inside: where Python enters a `try` inside another, it is for a moment in neither
                admitted = guard.ledger.admit(admission, windows=windows)
                answer = admitted.result() if admitted.done else (yield Wait(admitted))
            except Unstorable:
                arguments, identity, attempt.admission = left_out(arguments), None, None
                continue
            except BaseException:  # interrupted while it waited: what was decided stands
                if guard.beside is not None and made is None:
                    _hear(guard.beside, bundle, gate, judged, admission, admitted, fresh=known is None)
                raise
            if not isinstance(answer, Admitted):
                attempt.admission = None
                if answer.reason is Refusal.ASSERTION_USED:
                    identity = Unavailable(Reason.ASSERTION_REPLAYED, "this assertion has been used before")
                continue
            attempt.saw(answer)
            attempt.follow(bundle.policy, call.request, answer)
            if is_noted():
                note(guard, Decided(admission.decision_id, gate.tool, decision.effect, call_id))
            if is_repetition(admission):
                if attempt.admission is not None:
                    return (yield from perform(attempt, call))
                return (yield from told_again(guard, admission))
            if guard.beside is not None and made is None:
                _hear(guard.beside, bundle, gate, judged, admission, admitted, fresh=known is None)
            # 6 and 7
            if admission.permit:
                return (yield from perform(attempt, call))
            # 5
            if decision.effect is Effect.ESCALATE:
                identity = None  # proved again after the wait
                if only is not None:
                    raise (yield from unanswered(guard, admission, only))
                try:
                    asked = yield from ask(guard, admission, decision, call, facts, asked, gate, known_by)
                except Unstorable:
                    arguments = left_out(arguments)
                continue
            if judged.error is not None:
                raise judged.error
            refused = ApprovalRefused if Reason.APPROVAL_REFUSED in decision.reasons else ToolCallDenied
            denial = refused(admission.decision_id, admission.record["hint"])
            if judged.misread is not None and isinstance(arguments, Late):
                told = arguments.told(judged.misread, denial)
                if told is judged.misread:
                    raise told
                raise told from judged.misread
            raise denial
        yield from _give_up(guard, gate, call)
    except BaseException as error:
        attempt.broke(error)
        raise


def _hear(
    beside: Hears,
    bundle: Bundle,
    gate: GuardedTool,
    judged: Judged,
    admission: Admission,
    admitted: Promise[Admitted | Refused] | None,
    *,
    fresh: bool,
) -> None:
    """Tell whoever judges beside, if the decision stands."""
    if admitted is None or not admitted.done or admitted.exception() is not None:
        return
    answer = admitted.result()
    if isinstance(answer, Admitted):
        beside.hear(bundle, gate, judged, admission, answer.run, fresh)


def _give_up(guard: Engine, gate: GuardedTool, call: Call | None) -> Generator[Ask, Any, None]:
    """The run kept moving under this call. Deny, with a record of its own."""
    decision_id, at = new_id("d"), guard.last_known_time
    data = record(
        "decision",
        at,
        decision_id=decision_id,
        effect=str(Effect.DENY),
        enforced=True,
        reasons=[str(Reason.CONFLICT)],
        tool=gate.tool,
        framework=gate.framework,
        run_id=None if call is None else call.request.run_id or None,
        request_digest=None if call is None else call.request.digest,
    )
    yield Wait(guard.ledger.append(data))
    raise ToolCallDenied(decision_id)
