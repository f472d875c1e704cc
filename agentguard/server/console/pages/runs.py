"""Runs: what is under way, where each stands in its workflow, and the hand that stops one or suspends its workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from agentguard import display
from agentguard.approvals.view import moment
from agentguard.core.credentials import cleaned
from agentguard.core.facts import RunState, RunStatus
from agentguard.core.policy import MICROS, Workflow
from agentguard.ledger import RecordFilter
from agentguard.server.console import html
from agentguard.server.console.desk import NOT_HERE, Desk, Problem, Visit, to
from agentguard.server.console.html import ago
from agentguard.server.console.pages import records
from agentguard.server.console.picture import picture

_PAGE = 50
# Of one run, its newest records; a link leads to all of them.
_RECORDS = 30
# More inputs and budgets than a workflow has.
_MOST = 200


def runs(desk: Desk, visit: Visit) -> Response:
    """Runs, newest first."""
    status = visit.query.get("status", "")
    wanted = status if status in {str(word) for word in RunStatus} else None
    before = visit.query.get("before")
    found = desk.operations.runs(status=wanted, before=before, limit=_PAGE)
    where = desk.operations.whereabouts(found)
    lines = [_line(desk, run, where) for run in found]
    last = found[-1].id if len(found) == _PAGE else None
    return desk.page("runs.html", visit, runs=lines, which=wanted or "", before=before, last=last)


def show(desk: Desk, visit: Visit) -> Response:
    """One run: its picture, what it was given and has used, what it asked, what it did."""
    run = _find(desk, visit)
    asked = desk.operations.approvals(run_id=run.id, limit=_PAGE)
    workflow = _workflow(desk, run)
    waiting = {row.request.step for row in asked}
    found = desk.operations.records(RecordFilter(run_id=run.id), limit=_RECORDS, newest=True)
    return desk.page(
        "run.html", visit,
        run=_whole(desk, run),
        picture=None if workflow is None else picture(workflow, run, waiting),
        changed=workflow is not None and workflow.digest != run.workflow_digest,
        has_bundle=desk.bundle() is not None,
        asked=[{"id": row.request.id, "tool": row.request.tool, "step": row.request.step} for row in asked],
        records=[records.line(data) for data in reversed(list(found))],
        inputs=_leaves(dict(run.inputs)),
    )  # fmt: skip


def stop(desk: Desk, visit: Visit) -> Response:
    """Stop one run."""
    run = _find(desk, visit)
    desk.operations.stop_run(run.id, by=visit.person, why=reason_of(visit))
    return to(f"/runs/{html.segment(run.id)}")


def subject(desk: Desk, visit: Visit) -> Response:
    """One workload: its runs, and whether it is suspended."""
    name = visit.query.get("name", "")
    found = desk.operations.runs(subject=name, limit=_PAGE) if name else []
    if not found:
        raise NOT_HERE
    where = desk.operations.whereabouts(found)
    lines = [_line(desk, run, where) for run in found]
    return desk.page("subject.html", visit, name=name, runs=lines, suspended=found[0].subject_suspended)


def suspend(desk: Desk, visit: Visit) -> Response:
    """Refuse every call of a workload, in every run."""
    return _suspend(desk, visit, suspended=True)


def restore(desk: Desk, visit: Visit) -> Response:
    """Accept a workload again."""
    return _suspend(desk, visit, suspended=False)


def _suspend(desk: Desk, visit: Visit, *, suspended: bool) -> Response:
    name = visit.form.get("subject", "")
    desk.operations.suspend_subject(name, by=visit.person, why=reason_of(visit), suspended=suspended)
    return to(f"/subjects?name={html.segment(name)}")


def reason_of(visit: Visit) -> str:
    """Why somebody does this: they say it, and it stands in the record. Raises Problem where they say nothing."""
    why = visit.form.get("why", "").strip()
    if not why:
        raise Problem(400, "Say why", "Nothing was done. A reason stands in the record; go back and write one.")
    return why


def _find(desk: Desk, visit: Visit) -> RunState:
    run = desk.operations.run(visit.path["id"])
    if run is None:
        raise NOT_HERE
    return run


def _workflow(desk: Desk, run: RunState) -> Workflow | None:
    bundle = desk.bundle()
    return None if bundle is None else bundle.policy.workflows.get(run.workflow)


def _line(desk: Desk, run: RunState, where: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "id": run.id,
        "workflow": run.workflow,
        "subject": run.subject,
        "requester": run.requester,
        "key": run.key,
        "status": str(run.status),
        "where": str(where.get(run.id, "")),
        "risk": run.risk.word,
        "observed": run.observed is not None,
        "suspended": run.subject_suspended,
        "since": ago(desk.now() - run.started_at),
        "calls": sum(run.counts.values()),
    }


def _whole(desk: Desk, run: RunState) -> Mapping[str, Any]:
    where = desk.operations.whereabouts([run])
    return {
        **_line(desk, run, where),
        "active": run.status is RunStatus.ACTIVE,
        "started_at": moment(run.started_at),
        "kept": sorted(run.kept),
        "counts": sorted((name or "(no step)", calls) for name, calls in run.counts.items()),
        "spent": sorted((name, _amount(micros)) for name, micros in run.spent.items()),
        "unsettled": sorted(run.unsettled),
        "high_water": None if run.high_water is None else run.high_water.word,
        "parent": None if run.family is None else run.family.parent,
        "children": [] if run.family is None else list(run.family.children),
    }


def _amount(micros: int) -> str:
    whole, rest = divmod(micros, MICROS)
    return str(whole) if not rest else f"{whole}.{rest:06d}".rstrip("0")


def _leaves(inputs: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
    clean = cleaned(inputs)
    return (
        [html.leaf(where, leaf, display.MAX_SHOWN) for where, leaf in list(display.each_leaf(clean))[:_MOST]]
        if inputs
        else []
    )
