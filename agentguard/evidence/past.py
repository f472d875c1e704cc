"""A past call decided anew under a bundle: by what is known of it, and never by a guess.

The call is prepared and judged by the code of the order of events, in the world of imagined calls. What the run was
like then is told from its calls in order: which steps they took, what came of them, what was kept and seen. What is not
known any more makes a call one that *cannot be judged*, unless what is known decides it already:

1. A step that looks at nothing unknown is judged as ever.
2. A step that is refused for a reason which rests on nothing unknown is refused.
3. What else looks at something unknown cannot be judged; where an earlier step of the tool permits, that stands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from agentguard.core.decision import Decision
from agentguard.core.facts import RunState, RunStatus
from agentguard.core.growing import Growth, after_growth
from agentguard.core.policy import Step, Workflow
from agentguard.core.provenance import NOTHING_SEEN, Brought, Mark, digests
from agentguard.core.reasons import Reason
from agentguard.core.tallies import NEVER
from agentguard.core.values import Assurance, Effect, Identity, Json, Risk, Sensitivity, ToolEffect
from agentguard.errors import ConfigurationError
from agentguard.evidence.traffic import PastCall, Ran
from agentguard.guard.imagined import World
from agentguard.guard.in_force import UsableBundle
from agentguard.policy.cases import Case, CaseAnswer, CaseCall, CaseIdentity, CaseRun, Expectation

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
# Reasons that may be another one where what the run kept, was given or had seen is known.
_SOFT = frozenset({
    Reason.CONDITION_FALSE, Reason.CONDITION_FAILED, Reason.PROVENANCE_UNMET, Reason.FILL_UNAVAILABLE,
    Reason.ARGUMENT_IS_FILLED, Reason.LINK_NOT_ALLOWED, Reason.ADDRESS_NOT_ALLOWED, Reason.TEXT_CARRIES,
    Reason.BUDGET_UNAVAILABLE, Reason.BUDGET_EXCEEDED, Reason.RUN_LOST_TRACK,
})  # fmt: skip
_SHAPES = frozenset({Reason.ARGUMENTS_INVALID})
INPUTS, KEPT, SEEN, ARGUMENTS = "its inputs", "what it kept", "what it had seen", "its arguments"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a past call is decided now. ``effect`` None: it can no longer be judged, for want of ``unknown``."""

    effect: Effect | None
    step: str | None
    reasons: tuple[str, ...]
    unknown: str = ""
    decision: Decision | None = None


@dataclass(slots=True)
class Progress:
    """One run, as far as it has come. ``known``: what is known of it of inputs, kept values and what was seen."""

    state: RunState
    known: set[str]
    calls: int = 0
    zones: frozenset[str] = frozenset()


@dataclass(slots=True)
class Facts:
    """What a record tells of a call beside the call: who proved what, how far the run was trusted, who agreed."""

    subject: str | None = None
    assurance: Assurance | None = None
    risk: Risk = Risk.LOW
    approved_by: tuple[str, ...] = ()
    kept: Mapping[str, Json] | None = field(default_factory=dict)
    grown: Sequence[Growth] = ()
    kept_names: Collection[str] = ()
    brought: Brought | None = None


class _Then(World):
    """The world of one workflow. Its time and its caller are those of the call that is judged."""

    caller: Facts = Facts()

    def _in_order(self, digest: str) -> Identity:
        ordinary = super()._in_order(digest)
        assurance = self.caller.assurance
        if self.caller.subject is None and assurance is None:
            return ordinary
        strength = ordinary.assurance if assurance is None else assurance
        bound = digest if strength is Assurance.CALL_BOUND else None
        return replace(ordinary, subject=self.caller.subject or ordinary.subject, assurance=strength, bound_to=bound)


class Judge:
    """Decides past calls of one workflow anew. Raises ConfigurationError where the bundle has no such workflow."""

    def __init__(self, usable: UsableBundle, workflow: str) -> None:
        self._world = _Then(usable, _case(workflow), _EPOCH)
        self._usable = usable
        self.workflow: Workflow = self._world.workflow
        self._spent: dict[str, deque[tuple[datetime, int]]] = {}

    def begin(self, inputs: Mapping[str, Json] | None, subject: str | None, requester: str | None) -> Progress:
        """A run as it begins. ``inputs`` None: nobody knows them."""
        shape = self._usable.bundle.workflows_inputs.get(self.workflow.name)
        known = {KEPT, SEEN}
        if (
            inputs is not None and (shape is None or shape.refusal(dict(inputs)) is None)
        ) or not self.workflow_has_inputs():
            known.add(INPUTS)
        state = RunState(
            id=self._world.context.id,
            workflow=self.workflow.name,
            workflow_digest=self.workflow.digest,
            subject=subject or min(self.workflow.subjects),
            status=RunStatus.ACTIVE,
            version=1,
            started_at=_EPOCH,
            requester=requester,
            inputs=dict(inputs or {}),
            salt="past",
        )
        return Progress(self._world.with_contacts(state), known)

    def go_on(self, run: Progress, before: Progress | None) -> bool:
        """Let a run count on from the earlier one of its key. False where that is not known."""
        if before is None:
            return False
        was, known = before.state, {SEEN} if not before.calls or not self.workflow.follows else set()
        tallies = {key: tally._replace(done=0) for key, tally in was.tallies.items()}
        run.state = replace(
            run.state, counts=was.counts, spent=was.spent, tallies=tallies, high_water=was.high_water, salt=was.salt
        )
        run.zones, run.calls = before.zones, before.calls
        run.known = (run.known - {SEEN}) | known
        return True

    def workflow_has_inputs(self) -> bool:
        """Whether a run of it is given any."""
        return bool(self._usable.bundle.full[self.workflow.name].content.get("inputs"))

    def decide(self, run: Progress, call: PastCall, facts: Facts) -> Verdict:
        """How this call would be decided, at its time, in its run as it was."""
        tool = self._usable.bundle.tool_by_alias.get(call.tool, call.tool)
        if call.hidden & self._looked_at(tool):
            return Verdict(None, None, (), ARGUMENTS)
        world = self._world
        world.at = call.at or world.at
        world.caller = facts
        missing = {INPUTS, KEPT, SEEN} - run.known
        # How old a run was is not known of every kind of traffic: nothing is said of `lasts` and `idle`.
        state = replace(run.state, risk=facts.risk, zones=run.zones, started_at=world.at)
        if call.seen_in is not None:
            before = state.seen if SEEN in run.known else NOTHING_SEEN
            state = replace(state, seen=replace(before, marks=(*before.marks, *self._as_seen(call))))
            missing.discard(SEEN)
        state = replace(state, spent=self._windows(state, world.at))
        answers = tuple(CaseAnswer(person, True) for person in facts.approved_by)
        try:
            _, _, decision = world.judged(
                call.tool, call.arguments, state, as_said=False,
                answers=lambda first: answers if answers and first.effect is Effect.ESCALATE else None,
            )  # fmt: skip
        except ConfigurationError:
            return Verdict(None, None, (), ARGUMENTS)
        return self._certain(decision, tool, missing)

    def _looked_at(self, tool: str) -> frozenset[str]:
        """Arguments that the steps of the tool say more of than that they are there: all of them."""
        return frozenset(name for step in self.workflow.steps_by_tool.get(tool, ()) for name in _names(step))

    def _certain(self, decision: Decision, tool: str, missing: Collection[str]) -> Verdict:
        reasons = tuple(str(reason) for reason in decision.reasons)
        step = None if decision.step is None else decision.step.name
        steps = self.workflow.steps_by_tool.get(tool, ())
        if not missing:
            return Verdict(decision.effect, step, reasons, decision=decision)
        of_the_call = any(found.step is None and found.effect is Effect.DENY for found in decision.findings)
        if of_the_call:
            return Verdict(decision.effect, step, reasons, decision=decision)
        for each in steps:
            wants = _wants(each) & set(missing)
            if decision.step is not None and each.name == decision.step.name and not wants:
                return Verdict(decision.effect, step, reasons, decision=decision)
            if wants and not self._refused_anyway(decision, each):
                return Verdict(None, None, (), ", ".join(sorted(wants)), decision)
        return Verdict(decision.effect, step, reasons, decision=decision)

    def _refused_anyway(self, decision: Decision, step: Step) -> bool:
        if decision.effect is not Effect.DENY:
            return False  # the findings of other steps are not told
        soft = _SOFT | _SHAPES if step.refers or step.fills else _SOFT
        mine = [found for found in decision.findings if found.step == step.name and found.effect is Effect.DENY]
        return any(found.reason not in soft for found in mine)

    def _as_seen(self, call: PastCall) -> list[Mark]:
        """What this call's arguments were seen in, as the run would hold it."""
        marks: list[Mark] = []
        for name, places in (call.seen_in or {}).items():
            values = digests(call.arguments.get(name))
            marks += [Mark(f"@{place}", 0, values) for place in places if not place.startswith(("inputs.", "~"))]
            roots = {place.split("[")[0] for place in places}
            marks += [
                Mark(tool, 0, values) for tool in self._usable.bundle.tools if any(_under(r, tool) for r in roots)
            ]
        return marks

    def _windows(self, run: RunState, at: datetime) -> Mapping[str, int]:
        """What the budgets have spent: of the run, and where they have a window, of all its runs within it."""
        spent = dict(run.spent)
        for budget in self.workflow.budgets:
            if budget.per is not None:
                held = self._spent.get(budget.name, deque())
                while held and held[0][0] <= at - budget.per:
                    held.popleft()
                spent[budget.name] = sum(amount for _, amount in held)
        return spent

    def happened(self, run: Progress, call: PastCall, verdict: Verdict, facts: Facts) -> None:
        """The call ran, whatever is decided now: what follows in its run rests on that."""
        if call.ran is Ran.NOT_RUN:
            return
        run.calls += 1
        state, decision = run.state, verdict.decision
        tool = self._usable.bundle.tool_by_alias.get(call.tool, call.tool)
        step = self._step_of(verdict, call, tool)
        if step is None:
            return
        counts = {**state.counts, step.name: state.counts.get(step.name, 0) + 1}
        succeeded = state.succeeded | {step.name} if call.ran is Ran.SUCCEEDED else state.succeeded
        spent, tallies = dict(state.spent), dict(state.tallies)
        for spend in () if decision is None else decision.spends:
            if spend.budget.per is None:
                spent[spend.budget.name] = spent.get(spend.budget.name, 0) + spend.amount
            else:
                held = self._spent.setdefault(spend.budget.name, deque())
                held.append((self._world.at, spend.amount))
        failed_harmlessly = call.ran is Ran.FAILED and self._did_nothing(tool)
        for key in () if decision is None else decision.tallies:
            tally = tallies.get(key, NEVER)
            done, back = int(call.ran is Ran.SUCCEEDED), int(failed_harmlessly)
            tallies[key] = tally._replace(taken=tally.taken + 1, done=tally.done + done, back=tally.back + back)
        state = replace(state, counts=counts, succeeded=succeeded, spent=spent, tallies=tallies)
        run.state = self._kept(run, state, call, step, facts)
        if facts.brought is not None:
            run.state = replace(run.state, seen=run.state.seen.after(facts.brought, run.calls))
        if call.ran is Ran.SUCCEEDED and not self._followed(tool, facts.brought):
            run.known.discard(SEEN)
        self._went(run, call, tool)

    def _followed(self, tool: str, brought: Brought | None) -> bool:
        """Whether all that this workflow asks of a result was looked at then."""
        if brought is None or (self.workflow.tells and brought.telling is None):
            return not self.workflow.follows
        return all(source in brought.clean for source, path in self.workflow.places.items() if path.root == tool)

    def _went(self, run: Progress, call: PastCall, tool: str) -> None:
        places = [place for place in call.record.get("destinations") or () if isinstance(place, Mapping)]
        run.zones |= frozenset(place["zone"] for place in places if place.get("zone"))
        known = self._world.policy.tools.get(tool)
        if known is not None and known.effect is ToolEffect.READ:
            words = [str(place.get("sensitivity")) for place in places]
            levels = [Sensitivity.parse(word) if word in Sensitivity.words() else Sensitivity.SECRET for word in words]
            high = [level for level in (*levels, run.state.high_water) if level is not None]
            run.state = replace(run.state, high_water=max(high, default=None))

    def _kept(self, run: Progress, state: RunState, call: PastCall, step: Step, facts: Facts) -> RunState:
        wanted = {keep.name for keep in self._usable.bundle.keeps.get((self.workflow.name, step.name), ())}
        if call.ran is not Ran.SUCCEEDED:
            return state
        if facts.kept is None or wanted - {*facts.kept_names}:
            # Whether it was not there, or nobody asked for it then, no record says.
            run.known -= {KEPT} if wanted else set()
        kept = {**state.kept, **(facts.kept or {})}
        return replace(state, kept=after_growth(kept, tuple(facts.grown))[0])

    def _step_of(self, verdict: Verdict, call: PastCall, tool: str) -> Step | None:
        """Which step the call took: the one that it would take now, else the one that it took, if that is the same."""
        steps = self.workflow.steps_by_tool.get(tool, ())
        for name in (verdict.step, call.record.get("step")):
            found = next((step for step in steps if step.name == name), None)
            if found is not None:
                return found
        return steps[0] if len(steps) == 1 and verdict.effect is None else None

    def _did_nothing(self, tool: str) -> bool:
        known = self._world.policy.tools.get(tool)
        return known is not None and (known.effect is ToolEffect.READ or known.failure_did_nothing)


def _under(root: str, tool: str) -> bool:
    return root == tool or root.startswith(f"{tool}.")


def _names(step: Step) -> Collection[str]:
    schema: Any = getattr(step.arguments, "schema", None)
    members = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
    return frozenset(members)


def _wants(step: Step) -> set[str]:
    """What of its run a step looks at."""
    words = {word.removeprefix("@") for source in step.sources.values() for word in source}
    texts = {word for rule in step.texts for word in (rule.links or frozenset()) | (rule.addresses or frozenset())}
    wants: set[str] = set()
    if step.traced or any(rule.nothing_of for rule in step.texts):
        wants |= {SEEN, KEPT, INPUTS}
    for word in words | texts:
        root = word.split(".")[0].split("[")[0]
        wants |= {"inputs": {INPUTS}, "kept": {KEPT, SEEN}, "catalog": set()}.get(root, {SEEN})
    if step.rests_on_run:
        wants.add(KEPT)
    texts_of = [getattr(condition, "text", "") for condition in step.require]
    texts_of += [] if step.approval is None else [getattr(step.approval.when, "text", "")]
    if step.refers or step.fills or any("inputs" in text for text in texts_of):
        wants.add(INPUTS)
    return wants


def _case(workflow: str) -> Case:
    run = CaseRun(
        inputs=MappingProxyType({}), kept=MappingProxyType({}), done=frozenset(), counts={}, spent={}, risk=Risk.LOW,
        status=RunStatus.ACTIVE, suspended=False, high_water=None, requester=None,
    )  # fmt: skip
    return Case(
        file="", line=0, name="past", workflow=workflow, run=run, call=CaseCall("", {}, None),
        identity=CaseIdentity(None, timedelta(0), None, {}, bound_to_call=False), answers=None, revoked_credentials=(),
        now=None, expect=Expectation(Effect.PERMIT, frozenset(), None),
    )  # fmt: skip
