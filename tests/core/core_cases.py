"""One good case, and the ways to break it: what the tests of the decision start from.

``good()`` is a call that is permitted with every check having something to look at. Conditions, amounts and shapes
are fakes that answer what they are told, so that a test says in one word what the policy's expression gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from agentguard.core.canonical import canonical_bytes, read_canonical
from agentguard.core.decide import decide
from agentguard.core.decision import Decision
from agentguard.core.facts import Answer, ApprovalState, Facts, RunState, RunStatus
from agentguard.core.policy import ApprovalRule, Budget, Fault, Policy, Step, StreamRule, Tool, View, Workflow, Zone
from agentguard.core.request import Request
from agentguard.core.values import Assurance, Destination, Identity, Risk, Sensitivity, ToolEffect

NOW = datetime(2026, 9, 1, 12, 0, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)
SUBJECT = "spiffe://corp.example/agent/exporter"
FINGERPRINT = "sha256:" + "f" * 64
WORKFLOW_DIGEST = "sha256:" + "a" * 64
REVISION = "sha256:" + "b" * 64


@dataclass(frozen=True, slots=True)
class Says:
    """A condition, amount or shape that answers what it was told, or raises it."""

    answer: Any
    text: str = "args.rows > 1000"

    def _give(self) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def holds(self, view: View) -> Any:
        return self._give()

    def of(self, view: View) -> Any:
        return self._give()

    def refusal(self, arguments: Mapping[str, Any]) -> Any:
        return self._give()


@dataclass(frozen=True, slots=True)
class For:
    """A condition that holds for some subjects, or an amount of which they pay one millionth and others more."""

    subjects: frozenset[str]
    more: Any = 0
    text: str = "subject == 'spiffe://corp.example/agent/exporter'"

    def holds(self, view: View) -> Any:
        return view.names["subject"] in self.subjects if "subject" in view.names else Fault("no such name")

    def of(self, view: View) -> Any:
        found = self.holds(view)
        return found if isinstance(found, Fault) else 1 if found else self.more


@dataclass(frozen=True, slots=True)
class Case:
    """One call with everything it is judged by."""

    request: Request
    policy: Policy
    facts: Facts
    notes: tuple[str, ...] = field(default=(), compare=False)

    def decide(self) -> Decision:
        return decide(self.request, self.policy, self.facts)

    def with_facts(self, **changes: Any) -> Case:
        return replace(self, facts=replace(self.facts, **changes))

    def with_identity(self, **changes: Any) -> Case:
        return self.with_facts(identity=replace(self.facts.identity, **changes))  # type: ignore[type-var]

    def with_run(self, **changes: Any) -> Case:
        """Another run. What was asked, was asked for it."""
        case = self
        if isinstance(self.facts.approval, ApprovalState):
            same = {"run_id" if name == "id" else name: changes[name] for name in _OF_BOTH if name in changes}
            case = self.with_approval(**same)
        return case.with_facts(run=replace(case.facts.run, **changes))  # type: ignore[type-var]

    def with_approval(self, **changes: Any) -> Case:
        return self.with_facts(approval=replace(self.facts.approval, **changes))  # type: ignore[type-var]

    def with_policy(self, **changes: Any) -> Case:
        return replace(self, policy=replace(self.policy, **changes))

    def with_request(self, **changes: Any) -> Case:
        return replace(self, request=replace(self.request, **changes))

    @property
    def workflow(self) -> Workflow:
        return self.policy.workflows[self.request.workflow]

    def with_workflow(self, **changes: Any) -> Case:
        changed = replace(self.workflow, **changes)
        return self.with_policy(workflows={**self.policy.workflows, changed.name: changed})

    def with_step(self, index: int = 0, **changes: Any) -> Case:
        steps = list(self.workflow.steps)
        steps[index] = replace(steps[index], **changes)
        return self.with_workflow(steps=tuple(steps))

    def with_budget(self, index: int = 0, **changes: Any) -> Case:
        budgets = list(self.workflow.budgets)
        budgets[index] = replace(budgets[index], **changes)
        return self.with_workflow(budgets=tuple(budgets))

    def with_rule(self, index: int = 0, **changes: Any) -> Case:
        rule = self.workflow.steps[index].approval
        return self.with_step(index, approval=replace(rule, **changes))  # type: ignore[type-var]

    def with_tool(self, **changes: Any) -> Case:
        tool = replace(self.policy.tools[self.request.tool], **changes)
        return self.with_policy(tools={**self.policy.tools, tool.name: tool})

    def with_destination(self, index: int = 0, **changes: Any) -> Case:
        places = list(self.facts.destinations)  # type: ignore[arg-type]
        places[index] = replace(places[index], **changes)
        return self.with_facts(destinations=tuple(places))


def good() -> Case:
    """A permitted call in which every check has something to look at."""
    arguments = {"rows": 500, "table": "orders"}
    canonical = canonical_bytes(arguments)
    request = Request.make(
        run_id="run-1",
        workflow="customer-export",
        tool="warehouse.export",
        canonical=canonical,
        arguments=read_canonical(canonical),
        definition=FINGERPRINT,
        salt="5a17",
    )
    rule = ApprovalRule(Says(True), ("group:data-stewards", "user:carol"), 2, timedelta(minutes=30))
    export = Step(
        name="export",
        tool="warehouse.export",
        arguments=Says(None),
        after=("look-up",),
        after_any=("ask", "look-up"),
        not_after=("purge",),
        at_most=2,
        require=(Says(True), Says(True)),
        up_to=Sensitivity.CONFIDENTIAL,
        max_age=timedelta(seconds=60),
        minimum_assurance=Assurance.BEARER,
        approval=rule,
    )
    look_up = Step(name="look-up", tool="tickets.get", arguments=Says(None))
    workflow = Workflow(
        name="customer-export",
        version=3,
        digest=WORKFLOW_DIGEST,
        subjects=frozenset({SUBJECT}),
        steps=(look_up, export),
        review_by=date(2026, 9, 1),
        max_age=timedelta(seconds=90),
        budgets=(
            Budget("rows", frozenset({"export"}), Says(500_000_000), 1_000_000_000, timedelta(days=1)),
            Budget("calls", frozenset({"export"}), None, 2_000_000, None),
            Budget("other", frozenset({"look-up"}), Says(1), 0, None),
        ),
        no_write_down=True,
    )
    policy = Policy(
        revision=REVISION,
        workflows={workflow.name: workflow},
        tools={
            "warehouse.export": Tool("warehouse.export", ToolEffect.WRITE, FINGERPRINT),
            "tickets.get": Tool("tickets.get", ToolEffect.READ),
        },
        groups={"data-stewards": frozenset({"user:alice", "user:bob"})},
        zones={
            "agents": Zone("agents", frozenset({SUBJECT}), {"data": Sensitivity.CONFIDENTIAL}),
            "data": Zone("data", frozenset(), {}),
        },
        max_age_by_sensitivity={Sensitivity.CONFIDENTIAL: timedelta(seconds=45)},
        assurance_by_sensitivity={Sensitivity.INTERNAL: Assurance.BEARER_SINGLE_USE},
        streams={"idp": StreamRule(timedelta(minutes=5), frozenset({Sensitivity.CONFIDENTIAL, Sensitivity.SECRET}))},
        risk_ceilings={Risk.MEDIUM: Sensitivity.CONFIDENTIAL},
    )
    facts = Facts(
        now=NOW,
        identity=Identity(
            subject=SUBJECT,
            issuer="https://issuer.example",
            profile="oidc",
            issued_at=NOW - timedelta(seconds=45),
            expires_at=NOW + timedelta(seconds=60),
            assertion_id="jti-1",
            key_id="k1",
            assurance=Assurance.BEARER_SINGLE_USE,
            claims={},
            bound_to=request.digest,
        ),
        run=RunState(
            id="run-1",
            workflow="customer-export",
            workflow_digest=WORKFLOW_DIGEST,
            subject=SUBJECT,
            status=RunStatus.ACTIVE,
            version=7,
            started_at=NOW - timedelta(minutes=5),
            requester="user:dave",
            risk=Risk.LOW,
            counts={"look-up": 1, "export": 1},
            succeeded=frozenset({"look-up"}),
            spent={"rows": 500_000_000, "calls": 1_000_000},
            high_water=Sensitivity.INTERNAL,
            issued_after=NOW - timedelta(minutes=2),
        ),
        destinations=(
            Destination("url", "https://dw.example/orders", Sensitivity.CONFIDENTIAL, "data"),
            Destination("url", "https://dw.example/index", Sensitivity.INTERNAL, "data"),
        ),
        approval=ApprovalState(
            id="ap-1",
            request_digest=request.digest,
            policy_revision=REVISION,
            run_id="run-1",
            subject=SUBJECT,
            requester="user:dave",
            step="export",
            requested_at=NOW - timedelta(minutes=10),
            expires_at=NOW + TICK,
            answers=(
                Answer("user:alice", True, NOW - timedelta(minutes=10)),
                Answer("user:bob", True, NOW - timedelta(minutes=1)),
            ),
        ),
        definition=FINGERPRINT,
        credentials_revoked=(),
        streams={"idp": NOW - timedelta(minutes=5), "hr": None},
    )
    return Case(request, policy, facts)


_OF_BOTH = ("id", "subject", "requester")
# In ``good()`` the step that is asked for stands second in its workflow.
EXPORT = 1
