"""Findings as a record holds them, for people to read: why a call was refused, under the nearest step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentguard import display
from agentguard.core import nearest


@dataclass(frozen=True, slots=True)
class Told:
    """A finding of a record, which may hold anything; as text it is safe on a screen."""

    effect: str
    reason: str
    step: str | None
    detail: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Told:
        """Read one."""
        step = data.get("step")
        effect, reason, detail = (str(data.get(name)) for name in ("effect", "reason", "detail"))
        return cls(effect, reason, None if step is None else str(step), detail)

    def __str__(self) -> str:
        under = "" if self.step is None else f" (step {display.shown(self.step)})"
        return f"{display.shown(self.reason)}{under}: {display.shown(self.detail, 1_000)}"


def told(findings: Iterable[Any], effect: object, *, everything: bool = False) -> Iterator[Told | str]:
    """The findings to print, in order; a text stands for those that are not printed."""
    known = [Told.of(found) for found in findings if isinstance(found, Mapping)]
    for found in nearest.told(effect, known, everything=everything):
        yield display.plain(found) if isinstance(found, str) else found
