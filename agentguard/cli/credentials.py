"""``agentguard credentials``: which of the credentials that tools use are in force."""

from __future__ import annotations

from typing import Annotated

import typer

from agentguard.approvals import account
from agentguard.cli import common
from agentguard.cli.common import JsonOption, LedgerOption, WhyOption

app = common.new_app("Revoke or activate a credential that tools use. It is named here, never shown.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `credentials` in Tools writes it.")]


@app.command()
def revoke(
    name: Name, ledger: LedgerOption = None, why: WhyOption = "no reason given", json: JsonOption = False
) -> None:
    """Refuse every call of every tool that uses this credential.

    Example: agentguard credentials revoke deploy-token --why "seen in a log"
    """
    _set(name, "revoked", ledger, why, json, f"revoked `{name}`; every call that would use it is refused")


@app.command()
def activate(
    name: Name, ledger: LedgerOption = None, why: WhyOption = "no reason given", json: JsonOption = False
) -> None:
    """Register a credential, or put it in force again. One that was never activated counts as not in force.

    One that a stream of signals revoked stays revoked until that stream restores it.

    Example: agentguard credentials activate deploy-token --why "rotated today"
    """
    _set(name, "active", ledger, why, json, f"activated `{name}`")


def _set(name: str, state: str, ledger: LedgerOption, why: str, json: bool, told: str) -> None:
    from agentguard.guard import said

    reason = common.reason_given(why)
    said.credential(name)
    with common.operations(ledger) as operations:
        operations.set_credential(name, state, by=account(), why=reason)
        found = operations.credential_states([name])[name]
    if json:
        common.print_json({"credential": name, "state": found})
        return
    common.line(told)
    if found != state:
        common.line("note: a stream of signals says that it is revoked, so it is not in force")
