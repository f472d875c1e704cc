"""What is in force of a policy bundle, and how another takes its place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from agentguard.policy.bundle import Bundle
from agentguard.policy.yaml.files import signature

T = TypeVar("T")


def _load(directory: Path, on_file: Callable[[int, int], None] | None = None) -> Bundle:
    from agentguard.policy.loader import load  # brings the readers of YAML and of conditions with it

    return load(directory, on_file=on_file)


class Reloader(Generic[T]):
    """Holds what is in force. A bad bundle never replaces a good one, and nobody ever sees half of one.

    ``make`` turns a bundle into what is held, with what was in force before (None at first), or raises: a bundle that
    cannot be used is never held.
    """

    def __init__(
        self,
        directory: str | Path,
        make: Callable[[Bundle, T | None], T],
        *,
        on_file: Callable[[int, int], None] | None = None,
    ) -> None:
        """Load the bundle. Raises PolicyError, and what ``make`` raises."""
        self.directory = Path(directory)
        self._make = make
        self._lock = threading.Lock()
        self._signature = signature(self.directory)
        # What is in force.
        self.current = make(_load(self.directory, on_file), None)

    def changed(self) -> bool:
        """Whether a file was added, removed or written since the last load or attempt. Looks at no content."""
        return signature(self.directory) != self._signature

    def reload(self) -> T:
        """Put the directory's files in force as they are now.

        Raises PolicyError, and what ``make`` raises; then what was in force stays.
        """
        with self._lock:
            # Taken before the files are read: what is written meanwhile shows as changed again.
            self._signature = signature(self.directory)
            self.current = self._make(_load(self.directory), self.current)
            return self.current
