"""Runs out of the records of a ledger: first which there are, then those that are looked at, each by itself.

What is held is as much as is looked at, however long the ledger is.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from agentguard.core.values import Json
from agentguard.evidence.sample import Sample
from agentguard.evidence.traffic import PastCall, PastRun, Ran
from agentguard.ledger import RecordFilter

if TYPE_CHECKING:
    from agentguard.guard import Operations

# A record, and what was kept beside it.
Kept: TypeAlias = "tuple[Mapping[str, Any], Mapping[str, Json]]"
Progress: TypeAlias = "Callable[[int, int], None] | None"
_TELL_EVERY = 1_000


def past_runs(
    operations: Operations, workflow: str, since: datetime | None, most: int, on_record: Progress = None
) -> tuple[list[PastRun], int]:
    """The runs of a workflow that began since then, ``most`` of them at most, chosen evenly; and how many were not
    looked at. A run whose beginning is not on record is passed over. ``on_record`` hears (done, in all)."""
    chosen: Sample[dict[str, Any]] = Sample(most)
    last = next((data["seq"] for data in operations.records(limit=1, newest=True)), 0)
    began = 0
    trees: dict[str, list[str]] = {}  # of the runs that delegated, those below them: they are no runs of their own
    roots: dict[str, str] = {}
    for number, data in enumerate(operations.records(RecordFilter(kind="run", since=since))):
        if on_record is not None and number % _TELL_EVERY == 0:
            on_record(data["seq"], last)
        above = data.get("parent_run")
        if data.get("outcome") == "started" and above is not None:
            root = roots[str(data.get("run_id"))] = roots.get(above, above)
            trees.setdefault(root, []).append(str(data.get("run_id")))
        elif data.get("outcome") == "started" and data.get("workflow") == workflow:
            began += 1
            chosen.add(str(data.get("run_id")), data)
    found = chosen.runs()
    runs: list[PastRun] = []
    for number, data in enumerate(found):
        if on_record is not None:
            on_record(number, len(found))
        run = _past_run(operations, data, trees.get(str(data.get("run_id")), ()))
        if run.calls:
            runs.append(run)
    return runs, began - len(found)


def _past_run(operations: Operations, began: Mapping[str, Any], below: Sequence[str] = ()) -> PastRun:
    """One run with its calls, and those of the runs ``below`` it. ``began``: the record that it begins with."""
    run = PastRun(str(began.get("run_id")), str(began.get("workflow")))
    _begin(run, began, operations.private(began["seq"]))
    calls: dict[str, PastCall] = {}
    each = [operations.records(RecordFilter(run_id=one), after=began["seq"]) for one in (run.id, *below)]
    for data in heapq.merge(*each, key=_seq):
        decision = str(data.get("decision_id"))
        if data.get("kind") == "decision":
            call = calls[decision] = past_call(data)
            run.calls.append(call)
            run.subject = run.subject or data.get("subject")
        elif data.get("kind") == "outcome" and decision in calls:
            calls.pop(decision).ran = _ran(data)
    return run


def _seq(data: Mapping[str, Any]) -> int:
    return int(data["seq"])


def _begin(run: PastRun, data: Mapping[str, Any], private: Mapping[str, Json]) -> None:
    run.subject, run.requester = data.get("subject"), data.get("requester")
    run.started = time_of(data)
    inputs = private.get("inputs", {} if "inputs" not in data.get("commitments", {}) else None)
    run.inputs = inputs if isinstance(inputs, dict) else None


def past_call(data: Mapping[str, Any]) -> PastCall:
    """The call that a decision's record is about."""
    arguments = data.get("arguments")
    pointers = [*(data.get("redacted") or ()), *(data.get("personal") or ())]
    seen = data.get("seen_in")
    runs = data.get("effect") == "permit" or data.get("enforced") is False
    return PastCall(
        tool=str(data.get("tool")),
        arguments=arguments if isinstance(arguments, dict) else {},
        ran=Ran.UNKNOWN if runs else Ran.NOT_RUN,
        at=time_of(data),
        hidden=frozenset(_first(pointer) for pointer in pointers),
        seen_in={name: tuple(paths) for name, paths in seen.items()} if isinstance(seen, dict) else None,
        record=data,
    )


def _first(pointer: str) -> str:
    return pointer.split("/")[1].replace("~1", "/").replace("~0", "~") if pointer.startswith("/") else ""


def _ran(data: Mapping[str, Any]) -> Ran:
    found = data.get("outcome")
    return Ran(found) if found in (Ran.SUCCEEDED, Ran.FAILED) else Ran.UNKNOWN


def time_of(data: Mapping[str, Any]) -> datetime | None:
    """When a record was written."""
    try:
        return datetime.fromisoformat(str(data.get("time")))
    except ValueError:
        return None
