"""One of several processes, each with a run of its own below one run. Arguments: database, how many calls, who I am.

Waits for a line on standard input, so that all begin together; prints how many calls it was admitted for.
"""

from __future__ import annotations

import sys

from ledger_kit import a_charge, a_run, an_admission, got, record, run_now

from agentguard.ledger import Admitted, LogLedger, Refusal, open_ledger

AT_MOST = 7


def call(ledger: LogLedger, run_id: str, name: str) -> bool:
    """Decide on the newest state and try to be admitted, again and again until that is settled."""
    state = run_now(ledger, run_id, b=None)
    while state.counts.get("s", 0) < AT_MOST:
        asked = an_admission(name, state.version, run_id=run_id, step_at_most=AT_MOST, charges=(a_charge(3, 21),))
        answer = got(ledger.admit(asked, windows={"b": None}))
        if isinstance(answer, Admitted):
            return True
        assert answer.reason is Refusal.RUN_MOVED, answer.reason
        assert answer.run is not None
        state = answer.run
    return False


def main() -> None:
    path, count, who = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    ledger = open_ledger(path)
    got(ledger.delegate(a_run(who), parent="r", steps=None, record=record("run", run_id=who)))
    print("ready", flush=True)
    sys.stdin.readline()
    print(sum(call(ledger, who, f"{who}-{n}") for n in range(count)), flush=True)
    ledger.shut()


if __name__ == "__main__":
    main()
