"""The shop behind the help desk: its tools, and what they did, in a SQLite file that all processes share."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any


class Shop:
    """``dies_at``: the order after whose refund the process is killed, as by a lack of memory."""

    def __init__(self, folder: Path, dies_at: str = "") -> None:
        self._file = folder / "shop.sqlite3"
        self._dies_at = dies_at
        with closing(sqlite3.connect(self._file)) as database, database:
            database.execute("create table if not exists refunds (customer text, order_id text, cents integer)")

    def tools(self) -> list[Callable[..., Any]]:
        """What the help desk may be able to do."""

        def look_up(customer: str, order: str) -> str:
            """Say what an order is."""
            return f"{order} of {customer}: a pair of shoes"

        def refund(customer: str, order: str, cents: int) -> str:
            """Give money back."""
            with closing(sqlite3.connect(self._file, timeout=60)) as database, database:
                database.execute("insert into refunds values (?, ?, ?)", (customer, order, cents))
            if order == self._dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return f"refunded {order}"

        return [look_up, refund]

    def refunds(self) -> list[tuple[str, str, int]]:
        """Every refund that was made."""
        with closing(sqlite3.connect(self._file)) as database:
            return database.execute("select customer, order_id, cents from refunds order by 1, 2").fetchall()
