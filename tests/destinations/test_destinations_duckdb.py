"""DuckDB's own parser as a second opinion: a table that it finds in a statement, we must have seen."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from agentguard.destinations import Ambiguous, find_kind

HERE = Path(__file__).parent
# Its dialect is close to these, so their traps are tried on it, too.
STATEMENTS = [
    line.split("\t", 2)[2]
    for name in ("sql_hostile.tsv", "sql_harmless.tsv")
    for line in (HERE / name).read_text("utf-8").splitlines()
    if line.split("\t", 1)[0] in ("bigquery", "duckdb", "postgres", "snowflake", "sqlite")
]
TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|\w+|\s+|.", re.DOTALL)
PIECES = """, secret|from secret|(select 1 from secret)|join secret|secret|'secret'|"secret"|table secret|values|(1)|row
|(|)|,|as v|v|lateral|positional join secret|semi join secret using (x)|union table secret|with a as (from secret)
|natural|(from secret)|exists (from secret)|in secret|secret s(x)|asof|unnest|pivot|replace (1 as x)|columns(*)
|a: secret|sample|window|default|, (from secret)|, (select y from secret)""".replace("\n", "").split("|")


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        yield connection


def hidden(database: duckdb.DuckDBPyConnection, sql: str) -> set[str] | None:
    """The tables that DuckDB finds and we do not; None where it cannot read the statement, or we refuse it."""
    kind = find_kind("sql")
    assert kind is not None
    derived = kind.derive(sql, {"dialect": "duckdb"})
    if isinstance(derived, Ambiguous):
        return None
    try:
        found = database.get_table_names(sql)
    except duckdb.Error:
        return None
    ours = {place.parts["table"].strip('"') for place in derived}
    return {name.rpartition(".")[2].strip("\"'").lower() for name in found} - ours


def test_duckdb_finds_no_table_in_the_corpus_but_what_we_saw(database: duckdb.DuckDBPyConnection) -> None:
    answers = {sql: hidden(database, sql) for sql in STATEMENTS}
    assert {sql: found for sql, found in answers.items() if found} == {}
    assert sum(found is not None for found in answers.values()) > 200


def mutated(chance: random.Random) -> str:
    tokens = TOKEN.findall(chance.choice(STATEMENTS))
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(tokens))
        tokens[at : at + chance.choice([0, 0, 1])] = [" ", chance.choice(PIECES), " "]
    return "".join(tokens)


def test_duckdb_finds_no_table_in_many_mutations_but_what_we_saw(database: duckdb.DuckDBPyConnection) -> None:
    """`from values v, secret` was found so, and `encode(x, (from secret))`, of which the parser drops an argument."""
    chance = random.Random(4)
    answers = {sql: hidden(database, sql) for sql in (mutated(chance) for _ in range(10_000))}
    assert {sql: found for sql, found in answers.items() if found} == {}
    assert sum(found is not None for found in answers.values()) > 150


def test_the_second_opinion_is_one(database: duckdb.DuckDBPyConnection) -> None:
    """It would find a table that we did not see."""
    assert database.get_table_names("select 1 from a, values v, secret") == {"a", "values", "secret"}
