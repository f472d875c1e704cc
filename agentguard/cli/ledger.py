"""``agentguard ledger``: the file itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentguard import display
from agentguard.approvals import account
from agentguard.cli import common
from agentguard.cli.common import JsonOption, LedgerOption, WhyOption
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError

app = common.new_app("Erase what lies beside records; add a ledger up again; carry an earlier format over.")

Place = Annotated[Path, typer.Argument(metavar="PATH", help="The ledger's file.", show_default=False)]


@app.command()
def upgrade(path: Place, json: JsonOption = False) -> None:
    """Carry a ledger of format 2 over into the present format. Nobody may have it open meanwhile.

    Every record stays as it is, byte for byte. A call that was under way has the outcome `unknown`; what waits for a
    person is asked again. The old file is kept beside it as PATH.format2. Ctrl-C leaves the ledger as it was.

    Example: agentguard ledger upgrade .agentguard/ledger.sqlite3
    """
    from agentguard.ledger.upgrade import upgrade_ledger

    common.ledger_path(path)
    with common.progress("carrying over") as progress:
        done = upgrade_ledger(path, at=common.now_utc(), by=account(), progress=progress)
    if json:
        common.print_json({"records": done.records, "runs": done.runs, "unknown": done.unknown, "old": str(done.old)})
        return
    common.line(f"carried over {done.records} records and {done.runs} runs; the old file is `{done.old}`")
    if done.unknown:
        common.line(f"calls whose outcome is unknown now: {done.unknown}; `agentguard runs show RUN` lists them")


@app.command()
def rebuild(path: Place, json: JsonOption = False) -> None:
    """Throw away what the records add up to, add it up again, and say what differs. Nobody may have it open meanwhile.

    The records are not touched. What differs had been damaged, or changed by somebody's hand; exit code 1 says so.

    Example: agentguard ledger rebuild .agentguard/ledger.sqlite3
    """
    from agentguard.ledger.rebuild import rebuild_ledger

    common.ledger_path(path)
    with common.progress("adding up") as progress:
        done = rebuild_ledger(path, progress=progress)
    differences = {"gone": done.gone, "changed": done.changed, "new": done.new}
    if json:
        told: dict[str, Json] = {word: dict(found) for word, found in differences.items()}
        common.print_json({"records": done.records, "cells": done.cells, **told})
    else:
        common.line(f"{done.cells} values from {done.records} records{'' if done.differs else '; nothing differs'}")
        for word, found in differences.items():
            for kind, number in sorted(found.items()):
                common.line(f"{word}: {number} of kind {kind}")
    if done.differs:
        raise typer.Exit(1)


@app.command()
def erase(
    ledger: LedgerOption = None,
    run: Annotated[str | None, typer.Option("--run", help="Of this run.")] = None,
    decision: Annotated[str | None, typer.Option("--decision", help="Of this one call.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Of every call of this workload.")] = None,
    requester: Annotated[str | None, typer.Option("--requester", help="Of every run for this person.")] = None,
    why: WhyOption = "no reason given",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask back.")] = False,
    json: JsonOption = False,
) -> None:
    """Erase what lies beside records: personal values, inputs, kept values, what was read, what approvers were shown.

    It is gone from every file of the ledger, for ever. The records stay, and one more says that it was erased. A run
    that is under way is permitted nothing that rests on what is gone.

    Example: agentguard ledger erase --requester user:dana --why "asked for it on 3 May"
    """
    named = {"run_id": run, "decision_id": decision, "subject": subject, "requester": requester}
    if sum(each is not None for each in named.values()) != 1:
        raise ConfigurationError("name one of --run, --decision, --subject and --requester")
    reason = common.reason_given(why)
    what = next(f"{name.removesuffix('_id')} `{each}`" for name, each in named.items() if each is not None)
    if not yes and not typer.confirm(f"Erase what lies beside the records of {display.plain(what)}?", default=False):
        common.line("nothing was erased")
        raise typer.Exit(1)
    with common.operations(ledger) as operations:
        done = operations.erase(**named, by=account(), why=reason)
    if json:
        common.print_json({"records": done.records, "approvals": done.approvals})
        return
    common.line(f"erased what lay beside {done.records} records; {done.approvals} requests can be shown no more")
