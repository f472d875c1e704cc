"""The real tables in a statement, and which of them it writes: not the names of queries, aliases, locks and rows."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import TYPE_CHECKING

from agentguard.destinations.kinds.sql.common_tables import is_cte
from agentguard.destinations.kinds.sql.names import lower
from agentguard.destinations.kinds.sql.refusal import Refused
from agentguard.destinations.kinds.sql.targets import written_tables
from agentguard.destinations.kinds.sql.tree import table_type

if TYPE_CHECKING:
    from sqlglot import exp

# MySQL joins 61 tables at most, SQLite 64. Past this, a statement is made to keep us busy.
MAX_TABLES = 256
_NAMED = frozenset({"MatchRecognize", "Pivot", "Subquery", "Table", "TableFromRows"})
_ROWS = frozenset({"Anonymous", "ExplodingGenerateSeries", "GenerateSeries", "JSONTable", "OpenJSON", "Unnest"})


def real_tables(tree: exp.Expr, dialect: str) -> Iterator[tuple[exp.Table, bool]]:
    """The real tables in a statement, each with whether it is written. Raises Refused where a name may be something
    else."""
    targets, names = written_tables(tree, dialect)
    aliases = _aliases(tree)
    every = list(tree.find_all(table_type()))
    if len(every) > MAX_TABLES:
        raise Refused("too_many_tables")
    read = {lower(table.alias_or_name) for table in every if type(table.parent).__name__ != "Lock"}
    for table in every:
        # `indexed by i` names an index of the table before it.
        if id(table) in names or table.arg_key == "indexed" or _is_row_source(table) or _is_lock_name(table, read):
            continue
        written = id(table) in targets
        if not table.text("db"):
            if written and lower(table.name) in aliases - {lower(table.alias)}:
                raise Refused("alias_as_target")
            if is_cte(table, written, dialect):
                continue
        elif lower(table.text("catalog") or table.text("db")) in aliases:
            raise Refused("column_as_table")
        yield table, written


def _aliases(tree: exp.Expr) -> set[str]:
    """Every name that something in the statement goes by, without those of common table expressions."""
    return {lower(node.alias) for node in tree.walk() if type(node).__name__ in _NAMED and node.alias}


def _is_row_source(table: exp.Table) -> bool:
    """Whether this is a function that makes rows out of its arguments; the node list has passed it already."""
    inner = type(table.this).__name__
    if inner == "Identifier":
        return False
    # `dbo.f(7)`: only the owner's own may have a schema, and it was looked up with it.
    if inner in _ROWS and (inner == "Anonymous" or not table.args.get("db")):
        return True
    raise Refused("not_a_table_name")


def _is_lock_name(table: exp.Table, read: Set[str]) -> bool:
    """Whether this is the name in ``for update of name``, which must be one of the statement's own."""
    if type(table.parent).__name__ != "Lock":
        return False
    if table.text("db") or lower(table.name) not in read:
        raise Refused("column_as_table")
    return True
