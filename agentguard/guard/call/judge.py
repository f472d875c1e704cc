"""1 to 3. One call prepared, its facts gathered, and decided: once for each way in which steps of its tool fill it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from agentguard.core.decide import best_of, decide
from agentguard.core.decision import Decision, Finding
from agentguard.core.facts import Facts, MadeBefore, RunState
from agentguard.core.observing import Unenforced, is_observed, unenforced
from agentguard.core.policy import Policy
from agentguard.core.values import Effect, Identity, Unavailable
from agentguard.guard.arguments.late import Late
from agentguard.guard.asks import Ask, Identify
from agentguard.guard.call.fill import Filled, filled
from agentguard.guard.call.gather import NOTHING_LOOKED_UP, facts_of, look_up
from agentguard.guard.call.plan import GuardedTool
from agentguard.guard.call.prepare import Call, ReadArguments, prepare
from agentguard.guard.engine import Engine
from agentguard.guard.run import RunContext


class Judged(NamedTuple):
    """A call, what is known of it, and the decision.

    ``error``: what the caller gets instead of a denial. ``misread``: what reading the arguments raised, where
    they could be read in no way. ``identity``: what was proved for the first way of filling, for the next look.
    """

    call: Call
    facts: Facts
    decision: Decision
    error: Exception | None
    readable: bool
    misread: Exception | None
    identity: Identity | Unavailable

    def unenforced(self, policy: Policy) -> Unenforced | None:
        """How the call runs all the same, because its run is observed; None: its decision is enforced."""
        call = self.call
        readable = self.readable and call.unread is None and call.error is None
        return unenforced(call.request, policy, self.facts, self.decision, readable=readable)


def judge_filled(
    guard: Engine,
    gate: GuardedTool,
    arguments: ReadArguments | Late | Unavailable,
    call_id: str | None,
    context: RunContext | None,
    run: RunState | Unavailable,
    identity: Identity | Unavailable | None,
    made: MadeBefore | None = None,
    only: str | None = None,
) -> Generator[Ask, Any, Judged]:
    """Judge one call, by no other approval than ``only`` where one is named.

    Where several ways of filling it are judged, the one that stands is what all of them come to.
    """
    policy, workflow = guard.bundle.policy, "" if context is None else context.workflow
    found: list[Judged] = []
    readings = (
        filled(policy, workflow, gate.tool, arguments, run) if isinstance(arguments, Late) else (Filled(arguments),)
    )
    for reading in readings:
        proved = identity if not found else _still_proved(found[-1].identity)
        call = prepare(guard, gate, reading.arguments, call_id, context, run, reading.filling, reading.names)
        now: datetime | Unavailable | None = None
        if proved is None:
            subject = run.subject if isinstance(run, RunState) else None
            now = guard.now()
            proved = guard.identity_at_once(call.request.digest, subject, now)
            if proved is None:
                now, proved = None, (yield Identify(call.request.digest, subject))
        looked = NOTHING_LOOKED_UP
        if call.plan.looks or call.destinations:
            looked = yield from look_up(guard, gate, call, only)
            now = None if looked is not NOTHING_LOOKED_UP else now
        facts = facts_of(guard, gate, call, run, proved, now, looked, made)
        decision, error = judge(call, call.plan.policy, facts)
        readable = not isinstance(reading.arguments, Unavailable)
        found.append(Judged(call, facts, decision, error, readable, reading.error, proved))
    known = policy.workflows.get(workflow)
    if len(found) == 1 or known is None:
        return found[0]
    return _standing(found, best_of([each.decision for each in found], known))


def _still_proved(identity: Identity | Unavailable) -> Identity | Unavailable | None:
    """A proof of one call is none of another: the same arguments, filled otherwise, are another call."""
    return identity if isinstance(identity, Unavailable) or identity.bound_to is None else None


def _standing(found: Sequence[Judged], best: tuple[int, Decision]) -> Judged:
    at, decision = best
    if decision.effect is not Effect.DENY:
        return found[at]._replace(identity=found[0].identity)
    # The record shows a call that could be read, and the caller is told of a mistake only where there is no other.
    read = next((each for each in found if each.misread is None and each.readable), None)
    chosen = read or next((each for each in found if each.misread is None), found[0])
    return chosen._replace(decision=decision, identity=found[0].identity)


def judge(call: Call, policy: Policy, facts: Facts) -> tuple[Decision, Exception | None]:
    """The decision, and the error that the caller gets instead of a denial."""
    decision = decide(call.request, policy, facts)
    problem, error = call.problem, call.error
    if problem is None and (decision.effect is Effect.PERMIT or is_observed(call.request, policy, facts, decision)):
        problem = call.impossible  # people may be asked all the same: the same call can be made in another way
    if problem is None:
        return decision, None
    finding = Finding(Effect.DENY, problem.reason, problem.detail)
    return Decision(Effect.DENY, (*decision.findings, finding)), error
