"""One imagined call, judged as a real one would be: for decision cases, ``explain`` and the pytest plugin.

Nothing runs and nothing is written. Destinations are derived and put back in canonical form, and arguments become
canonical bytes, exactly as in the order of events; identity, run and answers are as the case says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agentguard.core.canonical import NotCanonical, canonical_bytes, read_canonical
from agentguard.core.decide import decide
from agentguard.core.decision import Decision
from agentguard.core.facts import Answer, ApprovalState, Facts, RunState
from agentguard.core.hints import hint_for
from agentguard.core.policy import Policy, Workflow
from agentguard.core.provenance import NOTHING_SEEN, UNKNOWN, Seen, Trail, digests
from agentguard.core.reasons import Reason
from agentguard.core.request import Request
from agentguard.core.values import Assurance, Destination, Effect, Identity, Json, Unavailable
from agentguard.destinations import compared, derive, other_spellings, rewrite
from agentguard.errors import ConfigurationError
from agentguard.guard.in_force import UsableBundle
from agentguard.guard.provenance import brought
from agentguard.guard.records import redact
from agentguard.policy.cases import Case

_IMAGINED = "imagined"
# Past any limit that a policy can set, so that only what the case says decides.
_LONG = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case, the decision it got, what that was taken on, and how it differs from what was expected.

    ``shown``: the arguments without declared secrets. ``origins``: in words, where each argument came from, as far as
    the case says what tools returned. ``hint``: what the model is told beside the refusal.
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

    @property
    def passed(self) -> bool:
        """Whether the decision is the one expected."""
        return not self.problems


def evaluate(usable: UsableBundle, case: Case, *, now: datetime) -> CaseResult:
    """Decide one case. ``now`` is used where the case says no time.

    Raises ConfigurationError for a case that could not be: no such workflow, values that are not JSON, inputs that no
    run could be started with.
    """
    at, bundle = case.now or now, usable.bundle
    workflow = _workflow(bundle.policy, case)
    tool = bundle.tool_by_alias.get(case.call.tool, case.call.tool)
    declaration = bundle.tools.get(tool)
    declared = declaration.destinations if declaration is not None else ()
    values = judged = as_called = _json(case.call.arguments, "the arguments")
    destinations = derive(declared, values, usable.catalog)
    if not isinstance(destinations, Unavailable):
        values, judged = rewrite(declared, values), compared(declared, values)
    if case.call.destinations is not None:
        destinations = case.call.destinations
    known_tool = bundle.policy.tools.get(tool)
    definition = None if known_tool is None else known_tool.fingerprint
    request = Request.make(
        run_id=_IMAGINED,
        workflow=workflow.name,
        tool=tool,
        canonical=canonical_bytes(values),
        arguments=judged,
        definition=definition,
        salt=_IMAGINED,
    )
    used = declaration.credentials if declaration is not None else ()
    run = _run(usable, case, workflow, at)
    shown = redact(values, usable.secrets.get(tool, ()))[0]
    facts = Facts(
        now=at,
        identity=_identity(case, workflow, at, request.digest),
        run=run,
        destinations=destinations,
        definition=definition,
        credentials_revoked=tuple(name for name in used if name in case.revoked_credentials),
        streams={name: None if name in case.silent_streams else at for name in bundle.policy.streams},
        as_called=as_called,
        spellings=other_spellings(declared, as_called, run.inputs, run.kept),
        quotable={
            "args": shown,
            "inputs": dict(run.inputs),
            "kept": dict(run.kept),
            "claims": {} if case.identity is None else dict(case.identity.claims),
        },
    )
    decision = decide(request, bundle.policy, facts)
    if case.answers is not None:
        asked = _approval(case, bundle.policy, workflow, request, decision, at)
        decision = decide(request, bundle.policy, replace(facts, approval=asked))
    trail = Trail(run.inputs, run.kept, run.seen)
    found = {name: trail.origins(value, as_called[name]) for name, value in judged.items()}
    words = {name: [UNKNOWN] if origins is None else origins.words for name, origins in found.items()}
    hint = hint_for(workflow, tool, run) if decision.effect is Effect.DENY else None
    differences = tuple(_differences(case, decision))
    return CaseResult(case, decision, request, shown, destinations, at, words, differences, hint)


def _workflow(policy: Policy, case: Case) -> Workflow:
    found = policy.workflows.get(case.workflow)
    if found is None:
        known = ", ".join(sorted(policy.workflows)) or "none"
        raise ConfigurationError(f"there is no workflow `{case.workflow}`; this bundle has {known}")
    return found


def _json(value: Mapping[str, Json], what: str) -> dict[str, Json]:
    try:
        read: dict[str, Json] = read_canonical(canonical_bytes(dict(value)))
    except NotCanonical as error:
        raise ConfigurationError(f"{what} are not JSON: {error}") from None
    return read


def _subject(case: Case, workflow: Workflow) -> str:
    """Whom the case names, else the workflow's own: the first by name, so that it is always the same one."""
    said = case.identity.subject if case.identity is not None else None
    return said if said is not None else min(workflow.subjects)


def _identity(case: Case, workflow: Workflow, at: datetime, digest: str) -> Identity | Unavailable:
    """The identity as the case says; where it says no assurance, the strongest: that is enough for any step."""
    said = case.identity
    if said is None:
        return Unavailable(Reason.IDENTITY_UNAVAILABLE, "the case says that no identity could be had")
    assurance = Assurance.CALL_BOUND if said.assurance is None else said.assurance
    bound = said.bound_to_call or assurance is Assurance.CALL_BOUND
    return Identity(
        subject=_subject(case, workflow),
        issuer=_IMAGINED,
        profile=_IMAGINED,
        issued_at=at - said.age,
        expires_at=at + _LONG,
        assertion_id=_IMAGINED,
        key_id=_IMAGINED,
        assurance=assurance,
        claims=_json(said.claims, "the claims"),
        bound_to=digest if bound else None,
    )


def _run(usable: UsableBundle, case: Case, workflow: Workflow, at: datetime) -> RunState:
    said = case.run
    inputs = _json(said.inputs, "the inputs")
    shape = usable.bundle.workflows_inputs.get(workflow.name)
    # A case may leave out inputs that do not matter to it; what it does say must be possible.
    refusal = shape.refusal(inputs) if shape is not None and inputs else None
    if refusal is not None:
        raise ConfigurationError(f"no run of `{workflow.name}` could be started with these inputs: {refusal}")
    return RunState(
        id=_IMAGINED,
        workflow=workflow.name,
        workflow_digest=workflow.digest,
        # The run is the workflow's own: a case with another caller is one in which somebody took it over.
        subject=_run_subject(case, workflow),
        status=said.status,
        version=1,
        started_at=at,
        requester=said.requester,
        risk=said.risk,
        inputs=inputs,
        kept=_json(said.kept, "the kept values"),
        counts=dict(said.counts),
        succeeded=said.done,
        spent=dict(said.spent),
        high_water=said.high_water,
        subject_suspended=said.suspended,
        zones=said.zones,
        contacts=frozenset(usable.bundle.policy.zones) if said.contacts is None else said.contacts,
        credential_refused=said.credential_refused,
        issued_after=said.issued_after,
        seen=_seen(usable, case),
    )


def _seen(usable: UsableBundle, case: Case) -> Seen:
    """What the case's earlier calls brought. What is kept counts from the first result that holds all of it."""
    seen, unplaced = NOTHING_SEEN, dict(case.run.kept)
    for number, entry in enumerate(case.run.seen, 1):
        name = usable.bundle.tool_by_alias.get(entry.tool, entry.tool)
        paths = usable.outsiders.get(name, ())
        held = digests(entry.result)
        kept = {name: value for name, value in unplaced.items() if digests(value) and digests(value) <= held}
        unplaced = {name: value for name, value in unplaced.items() if name not in kept}
        seen = seen.after(brought(name, paths, number, entry.result, kept), number)
    return seen


def _run_subject(case: Case, workflow: Workflow) -> str:
    """The caller where the workflow lists it, else the workflow's own subject."""
    caller = _subject(case, workflow)
    return caller if caller in workflow.subjects else min(workflow.subjects)


def _approval(
    case: Case, policy: Policy, workflow: Workflow, request: Request, first: Decision, at: datetime
) -> ApprovalState:
    """The question that the first decision asks, or the first step that could ask one, with the case's answers."""
    steps = workflow.steps_by_tool.get(request.tool, ())
    asking = first.step or next((step for step in steps if step.approval is not None), None)
    return ApprovalState(
        id=_IMAGINED,
        request_digest=request.digest,
        policy_revision=policy.revision,
        step="" if asking is None else asking.name,
        requested_at=at,
        expires_at=at + _LONG,
        answers=tuple(Answer(answer.approver, answer.approve, at) for answer in case.answers or ()),
    )


def _differences(case: Case, decision: Decision) -> list[str]:
    wanted, found = case.expect, decision
    differences = []
    if found.effect is not wanted.effect:
        under = f" (step `{found.step.name}`)" if found.step is not None and found.effect is Effect.PERMIT else ""
        differences.append(f"expected {wanted.effect}, found {found.effect}{under}")
    missing = sorted(set(wanted.reasons) - set(found.reasons))
    if missing:
        differences.append(f"expected {', '.join(missing)}, found {', '.join(found.reasons) or 'no reason'}")
    step_found = None if found.step is None else found.step.name
    if wanted.step is not None and wanted.step != step_found:
        differences.append(
            f"expected step `{wanted.step}`, found {'none' if step_found is None else f'`{step_found}`'}"
        )
    return differences
