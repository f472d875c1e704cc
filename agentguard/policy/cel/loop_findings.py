"""Loops that do something else than they seem: those that give their answer for an empty list, and those that copy."""

from __future__ import annotations

from agentguard.policy.cel.cost import ViewPath
from agentguard.policy.cel.known import LIMIT_OF_LISTS, extent
from agentguard.policy.cel.loops import kind_of
from agentguard.policy.cel.paths import path_of
from agentguard.policy.cel.scope import ANYTHING, Known, Scope, member
from agentguard.policy.cel.tree import Const, Loop


def copies_too_much(node: Loop, source: Known) -> str | None:
    """`map` and `filter` copy what they have at each element, with every other thread waiting."""
    if kind_of(node) is not None:
        return None
    size = extent(node.source, source)
    if size is not None and size <= LIMIT_OF_LISTS:
        return None
    path = path_of(node.source)
    name = "this list" if path is None else f"`{'.'.join(path)}`"
    xs = "list" if path is None else ".".join(path)
    return (
        f"`map` and `filter` take lists of at most {LIMIT_OF_LISTS} elements, and nothing limits {name}; write "
        f'`where({xs}, "field", value)` or `one(...)` for `filter`, `distinct({xs}, "field")`, `max`, `min` or '
        f"`sum` for `map`, keep `result[*].field`, or say `maxItems: {LIMIT_OF_LISTS}` in its schema"
    )


def true_of_nothing(loop: Loop, form: str, scope: Scope, *, begins: bool) -> tuple[ViewPath | None, str] | None:
    """What is said of a loop that gives its first answer for a list that holds nothing, and where that list stands.

    ``begins``: the answer that makes it true; ``form``: how it is written, around the name of the list.
    """
    begin = loop.before[0] if loop.before else None
    if not isinstance(begin, Const) or begin.value is not begins:
        return None
    path = path_of(loop.source)
    known = _declared_at(path, scope)
    if known.get("minItems", 0) or known.get("minProperties", 0):
        return None
    name = "list" if path is None else ".".join(path)
    written = form.format(name)
    remedy = "" if path is None else f"; add `size({name}) > 0` if an empty one must not pass"
    return path, f"`{written}` is true where `{name}` is empty{remedy}"


def _declared_at(path: ViewPath | None, scope: Scope) -> Known:
    """What is declared at a path of the view."""
    known: Known | None = ANYTHING if path is None else scope.names.get(path[0], ANYTHING)
    for name in (path or ())[1:]:
        known = member(known or ANYTHING, name)
    return known or ANYTHING
