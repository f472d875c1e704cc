"""``agentguard test``: do the workflows decide as their owners expect?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard import display
from agentguard.cli import common
from agentguard.cli.common import JsonOption
from agentguard.errors import ConfigurationError, PolicyError

if TYPE_CHECKING:
    from datetime import datetime

    from agentguard.guard.dry_run import CaseResult
    from agentguard.guard.in_force import UsableBundle
    from agentguard.policy import Bundle
    from agentguard.policy.cases import Case

app = common.new_app("Run the decision cases that stand beside the workflows.", group=False)


@app.command()
def test(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle, with *.cases.yaml beside its files.")],
    only: Annotated[str | None, typer.Option("--only", help="Only cases whose name or workflow holds this.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="The time where a case says none; else now.")] = None,
    json: JsonOption = False,
) -> None:
    """Judge every case in DIR's *.cases.yaml by DIR's bundle. Nothing runs. Exit 1 if one fails, or if there is none.

    Example: agentguard test workflows/customer_export
    """
    from agentguard.cli import bundles

    now = common.now_utc()
    moment = now if at is None else common.moment(at, "--at", now)
    try:
        with common.progress(f"loading {directory}") as on_file:
            usable, cases = bundles.load_with_cases(directory, on_file=on_file)
    except PolicyError as error:
        if not json:
            raise
        found = [{"file": p.file, "line": p.line, "message": p.message} for p in error.problems]
        common.print_json({"ok": False, "problems": found})
        raise typer.Exit(2) from None
    written = len(cases)
    if only is not None:
        cases = tuple(case for case in cases if only in case.name or only in case.workflow)
    report = []
    with common.progress("judging cases") as on_case:
        for case in cases:
            report.append(_judged(usable, case, moment))
            if on_case is not None:
                on_case(len(report), len(cases))
    failed = sum(not entry["passed"] for entry in report)
    if json:
        common.print_json({"ok": bool(report) and not failed, "cases": report})
    else:
        _show(report, failed)
        if only is None and report:
            for workflow, step in _unreached(usable.bundle, report):
                common.line(f"note: no case reaches step `{step}` of `{workflow}`")
    if not report:
        remedy = f"write some in `{directory}` as NAME.cases.yaml"
        if written:
            remedy = f"none of {written} has `{only}` in its name or its workflow's"
        print(f"agentguard: there is no case to run; {display.plain(remedy)}", file=sys.stderr)
    raise typer.Exit(0 if report and not failed else 1)


def _judged(usable: UsableBundle, case: Case, now: datetime) -> dict[str, Any]:
    """One case as a program reads it."""
    from agentguard.guard.dry_run import evaluate

    told: dict[str, Any] = {"file": case.file, "line": case.line, "name": case.name, "workflow": case.workflow}
    try:
        result = evaluate(usable, case, now=now)
    except ConfigurationError as error:
        return {**told, "passed": False, "problems": [str(error)], "effect": None, "step": None, "findings": []}
    return {**told, "passed": result.passed, "problems": list(result.problems), **outcome(result)}


def outcome(result: CaseResult) -> dict[str, Any]:
    """A decision in the words of a record."""
    decision = result.decision
    return {
        "effect": str(decision.effect),
        "step": None if decision.step is None else decision.step.name,
        "reasons": [str(reason) for reason in decision.reasons],
        "findings": [
            {"effect": str(f.effect), "reason": str(f.reason), "step": f.step, "detail": f.detail}
            for f in decision.findings
        ],
    }


def _unreached(bundle: Bundle, report: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Steps under which no case was permitted or put to a person: their mistakes would not be noticed."""
    reached = {(entry["workflow"], entry["step"]) for entry in report}
    steps = {(name, step.name) for name, workflow in bundle.policy.workflows.items() for step in workflow.steps}
    return sorted(steps - reached)


def _show(report: list[dict[str, Any]], failed: int) -> None:
    if report:
        common.table(
            ("", "WORKFLOW", "CASE", "DECISION", "STEP"),
            (
                ("ok" if e["passed"] else "FAILED", e["workflow"], e["name"], e["effect"] or "-", e["step"] or "-")
                for e in report
            ),
        )
    for entry in report:
        if not entry["passed"]:
            common.line(f"{entry['file']}:{entry['line']}: {entry['name']}: {'; '.join(entry['problems'])}")
            for finding in entry["findings"]:
                under = f" (step {finding['step']})" if finding["step"] else ""
                common.line(f"    {finding['effect']} {finding['reason']}{under}: {finding['detail']}")
    common.line(f"{len(report) - failed} of {len(report)} as expected")
