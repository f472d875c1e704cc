"""Whether a name in a statement means a common table expression of its, and not a table.

Servers differ in where an expression is seen, in quotes and in case. Where they may disagree, the statement is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentguard.destinations.kinds.sql.allowed_nodes import STATEMENTS
from agentguard.destinations.kinds.sql.names import lower
from agentguard.destinations.kinds.sql.refusal import Refused

if TYPE_CHECKING:
    from sqlglot import exp

# Where an expression may recur without `recursive`.
_RECURS_UNSAID = frozenset({"oracle", "snowflake", "sqlite", "tsql"})
# Where names without quotes are the same in any case, those of common table expressions included.
_FOLDS_CASE = frozenset(
    {"bigquery", "databricks", "duckdb", "oracle", "postgres", "redshift", "snowflake", "spark", "sqlite", "trino"}
)


def is_cte(table: exp.Table, written: bool, dialect: str) -> bool:
    """Whether an unqualified name certainly means a common table expression. Where it may be a table as well, it counts
    as one: what the expression reads is counted where it reads it. Raises Refused where not even that is clear."""
    inside: exp.Expr = table
    node = table.parent
    unclear = False
    while node is not None:
        with_ = node.args.get("with_") or node.args.get("with")
        if type(node).__name__ == "With":
            found = _named_in(node.expressions, table, dialect)
            seen = found is not None and _is_seen(found, table, inside, node, dialect)
        elif with_ is not None and with_ is not inside:
            found = _named_in(with_.expressions, table, dialect)
            seen = found is not None
            if found is not None and written:
                raise Refused("cte_as_target")
        else:
            found, seen = None, False
        # A name that is not seen here, and again one further out.
        if found is not None and unclear:
            raise Refused("ambiguous_cte")
        if seen:
            return True
        unclear = unclear or found is not None
        inside, node = node, node.parent
    if unclear and written:
        raise Refused("ambiguous_cte")
    return False


def _named_in(ctes: list[exp.Expr], table: exp.Table, dialect: str) -> exp.Expr | None:
    """The common table expression of a list that has this name."""
    for cte in ctes:
        if lower(cte.alias) == lower(table.name):
            # `with expression as name` in ClickHouse names a value; a table of that name is another thing.
            plain = not cte.args.get("scalar") and type(cte.this).__name__ in STATEMENTS
            if not plain or not _same_spelling(cte, table, dialect):
                raise Refused("ambiguous_cte")
            return cte
    return None


def _is_seen(cte: exp.Expr, table: exp.Table, inside: exp.Expr, with_: exp.Expr, dialect: str) -> bool:
    """Whether a name within one expression of a list is another one of it: those before it, and, where it recurs, the
    expression itself."""
    if cte is not inside:
        return with_.expressions.index(cte) < with_.expressions.index(inside)
    # DuckDB reads a table where `recursive` is said and nothing recurs.
    may_recur = bool(with_.args.get("recursive")) or dialect in _RECURS_UNSAID
    return may_recur and _is_in_a_later_branch(table, cte)


def _is_in_a_later_branch(table: exp.Expr, cte: exp.Expr) -> bool:
    """Whether a name stands behind the first ``union`` of an expression, where a recursive one repeats itself."""
    inside, node = table, table.parent
    while node is not None and node is not cte:
        if type(node).__name__ == "Union" and node.expression is inside:
            return True
        inside, node = node, node.parent
    return False


def _same_spelling(cte: exp.Expr, table: exp.Table, dialect: str) -> bool:
    """Whether both names are written alike, so that no rule of quoting or case can tell them apart."""
    alias = cte.args["alias"].this
    quoted = bool(alias.args.get("quoted"))
    if quoted != bool(table.this.args.get("quoted")):
        return False
    alike = alias.name.isascii() and lower(alias.name) == lower(table.name)
    return bool(alias.name == table.name) or (alike and not quoted and dialect in _FOLDS_CASE)
