"""A loaded policy, as the decision sees it. Immutable; ``policy`` compiles YAML into it.

The decision knows a condition, an argument shape or an amount only as the small protocols below.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

from agentguard.core.answers import Need
from agentguard.core.fill import Filling, Source, fillings
from agentguard.core.paths import Path, Place
from agentguard.core.reaches import Reach
from agentguard.core.text.rules import TextRule
from agentguard.core.values import Assurance, Risk, Sensitivity, ToolEffect

# One unit of a budget is a millionth: exact for cents and fractions of them, and a 64-bit sum holds nine billion units.
MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    """An expression could not be evaluated to what it must be. ``detail`` is for reviewers."""

    detail: str


class View:
    """What a condition may see: the names of the language, built once per decision.

    ``prepared`` belongs to the compiler of the conditions, which may keep its own form of ``names`` there. ``compared``
    is the view for a condition that compares arguments with what the run was given or kept: in it each destination of
    the call has one spelling everywhere. None where nothing is spelt in two ways.
    """

    __slots__ = ("compared", "names", "prepared")

    def __init__(self, names: Mapping[str, Any], compared: View | None = None) -> None:
        self.names = names
        self.prepared: Any = None
        self.compared = compared


class Condition(Protocol):
    """A compiled yes-or-no expression."""

    @property
    def text(self) -> str:
        """The expression as its owner wrote it."""

    def holds(self, view: View) -> bool | Fault:
        """True or False, and nothing else truthy or falsy; any error is a Fault. Never raises."""


@runtime_checkable
class Explained(Protocol):
    """A condition that can say why it gave what it gave."""

    def explain(self, view: View, quotable: Mapping[str, Any]) -> str:
        """The part that decided, with those of its values that are ``quotable``, and its place. Never raises."""


class Amount(Protocol):
    """A compiled expression for a number, such as what a call spends of a budget."""

    @property
    def text(self) -> str:
        """The expression as its owner wrote it."""

    def of(self, view: View) -> int | Fault:
        """The amount in millionths, exact and not negative, or a Fault. Never raises."""


class Shape(Protocol):
    """A compiled closed-world JSON Schema of an argument object."""

    def refusal(self, arguments: Mapping[str, Any]) -> str | None:
        """Why these arguments do not fit, or None where they do. Never raises."""


class Refers(Protocol):
    """A compiled rule of an argument that refers to the run's inputs, or to what it kept."""

    def refusal(
        self,
        arguments: Mapping[str, Any],
        inputs: Mapping[str, Any],
        kept: Mapping[str, Any],
        spellings: Mapping[str, str],
    ) -> str | None:
        """Why these arguments do not fit, or None where they do. Never raises."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What the decision must know of a tool. ``fingerprint`` None means the bundle pins no definition."""

    name: str
    effect: ToolEffect
    fingerprint: str | None = None
    failure_did_nothing: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """When a step needs a person, and whose answer counts. ``when`` None means always.

    ``approvers`` are ``user:NAME``, ``group:NAME`` or ``anyone``, or ``requester`` alone; ``also`` is who is needed
    besides. ``within`` is how long people may take, ``use_within`` how long their agreement is good for after that
    (None: until their own time is up). ``deny_quorum`` noes are final.
    ``because`` are the owner's words for those who are asked, ``show`` what they are shown beside the call, by label.
    """

    when: Condition | None
    approvers: tuple[str, ...]
    quorum: int
    within: timedelta
    because: tuple[str, ...] = ()
    show: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    also: tuple[Need, ...] = ()
    use_within: timedelta | None = None
    deny_quorum: int = 1

    @property
    def needs(self) -> tuple[Need, ...]:
        """All who are needed."""
        return (Need(self.approvers, self.quorum), *self.also)


@dataclass(frozen=True, slots=True)
class Hint:
    """An owner's fixed words for the model. ``reads``: the kept values without which what it belongs to cannot hold.

    ``of_step``: it belongs to the whole step, not to one condition of it. ``may_lack``: one of those values grows, so
    that what is needed of it may be missing though it is there; or, of a step, a condition of it reads none.
    ``of_progress``: what it belongs to, as far as that reads nothing but what is kept and counted.
    """

    text: str
    reads: frozenset[str] = frozenset()
    of_step: bool = True
    may_lack: bool = False
    of_progress: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One approved step: a tool, when it may be called, with what, to where.

    ``sources``: for each place in the arguments whose value must come from somewhere, the words of where.
    ``traced``: the arguments whose origins a condition of this step may ask for. ``rests_on_run``: whether anything
    in it looks at kept values or origins. ``all_hold``: true only where each of ``require`` is, and quicker to ask.
    ``fills``: the arguments that the guard fills, each with its source. ``null_is_absent``: those for which null
    and absent are one. ``texts``: what the texts of its arguments may carry. ``reaches``: whom its tool tells
    without naming them in its arguments. ``per``: the argument by whose value calls are counted.
    ``counts_successes``: a call that failed and did nothing is given back. ``refers``: rules of arguments that
    refer to the run.
    """

    name: str
    tool: str
    arguments: Shape
    after: tuple[str, ...] = ()
    after_any: tuple[str, ...] = ()
    not_after: tuple[str, ...] = ()
    at_most: int | None = None
    require: tuple[Condition, ...] = ()
    up_to: Sensitivity | None = None
    allow_unclassified: bool = False
    max_age: timedelta | None = None
    minimum_assurance: Assurance | None = None
    bound_to_call: bool = False
    approval: ApprovalRule | None = None
    not_above: Sensitivity | None = None
    sources: Mapping[Place, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    traced: frozenset[str] = frozenset()
    rests_on_run: bool = False
    all_hold: Condition | None = None
    texts: tuple[TextRule, ...] = ()
    refers: tuple[Refers, ...] = ()
    hints: tuple[Hint, ...] = ()
    fills: Mapping[str, Source] = field(default_factory=lambda: MappingProxyType({}))
    null_is_absent: frozenset[str] = frozenset()
    per: Path | None = None
    counts_successes: bool = False
    reaches: tuple[Reach, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit over several calls. ``amount`` None counts calls. ``per`` None means per run.

    ``at_most`` is in millionths. A budget with a window is shared by all runs of the workflow.
    """

    name: str
    steps: frozenset[str]
    amount: Amount | None
    at_most: int
    per: timedelta | None
    counts_successes: bool = False


@dataclass(frozen=True, slots=True)
class RiskRule:
    """What a level of risk takes away: every effect not listed (None: nothing), and this many sensitivity levels."""

    effects: frozenset[ToolEffect] | None
    lower_ceiling_by: int = 0

    def __post_init__(self) -> None:
        if self.lower_ceiling_by < 0:
            raise ValueError("risk never raises a ceiling; `lower_ceiling_by` is 0 or more")


# The default for bundles that say nothing (issue "What risk does"): high leaves only reading, medium lowers by one.
DEFAULT_RISK: Mapping[Risk, RiskRule] = MappingProxyType(
    {
        Risk.LOW: RiskRule(None, 0),
        Risk.MEDIUM: RiskRule(None, 1),
        Risk.HIGH: RiskRule(frozenset({ToolEffect.READ}), 0),
    }
)


class Counted(enum.StrEnum):
    """What of a run a rule that raises its risk counts."""

    CALLS = "calls"
    DENIALS = "denials"


@dataclass(frozen=True, slots=True)
class RiskTrigger:
    """A workflow's rule that raises a run's risk by itself: to ``to``, after ``at_least`` of these ``within`` a time.

    The one that reaches the number is decided as before; the next is decided at the new risk.
    """

    name: str
    to: Risk
    counts: Counted
    at_least: int
    within: timedelta


@dataclass(frozen=True, slots=True)
class FirstUseTrigger:
    """A workflow's rule that raises a run's risk to ``to`` when a call reaches what its subject never reached before.

    ``kind``: ``zone`` or ``destination``. That call is decided as before; the next is decided at the new risk.
    """

    name: str
    to: Risk
    kind: Literal["zone", "destination"]


@dataclass(frozen=True, slots=True)
class Workflow:
    """One approved workflow. ``review_by`` is the last day (UTC) on which it permits anything.

    ``digest`` covers its whole content: a run started under another digest does not go on. ``follows``: what tools
    return in its runs is remembered, because something in it asks where values come from. ``places``: the named places
    (``list_files[*].id_``) that it asks for, each by the source that it is known as. ``tells``: so are the marks of
    what they return and are given, because something in it asks what a text carries. ``draft``: nobody has approved it
    yet, so it permits nothing. ``lasts``, ``idle``: for how long a run of it permits anything (``core.lasting``).
    """

    name: str
    version: int
    digest: str
    subjects: frozenset[str]
    steps: tuple[Step, ...]
    review_by: date
    max_age: timedelta | None = None
    budgets: tuple[Budget, ...] = ()
    risk: Mapping[Risk, RiskRule] = field(default_factory=lambda: DEFAULT_RISK)
    no_write_down: bool = False
    raise_risk: tuple[RiskTrigger, ...] = ()
    raise_at_first_use: tuple[FirstUseTrigger, ...] = ()
    follows: bool = False
    tells: bool = False
    draft: bool = False
    places: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    lasts: timedelta | None = None
    idle: timedelta | None = None
    steps_by_tool: Mapping[str, tuple[Step, ...]] = field(init=False)
    hints: bool = field(init=False)
    fillings: Mapping[str, tuple[Filling, ...]] = field(init=False)
    counts_values: bool = field(init=False)

    def __post_init__(self) -> None:
        by_tool: dict[str, list[Step]] = {}
        for step in self.steps:
            by_tool.setdefault(step.tool, []).append(step)
        object.__setattr__(self, "steps_by_tool", MappingProxyType({t: tuple(s) for t, s in by_tool.items()}))
        object.__setattr__(self, "hints", any(step.hints for step in self.steps))
        object.__setattr__(self, "fillings", fillings(self.steps))
        object.__setattr__(self, "counts_values", any(step.per is not None for step in self.steps))


@dataclass(frozen=True, slots=True)
class Zone:
    """A network or trust zone: whose workloads start there, and how sensitive a destination each zone they may reach.

    A zone that is not a key of ``reaches`` is out of reach. ``then`` is all that a run may still reach once it has been
    here (None: this zone adds nothing to where it may go). ``first_contact`` is who is asked when a subject comes here
    for the first time; ``"deny"``: nobody, it may not.
    """

    name: str
    subjects: frozenset[str]
    reaches: Mapping[str, Sensitivity]
    then: Mapping[str, Sensitivity] | None = None
    first_contact: ApprovalRule | Literal["deny"] | None = None


@dataclass(frozen=True, slots=True)
class StreamRule:
    """Calls to places of these sensitivities need a stream of signals that was heard within ``max_silence``."""

    max_silence: timedelta
    sensitivities: frozenset[Sensitivity]


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything approved, under one revision.

    ``risk_ceilings``: how sensitive a place any call may reach at a risk, and at every higher one. ``plans`` says the
    same in another form: what ``core.plan`` found out of it so far.
    """

    revision: str
    workflows: Mapping[str, Workflow]
    tools: Mapping[str, Tool]
    groups: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    zones: Mapping[str, Zone] = field(default_factory=lambda: MappingProxyType({}))
    max_age_by_sensitivity: Mapping[Sensitivity, timedelta] = field(default_factory=lambda: MappingProxyType({}))
    assurance_by_sensitivity: Mapping[Sensitivity, Assurance] = field(default_factory=lambda: MappingProxyType({}))
    streams: Mapping[str, StreamRule] = field(default_factory=lambda: MappingProxyType({}))
    risk_ceilings: Mapping[Risk, Sensitivity] = field(default_factory=lambda: MappingProxyType({}))
    zone_by_subject: Mapping[str, str] = field(init=False)
    plans: dict[tuple[str | None, str], Any] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plans", {})
        claims = [(subject, zone.name) for zone in self.zones.values() for subject in zone.subjects]
        claimed = Counter(subject for subject, _ in claims)
        # A subject that two zones claim starts in neither: the order of files must not decide how far it reaches.
        by_subject = {subject: zone for subject, zone in claims if claimed[subject] == 1}
        object.__setattr__(self, "zone_by_subject", MappingProxyType(by_subject))
