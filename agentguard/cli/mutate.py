"""``agentguard test --mutate``: which rule of a workflow could be lost without a decision case that notices?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentguard.cli import common
from agentguard.errors import ConfigurationError, PolicyError

if TYPE_CHECKING:
    from agentguard.guard.in_force import UsableBundle
    from agentguard.policy.cases import Case
    from agentguard.policy.mutants import Mutant, Mutants


def mutated(directory: Path, cases: Sequence[Case], now: datetime, *, least: int, json: bool) -> dict[str, Any]:
    """Judge the cases under every change of a rule, and print the changes that none of them notices."""
    from agentguard.policy.mutants import Mutants

    mutants = Mutants(directory)
    changes = mutants.all()
    report: list[dict[str, Any]] = []
    with common.progress(f"changing rules of {directory}") as on_change:
        for done, change in enumerate(changes, 1):
            told = _judged(mutants, change, cases, now)
            if told is not None:
                report.append(told)
            if on_change is not None:
                on_change(done, len(changes))
    noticed = sum(entry["noticed_by"] is not None for entry in report)
    percent = noticed * 100 // len(report) if report else 100
    if not json:
        for entry in report:
            if entry["noticed_by"] is None:
                common.line(f"{entry['file']}:{entry['line']}: {entry['change']}: no case notices")
        common.line(f"{noticed} of {len(report)} changes of rules are noticed ({percent} %)")
    return {"ok": percent >= least, "changes": report, "noticed": noticed}


def _judged(mutants: Mutants, change: Mutant, cases: Sequence[Case], now: datetime) -> dict[str, Any] | None:
    """One change, and the first case that notices it. None where the bundle does not load with it."""
    from agentguard.guard.in_force import UsableBundle

    try:
        usable = UsableBundle.of(mutants.with_it(change))
    except PolicyError:
        return None
    concerned = (case for case in cases if case.workflow in change.workflows)
    noticing = next((case.name for case in concerned if not _passes(usable, case, now)), None)
    return {
        "file": change.file,
        "line": change.line,
        "workflows": sorted(change.workflows),
        "change": change.what,
        "noticed_by": noticing,
    }


def _passes(usable: UsableBundle, case: Case, now: datetime) -> bool:
    from agentguard.guard.dry_run import evaluate

    try:
        return evaluate(usable, case, now=now).passed
    except ConfigurationError:  # a story that could not happen under the changed rules
        return False
