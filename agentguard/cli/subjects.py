"""``agentguard subjects``: take all power from a workload, or give it back."""

from __future__ import annotations

from typing import Annotated

import typer

from agentguard.approvals import account
from agentguard.cli import common
from agentguard.cli.common import LedgerOption, WhyOption
from agentguard.errors import ConfigurationError

app = common.new_app("Suspend a workload everywhere, or restore it.")

MAX_SUBJECT = 2_048
Subject = Annotated[str, typer.Argument(metavar="SUBJECT", help="Exactly as the records write it, letter for letter.")]


@app.command()
def suspend(subject: Subject, ledger: LedgerOption = None, why: WhyOption = "no reason given") -> None:
    """Refuse every call of a workload, in every run, from its very next call on.

    Example: agentguard subjects suspend spiffe://corp.example/agent/exporter --why "key leaked"
    """
    known = _set(subject, ledger, why, suspended=True)
    common.line(f"suspended `{subject}`; every call of it is refused until `agentguard subjects restore`")
    if not known:
        common.line("note: no call of this workload is on record; compare the spelling with `agentguard runs list`")


@app.command()
def restore(subject: Subject, ledger: LedgerOption = None, why: WhyOption = "no reason given") -> None:
    """Accept a suspended workload again. Runs that were stopped stay stopped.

    Example: agentguard subjects restore spiffe://corp.example/agent/exporter --why "new key in place"
    """
    _set(subject, ledger, why, suspended=False)
    common.line(f"restored `{subject}`")


def _set(subject: str, ledger: LedgerOption, why: str, *, suspended: bool) -> bool:
    """Do it; whether any run of this workload is on record."""
    from agentguard.ledger import RecordFilter

    if not subject or subject != subject.strip() or len(subject) > MAX_SUBJECT or not subject.isprintable():
        raise ConfigurationError(f"`{subject[:100]}` is not a subject; expected such as spiffe://corp.example/agent/x")
    reason = common.reason_given(why)
    with common.operations(ledger) as operations:
        known = any(True for _ in operations.records(RecordFilter(subject=subject, kind="run"), limit=1))
        operations.suspend_subject(subject, by=account(), why=reason, suspended=suspended)
    return known
