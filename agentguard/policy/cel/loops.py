"""What kind of loop one is, and which fields of its elements it reads: told from its tree."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from agentguard.policy.cel.tree import Call, Const, Ident, Items, Loop, Node, Select, parts_of

Kind: TypeAlias = Literal["all", "exists", "exists_one"]


def bound_variable(node: Node) -> str | None:
    """The name of a `cel.bind`, which the parser makes a loop over nothing."""
    if isinstance(node, Loop) and isinstance(node.source, Items) and not node.source.values:
        condition = node.body[0]
        return node.accumulator if isinstance(condition, Const) and condition.value is False else None
    return None


def kind_of(loop: Loop) -> Kind | None:
    """Which of the words it was that gives true or false; None for those that give lists."""
    begin, result = loop.before[0], loop.body[2]
    if isinstance(begin, Const) and type(begin.value) is bool and isinstance(result, Ident):
        return "all" if begin.value else "exists"
    if isinstance(begin, Const) and type(begin.value) is int and isinstance(result, Call):
        return "exists_one"
    return None


def fields_read(loop: Loop) -> frozenset[str] | None:
    """Which fields of its element a loop reads; None where it takes the element as a whole."""
    name, found, pending = loop.variables[0], set(), list(loop.body)
    while pending:
        node = pending.pop()
        if isinstance(node, Ident) and node.name == name:
            return None
        owner, field = _read_by_name(node)
        if field is not None and owner == Ident(name):
            found.add(field)
        else:
            pending += parts_of(node)
    return frozenset(found)


def _read_by_name(node: Node) -> tuple[Node | None, str | None]:
    if isinstance(node, Select):
        return node.operand, node.field
    if isinstance(node, Call) and node.function in ("_[_]", "_?._", "_[?_]"):
        key = node.arguments[1]
        return node.arguments[0], key.value if isinstance(key, Const) and type(key.value) is str else None
    return None, None


def reduced(elements: list[Any], fields: frozenset[str] | None) -> list[Any]:
    if fields is None:
        return elements
    return [
        {field: element[field] for field in fields if field in element} if type(element) is dict else element
        for element in elements
    ]
