"""The kind ``sql``: the tables that one statement reads and writes.

Options: ``dialect`` (required), ``schema`` and ``database`` (what an unqualified table is under), ``functions`` (names
of the owner's own functions that only compute). Read by ``sqlglot``, and refused wherever it may see less than the
database does: only node types on a list are accepted (``sql_allowed``), and only text that every server cuts into the
same pieces (``sql_text``).

The id is ``sql:DIALECT:[database.][schema.]table`` in lower case; ``parts["access"]`` is ``read`` or ``write``,
``parts["columns"]`` what it may touch of the table (``*``: everything).

Patterns: ``postgres:sales.orders``, ``postgres:sales.*``, ``snowflake:prod.sales.orders``, ``snowflake:prod.sales.*``,
``snowflake:prod.*.*``, ``postgres:orders`` (a table that no schema is known for; no wildcard covers it). A pattern
covers names with as many parts as it has. ``postgres:sales.customers(email)`` lists a column: where a statement may
touch it, it is a destination beside its table (``sql_columns``).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from contextvars import ContextVar
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, make_place, option_words, unknown_options
from agentguard.destinations.kinds.sql.allowed import (
    ARGUMENTS,
    KEYWORDS_EVERYWHERE,
    NODES,
    QUERY_OPTIONS,
    ROW_FUNCTIONS,
    STATEMENTS,
    UNTYPED_FUNCTIONS,
    WRAPPED_ROWS,
    WRITERS,
    keywords,
)
from agentguard.destinations.kinds.sql.columns import EVERY, Columns
from agentguard.destinations.kinds.sql.functions import FUNCTIONS_OF
from agentguard.destinations.kinds.sql.lost import lost_names
from agentguard.destinations.kinds.sql.text import (
    MAX_LENGTH,
    cut_alike,
    rows_are_bracketed,
    text_problem,
    without_comments,
)
from agentguard.destinations.text import is_plain_text

if TYPE_CHECKING:
    from sqlglot import exp

# The dialects that are tested here, and what sqlglot calls them.
DIALECTS: Mapping[str, str] = MappingProxyType(
    {
        "bigquery": "bigquery",
        "clickhouse": "clickhouse",
        "databricks": "databricks",
        "duckdb": "duckdb",
        "mariadb": "mysql",
        "mysql": "mysql",
        "oracle": "oracle",
        "postgres": "postgres",
        "postgresql": "postgres",
        "redshift": "redshift",
        "snowflake": "snowflake",
        "spark": "spark",
        "sqlite": "sqlite",
        "trino": "trino",
        "tsql": "tsql",
    }
)
_TWO_PARTS_AT_MOST = frozenset({"mysql", "sqlite", "clickhouse", "oracle"})
_OF_MANY = re.compile(r"(?:[a-z0-9_$-]+\.){1,2}(?:[a-z0-9_$-]+\*|information_schema\.(?:[a-z0-9_]+|\*))")
_INFORMATION_SCHEMA = re.compile(r"(information_schema)\.(\w+)", re.IGNORECASE)
_NAME = re.compile(r"\w(?:[\w $-]*[\w$])?")
_PLAIN = re.compile(r"[a-z0-9_$-]+")
# What a catalog may list. Every other name of a column cannot be listed, so it is under its table.
_COLUMN = re.compile(r"[a-z0-9_$-](?:[a-z0-9_$ -]*[a-z0-9_$-])?|\*")
_COLUMN_PATTERN = re.compile(r"(.+)\((.+)\)", re.DOTALL)
_ID_NAME = r'[a-z0-9_$-]+|"[^"]+"'
_ID = re.compile(rf"sql:([a-z]+):((?:{_ID_NAME})(?:\.(?:{_ID_NAME})){{0,2}})")
# Where the engine takes a schema of this name for a file format.
_FILE_FORMATS = frozenset(
    {"avro", "binaryfile", "csv", "delta", "hive", "hudi", "iceberg", "image", "json", "lance", "libsvm", "orc"}
    | {"parquet", "text", "xml"}
)
# DuckDB reads `data.csv` as a file, with or without quotes.
_FILE_ENDINGS = frozenset(
    {"arrow", "csv", "db", "duckdb", "gz", "json", "jsonl", "ndjson", "parquet", "tsv", "txt", "xlsx", "zst"}
)
_FILE_DIALECTS = frozenset({"databricks", "spark"})
# Longer names are cut here, so that a tail of letters would make another name of the same table. In bytes.
_LONGEST_NAME: Mapping[str, int] = MappingProxyType({"postgres": 63, "redshift": 127})
# MySQL joins 61 tables at most, SQLite 64. Past this, a statement is made to keep us busy.
MAX_TABLES = 256
# These compare names without accents, and skip letters that their collation has no weight for.
_FOLDS_ACCENTS = frozenset({"mysql", "tsql"})
# Where an expression may recur without `recursive`.
_RECURS_UNSAID = frozenset({"oracle", "snowflake", "sqlite", "tsql"})
# Where names without quotes are the same in any case, those of common table expressions included.
_FOLDS_CASE = frozenset(
    {"bigquery", "databricks", "duckdb", "oracle", "postgres", "redshift", "snowflake", "spark", "sqlite", "trino"}
)
# A sequence is read, and moved on, by what looks like one of its columns.
_SEQUENCE_COLUMNS = frozenset({"nextval", "currval"})
# These are found without a schema, whatever the default schema is.
_SYSTEM_PREFIXES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "postgres": ("pg_",),
        "redshift": ("pg_", "stl_", "stv_", "svl_", "svv_", "sys_"),
        "sqlite": ("sqlite_", "pragma_", "dbstat"),
        "duckdb": ("sqlite_", "duckdb_", "pragma_", "pg_"),
        "oracle": ("all_", "dba_", "user_", "v$"),
        "tsql": ("sysobjects", "syscolumns", "sysusers", "syslogins", "sysdatabases", "sysprocesses", "sysfiles"),
    }
)


_parsing: ContextVar[bool] = ContextVar("parsing", default=False)


class _Silence(logging.Filter):
    """Keeps statements, which hold private values, out of the log: the parser quotes what it cannot read."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _parsing.get()


_SILENCE = _Silence()


class _Refused(Exception):
    """Carries the slug of a refusal out of the walk."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Sql:
    name = "sql"
    options = frozenset({"dialect", "schema", "database", "functions"})
    handed_on = False
    # `select now()`: every function in it is listed, so that no answer is certain knowledge.
    may_reach_nothing = True
    # Parsing costs milliseconds, so a call may carry few statements.
    most = 16

    def derive(self, value: Json, options: Mapping[str, Json]) -> Derived:
        if type(value) is not str:
            return Ambiguous("not_a_string")
        if self.option_problem(options) is not None:
            return Ambiguous("no_dialect" if options.get("dialect") is None else "bad_option")
        dialect = DIALECTS[str(options["dialect"])]
        problem = text_problem(value, dialect)
        if problem is not None:
            return Ambiguous(problem)
        functions = option_words(options, "functions", frozenset()) or frozenset()
        try:
            tree, lost, named = _parse(value, dialect)
            if _has_rows_to_read(tree) and not rows_are_bracketed(value, dialect):
                raise _Refused("not_a_table_name")
            _check_nodes(tree, dialect, frozenset(name.lower() for name in functions), named)
            if lost is None:
                raise _Refused("not_all_read")
            return tuple(_places(tree, lost, dialect, options))
        except _Refused as refused:
            return Ambiguous(refused.reason)
        except RecursionError:
            return Ambiguous("nested_too_deep")

    def option_problem(self, options: Mapping[str, Json]) -> str | None:
        unknown = unknown_options(options, self.options)
        if unknown is not None:
            return unknown
        dialect = options.get("dialect")
        if type(dialect) is not str or dialect not in DIALECTS:
            return f"`dialect` must be one of {', '.join(sorted(DIALECTS))}"
        for option in ("schema", "database"):
            given = options.get(option)
            if given is not None and (type(given) is not str or _NAME.fullmatch(given) is None):
                return f"`{option}` must be a plain name"
        if options.get("database") is not None and options.get("schema") is None:
            return "`database` needs `schema` as well"
        if option_words(options, "functions", frozenset()) is None:
            return "`functions` must be a list of function names"
        return None

    def place_from_id(self, identity: str) -> Place | None:
        """The table. A recorded id does not say which columns were touched, but that one of a column's own."""
        whole, columns = self.split_pattern(identity) or (identity, "")
        match = _ID.fullmatch(whole)
        if match is None or match[1] not in DIALECTS.values():
            return None
        names = [name.strip('"') for name in re.findall(_ID_NAME, match[2])]
        database, schema, table = [""] * (3 - len(names)) + names
        return make_place(
            "sql", whole, dialect=match[1], database=_shown(database), schema=_shown(schema), table=_shown(table),
            access="read", columns=columns,
        )  # fmt: skip

    def pattern_key(self, pattern: str) -> str:
        split = self.split_pattern(pattern)
        if split is None:
            return self._table_key(pattern)
        table, column = split
        if column == "*" or _COLUMN.fullmatch(column) is None:
            raise ValueError(f"`{pattern}` names no column; expected such as `postgres:sales.customers(email)`")
        return f"{self._table_key(table)}({column})"

    def split_pattern(self, pattern: str) -> tuple[str, str] | None:
        match = _COLUMN_PATTERN.fullmatch(pattern)
        return None if match is None else (match[1], match[2])

    def touches(self, place: Place, part: str) -> bool:
        touched = place.parts["columns"].split(",")
        return part in touched or not EVERY.isdisjoint(touched)

    def part_id(self, place: Place, part: str) -> str:
        return f"{place.id}({part})"

    def _table_key(self, pattern: str) -> str:
        dialect, colon, rest = pattern.partition(":")
        names = rest.split(".")
        if dialect == "bigquery" and _OF_MANY.fullmatch(rest) is not None:
            return f"bigquery:{rest}"
        if (
            not colon
            or dialect not in DIALECTS
            or not 1 <= len(names) <= 3
            or any(_PLAIN.fullmatch(name) is None for name in names if name != "*")
            or names != sorted(names, key=lambda name: name == "*")
            or names[0] == "*"
        ):
            raise ValueError(
                f"`{pattern}` is not a table pattern; expected such as `postgres:sales.orders` or `postgres:sales.*`"
            )
        return f"{DIALECTS[dialect]}:{rest}"

    def place_keys(self, place: Place) -> Iterable[str]:
        names = [place.parts[part] for part in ("database", "schema", "table") if place.parts[part]]
        dialect = place.parts["dialect"]
        of_many = _keys_of_many(dialect, names)
        if of_many:
            yield from of_many
            return
        yield f"{dialect}:{'.'.join(names)}"
        for kept in range(len(names) - 1, 0, -1):
            yield f"{dialect}:{'.'.join(names[:kept] + ['*'] * (len(names) - kept))}"


_REPLACE = re.compile(r"\s*replace(?=\s+\w)", re.IGNORECASE)


def _keys_of_many(dialect: str, names: list[str]) -> list[str]:
    """The patterns that cover BigQuery's ``set.events_*`` or ``set.information_schema.tables``; nothing for others."""
    plain = ".".join(names).replace('"', "")
    if dialect != "bigquery" or _OF_MANY.fullmatch(plain) is None:
        return []
    view = plain.rpartition(".")[0]
    return [f"bigquery:{plain}", *([f"bigquery:{view}.*"] if view.endswith(".information_schema") else [])]


_REPLACE = re.compile(r"\s*replace(?=\s+\w)", re.IGNORECASE)


def _is_of_many(names: list[str]) -> bool:
    """Whether these are the names of BigQuery's ``set.events_*`` or ``set.information_schema.tables``."""
    table = names[-1].strip('"')
    return (len(table) > 1 and table.endswith("*")) or "information_schema" in (*names[1:-1], table.partition(".")[0])


def _parse(text: str, dialect: str) -> tuple[exp.Expr, frozenset[str] | None, frozenset[int]]:
    """The one statement; the names that the parser made nothing of, or None where it lost more than names; and where
    a word stands that a dot or ``as`` makes a name."""
    from sqlglot.dialects.dialect import Dialect

    logging.getLogger("sqlglot").addFilter(_SILENCE)
    silent = _parsing.set(True)
    try:
        language = Dialect.get_or_raise(dialect)
        text = without_comments(text, dialect)
        # The parser knows `replace` as a statement only behind `insert or`. Everything stays where it stood.
        replace = _REPLACE.match(text)
        if replace is not None:
            text = text[: replace.end() - 7] + "insert " + text[replace.end() :]
        tokens = language.tokenize(text)
        if not cut_alike(text, dialect, tokens):
            raise _Refused("unreadable")
        trees = [tree for tree in language.parser().parse(tokens, text) if tree is not None]
    except (RecursionError, _Refused):
        raise
    # It raises more than its own errors on text that nobody has tried yet.
    except Exception:
        raise _Refused("unreadable") from None
    finally:
        _parsing.reset(silent)
    if len(trees) != 1:
        raise _Refused("several_statements" if trees else "empty")
    tree = trees[0]
    if type(tree).__name__ not in STATEMENTS:
        raise _Refused("statement_not_allowed")
    if replace is not None:
        tree.set("alternative", "replace")
    named = frozenset(after.start for before, after in pairwise(tokens) if before.text.lower() in (".", "as"))
    return tree, lost_names(tokens, tree), named


def _check_nodes(tree: exp.Expr, dialect: str, own: frozenset[str], named: Set[int]) -> None:
    """Every node is of a kind that can only compute, and carries only clauses that are looked at here."""
    reserved = keywords(dialect)
    for node in tree.walk():
        kind = type(node).__name__
        if kind == "Anonymous":
            _check_function(node, dialect, own)
        elif kind not in NODES and not _is_listed(node, own):
            raise _Refused("construct_not_allowed")
        known = ARGUMENTS.get(kind)
        if known is not None and any(value and name not in known for name, value in node.args.items()):
            raise _Refused("construct_not_allowed")
        if kind == "In" and dialect == "clickhouse" and any(type(one).__name__ == "Column" for one in node.expressions):
            raise _Refused("construct_not_allowed")
        is_word = kind == "Identifier" and not node.args.get("quoted") and node.name.lower() in reserved
        if is_word and (dialect in KEYWORDS_EVERYWHERE or not _is_named(node, named)):
            raise _Refused("keyword_as_name")
        if kind == "Column" and node.args.get("table") and node.name.lower() in _SEQUENCE_COLUMNS:
            raise _Refused("function_not_allowed")
        # What follows a dot: a member, or a function of a namespace.
        if kind == "Dot" and type(node.expression).__name__ not in ("Identifier", "Star", "Anonymous", "Dot"):
            raise _Refused("construct_not_allowed")
        # `table('t')`, `table(f(x))`: a table that is named at run time, or whatever a function of that name does.
        if kind == "TableFromRows" and type(node.this).__name__ not in WRAPPED_ROWS:
            raise _Refused("construct_not_allowed")
        # `insert or rollback` ends the caller's transaction.
        if kind == "Insert" and str(node.args.get("alternative") or "ignore").lower() not in ("ignore", "replace"):
            raise _Refused("construct_not_allowed")
        # `cross apply t`, `lateral t`: a table, or a function without brackets, that the parser keeps as a bare name.
        if kind == "Lateral" and _is_bare(node.this):
            raise _Refused("not_a_table_name")
        # `in(x, t)` and `f('t')` in ClickHouse: a call that the parser takes for a name with a list of aliases.
        if kind == "Aliases" and type(node.this).__name__ == "Column":
            raise _Refused("construct_not_allowed")
        # Elsewhere it sets a variable of the session.
        if kind == "PropertyEQ" and type(node.parent).__name__ != "Struct":
            raise _Refused("construct_not_allowed")
        if kind == "Table" and type(node.this).__name__ == "Identifier" and _has_nameless_alias(node):
            raise _Refused("not_a_table_name")
        if kind == "Unnest" and dialect == "redshift":
            raise _Refused("column_as_table")
        if kind == "DataType" and str(node.this).endswith("USERDEFINED"):
            raise _Refused("construct_not_allowed")
        if kind == "QueryOption" and not QUERY_OPTIONS.issuperset(node.this.name.lower().split()):
            raise _Refused("construct_not_allowed")


def _is_bare(node: exp.Expr) -> bool:
    kind = type(node).__name__
    return kind in ("Identifier", "Column") or (kind == "Dot" and type(node.expression).__name__ != "Anonymous")


def _check_function(call: exp.Expr, dialect: str, own: frozenset[str]) -> None:
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
        raise _Refused("function_not_allowed")


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


def _is_listed(node: exp.Expr, own: frozenset[str]) -> bool:
    """Whether the owner lists a function that the parser has a type for, under any of its names."""
    from sqlglot import exp

    return isinstance(node, exp.Func) and not own.isdisjoint(name.lower() for name in type(node).sql_names())


def _is_named(identifier: exp.Expr, named: Set[int]) -> bool:
    """Whether a keyword stands behind a dot, or behind ``as`` in a list of columns: no server reads a clause there."""
    return identifier.meta.get("start") in named and type(identifier.parent).__name__ in ("Alias", "Column", "Dot")


def _has_rows_to_read(tree: exp.Expr) -> bool:
    """Whether ``values`` stands where a table could. No server takes an inserted row without brackets."""
    return any(type(node).__name__ == "Values" and type(node.parent).__name__ != "Insert" for node in tree.walk())


def _has_nameless_alias(table: exp.Expr) -> bool:
    alias = table.args.get("alias")
    return alias is not None and alias.args.get("this") is None


def _places(tree: exp.Expr, lost: Set[str], dialect: str, options: Mapping[str, Json]) -> Iterator[Place]:
    """Each table once, written tables as such, in the order of their names."""
    targets, names = _targets(tree, dialect)
    tables = [(table, id(table) in targets) for table in _tables(tree, targets, names, dialect)]
    columns = Columns(tree, [table for table, _ in tables], dialect, lost)
    access: dict[tuple[str, str, str], str] = {}
    touched: dict[tuple[str, str, str], frozenset[str]] = {}
    for table, written in tables:
        name = _full_name(table, dialect, options)
        access[name] = "write" if written else access.get(name, "read")
        touched[name] = touched.get(name, frozenset()) | columns.of(table)
    for (database, schema, last), how in sorted(access.items()):
        shown = ".".join(_shown(part) for part in (database, schema, last) if part)
        yield make_place(
            "sql", f"sql:{dialect}:{shown}",
            dialect=dialect, database=_shown(database), schema=_shown(schema), table=_shown(last), access=how,
            columns=",".join(sorted(filter(_COLUMN.fullmatch, touched[database, schema, last]))),
        )  # fmt: skip


def _tables(tree: exp.Expr, targets: Set[int], names: Set[int], dialect: str) -> Iterator[exp.Table]:
    """The real tables in a statement. Raises _Refused where a name may be something else."""
    aliases = _aliases(tree)
    every = list(tree.find_all(_table_type()))
    if len(every) > MAX_TABLES:
        raise _Refused("too_many_tables")
    read = {_lower(table.alias_or_name) for table in every if type(table.parent).__name__ != "Lock"}
    for table in every:
        # `indexed by i` names an index of the table before it.
        if id(table) in names or table.arg_key == "indexed" or _is_row_source(table) or _is_lock_name(table, read):
            continue
        written = id(table) in targets
        if not table.text("db"):
            if written and _lower(table.name) in aliases - {_lower(table.alias)}:
                raise _Refused("alias_as_target")
            if _is_cte(table, written, dialect):
                continue
        elif _lower(table.text("catalog") or table.text("db")) in aliases:
            raise _Refused("column_as_table")
        yield table


def _table_type() -> type[exp.Table]:
    from sqlglot import exp

    return exp.Table


def _targets(tree: exp.Expr, dialect: str) -> tuple[Set[int], Set[int]]:
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
            raise _Refused("target_not_a_table")
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
        written.update(id(table) for table in target.find_all(_table_type()) if table.arg_key != "indexed")
    return written, names


def _aliased(update: exp.Expr, target: exp.Expr) -> exp.Expr | None:
    """What the target of SQL Server's ``update o … from orders o`` is an alias of."""
    from_ = update.args.get("from_") or update.args.get("from")
    if from_ is None or target.text("db"):
        return None
    read = [from_.this, *_joined(from_.this)]
    if all(_lower(source.alias) != _lower(target.name) for source in read):
        return None
    return _meant(target, read)


def _joined(first: exp.Expr) -> list[exp.Expr]:
    return [join.this for join in first.args.get("joins") or []]


def _meant(name: exp.Expr, sources: list[exp.Expr]) -> exp.Expr:
    """The one table that a name before ``from`` stands for."""
    plain = type(name).__name__ == "Table" and not name.text("db") and not name.args.get("alias")
    found = [source for source in sources if _lower(source.alias_or_name) == _lower(name.name)]
    if not plain or len(found) != 1 or type(found[0]).__name__ != "Table":
        raise _Refused("alias_as_target")
    return found[0]


_NAMED = frozenset({"MatchRecognize", "Pivot", "Subquery", "Table", "TableFromRows"})
_ROWS = frozenset({"Anonymous", "ExplodingGenerateSeries", "GenerateSeries", "JSONTable", "OpenJSON", "Unnest"})


def _aliases(tree: exp.Expr) -> set[str]:
    """Every name that something in the statement goes by, without those of common table expressions."""
    return {_lower(node.alias) for node in tree.walk() if type(node).__name__ in _NAMED and node.alias}


def _is_row_source(table: exp.Table) -> bool:
    """Whether this is a function that makes rows out of its arguments; the node list has passed it already."""
    inner = type(table.this).__name__
    if inner == "Identifier":
        return False
    # `dbo.f(7)`: only the owner's own may have a schema, and it was looked up with it.
    if inner in _ROWS and (inner == "Anonymous" or not table.args.get("db")):
        return True
    raise _Refused("not_a_table_name")


def _is_lock_name(table: exp.Table, read: Set[str]) -> bool:
    """Whether this is the name in ``for update of name``, which must be one of the statement's own."""
    if type(table.parent).__name__ != "Lock":
        return False
    if table.text("db") or _lower(table.name) not in read:
        raise _Refused("column_as_table")
    return True


def _is_cte(table: exp.Table, written: bool, dialect: str) -> bool:
    """Whether an unqualified name certainly means a common table expression. Where it may be a table as well, it counts
    as one: what the expression reads is counted where it reads it. Raises _Refused where not even that is clear."""
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
                raise _Refused("cte_as_target")
        else:
            found, seen = None, False
        # A name that is not seen here, and again one further out.
        if found is not None and unclear:
            raise _Refused("ambiguous_cte")
        if seen:
            return True
        unclear = unclear or found is not None
        inside, node = node, node.parent
    if unclear and written:
        raise _Refused("ambiguous_cte")
    return False


def _named_in(ctes: list[exp.Expr], table: exp.Table, dialect: str) -> exp.Expr | None:
    """The common table expression of a list that has this name."""
    for cte in ctes:
        if _lower(cte.alias) == _lower(table.name):
            # `with expression as name` in ClickHouse names a value; a table of that name is another thing.
            plain = not cte.args.get("scalar") and type(cte.this).__name__ in STATEMENTS
            if not plain or not _same_spelling(cte, table, dialect):
                raise _Refused("ambiguous_cte")
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
    alike = alias.name.isascii() and _lower(alias.name) == _lower(table.name)
    return bool(alias.name == table.name) or (alike and not quoted and dialect in _FOLDS_CASE)


def _full_name(table: exp.Table, dialect: str, options: Mapping[str, Json]) -> tuple[str, str, str]:
    for part in ("this", "db", "catalog"):
        inner = table.args.get(part)
        if inner is not None and type(inner).__name__ != "Identifier":
            raise _Refused("not_a_table_name")
    name, schema, database = table.name, table.text("db"), table.text("catalog")
    parts = [schema, database, *(_parts(name) if dialect == "bigquery" else [name])]
    for given in parts:
        if given and (_NAME.fullmatch(given) is None or not is_plain_text(given)):
            raise _Refused("not_a_table_name")
        if dialect in _FOLDS_ACCENTS and not given.isascii():
            raise _Refused("not_a_table_name")
        if len(given.encode()) > _LONGEST_NAME.get(dialect, MAX_LENGTH):
            raise _Refused("name_too_long")
    if database and dialect in _TWO_PARTS_AT_MOST:
        raise _Refused("not_a_table_name")
    # A `$` cuts a partition, or metadata, out of the table named before it.
    if dialect in ("bigquery", "trino") and "$" in name:
        raise _Refused("not_a_table_name")
    if dialect == "duckdb" and _lower(name) in _FILE_ENDINGS:
        raise _Refused("file_as_table")
    if schema and dialect in _FILE_DIALECTS and _lower(schema) in _FILE_FORMATS:
        raise _Refused("file_as_table")
    if not schema:
        if database:
            raise _Refused("not_a_table_name")
        schema = str(options.get("schema") or "")
        if schema and _lower(name).startswith(_SYSTEM_PREFIXES.get(dialect, ())):
            raise _Refused("system_table")
    if schema and not database:
        database = str(options.get("database") or "")
    return _lower(database), _lower(schema), _lower(name)


def _parts(name: str) -> list[str]:
    """What BigQuery keeps in one name: the views of a data set's information schema, and all tables that begin alike
    (``events_*``), which are a place of their own: no pattern but one that is spelled so covers them."""
    view = _INFORMATION_SCHEMA.fullmatch(name)
    if view is not None:
        return [view[1], view[2]]
    return [name[:-1]] if len(name) > 1 and name.endswith("*") else [name]


def _lower(name: str) -> str:
    """Names in one case: whether a server tells them apart depends on its platform, and a catalog must not."""
    return name.lower()


def _shown(name: str) -> str:
    if not name or _PLAIN.fullmatch(name):
        return name
    return '"' + name + '"'


SQL = _Sql()
