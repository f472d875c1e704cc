"""``agentguard check``: is this bundle one that a guard would take?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard.cli import common
from agentguard.cli.common import JsonOption
from agentguard.errors import PolicyError

if TYPE_CHECKING:
    from agentguard.policy import Bundle

app = common.new_app("Load a bundle as the guard does and list everything wrong with it.", group=False)


@app.command()
def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The directory of the policy files.")],
    json: JsonOption = False,
) -> None:
    """Load a bundle as the guard does; list every problem with file and line. Exit 0 where there is none, else 1.

    Example: agentguard check workflows/customer_export
    """
    from agentguard.cli import bundles

    try:
        with common.progress(f"loading {directory}") as on_file:
            bundle = bundles.load(directory, on_file=on_file)
    except PolicyError as error:
        if json:
            found = [{"file": p.file, "line": p.line, "message": p.message} for p in error.problems]
            common.print_json({"ok": False, "problems": found})
        else:
            for problem in error.problems:
                common.line(str(problem))
            common.line(_counted(len(error.problems), "problems"))
        raise typer.Exit(1) from None
    summary = describe(bundle)
    if json:
        common.print_json({"ok": True, "problems": [], **summary})
        return
    names = ("workflows", "steps", "tools", "destinations", "issuers", *(["streams"] if bundle.streams else []))
    common.line("ok: " + ", ".join(_counted(summary[name], name) for name in names))
    common.line(f"revision {summary['revision']}")
    for name in summary["overdue"]:
        common.line(f"note: the review of `{name}` is overdue, so it permits nothing")
    for name, subjects in summary["without_issuer"].items():
        for subject in subjects:
            common.line(f"note: {_nobody(subject, name, bundle)}")


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
