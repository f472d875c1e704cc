"""``Workflow``: steps, conditions, budgets and approvals, each looked up and each mistake named with its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from agentguard.core.canonical import canonical_bytes, sha256
from agentguard.core.declarations import Source, ToolDeclaration
from agentguard.core.paths import place_in_words
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
    Workflow,
)
from agentguard.core.provenance import is_place
from agentguard.core.text.rules import TextRule, root_of
from agentguard.core.values import Assurance, Risk, Sensitivity, ToolEffect
from agentguard.policy import models
from agentguard.policy.cel.amounts import CompiledAmount, compile_amount, to_micros
from agentguard.policy.cel.compiling import NotCompiled
from agentguard.policy.cel.conditions import CompiledCondition, compile_condition
from agentguard.policy.cel.declared_types import expect_names
from agentguard.policy.cel.joined import JoinedConditions
from agentguard.policy.cel.places import Looked
from agentguard.policy.cel.scope import Known, Scope, StepNames
from agentguard.policy.compile.asked import shown_to_people
from agentguard.policy.compile.fill import (
    Declared,
    could_be_filled,
    fill_troubles,
    fills_of,
    nulls_of,
    reads_kept,
    without_fill,
)
from agentguard.policy.compile.flow import flow_troubles
from agentguard.policy.compile.from_words import FROM, all_from, listed_words
from agentguard.policy.compile.hints import hints_of
from agentguard.policy.compile.included import with_included
from agentguard.policy.compile.keeps import (
    compiled_keeps,
    grows_in,
    keep_troubles,
    known_of_kept,
)
from agentguard.policy.compile.lets import let_troubles, named_in, with_lets
from agentguard.policy.compile.limits import (
    done_for_troubles,
    gives_nothing_back,
    limit_troubles,
    per_of,
    waits_too_long,
)
from agentguard.policy.compile.parts import Parts, Written
from agentguard.policy.compile.people import check_people, rule_of
from agentguard.policy.compile.places import written_at
from agentguard.policy.compile.reaches import reach_troubles, reaches_of, read_kept
from agentguard.policy.compile.refers import refers_to_kept, with_references
from agentguard.policy.compile.sources import SourceWords, is_reserved, source_troubles, sources, without_sources
from agentguard.policy.compile.text import text_rules, text_troubles
from agentguard.policy.json_schema.shapes import CompiledShape, compile_shape
from agentguard.policy.words import expected, shown, unknown


def add_workflow(parts: Parts, written: Written) -> None:
    """One workflow, compiled; or everything that is wrong with it."""
    file: models.Workflow = written.model
    name = file.metadata.name
    is_new = parts.is_new("workflow", name, written.source("metadata", "name"))
    before = len(parts.problems)
    written = with_included(parts, written)
    if len(parts.problems) > before:
        return
    parts.full.setdefault(name, written)
    compiled = _Workflow(parts, written).compile()
    if compiled is not None and is_new:
        parts.workflows[name] = compiled


def expect_workflow(written: Written) -> None:
    """Say what a workflow's conditions will be about, before any is compiled."""
    file: models.Workflow = written.model
    expect_names("inputs", file.inputs)
    for step in file.steps.values():
        expect_names("args", step.arguments)


class _Workflow:
    """Compiles one workflow."""

    def __init__(self, parts: Parts, written: Written) -> None:
        self.parts = parts
        self.written = written
        self.file: models.Workflow = written.model
        self.before = len(parts.problems)
        self.steps = StepNames(self.file.steps)
        self.growing = grows_in(self.file.steps)
        self.scopes: dict[str, Scope] = {}
        self.declared = Declared.of(self.file, parts.tools, parts.catalog)
        self.words = SourceWords.of(self.file, parts.tools, parts.tool_by_alias)

    def say(self, path: tuple[Any, ...], message: str) -> None:
        self.parts.say(self._source(path, message), message)

    def note(self, path: tuple[Any, ...], message: str) -> None:
        self.parts.note(self._source(path, message), message)

    def _source(self, path: tuple[Any, ...], message: str) -> Source:
        source = self.written.source(*path)
        if path[0] == "steps" and path[1:2] and path[1] in self.written.origin:
            self.parts.brings(source, message, self.file.metadata.name)
        return source

    def compile(self) -> Workflow | None:
        inputs = self._shape(("inputs",), self.file.inputs)
        kept = known_of_kept(self.file.steps)
        self._lets()
        steps = [self._step(name, step, inputs, kept) for name, step in self.file.steps.items()]
        budgets = [self._budget(name, budget) for name, budget in self.file.budgets.items()]
        counting, first_uses = self._triggers()
        for path, message in waits_too_long(self.file):
            self.note(path, message)
        if self.file.status is not None:
            name = shown(self.file.metadata.name)
            self.note(("status",), f"{name} is a draft: it permits nothing until somebody takes `status: draft` out")
        for path, message in flow_troubles(self.file.steps):
            self.say(path, message)
        keeps = {name: self.parts.keeps[self.file.metadata.name, name] for name in self.file.steps}
        for path, message in keep_troubles(keeps, self.file.steps, self.file.inputs):
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
            tells=self._tells(steps),
            draft=self.file.status is not None,
            places=self.words.named,
            lasts=self.file.lasts,
            idle=self.file.idle,
        )

    def _follows(self, steps: Iterable[Step | None]) -> bool:
        """Whether anything asks where values come from. Then no tool may be called like another source."""
        known = [step for step in steps if step is not None]
        places = any(is_place(word) for step in known for rule in step.texts for word in rule.sources)
        asked = places or any(step.sources or step.traced for step in known) or self._tells(known)
        if not asked and not self.words.untrusted:
            return False
        for name, step in self.file.steps.items():
            if is_reserved(step.tool):
                message = f"no tool can be called {shown(step.tool)} where values are followed: it is another source"
                self.say(("steps", name, "tool"), message)
        return True

    @staticmethod
    def _tells(steps: Iterable[Step | None]) -> bool:
        """Whether anything asks what a text carries of what tools returned."""
        return any(rule.tools for step in steps if step is not None for rule in step.texts)

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
        self, name: str, step: models.StepEntry, inputs: CompiledShape | None, kept: Mapping[str, Known]
    ) -> Step | None:
        here = ("steps", name)
        tool = self.parts.tools.get(step.tool)
        if tool is None:
            self.say((*here, "tool"), unknown("tool", step.tool, self.parts.tools, self.parts.tool_by_alias))
        else:
            self._destinations(name, step, tool)
        troubles = [
            *source_troubles(step.arguments, tool, self.words),
            *text_troubles(step.arguments, self.words),
        ]
        for path, message in troubles:
            self.say((*here, "arguments", *path), message)
        declared = self.declared
        filling = list(fill_troubles(step, tool, declared))
        for path, message in filling:
            self.say((*here, "arguments", *path), message)
        limits = [
            *limit_troubles(step),
            *((("reaches", *path), message) for path, message in reach_troubles(step, self.file.inputs, set(kept))),
        ]
        for path, message in limits:
            self.say((*here, *path), message)
        said = gives_nothing_back(tool) if tool is not None and step.counting is not None else None
        if said is not None:
            self.note((*here, "counting"), said)
        plain = without_fill(without_sources(step.arguments))
        plain, refers, misreferred = with_references(plain, self.file.inputs, declared.kept)
        for path, message in misreferred:
            self.say((*here, "arguments", *path), message)
        shape = self._shape((*here, "arguments"), plain)
        self._keeps(name, step)
        if shape is None or inputs is None or tool is None or troubles or filling or limits or misreferred:
            return None
        fills = fills_of(step, tool, declared)
        reaches = reaches_of(step, lambda *path: self.written.source(*here, *path))
        scope = Scope.make(
            arguments=shape.schema,
            inputs=inputs.schema,
            kept=kept,
            origins=self.words.in_conditions,
            steps=self.steps,
            subjects=self.file.subjects,
            has_destinations=bool(tool.destinations or step.reaches),
        )
        scope, wrong = with_lets(scope, named_in(self._texts(name, step), self.file.let), self.file.let)
        for let, message in wrong:
            self.say(("let", let), f"let.{let}, which step {shown(name)} uses: {message}")
        if wrong:
            return None
        self.scopes[name] = scope
        conditions = [
            self._condition((*here, "require", i), entry.that, scope, f"condition {i + 1} of {shown(name)}")
            for i, entry in enumerate(step.require)
        ]
        for text in self._texts(name, step):
            for message in done_for_troubles(text, self.file.steps):
                self.say((*here, "require"), message)
        for index, entry in enumerate(step.require):
            for message in could_be_filled(entry.that, step, declared):
                self.note((*here, "require", index), message)
        self._over_nothing((*here, "require"), conditions)
        approval = self._approval((*here, "approval"), step.approval, scope)
        if step.approval is None:
            self._relies_on_outsiders(name, step, conditions)
            self._comes_from_chosen(name, step)
        texts = text_rules(step.arguments, self.words)
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
            all_hold=_joined(conditions, scope),
            up_to=None if place.up_to is None else Sensitivity.parse(place.up_to),
            allow_unclassified=place.unclassified == "allow",
            max_age=identity.max_age,
            minimum_assurance=None if identity.assurance is None else Assurance.parse(identity.assurance),
            bound_to_call=identity.proof == "call",
            approval=approval,
            not_above=None if step.not_above is None else Sensitivity.parse(step.not_above),
            sources=sources(step.arguments, self.words),
            traced=frozenset(step.arguments if "origins" in self._words(name, step) else ()),
            rests_on_run=reads_kept(fills)
            or refers_to_kept(refers)
            or not {"kept", "origins"}.isdisjoint(self._words(name, step))
            or _rest_on_run(texts)
            or read_kept(reaches),
            texts=texts,
            refers=refers,
            hints=hints_of(step, conditions, self.growing),
            fills=fills,
            null_is_absent=nulls_of(step.arguments),
            per=per_of(step),
            counts_successes=step.counting is not None,
            reaches=reaches,
        )

    def _relies_on_outsiders(
        self, name: str, step: models.StepEntry, conditions: Sequence[CompiledCondition | None]
    ) -> None:
        """Kept values that outsiders write, and no person is asked: whoever writes them decides what this step does."""
        reads = {place[1] for condition in conditions if condition is not None for place in condition.found.reads
                 if place[0] == "kept" and len(place) > 1}  # fmt: skip
        looked = Looked()
        for condition in conditions:
            looked.at |= set() if condition is None else condition.found.kept.at
            looked.counted |= set() if condition is None else condition.found.kept.counted
        for word in sorted(map(str, reads)):
            keeping = [
                (other, tool.name, written)
                for other, entry in self.file.steps.items()
                if word in entry.keep and (tool := self.parts.tools.get(entry.tool)) is not None
                if (written := written_at(entry.keep[word], tool, word, looked)) is not None
            ]
            if keeping:
                steps = ", ".join(shown(other) for other, _, _ in keeping)
                _, tool_name, written = keeping[0]
                self.note(
                    ("steps", name, "require"),
                    f"step {shown(name)} relies on `kept.{word}` and asks nobody: outsiders write it (kept by {steps}; "
                    f"`untrusted_results` of {shown(tool_name)} says {shown(written)}), so they decide what this step "
                    "may do; look at a field that they do not write, too, or ask a person with `approval`",
                )

    def _comes_from_chosen(self, name: str, step: models.StepEntry) -> None:
        """Arguments from what is kept, where outsiders choose which clean value that is."""
        for each in all_from(step.arguments):
            argument = shown(place_in_words(each.place))
            for word in listed_words(each.schema[FROM]):
                kept = word.removeprefix("kept.")
                keeping = self.words.places.chosen(kept) if word in self.words.in_from and kept != word else []
                if keeping:
                    self.note(
                        ("steps", name, "arguments", *each.where, FROM),
                        f"{argument} comes from {shown(word)}, and outsiders choose which value is kept there "
                        f"(kept by {', '.join(map(shown, keeping))}); a person can be asked with `approval`",
                    )

    def _words(self, name: str, step: models.StepEntry) -> frozenset[str]:
        """The words that this step's expressions begin with. By the word alone: one that stands in a text by chance
        costs a little time, or a refusal while the run has lost track, and nothing else."""
        texts = self._texts(name, step)
        texts += [self.file.let[let] for let in named_in(texts, self.file.let)]
        return frozenset(word for text in texts for word in _NAME_IN_TEXT.findall(text))

    def _texts(self, name: str, step: models.StepEntry) -> list[str]:
        """The expressions of a step."""
        texts = [entry.that for entry in step.require]
        texts += [] if step.approval is None else [step.approval.when or ""]
        return texts + [budget.total or "" for budget in self.file.budgets.values() if name in budget.of]

    def _lets(self) -> None:
        """Names that can be used, each by something."""
        for let, message in let_troubles(self.file.let):
            self.say(("let", let), f"let.{let}: {message}")
        texts = [text for name, step in self.file.steps.items() for text in self._texts(name, step)]
        for let in sorted(self.file.let.keys() - {*named_in(texts, self.file.let)}):
            self.say(("let", let), f"let.{let}: no condition and no amount uses it; remove it")

    def _destinations(self, name: str, step: models.StepEntry, tool: ToolDeclaration) -> None:
        if (tool.destinations or step.reaches) and step.destinations is None:
            who = shown(step.tool) if tool.destinations else "it"
            message = f"{who} reaches destinations, so the step must say how far: `destinations: {{up_to: ...}}`"
            self.say(("steps", name), message)
        elif step.destinations is not None and not tool.destinations and not step.reaches:
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
            compiled = compile_condition(text, scope, f"{named}, {_file_name(source.file)}:{source.line}")
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
        if not check_people(self.parts, self.written, path, rule):
            return None
        named = f"`approval.when` of {shown(path[1])}"
        when = None if rule.when is None else self._condition((*path, "when"), rule.when, scope, named)
        show = shown_to_people(rule, self.file, self.file.steps[path[1]].arguments)
        for label, message in show.troubles:
            self.say((*path, "show", label), message)
        because = () if rule.because is None else (rule.because,)
        return replace(rule_of(rule), when=when, because=because, show=show.paths)

    def _keeps(self, name: str, step: models.StepEntry) -> None:
        keeps, troubles = compiled_keeps(step)
        for path, message in troubles:
            self.say(("steps", name, "keep", *path), f"keep.{path[0]}: {message}")
        self.parts.keeps[self.file.metadata.name, name] = keeps

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
        counting = budget.counting is not None
        for step in sorted({self.file.steps[step].tool for step in budget.of}) if counting and known else ():
            tool = self.parts.tools.get(step)
            said = None if tool is None else gives_nothing_back(tool)
            if said is not None:
                self.note((*here, "counting"), f"budgets.{name}.{said}")
        return Budget(name, frozenset(budget.of), amount, at_most, budget.per, counting)

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


@lru_cache(maxsize=1024)
def _file_name(path: str) -> str:
    return PurePath(path).name


def _rest_on_run(texts: Iterable[TextRule]) -> bool:
    """Whether a rule of a text looks at what tools returned, or at what was kept of it."""
    words = {word for rule in texts for word in rule.sources}
    return any(rule.nothing_of for rule in texts) or any(root_of(word) != "inputs" for word in words)


_NAME_IN_TEXT = re.compile(r"(?<![\w.])[a-z]+\b")


_ROOT = re.compile(r"[.\[]")


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


def _joined(conditions: Sequence[CompiledCondition | None], scope: Scope) -> JoinedConditions | None:
    known = [condition for condition in conditions if condition is not None]
    return JoinedConditions(known, scope) if len(known) > 1 and len(known) == len(conditions) else None
