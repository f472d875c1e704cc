"""What runs of an expression: functions of ours where the runtime's would be swallowed, slow, or without bound.

A part that is the same all through one evaluation is worked out once, outside the runtime (``outside_runtime``). In a
loop, `in` asks an index instead of looking through its list again at each pass.

The second form is for much data. The runtime takes a list apart, with all that is in it, when it is first looked at. So
there, `size`, `in` and the elements of a list are found without it; a loop gets of each element only the fields that it
reads, and runs some elements at a time, so that other threads go on in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import re2

from agentguard.policy.cel.functions.lists import Index, Place
from agentguard.policy.cel.functions.table import Bound, Questions, bind
from agentguard.policy.cel.functions.values import Refused, alike
from agentguard.policy.cel.loops import Kind, bound_variable, fields_read, kind_of, reduced
from agentguard.policy.cel.outside_runtime import (
    Closure,
    argument,
    is_quick,
    leading_function,
    member_at,
    pure,
    refused,
)
from agentguard.policy.cel.runtime import ELEMENTS, ERROR, PART, RUNTIME, Entry, Frame, evaluated
from agentguard.policy.cel.tree import Call, Const, Ident, Items, Loop, Node, Select, constant, parts_of, write_tree

# A list of literals that the runtime looks through as fast as an index is asked.
_FEW_LITERALS = 8
_SCALARS = frozenset({str, int, float, bool, type(None)})
_ARITHMETIC = frozenset({"_+_", "_-_", "_*_", "_/_", "double"})
_NEVER_INFINITE = frozenset({"int", "uint", "string", "bytes", "timestamp", "duration", "list", "bool"})


@dataclass(frozen=True, slots=True)
class Rewritten:
    """An expression that runs: its program, and what the program's calls refer to by number.

    ``has_frame``: it calls something that belongs to one evaluation.
    """

    program: Any
    plan: tuple[Entry, ...]
    has_frame: bool


def rewritten(tree: Node, types: Mapping[int, str], *, for_much: bool = False) -> Rewritten:
    """The program of a tree. ``types`` are the checker's, by number. Raises ValueError."""
    work = _Rewriter(types, for_much)
    node = work.visit(tree, frozenset(), 0)
    return Rewritten(_program(node), tuple(work.plan), bool(work.plan) or work.checks)


def _program(node: Node) -> Any:
    try:
        return RUNTIME.deserialize(write_tree(node))
    except RuntimeError:
        raise ValueError("with what it names, it has too many parts inside each other") from None


class _Rewriter:
    def __init__(self, types: Mapping[int, str], for_much: bool) -> None:
        self.plan: list[Entry] = []
        self.checks = False
        self._types = types
        self._for_much = for_much

    def _entry(self, entry: Entry) -> Const:
        self.plan.append(entry)
        return constant(len(self.plan) - 1)

    def visit(self, node: Node, variables: frozenset[str], depth: int) -> Node:
        """The node as it runs. ``variables`` are those of the loops around it, of which there are ``depth``."""
        asked = leading_function(node)
        closure = pure(node, variables) if asked is not None else None
        if asked is not None and closure is not None:
            gives = "@time_value" if asked.gives == "time" else "@value"
            return Call(gives, (self._entry(closure),))
        if asked is not None and isinstance(node, Select):
            return self._member_of(node, variables, depth)
        if self._for_much and (found := self._found_outside(node, variables)) is not None:
            return found
        match node:
            case Select():
                return replace(node, operand=self.visit(node.operand, variables, depth))
            case Items():
                return replace(node, values=tuple(self.visit(value, variables, depth) for value in node.values))
            case Call():
                return self._call(node, variables, depth)
            case Loop():
                return self._loop(node, variables, depth)
        return node

    def _found_outside(self, node: Node, variables: frozenset[str]) -> Node | None:
        """The size of a list, and an element of one, without taking the list apart."""
        if isinstance(node, Call) and node.function == "size" and isinstance(node.arguments[0], Select | Call):
            given = pure(node.arguments[0], variables)
            return None if given is None else Call("@value", (self._entry(lambda frame: _size(given(frame))),))
        if isinstance(node, Call) and node.function in ("_==_", "_!=_"):
            return self._equal(node, variables)
        closure = pure(node, variables) if _is_element(node) else None
        return None if closure is None else Call("@value", (self._entry(closure),))

    def _equal(self, node: Call, variables: frozenset[str]) -> Node | None:
        """Two values compared, one of which stands at a path."""
        one, other = (pure(part, variables) for part in node.arguments)
        if one is None or other is None or any(isinstance(part, Ident) for part in node.arguments):
            return None
        wanted = node.function == "_==_"
        return Call("@value", (self._entry(lambda frame: alike(one(frame), other(frame)) is wanted),))

    def _matches(self, node: Call, variables: frozenset[str], depth: int) -> Node | None:
        """A pattern in a loop, compiled once. The same library looks for it in the same way."""
        given, pattern = node.arguments
        if not isinstance(pattern, Const):
            return None
        search = re2.compile(str(pattern.value)).search

        def run(_: Frame, __: object, value: Any) -> bool:
            if type(value) is not str:
                raise Refused("`matches` is of text")
            return search(value) is not None

        return Call("@call", (self._entry(run), Items((constant(0), self.visit(given, variables, depth)), True)))

    def _call(self, node: Call, variables: frozenset[str], depth: int) -> Node:
        if node.function == "@in" and (depth or self._for_much):
            found = self._in(node, variables, depth)
            if found is not None:
                return found
        if node.function == "matches" and depth and (found := self._matches(node, variables, depth)) is not None:
            return found
        bound = bind(node) if not is_quick(node) else None
        if bound is not None:
            return self._bound(bound, variables, depth)
        return self._finite(replace(node, arguments=self._operands(node, variables, depth)), node)

    def _operands(self, node: Call, variables: frozenset[str], depth: int) -> tuple[Node, ...]:
        """The arguments. What is not finite stays so through `+`, `-`, `*` and above a fraction: checked at its end."""
        found = [self.visit(part, variables, depth) for part in node.arguments]
        if node.function in ("_+_", "_-_", "_*_"):
            found = [_unchecked(part) for part in found]
        elif node.function == "_/_":
            found[0] = _unchecked(found[0])
        return tuple(found)

    def _finite(self, visited: Call, node: Call) -> Call:
        if node.function not in _ARITHMETIC or self._types.get(node.number) in _NEVER_INFINITE:
            return visited
        self.checks = True
        return Call("@finite", (visited,))

    def _member_of(self, node: Select, variables: frozenset[str], depth: int) -> Node:
        """A member of what a function of ours gives: taken here, so that the rest is not handed over."""
        names: list[str] = []
        owner: Node = node
        while isinstance(owner, Select):
            names.append(owner.field)
            owner = owner.operand
        bound = bind(owner) if isinstance(owner, Call) else None
        if bound is None or bound.gives == "time":
            return replace(node, operand=self.visit(node.operand, variables, depth))
        run = bound.run

        def member(asked: Questions, *values: Any) -> Any:
            found = run(asked, *values)
            for name in reversed(names):
                found = member_at(found, name, name)
            return found

        return self._bound(replace(bound, run=member), variables, depth)

    def _bound(self, bound: Bound, variables: frozenset[str], depth: int) -> Node:
        """A call of ours of which some arguments are the expression's own: those are handed over in a list."""
        closures = [argument(bound, at, variables) for at in range(len(bound.arguments))]
        handed = [self.visit(p, variables, depth) for p, c in zip(bound.arguments, closures, strict=True) if c is None]
        stays, strict, call = closures[0] is not None, bound.is_strict, bound.run

        def run(frame: Frame, _: object, *values: Any) -> Any:
            frame.entered -= strict
            rest = iter(values)
            try:
                given = [next(rest) if closure is None else closure(frame) for closure in closures]
                return call(frame if stays else _ANEW, *given)
            except BaseException as error:
                raise refused(frame, bound, error) from None

        enter: Node = Call("@enter", ()) if bound.is_strict else constant(0)
        name = "@time_call" if bound.gives == "time" else "@call"
        return Call(name, (self._entry(run), Items((enter, *handed), True)))

    def _in(self, node: Call, variables: frozenset[str], depth: int) -> Node | None:
        """`x in list` in a loop, where the list is the same at each pass."""
        element, given = node.arguments
        if isinstance(given, Items) and len(given.values) <= _FEW_LITERALS:
            return None
        closure = pure(given, variables)
        if closure is None:
            return None

        def run(frame: Frame, _: object, value: Any) -> bool:
            held = frame.members(number, closure)
            if type(value) in _SCALARS:
                return (type(value) is bool, value) in held.keys
            return type(value) in (list, dict) and any(alike(value, other) for other in held.given)

        number = len(self.plan)
        return Call("@call", (self._entry(run), Items((constant(0), self.visit(element, variables, depth)), True)))

    def _loop(self, node: Loop, variables: frozenset[str], depth: int) -> Node:
        if bound_variable(node) is not None:
            before = (self.visit(node.before[0], variables, depth),)
            result = self.visit(node.body[2], variables | {node.accumulator}, depth)
            return replace(node, before=before, body=(*node.body[:2], result))
        if self._for_much and depth == 0 and (kind := kind_of(node)) is not None:
            source = pure(node.source, variables)
            if source is not None and variables.isdisjoint(_names(node)):
                return Call("@loop", (self._entry(self._parts(node, kind, source)),))
        inside = variables | {*node.variables, node.accumulator}
        body = tuple(self.visit(part, inside, depth + 1) for part in node.body)
        return replace(node, source=self.visit(node.source, variables, depth), body=body)

    def _parts(self, node: Loop, kind: Kind, source: Closure) -> Entry:
        inside = frozenset({*node.variables, node.accumulator})
        body = tuple(self.visit(part, inside, 1) for part in node.body)
        result = Ident(node.accumulator) if kind == "exists_one" else body[2]
        part = Select(Ident(PART), ELEMENTS, False)
        fields = fields_read(node)
        program = _program(replace(node, source=part, body=(*body[:2], result)))

        def run(frame: Frame) -> bool:
            given = source(frame)
            elements = [*given] if type(given) is dict else given
            if type(elements) is not list:
                raise Refused("a loop runs over a list")
            error, found = None, 0
            for begin in range(0, len(elements), frame.at_a_time):
                some = {ELEMENTS: reduced(elements[begin : begin + frame.at_a_time], fields)}
                answer = evaluated(program, RUNTIME.Activation({**frame.names, PART: some}), frame)
                value = answer.value()
                if answer.type() == ERROR:
                    error = value
                elif kind == "exists_one":
                    found += value
                elif value is (kind == "exists"):
                    return kind == "exists"
            if error is not None:
                raise ValueError(error)
            return found == 1 if kind == "exists_one" else kind == "all"

        return run


class _Anew:
    """Indexes of lists that the runtime has just made: each is made for one question."""

    def index(self, given: Any, place: Place) -> Index:
        return Index(given, place)


_ANEW = _Anew()


def _size(value: Any) -> int:
    if type(value) is not str and type(value) is not list and type(value) is not dict:
        raise Refused("`size` is of text, a list or an object")
    return len(value)


def _is_element(node: Node) -> bool:
    """Whether a row of members goes through an element of a list."""
    while isinstance(node, Select | Call):
        if isinstance(node, Select):
            if node.test_only:
                return False
            node = node.operand
        elif node.function != "_[_]":
            return False
        elif isinstance(node.arguments[1], Const) and type(node.arguments[1].value) is str:
            node = node.arguments[0]
        else:
            return True
    return False


def _unchecked(node: Node) -> Node:
    return node.arguments[0] if isinstance(node, Call) and node.function == "@finite" else node


def _names(node: Node) -> frozenset[str]:
    """Every name in a tree."""
    found, pending = set(), [node]
    while pending:
        node = pending.pop()
        if isinstance(node, Ident):
            found.add(node.name)
        pending += parts_of(node)
    return frozenset(found)
