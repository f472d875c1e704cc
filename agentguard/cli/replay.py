"""``agentguard replay``: what a bundle would have decided about the calls that are on record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard.cli import changes, common
from agentguard.cli.common import JsonOption, LedgerOption

if TYPE_CHECKING:
    from agentguard.evidence.replay import Replayed

app = common.new_app("Decide recorded calls anew under a bundle.", group=False)


@app.command()
def replay(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle to judge by.", show_default=False)],
    ledger: LedgerOption = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="Only calls of this workflow.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Only calls from this time on, or 30d ago.")] = None,
    json: JsonOption = False,
) -> None:
    """Say which recorded calls this bundle would decide in another way. Nothing runs, nothing is written.

    A draft is taken as if it were in force. What a record does not hold any more is not guessed: such a call can no
    longer be judged. Exit 0 where nothing changes, 1 where something does, 3 where nothing does that could be judged.

    Example: agentguard replay workflows/customer_export --since 30d
    """
    from agentguard.cli import bundles
    from agentguard.evidence.replay import Replay

    begin = None if since is None else common.moment(since, "--since", common.now_utc())
    usable = bundles.load(directory)
    if workflow is not None:
        common.choice(workflow, usable.bundle.policy.workflows, "--workflow")
    with common.operations(ledger) as operations, common.progress("deciding records anew") as on_record:
        history = operations.history(kinds=("run", "outcome"), on_record=on_record)
        found = Replay(usable, since=begin, only=workflow).all(history)
    if json:
        common.print_json(to_json(found))
    else:
        _show(found)
    changes.end(changed=bool(found.changed), uncertain=found.counts["unjudged"] > 0)


def to_json(found: Replayed) -> dict[str, Any]:
    """The whole comparison, for a program."""
    return {
        "calls": sum(found.counts.values()),
        "same": found.counts["same"],
        "newly": {kind: found.counts[kind] for kind in ("permitted", "asked", "denied")},
        "no_longer_judged": found.counts["unjudged"],
        "changes": [
            {
                "now": change.kind,
                "before": change.before,
                "workflow": change.workflow,
                "tool": change.tool,
                "reasons": [*change.reasons],
                "calls": change.calls,
                "example": change.example,
            }
            for change in found.by_kind()
        ],
    }


def _show(found: Replayed) -> None:
    counts = found.counts
    common.line(
        f"{sum(counts.values())} calls: {counts['same']} decided as before; newly permitted {counts['permitted']}, "
        f"asked {counts['asked']}, denied {counts['denied']}; {counts['unjudged']} can no longer be judged"
    )
    groups = found.by_kind()
    changes.show(
        ("NOW", "BEFORE", "CALLS", "WORKFLOW", "TOOL", "WHY", "EXAMPLE"),
        [(c.kind, c.before, str(c.calls), c.workflow, c.tool, _why(c.kind, c.reasons), c.example) for c in groups],
    )
    if groups:
        common.line(f"agentguard explain --decision {groups[0].example}  shows how the first one was decided then")


def _why(kind: str, reasons: tuple[str, ...]) -> str:
    said = ", ".join(reasons) or "every check passes"
    return f"not known: {said}" if kind == "unjudged" else said
