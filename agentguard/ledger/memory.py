"""A ledger that is gone with its last user, for tests: the same code on a database in memory."""

from __future__ import annotations

from agentguard.ledger.files import open_memory
from agentguard.ledger.sqlite import SqliteLedger


def memory_ledger() -> SqliteLedger:
    """A fresh ledger in memory. Everything holds but durability."""
    return SqliteLedger(open_memory)
