"""A picture of a workflow, and where one run of it stands: the steps in a line, what waits for what beside it.

Only places and words are found here; the template draws them. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from agentguard.core.facts import RunState, RunStatus
from agentguard.core.policy import Step, Workflow

ROW = 56
_LANE = 16
_LEFT = 14
# What a letter of a name takes, at most, in the fonts and sizes of the style sheet.
_LETTER = 9

# What can be said of a step in a run, each with its sign.
_SIGNS = {
    "done": "v", "failed": "!", "waiting": "?", "next": "", "later": "", "never": "x",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stop:
    """One step, drawn on a line of its own."""

    name: str
    tool: str
    y: int
    standing: str
    sign: str
    says: str
    asks: bool


@dataclass(frozen=True, slots=True)
class Link:
    """What one step has to do with another. ``kind``: ``after``, ``any`` (one of several) or ``not`` (never after)."""

    path: str
    kind: str
    end: tuple[int, int]
    says: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything to draw, in pixels."""

    width: int
    height: int
    x: int
    stops: Sequence[Stop]
    links: Sequence[Link]


def picture(workflow: Workflow, run: RunState, waiting: Collection[str] = ()) -> Picture:
    """A workflow, and where a run of it stands. ``waiting``: its steps that wait for a person."""
    # Another workflow of the name is in force now: a run of the old one permits nothing.
    open_ = run.status is RunStatus.ACTIVE and run.workflow_digest == workflow.digest
    steps = _in_order(workflow.steps)
    row = {step.name: index for index, step in enumerate(steps)}
    lanes = _Lanes()
    ties = [(kind, earlier, step.name) for step in steps for kind, earlier in _ties(step) if earlier in row]
    drawn = [(kind, one, other, _lane(lanes, kind, row[one], row[other])) for kind, one, other in ties]
    x = _LEFT + _LANE * lanes.used
    links = [_link(kind, one, other, x, row[one], row[other], lane) for kind, one, other, lane in drawn]
    stops = [_stop(step, index, run, open_, waiting) for index, step in enumerate(steps)]
    longest = max((len(text) for stop in stops for text in (stop.name, f"{stop.tool}  {stop.says}")), default=0)
    return Picture(x + 30 + longest * _LETTER, ROW * len(steps), x, stops, links)


def _in_order(steps: Sequence[Step]) -> Sequence[Step]:
    """Each after all that it waits for; where that leaves a choice, as the owner wrote them."""
    left, found, seen = list(steps), list[Step](), set[str]()
    names = {step.name for step in steps}
    while left:
        ready = (step for step in left if {*step.after, *step.after_any} & names <= seen)
        step = next(ready, left[0])  # those that wait for each other stand as they were written
        left.remove(step)
        found.append(step)
        seen.add(step.name)
    return found


def _ties(step: Step) -> Iterable[tuple[str, str]]:
    yield from (("after", name) for name in step.after)
    yield from (("any", name) for name in step.after_any)
    yield from (("not", name) for name in step.not_after)


class _Lanes:
    """Lanes left of the steps, so that no two lines lie on each other."""

    def __init__(self) -> None:
        self._taken: list[list[tuple[int, int]]] = []

    @property
    def used(self) -> int:
        return len(self._taken)

    def take(self, low: int, high: int) -> int:
        for number, taken in enumerate(self._taken):
            if all(high <= begins or ends <= low for begins, ends in taken):
                taken.append((low, high))
                return number
        self._taken.append([(low, high)])
        return len(self._taken) - 1


def _lane(lanes: _Lanes, kind: str, one: int, other: int) -> int | None:
    """None: straight down, from a step to the next."""
    straight = kind == "after" and other == one + 1
    return None if straight else lanes.take(min(one, other), max(one, other))


def _link(kind: str, one: str, other: str, x: int, first: int, last: int, lane: int | None) -> Link:
    words = {"after": "waits for", "any": "waits for this or another:", "not": "never runs once this succeeded:"}
    begin, end = _middle(first), _middle(last)
    says = f"{other} {words[kind]} {one}"
    if lane is None:
        return Link(f"M{x} {begin + 10}V{end - 11}", kind, (x, end - 10), says)
    side = x - 14 - _LANE * lane
    down = 1 if end > begin else -1
    bend = f"H{side + 7}Q{side} {begin} {side} {begin + 7 * down}V{end - 7 * down}Q{side} {end} {side + 7} {end}"
    return Link(f"M{x - 10} {begin}{bend}H{x - 11}", kind, (x - 10, end), says)


def _middle(index: int) -> int:
    return ROW * index + ROW // 2


def _stop(step: Step, index: int, run: RunState, open_: bool, waiting: Collection[str]) -> Stop:
    standing, says = _standing(step, run, open_, waiting)
    return Stop(step.name, step.tool, _middle(index), standing, _SIGNS[standing], says, step.approval is not None)


def _standing(step: Step, run: RunState, open_: bool, waiting: Collection[str]) -> tuple[str, str]:
    """Where a step stands in a run, and that in words."""
    calls = run.counts.get(step.name, 0)
    times = "" if not calls else f"{calls} of {step.at_most} calls" if step.at_most is not None else _calls(calls)
    if step.name in waiting:
        return "waiting", _said("waits for a person", times)
    if step.name in run.succeeded:
        return "done", _said("done", times)
    if any(name in run.succeeded for name in step.not_after):
        return "never", _said("not any more in this run", times)
    if calls:
        return "failed", _said("called, not succeeded", times)
    if not open_:
        return "later", "was not called"
    any_ = not step.after_any or not run.succeeded.isdisjoint(step.after_any)
    ready = any_ and run.succeeded.issuperset(step.after)
    return ("next", "may come next") if ready else ("later", "not yet")


def _said(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
