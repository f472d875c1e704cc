"""A draft as data: its steps, what stands behind each line, and what an owner must still say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentguard.core.values import Sensitivity, ToolEffect
from agentguard.evidence.learn.arguments import Learnt

# What marks a line that waits for an owner's word.
OWNER = "OWNER"


@dataclass(frozen=True, slots=True)
class Tooling:
    """What is known of a tool. ``places``: arguments that are destinations; ``has_places``: whether Tools declares any.
    ``guess``: what the effect was guessed from; None: somebody declared it."""

    effect: ToolEffect
    secrets: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    has_places: bool = False
    guess: str | None = None

    @property
    def reads(self) -> bool:
        """Whether it does nothing but read."""
        return self.effect is ToolEffect.READ


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the calls of a step went: the most sensitive listed place, and how many runs reached unlisted ones."""

    up_to: Sensitivity | None
    unlisted: int


@dataclass(frozen=True, slots=True)
class Together:
    """Arguments of a step that one call of another tool returned, as a step could keep them: path by argument; in how
    many of the runs nothing else was looked up before."""

    tool: str
    paths: Mapping[str, str]
    runs: int
    of: int


@dataclass(frozen=True, slots=True)
class LearntBudget:
    """What a step moved, added up. ``at_most``: a round number with as much room again, for one run; None: a run makes
    one call. ``in_run``, ``on_day``: the most that was seen."""

    step: str
    argument: str
    at_most: int | None
    in_run: float
    on_day: float
    days: int


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
    together: list[Together] = field(default_factory=list)
    budgets: list[LearntBudget] = field(default_factory=list)


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
                "together": [
                    {"tool": each.tool, "paths": dict(each.paths), "runs": each.runs, "of": each.of}
                    for each in step.together
                ],
                "budgets": [
                    {"argument": each.argument, "at_most": each.at_most, "in_run": each.in_run, "on_day": each.on_day}
                    for each in step.budgets
                ],
            }
            for step in draft.steps
        ],
        "set_aside": [{"run": run, "why": why} for run, why in sorted(draft.set_aside.items())],
        "left_out": [{"tool": tool, "why": why} for tool, why in sorted(draft.left_out.items())],
    }
