"""Every part of a statement only computes, node by node: what is not in ``allowed_nodes`` is refused."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from agentguard.destinations.kinds.sql.allowed_nodes import (
    ARGUMENTS,
    KEYWORDS_EVERYWHERE,
    NODES,
    QUERY_OPTIONS,
    WRAPPED_ROWS,
    keywords,
)
from agentguard.destinations.kinds.sql.calls import check_call, is_listed
from agentguard.destinations.kinds.sql.refusal import Refused

if TYPE_CHECKING:
    from sqlglot import exp

# A sequence is read, and moved on, by what looks like one of its columns.
_SEQUENCE_COLUMNS = frozenset({"nextval", "currval"})


def check_constructs(tree: exp.Expr, dialect: str, own: frozenset[str], named: Set[int]) -> None:
    """Every node is of a kind that can only compute, and carries only clauses that are looked at here."""
    reserved = keywords(dialect)
    for node in tree.walk():
        kind = type(node).__name__
        if kind == "Anonymous":
            check_call(node, dialect, own)
        elif kind not in NODES and not is_listed(node, own):
            raise Refused("construct_not_allowed")
        known = ARGUMENTS.get(kind)
        if known is not None and any(value and name not in known for name, value in node.args.items()):
            raise Refused("construct_not_allowed")
        if kind == "In" and dialect == "clickhouse" and any(type(one).__name__ == "Column" for one in node.expressions):
            raise Refused("construct_not_allowed")
        is_word = kind == "Identifier" and not node.args.get("quoted") and node.name.lower() in reserved
        if is_word and (dialect in KEYWORDS_EVERYWHERE or not _is_named(node, named)):
            raise Refused("keyword_as_name")
        if kind == "Column" and node.args.get("table") and node.name.lower() in _SEQUENCE_COLUMNS:
            raise Refused("function_not_allowed")
        # What follows a dot: a member, or a function of a namespace.
        if kind == "Dot" and type(node.expression).__name__ not in ("Identifier", "Star", "Anonymous", "Dot"):
            raise Refused("construct_not_allowed")
        # `table('t')`, `table(f(x))`: a table that is named at run time, or whatever a function of that name does.
        if kind == "TableFromRows" and type(node.this).__name__ not in WRAPPED_ROWS:
            raise Refused("construct_not_allowed")
        # `insert or rollback` ends the caller's transaction.
        if kind == "Insert" and str(node.args.get("alternative") or "ignore").lower() not in ("ignore", "replace"):
            raise Refused("construct_not_allowed")
        # `cross apply t`, `lateral t`: a table, or a function without brackets, that the parser keeps as a bare name.
        if kind == "Lateral" and _is_bare(node.this):
            raise Refused("not_a_table_name")
        # `in(x, t)` and `f('t')` in ClickHouse: a call that the parser takes for a name with a list of aliases.
        if kind == "Aliases" and type(node.this).__name__ == "Column":
            raise Refused("construct_not_allowed")
        # Elsewhere it sets a variable of the session.
        if kind == "PropertyEQ" and type(node.parent).__name__ != "Struct":
            raise Refused("construct_not_allowed")
        if kind == "Table" and type(node.this).__name__ == "Identifier" and _has_nameless_alias(node):
            raise Refused("not_a_table_name")
        if kind == "Unnest" and dialect == "redshift":
            raise Refused("column_as_table")
        if kind == "DataType" and str(node.this).endswith("USERDEFINED"):
            raise Refused("construct_not_allowed")
        if kind == "QueryOption" and not QUERY_OPTIONS.issuperset(node.this.name.lower().split()):
            raise Refused("construct_not_allowed")


def _is_bare(node: exp.Expr) -> bool:
    kind = type(node).__name__
    return kind in ("Identifier", "Column") or (kind == "Dot" and type(node.expression).__name__ != "Anonymous")


def _is_named(identifier: exp.Expr, named: Set[int]) -> bool:
    """Whether a keyword stands behind a dot, or behind ``as`` in a list of columns: no server reads a clause there."""
    return identifier.meta.get("start") in named and type(identifier.parent).__name__ in ("Alias", "Column", "Dot")


def has_rows_to_read(tree: exp.Expr) -> bool:
    """Whether ``values`` stands where a table could. No server takes an inserted row without brackets."""
    return any(type(node).__name__ == "Values" and type(node.parent).__name__ != "Insert" for node in tree.walk())


def _has_nameless_alias(table: exp.Expr) -> bool:
    alias = table.args.get("alias")
    return alias is not None and alias.args.get("this") is None
