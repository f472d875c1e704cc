"""One of several processes that all use one approval. Arguments: database, how often, who.

Waits for a line on standard input, so that all begin together; prints for each try whether its call was admitted (`1`).
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from ledger_kit import an_admission, got, run_now

from agentguard.ledger import Admitted, LogLedger, Refusal, open_ledger


def claim(ledger: LogLedger, name: str) -> str:
    state = run_now(ledger)
    while True:
        answer = got(ledger.admit(an_admission(name, state.version, approval_id="ask-1"), windows={}))
        if isinstance(answer, Admitted):
            return "1"
        if answer.reason is Refusal.APPROVAL_USED:
            return "0"
        assert answer.reason is Refusal.RUN_MOVED and answer.run is not None
        state = answer.run


def main() -> None:
    path, count, who = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    ledger = open_ledger(path)
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(8) as pool:
        print("".join(pool.map(lambda number: claim(ledger, f"{who}-{number}"), range(count))), flush=True)
    ledger.shut()


if __name__ == "__main__":
    main()
