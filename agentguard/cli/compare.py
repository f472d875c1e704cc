"""``agentguard compare``: what the candidate beside the live policy would have decided in another way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard.cli import changes, common
from agentguard.cli.common import JsonOption, LedgerOption
from agentguard.errors import LedgerError

if TYPE_CHECKING:
    from agentguard.evidence.compare import Compared
    from agentguard.guard import Operations

app = common.new_app("Say which calls the candidate beside the live policy would change.", group=False)

_TELL_EVERY = 1_000


@app.command()
def compare(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="The candidate, as its files are now; left out: the newest.", show_default=False
        ),
    ] = None,
    ledger: LedgerOption = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="Only calls of the last so many days.")] = 7,
    json: JsonOption = False,
) -> None:
    """Say which calls a candidate would have decided in another way, by the rule that does it, with an example each.

    The candidate judges beside the live policy: `Guard.load("live/", candidate="next/")`. It cannot judge a call of a
    run that lacks what only the candidate asks for. Exit 0 where nothing changes, 1 where something does, 3 where
    nothing does that could be judged.

    Example: agentguard compare --days 14
    """
    from agentguard.evidence.compare import compare as added_up
    from agentguard.ledger import RecordFilter

    wanted = RecordFilter(kind="candidate", since=common.now_utc() - timedelta(days=days))
    with common.operations(ledger) as operations, common.progress("reading verdicts") as on_record:
        revision = _revision(directory, operations)
        found = added_up(_told(operations, wanted, on_record), revision)
    judged = sum(found.counts.values())
    if not judged:
        raise LedgerError(
            f"this candidate has judged no call in the last {days} days; "
            'it does where a guard is loaded with `Guard.load("live/", candidate="next/")`'
        )
    if json:
        common.print_json(to_json(found))
    else:
        _show(found, days)
    certain = found.counts["same"] + found.counts["changed"]
    changes.end(changed=found.counts["changed"] > 0, uncertain=certain < judged)


def _revision(directory: Path | None, operations: Operations) -> str:
    """Which candidate is meant: the one in the directory, or the one that judged last."""
    from agentguard.cli import bundles
    from agentguard.ledger import RecordFilter

    if directory is not None:
        return bundles.load(directory).bundle.revision
    for newest in operations.records(RecordFilter(kind="candidate"), limit=1, newest=True):
        said = newest.get("candidate")
        return str(said.get("revision")) if isinstance(said, dict) else ""
    return ""


def _told(
    operations: Operations, wanted: Any, on_record: Callable[[int, int], None] | None
) -> Iterator[dict[str, Any]]:
    last = next((data["seq"] for data in operations.records(limit=1, newest=True)), 0)
    for number, data in enumerate(operations.records(wanted)):
        if on_record is not None and number % _TELL_EVERY == 0:
            on_record(data["seq"], last)
        yield data


def to_json(found: Compared) -> dict[str, Any]:
    """The whole comparison, for a program."""
    return {
        "candidate": found.candidate,
        "calls": sum(found.counts.values()),
        "same": found.counts["same"],
        "changed": found.counts["changed"],
        "cannot_be_judged": found.counts["cannot be judged"],
        "lost": found.counts["lost"],
        "of_other_candidates": found.others,
        "in_further_groups": found.left_out,
        "groups": [
            {
                "live": group.live,
                "candidate": group.candidate,
                "workflow": group.workflow,
                "tool": group.tool,
                "rule": group.rule,
                "calls": group.calls,
                "example": group.example,
            }
            for group in found.in_order()
        ],
    }


def _show(found: Compared, days: int) -> None:
    counts = found.counts
    lost = f", {counts['lost']} lost" if counts["lost"] else ""
    common.line(
        f"{sum(counts.values())} calls in {days} days: {counts['same']} decided alike, "
        f"{counts['changed']} would change, {counts['cannot be judged']} cannot be judged{lost}"
    )
    groups = found.in_order()
    changes.show(
        ("LIVE", "CANDIDATE", "CALLS", "WORKFLOW", "TOOL", "RULE", "EXAMPLE"),
        [(g.live, g.candidate or "not known", str(g.calls), g.workflow, g.tool, g.rule, g.example) for g in groups],
        further=found.left_out > 0,
    )
    if found.others:
        common.line(f"{found.others} verdicts are of other candidates; `agentguard compare DIR` says which is meant")
    if groups:
        common.line(f"agentguard audit show {groups[0].example}  shows how the first one was decided, by both")
