"""Interrupts its main thread at random instructions while two threads work on a ledger. Arguments: the ledger's path or
`memory`, seconds, seed, a name for its runs, whether to interrupt, and after how many interruptions it may end before
its time, if both got on (0: never). Prints `ok`, or raises what is wrong."""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

from ledger_kit import a_closing, a_run, an_admission, got, record, run_now

from agentguard.ledger import Admitted, LogLedger, RecordFilter, memory_ledger, open_ledger


class Work:
    """Calls of one run, one after another, and what of them was acknowledged."""

    def __init__(self, ledger: LogLedger, run_id: str) -> None:
        self.ledger, self.run_id = ledger, run_id
        self.calls = 0
        self.admitted: list[str] = []
        self.closed: list[str] = []
        got(ledger.start_run(a_run(run_id), record("run")))

    def one(self) -> None:
        self.calls += 1
        name = f"{self.run_id}-{self.calls}"
        asked = an_admission(name, run_now(self.ledger, self.run_id).version, run_id=self.run_id)
        if isinstance(got(self.ledger.admit(asked, windows={})), Admitted):
            self.admitted.append(name)
            self.ledger.close(a_closing(name, run_id=self.run_id))
            self.closed.append(name)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def work_interrupted(work: Work, more: Callable[[int], bool], chance: random.Random) -> int:
    """The number of interruptions."""
    signal.signal(signal.SIGALRM, interrupt)
    found = 0
    while more(found):
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00002, 0.002))
            while more(0):
                work.one()
        except KeyboardInterrupt:
            found += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    return found


def check(ledger: LogLedger, works: list[Work]) -> None:
    """No gap, no decision or outcome twice, nothing lost that was acknowledged, none that cannot be closed."""
    mine = {work.run_id for work in works}
    for call in got(ledger.open_calls()):
        if call["run_id"] in mine:
            got(ledger.close(a_closing(str(call["decision_id"]), run_id=str(call["run_id"]))))
    found = list(ledger.records(RecordFilter()))
    assert [each["seq"] for each in found] == list(range(1, len(found) + 1))
    count = Counter((each["kind"], each.get("decision_id")) for each in found if each.get("run_id") in mine)
    decided = {name for kind, name in count if kind == "decision"}
    assert set(count.values()) == {1}, [each for each in count.items() if each[1] > 1]
    assert decided == {name for kind, name in count if kind == "outcome"}
    for work in works:
        assert decided.issuperset(work.admitted)
        assert run_now(ledger, work.run_id).counts["s"] == sum(name.startswith(f"{work.run_id}-") for name in decided)
    assert not [call for call in got(ledger.open_calls()) if call["run_id"] in mine]


def main() -> None:
    place, seconds, seed, name, interrupts, enough = sys.argv[1:]
    ledger = memory_ledger() if place == "memory" else open_ledger(place)
    one, other = Work(ledger, f"{name}a"), Work(ledger, f"{name}b")
    until, stop = time.monotonic() + float(seconds), threading.Event()
    wrong: list[BaseException] = []

    def beside() -> None:
        try:
            while not stop.is_set():
                other.one()
        except BaseException as error:
            wrong.append(error)

    def more(hits: int) -> bool:
        done = 0 < int(enough) <= hits and bool(other.closed)
        return time.monotonic() < until and not done and not wrong

    thread = threading.Thread(target=beside)
    thread.start()
    hits = 0
    if interrupts == "yes":
        hits = work_interrupted(one, more, random.Random(int(seed)))
    else:
        while more(0):
            one.one()
    stop.set()
    thread.join(60)
    assert not thread.is_alive(), "the other thread hangs"
    assert not wrong, wrong
    check(ledger, [one, other])
    ledger.shut()
    print("ok", hits, len(one.closed), len(other.closed), flush=True)


if __name__ == "__main__":
    main()
