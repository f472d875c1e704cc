"""Opening the ledger's file, or saying in one sentence why it cannot be opened and what to do.

Nothing that is not ours is written to: the file's header is read before SQLite may touch it.

A process has one set of POSIX locks on a file. It loses all of them when it closes any descriptor of that file, and a
forked child has none, though the SQLite in it believes that it has. Whoever closes the ledger next then takes itself
for the last, and removes the journal that others go on writing to. So a file that this process has open is opened by
nobody but SQLite, and one that it has inherited open is not opened at all.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from agentguard.errors import LedgerError
from agentguard.ledger.sqlite import schema
from agentguard.ledger.sqlite.liveness import Owner, living
from agentguard.ledger.sqlite.turns import Turns

# A scheme and what may follow it; SQLite's `:memory:`; and PostgreSQL's keywords (`host=db dbname=x`).
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|:memory:\Z|(?:\w+\s*=\s*\S*\s+)*(?:host|hostaddr|dbname|service)\s*=")
_MAGIC = b"SQLite format 3\x00"
_HEADER = 100
# What SQLite writes first, and reads by, as long as the ledger is open. Without it the file alone is an old state.
_JOURNAL = ("-wal", "-shm")
# SQLite sleeps 1, 2, 5 ... ms while it waits; short waits asked for often find the gap between two writers sooner.
_BUSY_MILLISECONDS = 8
_OPENING_SECONDS = 20.0
_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",  # on macOS a plain fsync leaves the data in the disk's cache; elsewhere this does nothing
    "PRAGMA checkpoint_fullfsync = ON",
    f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}",
    "PRAGMA wal_autocheckpoint = 2000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -65536",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA secure_delete = ON",  # what is deleted or replaced is overwritten, so that what is erased is gone
)

_REMEDIES: Mapping[int, str] = MappingProxyType(
    {
        sqlite3.SQLITE_FULL: "there is no space left for the ledger; free some and repeat",
        sqlite3.SQLITE_READONLY: "the ledger or its directory is read-only; make both writable for this user",
        sqlite3.SQLITE_CORRUPT: "the ledger is damaged; keep the file as it is, and restore a backup beside it",
        sqlite3.SQLITE_NOTADB: "the ledger is damaged; keep the file as it is, and restore a backup beside it",
        sqlite3.SQLITE_BUSY: "another process has been holding the ledger for too long; find and end it",
        sqlite3.SQLITE_CANTOPEN: "the ledger's file, or the files beside it, cannot be opened; check rights and limits",
        sqlite3.SQLITE_IOERR: "the disk failed, is full or is over quota; check it and repeat",
        sqlite3.SQLITE_PERM: "this user may not use the ledger's file; change its owner or rights",
    }
)


def explain(error: Exception, place: str) -> LedgerError:
    """What a database error means to operations."""
    if isinstance(error, LedgerError):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    remedy = _REMEDIES.get(code & 0xFF if isinstance(code, int) else -1, "this is not expected; report it")
    return LedgerError(f"`{place}`: {remedy} ({type(error).__name__}: {error})")


def concerns_everybody(error: Exception) -> bool:
    """Whether an error is about the file or disk, and not about the one operation that met it."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _REMEDIES


class _InUse:
    """The files, by device and inode, that this process has open as ledgers, and those that it inherited open."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.mine: Counter[tuple[int, int]] = Counter()
        self.inherited: set[tuple[int, int]] = set()
        self._closed: deque[tuple[int, int]] = deque()

    def closed(self, identity: tuple[int, int]) -> None:
        """One connection less. Without the lock: a ledger that is collected while another is being opened, by the
        same thread, is closed within that."""
        self._closed.append(identity)

    def count(self) -> None:
        """Take in what was closed. For whoever holds the lock."""
        while self._closed:
            self.mine[self._closed.popleft()] -= 1

    def forked(self) -> None:
        """In a child: its parent's connections are here, and none of its parent's locks."""
        self.lock = threading.Lock()
        self.count()
        self.inherited.update(+self.mine)
        self.mine.clear()


_IN_USE = _InUse()
os.register_at_fork(after_in_child=_IN_USE.forked)


class LedgerFile:
    """An open database: its connection, its place, and the lock that says its owner is alive."""

    def __init__(self, connection: sqlite3.Connection, path: Path, owner: Owner, turns: Turns) -> None:
        self.connection = connection
        self.path = path
        self.owner = owner
        self.turns = turns
        self.owner_id = owner.name
        self.place = str(path)
        self._identity = _identity(path)
        # SQLite keeps its journal beside the file itself, whatever name led to it.
        files = (str(path.absolute()), *(str(_beside(path, end)) for end in _JOURNAL))
        self._opened = [(name, _standing(name)) for name in files]

    def check_in_place(self) -> None:
        """Raises LedgerError where the file or its journal is not what was opened: what is written would be lost."""
        for name, opened in self._opened:
            _check(name, opened)

    def check_named(self) -> None:
        """The same of the file alone: nothing is begun where it is not there."""
        _check(*self._opened[0])

    def is_dead(self, owner: str) -> bool:
        """Whether the ledger object of that name is gone."""
        return self.owner.is_dead(owner)

    def others(self) -> bool:
        """Whether any other ledger object has the file open."""
        return bool(living(self.owner.folder) - {self.owner.name})

    def tidy(self) -> None:
        """Remove what dead ledger objects left beside the file; whoever cannot leaves it for the next."""
        with contextlib.suppress(OSError):
            self.owner.sweep()

    def close(self) -> None:
        """Close the connection and give up the lock."""
        self.connection.close()
        _IN_USE.closed(self._identity)
        self.owner.release()
        self.turns.close()

    def let_go(self) -> None:
        """In a forked child: hold none of the parent's locks."""
        self.owner.let_go()
        self.turns.close()


def is_address(place: str | os.PathLike[str]) -> bool:
    """Whether it is the address of a database, or SQLite's own name for what is no file, and not a path.

    A ``Path`` has swallowed a slash of ``postgresql://``. A file of such a name can be given with its folder.
    """
    return _ADDRESS.match(os.fsdecode(place)) is not None


def without_password(address: str | os.PathLike[str]) -> str:
    """As much of an address as may be shown."""
    scheme, colon, _ = os.fsdecode(address).partition(":")
    return f"`{scheme}:...`" if colon else "`host=...`"


def check_is_path(path: Path) -> None:
    """Raises LedgerError for the address of a database."""
    if is_address(path):
        raise LedgerError(f"{without_password(path)} is the address of a database; the ledger is a file: name its path")


def open_file(path: Path) -> LedgerFile:
    """Open the ledger at ``path``, or make it. Raises LedgerError."""
    check_is_path(path)
    with _IN_USE.lock:
        _IN_USE.count()
        return _open_file(path)


def _open_file(path: Path) -> LedgerFile:
    connection: sqlite3.Connection | None = None
    identity: tuple[int, int] | None = None
    try:
        identity = _prepare(path)
        _IN_USE.mine[identity] += 1
        connection = _connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True)
        _set_up(connection, path)
        shared = path.stat().st_mode & 0o060 == 0o060
        turns = Turns(_beside(path, "-queue"), _beside(path, "-turn"), shared=shared)
        return LedgerFile(connection, path, Owner(_beside(path, "-owners"), shared=shared), turns)
    except (sqlite3.Error, OSError, LedgerError) as error:
        if connection is not None:
            connection.close()
        if identity is not None:
            _IN_USE.mine[identity] -= 1
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise LedgerError(f"the ledger `{path}` cannot be opened: {reason}; {_os_remedy(path)}") from None
        raise explain(error, str(path)) from None


def _os_remedy(path: Path) -> str:
    return f"`{path.parent}` must be a directory on a local disk that this user may write to, with space left"


def _prepare(path: Path) -> tuple[int, int]:
    """Make the file if there is none, and look at it from outside. What tells it from every other file."""
    if path.is_dir():
        raise LedgerError(f"the ledger `{path}` is a directory; name a file in it, such as `{path / 'ledger.sqlite3'}`")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    if not path.is_file():
        raise LedgerError(f"the ledger `{path}` is not a regular file; name another path")
    identity = _identity(path)
    if identity in _IN_USE.inherited:
        raise LedgerError(
            f"the ledger `{path}` was opened before the process forked, and cannot be opened again in the child; "
            "open it after the fork, in each worker, and not before"
        )
    if path.stat().st_nlink > 1:
        raise LedgerError(
            f"the ledger `{path}` has a second name (a hard link), and whoever uses that one does not see what is "
            "recorded by this one; remove the other name, or make a copy instead"
        )
    if path.stat().st_size == 0:
        _check_not_emptied(path)
    elif not _IN_USE.mine[identity]:
        _check_header(path)
    return identity


def _beside(path: Path, end: str) -> Path:
    """A file that belongs to the ledger: one and the same by every path that leads there, as SQLite's journal is."""
    return Path(os.path.realpath(path) + end)


def beside(path: Path) -> list[Path]:
    """Everything that may stand beside a ledger's file and belongs to it."""
    return [_beside(path, end) for end in (*_JOURNAL, "-queue", "-turn", "-owners")]


def owners_of(path: Path) -> Path:
    """The folder in which those who have the ledger open hold a lock each."""
    return _beside(path, "-owners")


def read_version(path: Path) -> int:
    """The format of the ledger at ``path``. Raises LedgerError where it is none of ours."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise LedgerError(f"`{path}` is not a ledger, or a damaged one; nothing was changed. Name another path")
    found = int.from_bytes(header[68:72], "big")
    if found != schema.APPLICATION_ID:
        raise LedgerError(f"`{path}` is another application's database; nothing was changed. Name another path")
    return int.from_bytes(header[60:64], "big")


def _check_header(path: Path) -> None:
    version = read_version(path)
    if version != schema.SCHEMA_VERSION:
        remedy = "Keep it, read it with the version of agentguard that wrote it, and name another path for new runs"
        if version > schema.SCHEMA_VERSION:
            remedy = "Use the version of agentguard that wrote it, or a newer one"
        elif version == schema.UPGRADED:
            remedy = f"`agentguard ledger upgrade {path}` carries it over"
        raise LedgerError(
            f"the ledger `{path}` has format {version}; this agentguard reads format {schema.SCHEMA_VERSION}. {remedy}"
        )


def _check_not_emptied(path: Path) -> None:
    beside = any(_beside(path, end).exists() for end in ("-wal", "-owners"))
    if beside and path.stat().st_size == 0:
        raise LedgerError(
            f"the ledger `{path}` is empty, but was not: files beside it remain. Restore a backup, or remove those too"
        )


def _connect(name: str, *, uri: bool) -> sqlite3.Connection:
    return sqlite3.connect(
        name,
        uri=uri,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        timeout=_OPENING_SECONDS,
    )


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    # The tables are made before the journal becomes a WAL, so that a file with a header always has ours in it.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("BEGIN EXCLUSIVE" if path.stat().st_size == 0 else "BEGIN")
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        for statement in schema.TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
    connection.execute("COMMIT")
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise LedgerError(f"`{path}` is on a file system without shared memory; put the ledger on a local disk")
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    if connection.execute("PRAGMA user_version").fetchone()[0] != schema.SCHEMA_VERSION:
        raise LedgerError(f"the ledger `{path}` has another format than its header said; nothing was changed")
    missing = _expected_tables() - {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if missing:
        raise LedgerError(f"the ledger `{path}` is damaged: it has no table `{min(missing)}`. Restore a backup")


def _expected_tables() -> set[str]:
    return {line.split()[2] for line in schema.TABLES.splitlines() if line.startswith("CREATE TABLE")}


def _identity(path: str | Path) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 - for `_standing`: asked around every transaction, and three times faster
    return found.st_dev, found.st_ino


def _check(name: str, opened: tuple[int, int, int]) -> None:
    try:
        found = os.stat(name)  # noqa: PTH116 - as above
    except OSError:
        found = None
    if found is None or (found.st_dev, found.st_ino, found.st_nlink) != opened:
        raise LedgerError(
            f"`{name}` was moved, removed or replaced while in use, or has got a second name; put it back and "
            "start again"
        )


def _standing(path: str) -> tuple[int, int, int]:
    """Which file a path leads to, and by how many names it can be reached."""
    found = os.stat(path)  # noqa: PTH116 - as above
    return found.st_dev, found.st_ino, found.st_nlink
