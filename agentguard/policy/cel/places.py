"""Where in a value an expression looks: which fields of what is kept decide what it gives.

``one(kept.files, "id", args.id).owner`` looks at each file's ``id`` and ``owner``, and not at its text. Whatever is not
understood counts as looked at as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from agentguard.core.paths import Named, Path, Step, parse
from agentguard.policy.cel.loops import bound_variable
from agentguard.policy.cel.tree import Call, Const, Ident, Items, Loop, Node, Select

Place: TypeAlias = "tuple[Step, ...]"
# Some element or member: which, nobody knows when the bundle loads.
SOME = Named(Path("kept", (), "kept"))
_MEMBERS = frozenset({"_[_]", "_[?_]", "_?._"})
# Functions over a list: what they give is the list's elements, one of them, or a value worked out of them.
_GIVES_LIST, _GIVES_ONE, _GIVES_VALUE = ("where", "sort"), ("one", "last"), ("max", "min", "sum", "distinct")


@dataclass(slots=True)
class Looked:
    """``at``: places whose values decide; ``counted``: places of which only the size does."""

    at: set[Place] = field(default_factory=set)
    counted: set[Place] = field(default_factory=set)


def places_in(tree: Node, root: str) -> Looked:
    """The places below a name that decide what an expression gives."""
    reader = _Reader(root)
    reader.uses(tree, {})
    return reader.found


class _Reader:
    def __init__(self, root: str) -> None:
        self.root = root
        self.found = Looked()

    def uses(self, node: Node, names: Mapping[str, Place | None]) -> None:
        """The value of the node decides."""
        place = self.place(node, names)
        if place is not None:
            self.found.at.add(place)

    def place(self, node: Node, names: Mapping[str, Place | None]) -> Place | None:
        """Where the node's value stands below the root; None for a value that is worked out, or from elsewhere."""
        match node:
            case Ident():
                return names.get(node.name, () if node.name == self.root else None)
            case Select():
                owner = self.place(node.operand, names)
                return None if owner is None or node.test_only else (*owner, node.field)
            case Call():
                return self._called(node, names)
            case Loop():
                return self._looped(node, names)
            case Items():
                for value in node.values:
                    self.uses(value, names)
        return None

    def _called(self, node: Call, names: Mapping[str, Place | None]) -> Place | None:
        first, *rest = node.arguments or (Const(None),)
        if node.function in _MEMBERS and len(rest) == 1:
            return self._member(first, rest[0], names)
        if node.function == "size" and not rest:
            counted = self.place(first, names)
            self.found.counted |= set() if counted is None else {counted}
            return None
        if not node.is_method and node.function in (*_GIVES_LIST, *_GIVES_ONE, *_GIVES_VALUE):
            return self._over(node.function, first, rest, names)
        for argument in node.arguments:
            self.uses(argument, names)
        return None

    def _member(self, operand: Node, key: Node, names: Mapping[str, Place | None]) -> Place | None:
        owner = self.place(operand, names)
        if isinstance(key, Const) and isinstance(key.value, str):
            return None if owner is None else (*owner, key.value)
        self.uses(key, names)
        return None if owner is None else (*owner, SOME)

    def _over(self, name: str, source: Node, rest: list[Node], names: Mapping[str, Place | None]) -> Place | None:
        """A function over a list, with a field of its elements where one is named."""
        place = self.place(source, names)
        for argument in rest[1:]:
            self.uses(argument, names)
        if place is None:
            return None
        if name != "last":
            self.found.at.add((*place, SOME, *_field(rest)))
        return place if name in _GIVES_LIST else (*place, SOME) if name in _GIVES_ONE else None

    def _looped(self, node: Loop, names: Mapping[str, Place | None]) -> Place | None:
        if bound_variable(node) is not None:
            return self.place(node.body[2], {**names, node.accumulator: self.place(node.before[0], names)})
        source = self.place(node.source, names)
        inside = {**names, **dict.fromkeys((*node.variables, node.accumulator))}
        inside[node.variables[0]] = None if source is None else (*source, SOME)
        for part in (*node.before, *node.body):
            self.uses(part, inside)
        return None


def _field(rest: list[Node]) -> Place:
    """The steps of a field that is written as text; none where the whole element is looked at."""
    written = rest[0].value if rest and isinstance(rest[0], Const) else None
    try:
        return parse(f"kept.{written}", ("kept",)).steps if isinstance(written, str) else ()
    except ValueError:
        return ()
