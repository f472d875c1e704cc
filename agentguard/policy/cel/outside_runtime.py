"""What is worked out outside the runtime: parts of an expression that are the same all through one evaluation.

Those are functions of ours over paths and literals, and members of what they give. Their values come straight from the
values of the call: nothing is taken apart on the way. A part becomes a closure, which gets the frame of the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from agentguard.policy.cel.functions.table import ABSENT, Bound, bind
from agentguard.policy.cel.functions.values import Refused
from agentguard.policy.cel.runtime import Frame
from agentguard.policy.cel.scope import NAMES
from agentguard.policy.cel.tree import Call, Const, Ident, Items, Node, Select
from agentguard.policy.words import shown

Closure: TypeAlias = "Callable[[Frame], Any]"
# A needle that the runtime looks for at least as fast, however it repeats itself.
_SHORT_NEEDLE = 32


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
            found = _member(pure(node.operand, variables), lambda _: node.field, node.field)
            return _kept(found, leading_function(node))
        case Call(function="_[_]"):
            key = node.arguments[1]
            name = str(key.value) if isinstance(key, Const) else "a member"
            found = _member(pure(node.arguments[0], variables), pure(key, variables), name)
            return _kept(found, leading_function(node))
        case Call() if not is_quick(node) and (bound := bind(node)) is not None:
            return _pure_call(bound, variables)
    return None


def _pure_call(bound: Bound, variables: frozenset[str]) -> Closure | None:
    closures = [argument(bound, at, variables) for at in range(len(bound.arguments))]
    ready = [closure for closure in closures if closure is not None]
    if len(ready) < len(closures):
        return None

    def run(frame: Frame) -> Any:
        try:
            return bound.run(frame, *(closure(frame) for closure in ready))
        except BaseException as error:
            raise refused(frame, bound, error) from None

    return run


def argument(bound: Bound, at: int, variables: frozenset[str]) -> Closure | None:
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

    return lambda frame: member_at(operand(frame), key(frame), name)


def member_at(owner: Any, by: Any, name: str) -> Any:
    if type(owner) is dict and type(by) is str:
        if by not in owner:
            raise _Missing(f"{shown(name)} is missing")
        return owner[by]
    if type(owner) is list and type(by) is int:
        if not 0 <= by < len(owner):
            raise Refused("a list is too short")
        return owner[by]
    raise Refused(f"there is no member {shown(name)} in what is no object")


def leading_function(node: Node) -> Bound | None:
    """The function of ours at which a row of members begins."""
    while True:
        if isinstance(node, Select) and not node.test_only:
            node = node.operand
        elif isinstance(node, Call) and node.function == "_[_]":
            node = node.arguments[0]
        else:
            return bind(node) if isinstance(node, Call) and not is_quick(node) else None


def _kept(closure: Closure | None, asked: Bound | None) -> Closure | None:
    """A member of what a strict function gives: missing there, the whole is refused."""
    if closure is None or asked is None:
        return closure
    found, bound = closure, asked

    def run(frame: Frame) -> Any:
        try:
            return found(frame)
        except BaseException as error:
            raise refused(frame, bound, error) from None

    return run


def is_quick(node: Call) -> bool:
    """A search that the runtime does at least as well."""
    needle = node.arguments[-1] if node.arguments else None
    return node.function == "contains" and isinstance(needle, Const) and len(str(needle.value)) <= _SHORT_NEEDLE


def refused(frame: Frame, bound: Bound, error: BaseException) -> BaseException:
    """What a strict function refuses refuses the whole; a mistake of ours does so everywhere."""
    if not isinstance(error, Refused):
        frame.refuse(error)
    elif bound.is_strict:
        frame.refuse(Refused(f"`{bound.name}`: {error}"))
    return error
