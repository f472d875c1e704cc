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

    Example: agentguard check workflows/
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


def describe(bundle: Bundle) -> dict[str, Any]:
    """What is in a bundle, in numbers, and which of its workflows are past their review."""
    today = common.now_utc().date()
    workflows = bundle.policy.workflows
    return {
        "revision": bundle.revision,
        "workflows": len(workflows),
        "steps": sum(len(workflow.steps) for workflow in workflows.values()),
        "tools": len(bundle.tools),
        "destinations": len(bundle.catalog),
        "issuers": len(bundle.issuers),
        "streams": len(bundle.streams),
        "overdue": sorted(name for name, workflow in workflows.items() if workflow.review_by < today),
    }


def _counted(number: int, names: str) -> str:
    return f"{number} {names if number != 1 else names.removesuffix('s')}"
