"""The story that a case tells: earlier calls, played on a ledger in memory by the code of a real call.

Each call is prepared, judged, admitted and closed as in the order of events; only its tool is imagined: it gives out
what the story says. What was done, counted, kept, spent and seen is then what the ledger says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agentguard.core.facts import RunState, RunStatus
from agentguard.core.values import Effect
from agentguard.errors import ConfigurationError
from agentguard.guard.asks import Look
from agentguard.guard.call.admission import admission_of
from agentguard.guard.call.outcome import Attempt, keeps_of, perform
from agentguard.guard.imagined import World
from agentguard.guard.records import record
from agentguard.ledger import Admitted
from agentguard.policy.cases import CaseAnswer, CaseCalled


class ToolFailed(Exception):
    """What an imagined tool raises."""


def told(world: World) -> RunState:
    """The run after the story, and over it what the case says outright. Raises ConfigurationError with the place of
    the first call that would be refused."""
    start = replace(world.first_state(), status=RunStatus.ACTIVE)
    ledger = world.engine.ledger
    ledger.start_run(start, record("run", world.at, run_id=start.id, workflow=start.workflow)).result()
    for number, called in enumerate(world.case.run.calls, 1):
        _play(world, number, called)
    return world.with_what_is_said(_state(world))


def _state(world: World) -> RunState:
    windows = {budget.name: budget.per for budget in world.workflow.budgets}
    found = world.engine.ledger.run(world.context.id, at=world.at, windows=windows).result()
    if found is None:
        raise ConfigurationError("the run of this story is gone")
    return found


def _play(world: World, number: int, called: CaseCalled) -> None:
    engine, policy = world.engine, world.policy
    run = world.with_contacts(_state(world))
    approved = tuple(CaseAnswer(person, True) for person in called.approved_by)
    call, facts, decision = world.judged(
        called.tool,
        called.arguments,
        run,
        as_said=False,
        answers=lambda decision: approved if approved and decision.effect is Effect.ESCALATE else None,
    )
    if decision.effect is not Effect.PERMIT:
        raise ConfigurationError(
            _refused(world, number, called, decision.effect, [f.detail for f in decision.findings])
        )
    admission = admission_of(engine, world.gate(called.tool), call, policy, facts, decision, readable=True)
    # The question was imagined, so there is none in the ledger that could be used up.
    admission = replace(admission, approval_id=None)
    keeps = keeps_of(engine.bundle, admission)
    admission = replace(admission, keeps=frozenset(keep.name for keep in keeps))
    windows = {charge.budget: charge.per for charge in admission.charges}
    answer = engine.ledger.admit(admission, windows=windows).result()
    if not isinstance(answer, Admitted):
        raise ConfigurationError(_refused(world, number, called, Effect.DENY, [str(answer.reason)]))
    attempt = Attempt(engine, None, streamed=False, admission=admission, keeps=keeps)
    attempt.follow(policy, call.request, answer)
    _perform(attempt, call, called)


def _perform(attempt: Attempt, call: Any, called: CaseCalled) -> None:
    """The tool gives out what the story says."""
    events = perform(attempt, call)
    reply: Any = None
    try:
        ask = events.send(None)
        while True:
            if isinstance(ask, Look):
                reply = ask.work()
            elif called.error is not None:
                error = ToolFailed(called.error)
                attempt.broke(error)
                return
            else:
                reply = called.result
            ask = events.send(reply)
    except StopIteration:
        return
    finally:
        events.close()


def _refused(world: World, number: int, called: CaseCalled, effect: Effect, why: list[str]) -> str:
    what = "asks a person; add `approved_by`" if effect is Effect.ESCALATE else "would be refused"
    reason = f": {'; '.join(why[:3])}" if why else ""
    return f"{world.case.file}:{called.line}: call {number} of the story (`{called.tool}`) {what}{reason}"
