"""From the text of an expression to its tree, checked twice: its types, and what in it can never have been meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from agentguard.policy.cel.checker import Checked, checked, mentioned
from agentguard.policy.cel.declared_types import kind_of_let, member_types
from agentguard.policy.cel.inspect import Inspection, inspect
from agentguard.policy.cel.lets import growth_trouble, inlined, unnumbered
from agentguard.policy.cel.prepared import is_encodable
from agentguard.policy.cel.rewrite import rewritten
from agentguard.policy.cel.runtime import ERROR, NOTHING, RUNTIME, Frame, environment_of, evaluated
from agentguard.policy.cel.scope import Let, Scope
from agentguard.policy.cel.tree import Node, read_tree
from agentguard.policy.cel.words import explain, type_word
from agentguard.policy.words import shown

R = TypeVar("R")
MAX_LENGTH = 4096


class NotCompiled(ValueError):
    """The expression cannot be used; ``messages`` say everything that is wrong with it."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("; ".join(messages))
        self.messages = messages


def compile_let(text: str, scope: Scope) -> Let:
    """An expression that others name. Raises NotCompiled."""
    tree, _, _ = compiled(text, scope, None, "a value")
    return Let(text, unnumbered(tree), kind_of_let(_checked(text, tree, scope, {}).gives))


def compiled(
    text: str, scope: Scope, types: tuple[str, ...] | None, what: str
) -> tuple[Node, Mapping[int, str], Inspection]:
    if len(text) > MAX_LENGTH:
        raise NotCompiled([f"longer than {MAX_LENGTH} characters"])
    if "\x00" in text or not is_encodable(text):
        raise NotCompiled(["holds characters that no condition can hold"])
    try:
        tree, _, found = read(text, scope)
    except (ValueError, RecursionError) as error:
        raise (error if isinstance(error, NotCompiled) else NotCompiled([f"{shown(text)}: {error}"])) from None
    if found.troubles:
        raise NotCompiled([f"{shown(text)}: {trouble}" for trouble in found.troubles])
    known = _checked(text, tree, scope, dict(member_types(scope, found)))
    if types is not None and known.gives not in types:
        said = f"gives {type_word(known.gives)}, expected {what}{_remedy(known.gives, what)}"
        raise NotCompiled([f"{shown(text)}: {said}"])
    return tree, known.types, found


def read(text: str, scope: Scope) -> tuple[Node, Mapping[int, str], Inspection]:
    """The tree of an expression, nothing of its types, and what it uses. Raises NotCompiled, or another ValueError."""
    tree = _said(text, scope, lambda: _tree(text, _named(scope)))
    if scope.lets:
        tree = inlined(tree, scope.lets)
    said = growth_trouble(tree)
    if said is not None:
        raise ValueError(said)
    return tree, {}, inspect(tree, scope, _literals)


def _named(scope: Scope) -> tuple[tuple[str, str], ...]:
    return tuple((name, let.kind) for name, let in scope.lets.items())


def _literals(node: Node) -> tuple[str | None, Any]:
    """A part that is made of literals, evaluated as it would be at every call: why it errs (or None), and its value."""
    runs = rewritten(node, {})
    frame = Frame(runs.plan, {}, 1)
    answer = evaluated(runs.program, NOTHING, frame)
    value = answer.value()
    if frame.fault is not None:
        return frame.fault, None
    return (str(value), None) if answer.type() == ERROR else (None, value)


# Of texts that stand in many scopes, all but what the scope says of them is read once.
@lru_cache(maxsize=4096)
def _tree(text: str, named: tuple[tuple[str, str], ...]) -> Node:
    """The tree of an expression in which these names are known, and nothing of any type beside them."""
    environment = _naming(named) if named else RUNTIME
    return read_tree(environment.compile(text).serialize())


@lru_cache(maxsize=256)
def _naming(named: tuple[tuple[str, str], ...]) -> Any:
    return environment_of(dict(named))


def _checked(text: str, tree: Node, scope: Scope, declared: Mapping[str, str]) -> Checked:
    """An expression checked, with these types of members, and those of its names. Raises NotCompiled."""
    kinds: dict[str, str | None] = {name: declared.get(name) for name in mentioned(tree)}
    kinds.update(_named(scope))
    return _said(text, scope, lambda: checked(text, tuple(sorted(kinds.items()))))


def _said(text: str, scope: Scope, work: Callable[[], R]) -> R:
    """What the runtime makes of an expression. Raises NotCompiled, in words for owners."""
    try:
        return work()
    except RuntimeError as error:
        raise NotCompiled([f"{shown(text)}: {message}" for message in explain(str(error), text, scope)]) from None


def _remedy(result: str, what: str) -> str:
    return "; compare it, such as `... == true`" if result == "DYN" and what == "true or false" else ""
