"""Who is alive: one locked file per ledger object, which the system unlocks when its process dies, however it dies.

An open call names the ledger object that admitted it. As long as that object's file is locked the call may still be
running, and nobody marks it; once it is not, nobody will ever close the call, because a name is used once.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path

from agentguard.errors import ConfigurationError, LedgerError

try:
    import fcntl
except ImportError:
    raise ConfigurationError(
        "agentguard needs a POSIX system, such as Linux or macOS, for its file locks; on Windows run it in WSL or "
        "in a container"
    ) from None

# A new file can be taken for a dead owner's and removed before it is locked; then the next name is tried.
_ATTEMPTS = 20
_NAME = re.compile(r"[0-9a-f]{32}")


def living(folder: Path) -> set[str]:
    """The names of those in a folder who are alive."""
    if not folder.is_dir():
        return set()
    return {path.name for path in folder.iterdir() if _NAME.fullmatch(path.name) and not _is_free(path)}


def _is_free(path: Path) -> bool:
    """Whether nobody holds the lock on this file."""
    with contextlib.suppress(FileNotFoundError, BlockingIOError):
        os.close(_lock(path, fcntl.LOCK_SH))
        return True
    return not path.exists()


def _lock(path: Path, how: int) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise
    return fd


class Owner:
    """This ledger object's own lock."""

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        """``shared``: the ledger's group may use it too, as approvers with accounts of their own do."""
        self.folder = folder
        self._fd: int | None
        folder.mkdir(mode=0o700, exist_ok=True)
        for _ in range(_ATTEMPTS):
            name = secrets.token_hex(16)
            fd = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            if shared:  # another account has to see whether this owner is alive
                os.fchmod(fd, 0o660)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink == 1:
                self.name, self._fd = name, fd
                return
            os.close(fd)
        raise LedgerError(f"could not lock a file in `{folder}`; something removes files there, find it and stop it")

    def is_dead(self, name: str) -> bool:
        """Whether the owner of that name is gone. A file that is not there belongs to nobody alive."""
        return _is_free(self.folder / name)

    def sweep(self) -> None:
        """Remove the files of the dead.

        Each is locked while it is removed: one that is just being made is either locked first by its maker and left
        alone, or gone by the time its maker locks it, who then notices and takes another name.
        """
        for path in self.folder.iterdir():
            if path.name != self.name and _NAME.fullmatch(path.name):
                with contextlib.suppress(FileNotFoundError, BlockingIOError):
                    fd = _lock(path, fcntl.LOCK_EX)
                    path.unlink(missing_ok=True)
                    os.close(fd)

    def release(self) -> None:
        """Say that this object is gone."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                (self.folder / self.name).unlink(missing_ok=True)
            self.let_go()

    def let_go(self) -> None:
        """Close the file without touching it: a forked child must not keep its parent's lock alive."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
