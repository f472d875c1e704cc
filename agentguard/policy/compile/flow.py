"""The order of a workflow's steps: names that are not there, circles, and steps that can never be reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any, Protocol, TypeAlias

from agentguard.policy.words import shown, unknown

Trouble: TypeAlias = "tuple[tuple[Any, ...], str]"


class StepOrder(Protocol):
    """What a step says about the others."""

    @property
    def after(self) -> list[str]:
        """All of these must have succeeded."""

    @property
    def after_any(self) -> list[str]:
        """One of these must have succeeded."""

    @property
    def not_after(self) -> list[str]:
        """None of these may have been called."""


def flow_troubles(steps: Mapping[str, StepOrder]) -> Iterator[Trouble]:
    """Everything wrong with the order of these steps, as (path, message)."""
    lost = False
    for name, step in steps.items():
        for key in ("after", "after_any", "not_after"):
            named: list[str] = getattr(step, key)
            for index, other in enumerate(named):
                if other not in steps:
                    lost = True
                    yield ("steps", name, key, index), unknown("step", other, steps)
                elif other in named[:index]:
                    yield ("steps", name, key, index), f"{shown(other)} is listed twice"
    if lost:
        return
    reachable = _reachable(steps)
    for name, step in steps.items():
        needed = _needed(name, steps)
        if name in needed:
            circle = " -> ".join(_circle(name, steps))
            yield ("steps", name, "after"), f"steps wait for each other, so none can begin: {circle}"
        elif name not in reachable:
            key = "after_any" if step.after_any and not reachable & set(step.after_any) else "after"
            yield ("steps", name, key), f"step {shown(name)} can never be reached: what it waits for never happens"
        for index, other in enumerate(step.not_after):
            if other in needed:
                message = f"step {shown(name)} can never be reached: it comes after {shown(other)} and never after it"
                yield ("steps", name, "not_after", index), message


def _reachable(steps: Mapping[str, StepOrder]) -> Set[str]:
    """The steps that can happen at all, looking at ``after`` and ``after_any``."""
    found: set[str] = set()
    pending = True
    while pending:
        pending = False
        for name, step in steps.items():
            if name in found or not found.issuperset(step.after):
                continue
            if not step.after_any or found.intersection(step.after_any):
                found.add(name)
                pending = True
    return found


def _needed(name: str, steps: Mapping[str, StepOrder]) -> Set[str]:
    """Every step that must have happened before this one."""
    found: set[str] = set()
    pending = list(steps[name].after)
    while pending:
        other = pending.pop()
        if other not in found:
            found.add(other)
            pending += steps[other].after
    return found


def _circle(name: str, steps: Mapping[str, StepOrder]) -> list[str]:
    """One way from a step back to itself."""
    pending = [[name]]
    seen: set[str] = set()
    while pending:
        way = pending.pop(0)
        for other in steps[way[-1]].after:
            if other == name:
                return [*way, name]
            if other not in seen:
                seen.add(other)
                pending.append([*way, other])
    return [name]
