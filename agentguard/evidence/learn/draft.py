"""A workflow out of what an agent did: its steps, their order, their arguments, and what an owner must still say.

The rules:

1. Traffic may be an attacker's. A run that breaks what most runs agree on, or that does with a tool that more than
   reads what few runs do, is *set aside*: nothing is learnt from it, and it counts among those that would break the
   draft.
2. A tool that more than reads is permitted without a person only where each argument has a source that an attacker
   does not hold: an input of the run, or a clean field of what a reading tool returned. Everything else is asked of a
   person, each time, until an owner has said what is right and takes the question out.
3. What is done in few runs is left out, and listed.
4. Calls that failed teach nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from types import MappingProxyType
from typing import Any

from agentguard.core.values import Sensitivity, ToolEffect
from agentguard.evidence.learn.arguments import (
    HIDDEN,
    MOST_AGREE,
    READS_AGREE,
    SECRET_NAMES,
    Learnt,
    Source,
    Use,
    as_given,
    is_nothing,
    learn_argument,
    source_of,
    visible,
)
from agentguard.evidence.traffic import PastCall, PastRun, Ran

# A tool that fewer runs use is left out: 5 of 100, and never a single one.
RARE = 0.05
FEWEST = 2
# What a tool that more than reads does on its own account must be usual: done in one of three runs.
USUAL = 1 / 3
# Calls of a reading tool in one run: so much more than ever seen, because agents try again.
READ_AGAIN, READ_AT_LEAST = 3, 10
# Of the runs that use a tool that more than reads, so many must make do with one call, or one for each value.
ENOUGH_CALLS = 0.95
# What must have come before in all runs is learnt from so many, not from three.
ORDER_FROM = 8


@dataclass(frozen=True, slots=True)
class Tooling:
    """What is known of a tool. ``reads``: it only reads. ``trusted``: whether outsiders cannot write at a path of its
    result. ``places``: arguments that are destinations; ``reaches``: how sensitive a place its calls reached, where all
    were listed; None: it reaches none."""

    effect: ToolEffect
    secrets: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    has_places: bool = False

    @property
    def reads(self) -> bool:
        """Whether it does nothing but read."""
        return self.effect is ToolEffect.READ


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the calls of a step went: the most sensitive listed place, and how many runs reached unlisted ones."""

    up_to: Sensitivity | None
    unlisted: int


@dataclass(slots=True)
class LearntStep:
    """One step of a draft. ``questions``: what an owner must say before nobody is asked any more."""

    name: str
    tool: str
    reads: bool
    runs: int
    requesters: int
    days: int
    breaks: int
    arguments: dict[str, Learnt] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    at_most: int = 1
    per: str | None = None
    most_calls: str = ""
    reach: Reach | None = None
    questions: list[str] = field(default_factory=list)


@dataclass(slots=True)
class LearntWorkflow:
    """A draft as data. ``set_aside``: by run, why nothing was learnt from it. ``left_out``: by tool, why it has no
    step."""

    steps: list[LearntStep]
    runs: int
    requesters: int
    days: int
    set_aside: dict[str, str]
    left_out: dict[str, str]


NO_INPUTS: Mapping[str, Any] = MappingProxyType({})
Reaching = Callable[[PastCall], Reach | None]


def learn(
    runs: Sequence[PastRun], tools: Mapping[str, Tooling], reaching: Reaching, inputs: Mapping[str, Any] = NO_INPUTS
) -> LearntWorkflow:
    """A draft from these runs. ``tools``: by name; a call of another is left out. ``reaching``: where a call led.
    ``inputs``: the schema of each input of a run."""
    used = _by_tool(runs, tools)
    sources = {tool: _sources(tool, calls, tools) for tool, calls in used.items()}
    aside = _set_aside(runs, used, sources, tools)
    clean = [run for run in runs if run.id not in aside]
    left_out = {
        name: f"not in Tools; called in {count} of {len(runs)} runs" for name, count in _unknown(runs, tools).items()
    }
    steps: list[LearntStep] = []
    taken: set[str] = set()
    for tool, calls in sorted(used.items()):
        kept = [(run, call) for run, call in calls if run.id not in aside]
        within = {run.id for run, _ in kept}
        # What an attacker's runs alone do with a tool that more than reads is shown to an owner all the same.
        shown = kept if kept or tools[tool].reads else calls
        count = len({run.id for run, _ in shown})
        if count < max(FEWEST, ceil(RARE * len(runs))):
            left_out[tool] = f"called in {count} of {len(runs)} runs"
            continue
        step = _step(tool, shown, runs, sources[tool], tools[tool], reaching, taken, inputs, tried=len(within) > 0)
        steps.append(step)
    _order(steps, clean)
    steps.sort(key=lambda step: (_first_place(step, clean), step.name))
    return LearntWorkflow(
        steps,
        len(runs),
        len({run.requester for run in runs if run.requester}),
        len({run.day for run in runs if run.day}),
        aside,
        left_out,
    )


def _by_tool(runs: Iterable[PastRun], tools: Mapping[str, Tooling]) -> dict[str, list[tuple[PastRun, PastCall]]]:
    found: dict[str, list[tuple[PastRun, PastCall]]] = {}
    for run in runs:
        for call in run.calls:
            if call.ran is Ran.SUCCEEDED and call.tool in tools:
                found.setdefault(call.tool, []).append((run, call))
    return found


def _unknown(runs: Iterable[PastRun], tools: Mapping[str, Tooling]) -> dict[str, int]:
    found: dict[str, set[str]] = {}
    for run in runs:
        for call in run.calls:
            if call.tool not in tools:
                found.setdefault(call.tool, set()).add(run.id)
    return {name: len(ids) for name, ids in sorted(found.items())}


def uses_of(name: str, calls: Iterable[tuple[PastRun, PastCall]]) -> list[Use]:
    """Each value of an argument."""
    found = []
    for run, call in calls:
        if name in call.arguments:
            value = call.arguments[name]
            hidden = name in call.hidden or not visible(value)
            places = None if call.seen_in is None else call.seen_in.get(name, ())
            found.append(Use(run.id, HIDDEN if hidden else value, places))
    return found


def _arguments(calls: Iterable[tuple[PastRun, PastCall]]) -> list[str]:
    found: dict[str, None] = {}
    for _, call in calls:
        found.update(dict.fromkeys(call.arguments))
    return [*found]


def _sources(
    tool: str, calls: Sequence[tuple[PastRun, PastCall]], tools: Mapping[str, Tooling]
) -> dict[str, Source | None]:
    def trusted(place: str) -> bool:
        if place.startswith("inputs."):
            return True
        root = max(
            (n for n in tools if place.startswith(n) and place[len(n) :][:1] in ("", ".", "[")), key=len, default=None
        )
        return root is not None and tools[root].reads and root != tool

    agree = READS_AGREE if tools[tool].reads else MOST_AGREE
    return {name: source_of(uses_of(name, calls), trusted, agree) for name in _arguments(calls)}


def _set_aside(
    runs: Sequence[PastRun],
    used: Mapping[str, Sequence[tuple[PastRun, PastCall]]],
    sources: Mapping[str, Mapping[str, Source | None]],
    tools: Mapping[str, Tooling],
) -> dict[str, str]:
    """Rule 1, with the reason for each."""
    aside: dict[str, str] = {}
    for tool, calls in sorted(used.items()):
        within = {run.id for run, _ in calls}
        for name, source in sources[tool].items():
            if source is not None:
                said = f"`{tool}` got `{name}` from elsewhere than {' or '.join(source.words)}"
                aside |= dict.fromkeys(sorted(source.breaks - aside.keys()), said)
        if tools[tool].reads or len(within) >= USUAL * len(runs):
            continue
        explained = all(
            (source is not None and source.words[0].startswith("inputs.")) or _only_nothing(uses_of(name, calls))
            for name, source in sources[tool].items()
        )
        if not explained or not sources[tool]:
            for run in within:
                aside.setdefault(run, f"`{tool}` was called in {len(within)} of {len(runs)} runs only")
    # Where nearly everybody is, nobody is the exception: then all are asked about.
    return aside if len(aside) <= len(runs) / 2 else {}


def _only_nothing(uses: Sequence[Use]) -> bool:
    return all(use.value is not HIDDEN and is_nothing(use.value) for use in uses)


def _step(
    tool: str,
    calls: Sequence[tuple[PastRun, PastCall]],
    runs: Sequence[PastRun],
    sources: Mapping[str, Source | None],
    known: Tooling,
    reaching: Reaching,
    taken: set[str],
    inputs: Mapping[str, Any],
    *,
    tried: bool,
) -> LearntStep:
    within = {run.id: run for run, _ in calls}
    everybody = {run.id for run in runs if any(call.tool == tool and call.ran is Ran.SUCCEEDED for call in run.calls)}
    step = LearntStep(
        name=_step_name(tool, taken),
        tool=tool,
        reads=known.reads,
        runs=len(within),
        requesters=len({run.requester for run in within.values() if run.requester}),
        days=len({run.day for run in within.values() if run.day}),
        breaks=len(everybody - within.keys()),
    )
    for name in _arguments(calls):
        uses = uses_of(name, calls)
        secret = name in known.secrets or SECRET_NAMES.search(name) is not None
        learnt = learn_argument(
            name, uses, len(calls), sources.get(name), reads=known.reads, is_place=name in known.places, named=secret
        )
        step.arguments[name] = learnt = as_given(learnt, inputs)
        if learnt.question is not None:
            step.questions.append(learnt.question)
    if not known.reads and not any(each.rests_on not in ("", "text") for each in step.arguments.values()):
        step.questions.append("no argument has a source, so it may be called with anything")
    if not tried:
        step.questions.append("called only in runs that were set aside")
    elif not known.reads and len(within) < USUAL * len(runs):
        rest = [each.rests_on for each in step.arguments.values() if each.rests_on and each.rests_on != "text"]
        if not all(place.startswith("inputs.") for place in rest):
            step.questions.append(f"called in {len(within)} of {len(runs)} runs only")
    _limit(step, within.values())
    if known.has_places:
        _reach(step, [call for _, call in calls], reaching)
    return step


def _limit(step: LearntStep, runs: Collection[PastRun]) -> None:
    """How often. What more than reads is called once, or once for each value of an argument, or an owner is asked."""
    tried = [[call for call in run.calls if call.tool == step.tool and call.ran is not Ran.NOT_RUN] for run in runs]
    most = max(map(len, tried))
    if step.reads:
        step.at_most, step.most_calls = max(READ_AT_LEAST, READ_AGAIN * most), f"at most {most} in one run were seen"
        return
    needed = ceil(ENOUGH_CALLS * len(tried))
    for name in (None, *(name for name, each in step.arguments.items() if each.rests_on not in ("", "text"))):
        fits = sum(len(calls) <= 1 if name is None else _differ(calls, name) for calls in tried)
        if fits >= needed:
            step.per = None if name is None else f"args.{name}"
            step.most_calls = f"enough for {fits} of {len(tried)} runs; {len(tried) - fits} would break it"
            return
    step.at_most, step.most_calls = most, f"{OWNER}: so many were seen in one run"
    step.questions.append("how often it may be called in one run")


OWNER = "OWNER"


def _differ(calls: Sequence[PastCall], name: str) -> bool:
    values = [repr(call.arguments.get(name)) for call in calls if name in call.arguments]
    return len(values) == len(calls) == len(set(values))


def _reach(step: LearntStep, calls: Sequence[PastCall], reaching: Reaching) -> None:
    found = [reach for reach in map(reaching, calls) if reach is not None]
    levels = [reach.up_to for reach in found if reach.up_to is not None]
    unlisted = sum(reach.unlisted for reach in found)
    step.reach = Reach(max(levels, default=Sensitivity.PUBLIC), unlisted)
    if unlisted or len(found) < len(calls):
        step.questions.append("it went to places that Destinations does not list")
    elif not step.reads and any(not _given(each) for each in step.arguments.values() if each.rests_on != "text"):
        step.questions.append(
            f"how far it may reach: {step.reach.up_to.word if step.reach.up_to else 'nowhere'} was seen"
        )


def _given(learnt: Learnt) -> bool:
    return learnt.rests_on.startswith("inputs.")


def _step_name(tool: str, taken: set[str]) -> str:
    """The tool's name as a step's: of two that come to the same, the second has a number."""
    base = "".join(c if (c.isalnum() and c.isascii()) or c in "_-" else "-" for c in tool).strip("-_.")[:80] or "step"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    taken.add(name)
    return name


def _order(steps: Sequence[LearntStep], runs: Sequence[PastRun]) -> None:
    """What had succeeded before a tool that more than reads, in every run that uses it."""
    by_tool = {step.tool: step for step in steps}
    for step in steps:
        if step.reads:
            continue
        before: list[set[str]] = []
        for run in runs:
            done: set[str] = set()
            for call in run.calls:
                if call.tool == step.tool and call.ran is not Ran.NOT_RUN:
                    before.append(set(done))
                    break
                if call.ran is Ran.SUCCEEDED and call.tool in by_tool:
                    done.add(call.tool)
        if len(before) < ORDER_FROM:
            continue
        always = set.intersection(*before) - {step.tool}
        # A step that asks each time stands in the way of what waits for it: only what runs by itself is waited for.
        firm = {tool for tool in always if not by_tool[tool].questions}
        for tool in sorted(firm):
            step.after[by_tool[tool].name] = f"{len(before)} of {len(before)} runs"
    for step in steps:  # what is waited for already by what is waited for
        implied = {name for other in step.after for name in next(s.after for s in steps if s.name == other)}
        step.after = {name: said for name, said in step.after.items() if name not in implied}


def _first_place(step: LearntStep, runs: Sequence[PastRun]) -> float:
    """Where in a run the tool is called first, on average: the order in which a reader expects the steps."""
    places = [
        next(at for at, call in enumerate(run.calls) if call.tool == step.tool) / max(1, len(run.calls))
        for run in runs
        if any(call.tool == step.tool for call in run.calls)
    ]
    return sum(places) / len(places) if places else 1.0


def told(draft: LearntWorkflow) -> dict[str, Any]:
    """The draft's numbers, for a program."""
    return {
        "runs": draft.runs,
        "requesters": draft.requesters,
        "days": draft.days,
        "steps": [
            {
                "step": step.name,
                "tool": step.tool,
                "runs": step.runs,
                "requesters": step.requesters,
                "days": step.days,
                "would_break": step.breaks,
                "at_most": step.at_most,
                "after": [*step.after],
                "questions": step.questions,
            }
            for step in draft.steps
        ],
        "set_aside": [{"run": run, "why": why} for run, why in sorted(draft.set_aside.items())],
        "left_out": [{"tool": tool, "why": why} for tool, why in sorted(draft.left_out.items())],
    }
