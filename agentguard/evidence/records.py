"""Runs out of the records of a ledger, in one pass: as much is held as there are runs under way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from agentguard.core.values import Json
from agentguard.evidence.traffic import PastCall, PastRun, Ran

# A record, and what was kept beside it.
Kept: TypeAlias = "tuple[Mapping[str, Any], Mapping[str, Json]]"

# Runs that nobody ended. Past it the one that was quiet for longest is taken as it is.
MOST_OPEN = 20_000
_ENDS = frozenset({"ended", "stop_run", "sweep_gone", "sweep_left"})


def runs_of(history: Iterable[Kept], wanted: Callable[[Mapping[str, Any]], bool] = lambda _: True) -> Iterator[PastRun]:
    """Every run with its calls, when it has ended, and at last those that have not. ``wanted`` is asked of the record
    that a run begins with; a run whose beginning is not on record is passed over."""
    open_: OrderedDict[str, tuple[PastRun, dict[str, PastCall]]] = OrderedDict()
    for data, private in history:
        run_id, kind = data.get("run_id"), data.get("kind")
        if not isinstance(run_id, str) or kind not in ("run", "decision", "outcome", "operation"):
            continue
        begins = kind == "run" and data.get("outcome") == "started"
        known = open_.get(run_id)
        if known is None:
            if not begins or not wanted(data):
                continue
            known = open_[run_id] = (PastRun(run_id, str(data.get("workflow"))), {})
            if len(open_) > MOST_OPEN:
                yield open_.popitem(last=False)[1][0]
        open_.move_to_end(run_id)
        run, calls = known
        if begins:
            _begin(run, data, private)
        elif kind == "decision":
            call = past_call(data)
            run.calls.append(call)
            calls[str(data.get("decision_id"))] = call
            run.subject = run.subject or data.get("subject")
        elif kind == "outcome":
            ended = calls.pop(str(data.get("decision_id")), None)
            if ended is not None:
                ended.ran = _ran(data)
        elif data.get("outcome") in _ENDS:
            del open_[run_id]
            yield run
    for run, _ in open_.values():
        yield run


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
