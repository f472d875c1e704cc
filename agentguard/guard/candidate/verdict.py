"""What the candidate says of a call that the live policy has decided: by the live run's facts, and by nothing else.

It is prepared and judged by the code of a real call. Nothing is asked of anybody, nothing is taken from the ledger and
nothing is written: no assertion, budget or approval is spent twice. What the run lacks makes it a call that *cannot be
judged*, unless what is known decides it already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from agentguard.core.canonical import read_canonical
from agentguard.core.decide import best_of
from agentguard.core.decision import Decision, Finding
from agentguard.core.facts import ApprovalState, Facts, RunState
from agentguard.core.policy import Policy, Step, Workflow
from agentguard.core.reasons import Reason
from agentguard.core.values import Effect, Identity, Unavailable
from agentguard.guard.arguments.given import Given
from agentguard.guard.arguments.late import Change, Filler, Late, as_raised
from agentguard.guard.call.fill import filled
from agentguard.guard.call.judge import Judged, judge
from agentguard.guard.call.plan import GuardedTool
from agentguard.guard.call.prepare import Call, prepare
from agentguard.guard.candidate.lacks import (
    Lack,
    lacks_of,
    lacks_of_idling,
    lacks_of_the_call,
    lacks_of_the_way,
)
from agentguard.guard.engine import Engine
from agentguard.guard.identities import Verification
from agentguard.guard.in_force import InForce, UsableBundle
from agentguard.guard.run import RunContext
from agentguard.ledger import memory_ledger
from agentguard.policy import Bundle

# Steps of which it is remembered what a run lacks for them.
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Heard:
    """A call as it was decided: by which bundle, as what tool, when, with what is known of it.

    ``spent``: what the run's budgets held before it; one with a window that nobody looked up is missing.
    """

    live: Bundle
    gate: GuardedTool
    judged: Judged
    decision_id: str
    at: datetime
    spent: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the candidate says. ``effect`` None: it cannot be judged, for want of ``lacks``."""

    effect: Effect | None
    decision: Decision
    call: Call
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Held:
    current: InForce


class Candidate:
    """One bundle that is tried out. A draft is taken as if it were in force."""

    def __init__(self, usable: UsableBundle, clock: Callable[[], datetime]) -> None:
        self.bundle = usable.bundle
        workflows = {name: replace(each, draft=False) for name, each in usable.bundle.policy.workflows.items()}
        self._policy: Policy = replace(usable.bundle.policy, workflows=workflows)
        held = _Held(InForce(usable, cast("Verification", None)))
        self._engine = Engine(held, memory_ledger(), clock=clock)
        self._lacks: dict[tuple[str, ...], tuple[Lack, ...]] = {}

    def _lacks_of(self, live: Bundle, workflow: Workflow, step: Step) -> tuple[Lack, ...]:
        key = ("step", live.revision, workflow.name, step.name)
        return self._remembered(key, lambda: lacks_of(live, self.bundle, workflow, step))

    def _of_the_way(self, live: Bundle, workflow: Workflow, tool: str, run: RunState | Unavailable) -> tuple[Lack, ...]:
        if not isinstance(run, RunState) or not run.counts:
            return ()  # it has been nowhere
        key = ("way", live.revision, workflow.name, tool)
        return self._remembered(key, lambda: lacks_of_the_way(live, self.bundle, workflow, tool))

    def _remembered(self, key: tuple[str, ...], find: Callable[[], tuple[Lack, ...]]) -> tuple[Lack, ...]:
        if key not in self._lacks:
            if len(self._lacks) > _MOST_REMEMBERED:
                self._lacks.clear()
            self._lacks[key] = find()
        return self._lacks[key]

    def judge(self, heard: Heard) -> Verdict:
        """What the candidate says of this call. May raise anything: the caller expects it."""
        live, facts = heard.judged.call, heard.judged.facts
        run, request = facts.run, live.request
        workflow = self._policy.workflows.get(request.workflow)
        tool = self.bundle.tool_by_alias.get(heard.gate.name, heard.gate.tool)
        if isinstance(run, RunState):
            run = self._as_here(run, heard, workflow)
        context = RunContext(self._engine, request.workflow, {}, None, request.run_id)
        found: list[tuple[Call, Decision]] = []
        for call in self._calls(heard, tool, context, run):
            decision, _ = judge(call, self._policy, self._facts(heard, call, run, tool))
            if live.problem is not None and call.problem is None:
                wrong = Finding(Effect.DENY, live.problem.reason, live.problem.detail)
                decision = Decision(Effect.DENY, (*decision.findings, wrong))
            found.append((call, decision))
        call, decision = found[0]
        if len(found) > 1 and workflow is not None:
            at, decision = best_of([each for _, each in found], workflow)
            call = found[at][0]
        return self._certain(heard, call, decision, workflow, tool)

    def _calls(self, heard: Heard, tool: str, context: RunContext, run: RunState | Unavailable) -> Sequence[Call]:
        gate = _Tool(tool, heard.gate.name, heard.gate.definition, heard.gate.framework)
        live = heard.judged.call
        if live.unread is not None:
            return [prepare(self._engine, gate, live.unread, None, context, run)]
        values: dict[str, Any] = read_canonical(live.request.in_order)

        def read(change: Change | None) -> Given:
            # What the guard would fill, the model would not be asked for.
            fills = change.filling.fills if isinstance(change, Filler) else {}
            left = {name: value for name, value in values.items() if name not in fills}
            return Given(left if change is None else change(left))

        readings = filled(self._policy, live.request.workflow, tool, Late(read, as_raised), run)
        return [prepare(self._engine, gate, each.arguments, None, context, run, each.filling) for each in readings]

    def _as_here(self, run: RunState, heard: Heard, workflow: Workflow | None) -> RunState:
        """The live run, as if it had begun under this bundle's version of its workflow."""
        known = heard.live.policy.workflows.get(run.workflow)
        same = known is not None and workflow is not None and run.workflow_digest == known.digest
        digest = workflow.digest if same and workflow is not None else run.workflow_digest
        return replace(run, workflow_digest=digest, spent=heard.spent)

    def _facts(self, heard: Heard, call: Call, run: RunState | Unavailable, tool: str) -> Facts:
        """The live facts. Who was proved for the live call, or agreed to it, was so for the same call here."""
        facts, live = heard.judged.facts, heard.judged.call.request
        identity, approval, inactive = facts.identity, facts.approval, facts.credentials_revoked
        if isinstance(identity, Identity) and identity.bound_to == live.digest:
            identity = replace(identity, bound_to=call.request.digest)
        if isinstance(approval, ApprovalState):
            mismatch = Reason.APPROVAL_MISMATCH in heard.judged.decision.reasons
            same = call.request.digest == live.digest and not mismatch
            approval = replace(approval, policy_revision=self._policy.revision, basis="") if same else None
        if not isinstance(inactive, Unavailable):
            declared = self.bundle.tools.get(tool)
            inactive = tuple(name for name in inactive if declared is not None and name in declared.credentials)
        return replace(
            facts, run=run, identity=identity, approval=approval, destinations=call.destinations,
            credentials_revoked=inactive, as_called=call.as_called, spellings=call.spellings,
            quotable={"args": call.told.shown}, unread=call.unread,
        )  # fmt: skip

    def _certain(self, heard: Heard, call: Call, decision: Decision, workflow: Workflow | None, tool: str) -> Verdict:
        """What is known decides it, or it cannot be judged."""
        if workflow is None or workflow.name not in heard.live.policy.workflows:
            return Verdict(decision.effect, decision, call)
        run = heard.judged.facts.run
        way = self._of_the_way(heard.live, workflow, tool, run)
        if isinstance(run, RunState) and run.counts and Reason.RUN_IDLE in decision.reasons:
            way = (*way, *lacks_of_idling(heard.live, workflow))
        unsure = frozenset().union(*(lack.of for lack in way))
        denied = [found for found in decision.findings if found.step is None and found.effect is Effect.DENY]
        if any(found.reason not in unsure for found in denied):
            return Verdict(decision.effect, decision, call)
        if denied:
            return Verdict(None, decision, call, tuple(lack.what for lack in way))
        lacks = list(lacks_of_the_call(heard.live, self.bundle, workflow, tool))
        shape = self.bundle.workflows_inputs.get(workflow.name)
        if shape is not None and isinstance(run, RunState) and shape.refusal(dict(run.inputs)) is not None:
            lacks.append("what its run would have been begun with")
        if lacks:
            return Verdict(None, decision, call, tuple(lacks))
        missing = {
            step.name: self._lacks_of(heard.live, workflow, step) + _windows(heard, workflow, step.name) + way
            for step in workflow.steps_by_tool.get(tool, ())
        }
        step = decision.step
        if step is not None and decision.effect is Effect.PERMIT and not missing[step.name]:
            return Verdict(decision.effect, decision, call)  # whatever another step says
        for name, lacking in missing.items():
            if lacking and not _refused_anyway(decision, name, lacking):
                return Verdict(None, decision, call, tuple(dict.fromkeys(lack.what for lack in lacking)))
        return Verdict(decision.effect, decision, call)


@dataclass(frozen=True, slots=True)
class _Tool:
    tool: str
    name: str
    definition: str
    framework: str


def _windows(heard: Heard, workflow: Workflow, step: str) -> tuple[Lack, ...]:
    return tuple(
        Lack(f"what budget `{budget.name}` held then", frozenset({Reason.BUDGET_EXCEEDED}))
        for budget in workflow.budgets
        if budget.per is not None and step in budget.steps and budget.name not in heard.spent
    )


def _refused_anyway(decision: Decision, step: str, missing: Sequence[Lack]) -> bool:
    """Whether a step is refused for a reason that rests on nothing unknown. Of a decision for another step, the
    findings of this one are not told."""
    soft = frozenset().union(*(lack.of for lack in missing))
    mine = [found for found in decision.findings if found.step == step and found.effect is Effect.DENY]
    return decision.effect is Effect.DENY and any(found.reason not in soft for found in mine)
