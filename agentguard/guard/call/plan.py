"""What is the same for every call of one tool in one workflow: found out once for each bundle in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agentguard.core.declarations import DestinationDeclaration
from agentguard.core.policy import Policy
from agentguard.core.reasons import Reason
from agentguard.core.values import Unavailable
from agentguard.guard.engine import Engine
from agentguard.guard.in_force import Paths, UsableBundle


class GuardedTool(Protocol):
    """Which tool is called: its name in the policy, the one it was wrapped under, its definition, its framework."""

    @property
    def tool(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def definition(self) -> str: ...
    @property
    def framework(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """See the module.

    ``places`` of its arguments are destinations; ``hidden`` of them stand in no record, ``personal`` ones beside it,
    and so do values that the run keeps under one of ``personal_kept``; ``shows_all``: there are none of these. What is
    read from ``unsaid`` ones (secret or personal) names no destination in a record.
    ``strict`` takes no other types. ``problem``: what denies every call by this gate. ``asks``: a step may ask people.
    ``looks``: something of every call is looked up; of one with destinations there may be more.
    ``raises_risk``: what is admitted, refused or reached is counted. ``keeps_answers``: what it gives out is kept for
    whoever makes the same call again.
    """

    policy: Policy
    places: tuple[DestinationDeclaration, ...]
    hidden: Paths
    personal: Paths
    unsaid: Paths
    personal_kept: frozenset[str]
    shows_all: bool
    strict: bool
    problem: Unavailable | None
    asks: bool
    credentials: tuple[str, ...]
    looks: bool
    raises_risk: bool
    keeps_answers: bool


def plan_of(guard: Engine, gate: GuardedTool, workflow: str) -> ToolPlan:
    """The plan for calls by this gate in this workflow, under the bundle in force."""
    usable = guard.usable
    key = (workflow, gate.tool, gate.name)
    found: ToolPlan | None = usable.plans.get(key)
    if found is None:
        found = usable.plans[key] = _made(usable, gate, workflow)
    return found


def _made(usable: UsableBundle, gate: GuardedTool, workflow: str) -> ToolPlan:
    bundle, tool = usable.bundle, gate.tool
    declaration, known = bundle.tools.get(tool), bundle.policy.workflows.get(workflow)
    hidden, personal = usable.hidden.get(tool, ()), usable.personal.get(tool, ())
    kept = usable.personal_kept.get(workflow, frozenset())
    problem = None
    if declaration is not None and bundle.tool_by_alias.get(gate.name) != tool:
        problem = Unavailable(Reason.TOOL_CHANGED, f"`{gate.name}` is not a name of this tool any more")
    asks = known is not None and any(step.approval is not None for step in known.steps_by_tool.get(tool, ()))
    credentials = () if declaration is None else declaration.credentials
    return ToolPlan(
        policy=bundle.policy,
        places=() if declaration is None else declaration.destinations,
        hidden=hidden,
        personal=personal,
        unsaid=(*usable.secrets.get(tool, ()), *personal),
        personal_kept=kept,
        shows_all=not (hidden or personal or kept),
        strict=declaration is not None and declaration.strict,
        problem=problem,
        asks=asks,
        credentials=credentials,
        looks=asks or bool(credentials),
        raises_risk=known is not None and bool(known.raise_risk or known.raise_at_first_use),
        keeps_answers=declaration is not None and declaration.keeps_answers,
    )
