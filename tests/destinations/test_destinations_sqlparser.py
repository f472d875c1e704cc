"""A grammar that is not ours as a third opinion: a table that sqlparser-rs finds in a statement, we must have seen.

It reads MySQL, T-SQL, Snowflake and BigQuery, for which there is no server here.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentguard.destinations import Ambiguous, find_kind

sqloxide = pytest.importorskip("sqloxide", reason="sqloxide is not installed")

HERE = Path(__file__).parent
DIALECTS = {"bigquery": "bigquery", "mysql": "mysql", "snowflake": "snowflake", "tsql": "mssql"}
LINES = [
    line.split("\t", 2)
    for name in ("sql_hostile.tsv", "sql_harmless.tsv")
    for line in (HERE / name).read_text("utf-8").splitlines()
]
STATEMENTS = [(line[0], line[2]) for line in LINES if line[0] in DIALECTS]
TOKEN = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"[^\"]*\"|`[^`]*`|\w+|\s+|.", re.DOTALL)
PIECES = """, secret|from secret|(select 1 from secret)|join secret on 1 = 1|secret|'secret'|as|v|cross apply secret|\\'
|union all select * from secret|-- |# |// |/* |*/|$$|exists (select 1 from secret)|for json auto|pivot
|option (recompile)|at (offset => -1)|for system_time as of '2024-01-01'|values (1)|\\|(|)|,""".replace("\n", "").split(
    "|"
)


def found(tree: Any) -> Iterator[str]:
    """The last names of the tables in a tree, in lower case."""
    if isinstance(tree, dict):
        if "Table" in tree and isinstance(tree["Table"], dict) and tree["Table"].get("args") is None:
            parts = tree["Table"].get("name") or []
            names = [part["Identifier"]["value"] for part in parts if isinstance(part, dict) and "Identifier" in part]
            if names:
                yield ".".join(names).lower()
        for value in tree.values():
            yield from found(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from found(value)


def hidden(dialect: str, sql: str) -> set[str] | None:
    """The tables that the other grammar finds and we do not; None where one of both does not read the statement."""
    kind = find_kind("sql")
    assert kind is not None
    derived = kind.derive(sql, {"dialect": dialect})
    if isinstance(derived, Ambiguous):
        return None
    try:
        tree = sqloxide.parse_sql(sql=sql, dialect=DIALECTS[dialect])
    except ValueError:
        return None
    ours = {place.parts["table"].strip('"').rpartition(".")[2] for place in derived}
    # Names of common table expressions and aliases of targets are no tables; nor is what is unfolded from a row.
    expressions = r"(?:with|recursive|,)\s+[`\"\[]?(\w+)[`\"\]]?(?:\s*\([^)]*\))?\s+as\s*\("
    named = {"from", *re.findall(expressions, sql.lower()), *re.findall(r"\b(?:update|delete)\s+(\w+)", sql.lower())}
    names = {name for name in found(tree) if name.partition(".")[0] not in ours or "." not in name}
    return {name.rpartition(".")[2] for name in names} - ours - named


def mutated(chance: random.Random) -> tuple[str, str]:
    dialect, sql = chance.choice(STATEMENTS)
    tokens = TOKEN.findall(sql)
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(tokens))
        tokens[at : at + chance.choice([0, 0, 1])] = [" ", chance.choice(PIECES), " "]
    return dialect, "".join(tokens)


def test_another_grammar_finds_no_table_in_the_corpus_but_what_we_saw() -> None:
    answers = {one: hidden(*one) for one in STATEMENTS}
    assert {one: tables for one, tables in answers.items() if tables} == {}
    assert sum(tables is not None for tables in answers.values()) > 150


def test_another_grammar_finds_no_table_in_mutations_but_what_we_saw() -> None:
    chance = random.Random(9)
    answers = {one: hidden(*one) for one in (mutated(chance) for _ in range(3_000))}
    assert {one: tables for one, tables in answers.items() if tables} == {}
    assert sum(tables is not None for tables in answers.values()) > 50


def test_the_third_opinion_is_one() -> None:
    """It would find a table that we did not see."""
    tree = sqloxide.parse_sql(sql="select 1 from a join x.secret on 1=1", dialect="mssql")
    assert set(found(tree)) == {"a", "x.secret"}
