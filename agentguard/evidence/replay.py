"""Recorded calls decided anew under a bundle: which would now be permitted, denied, asked, or can no longer be judged.

One pass over the log, in order. What a run was given, kept and saw lies beside the records until it is erased; nothing
is guessed in its place. Who called, how it was proved, how far the run was trusted and who agreed are as they were
recorded: a bundle does not change them. So a call that was refused because of them stays refused.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agentguard.core.growing import Growth
from agentguard.core.reasons import Reason
from agentguard.core.values import Assurance, Effect, Json, Risk
from agentguard.errors import ConfigurationError
from agentguard.evidence.past import Facts, Judge, Progress, Verdict
from agentguard.evidence.records import Kept, past_call, time_of
from agentguard.evidence.traffic import PastCall, Ran
from agentguard.guard.in_force import UsableBundle
from agentguard.ledger import earlier_of, read_brought, read_growth

# Runs under way at once, each with what it kept; past it the one that was quiet for longest is forgotten.
MOST_RUNS = 20_000
SAME, PERMITTED, ASKED, DENIED, UNJUDGED = "same", "permitted", "asked", "denied", "unjudged"
_NOW: Mapping[Effect, str] = {Effect.PERMIT: PERMITTED, Effect.ESCALATE: ASKED, Effect.DENY: DENIED}
# What was wrong then, and is not the bundle's to say.
_STANDING = frozenset({
    Reason.CONFLICT, Reason.CLOCK_UNAVAILABLE, Reason.CLOCK_UNTRUSTED, Reason.INTERNAL_ERROR, Reason.NO_RUN,
    Reason.RUN_UNAVAILABLE, Reason.RUN_ENDED, Reason.RUN_STOPPED, Reason.OBSERVING_OVER, Reason.WORKFLOW_CHANGED,
    Reason.RUN_EXPIRED, Reason.RUN_IDLE, Reason.STEP_NOT_DELEGATED,
    Reason.IDENTITY_UNAVAILABLE, Reason.IDENTITY_STALE, Reason.IDENTITY_NOT_YET_VALID, Reason.IDENTITY_EXPIRED,
    Reason.IDENTITY_NOT_BOUND, Reason.IDENTITY_OUTDATED, Reason.SUBJECT_CHANGED, Reason.SUBJECT_SUSPENDED,
    Reason.ASSERTION_REPLAYED, Reason.CREDENTIAL_REVOKED, Reason.SIGNALS_UNAVAILABLE, Reason.APPROVAL_REFUSED,
    Reason.ARGUMENTS_TOO_LARGE,
})  # fmt: skip
FORGOTTEN = "how its run began"


_ENDS = ("ended", "stop_run", "sweep_gone", "sweep_left", "sweep_open", "sweep_over")


@dataclass(slots=True)
class Change:
    """Calls that would go the same other way for the same reason, with one of them."""

    kind: str
    workflow: str
    tool: str
    before: str
    reasons: tuple[str, ...]
    example: str
    calls: int = 0


@dataclass(slots=True)
class Replayed:
    """What came of it. ``counts``: calls by how they would go."""

    counts: Counter[str] = field(default_factory=Counter)
    changes: dict[tuple[str, ...], Change] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None

    @property
    def changed(self) -> int:
        """How many would be decided in another way."""
        return self.counts[PERMITTED] + self.counts[ASKED] + self.counts[DENIED]

    def by_kind(self) -> list[Change]:
        """The changes, the most dangerous first, and of each kind the most frequent first."""
        order = {PERMITTED: 0, ASKED: 1, DENIED: 2, UNJUDGED: 3}
        return sorted(self.changes.values(), key=lambda c: (order[c.kind], -c.calls, c.workflow, c.tool, c.reasons))


@dataclass(slots=True)
class _Run:
    workflow: str
    progress: Progress | None
    open: dict[str, tuple[PastCall, Verdict, Facts]] = field(default_factory=dict)


class Replay:
    """Decides what a history holds. ``since``: earlier calls are played, and not counted. ``only``: one workflow."""

    def __init__(self, usable: UsableBundle, *, since: datetime | None = None, only: str | None = None) -> None:
        self._usable = usable
        self._since = since
        self._only = only
        self._judges: dict[str, Judge | None] = {}
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        # Of a run that another one delegated: the first of its tree, in which it counts.
        self._roots: OrderedDict[str, str] = OrderedDict()
        self.found = Replayed()

    def all(self, history: Iterable[Kept]) -> Replayed:
        """Play a whole history."""
        for data, private in history:
            kind = data.get("kind")
            if kind == "decision":
                self._decision(data)
            elif kind == "outcome":
                self._outcome(data, private)
            elif kind in ("run", "operation"):
                self._run(data, private)
        return self.found

    def _judge(self, workflow: str) -> Judge | None:
        if workflow not in self._judges:
            try:
                self._judges[workflow] = Judge(self._usable, workflow)
            except ConfigurationError:
                self._judges[workflow] = None
        return self._judges[workflow]

    def _run(self, data: Mapping[str, Any], private: Mapping[str, Json]) -> None:
        run_id, outcome = str(data.get("run_id")), data.get("outcome")
        if outcome == "started" and data.get("parent_run") is not None:
            self._roots[run_id] = self._roots.get(str(data["parent_run"]), str(data["parent_run"]))
            if len(self._roots) > MOST_RUNS:
                self._roots.popitem(last=False)
        elif outcome == "started":
            judge = self._judge(str(data.get("workflow")))
            known = private.get("inputs")
            gone = known is None and "inputs" in (data.get("commitments") or {})
            inputs = None if gone else known if isinstance(known, dict) else {}
            progress = None if judge is None else judge.begin(inputs, data.get("subject"), data.get("requester"))
            earlier = _goes_on_from(data)
            if judge is not None and progress is not None and earlier is not None:
                known_of_it = self._runs.get(earlier)
                if not judge.go_on(progress, None if known_of_it is None else known_of_it.progress):
                    progress = None
            self._runs[run_id] = _Run(str(data.get("workflow")), progress)
            if len(self._runs) > MOST_RUNS:
                self._runs.popitem(last=False)
        elif outcome in _ENDS and data.get("run_key") is None:  # another run of its key may go on counting
            self._runs.pop(run_id, None)

    def _root(self, data: Mapping[str, Any]) -> str:
        """The run in which it counts what happened: the first of its tree."""
        run_id = str(data.get("run_id"))
        return self._roots.get(run_id, run_id)

    def _decision(self, data: Mapping[str, Any]) -> None:
        workflow, root = str(data.get("workflow")), self._root(data)
        run = self._runs.get(root)
        if self._only is not None and workflow != self._only:
            return
        call = past_call(data)
        facts = _facts(data)
        verdict = self._verdict(data, workflow, run, call, facts)
        if self._since is None or (call.at is not None and call.at >= self._since):
            self._count(data, workflow, verdict)
        if run is not None and run.progress is not None and call.ran is not Ran.NOT_RUN:
            self._runs.move_to_end(root)
            run.open[str(data.get("decision_id"))] = (call, verdict, facts)

    def _verdict(
        self, data: Mapping[str, Any], workflow: str, run: _Run | None, call: PastCall, facts: Facts
    ) -> Verdict:
        reasons = [reason for reason in data.get("reasons") or () if reason in tuple(Reason)]
        if data.get("effect") == "deny" and not _STANDING.isdisjoint(map(Reason, reasons)):
            return Verdict(Effect.DENY, None, tuple(reasons))
        if workflow == "None" or self._judge(workflow) is None:
            return Verdict(Effect.DENY, None, (str(Reason.WORKFLOW_UNKNOWN),))
        if run is None or run.progress is None:
            return Verdict(None, None, (), FORGOTTEN)
        judge = self._judge(workflow)
        assert judge is not None  # noqa: S101  looked at above
        return judge.decide(run.progress, call, facts)

    def _outcome(self, data: Mapping[str, Any], private: Mapping[str, Json]) -> None:
        run = self._runs.get(self._root(data))
        known = None if run is None else run.open.pop(str(data.get("decision_id")), None)
        if run is None or run.progress is None or known is None:
            return
        call, verdict, facts = known
        outcome = data.get("outcome")
        call.ran = Ran(outcome) if outcome in (Ran.SUCCEEDED, Ran.FAILED) else Ran.UNKNOWN
        facts.kept_names = [name for name in data.get("kept") or () if isinstance(name, str)]
        held, grown = private.get("kept"), private.get("grown")
        gone = facts.kept_names and not isinstance(held, dict) and not isinstance(grown, list)
        facts.kept = None if gone else held if isinstance(held, dict) else {}
        facts.grown = tuple(map(read_growth, grown)) if isinstance(grown, list) else ()
        facts.brought = read_brought(private["brought"]) if private.get("brought") is not None else None
        judge = self._judge(run.workflow)
        if judge is not None:
            judge.happened(run.progress, call, verdict, facts)

    def _count(self, data: Mapping[str, Any], workflow: str, verdict: Verdict) -> None:
        before = str(data.get("effect"))
        at = time_of(data)
        self.found.first = self.found.first or at
        self.found.last = at or self.found.last
        kind = UNJUDGED if verdict.effect is None else SAME if str(verdict.effect) == before else _NOW[verdict.effect]
        self.found.counts[kind] += 1
        if kind == SAME:
            return
        why = (verdict.unknown,) if verdict.effect is None else verdict.reasons
        tool = str(data.get("tool"))
        key = (kind, workflow, tool, before, *why)
        change = self.found.changes.get(key)
        if change is None:
            change = Change(kind, workflow, tool, before, why, str(data.get("decision_id")))
            self.found.changes[key] = change
        change.calls += 1


def _goes_on_from(data: Mapping[str, Any]) -> str | None:
    """The earlier run of its key that a run goes on counting from, as the record of its beginning says."""
    for change in data.get("changes") or ():
        if change[0] == "start":
            earlier = earlier_of(change)
            return None if earlier is None else str(earlier)
    return None


def _facts(data: Mapping[str, Any]) -> Facts:
    assurance, risk = data.get("assurance"), data.get("risk")
    return Facts(
        subject=data.get("subject"),
        assurance=Assurance.parse(assurance) if assurance in Assurance.words() else None,
        risk=Risk.parse(risk) if risk in Risk.words() else Risk.LOW,
        approved_by=tuple(person for person in data.get("approved_by") or () if isinstance(person, str)),
        grown=list[Growth](),
    )
