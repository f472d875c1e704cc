"""Revocation: how long from a signal in one process to the first refusal in another that shares the ledger.

    python -m benchmarks.revocation BUNDLE HOME     the other process; it is started by the benchmark

The other process calls a tool without a pause. The signal is a session's end, timed from the moment it is handed over
verified; both processes read the machine's one monotonic clock.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random

from agentguard import Guard, ToolCallDenied
from agentguard.core.signals import Signal, SignalEffect
from benchmarks.bundles import ARGUMENTS, write_bundle
from benchmarks.calls import plain
from benchmarks.measure import Effort, Tick, percentile

# The other process is in the middle of something else each time.
MOST_SECONDS_BEFORE = 0.02


def measure(effort: Effort, folder: Path, tick: Tick) -> dict[str, float]:
    """p50 and p99 in milliseconds, over that many signals."""
    tick("from a signal to the first refusal")
    policy, home = write_bundle(folder / "revocation", 10), folder / "home-revocation"
    signals = max(5, int(200 * effort.rounds * effort.seconds))
    random, times = Random(1), []
    command = [sys.executable, "-m", "benchmarks.revocation", str(policy), str(home)]
    with (
        Guard.load(policy, home=home) as guard,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
    ):
        assert other.stdin is not None
        assert other.stdout is not None
        for number in range(signals):
            other.stdin.write("go\n")
            other.stdin.flush()
            run = other.stdout.readline().strip()
            time.sleep(random.uniform(0, MOST_SECONDS_BEFORE))
            told, at = time.monotonic_ns(), guard.clock()
            ended = Signal("idp", "session-revoked", SignalEffect.END_RUNS, at, run_id=run)
            guard.operations.apply(("https://idp.example", str(number)), [ended], at)
            times.append((int(other.stdout.readline()) - told) / 1e6)
        other.stdin.close()
    return {"signals": signals, "p50_ms": percentile(times, 0.5), "p99_ms": percentile(times, 0.99)}


def call_until_refused(policy: str, home: str) -> None:
    """For each line that is read: a run's id, and after the first refusal the time."""
    with Guard.load(policy, home=home) as guard:
        tool = guard.wrap(plain)
        for _ in sys.stdin:
            with guard.run("wf-5", inputs={"ticket": "EXP-7"}) as run:
                print(run.id, flush=True)
                print(_refused_at(tool), flush=True)


def _refused_at(tool: object) -> int:
    assert callable(tool)
    while True:
        try:
            tool(**ARGUMENTS)
        except ToolCallDenied:
            return time.monotonic_ns()


if __name__ == "__main__":
    call_until_refused(sys.argv[1], sys.argv[2])
