"""A path as a value: a root and steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Every:
    """Each element of a list (``[*]``)."""


@dataclass(frozen=True, slots=True)
class Values:
    """Each value of an object (``.*``)."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is written out in a path."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Named:
    """The member or element that another value names (``[args.user]``)."""

    by: Path


@dataclass(frozen=True, slots=True)
class Test:
    """What an element must say: the value at ``field`` is this one."""

    field: tuple[str | int, ...]
    value: Literal | Path


@dataclass(frozen=True, slots=True)
class Where:
    """The one element that passes all of these (``[?field == VALUE && …]``)."""

    tests: tuple[Test, ...]


EVERY, VALUES = Every(), Values()
Step: TypeAlias = "str | int | Every | Values | Named | Where"
# A place in the arguments of a call, as a schema has it: the argument, members of objects, each element of a list.
Place: TypeAlias = "tuple[str | Every, ...]"


@dataclass(frozen=True, slots=True)
class Path:
    """A path as it was written, read once. Two are equal where they lead to the same place."""

    root: str
    steps: tuple[Step, ...]
    text: str = field(compare=False)

    def __str__(self) -> str:
        return self.text

    @property
    def several(self) -> Every | Values | None:
        """The first step that leads to several values; None for a path to one."""
        return next((step for step in self.steps if isinstance(step, Every | Values)), None)

    def references(self) -> Iterator[Path]:
        """This path, and every other that it reads inside its brackets."""
        yield self
        yield from referred(self.steps)


def referred(steps: Sequence[Step]) -> Iterator[Path]:
    """The other paths that these steps read."""
    for step in steps:
        if isinstance(step, Named):
            yield step.by
        elif isinstance(step, Where):
            yield from (test.value for test in step.tests if isinstance(test.value, Path))
