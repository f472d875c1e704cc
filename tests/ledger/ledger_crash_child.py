"""A process that makes guarded calls until it is killed. Arguments: database, run, side file, and `hold` for a
process whose four calls stop between admission and tool.

The side file stands for the tool: a line per call that really ran. What was acknowledged is printed: `A id` once a
call was admitted (before the tool runs), `D id` once an outcome that was followed by another admission is durable.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from ledger_kit import a_closing, a_run, an_admission, got, record

from agentguard.ledger import Admitted, open_ledger


def main() -> None:
    path, name, side_path = sys.argv[1], sys.argv[2], sys.argv[3]
    ledger = open_ledger(path)
    side = os.open(side_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def work(worker: int) -> None:
        run_id = f"{name}-{worker}"
        state = got(ledger.start_run(a_run(run_id), record("run", run_id=run_id)))
        done = None
        for n in range(10**9):
            call = f"{run_id}-{n}"
            asked = an_admission(call, state.version, run_id=run_id, assertion_key=("iss", call))
            answer = got(ledger.admit(asked, windows={}))
            assert isinstance(answer, Admitted)
            told = f"A {call}\n" if done is None else f"A {call}\nD {done}\n"
            os.write(1, told.encode())
            if sys.argv[4:] == ["hold"]:
                threading.Event().wait()
            os.write(side, f"{call}\n".encode())
            closed = got(ledger.close(a_closing(call, run_id=run_id)))
            assert closed is not None
            state, done = closed, call

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work, worker) for worker in range(4)]:
            future.result()


if __name__ == "__main__":
    main()
