"""Which tables a statement writes, under whatever alias it names them."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from agentguard.destinations.kinds.sql.allowed_nodes import WRITERS
from agentguard.destinations.kinds.sql.names import lower
from agentguard.destinations.kinds.sql.refusal import Refused
from agentguard.destinations.kinds.sql.tree import table_type

if TYPE_CHECKING:
    from sqlglot import exp


def written_tables(tree: exp.Expr, dialect: str) -> tuple[Set[int], Set[int]]:
    """The tables that are written, anywhere in the statement; and what only repeats the alias of one of them."""
    written: set[int] = set()
    names: set[int] = set()
    for node in tree.walk():
        # In a merge, `then insert` and `then update` have no target of their own.
        if type(node).__name__ not in WRITERS or type(node.parent).__name__ == "When":
            continue
        listed = node.args.get("tables") or []
        target: exp.Expr | None = node.this or (listed[0] if len(listed) == 1 else None)
        if target is not None and type(target).__name__ == "Schema":
            target = target.this
        if target is None or type(target).__name__ != "Table" or type(target.this).__name__ != "Identifier":
            raise Refused("target_not_a_table")
        if listed and target is not listed[0]:
            # `delete o from orders o join …`: the names before `from` say which of these are written.
            for name in listed:
                written.add(id(_meant(name, [target, *_joined(target)])))
                names.add(id(name))
            continue
        meant = _aliased(node, target) if dialect == "tsql" else None
        if meant is not None:
            written.add(id(meant))
            names.add(id(target))
            continue
        # `update a join b set b.x = 1`: what is joined to a target may be written too.
        written.update(id(table) for table in target.find_all(table_type()) if table.arg_key != "indexed")
    return written, names


def _aliased(update: exp.Expr, target: exp.Expr) -> exp.Expr | None:
    """What the target of SQL Server's ``update o … from orders o`` is an alias of."""
    from_ = update.args.get("from_") or update.args.get("from")
    if from_ is None or target.text("db"):
        return None
    read = [from_.this, *_joined(from_.this)]
    if all(lower(source.alias) != lower(target.name) for source in read):
        return None
    return _meant(target, read)


def _joined(first: exp.Expr) -> list[exp.Expr]:
    return [join.this for join in first.args.get("joins") or []]


def _meant(name: exp.Expr, sources: list[exp.Expr]) -> exp.Expr:
    """The one table that a name before ``from`` stands for."""
    plain = type(name).__name__ == "Table" and not name.text("db") and not name.args.get("alias")
    found = [source for source in sources if lower(source.alias_or_name) == lower(name.name)]
    if not plain or len(found) != 1 or type(found[0]).__name__ != "Table":
        raise Refused("alias_as_target")
    return found[0]
