"""``agentguard subjects``: take power from a workload, or from everything done for a person, or give it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from agentguard.approvals import account
from agentguard.cli import common
from agentguard.cli.common import JsonOption, LedgerOption, WhyOption
from agentguard.core.people import are_meant
from agentguard.core.values import Json, Risk

if TYPE_CHECKING:
    from agentguard.guard import Operations

    Act: TypeAlias = Callable[[Operations, str, str], None]

app = common.new_app("Suspend a workload everywhere, stop its runs, set how far it is trusted, or restore it.")

Workload = Annotated[str, typer.Argument(metavar="SUBJECT", help="Exactly as the records write it, letter for letter.")]
Subject = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="A workload as the records write it, or user:NAME for whom runs are.")
]
_UNKNOWN = "note: no run of or for it is on record; compare the spelling with `agentguard runs list`"


@app.command()
def suspend(
    subject: Workload, ledger: LedgerOption = None, why: WhyOption = "no reason given", json: JsonOption = False
) -> None:
    """Refuse every call of a workload, in every run, from its very next call on.

    Example: agentguard subjects suspend spiffe://corp.example/agent/exporter
    --why "key leaked"
    """
    told = f"suspended `{subject}`; every call of it is refused until `agentguard subjects restore`"
    _do(subject, ledger, why, json, told, {"suspended": True}, _suspend, note=True)


@app.command()
def restore(
    subject: Workload, ledger: LedgerOption = None, why: WhyOption = "no reason given", json: JsonOption = False
) -> None:
    """Accept a suspended workload again. Runs that were stopped stay stopped.

    Example: agentguard subjects restore spiffe://corp.example/agent/exporter
    --why "new key in place"
    """
    _do(subject, ledger, why, json, f"restored `{subject}`", {"suspended": False}, _restore, note=False)


@app.command()
def stop(
    subject: Subject, ledger: LedgerOption = None, why: WhyOption = "no reason given", json: JsonOption = False
) -> None:
    """Stop every run under way of a workload, or for a person. Runs begun later are new ones, and not stopped.

    Example: agentguard subjects stop user:eli --why "left the company"
    """
    told = f"stopped every run of or for `{subject}`; their next calls are refused"
    _do(subject, ledger, why, json, told, {"stopped": True}, _stop, note=True)


@app.command()
def risk(
    subject: Subject,
    level: Annotated[str, typer.Argument(metavar="LEVEL", help="low, medium or high.")],
    ledger: LedgerOption = None,
    why: WhyOption = "no reason given",
    json: JsonOption = False,
) -> None:
    """Set how far a workload, or the person runs are for, is trusted in every run, also in those begun later.

    What streams and rules say stands beside it: the highest counts.

    Example: agentguard subjects risk user:eli high --why "account taken over"
    """
    common.choice(level, Risk.words(), "LEVEL")

    def act(operations: Operations, subject: str, reason: str) -> None:
        operations.set_subject_risk(subject, level, by=account(), why=reason)

    told = f"`{subject}` is of risk {level} to us; the highest that anybody says counts"
    _do(subject, ledger, why, json, told, {"risk": level}, act, note=True)


def _suspend(operations: Operations, subject: str, reason: str) -> None:
    operations.suspend_subject(subject, by=account(), why=reason)


def _restore(operations: Operations, subject: str, reason: str) -> None:
    operations.suspend_subject(subject, by=account(), why=reason, suspended=False)


def _stop(operations: Operations, subject: str, reason: str) -> None:
    operations.end_sessions(subject, by=account(), why=reason)


def _do(
    subject: str,
    ledger: LedgerOption,
    why: str,
    json: bool,
    told: str,
    done: dict[str, Json],
    act: Act,
    *,
    note: bool,
) -> None:
    """Do it and tell; with ``note``, also where nobody has heard of the subject: a name is easily misspelt."""
    from agentguard.guard import said
    from agentguard.ledger import RecordFilter

    reason = common.reason_given(why)
    said.subject(subject)
    with common.operations(ledger) as operations:
        known = any(True for _ in operations.records(RecordFilter(subject=subject, kind="run"), limit=1))
        known = known or any(are_meant(subject, run.subject, run.requester) for run in operations.runs())
        act(operations, subject, reason)
    if json:
        common.print_json({"subject": subject, **done, "known": known})
        return
    common.line(told)
    if note and not known:
        common.line(_UNKNOWN)
