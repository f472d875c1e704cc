"""Timing: alternating rounds, so that what is compared sees the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Call = Callable[[], object]
Tick = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure. ``seconds`` is per thing and round."""

    rounds: int
    seconds: float
    workflows: tuple[int, ...]
    callers: tuple[int, ...]
    runs: int
    processes: tuple[int, ...]


FULL = Effort(
    rounds=5,
    seconds=0.4,
    workflows=(10, 100, 1_000, 10_000),
    callers=(1, 16, 64, 256),
    runs=100_000,
    processes=(1, 2, 4),
)
QUICK = Effort(rounds=1, seconds=0.02, workflows=(10,), callers=(1, 4), runs=50, processes=(1, 2))


def compare(calls: Mapping[str, Call], effort: Effort) -> dict[str, float]:
    """The median time of each call in microseconds, the rounds of all taken in turn."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(effort.rounds):
        for name, call in calls.items():
            found[name].append(_median_of(call, effort.seconds))
    return {name: statistics.median(times) for name, times in found.items()}


def compare_work(calls: Mapping[str, Call], effort: Effort) -> dict[str, float]:
    """The least processor time of each call in microseconds, of this process, the rounds of all taken in turn."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(max(effort.rounds, 3)):
        for name, call in calls.items():
            found[name].append(_work_of(call, effort.seconds / 2))
    return {name: min(times) for name, times in found.items()}


def _work_of(call: Call, seconds: float) -> float:
    made, until, began = 0, time.perf_counter() + seconds, time.process_time_ns()
    while made == 0 or time.perf_counter() < until:
        call()
        made += 1
    return (time.process_time_ns() - began) / made / 1000


def _median_of(call: Call, seconds: float) -> float:
    started = time.perf_counter_ns()
    call()
    once = max(1, time.perf_counter_ns() - started)
    # Batches of about a millisecond, so that reading the clock costs nothing next to what is measured.
    batch = max(1, 1_000_000 // once)
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or not times:
        started = time.perf_counter_ns()
        for _ in range(batch):
            call()
        times.append((time.perf_counter_ns() - started) / batch / 1000)
    return statistics.median(times)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
