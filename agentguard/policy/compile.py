"""From checked models to core values: everything is looked up, and everything wrong is named with its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from agentguard.core.canonical import canonical_bytes, sha256
from agentguard.core.declarations import (
    CatalogEntry,
    DestinationDeclaration,
    IssuerTrust,
    Source,
    StreamTrust,
    ToolDeclaration,
)
from agentguard.core.policy import (
    DEFAULT_RISK,
    ApprovalRule,
    Budget,
    Counted,
    Fault,
    FirstUseTrigger,
    RiskRule,
    RiskTrigger,
    Step,
    StreamRule,
    Tool,
    Workflow,
    Zone,
)
from agentguard.core.values import Assurance, Risk, Sensitivity, ToolEffect
from agentguard.errors import PolicyProblem
from agentguard.policy import models
from agentguard.policy.conditions import (
    CompiledAmount,
    CompiledCondition,
    NotCompiled,
    compile_amount,
    compile_condition,
    to_micros,
)
from agentguard.policy.flow import flow_troubles
from agentguard.policy.keeps import Keep, compile_keep
from agentguard.policy.scope import Scope
from agentguard.policy.shapes import CompiledShape, compile_shape
from agentguard.policy.sources import SourceWords, is_reserved, source_troubles, sources, without_sources
from agentguard.policy.words import expected, shown, unknown
from agentguard.policy.yaml import Document

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Written:
    """One document with its file, its content and its digest."""

    file: str
    document: Document
    model: Any
    digest: str

    def source(self, *path: Any) -> Source:
        """Where something in it was written."""
        return Source(self.file, self.document.line(*path))


@dataclass(slots=True)
class Parts:
    """Everything compiled so far, everything wrong so far, and what is right but means something unexpected."""

    problems: list[PolicyProblem] = field(default_factory=list)
    notes: list[PolicyProblem] = field(default_factory=list)
    groups: dict[str, frozenset[str]] = field(default_factory=dict)
    issuers: dict[str, IssuerTrust] = field(default_factory=dict)
    streams: dict[str, StreamTrust] = field(default_factory=dict)
    tools: dict[str, ToolDeclaration] = field(default_factory=dict)
    tool_digests: dict[str, str] = field(default_factory=dict)
    tool_by_alias: dict[str, str] = field(default_factory=dict)
    catalog: list[CatalogEntry] = field(default_factory=list)
    zones: dict[str, Zone] = field(default_factory=dict)
    freshness: dict[Sensitivity, timedelta] = field(default_factory=dict)
    assurance: dict[Sensitivity, Assurance] = field(default_factory=dict)
    risk_ceilings: dict[Risk, Sensitivity] = field(default_factory=dict)
    workflows: dict[str, Workflow] = field(default_factory=dict)
    inputs: dict[str, CompiledShape] = field(default_factory=dict)
    keeps: dict[tuple[str, str], tuple[Keep, ...]] = field(default_factory=dict)
    _first: dict[tuple[str, str], Source] = field(default_factory=dict)

    def say(self, source: Source, message: str) -> None:
        """Add one problem."""
        self.problems.append(PolicyProblem(source.file, source.line, message))

    def note(self, source: Source, message: str) -> None:
        """Add one note."""
        self.notes.append(PolicyProblem(source.file, source.line, message))

    def is_new(self, what: str, name: str, source: Source) -> bool:
        """Whether this name is given for the first time; else it is a problem."""
        first = self._first.setdefault((what, name), source)
        if first is not source:
            self.say(source, f"{what} {shown(name)} is given twice; the first is at {first}")
        return first is source


# Trust


def add_trust(parts: Parts, written: Written) -> None:
    """Groups, issuers and streams of signals."""
    trust: models.Trust = written.model
    for name, members in trust.groups.items():
        if parts.is_new("group", name, written.source("groups", name)):
            parts.groups[name] = frozenset(members)
    for index, issuer in enumerate(trust.issuers):
        source = written.source("issuers", index)
        if parts.is_new("issuer", issuer.name, source):
            parts.issuers[issuer.name] = _issuer(issuer, source)
    for index, stream in enumerate(trust.streams):
        source = written.source("streams", index)
        # An event of one could be sent as the other's, which may be believed about more.
        apart = parts.is_new("a stream from and to", f"{stream.issuer} {stream.audience}", source)
        if parts.is_new("stream", stream.name, source) and apart:
            parts.streams[stream.name] = _stream(stream, source)


def _issuer(issuer: models.Issuer, source: Source) -> IssuerTrust:
    return IssuerTrust(
        name=issuer.name,
        profile=issuer.profile,
        issuer=issuer.issuer,
        audience=issuer.audience,
        max_age=issuer.max_age,
        max_lifetime=issuer.max_lifetime,
        skew=issuer.skew,
        source=source,
        trust_domain=issuer.trust_domain,
        keys_file=issuer.keys_file,
        keys_url=issuer.keys_url,
        keys_max_age=issuer.keys_max_age,
        algorithms=tuple(issuer.algorithms),
        claims=MappingProxyType(issuer.claims),
        subject_from=issuer.subject_from,
        subjects=tuple(issuer.subjects),
        revoked_keys=tuple(issuer.revoked_keys),
        proof=issuer.proof,
        single_use=issuer.single_use,
        minimum_assurance=None if issuer.minimum_assurance is None else Assurance.parse(issuer.minimum_assurance),
        types=tuple(issuer.typ),
        plain_keys=issuer.plain_keys,
    )


def _stream(stream: models.Stream, source: Source) -> StreamTrust:
    return StreamTrust(
        name=stream.name,
        issuer=stream.issuer,
        audience=stream.audience,
        source=source,
        keys_file=stream.keys_file,
        keys_url=stream.keys_url,
        keys_max_age=stream.keys_max_age,
        algorithms=tuple(stream.algorithms),
        revoked_keys=tuple(stream.revoked_keys),
        about=tuple(stream.about),
        poll_url=stream.poll_url,
        authorization_env=stream.authorization_env,
        skew=stream.skew,
        max_silence=stream.max_silence,
        required_for=tuple(map(Sensitivity.parse, stream.required_for)),
        older=stream.older,
    )


# Tools


def add_tools(parts: Parts, written: Written) -> None:
    """Tools and the exact names they are known by."""
    document: Any = written.document.data
    tools: models.Tools = written.model
    for name, entry in tools.tools.items():
        source = written.source("tools", name)
        if not parts.is_new("tool", name, source):
            continue
        parts.tools[name] = _tool(name, entry, written)
        parts.tool_digests[name] = sha256(canonical_bytes(document["tools"][name]))
        for index, word in ((None, name), *enumerate(entry.aliases)):
            here = source if index is None else written.source("tools", name, "aliases", index)
            if parts.is_new("the tool name or alias", word, here):
                parts.tool_by_alias[word] = name


def _tool(name: str, entry: models.ToolEntry, written: Written) -> ToolDeclaration:
    destinations = tuple(
        DestinationDeclaration(
            kind=place.kind,
            argument=place.argument,
            fixed=place.fixed,
            options=MappingProxyType(dict(place.__pydantic_extra__ or {})),
            optional=place.optional,
            secret=frozenset(place.secret),
            source=written.source("tools", name, "destinations", index),
        )
        for index, place in enumerate(entry.destinations)
    )
    return ToolDeclaration(
        name=name,
        aliases=tuple(entry.aliases),
        effect=ToolEffect(entry.effect),
        destinations=destinations,
        secrets=tuple(entry.secrets),
        untrusted_results=tuple(entry.untrusted_results),
        credentials=tuple(entry.credentials),
        fingerprint=entry.fingerprint,
        strict=entry.strict,
        source=written.source("tools", name),
    )


# Destinations


def add_destinations(parts: Parts, written: Written) -> None:
    """The catalog, the zones, what each sensitivity asks of an identity, and what each risk leaves in reach."""
    file: models.Destinations = written.model
    for index, entry in enumerate(file.destinations):
        parts.catalog.append(
            CatalogEntry(
                kind=entry.kind,
                pattern=entry.pattern,
                sensitivity=Sensitivity.parse(entry.sensitivity),
                zone=entry.zone,
                owner=entry.owner,
                category=entry.category,
                environment=entry.environment,
                source=written.source("destinations", index),
                promises=frozenset(entry.promises),
            )
        )
    for name, zone in file.zones.items():
        if parts.is_new("zone", name, written.source("zones", name)):
            parts.zones[name] = _zone(name, zone)
        for index, subject in enumerate(zone.subjects):
            parts.is_new("the subject of a zone", subject, written.source("zones", name, "subjects", index))
    for word, age in file.freshness.items():
        if parts.is_new("freshness of", word, written.source("freshness", word)):
            parts.freshness[Sensitivity.parse(word)] = age
    for word, level in file.assurance.items():
        if parts.is_new("assurance of", word, written.source("assurance", word)):
            parts.assurance[Sensitivity.parse(word)] = Assurance.parse(level)
    for risk, ceiling in file.risk.items():
        if parts.is_new("risk", risk, written.source("risk", risk)):
            parts.risk_ceilings[Risk.parse(risk)] = Sensitivity.parse(ceiling.up_to)


def _zone(name: str, zone: models.ZoneEntry) -> Zone:
    first: ApprovalRule | Literal["deny"] | None = None
    if isinstance(zone.first_contact, models.FirstContact):
        asked = zone.first_contact
        first = ApprovalRule(None, tuple(asked.approvers), asked.quorum, asked.within)
    elif zone.first_contact is not None:
        first = "deny"
    return Zone(
        name=name,
        subjects=frozenset(zone.subjects),
        reaches=_levels(zone.reaches),
        then=None if zone.then is None else _levels(zone.then),
        first_contact=first,
    )


def _levels(words: Mapping[str, models.SensitivityWord]) -> Mapping[str, Sensitivity]:
    return MappingProxyType({name: Sensitivity.parse(word) for name, word in words.items()})


def check_zones(parts: Parts, files: Iterable[Written], *, groups_known: bool) -> None:
    """Every zone that is named exists. A bundle without zones may still write them down in its catalog."""
    for written in files:
        for name, zone in written.model.zones.items():
            for key in ("reaches", "then"):
                for other in getattr(zone, key) or ():
                    if other not in parts.zones:
                        parts.say(written.source("zones", name, key, other), unknown("zone", other, parts.zones))
            if groups_known and isinstance(zone.first_contact, models.FirstContact):
                _check_people(parts, written, ("zones", name, "first_contact"), zone.first_contact)
    for entry in parts.catalog:
        if parts.zones and entry.zone is not None and entry.zone not in parts.zones:
            parts.say(entry.source, unknown("zone", entry.zone, parts.zones))


def _check_people(parts: Parts, written: Written, path: tuple[Any, ...], rule: models.FirstContact) -> bool:
    """Whether every group that may approve exists; that there are enough people is checked, too."""
    people: set[str] = set()
    for index, word in enumerate(rule.approvers):
        group = word.removeprefix("group:")
        if group == word:
            people.add(word)
        elif group not in parts.groups:
            parts.say(written.source(*path, "from", index), unknown("group", group, parts.groups))
            return False
        else:
            people |= parts.groups[group]
    if "anyone" not in people and len(people) < rule.quorum:
        message = f"quorum {rule.quorum} can never be reached: only {len(people)} may approve"
        parts.say(written.source(*path, "quorum"), message)
    return True


# Workflows


def add_workflow(parts: Parts, written: Written) -> None:
    """One workflow, compiled; or everything that is wrong with it."""
    file: models.Workflow = written.model
    name = file.metadata.name
    is_new = parts.is_new("workflow", name, written.source("metadata", "name"))
    compiled = _Workflow(parts, written).compile()
    if compiled is not None and is_new:
        parts.workflows[name] = compiled


class _Workflow:
    """Compiles one workflow."""

    def __init__(self, parts: Parts, written: Written) -> None:
        self.parts = parts
        self.written = written
        self.file: models.Workflow = written.model
        self.before = len(parts.problems)
        self.steps = tuple(self.file.steps)
        self.scopes: dict[str, Scope] = {}
        self.words = SourceWords.of(self.file, parts.tools, parts.tool_by_alias)

    def say(self, path: tuple[Any, ...], message: str) -> None:
        self.parts.say(self.written.source(*path), message)

    def note(self, path: tuple[Any, ...], message: str) -> None:
        self.parts.note(self.written.source(*path), message)

    def compile(self) -> Workflow | None:
        inputs = self._shape(("inputs",), self.file.inputs)
        kept = [name for step in self.file.steps.values() for name in step.keep]
        steps = [self._step(name, step, inputs, kept) for name, step in self.file.steps.items()]
        budgets = [self._budget(name, budget) for name, budget in self.file.budgets.items()]
        counting, first_uses = self._triggers()
        for path, message in flow_troubles(self.file.steps):
            self.say(path, message)
        duplicates = len(self.file.subjects) - len(set(self.file.subjects))
        if duplicates:
            self.say(("subjects",), "a subject is listed twice")
        if len(self.parts.problems) > self.before or inputs is None:
            return None
        name = self.file.metadata.name
        self.parts.inputs[name] = inputs
        return Workflow(
            name=name,
            version=self.file.metadata.version,
            digest=self._digest(),
            subjects=frozenset(self.file.subjects),
            steps=tuple(step for step in steps if step is not None),
            review_by=self.file.metadata.review_by,
            max_age=None if self.file.identity is None else self.file.identity.max_age,
            budgets=tuple(budget for budget in budgets if budget is not None),
            risk=_risk(self.file.risk),
            no_write_down=self.file.no_write_down,
            raise_risk=counting,
            raise_at_first_use=first_uses,
            follows=self._follows(steps),
        )

    def _follows(self, steps: Iterable[Step | None]) -> bool:
        """Whether anything asks where values come from. Then no tool may be called like another source."""
        asked = any(step.sources or step.traced for step in steps if step is not None)
        if not asked and not self.words.untrusted:
            return False
        for name, step in self.file.steps.items():
            if is_reserved(step.tool):
                message = f"no tool can be called {shown(step.tool)} where values are followed: it is another source"
                self.say(("steps", name, "tool"), message)
        return True

    def _digest(self) -> str:
        """Over the workflow's own content and the tools it uses: a change of either stops its runs."""
        tools = {step.tool: self.parts.tool_digests[step.tool] for step in self.file.steps.values()}
        return sha256(canonical_bytes({"tools": tools, "workflow": self.written.digest}))

    def _shape(self, path: tuple[Any, ...], properties: Mapping[str, Any]) -> CompiledShape | None:
        shape, troubles = compile_shape(properties)
        for where, message in troubles:
            self.say((*path, *where), ".".join(map(str, (path[-1], *where))) + f": {message}")
        return shape

    def _step(
        self, name: str, step: models.StepEntry, inputs: CompiledShape | None, kept: Iterable[str]
    ) -> Step | None:
        here = ("steps", name)
        tool = self.parts.tools.get(step.tool)
        if tool is None:
            self.say((*here, "tool"), unknown("tool", step.tool, self.parts.tools, self.parts.tool_by_alias))
        else:
            self._destinations(name, step, tool)
        troubles = list(source_troubles(step.arguments, tool, self.words))
        for path, message in troubles:
            self.say((*here, "arguments", *path), message)
        shape = self._shape((*here, "arguments"), without_sources(step.arguments))
        self._keeps(name, step)
        if shape is None or inputs is None or tool is None or troubles:
            return None
        scope = Scope.make(
            arguments=shape.schema,
            inputs=inputs.schema,
            kept=kept,
            origins=self.words.in_conditions,
            steps=self.steps,
            subjects=self.file.subjects,
            has_destinations=bool(tool.destinations),
        )
        self.scopes[name] = scope
        conditions = [
            self._condition((*here, "require", i), text, scope, f"condition {i + 1} of {shown(name)}")
            for i, text in enumerate(step.require)
        ]
        self._over_nothing((*here, "require"), conditions)
        approval = self._approval((*here, "approval"), step.approval, scope)
        if step.approval is None:
            self._relies_on_outsiders(name, step, conditions)
        identity = step.identity or models.StepIdentity()
        place = step.destinations or _NOWHERE
        return Step(
            name=name,
            tool=step.tool,
            arguments=shape,
            after=tuple(step.after),
            after_any=tuple(step.after_any),
            not_after=tuple(step.not_after),
            at_most=step.at_most,
            require=tuple(condition for condition in conditions if condition is not None),
            up_to=None if place.up_to is None else Sensitivity.parse(place.up_to),
            allow_unclassified=place.unclassified == "allow",
            max_age=identity.max_age,
            minimum_assurance=None if identity.assurance is None else Assurance.parse(identity.assurance),
            bound_to_call=identity.proof == "call",
            approval=approval,
            not_above=None if step.not_above is None else Sensitivity.parse(step.not_above),
            sources=sources(step.arguments),
            traced=frozenset(step.arguments if "origins" in self._words(name, step) else ()),
            rests_on_run=not {"kept", "origins"}.isdisjoint(self._words(name, step)),
        )

    def _relies_on_outsiders(
        self, name: str, step: models.StepEntry, conditions: Sequence[CompiledCondition | None]
    ) -> None:
        """Kept values that outsiders write, and no person is asked: whoever writes them decides what this step does."""
        reads = {place[1] for condition in conditions if condition is not None for place in condition.found.reads
                 if place[0] == "kept" and len(place) > 1}  # fmt: skip
        for other, entry in self.file.steps.items():
            tool = self.parts.tools.get(entry.tool)
            for word in sorted(reads & entry.keep.keys()) if tool is not None else ():
                written = (
                    [path for path in tool.untrusted_results if _meet(path, entry.keep[word].source)] if tool else []
                )
                if written:
                    self.note(
                        ("steps", name, "require"),
                        f"step {shown(name)} relies on `kept.{word}` and asks nobody: outsiders write it (step "
                        f"{shown(other)} keeps it, and `untrusted_results` of {shown(entry.tool)} says "
                        f"{shown(written[0])}), so they decide what this step may do; a person can be asked with "
                        "`approval`",
                    )

    def _words(self, name: str, step: models.StepEntry) -> frozenset[str]:
        """The words that this step's expressions begin with. By the word alone: one that stands in a text by chance
        costs a little time, or a refusal while the run has lost track, and nothing else."""
        texts = list(step.require)
        texts += [] if step.approval is None else [step.approval.when or ""]
        texts += [budget.total or "" for budget in self.file.budgets.values() if name in budget.of]
        return frozenset(word for text in texts for word in _NAME_IN_TEXT.findall(text))

    def _destinations(self, name: str, step: models.StepEntry, tool: ToolDeclaration) -> None:
        if tool.destinations and step.destinations is None:
            message = (
                f"{shown(step.tool)} reaches destinations, so the step must say how far: `destinations: {{up_to: ...}}`"
            )
            self.say(("steps", name), message)
        elif step.destinations is not None and not tool.destinations:
            message = f"{shown(step.tool)} declares no destinations in Tools, so there is nothing to limit; remove this"
            self.say(("steps", name, "destinations"), message)
        elif step.destinations is not None:
            self._reach(name, step.destinations, tool)
        for place in tool.destinations:
            root = "" if place.argument is None or place.optional else _ROOT.split(place.argument, maxsplit=1)[0]
            if root and root not in step.arguments:
                message = (
                    f"{shown(step.tool)} has its destination in the argument {shown(root)}, which is not listed here"
                )
                self.say(("steps", name, "arguments"), f"{message}; {expected(root, step.arguments)}")

    def _reach(self, name: str, reach: models.StepDestinations, tool: ToolDeclaration) -> None:
        """A step whose tool's destinations are all listed as too sensitive, or not at all, permits nothing."""
        for place in tool.destinations:
            if place.optional or reach.unclassified == "allow":
                continue
            levels = [entry.sensitivity for entry in self.parts.catalog if entry.kind == place.kind]
            if reach.up_to is None or not any(level <= Sensitivity.parse(reach.up_to) for level in levels):
                found = f"the least sensitive there is {min(levels).word}" if levels else "none is listed there"
                message = (
                    f"Destinations lists no {shown(place.kind)} that is `{reach.up_to}` or less sensitive ({found}), "
                    f"so every call of {shown(name)} is denied"
                )
                self.note(("steps", name, "destinations"), message)

    def _condition(self, path: tuple[Any, ...], text: str, scope: Scope, named: str) -> CompiledCondition | None:
        source = self.written.source(*path)
        try:
            compiled = compile_condition(text, scope, f"{named}, {PurePath(source.file).name}:{source.line}")
        except NotCompiled as error:
            for message in error.messages:
                self.say(path, message)
            return None
        for message in compiled.found.notes:
            self.note(path, f"{shown(text)}: {message}")
        return compiled

    def _over_nothing(self, path: tuple[Any, ...], conditions: Sequence[CompiledCondition | None]) -> None:
        """Loops that are true of an empty list, unless the step asks for its size."""
        sized = {place for condition in conditions if condition is not None for place in condition.found.sized}
        for index, condition in enumerate(conditions):
            for place, message in () if condition is None else condition.found.over_nothing:
                if place is None or place not in sized:
                    self.note((*path, index), message)

    def _approval(self, path: tuple[Any, ...], rule: models.Approval | None, scope: Scope) -> ApprovalRule | None:
        if rule is None:
            return None
        if not _check_people(self.parts, self.written, path, rule):
            return None
        named = f"`approval.when` of {shown(path[1])}"
        when = None if rule.when is None else self._condition((*path, "when"), rule.when, scope, named)
        return ApprovalRule(when, tuple(rule.approvers), rule.quorum, rule.within)

    def _keeps(self, name: str, step: models.StepEntry) -> None:
        keeps = []
        for word, entry in step.keep.items():
            try:
                keeps.append(compile_keep(word, entry.source, entry.match))
            except ValueError as error:
                self.say(("steps", name, "keep", word), f"keep.{word}: {error}")
        self.parts.keeps[self.file.metadata.name, name] = tuple(keeps)

    def _budget(self, name: str, budget: models.BudgetEntry) -> Budget | None:
        here = ("budgets", name)
        known = True
        for index, step in enumerate(budget.of):
            if step not in self.file.steps:
                known = False
                self.say((*here, "of", index), unknown("step", step, self.file.steps))
        at_most = to_micros(budget.at_most)
        if isinstance(at_most, Fault):
            self.say((*here, "at_most"), f"budgets.{name}.at_most: {at_most.detail}")
            return None
        amount = self._amount((*here, "sum"), budget, known)
        return Budget(name, frozenset(budget.of), amount, at_most, budget.per)

    def _triggers(self) -> tuple[tuple[RiskTrigger, ...], tuple[FirstUseTrigger, ...]]:
        counting: list[RiskTrigger] = []
        first: list[FirstUseTrigger] = []
        names: set[str] = set()
        for index, rule in enumerate(self.file.raise_risk):
            name, to = rule.name or str(index + 1), Risk.parse(rule.to)
            if name in names:
                self.say(("raise_risk", index), f"rule {shown(name)} is given twice; give each its own `name`")
            names.add(name)
            if rule.after is not None:
                counts = Counted.CALLS if rule.after.denials is None else Counted.DENIALS
                number = rule.after.denials or rule.after.calls or 1
                counting.append(RiskTrigger(name, to, counts, number, rule.after.within))
            elif rule.first_use_of is not None:
                first.append(FirstUseTrigger(name, to, rule.first_use_of))
        return tuple(counting), tuple(first)

    def _amount(self, path: tuple[Any, ...], budget: models.BudgetEntry, known: bool) -> CompiledAmount | None:
        """The amount must make sense in every step the budget covers; it means the same in each."""
        amount = None
        for step in budget.of if known and budget.total is not None else ():
            scope = self.scopes.get(step)
            if scope is None:
                continue
            try:
                amount = compile_amount(budget.total or "", scope)
            except NotCompiled as error:
                for message in error.messages:
                    self.say(path, f"in step {shown(step)}: {message}")
        return amount


_NAME_IN_TEXT = re.compile(r"(?<![\w.])[a-z]+\b")
_ROOT = re.compile(r"[.\[]")
_PARTS = re.compile(r"[^.\[\]]+")


def _meet(outside: str, source: str) -> bool:
    """Whether a place in a result that outsiders can write and one that is kept lead to the same value."""
    if outside == "*":
        return True
    one, other = _PARTS.findall(outside), [part.strip('"') for part in _PARTS.findall(source)[1:]]
    return all(a == b or (a == "*" and b.isdecimal()) for a, b in zip(one, other, strict=False))


_NOWHERE = models.StepDestinations.model_construct(up_to=None, unclassified=None)


def _risk(written: Mapping[models.RiskWord, models.RiskEntry]) -> Mapping[Risk, RiskRule]:
    """The defaults, and over them what the workflow says. What it leaves out stays: silence never gives back."""
    if not written:
        return DEFAULT_RISK
    rules = dict(DEFAULT_RISK)
    for word, entry in written.items():
        level = Risk.parse(word)
        default = rules[level]
        effects = default.effects if entry.effects is None else frozenset(map(ToolEffect, entry.effects))
        lower = default.lower_ceiling_by if entry.lower_ceiling_by is None else entry.lower_ceiling_by
        rules[level] = RiskRule(effects, lower)
    return MappingProxyType(rules)


def core_streams(parts: Parts) -> Mapping[str, StreamRule]:
    """What the decision must know of each stream that calls depend on."""
    return MappingProxyType(
        {
            name: StreamRule(stream.max_silence, frozenset(stream.required_for))
            for name, stream in parts.streams.items()
            if stream.max_silence is not None and stream.required_for
        }
    )


def core_tools(parts: Parts) -> Mapping[str, Tool]:
    """What the decision must know of each tool."""
    return MappingProxyType({name: Tool(name, tool.effect, tool.fingerprint) for name, tool in parts.tools.items()})
