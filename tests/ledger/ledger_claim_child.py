"""One of several processes that all bring the same calls. Arguments: database, how many calls.

Waits for a line on standard input, so that all begin together; prints for each call whether it was admitted (`1`), or
what was told of the one that was (`r` for running).
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from ledger_kit import an_admission, got, run_now

from agentguard.ledger import Admitted, LogLedger, MadeCall, Refusal, open_ledger


def claim(ledger: LogLedger, who: str, number: int) -> str:
    state = run_now(ledger)
    while True:
        made = MadeCall(f"call-{number}", f"digest-{number}", got(ledger.made(f"call-{number}")))
        if made.sees is not None:
            return "r" if made.sees.status == "running" else "?"
        answer = got(ledger.admit(an_admission(f"{who}-{number}", state.version, made=made), windows={}))
        if isinstance(answer, Admitted):
            return "1"
        assert answer.reason in (Refusal.RUN_MOVED, Refusal.CALL_MADE), answer.reason
        assert answer.run is not None
        state = answer.run


def main() -> None:
    path, count, who = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    ledger = open_ledger(path)
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(4) as pool:
        print("".join(pool.map(lambda number: claim(ledger, who, number), range(count))), flush=True)
    sys.stdin.readline()  # while it lives, its calls are under way
    ledger.shut()


if __name__ == "__main__":
    main()
