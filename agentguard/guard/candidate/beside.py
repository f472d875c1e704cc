"""Hears each decision, and lets the candidate judge the call on a thread of its own.

The rules:

1. The live call hands over what it has decided by, and goes on: it waits for nothing, and nothing raises into it.
2. A candidate that is slow, stuck or broken loses verdicts, and nothing else. How many were lost is recorded.
3. Each verdict is a record of its own (``candidate``), beside the live decision and after it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from agentguard.core.credentials import cleaned
from agentguard.core.decision import Decision
from agentguard.core.facts import RunState
from agentguard.core.values import Json
from agentguard.guard.call.judge import Judged
from agentguard.guard.call.plan import GuardedTool
from agentguard.guard.call.prepare import Call
from agentguard.guard.candidate.verdict import Candidate, Heard
from agentguard.guard.in_force import UsableBundle
from agentguard.guard.records import RecordData, record
from agentguard.ledger import Admission, LogLedger, Promise
from agentguard.policy import Bundle

# Calls that wait for their verdict, each with its arguments. Past it verdicts are lost.
MOST_WAITING = 256
# Verdicts are written with whatever the ledger writes next; so long after the last one, by themselves.
IDLE_SECONDS = 0.05
# What a stuck candidate may hold a program up for, when it ends.
SHUT_SECONDS = 5.0

JUDGED, UNKNOWN, FAILED, LOST = "judged", "cannot be judged", "failed", "lost"
_log = logging.getLogger("agentguard")


class Beside:
    """One candidate beside one guard."""

    def __init__(self, usable: UsableBundle, ledger: LogLedger, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._candidate = Candidate(usable, clock)
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._waiting: queue.Queue[Heard | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._lost = 0
        self._lost_at: datetime | None = None
        self._shut = False

    @property
    def bundle(self) -> Bundle:
        """The bundle that is tried out."""
        return self._candidate.bundle

    def take(self, usable: UsableBundle) -> None:
        """Try this bundle out from now on."""
        self._candidate = Candidate(usable, self._clock)

    def hear(
        self, live: Bundle, gate: GuardedTool, judged: Judged, admission: Admission, after: RunState | None, fresh: bool
    ) -> None:
        """A call was decided. Never waits, and never raises. ``after``: its run then; ``fresh``: whether the run that
        it was decided by is as the ledger had it, other runs' spending included."""
        try:
            self._run()
            spent = _spent(live, judged, admission, after, fresh=fresh)
            self._waiting.put_nowait(Heard(live, gate, judged, admission.decision_id, admission.at, spent))
        except Exception:  # full, or no thread to be had: a verdict is lost, and the call is not
            with self._lock:
                self._lost, self._lost_at = self._lost + 1, admission.at

    def shut(self) -> None:
        """Judge what still waits, for so long as may be waited. Idempotent."""
        thread = self._thread
        if self._shut or self._pid != os.getpid():
            self._shut = True
            return
        self._shut = True
        if thread is None:  # nothing was heard, or no thread was to be had
            _see_written(self._losses())
            return
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=SHUT_SECONDS)
        if thread is threading.current_thread():  # the guard's last user let go of it here
            return
        thread.join(SHUT_SECONDS)
        if thread.is_alive():
            _log.warning("the candidate is stuck; %d calls have no verdict of it", self._waiting.qsize() + 1)

    def _run(self) -> None:
        if self._thread is not None and self._pid == os.getpid():
            return
        with self._lock:
            if self._pid != os.getpid():  # a child process has none of its parent's threads
                self._begin()
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="agentguard-candidate", daemon=True)
                thread.start()
                self._thread = thread  # once it runs: where there is none to be had, the next call tries again

    def _work(self) -> None:
        asked: list[Promise[int]] = []
        while True:
            try:
                heard = self._waiting.get(timeout=IDLE_SECONDS if asked else None)
            except queue.Empty:
                _see_written(asked)
                continue
            try:
                if heard is not None:
                    asked.append(self._ledger.append(self._verdict(heard)))
                asked += self._losses()
            except BaseException as error:  # the machine is out of something
                _say_unwritten(error)
            if heard is None or len(asked) >= MOST_WAITING:
                _see_written(asked)
            if heard is None:
                return

    def _losses(self) -> list[Promise[int]]:
        """Record how many verdicts were lost, if any were."""
        with self._lock:
            lost, at = self._lost, self._lost_at
            self._lost, self._lost_at = 0, None
        if at is None:
            return []
        why = f"{lost} calls were not judged: too many at once, or no thread to judge them on"
        return [self._ledger.append(_record(at, LOST, self.bundle, why=why))]

    def _verdict(self, heard: Heard) -> RecordData:
        candidate = self._candidate  # looked at once: whatever takes its place meanwhile has not said this
        try:
            said = candidate.judge(heard)
            verdict = _told(said.decision, said.call, heard)
            verdict["effect"] = None if said.effect is None else str(said.effect)
            verdict["lacks"] = [*said.lacks]
            word = JUDGED if said.effect is not None else UNKNOWN
            return _record(heard.at, word, candidate.bundle, heard, verdict=verdict)
        except BaseException as error:  # whatever a bundle makes of a call
            why = f"the candidate raised {type(error).__name__}"
            return _record(heard.at, FAILED, candidate.bundle, heard, why=why)


def _record(
    at: datetime,
    outcome: str,
    candidate: Bundle,
    heard: Heard | None = None,
    *,
    verdict: dict[str, Json] | None = None,
    why: str | None = None,
) -> RecordData:
    """A record at the time of the decision: of a clock that nobody believes, the ledger must learn nothing."""
    about: dict[str, Any] = {}
    live: Json = None
    if heard is not None:
        request = heard.judged.call.request
        about = {
            "decision_id": heard.decision_id, "policy_revision": heard.live.revision, "tool": heard.gate.tool,
            "workflow": request.workflow or None, "run_id": request.run_id or None,
            "request_digest": request.digest,
        }  # fmt: skip
        live = _told(heard.judged.decision, heard.judged.call, heard)
    data = record("candidate", at, outcome=outcome, why=why, **about)
    data["candidate"] = {"revision": candidate.revision, "verdict": verdict, "live": live}
    return data


def _see_written(asked: list[Promise[int]]) -> None:
    """Wait until these records are written, and forget them."""
    while asked:
        try:
            asked.pop().result()
        except BaseException as error:  # the ledger is gone
            _say_unwritten(error)


def _say_unwritten(error: BaseException) -> None:
    _log.warning("a verdict of the candidate could not be recorded: %s", type(error).__name__)


def _told(decision: Decision, call: Call, heard: Heard) -> dict[str, Json]:
    """A decision as a record holds it: what either bundle hides of the call is hidden."""
    hidden = heard.judged.call.told.unsaid
    return {
        "effect": str(decision.effect),
        "step": None if decision.step is None else decision.step.name,
        "reasons": [str(reason) for reason in decision.reasons],
        "findings": [
            {
                "effect": str(found.effect), "reason": str(found.reason), "step": found.step,
                "detail": cleaned(hidden(call.told.unsaid(found.detail))),
            }
            for found in decision.findings
        ],
    }  # fmt: skip


def _spent(
    live: Bundle, judged: Judged, admission: Admission, after: RunState | None, *, fresh: bool
) -> dict[str, int]:
    """What the run's budgets held before this call. Those with a window may have been spent by others since the run
    was last seen; what this call took of one tells what it held."""
    run = judged.facts.run
    if not isinstance(run, RunState):
        return {}
    spent = dict(run.spent)
    known = live.policy.workflows.get(run.workflow)
    for budget in () if known is None else known.budgets:
        if budget.per is None:
            spent.setdefault(budget.name, 0)
            continue
        if fresh:
            spent.setdefault(budget.name, 0)
            continue
        spent.pop(budget.name, None)
        taken = sum(charge.amount for charge in admission.charges if charge.budget == budget.name)
        if after is not None and any(charge.budget == budget.name for charge in admission.charges):
            spent[budget.name] = max(0, after.spent.get(budget.name, 0) - taken)
    return spent
