"""One imagined call, judged as a real one would be: for decision cases, ``explain`` and the pytest plugin.

Nothing runs and nothing is written. Destinations are derived and put back in canonical form, and arguments become
canonical bytes, exactly as in the order of events; only identity, run and answers are taken as the case says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta

from agentguard.core.canonical import NotCanonical, canonical_bytes, read_canonical
from agentguard.core.decide import Decision, decide
from agentguard.core.facts import Answer, ApprovalState, Facts, RunState, RunStatus
from agentguard.core.policy import MICROS, Policy, Workflow
from agentguard.core.request import Request
from agentguard.core.values import (
    Assurance,
    Destination,
    Effect,
    Identity,
    Json,
    Risk,
    Sensitivity,
    Unavailable,
)
from agentguard.destinations import Catalog, derive, rewrite
from agentguard.errors import ConfigurationError
from agentguard.policy import Bundle

RUN_ID = "imagined"
ISSUER = "imagined"
_LIFETIME = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Situation:
    """A call and the world around it. What is not said is as good as it can be, so that one thing is tried at a time.

    ``at`` None is noon of the workflow's last day in force: a case goes red when the policy changes, not with time.
    ``done`` counts the calls of each step so far, all of which succeeded; ``spent`` is in whole units. ``answers`` maps
    people to whether they agreed. ``definition`` None is the fingerprint that Tools pins.
    """

    workflow: str
    tool: str
    arguments: Mapping[str, Json]
    inputs: Mapping[str, Json] = field(default_factory=dict)
    kept: Mapping[str, Json] = field(default_factory=dict)
    done: Mapping[str, int] = field(default_factory=dict)
    spent: Mapping[str, int | float] = field(default_factory=dict)
    subject: str | None = None
    requester: str | None = None
    claims: Mapping[str, Json] = field(default_factory=dict)
    assurance: Assurance = Assurance.CALL_BOUND
    age: timedelta = timedelta(0)
    at: datetime | None = None
    risk: Risk = Risk.LOW
    status: RunStatus = RunStatus.ACTIVE
    suspended: bool = False
    high_water: Sensitivity | None = None
    answers: Mapping[str, bool] = field(default_factory=dict)
    revoked: tuple[str, ...] = ()
    definition: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision, and what it was taken on."""

    decision: Decision
    request: Request
    destinations: tuple[Destination, ...] | Unavailable
    at: datetime


def judge(bundle: Bundle, situation: Situation, catalog: Catalog | None = None) -> Judged:
    """Decide one imagined call. Raises ConfigurationError for a situation that could not be: an unknown workflow, step,
    budget or tool, inputs that do not fit, arguments that are not JSON."""
    workflow = _known(bundle.policy, situation)
    tool = bundle.tool_by_alias.get(situation.tool, situation.tool)
    declaration = bundle.tools.get(tool)
    declared = declaration.destinations if declaration is not None else ()
    listed = Catalog(bundle.catalog) if catalog is None else catalog
    values = _json(situation.arguments, "the arguments")
    destinations = derive(declared, values, listed)
    if not isinstance(destinations, Unavailable):
        values = _json(rewrite(declared, values), "the arguments")
    known_tool = bundle.policy.tools.get(tool)
    definition = situation.definition or (known_tool.fingerprint if known_tool is not None else None)
    request = Request.make(
        run_id=RUN_ID,
        workflow=workflow.name,
        tool=tool,
        canonical=canonical_bytes(values),
        arguments=values,
        definition=definition,
    )
    at = situation.at or datetime.combine(workflow.review_by, time(12), UTC)
    subject = situation.subject or min(workflow.subjects, default="")
    facts = Facts(
        now=at,
        identity=_identity(situation, subject, at, request.digest),
        run=_run(bundle, situation, workflow, subject, at),
        destinations=destinations,
        approval=None,
        definition=definition,
        credentials_revoked=tuple(sorted(set(situation.revoked) & set(declaration.credentials if declaration else ()))),
    )
    decision = decide(request, bundle.policy, facts)
    if situation.answers:
        decision = _with_answers(bundle.policy, request, facts, decision, situation, at)
    return Judged(decision, request, destinations, at)


def _known(policy: Policy, situation: Situation) -> Workflow:
    workflow = policy.workflows.get(situation.workflow)
    if workflow is None:
        known = ", ".join(sorted(policy.workflows)) or "none"
        raise ConfigurationError(f"there is no workflow `{situation.workflow}`; this bundle has {known}")
    _all_known(situation.done, [step.name for step in workflow.steps], "step", workflow)
    _all_known(situation.spent, [budget.name for budget in workflow.budgets], "budget", workflow)
    return workflow


def _all_known(named: Mapping[str, object], known: list[str], what: str, workflow: Workflow) -> None:
    for name in named:
        if name not in known:
            raise ConfigurationError(f"`{workflow.name}` has no {what} `{name}`; it has {', '.join(known) or 'none'}")


def _json(value: Mapping[str, Json], what: str) -> dict[str, Json]:
    try:
        read: dict[str, Json] = read_canonical(canonical_bytes(dict(value)))
    except NotCanonical as error:
        raise ConfigurationError(f"{what} are not JSON: {error}") from None
    return read


def _identity(situation: Situation, subject: str, at: datetime, digest: str) -> Identity:
    issued = at - situation.age
    bound = digest if situation.assurance is Assurance.CALL_BOUND else None
    return Identity(
        subject=subject,
        issuer=ISSUER,
        profile="imagined",
        issued_at=issued,
        expires_at=issued + _LIFETIME,
        assertion_id=RUN_ID,
        key_id=RUN_ID,
        assurance=situation.assurance,
        claims=_json(situation.claims, "the claims"),
        bound_to=bound,
    )


def _run(bundle: Bundle, situation: Situation, workflow: Workflow, subject: str, at: datetime) -> RunState:
    inputs = _json(situation.inputs, "the inputs")
    shape = bundle.workflows_inputs.get(workflow.name)
    refusal = shape.refusal(inputs) if shape is not None else None
    if refusal is not None:
        raise ConfigurationError(f"no run of `{workflow.name}` starts with these inputs: {refusal}")
    return RunState(
        id=RUN_ID,
        workflow=workflow.name,
        workflow_digest=workflow.digest,
        subject=subject,
        status=situation.status,
        version=1,
        started_at=at,
        requester=situation.requester,
        risk=situation.risk,
        inputs=inputs,
        kept=_json(situation.kept, "the kept values"),
        counts=dict(situation.done),
        succeeded=frozenset(name for name, count in situation.done.items() if count > 0),
        spent={name: round(amount * MICROS) for name, amount in situation.spent.items()},
        high_water=situation.high_water,
        subject_suspended=situation.suspended,
    )


def _with_answers(
    policy: Policy, request: Request, facts: Facts, first: Decision, situation: Situation, at: datetime
) -> Decision:
    """Decide again, with the answers to the question that the first decision asks."""
    if first.effect is Effect.PERMIT:
        raise ConfigurationError("there are answers, but this call is permitted without asking anybody")
    if first.step is None:
        return first
    approval = ApprovalState(
        id=RUN_ID,
        request_digest=request.digest,
        policy_revision=policy.revision,
        step=first.step.name,
        requested_at=at,
        expires_at=at + _LIFETIME,
        answers=tuple(Answer(person, agreed, at) for person, agreed in situation.answers.items()),
    )
    return decide(request, policy, replace(facts, approval=approval))
