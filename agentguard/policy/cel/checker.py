"""Checks expressions against the types that their workflows declare, in as few environments as serve them all.

To make an environment and use it for the first time takes two milliseconds, to check one more expression in it a
twentieth of one. So an environment is no step's own: it declares whatever is expected, and serves each expression of
whose names it says exactly what the expression's own scope says. What else it declares, that expression cannot see.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from agentguard.policy.cel.runtime import environment_of
from agentguard.policy.cel.tree import Ident, Node, Select, parts_of, types_of

# Names as an expression has them, each with its type, or None where the scope declares none: `args.rows`, `total`.
Names: TypeAlias = "tuple[tuple[str, str | None], ...]"

_ROOTS = ("args", "inputs")
# Past these, the oldest are forgotten.
_MOST_ENVIRONMENTS = 64
_MOST_EXPECTED = 5_000


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checker found out of one expression: the type it gives, and those of its nodes by their numbers."""

    gives: str
    types: Mapping[int, str]


def mentioned(tree: Node) -> Iterator[str]:
    """Every name that the checker may look up for this tree, in the form in which a type is declared for it."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, Ident):
            yield node.name
        elif isinstance(node, Select) and isinstance(node.operand, Ident) and node.operand.name in _ROOTS:
            yield f"{node.operand.name}.{node.field}"
        pending += parts_of(node)


@lru_cache(maxsize=4096)
def checked(text: str, names: Names) -> Checked:
    """Check an expression whose names are these. Raises RuntimeError with the checker's own words."""
    found = _ENVIRONMENTS.of(dict(names)).compile(text)
    return Checked(found.return_type().name(), types_of(found.serialize()))


def expect(names: Iterable[tuple[str, str]]) -> None:
    """Say which names expressions will have that are to be checked. Where that is wrong, it costs time and no more."""
    _ENVIRONMENTS.expect(names)


class _Environments:
    def __init__(self) -> None:
        self._made: list[tuple[Mapping[str, str], Any]] = []
        self._expected: dict[str, str] = {}
        self._one_at_a_time = threading.Lock()

    def expect(self, names: Iterable[tuple[str, str]]) -> None:
        with self._one_at_a_time:
            for name, kind in names:
                self._expected.setdefault(name, kind)
            if len(self._expected) > _MOST_EXPECTED:
                self._expected = dict([*self._expected.items()][-_MOST_EXPECTED:])

    def of(self, names: Mapping[str, str | None]) -> Any:
        with self._one_at_a_time:
            for declared, made in reversed(self._made):
                if all(declared.get(name) == kind for name, kind in names.items()):
                    return made
            declared = {name: kind for name, kind in self._expected.items() if name not in names}
            declared |= {name: kind for name, kind in names.items() if kind is not None}
            made = environment_of(declared)
            self._made = [*self._made[1 - _MOST_ENVIRONMENTS :], (declared, made)]
            return made


_ENVIRONMENTS = _Environments()
