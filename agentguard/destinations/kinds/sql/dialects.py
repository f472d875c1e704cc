"""The dialects of SQL that are tested here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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
