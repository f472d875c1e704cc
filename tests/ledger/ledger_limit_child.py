"""One of several processes that all try for the same things. Arguments: database, how many calls, who I am.

Waits for a line on standard input, so that all begin together; prints how many calls it was admitted for and what its
calls took of the budget.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from ledger_kit import a_charge, an_admission, got, run_now

from agentguard.ledger import Admitted, LogLedger, Refusal, open_ledger

LIMITS = {"once": 1, "few": 7}
DAY = timedelta(days=1)


def call(ledger: LogLedger, name: str, step: str, amount: int) -> bool:
    """Decide on the newest state and try to be admitted, again and again until that is settled."""
    state = run_now(ledger, b=None, day=DAY)
    while state.counts.get(step, 0) < LIMITS[step] and state.spent.get("b", 0) + amount <= 20:
        charges = (a_charge(amount, 20), a_charge(amount, 20, budget="day", per=DAY))
        asked = an_admission(name, state.version, step=step, step_at_most=LIMITS[step], charges=charges)
        answer = got(ledger.admit(asked, windows={"b": None, "day": DAY}))
        if isinstance(answer, Admitted):
            return True
        assert answer.reason is Refusal.RUN_MOVED, answer.reason
        assert answer.run is not None
        state = answer.run
    return False


def main() -> None:
    path, count, who = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    ledger = open_ledger(path)
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(8) as pool:
        once = sum(pool.map(lambda n: call(ledger, f"{who}-once-{n}", "once", 0), range(count)))
        few = sum(pool.map(lambda n: call(ledger, f"{who}-few-{n}", "few", 3), range(count)))
    print(once, few, flush=True)
    ledger.shut()


if __name__ == "__main__":
    main()
