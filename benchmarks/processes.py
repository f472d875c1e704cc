"""Several processes that share one ledger file: whether each gets its share, and how long the slowest calls take.

The share is the fewest calls of a process beside the mean of all: 1 where all got the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agentguard import Guard
from agentguard.ledger import open_ledger
from benchmarks.bundles import ARGUMENTS, write_bundle
from benchmarks.calls import plain
from benchmarks.measure import Effort, Tick, percentile

CALLERS = (1, 16)
# A caller that could not begin is an error, not something to wait for.
_BEGIN_SECONDS = 60.0


def measure(effort: Effort, folder: Path, tick: Tick) -> dict[str, Any]:
    """By the number of processes and of callers in each: calls a second, the smallest share, p50 and p99.9 in ms."""
    policy = write_bundle(folder / "processes", 10)
    seconds = max(0.2, 5 * effort.seconds)
    found: dict[str, Any] = {}
    for processes in effort.processes:
        for callers in CALLERS:
            tick(f"{processes} processes, {callers} callers each")
            place = folder / f"shared-{processes}-{callers}" / "ledger.sqlite3"
            open_ledger(place).shut()
            home = folder / f"home-{processes}-{callers}"
            found[f"{processes} x {callers}"] = _together(processes, [policy, home, place, callers, seconds])
    return found


def _together(processes: int, given: list[object]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.processes", *map(str, given)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for child in children:
        if child.stdout is None or child.stdout.readline() != "ready\n":
            raise RuntimeError("a process of the benchmark did not begin")
    found = []
    for child in children:
        if child.stdin is not None:
            child.stdin.write("go\n")
            child.stdin.flush()
    for child in children:
        out, _ = child.communicate()
        found.append(json.loads(out))
    calls = [len(each["times"]) for each in found]
    times = [taken * 1e3 for each in found for taken in each["times"]]
    return {
        "per_second": sum(len(each["times"]) / each["elapsed"] for each in found),
        "share": min(calls) / (sum(calls) / len(calls)),
        "p50_ms": percentile(times, 0.5),
        "p999_ms": percentile(times, 0.999),
    }


def _child(policy: str, home: str, place: str, callers: int, seconds: float) -> None:
    times: list[list[float]] = [[] for _ in range(callers)]
    stop = threading.Event()
    began = threading.Event()
    ready = threading.Barrier(callers + 1)
    with Guard.load(policy, ledger=open_ledger(Path(place)), home=home) as guard:
        tool = guard.wrap(plain)

        def call(mine: list[float]) -> None:
            with guard.run("wf-5", inputs={"ticket": "EXP-7"}):
                tool(**ARGUMENTS)
                ready.wait(_BEGIN_SECONDS)
                began.wait()
                while not stop.is_set():
                    started = time.perf_counter()
                    tool(**ARGUMENTS)
                    mine.append(time.perf_counter() - started)

        threads = [threading.Thread(target=call, args=(mine,), daemon=True) for mine in times]
        for thread in threads:
            thread.start()
        ready.wait(_BEGIN_SECONDS)
        print("ready", flush=True)
        if not sys.stdin.readline():
            raise SystemExit("whoever measures is gone")
        started = time.perf_counter()
        began.set()
        time.sleep(seconds)
        stop.set()
        elapsed = time.perf_counter() - started
        for thread in threads:
            thread.join()
    print(json.dumps({"times": [taken for mine in times for taken in mine], "elapsed": elapsed}))


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
