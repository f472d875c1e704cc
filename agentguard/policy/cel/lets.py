"""Expressions that have a name of their own (`let`), put where the name stands; and what is too much of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agentguard.policy.cel.functions.table import NAMES as OURS
from agentguard.policy.cel.scope import NAMES, Let
from agentguard.policy.cel.tree import Call, Const, Ident, Items, Loop, Node, Select, parts_of
from agentguard.policy.words import shown

# Nodes of one expression with everything that it names. A condition of 4,096 characters has about a thousand.
MAX_NODES = 5_000
# How often one value may stand in what an expression makes of it: `cel.bind(b, a + a, cel.bind(c, b + b, ...))`
MAX_REPEATS = 1_000

_RESERVED = frozenset(
    {*NAMES, *OURS, "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"}
    | {"import", "let", "loop", "namespace", "package", "return", "var", "void", "while", "int", "uint", "double"}
    | {"string", "bool", "bytes", "list", "map", "type", "null_type", "dyn", "timestamp", "duration", "google"}
    | {"math", "cel", "strings", "optional", "has", "size", "matches", "result"}
)


def name_trouble(name: str) -> str | None:
    """Why an expression cannot be called so, or None."""
    return f"{shown(name)} is a word of conditions; call it something else" if name in _RESERVED else None


def inlined(node: Node, lets: Mapping[str, Let]) -> Node:
    """The tree with each name replaced by its expression. What the checker knew of those does not hold here."""
    match node:
        case Ident() if node.name in lets:
            return lets[node.name].tree
        case Select():
            return replace(node, operand=inlined(node.operand, lets))
        case Call():
            return replace(node, arguments=tuple(inlined(part, lets) for part in node.arguments))
        case Items():
            return replace(node, values=tuple(inlined(part, lets) for part in node.values))
        case Loop():
            return replace(
                node,
                source=inlined(node.source, lets),
                before=tuple(inlined(part, lets) for part in node.before),
                body=tuple(inlined(part, lets) for part in node.body),
            )
    return node


def unnumbered(node: Node) -> Node:
    """The tree as it stands in another, whose numbers are its own."""
    match node:
        case Call():
            return replace(node, arguments=tuple(map(unnumbered, node.arguments)), number=0)
        case Select():
            return replace(node, operand=unnumbered(node.operand))
        case Items():
            return replace(node, values=tuple(map(unnumbered, node.values)))
        case Loop():
            return replace(
                node,
                source=unnumbered(node.source),
                before=tuple(map(unnumbered, node.before)),
                body=tuple(map(unnumbered, node.body)),
            )
    return node


def growth_trouble(tree: Node) -> str | None:
    """Why an expression is too large, or makes too much of a value, or None."""
    if nodes_of(tree) > MAX_NODES:
        return f"with what it names it has more than {MAX_NODES:,} parts"
    if _growth(tree, {}) > MAX_REPEATS:
        return f"it puts one value more than {MAX_REPEATS:,} times behind itself"
    return None


def nodes_of(tree: Node) -> int:
    """How many parts a tree has."""
    count, pending = 0, [tree]
    while pending:
        node = pending.pop()
        count += 1
        pending += parts_of(node)
    return count


def _growth(node: Node, bound: Mapping[str, int]) -> int:
    """At most how often one value stands in what the node gives."""
    match node:
        case Ident():
            return bound.get(node.name, 1)
        case Const():
            return 1
        case Loop():
            begin = max(_growth(node.source, bound), *(_growth(part, bound) for part in node.before))
            inside = {**bound, **dict.fromkeys(node.variables, begin), node.accumulator: begin}
            return max(begin, *(_growth(part, inside) for part in node.body))
        case Items() | Call(function="_+_"):
            return max(1, sum(_growth(part, bound) for part in parts_of(node)))
    return max((_growth(part, bound) for part in parts_of(node)), default=1)
