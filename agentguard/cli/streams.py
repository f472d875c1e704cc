"""``agentguard streams``: the streams of signals that this ledger has heard."""

from __future__ import annotations

from agentguard.approvals.view import moment
from agentguard.cli import common
from agentguard.cli.common import JsonOption, LedgerOption

app = common.new_app("Say when each stream of signals was last heard.")


@app.command("list")
def list_(ledger: LedgerOption = None, json: JsonOption = False) -> None:
    """List the streams that were ever heard, with their status and when each last spoke.

    A stream that is paused or disabled counts as silent, whatever it still sends.

    Example: agentguard streams list --json
    """
    with common.operations(ledger) as operations:
        found = operations.streams()
    rows = [(state.name, str(state.status), moment(state.heard_at)) for state in found.values()]
    if json:
        common.print_json([{"name": name, "status": status, "heard_at": at} for name, status, at in rows])
    elif not rows:
        common.line("no stream has been heard")
    else:
        common.table(("STREAM", "STATUS", "LAST HEARD"), rows)
