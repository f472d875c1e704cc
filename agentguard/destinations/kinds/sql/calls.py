"""Whether a function that a statement calls only computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentguard.destinations.kinds.sql.allowed_functions import FUNCTIONS_OF
from agentguard.destinations.kinds.sql.allowed_nodes import NODES, ROW_FUNCTIONS, UNTYPED_FUNCTIONS
from agentguard.destinations.kinds.sql.refusal import Refused

if TYPE_CHECKING:
    from sqlglot import exp


def check_call(call: exp.Expr, dialect: str, own: frozenset[str]) -> None:
    """A function that the parser has no type for: one of the dialect's that only compute, or the owner's own."""
    name = call.name.lower()
    built_in = UNTYPED_FUNCTIONS | FUNCTIONS_OF.get(dialect, frozenset())
    parent = call.parent
    place = type(parent).__name__
    space: str | None = None
    if parent is not None and place == "Dot" and parent.expression is call:
        space = _dotted(parent.this)
        place = type(parent.parent).__name__
    elif parent is not None and place == "Table" and parent.text("db"):
        space = ".".join(filter(None, (parent.text("catalog"), parent.text("db")))).lower()
    if space == "pg_catalog" and dialect in ("postgres", "redshift"):
        own, built_in = frozenset(), built_in | ({name} if _is_typed(name) else set())
    elif space is not None:
        # What no plain name stands before is a method of a value; nobody can say of which.
        name = f"{space}.{name}" if space else ""
    allowed = own | built_in
    if place in ("Table", "Lateral") and dialect in ROW_FUNCTIONS:
        allowed = own | ROW_FUNCTIONS[dialect] | UNTYPED_FUNCTIONS
    # With an argument, it sets what the next call answers.
    if name not in allowed or (name == "last_insert_id" and call.expressions):
        raise Refused("function_not_allowed")


def _is_typed(name: str) -> bool:
    """Whether the parser has a type for a function of this name, and the type is on the list."""
    from sqlglot import exp

    typed = exp.FUNCTION_BY_NAME.get(name.upper())
    return typed is not None and typed.__name__ in NODES


def _dotted(node: exp.Expr) -> str:
    """The name of a namespace, such as ``net`` or ``project.dataset``; nothing where it is no plain name."""
    kind = type(node).__name__
    if kind == "Identifier":
        return str(node.name).lower()
    if kind in ("Dot", "Column"):
        of = ("this", "expression") if kind == "Dot" else ("catalog", "db", "table", "this")
        parts = [_dotted(node.args[part]) for part in of if node.args.get(part)]
        return ".".join(parts) if all(parts) else ""
    return ""


def is_listed(node: exp.Expr, own: frozenset[str]) -> bool:
    """Whether the owner lists a function that the parser has a type for, under any of its names."""
    from sqlglot import exp

    return isinstance(node, exp.Func) and not own.isdisjoint(name.lower() for name in type(node).sql_names())
