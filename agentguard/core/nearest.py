"""Of the steps that a refused call was judged against, which was meant: the one under which the call came furthest.

The rules:

1. A call comes as far as its worst finding lets it: arguments of another shape are another call; then values from
   elsewhere; then a condition that is false; then one that lacks something; then a place; then order, limits and proof.
2. Of steps as far as each other, the one with fewer findings; then the one whose name comes first.
3. What a step would only ask people is no reason for a refusal.

Pure. It is for people who read a refusal: no decision looks at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from agentguard.core.decision import Decision

# How far a call came that was refused for this; for anything else it came to the end.
_HOW_FAR = {
    "arguments_invalid": 0,
    "arguments_too_large": 0,
    "provenance_unmet": 1,
    "condition_false": 2,
    "condition_failed": 3,
    "destination_unclassified": 4,
    "destination_not_allowed": 4,
    "destination_too_sensitive": 4,
}
_TO_THE_END = 5


class Found(Protocol):
    """A finding, of a decision or of its record."""

    @property
    def effect(self) -> object: ...
    @property
    def reason(self) -> object: ...
    @property
    def step(self) -> str | None: ...

    @property
    def detail(self) -> str: ...


F = TypeVar("F", bound=Found)
# So many of the other steps are named.
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Refusal(Generic[F]):
    """Why a call was refused: what is wrong with it under any step, and under each, the nearest step first."""

    of_the_call: tuple[F, ...]
    steps: tuple[tuple[str, tuple[F, ...]], ...]


def refusal(findings: Iterable[F]) -> Refusal[F]:
    """The findings of a denied call by step, the nearest first. In a step's own, what stops the call first is first."""
    denying = [found for found in findings if str(found.effect) == "deny"]
    by_step: dict[str, list[F]] = {}
    for found in denying:
        if found.step is not None:
            by_step.setdefault(found.step, []).append(found)
    ordered = sorted(by_step.items(), key=lambda entry: (-_far(entry[1]), len(entry[1]), entry[0]))
    return Refusal(
        tuple(found for found in denying if found.step is None),
        tuple((name, tuple(sorted(found, key=_stage))) for name, found in ordered),
    )


def _far(found: Sequence[Found]) -> int:
    return min(map(_stage, found))


def _stage(found: Found) -> int:
    return _HOW_FAR.get(str(found.reason), _TO_THE_END)


def told(effect: object, findings: Iterable[F], *, everything: bool = False) -> Iterator[F | str]:
    """The findings to read, in order. Of a refused call those of the nearest step, and one line about all others."""
    if str(effect) != "deny":
        yield from findings
        return
    found = refusal(findings)
    yield from found.of_the_call
    for _, of_step in found.steps if everything else found.steps[:1]:
        yield from of_step
    others = () if everything else found.steps[1:]
    if others:
        names = ", ".join(f"`{name}`" for name, _ in others[:_MOST_NAMED])
        more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        count = sum(len(of_step) for _, of_step in others)
        yield f"{count} more of steps under which the call came less far: {names}{more}"


def why(decision: Decision) -> Iterator[str]:
    """The findings to read, a line each."""
    for found in told(decision.effect, decision.findings):
        if isinstance(found, str):
            yield found
        else:
            under = f" (step {found.step})" if found.step else ""
            yield f"{found.effect} {found.reason}{under}: {found.detail}"
