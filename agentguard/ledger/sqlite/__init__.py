"""The ledger on SQLite: one file that several processes may share."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import weakref
from datetime import UTC, datetime
from pathlib import Path

from agentguard.ledger.ledger import LogLedger
from agentguard.ledger.sqlite.files import LedgerFile, explain, open_file
from agentguard.ledger.sqlite.store import SqliteLog

__all__ = ["open_ledger"]

_LIVE: weakref.WeakSet[LedgerFile] = weakref.WeakSet()


def open_ledger(path: str | Path, *, at: datetime | None = None) -> LogLedger:
    """Open the ledger at ``path``, or make it, and give calls that a dead process left open the outcome ``unknown``.

    ``at`` is the time those outcomes carry, now by default. Raises LedgerError with the remedy.
    """
    where = Path(path)
    opened: list[LedgerFile] = []

    def open_log() -> SqliteLog:
        file = open_file(where)
        opened.append(file)
        _LIVE.add(file)
        try:
            return SqliteLog(file)
        except sqlite3.Error as error:
            file.close()
            raise explain(error, file.place) from None

    ledger = LogLedger(open_log, threaded=True)
    try:
        ledger.recover(at=datetime.now(UTC) if at is None else at).result()
    except BaseException:
        ledger.engine.shut()
        raise
    opened[0].tidy()
    return ledger


def _after_fork() -> None:
    """In a forked child: never touch the parent's connection again, not even to close it, and let its locks go.

    The SQLite documentation (How To Corrupt, section 2.6) forbids carrying a connection over a fork; one more
    reference keeps the interpreter from closing it when it ends.
    """
    for file in list(_LIVE):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(file.connection))
        file.let_go()


os.register_at_fork(after_in_child=_after_fork)
