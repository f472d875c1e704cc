"""Both forms of the ledger, for tests that must hold for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentguard.ledger import LogLedger, memory_ledger, open_ledger


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogLedger]:
    made = memory_ledger() if request.param == "memory" else open_ledger(tmp_path / "ledger.sqlite3")
    yield made
    made.shut()
