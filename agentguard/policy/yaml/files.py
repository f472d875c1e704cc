"""Find and read the files of a bundle: regular ``.yaml`` and ``.yml`` files inside one directory, and nothing else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from agentguard.errors import PolicyProblem
from agentguard.policy.words import shown

MAX_BYTES = 1024 * 1024
MAX_FILES = 20_000
MAX_FOLDERS = 16
SUFFIXES = (".yaml", ".yml")
CASES = (".cases.yaml", ".cases.yml")

Signature: TypeAlias = "tuple[tuple[str, int, int, int], ...]"


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a bundle by name, sorted; and why some cannot be used."""

    names: tuple[str, ...]
    problems: tuple[PolicyProblem, ...]


def list_files(directory: Path, suffixes: tuple[str, ...] = SUFFIXES, without: tuple[str, ...] = CASES) -> Listing:
    """Every file with such a suffix, at any depth. Hidden files and folders are left out."""
    problems: list[PolicyProblem] = []
    if not directory.is_dir():
        what = "not a directory" if directory.exists() else "no such directory"
        return Listing((), (PolicyProblem(str(directory), 0, f"{what}; expected the directory that holds the policy"),))
    names: list[str] = []
    try:
        for name in _walk(directory, "", 0):
            if name.lower().endswith(suffixes) and not name.lower().endswith(without or ("\0",)):
                names.append(name)
                if len(names) > MAX_FILES:
                    problems.append(PolicyProblem(str(directory), 0, f"holds more than {MAX_FILES} policy files"))
                    break
    except OSError as error:
        problems.append(PolicyProblem(str(error.filename or directory), 0, f"cannot be read: {error.strerror}"))
    return Listing(tuple(sorted(names)), tuple(problems))


def _walk(folder: Path, prefix: str, depth: int) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not entry.is_dir():
                yield prefix + entry.name
            elif entry.is_symlink():
                raise OSError(0, "links to folders are not followed; put the folder itself here", entry.path)
            elif depth < MAX_FOLDERS:
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", depth + 1)
            else:
                raise OSError(0, f"more than {MAX_FOLDERS} folders inside each other", entry.path)


def read_file(directory: Path, name: str) -> bytes | str:
    """The bytes of one file, or why it cannot be read."""
    path = directory / name
    try:
        if path.is_symlink():
            real = path.resolve(strict=True)
            if not real.is_relative_to(directory.resolve(strict=True)):
                return f"is a link that leaves the directory (to {shown(real)}); put the file itself here"
        # Without O_NONBLOCK the open of a named pipe would wait for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return "is not a regular file"
            return file.read(MAX_BYTES + 1)
    except (OSError, RuntimeError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or 'its links go in a circle'}"


def signature(directory: Path) -> Signature:
    """What changes when a file does: cheap to take, and never the basis of a decision."""
    found = []
    for name in list_files(directory).names:
        try:
            state = (directory / name).stat()
        except OSError:
            continue
        found.append((name, state.st_mtime_ns, state.st_size, state.st_ino))
    return tuple(found)
