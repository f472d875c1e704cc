"""One imagined call, judged as a real one would be: for decision cases, ``explain`` and the pytest plugin.

Nothing runs and nothing is written. The call is prepared and judged by the code of the order of events; identity, run
and answers are as the case says. A case that tells a story has that played first, on a ledger in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from agentguard.core.case import unpack
from agentguard.core.decision import Decision
from agentguard.core.facts import Facts, RunState
from agentguard.core.hints import hint_for
from agentguard.core.paths import Path
from agentguard.core.policy import Policy
from agentguard.core.provenance import UNKNOWN, Trail
from agentguard.core.request import Request
from agentguard.core.values import Destination, Effect, Json, Unavailable
from agentguard.guard.imagined import World
from agentguard.guard.in_force import UsableBundle
from agentguard.guard.story import told
from agentguard.policy.cases import Case
from agentguard.policy.cel.conditions import CompiledCondition


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case, the decision it got, what that was taken on, and how it differs from what was expected.

    ``shown``: the arguments without declared secrets. ``origins``: in words, where each argument came from, as far as
    the case says what tools returned. ``hint``: what the model is told beside the refusal.
    ``played``: the steps of the case's story; ``run``: how the run stands after it. ``costs``: by step and condition,
    the steps that its loops take.
    """

    case: Case
    decision: Decision
    request: Request
    shown: Json
    destinations: tuple[Destination, ...] | Unavailable
    at: datetime
    origins: Mapping[str, list[str]]
    problems: tuple[str, ...]
    hint: str | None = None
    played: frozenset[str] = frozenset()
    costs: tuple[tuple[str, str, int], ...] = ()
    run: RunState | None = None

    @property
    def passed(self) -> bool:
        """Whether the decision is the one expected."""
        return not self.problems


def evaluate(usable: UsableBundle, case: Case, *, now: datetime) -> CaseResult:
    """Decide one case. ``now`` is used where the case says no time.

    Raises ConfigurationError for a case that could not be: no such workflow, values that are not JSON, inputs that no
    run could be started with, a story with a call that would be refused.
    """
    world = World(usable, case, case.now or now)
    run = told(world) if case.run.calls else world.run()
    call, facts, decision = world.judged(
        case.call.tool,
        case.call.arguments,
        run,
        as_said=True,
        answers=lambda _: case.answers,
        destinations=case.call.destinations,
    )
    return CaseResult(
        case=case,
        decision=decision,
        request=call.request,
        shown=call.told.shown,
        destinations=call.destinations,
        at=world.at,
        origins=_origins(facts, call.request, world.workflow.places),
        problems=tuple(_differences(case, decision)),
        played=frozenset(run.counts) if case.run.calls else frozenset(),
        run=run if case.run.calls else None,
        hint=hint_for(world.workflow, call.request.tool, run) if decision.effect is Effect.DENY else None,
        costs=tuple(_costs(call.request, usable.bundle.policy, facts, case.workflow)),
    )


def _costs(request: Request, policy: Policy, facts: Facts, workflow: str) -> Iterator[tuple[str, str, int]]:
    """What the loops of the conditions cost that this call is judged by."""
    view = unpack(request, policy, facts).view
    for step in policy.workflows[workflow].steps_by_tool.get(request.tool, ()):
        for condition in step.require:
            steps = condition.cost(view) if isinstance(condition, CompiledCondition) else None
            if steps:
                yield step.name, condition.text, steps


def _origins(facts: Facts, request: Request, places: Mapping[str, Path]) -> dict[str, list[str]]:
    run = facts.run
    if isinstance(run, Unavailable):
        return {}
    trail = Trail(run.inputs, run.kept, run.seen, places, request.arguments)
    as_called = facts.as_called or request.arguments
    found = {name: trail.origins(value, as_called[name]) for name, value in request.arguments.items()}
    return {name: [UNKNOWN] if origins is None else origins.words for name, origins in found.items()}


def _differences(case: Case, decision: Decision) -> list[str]:
    wanted, found = case.expect, decision
    differences = []
    if found.effect is not wanted.effect:
        under = f" (step `{found.step.name}`)" if found.step is not None and found.effect is Effect.PERMIT else ""
        differences.append(f"expected {wanted.effect}, found {found.effect}{under}")
    missing = sorted(set(wanted.reasons) - set(found.reasons))
    if missing:
        # What another step would ask people is no reason for a refusal.
        counted = [each.reason for each in found.findings if each.effect is found.effect or each.effect is Effect.DENY]
        given = ", ".join(sorted(set(counted))) or "no reason"
        differences.append(f"expected {', '.join(missing)}, found {given}")
    step_found = None if found.step is None else found.step.name
    if wanted.step is not None and wanted.step != step_found:
        differences.append(
            f"expected step `{wanted.step}`, found {'none' if step_found is None else f'`{step_found}`'}"
        )
    return differences
