"""``agentguard test``: do the workflows decide as their owners expect?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard import display
from agentguard.cli import common
from agentguard.cli.common import JsonOption
from agentguard.core.nearest import why
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
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The bundle, with *.cases.yaml beside its files, or a folder of such."),
    ],
    only: Annotated[str | None, typer.Option("--only", help="Only cases whose name or workflow holds this.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="The time where a case says none; else now.")] = None,
    mutate: Annotated[bool, typer.Option("--mutate", help="Change each rule, and name those no case notices.")] = False,
    least: Annotated[
        int, typer.Option("--min", min=0, max=100, metavar="PERCENT", help="So much --mutate must find noticed.")
    ] = 100,
    json: JsonOption = False,
) -> None:
    """Judge every case in DIR's *.cases.yaml by DIR's bundle. Nothing runs. Exit 1 if one fails, or if there is none.

    With --mutate each rule of a workflow is changed, one at a time: a condition dropped, a bound widened, a comparison
    turned. A change that no case notices is a rule that could be lost without anybody knowing.

    Example: agentguard test workflows/customer_export
    """
    from agentguard.cli import bundles

    now = common.now_utc()
    moment = now if at is None else common.moment(at, "--at", now)
    several = bundles.several(directory)
    told = [_tested(place, only, moment, mutate=mutate, least=least, json=json) for place in several or [directory]]
    good = all(entry["ok"] for entry in told)
    if json:
        common.print_json(told[0] if not several else {"ok": good, "bundles": told})
    elif several:
        cases = [case for entry in told for case in entry.get("cases", ())]
        bad = [str(entry["directory"]) for entry in told if not entry["ok"]]
        common.line(f"{len(told)} bundles: {sum(case['passed'] for case in cases)} of {len(cases)} cases as expected")
        for name in bad:
            common.line(f"not in order: {name}")
    if not good:
        raise typer.Exit(2 if any("problems" in entry for entry in told) else 1)


def _tested(
    directory: Path, only: str | None, now: datetime, *, mutate: bool, least: int, json: bool
) -> dict[str, Any]:
    """One bundle: its cases judged, and printed unless a program reads them."""
    from agentguard.cli import bundles

    try:
        with common.progress(f"loading {directory}") as on_file:
            usable, cases = bundles.load_with_cases(directory, on_file=on_file)
    except PolicyError as error:
        for problem in () if json else error.problems:
            print(f"agentguard: {display.plain(str(problem))}", file=sys.stderr)
        found = [{"file": p.file, "line": p.line, "message": p.message} for p in error.problems]
        return {"directory": str(directory), "ok": False, "problems": found}
    written = len(cases)
    if only is not None:
        cases = tuple(case for case in cases if only in case.name or only in case.workflow)
    report = []
    with common.progress("judging cases") as on_case:
        for case in cases:
            report.append(_judged(usable, case, now))
            if on_case is not None:
                on_case(len(report), len(cases))
    failed = sum(not entry["passed"] for entry in report)
    told: dict[str, Any] = {"directory": str(directory), "ok": bool(report) and not failed, "cases": report}
    if not json:
        _show(report, failed)
        if only is None and report:
            for line in _unreached(usable.bundle, report):
                common.line(line)
    if not report:
        remedy = f"write some in `{directory}` as NAME.cases.yaml"
        if written:
            remedy = f"none of {written} has `{only}` in its name or its workflow's"
        print(f"agentguard: there is no case to run; {display.plain(remedy)}", file=sys.stderr)
    if mutate and told["ok"]:
        from agentguard.cli.mutate import mutated

        told |= mutated(directory, cases, now, least=least, json=json)
    return told


def _judged(usable: UsableBundle, case: Case, now: datetime) -> dict[str, Any]:
    """One case as a program reads it."""
    from agentguard.guard.dry_run import evaluate

    told: dict[str, Any] = {"file": case.file, "line": case.line, "name": case.name, "workflow": case.workflow}
    try:
        result = evaluate(usable, case, now=now)
    except ConfigurationError as error:
        return {
            **told,
            "passed": False,
            "problems": [str(error)],
            "effect": None,
            "step": None,
            "findings": [],
            "why": [],
            "played": [],
        }
    return {
        **told,
        "passed": result.passed,
        "problems": list(result.problems),
        "played": sorted(result.played),
        **outcome(result),
    }


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
        "why": list(why(decision)),
    }


def _unreached(bundle: Bundle, report: list[dict[str, Any]]) -> Iterator[str]:
    """Steps under which no case was permitted or put to a person: their mistakes would not be noticed."""
    reached: dict[str, set[str]] = {}
    for entry in report:
        reached.setdefault(entry["workflow"], set()).update([entry["step"] or "", *entry["played"]])
    for name, workflow in sorted(bundle.policy.workflows.items()):
        brought, done = bundle.full[name].brought, reached.get(name, set())
        own = [step.name for step in workflow.steps if step.name not in done and step.name not in brought]
        yield from _missed(own, f"`{name}`")
    shared: dict[str, dict[str, bool]] = {}
    for name, full in bundle.full.items():
        for step, origin in full.brought.items():
            known = shared.setdefault(origin, {})
            known[step] = known.get(step, False) or step in reached.get(name, set())
    for origin, steps in sorted(shared.items()):
        yield from _missed([step for step, hit in steps.items() if not hit], f"the shared `{origin}`")


def _missed(steps: list[str], of: str) -> Iterator[str]:
    if steps:
        yield f"note: no case reaches step{'s' if len(steps) > 1 else ''} {', '.join(f'`{s}`' for s in steps)} of {of}"


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
            for line in entry["why"]:
                common.line(f"    {line}")
    common.line(f"{len(report) - failed} of {len(report)} as expected")
