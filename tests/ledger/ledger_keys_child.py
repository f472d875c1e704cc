"""Opens a key when it is told to, says which run that is, and waits to be killed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ledger_kit import a_run, got, record

from agentguard.ledger import Opened, open_ledger


def main(path: Path, number: str) -> None:
    ledger = open_ledger(path)
    sys.stdin.readline()
    run = a_run(f"r{number}", key="k", requester="user:ann")
    found = got(ledger.open_run(run, follows=False, started=record("run"), found=record("run"), ended=record("run")))
    assert isinstance(found, Opened)
    print(json.dumps({"run": found.run.id, "begun": found.begun}), flush=True)
    sys.stdin.readline()


main(Path(sys.argv[1]), sys.argv[2])
