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

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from types import MappingProxyType
from typing import Any

from agentguard.core.values import Sensitivity
from agentguard.evidence.draft.words import is_secret
from agentguard.evidence.learn.arguments import (
    MOST_AGREE,
    READS_AGREE,
    Explained,
    Learnt,
    as_given,
    learn_argument,
    source_of,
)
from agentguard.evidence.learn.aside import USUAL, set_aside, uses_of
from agentguard.evidence.learn.kept import put_together
from agentguard.evidence.learn.learnt import LearntStep, LearntWorkflow, Reach, Tooling
from agentguard.evidence.learn.limits import budgets, limit
from agentguard.evidence.learn.order import first_place, put_in_order
from agentguard.evidence.learn.texts import NOTHING, carried
from agentguard.evidence.traffic import PastCall, PastRun, Ran

# A tool that fewer runs use is left out: 5 of 100, and never a single one.
RARE = 0.05
FEWEST = 2

NO_INPUTS: Mapping[str, Any] = MappingProxyType({})
Reaching = Callable[[PastCall], Reach | None]


def learn(
    runs: Sequence[PastRun],
    tools: Mapping[str, Tooling],
    reaching: Reaching,
    inputs: Mapping[str, Any] = NO_INPUTS,
    names: Mapping[str, str] = NO_INPUTS,
) -> LearntWorkflow:
    """A draft from these runs. ``tools``: by name; a call of another is left out. ``reaching``: where a call led.
    ``inputs``: the schema of each input of a run. ``names``: what the step of a tool is called already; one of another
    name would be another step, of which no run knows whether it was done."""
    used = _by_tool(runs, tools)
    sources = {tool: _sources(tool, calls, tools) for tool, calls in used.items()}
    aside = set_aside(runs, used, sources, tools)
    clean = [run for run in runs if run.id not in aside]
    left_out = {
        name: f"not in Tools; called in {count} of {len(runs)} runs" for name, count in _unknown(runs, tools).items()
    }
    steps: list[LearntStep] = []
    taken = {*names.values()}
    for tool, calls in sorted(used.items()):
        kept = [(run, call) for run, call in calls if run.id not in aside]
        within = {run.id for run, _ in kept}
        # What an attacker's runs alone do with a tool that more than reads is shown to an owner all the same.
        shown = kept if kept or tools[tool].reads else calls
        count = len({run.id for run, _ in shown})
        if count < max(FEWEST, ceil(RARE * len(runs))):
            left_out[tool] = f"called in {count} of {len(runs)} runs"
            continue
        name = names.get(tool) or _step_name(tool, taken)
        taken.add(name)
        step = _step(name, tool, shown, runs, sources[tool], tools[tool], reaching, inputs, tried=len(within) > 0)
        steps.append(step)
    put_in_order(steps, clean)
    put_together(steps, clean)
    for step in steps:
        budgets(step, clean)
    steps.sort(key=lambda step: (first_place(step, clean), step.name))
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


def _arguments(calls: Iterable[tuple[PastRun, PastCall]]) -> list[str]:
    found: dict[str, None] = {}
    for _, call in calls:
        found.update(dict.fromkeys(call.arguments))
    return [*found]


def _sources(
    tool: str, calls: Sequence[tuple[PastRun, PastCall]], tools: Mapping[str, Tooling]
) -> dict[str, Explained | None]:
    def trusted(place: str) -> bool:
        if place.startswith("inputs."):
            return True
        root = max(
            (n for n in tools if place.startswith(n) and place[len(n) :][:1] in ("", ".", "[")), key=len, default=None
        )
        return root is not None and tools[root].reads and root != tool

    agree = READS_AGREE if tools[tool].reads else MOST_AGREE
    return {name: source_of(uses_of(name, calls), trusted, agree) for name in _arguments(calls)}


def _step(
    called: str,
    tool: str,
    calls: Sequence[tuple[PastRun, PastCall]],
    runs: Sequence[PastRun],
    sources: Mapping[str, Explained | None],
    known: Tooling,
    reaching: Reaching,
    inputs: Mapping[str, Any],
    *,
    tried: bool,
) -> LearntStep:
    within = {run.id: run for run, _ in calls}
    everybody = {run.id for run in runs if any(call.tool == tool and call.ran is Ran.SUCCEEDED for call in run.calls)}
    step = LearntStep(
        name=called,
        tool=tool,
        reads=known.reads,
        runs=len(within),
        requesters=len({run.requester for run in within.values() if run.requester}),
        days=len({run.day for run in within.values() if run.day}),
        breaks=len(everybody - within.keys()),
    )
    for name in _arguments(calls):
        uses = uses_of(name, calls)
        secret = name in known.secrets or is_secret(name)
        learnt = learn_argument(
            name, uses, len(calls), sources.get(name), reads=known.reads, is_place=name in known.places, named=secret,
            carries=NOTHING if known.reads else carried(name, calls),
        )  # fmt: skip
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
    limit(step, within.values())
    if known.has_places:
        _reach(step, [call for _, call in calls], reaching)
    return step


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
