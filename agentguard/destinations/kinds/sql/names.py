"""The full name of a table: its database, its schema and itself. Refused is what a server may take for something else.

A file, a table of the system, a name that is cut or folded by the server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from agentguard.core.values import Json
from agentguard.destinations.kinds.sql.refusal import Refused
from agentguard.destinations.kinds.sql.text import MAX_LENGTH
from agentguard.destinations.text import is_plain_text

if TYPE_CHECKING:
    from sqlglot import exp

PLAIN_NAME = re.compile(r"\w(?:[\w $-]*[\w$])?")
_TWO_PARTS_AT_MOST = frozenset({"mysql", "sqlite", "clickhouse", "oracle"})
_INFORMATION_SCHEMA = re.compile(r"(information_schema)\.(\w+)", re.IGNORECASE)
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
# These compare names without accents, and skip letters that their collation has no weight for.
_FOLDS_ACCENTS = frozenset({"mysql", "tsql"})
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


def full_name(table: exp.Table, dialect: str, options: Mapping[str, Json]) -> tuple[str, str, str]:
    for part in ("this", "db", "catalog"):
        inner = table.args.get(part)
        if inner is not None and type(inner).__name__ != "Identifier":
            raise Refused("not_a_table_name")
    name, schema, database = table.name, table.text("db"), table.text("catalog")
    parts = [schema, database, *(_parts(name) if dialect == "bigquery" else [name])]
    for given in parts:
        if given and (PLAIN_NAME.fullmatch(given) is None or not is_plain_text(given)):
            raise Refused("not_a_table_name")
        if dialect in _FOLDS_ACCENTS and not given.isascii():
            raise Refused("not_a_table_name")
        if len(given.encode()) > _LONGEST_NAME.get(dialect, MAX_LENGTH):
            raise Refused("name_too_long")
    if database and dialect in _TWO_PARTS_AT_MOST:
        raise Refused("not_a_table_name")
    # A `$` cuts a partition, or metadata, out of the table named before it.
    if dialect in ("bigquery", "trino") and "$" in name:
        raise Refused("not_a_table_name")
    if dialect == "duckdb" and lower(name) in _FILE_ENDINGS:
        raise Refused("file_as_table")
    if schema and dialect in _FILE_DIALECTS and lower(schema) in _FILE_FORMATS:
        raise Refused("file_as_table")
    if not schema:
        if database:
            raise Refused("not_a_table_name")
        schema = str(options.get("schema") or "")
        if schema and lower(name).startswith(_SYSTEM_PREFIXES.get(dialect, ())):
            raise Refused("system_table")
    if schema and not database:
        database = str(options.get("database") or "")
    return lower(database), lower(schema), lower(name)


def _parts(name: str) -> list[str]:
    """What BigQuery keeps in one name: the views of a data set's information schema, and all tables that begin alike
    (``events_*``), which are a place of their own: no pattern but one that is spelled so covers them."""
    view = _INFORMATION_SCHEMA.fullmatch(name)
    if view is not None:
        return [view[1], view[2]]
    return [name[:-1]] if len(name) > 1 and name.endswith("*") else [name]


def lower(name: str) -> str:
    """Names in one case: whether a server tells them apart depends on its platform, and a catalog must not."""
    return name.lower()
