"""What runs of an expression: functions of ours where the runtime's would be swallowed, slow, or without bound.

A part that is the same all through one evaluation (functions over paths and literals) is worked out once, outside the
runtime, straight from the values of the call: nothing is taken apart on the way. In a loop, `in` asks an index instead
of looking through its list again at each pass. In the second form, for long lists, a loop over such a part runs some
elements at a time, so that other threads go on in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from agentguard.policy.cel.functions.lists import Index
from agentguard.policy.cel.functions.table import ABSENT, Bound, bind
from agentguard.policy.cel.functions.values import Refused, alike
from agentguard.policy.cel.runtime import ERROR, PART, RUNTIME, Entry, Frame, evaluated
from agentguard.policy.cel.scope import NAMES
from agentguard.policy.cel.tree import Call, Const, Ident, Items, Loop, Node, Select, constant, write_tree
from agentguard.policy.words import shown

Closure: TypeAlias = "Callable[[Frame], Any]"

# A needle that the runtime looks for at least as fast, however it repeats itself.
_SHORT_NEEDLE = 32
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


def rewritten(tree: Node, types: Mapping[int, str], *, in_parts: bool = False) -> Rewritten:
    """The program of a tree. ``types`` are the checker's, by number. Raises ValueError."""
    work = _Rewriter(types, in_parts)
    node = work.visit(tree, frozenset(), 0)
    return Rewritten(RUNTIME.deserialize(write_tree(node)), tuple(work.plan), bool(work.plan) or work.checks)


def bound_variable(node: Node) -> str | None:
    """The name of a `cel.bind`, which the parser makes a loop over nothing."""
    if isinstance(node, Loop) and isinstance(node.source, Items) and not node.source.values:
        condition = node.body[0]
        return node.accumulator if isinstance(condition, Const) and condition.value is False else None
    return None


class _Rewriter:
    def __init__(self, types: Mapping[int, str], in_parts: bool) -> None:
        self.plan: list[Entry] = []
        self.checks = False
        self._types = types
        self._in_parts = in_parts

    def _entry(self, entry: Entry) -> Const:
        self.plan.append(entry)
        return constant(len(self.plan) - 1)

    def visit(self, node: Node, variables: frozenset[str], depth: int) -> Node:
        """The node as it runs. ``variables`` are those of the loops around it, of which there are ``depth``."""
        asked = _asked(node)
        closure = pure(node, variables) if asked is not None else None
        if asked is not None and closure is not None:
            gives = "@time_value" if asked.gives == "time" else "@value"
            return Call(gives, (self._entry(_kept(closure, asked)),))
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

    def _call(self, node: Call, variables: frozenset[str], depth: int) -> Node:
        if node.function == "@in" and depth:
            found = self._in(node, variables, depth)
            if found is not None:
                return found
        bound = bind(node) if not _is_quick(node) else None
        if bound is not None:
            return self._bound(bound, variables, depth)
        visited = replace(node, arguments=tuple(self.visit(part, variables, depth) for part in node.arguments))
        if node.function in _ARITHMETIC and self._types.get(node.number) not in _NEVER_INFINITE:
            self.checks = True
            return Call("@finite", (visited,))
        return visited

    def _bound(self, bound: Bound, variables: frozenset[str], depth: int) -> Node:
        """A call of ours of which some arguments are the expression's own: those are handed over in a list."""
        closures = [_argument(bound, at, variables) for at in range(len(bound.arguments))]
        handed = [self.visit(p, variables, depth) for p, c in zip(bound.arguments, closures, strict=True) if c is None]

        def run(frame: Frame, entered: object, *values: Any) -> Any:
            frame.entered -= bound.is_strict
            rest = iter(values)
            with _refusing(frame, bound):
                given = [next(rest) if closure is None else closure(frame) for closure in closures]
                return bound.run(_Asked(frame, closures), *given)

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
            held = closure(frame)
            if type(held) is dict:
                return type(value) is str and value in held
            if type(held) is not list:
                raise Refused("`in` looks into a list")
            if type(value) in (list, dict):
                return any(alike(value, other) for other in held)
            return type(value) in _SCALARS and bool(frame.index(held, ()).where(value))

        return Call("@call", (self._entry(run), Items((constant(0), self.visit(element, variables, depth)), True)))

    def _loop(self, node: Loop, variables: frozenset[str], depth: int) -> Node:
        if bound_variable(node) is not None:
            before = (self.visit(node.before[0], variables, depth),)
            result = self.visit(node.body[2], variables | {node.accumulator}, depth)
            return replace(node, before=before, body=(*node.body[:2], result))
        if self._in_parts and depth == 0 and (kind := kind_of(node)) is not None:
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
        program = RUNTIME.deserialize(write_tree(replace(node, source=Ident(PART), body=(*body[:2], result))))

        def run(frame: Frame) -> bool:
            given = source(frame)
            elements = [*given] if type(given) is dict else given
            if type(elements) is not list:
                raise Refused("a loop runs over a list")
            error, found = None, 0
            for begin in range(0, len(elements), frame.at_a_time):
                part = elements[begin : begin + frame.at_a_time]
                answer = evaluated(program, RUNTIME.Activation({**frame.names, PART: part}), frame)
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


Kind: TypeAlias = Literal["all", "exists", "exists_one"]


def kind_of(loop: Loop) -> Kind | None:
    """Which of the words it was that gives true or false; None for those that give lists."""
    begin, result = loop.before[0], loop.body[2]
    if isinstance(begin, Const) and type(begin.value) is bool and isinstance(result, Ident):
        return "all" if begin.value else "exists"
    if isinstance(begin, Const) and type(begin.value) is int and isinstance(result, Call):
        return "exists_one"
    return None


class _Asked:
    """The questions of one call: lists that stay as they are have an index in the frame."""

    def __init__(self, frame: Frame, closures: Sequence[Closure | None]) -> None:
        self._frame = frame
        self._stays = closures[0] is not None

    def index(self, given: Any, place: Any) -> Index:
        return self._frame.index(given, place) if self._stays else Index(given, place)


class _refusing:
    """What a strict function refuses refuses the whole; a mistake of ours does so everywhere."""

    def __init__(self, frame: Frame, bound: Bound) -> None:
        self._frame = frame
        self._bound = bound

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or (isinstance(error, Refused) and not self._bound.is_strict):
            return
        self._frame.refuse(Refused(f"`{self._bound.name}`: {error}") if isinstance(error, Refused) else error)


def pure(node: Node, variables: frozenset[str]) -> Closure | None:
    """What gives the node's value without the runtime, where that is the same all through one evaluation, or None."""
    match node:
        case Const() if type(node.value) is not bytes:
            value = node.value
            return lambda _: value
        case Items(is_list=True) if all(
            isinstance(part, Const) and type(part.value) is not bytes for part in node.values
        ):
            values = [part.value for part in node.values if isinstance(part, Const)]
            return lambda _: values
        case Ident() if node.name in NAMES and node.name not in variables:
            return lambda frame: frame.names[node.name]
        case Select(test_only=False):
            return _member(pure(node.operand, variables), lambda _: node.field, node.field)
        case Call(function="_[_]"):
            key = node.arguments[1]
            name = str(key.value) if isinstance(key, Const) else "a member"
            return _member(pure(node.arguments[0], variables), pure(key, variables), name)
        case Call() if not _is_quick(node) and (bound := bind(node)) is not None:
            return _pure_call(bound, variables)
    return None


def _pure_call(bound: Bound, variables: frozenset[str]) -> Closure | None:
    closures = [_argument(bound, at, variables) for at in range(len(bound.arguments))]
    ready = [closure for closure in closures if closure is not None]
    if len(ready) < len(closures):
        return None

    def run(frame: Frame) -> Any:
        with _refusing(frame, bound):
            return bound.run(_Asked(frame, closures), *(closure(frame) for closure in ready))

    return run


def _argument(bound: Bound, at: int, variables: frozenset[str]) -> Closure | None:
    closure = pure(bound.arguments[at], variables)
    if closure is None or not bound.may_lack:
        return closure

    def lacking(frame: Frame) -> Any:
        try:
            return closure(frame)
        except _Missing:
            return ABSENT

    return lacking


class _Missing(Refused):
    """A member that is not there."""


def _member(operand: Closure | None, key: Closure | None, name: str) -> Closure | None:
    if operand is None or key is None:
        return None

    def run(frame: Frame) -> Any:
        owner, by = operand(frame), key(frame)
        if type(owner) is dict and type(by) is str:
            if by not in owner:
                raise _Missing(f"{shown(name)} is missing")
            return owner[by]
        if type(owner) is list and type(by) is int:
            if not 0 <= by < len(owner):
                raise Refused("a list is too short")
            return owner[by]
        raise Refused(f"there is no member {shown(name)} in what is no object")

    return run


def _asked(node: Node) -> Bound | None:
    """The function of ours at which a row of members begins."""
    while True:
        if isinstance(node, Select) and not node.test_only:
            node = node.operand
        elif isinstance(node, Call) and node.function == "_[_]":
            node = node.arguments[0]
        else:
            return bind(node) if isinstance(node, Call) and not _is_quick(node) else None


def _kept(closure: Closure, asked: Bound) -> Closure:
    """What a strict function gives, and a member of it: missing there, the whole is refused."""

    def run(frame: Frame) -> Any:
        with _refusing(frame, asked):
            return closure(frame)

    return run


def _is_quick(node: Call) -> bool:
    """A search that the runtime does at least as well."""
    needle = node.arguments[-1] if node.arguments else None
    return node.function == "contains" and isinstance(needle, Const) and len(str(needle.value)) <= _SHORT_NEEDLE


def _names(node: Node) -> frozenset[str]:
    """Every name in a tree."""
    match node:
        case Ident():
            return frozenset({node.name})
        case Select():
            return _names(node.operand)
        case Call(arguments=parts) | Items(values=parts):
            return frozenset().union(*map(_names, parts))
        case Loop():
            return frozenset().union(*map(_names, (node.source, *node.before, *node.body)))
    return frozenset()
