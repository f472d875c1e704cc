"""Which columns of each table a statement may touch. Never too few: what is not certain counts.

Rules:
1. A column that is named counts for every table it could be of: the one its qualifier names, else all of them.
2. ``*``, a whole row (``select t from t``), a natural join, an alias that renames columns, a pivot, ``columns(…)``,
``match_recognize``, a merge, a deleted row and an insert without a column list touch every column. ``count(*)`` touches
none.
3. What a common table expression or a subquery shows is counted where it reads it.
4. A name that a server may take for another (not ASCII, a number, a pseudo column, a text in double quotes) counts as
whatever it may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from agentguard.destinations.kinds.sql.allowed_nodes import words
from agentguard.destinations.kinds.sql.tree import table_type

if TYPE_CHECKING:
    from sqlglot import exp

# Stands for all columns; no column is called so.
EVERY: Final = frozenset({"*"})

_OWNERS = frozenset({"Select", "Insert", "Update", "Delete", "Merge"})
_QUERIES = frozenset({"Select", "Union", "Intersect", "Except", "Values"})
# Other names of the primary key.
_ROW_IDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {"mysql": frozenset({"_rowid"}), "sqlite": frozenset({"_rowid_", "oid", "rowid"})}
)
# In these, a quoted text may be a name, by the server's settings or by its position.
_TEXT_MAY_BE_A_NAME = frozenset({"databricks", "mysql", "spark", "sqlite"})
# PostgreSQL reads `t.f` as `f(t)` where there is no such column: its functions that take a row of any table.
_TAKES_A_ROW = words(
    """any_value array_agg concat count cume_dist dense_rank first_value hash_record json_agg json_agg_strict
    json_build_array json_build_object jsonb_agg jsonb_agg_strict jsonb_build_array jsonb_build_object lag last_value
    lead max min mode num_nonnulls num_nulls percent_rank pg_collation_for pg_column_compression pg_column_size
    pg_column_toast_chunk_id pg_typeof quote_literal quote_nullable rank record_out record_send row_to_json to_json
    to_jsonb"""
)


class Columns:
    """The columns that one statement may touch, table by table.

    ``tables`` are the real tables in it, ``lost`` the names in its text that are not in the tree.
    """

    def __init__(self, tree: exp.Expr, tables: Iterable[exp.Table], dialect: str, lost: Iterable[str]) -> None:
        self._tables = tuple(tables)
        self._dialect = dialect
        self._everywhere: set[str] = set()
        for name in lost:
            self._add(name)
        self._touched: dict[int, set[str]] = {id(table): set() for table in self._tables}
        self._by_name: dict[str, list[exp.Table]] = {}
        for table in self._tables:
            for name in {table.alias_or_name.lower(), table.name.lower()}:
                self._by_name.setdefault(name, []).append(table)
        self._derived = frozenset(_derived_names(tree))
        for node in tree.walk():
            reader = _READERS.get(type(node).__name__)
            if reader is not None:
                reader(self, node)

    def of(self, table: exp.Table) -> frozenset[str]:
        """The names, in lower case, or EVERY."""
        touched = self._touched[id(table)] | self._everywhere
        return EVERY if touched >= EVERY else frozenset(touched)

    def _add(self, name: str, tables: Iterable[exp.Expr] | None = None) -> None:
        """A name counts for these tables, or for all."""
        lowered = name.lower()
        pseudo = lowered in _ROW_IDS.get(self._dialect, ()) or (self._dialect == "snowflake" and lowered[:1] == "$")
        found = "*" if pseudo or not name.isascii() else lowered
        if tables is None:
            self._everywhere.add(found)
            return
        for table in tables:
            if id(table) in self._touched:
                self._touched[id(table)].add(found)

    def _called(self, name: str) -> list[exp.Table]:
        """The tables that a qualifier may mean."""
        return self._by_name.get(name.lower(), [])

    def _owned_by(self, owner: exp.Expr | None) -> list[exp.Table] | None:
        return None if owner is None else [table for table in self._tables if _owner(table) is owner]

    def _column(self, column: exp.Expr) -> None:
        qualifiers = [column.text(part) for part in ("catalog", "db", "table") if column.text(part)]
        name = column.name
        for qualifier in qualifiers:
            # `a.b` may be the member `b` of a column `a`.
            self._add(qualifier)
        if type(column.this).__name__ == "Star":
            self._row(qualifiers[-1] if qualifiers else "")
        elif not qualifiers:
            self._add(name)
            self._add("*", self._called(name))
        else:
            called = self._called(qualifiers[-1])
            if self._dialect in ("postgres", "redshift") and name.lower() in _TAKES_A_ROW:
                self._row(qualifiers[-1])
            elif called or qualifiers[-1].lower() not in self._derived:
                self._add(name, called or None)

    def _row(self, qualifier: str) -> None:
        """A whole row of what a qualifier means."""
        called = self._called(qualifier)
        if called or qualifier.lower() not in self._derived:
            self._add("*", called or None)

    def _star(self, star: exp.Expr) -> None:
        parent = type(star.parent).__name__
        if parent in ("Column", "Count"):
            return
        owner = _owner(star)
        self._add("*", self._owned_by(owner) if type(owner).__name__ == "Select" else None)

    def _join(self, join: exp.Expr) -> None:
        if str(join.args.get("method") or "").upper() == "NATURAL":
            self._add("*", self._owned_by(_owner(join)))

    def _table_alias(self, alias: exp.Expr) -> None:
        if alias.args.get("columns") and alias.parent is not None:
            self._add("*", [alias.parent])

    def _subquery(self, subquery: exp.Expr) -> None:
        """A join in brackets that has a name: its columns are the tables' own, under that name."""
        if subquery.alias and type(subquery.this).__name__ not in _QUERIES:
            self._add("*", subquery.find_all(table_type()))

    def _insert(self, insert: exp.Expr) -> None:
        if type(insert.parent).__name__ == "When":
            return
        replaced = str(insert.args.get("alternative")).lower() == "replace"
        if replaced or type(insert.this).__name__ != "Schema" or not insert.this.expressions:
            self._add("*", insert.this.find_all(table_type()))

    def _schema(self, schema: exp.Expr) -> None:
        for column in schema.expressions:
            self._add(column.name, [schema.this])

    def _delete(self, delete: exp.Expr) -> None:
        if type(delete.parent).__name__ != "When":
            target = delete.this or delete.args["tables"][0]
            self._add("*", target.find_all(table_type()))

    def _merge(self, merge: exp.Expr) -> None:
        self._add("*", self._owned_by(merge))

    def _everything(self, node: exp.Expr) -> None:
        """What turns rows and columns round, or names columns by a pattern."""
        self._add("*")

    def _identifier(self, identifier: exp.Expr) -> None:
        """Names outside of column references, such as those of ``using`` and ``on conflict``."""
        if type(identifier.parent).__name__ not in _NAMES_NO_COLUMN:
            self._add(identifier.name)

    def _literal(self, literal: exp.Expr) -> None:
        if literal.args.get("is_string") and self._dialect in _TEXT_MAY_BE_A_NAME:
            self._add(literal.name)

    def _parameter(self, parameter: exp.Expr) -> None:
        """``$1`` is the first column in Snowflake, and a bound value elsewhere."""
        if self._dialect == "snowflake":
            self._add("*")


# Whose identifiers are read elsewhere, or name no column.
_NAMES_NO_COLUMN = frozenset({"Column", "Table", "TableAlias", "Alias", "CTE", "Schema", "Window"})
_READERS = {
    "Column": Columns._column,
    "Star": Columns._star,
    "Join": Columns._join,
    "TableAlias": Columns._table_alias,
    "Insert": Columns._insert,
    "Schema": Columns._schema,
    "Subquery": Columns._subquery,
    "Delete": Columns._delete,
    "Merge": Columns._merge,
    "Identifier": Columns._identifier,
    "Literal": Columns._literal,
    "Parameter": Columns._parameter,
    "Placeholder": Columns._parameter,
    "Columns": Columns._everything,
    "MatchRecognize": Columns._everything,
    "Pivot": Columns._everything,
}


def _owner(node: exp.Expr) -> exp.Expr | None:
    """The query or the writing statement that a node stands in; a merge's own clauses are the merge's."""
    above = node.parent
    while above is not None:
        if type(above).__name__ in _OWNERS and type(above.parent).__name__ != "When":
            return above
        above = above.parent
    return None


def _derived_names(tree: exp.Expr) -> Iterator[str]:
    """What names a query's result, whose columns are counted inside it. A bracketed join is no query."""
    for node in tree.walk():
        kind = type(node).__name__
        if kind == "CTE" or (kind == "Subquery" and type(node.this).__name__ in _QUERIES):
            yield node.alias.lower()
