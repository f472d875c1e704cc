"""One call as the checks see it: facts unpacked once, what the tool does, and what a condition may see."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from agentguard.core.decision import Ask, Finding, Spend
from agentguard.core.facts import ApprovalState, Facts, RunState
from agentguard.core.paths import Place, values_standing_at
from agentguard.core.policy import Condition, Explained, Fault, Policy, Step, Tool, View, Workflow, Zone
from agentguard.core.provenance import NO_PLACES, NOTHING_STANDS_THERE, Origins, Trail
from agentguard.core.reasons import Reason
from agentguard.core.request import Request
from agentguard.core.spellings import respelt
from agentguard.core.tallies import SALT
from agentguard.core.values import Destination, Effect, Identity, Sensitivity, ToolEffect, Unavailable


@dataclass(slots=True)
class Case:
    """Everything the checks of one call look at, unpacked once. A fact is None here where it could not be found out."""

    request: Request
    policy: Policy
    facts: Facts
    now: datetime | None
    identity: Identity | None
    run: RunState | None
    places: tuple[Destination, ...] | None
    approval: ApprovalState | None
    workflow: Workflow | None
    tool: Tool | None
    effect: ToolEffect | None
    _view: View | None = None
    _trail: Trail | None = None

    @property
    def view(self) -> View:
        if self._view is None:
            self._view = _view_of(self)
        return self._view

    @property
    def above(self) -> tuple[str, ...]:
        """Other subjects than the caller of the runs above this one: what one of them may not do, it may not."""
        return () if self.run is None or self.run.family is None else self.run.family.above

    @property
    def views(self) -> tuple[View, ...]:
        """What conditions see: of the caller, then of each subject above. Of those no claim is known here."""
        return (self.view, *(_view_of(self, subject) for subject in self.above))

    def origins(self, run: RunState, place: Place) -> Origins | None:
        """Where what stands at a place in the arguments came from, or None where that cannot be found out."""
        arguments, as_called = self.request.arguments, self.facts.as_called or {}
        values = list(values_standing_at(place, arguments))
        if not values:
            return NOTHING_STANDS_THERE
        if run.unsettled or run.erased:
            return None
        spelt = list(values_standing_at(place, as_called if place[0] in as_called else arguments))
        return self.trail(run).origins(values, spelt)

    def trail(self, run: RunState) -> Trail:
        """What finds out where values came from."""
        if self._trail is None:
            places = NO_PLACES if self.workflow is None else self.workflow.places
            self._trail = Trail(run.inputs, run.kept, run.seen, places, self.request.arguments)
        return self._trail


@dataclass(slots=True)
class StepResult:
    """What the checks of one step found, and what the step takes if it is chosen."""

    findings: list[Finding] = field(default_factory=list)
    spends: list[Spend] = field(default_factory=list)
    approval: str | None = None
    ask: Ask | None = None
    effect: Effect = Effect.PERMIT
    tallies: tuple[str, ...] = ()


NOTHING: tuple[Finding, ...] = ()


def deny(reason: Reason, detail: str = "") -> tuple[Finding, ...]:
    """What a check of the call gives where it denies; ``NOTHING`` where it has nothing to say."""
    return (Finding(Effect.DENY, reason, detail),)


def refuse(result: StepResult, step: Step, reason: Reason, detail: str) -> None:
    """Deny under this one step."""
    result.findings.append(Finding(Effect.DENY, reason, detail, step.name))


def unpack(request: Request, policy: Policy, facts: Facts) -> Case:
    """The case of one call. Raises TypeError where a fact is of a kind that it cannot be."""
    now, identity, run, places, approval = facts.now, facts.identity, facts.run, facts.destinations, facts.approval
    # Most facts are of the very kind that they are to be; the others are looked at.
    known_run = run if type(run) is RunState else _known(run, RunState)
    known_places = places if type(places) is tuple else _known(places, tuple)
    tool = policy.tools.get(request.tool)
    workflow = policy.workflows.get(request.workflow)
    # By position, in the order of the class: by name it takes twice as long.
    return Case(
        request,
        policy,
        facts,
        now if type(now) is datetime and now.tzinfo is UTC else _in_utc(_known(now, datetime)),
        identity if type(identity) is Identity else _known(identity, Identity),
        known_run,
        known_places,
        None if approval is None else _known(approval, ApprovalState),
        workflow,
        tool,
        tool.effect if tool is not None and not known_places else _effect_of(tool, known_places, known_run, workflow),
    )


_T = TypeVar("_T")


def _known(fact: object, kind: type[_T]) -> _T | None:
    """The fact, or None where it is Unavailable. Anything else is a lie: raises TypeError, so the call is denied."""
    if type(fact) is kind or isinstance(fact, kind):
        return fact
    if isinstance(fact, Unavailable):
        return None
    raise TypeError(f"a fact is {type(fact).__name__}, not {kind.__name__}")


_ZERO = timedelta(0)


def _in_utc(now: datetime | None) -> datetime | None:
    return now if now is not None and (now.tzinfo is UTC or now.utcoffset() == _ZERO) else None


# The host in a canonical id: of a URL, an address of e-mail, or `host:port`. `sql:…` and `slack:…` have none.
_HOST = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/?#]*@)?(\[[^\]]*\]|[^/:?#]+)(?=[/?#]|:[0-9]{1,5}(?:[/?#]|\Z)|\Z)")


def _effect_of(
    tool: Tool | None, places: tuple[Destination, ...] | None, run: RunState | None, workflow: Workflow | None
) -> ToolEffect | None:
    """What the tool does. Reading from where an outsider said tells the outsider something: that is sending."""
    if tool is None or tool.effect is not ToolEffect.READ or run is None or not places:
        return None if tool is None else tool.effect
    lost = bool(run.unsettled or run.erased) and workflow is not None and workflow.follows
    if not run.seen.marks and run.seen.coarse is None and not run.seen.overflowed and not lost:
        return tool.effect
    chosen = [text for place in places if place.chosen for text in _names(place)]
    return ToolEffect.SEND if chosen and (lost or run.seen.holds(*chosen)) else tool.effect


def _names(place: Destination) -> Iterator[str]:
    """How outsiders may have named a place: all of it, or its host. Below a domain of theirs every name is theirs, too,
    and could carry a secret away; where the catalog lists the place, its owner has looked at whose it is."""
    yield place.id
    found = _HOST.match(place.id)
    if found is None:
        return
    host = found[1]
    yield from _written(host)
    labels = host.split(".")
    if place.sensitivity is None and not labels[-1].isdigit():
        for first in range(1, len(labels) - 1):
            yield from _written(".".join(labels[first:]))


def _written(host: str) -> tuple[str, ...]:
    """A host as canonical ids have it, and as people write it."""
    if "xn--" not in host:
        return (host,)
    try:
        labels = [x[4:].encode("ascii").decode("punycode") if x.startswith("xn--") else x for x in host.split(".")]
    except UnicodeError:
        return (host,)
    return (host, ".".join(labels))


def level_of(place: Destination) -> Sensitivity:
    """An unclassified destination is treated as the most sensitive there is."""
    return Sensitivity.SECRET if place.sensitivity is None else place.sensitivity


def new_zones(case: Case) -> Sequence[Zone]:
    """The zones with a rule for it that this call would be the subject's first contact with, by name."""
    if not case.places or not case.policy.zones or case.run is None:
        return ()
    touched = {place.zone for place in case.places if place.zone is not None} - case.run.contacts
    zones = (case.policy.zones.get(name) for name in sorted(touched))
    return [zone for zone in zones if zone is not None and zone.first_contact is not None]


# Where a text may be another spelling of a destination of this call.
_COMPARED = frozenset({"args", "inputs", "kept"})


def _view_of(case: Case, above: str | None = None) -> View:
    """The names a condition may see. A fact that could not be found out is not among them, so it faults. ``above``: a
    subject in place of the caller."""
    names: dict[str, Any] = {"args": case.request.arguments}
    run, identity = case.run, case.identity
    if case.now is not None:
        names["now"] = case.now
    if run is not None:
        names["counts"], names["risk"] = run.counts, run.risk.word
        if case.workflow is not None and case.workflow.counts_values:
            names["tallies"] = {SALT: run.salt, **{key: list(tally) for key, tally in run.tallies.items()}}
        if "inputs" not in run.erased:
            names["inputs"] = run.inputs
        if not run.unsettled and "kept" not in run.erased:
            names["kept"] = run.kept
        traced = _traced_arguments(case)
        if traced is not None:
            found = {name: case.origins(run, (name,)) for name in traced}
            # One that cannot be found out takes the whole name away: `has(origins.x)` must fault, not be false.
            known = {name: origins.words for name, origins in found.items() if origins is not None}
            if len(known) == len(found) and not run.seen.overflowed:
                names["origins"] = known
    if identity is not None:
        names["subject"], names["claims"], names["assurance"] = (
            identity.subject,
            identity.claims,
            identity.assurance.word,
        )
    if above is not None:
        names["subject"] = above
        names.pop("claims", None)
    if case.places is not None:
        shown = [
            {
                "kind": place.kind,
                "id": place.id,
                "sensitivity": "unclassified" if place.sensitivity is None else place.sensitivity.word,
                "zone": place.zone or "",
                "owner": place.owner or "",
                "category": place.category or "",
            }
            for place in sorted(case.places, key=_worst_first)
        ]
        names["destinations"] = shown
        if shown:
            names["destination"] = shown[0]
    spellings = case.facts.spellings
    if not spellings:
        return View(names)
    one_spelling = {name: respelt(names[name], spellings) for name in _COMPARED & names.keys()}
    return View(names, View(names | one_spelling))


def _traced_arguments(case: Case) -> list[str] | None:
    """The arguments of this call that a condition may ask about; None where its workflow follows no values."""
    if case.workflow is None or not case.workflow.follows:
        return None
    steps = case.workflow.steps_by_tool.get(case.request.tool, ())
    named = frozenset[str]().union(*(step.traced for step in steps))
    return sorted(named & case.request.arguments.keys())


def _worst_first(place: Destination) -> tuple[int | str, ...]:
    """Rule 5: every field takes part, so that no two orders of the same destinations show the same one first."""
    worst = -len(Sensitivity) if place.sensitivity is None else -place.sensitivity
    return worst, place.id, place.kind, place.zone or "", place.owner or "", place.category or ""


# What conditions see that is in the record anyway, or says nothing of anybody. A place's `id` may hold a secret.
_QUOTABLE = ("origins", "subject", "assurance", "risk", "now")
_QUOTABLE_OF_A_PLACE = ("kind", "sensitivity", "zone", "owner", "category")


def explained(case: Case, condition: Condition, answer: object, view: View | None = None) -> str:
    """Why a condition gave what it gave, for reviewers; nothing that a record must not hold."""
    if not isinstance(condition, Explained):
        return f"`{condition.text}`" if answer is False else f"`{condition.text}`: {why_not(answer)}"
    view = case.view if view is None else view
    names = view.names
    quotable: dict[str, Any] = {name: names[name] for name in _QUOTABLE if name in names}
    if case.run is not None and case.workflow is not None:
        quotable["counts"] = {step.name: case.run.counts.get(step.name, 0) for step in case.workflow.steps}
    if "now" in quotable:
        quotable["now"] = names["now"].isoformat()
    if "destination" in names:
        quotable["destination"] = {key: names["destination"][key] for key in _QUOTABLE_OF_A_PLACE}
    return condition.explain(view, {**quotable, **case.facts.quotable})


def why_not(answer: object) -> str:
    """What an expression gave instead of what it must give."""
    return answer.detail if isinstance(answer, Fault) else f"gave {type(answer).__name__}"
