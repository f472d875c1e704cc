"""Opening a file under a root, so that no symlink leads out of it, not even one made while we look.

Each directory on the way is opened from the one before (``openat``), and no segment may be a symlink (``O_NOFOLLOW``).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO, Literal

from agentguard.destinations.kinds import Ambiguous
from agentguard.destinations.kinds.path import canonical_path
from agentguard.destinations.use.refusal import DestinationRefused
from agentguard.errors import ConfigurationError

FileMode = Literal["rb", "wb", "xb", "ab"]

_FLAGS: dict[str, int] = {
    "rb": os.O_RDONLY,
    # Truncated by hand, after the file is known to be an ordinary one.
    "wb": os.O_WRONLY | os.O_CREAT,
    "xb": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "ab": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
}
_SYMLINK_ERRORS = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})


def open_under(root: str, path: str, mode: FileMode = "rb") -> BinaryIO:
    """Open one ordinary file below ``root``, for bytes. ``path`` is relative to it, or absolute and within it.

    The root itself may be a symlink: its owner chose it. Raises DestinationRefused for whatever is not an ordinary
    file below it, ConfigurationError where the system has no ``openat``, and OSError as ``open`` does.
    """
    if mode not in _FLAGS:
        raise ConfigurationError(f"`{mode}` is not a mode; expected one of {', '.join(_FLAGS)}")
    if os.open not in os.supports_dir_fd:
        raise ConfigurationError("this system cannot open files relative to a directory; use Linux or macOS")
    if canonical_path(root) != root:
        raise ConfigurationError(f"`{root}` is not a plain absolute directory; write it as such, without `..`")
    canonical = canonical_path(path, root)
    if isinstance(canonical, Ambiguous):
        raise DestinationRefused(canonical.reason)
    segments = canonical[len(root.rstrip("/")) + 1 :].split("/")
    if segments == [""]:
        raise DestinationRefused("not_a_file")
    descriptor = _descend(root, segments, _FLAGS[mode])
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DestinationRefused("not_a_file")
        if mode == "wb":
            os.ftruncate(descriptor, 0)
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "wb" if mode == "xb" else mode)
    except BaseException:
        os.close(descriptor)
        raise


def _descend(root: str, segments: list[str], flags: int) -> int:
    """The descriptor of the last segment."""
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for segment in segments[:-1]:
            deeper = _open(segment, os.O_RDONLY | os.O_DIRECTORY, directory)
            os.close(directory)
            directory = deeper
        # Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
        return _open(segments[-1], flags | os.O_NONBLOCK | os.O_NOCTTY, directory)
    finally:
        os.close(directory)


def _open(segment: str, flags: int, directory: int) -> int:
    try:
        return os.open(segment, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno in _SYMLINK_ERRORS:
            raise DestinationRefused("symlink_on_the_way") from None
        if error.errno in (errno.EISDIR, errno.ENXIO):
            raise DestinationRefused("not_a_file") from None
        raise
