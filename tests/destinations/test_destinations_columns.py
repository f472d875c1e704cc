"""SQL columns: a listed column counts unless it is certain that it is neither read nor written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.core.declarations import CatalogEntry, DestinationDeclaration, Source
from agentguard.core.values import Destination, Sensitivity, Unavailable
from agentguard.destinations import Ambiguous, Catalog, derive, find_kind
from agentguard.errors import PolicyError

CASES = yaml.safe_load((Path(__file__).parent / "sql_columns.yaml").read_text("utf-8"))


def touched(sql: str, dialect: str) -> dict[str, str] | None:
    kind = find_kind("sql")
    assert kind is not None
    places = kind.derive(sql, {"dialect": dialect})
    if isinstance(places, Ambiguous):
        return None
    return {place.id.split(":", 2)[2]: place.parts["columns"] for place in places}


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case["sql"]))
def test_each_statement_touches_the_columns_written_down(case: dict[str, object]) -> None:
    """The table is the promise; a case that changes its answer changes a decision."""
    assert touched(str(case["sql"]), str(case.get("dialect", "postgres"))) == case["touches"]


COLUMNS = ("id", "name", "email")
TABLES = ("cust", "ords")
PIECES = st.sampled_from(
    ["select ", "* ", "id ", "email ", "name ", "c.email ", "c.* ", "c ", "o.id ", "rowid ", "count(*) ", "max(email) ",
     ", ", "as name ", "from cust c ", "from ords ", "join ords o ", "natural join ords o ", "join cust c ",
     "using (email) ", "on c.id = o.id ", "where ", "name = 'x' ", "exists (select email from ords) ", "group by ",
     "order by ", "union select ", "(select email from ords) ", "(select * from cust) x ", "x.name ", "from ", "( ",
     ") ", "'email' ", '"email" ', "limit 1 "]
)  # fmt: skip
FRAMES = st.sampled_from(
    ["select {}", "select id from cust c where {}", "with w as (select {}) select * from w",
     "delete from cust where {}", "update cust set name = {}", "insert into cust (id) select {}",
     "insert into cust select {}",
     "insert into cust (id) values (1) returning {}"]
)  # fmt: skip


def sqlite_touches(sql: str) -> set[tuple[str, str]] | None:
    """The columns SQLite itself asks permission for, or None where it cannot prepare the statement."""
    connection = sqlite3.connect(":memory:")
    for table in TABLES:
        connection.execute(f"create table {table} (id integer primary key, name, email)")
    seen: set[tuple[str, str]] = set()

    def watch(action: int, first: str | None, second: str | None, database: str | None, source: str | None) -> int:
        if action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_UPDATE) and first in TABLES and second in COLUMNS:
            seen.add((str(first), str(second)))
        return sqlite3.SQLITE_OK

    connection.set_authorizer(watch)
    try:
        connection.execute("explain " + sql)
    except (sqlite3.Error, sqlite3.Warning):
        return None
    finally:
        connection.close()
    return seen


@settings(max_examples=400)
@given(FRAMES, st.lists(PIECES, max_size=9).map("".join))
def test_a_generated_statement_never_touches_a_column_we_did_not_see(frame: str, tail: str) -> None:
    """A second opinion from a real database: SQLite's authorizer names each column it would read or set."""
    sql = frame.format(tail)
    ours = touched(sql, "sqlite")
    theirs = None if ours is None else sqlite_touches(sql)
    for table, column in theirs or ():
        assert ours is not None
        assert {"*", column} & set(ours[table].split(","))


def test_the_second_opinion_is_one() -> None:
    """The property above would hold for a watcher that sees nothing."""
    assert sqlite_touches("select name from cust order by email") == {("cust", "name"), ("cust", "email")}
    assert sqlite_touches("update ords set name = id") == {("ords", "name"), ("ords", "id")}


def entry(pattern: str, word: str, zone: str | None = None) -> CatalogEntry:
    return CatalogEntry("sql", pattern, Sensitivity.parse(word), zone, "crm", None, None, Source("d.yaml", 1))


CATALOG = Catalog(
    [
        entry("postgres:sales.*", "internal", "office"),
        entry("postgres:sales.*(phone)", "confidential"),
        entry("postgres:sales.cust(email)", "restricted"),
        entry("postgres:sales.cust(phone)", "secret", "vault"),
        entry("postgres:sales.cust(id)", "public"),
        entry("postgres:hr.pay(salary)", "secret"),
    ]
)


def destinations(*statements: str) -> dict[str, str | None]:
    found = derive(
        [DestinationDeclaration("sql", "q[*]", None, {"dialect": "postgres"}, False, Source("t.yaml", 1))],
        {"q": list(statements)},
        CATALOG,
    )
    assert not isinstance(found, Unavailable)
    return {one.id.split(":", 2)[2]: None if one.sensitivity is None else one.sensitivity.word for one in found}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select name from sales.cust", {"sales.cust": "internal"}),
        ("select email from sales.cust", {"sales.cust": "internal", "sales.cust(email)": "restricted"}),
        ("select count(*) from sales.cust", {"sales.cust": "internal"}),
        ("select id from sales.cust", {"sales.cust": "internal", "sales.cust(id)": "public"}),
        ("select phone from sales.ords", {"sales.ords": "internal", "sales.ords(phone)": "confidential"}),
        ("select phone from sales.cust", {"sales.cust": "internal", "sales.cust(phone)": "secret"}),
        ("select * from sales.ords", {"sales.ords": "internal", "sales.ords(phone)": "confidential"}),
        ("select salary from hr.pay", {"hr.pay": None, "hr.pay(salary)": "secret"}),
        (
            "table sales.cust",
            {
                "sales.cust": "internal",
                "sales.cust(email)": "restricted",
                "sales.cust(id)": "public",
                "sales.cust(phone)": "secret",
            },
        ),
    ],
)
def test_a_listed_column_is_a_destination_beside_its_table(sql: str, expected: dict[str, str | None]) -> None:
    """The worst of all counts: a column raises what a query is worth, and never lowers its table."""
    assert destinations(sql) == expected


def test_two_statements_of_one_call_reach_what_each_of_them_reaches() -> None:
    """The first statement's columns must not stand for the second's."""
    found = destinations("select name from sales.cust", "select email from sales.cust")
    assert found == {"sales.cust": "internal", "sales.cust(email)": "restricted"}


def test_a_column_is_where_its_table_is_unless_its_entry_says_otherwise() -> None:
    """A column without a zone would leave the matrix of zones."""
    kind = find_kind("sql")
    assert kind is not None
    places = kind.derive("table sales.cust", {"dialect": "postgres"})
    assert not isinstance(places, Ambiguous)
    zones = {one.id.split(":", 2)[2]: (one.zone, one.owner) for one in CATALOG.destinations(places[0])}
    assert zones["sales.cust(email)"] == ("office", "crm")
    assert zones["sales.cust(phone)"] == ("vault", "crm")


def test_without_listed_columns_there_are_only_tables() -> None:
    """A record stays readable: a query of two hundred columns is one destination."""
    catalog = Catalog([entry("postgres:a.*", "public")])
    kind = find_kind("sql")
    assert kind is not None
    places = kind.derive("select x, y, z from a.b", {"dialect": "postgres"})
    assert not isinstance(places, Ambiguous)
    assert list(catalog.destinations(places[0])) == [
        Destination("sql", "sql:postgres:a.b", Sensitivity.PUBLIC, None, "crm", None)
    ]


@pytest.mark.parametrize(
    "pattern",
    ["postgres:a.b(*)", "postgres:a.b()", "postgres:a.b(X)", "postgres:a.b(x,y)", "postgres:a.b(x", "postgres:a.b(x)y",
     "postgres:a.b (x)", "postgres:(x)", "postgres:a.b(é)", "a.b(x)", "postgres:a.b(x)(y)"],
)  # fmt: skip
def test_a_column_pattern_that_would_never_match_is_refused(pattern: str) -> None:
    """Mistakes show at load, with file and line."""
    with pytest.raises(PolicyError, match=r"d\.yaml:1"):
        Catalog([entry(pattern, "secret")])


def test_one_column_listed_twice_with_two_values_is_refused() -> None:
    """Ties are load errors, whatever name the dialect is given."""
    with pytest.raises(PolicyError, match="listed already"):
        Catalog([entry("postgres:a.b(x)", "secret"), entry("postgresql:a.b(x)", "public")])
