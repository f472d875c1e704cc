"""How the id of a table and the patterns over tables are spelled: read, written, and which patterns cover a table."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentguard.core.values import Place
from agentguard.destinations.kinds.base import make_place
from agentguard.destinations.kinds.sql.dialects import DIALECTS

_PLAIN = re.compile(r"[a-z0-9_$-]+")
_ID_NAME = r'[a-z0-9_$-]+|"[^"]+"'
_ID = re.compile(rf"sql:([a-z]+):((?:{_ID_NAME})(?:\.(?:{_ID_NAME})){{0,2}})")
_OF_MANY = re.compile(r"(?:[a-z0-9_$-]+\.){1,2}(?:[a-z0-9_$-]+\*|information_schema\.(?:[a-z0-9_]+|\*))")
_COLUMN_PATTERN = re.compile(r"(.+)\((.+)\)", re.DOTALL)
# What a catalog may list. Every other name of a column cannot be listed, so it is under its table.
_COLUMN = re.compile(r"[a-z0-9_$-](?:[a-z0-9_$ -]*[a-z0-9_$-])?|\*")


def shown_name(name: str) -> str:
    """A name as an id has it: in quotes where it is more than a word."""
    if not name or _PLAIN.fullmatch(name):
        return name
    return '"' + name + '"'


def is_listable(column: str) -> bool:
    """Whether a catalog may list a column of this name; ``*`` stands for every column."""
    return _COLUMN.fullmatch(column) is not None


def place_from_id(identity: str) -> Place | None:
    """The table. A recorded id does not say which columns were touched, but that one of a column's own."""
    whole, columns = split_pattern(identity) or (identity, "")
    match = _ID.fullmatch(whole)
    if match is None or match[1] not in DIALECTS.values():
        return None
    names = [name.strip('"') for name in re.findall(_ID_NAME, match[2])]
    database, schema, table = [""] * (3 - len(names)) + names
    return make_place(
        "sql", whole, dialect=match[1], database=shown_name(database), schema=shown_name(schema),
        table=shown_name(table), access="read", columns=columns,
    )  # fmt: skip


def split_pattern(pattern: str) -> tuple[str, str] | None:
    """A table and a column of it, or None where no column is named."""
    match = _COLUMN_PATTERN.fullmatch(pattern)
    return None if match is None else (match[1], match[2])


def pattern_key(pattern: str) -> str:
    """A pattern in its one spelling. Raises ValueError."""
    split = split_pattern(pattern)
    if split is None:
        return _table_key(pattern)
    table, column = split
    if column == "*" or not is_listable(column):
        raise ValueError(f"`{pattern}` names no column; expected such as `postgres:sales.customers(email)`")
    return f"{_table_key(table)}({column})"


def _table_key(pattern: str) -> str:
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


def place_keys(place: Place) -> Iterator[str]:
    """The patterns that cover a table, the narrowest first."""
    names = [place.parts[part] for part in ("database", "schema", "table") if place.parts[part]]
    dialect = place.parts["dialect"]
    of_many = _keys_of_many(dialect, names)
    if of_many:
        yield from of_many
        return
    yield f"{dialect}:{'.'.join(names)}"
    for kept in range(len(names) - 1, 0, -1):
        yield f"{dialect}:{'.'.join(names[:kept] + ['*'] * (len(names) - kept))}"


def _keys_of_many(dialect: str, names: list[str]) -> list[str]:
    """The patterns that cover BigQuery's ``set.events_*`` or ``set.information_schema.tables``; nothing for others."""
    plain = ".".join(names).replace('"', "")
    if dialect != "bigquery" or _OF_MANY.fullmatch(plain) is None:
        return []
    view = plain.rpartition(".")[0]
    return [f"bigquery:{plain}", *([f"bigquery:{view}.*"] if view.endswith(".information_schema") else [])]
