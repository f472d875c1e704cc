"""What a condition over a long list costs: processor time, memory, and how long other threads wait meanwhile.

Each decision has values that no other had, so nothing is known from before. The time to look through what a run kept
once (is it JSON, without a NUL) is a row of its own: it is the same for all conditions of a decision together.
"""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

from agentguard.core.policy import View
from agentguard.policy.cel.conditions import compile_condition
from agentguard.policy.cel.scope import Scope, closed
from benchmarks.measure import Effort, Tick

CONDITIONS: Mapping[str, str] = {
    "(looked through once)": "size(kept.files) >= 0",
    "the largest": "args.size <= max(kept.files, 'size')",
    "the latest": "last(sort(kept.files, 'date')).id != args.id",
    "the sum of one owner's": "sum(where(kept.files, 'owner', 'o1'), 'size') >= 0.0",
    "the one with this id": "one(kept.files, 'id', 'f7').size == 7",
    "different owners": "size(distinct(kept.files, 'owner')) == 10",
    "all compare": "kept.files.all(f, f.name != args.id)",
    "some compare": "!kept.files.exists(f, f.size == -1)",
    "each is in another list": "kept.files.all(f, f.id in kept.ids)",
    "each is in 12 literals": f"kept.files.all(f, f.owner in [{', '.join(repr(f'o{n}') for n in range(12))}])",
    "each name in a text": "kept.ids.all(i, !args.text.contains(i))",
    "each matches": "kept.files.all(f, f.name.matches('^[a-z0-9 ]+$'))",
    "each looked up": "kept.files.all(f, one(kept.files, 'id', f.id).size == f.size)",
}
LENGTHS = (100, 1_000, 5_000, 20_000)

_TEXT = {"type": "string"}
_ARGUMENTS = closed({"id": _TEXT, "size": {"type": "integer"}, "text": _TEXT})
_SCOPE = Scope.make(
    arguments=_ARGUMENTS, inputs=closed({}), kept=["files", "ids"], origins=[], steps=("s",), subjects=["a"],
    has_destinations=False,
)  # fmt: skip


def measure(effort: Effort, tick: Tick) -> dict[str, Any]:
    """By condition and length: milliseconds of the processor, MiB, and the longest wait of another thread in ms."""
    lengths = LENGTHS[: len(effort.workflows)]
    found: dict[str, Any] = {}
    for name, text in CONDITIONS.items():
        tick(f"a condition: {name}")
        found[name] = {str(length): _measured(text, length, max(2, effort.rounds)) for length in lengths}
    return found


def _measured(text: str, length: int, rounds: int) -> dict[str, float]:
    condition = compile_condition(text, _SCOPE)
    files = [
        {"id": f"f{n}", "size": n, "name": f"report {n} of the year", "owner": f"o{n % 10}", "date": f"{n:08d}"}
        for n in range(length)
    ]
    kept = {"files": files, "ids": [file["id"] for file in files]}
    arguments = {"id": "none", "size": 5, "text": "a letter about nothing at all, " * 10}

    def once() -> None:
        answer = condition.holds(View({"args": arguments, "inputs": {}, "kept": kept}))
        if answer is not True:
            raise RuntimeError(f"`{text}` gave {answer}")

    return {"ms": _least(_processor(once), rounds), "mib": _memory(once), "wait_ms": _least(_wait(once), rounds)}


def _least(figure: Callable[[], float], rounds: int) -> float:
    return min(figure() for _ in range(rounds))


def _processor(once: Callable[[], None]) -> Callable[[], float]:
    def figure() -> float:
        started = time.thread_time()
        once()
        return (time.thread_time() - started) * 1000

    return figure


def _memory(once: Callable[[], None]) -> float:
    tracemalloc.start()
    try:
        once()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def _wait(once: Callable[[], None]) -> Callable[[], float]:
    def figure() -> float:
        longest, done = 0.0, threading.Event()
        started = threading.Event()

        def ticking() -> None:
            nonlocal longest
            last = time.perf_counter()
            while not done.is_set():
                started.set()
                time.sleep(0.0005)
                now = time.perf_counter()
                longest, last = max(longest, now - last), now

        thread = threading.Thread(target=ticking)
        thread.start()
        started.wait()
        once()
        done.set()
        thread.join()
        return longest * 1000

    return figure


def table(found: Mapping[str, Any]) -> list[str]:
    """One row a condition; in each cell ms, MiB, and the wait of another thread."""
    lengths = list(next(iter(found.values())))
    rows = [
        "| a condition, over | " + " | ".join(f"{int(length):,}" for length in lengths) + " |",
        "| --- |" + " ---: |" * len(lengths),
    ]
    for name, by_length in found.items():
        cells = [f"{cell['ms']:.1f} ms, {cell['mib']:.1f} MiB, {cell['wait_ms']:.0f} ms" for cell in by_length.values()]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return rows
