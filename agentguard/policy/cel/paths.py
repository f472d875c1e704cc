"""The path of a part of an expression, such as `args.rows`, and what a part is called in a message."""

from __future__ import annotations

from agentguard.policy.cel.cost import ViewPath
from agentguard.policy.cel.literals import literal
from agentguard.policy.cel.tree import Call, Const, Ident, Node, Select

# `x[y]` and its two forms that may lack.
MEMBERS = frozenset({"_[_]", "_?._", "_[?_]"})


def path_of(node: Node) -> ViewPath | None:
    """The names from a root down to a member, ``*`` for one that is not written out; None for what is computed."""
    if isinstance(node, Ident):
        return (node.name,)
    if isinstance(node, Select):
        above = path_of(node.operand)
        return None if above is None else (*above, node.field)
    if isinstance(node, Call) and node.function in MEMBERS and len(node.arguments) == 2:
        above, key = path_of(node.arguments[0]), node.arguments[1]
        name = key.value if isinstance(key, Const) and type(key.value) is str else "*"
        return None if above is None else (*above, name)
    return None


def words_of(node: Node) -> str:
    """A part of an expression as a message calls it."""
    if isinstance(node, Const):
        return literal(node.value)
    path = path_of(node)
    if path is None and isinstance(node, Call) and node.function.isidentifier():
        return f"{node.function}(...)"
    return ".".join(path) if path is not None else "this"


def member_words(operand: Node, name: str) -> str:
    """A member of a part, as a message calls it."""
    return f"{words_of(operand)}.{name}"
