"""``agentguard check``: is this bundle one that a guard would take?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard.cli import common
from agentguard.cli.common import JsonOption
from agentguard.errors import PolicyError, PolicyProblem

if TYPE_CHECKING:
    from agentguard.guard.in_force import UsableBundle
    from agentguard.policy import Bundle

app = common.new_app("Load a bundle as the guard does and list everything wrong with it.", group=False)


@app.command()
def check(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The directory of the policy files, or a folder of such directories.")
    ],
    json: JsonOption = False,
) -> None:
    """Load a bundle as the guard does; list every problem with file and line. Exit 0 where there is none, else 1.

    Reads the decision cases beside it, too. A `note` says of what is no mistake what it will do.

    Example: agentguard check workflows
    """
    from agentguard.cli import bundles

    told = [_checked(directory)]
    if not told[0]["ok"]:
        told = [_checked(folder) for folder in bundles.folders(directory)] or told
    good = all(entry["ok"] for entry in told)
    if json and len(told) == 1:
        common.print_json(told[0])
    elif json:
        common.print_json({"ok": good, "bundles": told})
    else:
        for entry in told:
            if len(told) > 1:
                common.line(f"{entry['directory']}:")
            _show(entry)
    if not good:
        raise typer.Exit(1)


def _checked(directory: Path) -> dict[str, Any]:
    """One bundle and its cases, as a program reads what was found."""
    from agentguard.cli import bundles

    try:
        with common.progress(f"loading {directory}") as on_file:
            usable, cases = bundles.load_with_cases(directory, on_file=on_file)
    except PolicyError as error:
        return {"directory": str(directory), "ok": False, "problems": _entries(error.problems)}
    summary = describe(usable.bundle) | {"cases": len(cases), "notes": _entries(_notes(usable))}
    return {"directory": str(directory), "ok": True, "problems": [], **summary}


def _entries(found: Iterable[PolicyProblem]) -> list[dict[str, Any]]:
    return [{"file": one.file, "line": one.line, "message": one.message} for one in found]


def _show(told: Mapping[str, Any]) -> None:
    if not told["ok"]:
        for problem in told["problems"]:
            common.line(str(PolicyProblem(**problem)))
        common.line(_counted(len(told["problems"]), "problems"))
        return
    names = ("workflows", "steps", "tools", "destinations", "issuers", *(["streams"] if told["streams"] else []))
    common.line("ok: " + ", ".join(_counted(told[name], name) for name in names))
    common.line(f"revision {told['revision']}")
    if told["cases"]:
        common.line(f"{_counted(told['cases'], 'cases')} beside it: `agentguard test {told['directory']}` judges them")
    for note in told["notes"]:
        common.line(f"note: {PolicyProblem(**note)}")


def _notes(usable: UsableBundle) -> list[PolicyProblem]:
    """What is no mistake, and what it will do: also of reviews, of subjects, and of places that never change."""
    from agentguard.cli import bundles
    from agentguard.identity import could_assert
    from agentguard.policy.observing import observing_notes

    bundle = usable.bundle
    today, where = common.now_utc().date(), str(bundle.directory)
    notes = [*bundle.notes, *bundles.unreachable(usable), *observing_notes(bundle, today)]
    for name, workflow in sorted(bundle.policy.workflows.items()):
        if workflow.review_by < today:
            notes.append(PolicyProblem(where, 0, f"the review of `{name}` is overdue, so it permits nothing"))
        unknown = (s for s in sorted(workflow.subjects) if not any(could_assert(t, s) for t in bundle.issuers))
        notes += [PolicyProblem(where, 0, _nobody(subject, name, bundle)) for subject in unknown]
    return notes


def _nobody(subject: str, workflow: str, bundle: Bundle) -> str:
    from agentguard.policy.words import nearest, shown

    meant = nearest(subject, (known for trust in bundle.issuers for known in trust.subjects))
    remedy = f"did you mean {shown(meant)}?" if meant is not None else "see `issuers` in Trust"
    return f"no issuer can assert {shown(subject)}, a subject of `{workflow}`; {remedy}"


def describe(bundle: Bundle) -> dict[str, Any]:
    """What is in a bundle, in numbers; which workflows are past their review, and which subjects nobody can assert."""
    from agentguard.identity import could_assert

    today = common.now_utc().date()
    workflows = bundle.policy.workflows
    nobody: dict[str, list[str]] = {}
    for name, workflow in sorted(workflows.items()):
        for subject in sorted(workflow.subjects):
            if not any(could_assert(trust, subject) for trust in bundle.issuers):
                nobody.setdefault(name, []).append(subject)
    return {
        "revision": bundle.revision,
        "workflows": len(workflows),
        "steps": sum(len(workflow.steps) for workflow in workflows.values()),
        "tools": len(bundle.tools),
        "destinations": len(bundle.catalog),
        "issuers": len(bundle.issuers),
        "streams": len(bundle.streams),
        "overdue": sorted(name for name, workflow in workflows.items() if workflow.review_by < today),
        "without_issuer": nobody,
    }


def _counted(number: int, names: str) -> str:
    return f"{number} {names if number != 1 else names.removesuffix('s')}"
