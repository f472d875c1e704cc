"""Who is shown the public bytes of each record, once it is durable, off the way of whoever asked for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from agentguard.ledger.entry import Entry

Listener: TypeAlias = "Callable[[bytes], None]"


class Listeners:
    """The listeners of one ledger object, and what they were not shown yet."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()
        self.unshown: deque[bytes] = deque()
        self._showing = threading.Lock()

    def add(self, listener: Listener) -> None:
        """Show it every record from now on, in order."""
        self._listeners = (*self._listeners, listener)

    def remember(self, entries: Sequence[Entry]) -> None:
        """These are durable, and are to be shown."""
        if self._listeners:
            self.unshown.extend([entry.row.body for entry in entries])

    def show(self) -> None:
        """Outside the ledger's lock: whoever listens may be slow. What fails there changes nothing here."""
        while self.unshown and not self._showing.locked():
            with self._showing:
                while self.unshown:
                    body = self.unshown.popleft()
                    for listener in self._listeners:
                        try:
                            listener(body)
                        except Exception:
                            text = "a record could not be shown to a log or hook; it stands in the ledger"
                            logging.getLogger("agentguard").warning(text)
