"""The kind ``sql``: the tables that one statement reads and writes.

Options: ``dialect`` (required), ``schema`` and ``database`` (what an unqualified table is under), ``functions`` (names
of the owner's own functions that only compute). Read by ``sqlglot``, and refused wherever it may see less than the
database does: only node types on a list are accepted (``allowed_nodes``), and only text that every server cuts into the
same pieces (``text``).

The id is ``sql:DIALECT:[database.][schema.]table`` in lower case; ``parts["access"]`` is ``read`` or ``write``,
``parts["columns"]`` what it may touch of the table (``*``: everything).

Patterns: ``postgres:sales.orders``, ``postgres:sales.*``, ``snowflake:prod.sales.orders``, ``snowflake:prod.sales.*``,
``snowflake:prod.*.*``, ``postgres:orders`` (a table that no schema is known for; no wildcard covers it). A pattern
covers names with as many parts as it has. ``postgres:sales.customers(email)`` lists a column: where a statement may
touch it, it is a destination beside its table (``columns``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import TYPE_CHECKING

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, make_place, option_words, unknown_options
from agentguard.destinations.kinds.sql import patterns
from agentguard.destinations.kinds.sql.columns import EVERY, Columns
from agentguard.destinations.kinds.sql.constructs import check_constructs, has_rows_to_read
from agentguard.destinations.kinds.sql.dialects import DIALECTS
from agentguard.destinations.kinds.sql.names import PLAIN_NAME, full_name
from agentguard.destinations.kinds.sql.parsing import parse
from agentguard.destinations.kinds.sql.refusal import Refused
from agentguard.destinations.kinds.sql.tables import real_tables
from agentguard.destinations.kinds.sql.text import rows_are_bracketed, text_problem

if TYPE_CHECKING:
    from sqlglot import exp


class _Sql:
    name = "sql"
    options = frozenset({"dialect", "schema", "database", "functions"})
    rewrites_argument = False
    # `select now()`: every function in it is listed, so that no answer is certain knowledge.
    may_reach_nothing = True
    # Parsing costs milliseconds, so a call may carry few statements.
    max_per_call = 16

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
            tree, lost, named = parse(value, dialect)
            if has_rows_to_read(tree) and not rows_are_bracketed(value, dialect):
                raise Refused("not_a_table_name")
            check_constructs(tree, dialect, frozenset(name.lower() for name in functions), named)
            if lost is None:
                raise Refused("not_all_read")
            return tuple(_places(tree, lost, dialect, options))
        except Refused as refused:
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
            if given is not None and (type(given) is not str or PLAIN_NAME.fullmatch(given) is None):
                return f"`{option}` must be a plain name"
        if options.get("database") is not None and options.get("schema") is None:
            return "`database` needs `schema` as well"
        if option_words(options, "functions", frozenset()) is None:
            return "`functions` must be a list of function names"
        return None

    def place_from_id(self, identity: str) -> Place | None:
        return patterns.place_from_id(identity)

    def pattern_key(self, pattern: str) -> str:
        return patterns.pattern_key(pattern)

    def split_pattern(self, pattern: str) -> tuple[str, str] | None:
        return patterns.split_pattern(pattern)

    def touches(self, place: Place, part: str) -> bool:
        touched = place.parts["columns"].split(",")
        return part in touched or not EVERY.isdisjoint(touched)

    def part_id(self, place: Place, part: str) -> str:
        return f"{place.id}({part})"

    def place_keys(self, place: Place) -> Iterable[str]:
        return patterns.place_keys(place)


def _places(tree: exp.Expr, lost: Set[str], dialect: str, options: Mapping[str, Json]) -> Iterator[Place]:
    """Each table once, written tables as such, in the order of their names."""
    tables = list(real_tables(tree, dialect))
    columns = Columns(tree, [table for table, _ in tables], dialect, lost)
    access: dict[tuple[str, str, str], str] = {}
    touched: dict[tuple[str, str, str], frozenset[str]] = {}
    for table, written in tables:
        name = full_name(table, dialect, options)
        access[name] = "write" if written else access.get(name, "read")
        touched[name] = touched.get(name, frozenset()) | columns.of(table)
    shown = patterns.shown_name
    for (database, schema, last), how in sorted(access.items()):
        yield make_place(
            "sql", f"sql:{dialect}:{'.'.join(shown(part) for part in (database, schema, last) if part)}",
            dialect=dialect, database=shown(database), schema=shown(schema), table=shown(last), access=how,
            columns=",".join(sorted(filter(patterns.is_listable, touched[database, schema, last]))),
        )  # fmt: skip


SQL = _Sql()
