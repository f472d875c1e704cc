"""A plain function with the same three conditions, guarded by us and by others, each in its own way, in one run.

What the others do differs as much as what they cost, so the table says both. agent-governance-toolkit is not here: the
package alone decides nothing, and what does (its ``core``) asks for a cryptography that is older than ours.
"""

from __future__ import annotations

import contextvars
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from agentguard import Guard
from agentguard.ledger import memory_ledger
from benchmarks.bundles import ARGUMENTS, SUBJECT, write_bundle
from benchmarks.decision import casbin_decision, cedar_decision
from benchmarks.measure import Call, Effort, Tick, compare

OURS = ("agentguard, in memory", "agentguard, durable")
# What each does of what a guard is for, in a few words; and what it leaves to others.
WHAT: dict[str, tuple[str, str]] = {
    OURS[0]: ("decides, proves who calls, counts, hash-chained record before the run, outcome after it", "the disk"),
    OURS[1]: ("the same, on the disk before the tool starts", ""),
    "cedarpy + a log line": ("decides; policies parsed once", "identity, order of steps, counts, approvals, outcomes"),
    "pycasbin + a log line": ("decides", "identity, order of steps, counts, approvals, outcomes"),
    "guardian-angel": (
        "decides on attributes that the caller states",
        "reading the arguments itself, records, identity, counts, outcomes",
    ),
    "ctrlrun": (
        "decides on the arguments, receipts and events on the disk, at most once for each effect",
        "order of steps; identity is the name in a context",
    ),
}


def strict(table: str, rows: int, ticket: str) -> str:
    """A tool that does nothing worth waiting for."""
    return table


def measure(effort: Effort, folder: Path, tick: Tick) -> dict[str, Any]:
    """Microseconds a call, bare and guarded by each; None for what is not installed."""
    tick("peers")
    policy = write_bundle(folder / "peers", 10)
    with (
        Guard.load(policy, ledger=memory_ledger(), home=folder / "home-peers") as memory,
        Guard.load(policy, home=folder / "home-peers-disk") as disk,
        (folder / "peers.log").open("w") as log,
        _ctrlrun(folder) as controlled,
    ):
        found: dict[str, Call | None] = {
            "bare": lambda: strict(**ARGUMENTS),
            OURS[0]: _ours(memory),
            OURS[1]: _ours(disk),
            "cedarpy + a log line": _logged(cedar_decision(10), log),
            "pycasbin + a log line": _logged(casbin_decision(10), log),
            "guardian-angel": _guardian_angel(folder),
            "ctrlrun": controlled,
        }
        times = compare({name: call for name, call in found.items() if call is not None}, effort)
    return {name: times.get(name) for name in found}


def _ours(guard: Guard) -> Call:
    context = contextvars.copy_context()
    context.run(guard.run("wf-5", inputs={"ticket": "EXP-7"}).__enter__)
    guarded = guard.wrap(strict)
    return lambda: context.run(lambda: guarded(**ARGUMENTS))


def _logged(decides: Callable[[], bool] | None, log: TextIO) -> Call | None:
    """What people write around a decision: ask, write a line, run."""
    if decides is None:
        return None

    def call() -> str:
        allowed = decides()
        log.write(json.dumps({"who": SUBJECT, "tool": "strict", "arguments": ARGUMENTS, "allowed": allowed}) + "\n")
        log.flush()
        if not allowed:
            raise RuntimeError("not allowed")
        return strict(**ARGUMENTS)

    return call


_ANGEL = """rules:
  - name: strict
    tool: strict
    decision: allow
    all:
      - {key: ticket, op: eq, value_from: input}
      - {key: rows, op: lte, value: 1000}
      - {key: table, op: eq, value: orders}
"""


def _guardian_angel(folder: Path) -> Call | None:
    try:
        from guardian_angel import DecisionStatus, GuardConfig, GuardContext, GuardianAngel
    except ImportError:
        return None
    (folder / "angel.yaml").write_text(_ANGEL)
    deny = GuardConfig(default_decision=DecisionStatus.DENY, on_evaluation_error=DecisionStatus.DENY)
    angel = GuardianAngel.from_yaml(str(folder / "angel.yaml"), config=deny)

    def call() -> str:
        said = GuardContext(tool="strict", attributes={**ARGUMENTS, "input": "EXP-7"})
        answer: str = angel.invoke(strict, guard_ctx=said, **ARGUMENTS)
        return answer

    return call


_CTRLRUN = """schema: ctrlrun.policy/v2
actions:
  strict:
    rules:
      - {when: {rows_gte: 1, rows_lte: 1000, table_in: [orders], ticket_in: [EXP-7]}, decision: allow}
      - {decision: deny}
"""


@contextmanager
def _ctrlrun(folder: Path) -> Iterator[Call | None]:
    try:
        import ctrlrun
    except ImportError:
        yield None
        return
    (folder / "ctrlrun.yaml").write_text(_CTRLRUN)
    control = ctrlrun.Control.from_file(str(folder / "ctrlrun.yaml"))
    protected = ctrlrun.protect("strict", control=control)(strict)
    with ctrlrun.context(agent="agent"):
        yield lambda: protected(**ARGUMENTS)
