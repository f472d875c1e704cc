"""One of several processes that add to one kept value. Arguments: database, how many calls, who I am.

Waits for a line on standard input, so that all begin together.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from ledger_kit import a_closing, an_admission, got, run_now

from agentguard.core.growing import Growth
from agentguard.ledger import Admitted, LogLedger, open_ledger


def call(ledger: LogLedger, name: str) -> None:
    """Be admitted, and add an element of its own, one that all add, and one at a key of its own."""
    while True:
        state = run_now(ledger)
        if isinstance(got(ledger.admit(an_admission(name, state.version), windows={})), Admitted):
            break
    added = Growth("all", "add", "", [name, "common"])
    got(ledger.close(a_closing(name, grown=(added, Growth("by", "put", name, 1)))))


def main() -> None:
    path, count, who = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    ledger = open_ledger(path)
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: call(ledger, f"{who}-{n}"), range(count)))
    ledger.shut()


if __name__ == "__main__":
    main()
