"""``agentguard ledger``: the file itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentguard.approvals import account
from agentguard.cli import common
from agentguard.cli.common import JsonOption
from agentguard.core.values import Json

app = common.new_app("Carry a ledger of an earlier format over, or add one up again from its records.")

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
