"""``agentguard learn``: a draft of a workflow out of what an agent did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard import display
from agentguard.cli import common
from agentguard.cli.common import JsonOption, LedgerOption
from agentguard.errors import ConfigurationError

if TYPE_CHECKING:
    from agentguard.evidence.learn.bundle import Drafted
    from agentguard.evidence.traffic import PastRun
    from agentguard.guard.in_force import UsableBundle

app = common.new_app("Draft a workflow out of what an agent did.", group=False)

_FORMATS = ("auto", "openai", "langsmith", "otel", "mcp")
# Of more runs a sample says the same.
MOST_RUNS = 2_000
# Runs that are named one by one.
_MOST_NAMED = 10


@app.command()
def learn(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The new folder for the draft.")],
    workflow: Annotated[str, typer.Option("--workflow", help="The workflow's name.")],
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="The bundle whose Tools, Destinations and Trust are taken.")
    ] = None,
    transcripts: Annotated[
        list[Path] | None, typer.Option("--from", help="Transcripts as JSON lines, in place of a ledger; repeatable.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help=f"Theirs: {', '.join(_FORMATS)}.")] = "auto",
    ledger: LedgerOption = None,
    since: Annotated[str | None, typer.Option("--since", help="Only runs begun from this time on, or 30d ago.")] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", help="Whose workflow it is to be; else as the bundle says.")
    ] = None,
    approver: Annotated[
        list[str] | None,
        typer.Option("--approver", help="Who is asked: user:NAME or group:NAME; repeatable; else as the bundle says."),
    ] = None,
    hold_back: Annotated[int, typer.Option("--hold-back", help="So many of 100 runs try the draft out.")] = 20,
    most: Annotated[int, typer.Option("--most", help="Look at no more runs than this, chosen evenly.")] = MOST_RUNS,
    json: JsonOption = False,
) -> None:
    """Write a draft to a new folder: steps, their order, arguments and where they come from, each line with how many
    runs support it. What a tool that more than reads may be given is never taken from traffic alone: it is a question
    for an owner, and a person is asked at each call until it is answered. A draft permits nothing.

    Example: agentguard learn drafts/export --workflow customer-export --bundle workflows/customer_export --since 14d

    Example: agentguard learn drafts/export --workflow customer-export --from traces.jsonl
    """
    from agentguard.cli import bundles
    from agentguard.evidence.learn.bundle import Wanted, check_free, draft

    check_free(out)
    if not 0 <= hold_back <= 50:
        raise ConfigurationError(f"--hold-back: `{hold_back}` is not a number from 0 to 50")
    if most < 3:
        raise ConfigurationError(f"--most: `{most}` is too few; expected 3 or more")
    common.choice(format_, _FORMATS, "--format")
    now = common.now_utc()
    base = None if bundle is None else bundles.load(bundle)
    if transcripts:
        if ledger is not None or since is not None:
            raise ConfigurationError("--from reads transcripts; leave out --ledger and --since, or leave out --from")
        runs, left = _from_transcripts(transcripts, format_, most, base), 0
    else:
        if base is None:
            raise ConfigurationError(
                "records are learnt from with the bundle that they were made under; say --bundle DIR"
            )
        begin = None if since is None else common.moment(since, "--since", now)
        runs, left = _from_records(ledger, workflow, begin, most)
    wanted = Wanted(workflow, owner, approver or [], [], hold_back / 100, now.date())
    made = draft(runs, base, out, wanted, bundles.load)
    if json:
        common.print_json(to_json(made, left))
    else:
        _show(made, left)


def _from_transcripts(files: list[Path], named: str, most: int, base: UsableBundle | None) -> list[PastRun]:
    from agentguard.evidence.transcripts.read import EVERYTHING, read_transcripts

    def outsiders(tool: str) -> Any:
        name = tool if base is None else base.bundle.tool_by_alias.get(tool, tool)
        return EVERYTHING if base is None or name not in base.outsiders else base.outsiders[name]

    runs: list[PastRun] = []
    for file in files:
        with common.progress(f"reading {file.name}") as on_bytes:
            runs += read_transcripts(file, named, most, outsiders, on_bytes)
    known = {} if base is None else base.bundle.tool_by_alias
    for call in (call for run in runs for call in run.calls):
        call.tool = known.get(call.tool, call.tool)
    return runs


def _from_records(ledger: Path | None, workflow: str, begin: Any, most: int) -> tuple[list[PastRun], int]:
    from agentguard.evidence.records import past_runs

    with common.operations(ledger) as operations, common.progress("reading records") as on_record:
        return past_runs(operations, workflow, begin, most, on_record)


def to_json(made: Drafted, left: int = 0) -> dict[str, Any]:
    """Everything, for a program."""
    from agentguard.evidence.learn.learnt import told

    held = made.held_back
    return {
        "folder": str(made.folder),
        **told(made.workflow),
        "not_looked_at": left,
        "held_back": None
        if held is None
        else {
            "runs": held.runs,
            "untouched": len(held.untouched),
            "asked": len(held.asked),
            "refused": len(held.refused),
            "refused_what_failed_anyway": held.failed_anyway,
            "touched": [
                {"run": t.run, "call": t.call, "tool": t.tool, "effect": t.effect, "reasons": [*t.reasons]}
                for t in held.touched
            ],
        },
    }


def _show(made: Drafted, left: int) -> None:
    from agentguard.evidence.learn.write import of

    learnt = made.workflow
    more = f" ({left} more were not looked at; --most)" if left else ""
    common.line(
        f"learnt from {of(learnt.runs, 'run')} of {of(learnt.requesters, 'requester')} on "
        f"{of(learnt.days, 'day')}{more}: {of(len(learnt.steps), 'step')} in {made.folder}"
    )
    common.table(
        ("STEP", "TOOL", "RUNS", "SET ASIDE", "QUESTIONS"),
        (
            (step.name, step.tool, str(step.runs), str(step.breaks), str(len(step.questions)) if step.questions else "")
            for step in learnt.steps
        ),
    )
    for step in learnt.steps:
        for question in step.questions:
            common.line(f"  owner: {step.name}: {question}")
    _several("left out", [f"{display.shown(tool, 80)}: {why}" for tool, why in sorted(learnt.left_out.items())])
    _several("set aside", [f"{display.shown(run, 80)}: {why}" for run, why in sorted(learnt.set_aside.items())])
    held = made.held_back
    if held is None:
        common.line("too few runs to hold any back: nobody knows what this draft would refuse")
    else:
        common.line(
            f"held back {held.runs} runs: {len(held.untouched)} untouched, {len(held.asked)} with a person's yes, "
            f"{len(held.refused)} refused"
        )
        touched = [
            f"{display.shown(t.run, 80)}, call {t.call} ({display.shown(t.tool, 80)}): "
            f"{t.effect or 'cannot be judged'}: {t.detail}"
            for t in held.touched
        ]
        _several("touched", touched)
    common.line(
        f"a draft permits nothing: read it, answer what is marked OWNER, take `status: draft` out ({made.folder})"
    )


def _several(what: str, lines: list[str]) -> None:
    for line in lines[:_MOST_NAMED]:
        common.line(f"  {what}: {line}")
    if len(lines) > _MOST_NAMED:
        common.line(f"  {what}: {len(lines) - _MOST_NAMED} more; --json names all")
