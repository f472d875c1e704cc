"""``agentguard approvals``: list, read and answer the calls that wait for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agentguard import display
from agentguard.approvals import ApprovalView, account
from agentguard.approvals.view import remaining
from agentguard.cli import common
from agentguard.cli.common import JsonOption, LedgerOption
from agentguard.errors import LedgerError

if TYPE_CHECKING:
    from agentguard.guard import Operations
    from agentguard.ledger import ApprovalRow

app = common.new_app("List, read and answer the calls that wait for a person.")

ApprovalId = Annotated[str, typer.Argument(metavar="APPROVAL", help="Its id, as `agentguard approvals list` shows it.")]
_NOBODY = {False: "nobody waits for an answer", True: "nobody has ever been asked"}
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask back.")]


@app.command("list")
def list_(
    ledger: LedgerOption = None,
    all_: Annotated[bool, typer.Option("--all", help="Also those that are answered, used or expired.")] = False,
    workflow: Annotated[str | None, typer.Option("--workflow", help="Only of this workflow.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Only of this workload.")] = None,
    before: Annotated[str | None, typer.Option("--before", help="The next page: only those before this one.")] = None,
    last: Annotated[int, typer.Option("--last", min=1, max=1_000_000, help="At most this many, the newest.")] = 100,
    json: JsonOption = False,
) -> None:
    """List the requests that wait, newest first.

    Example: agentguard approvals list --json
    """
    with common.operations(ledger) as operations:
        wanted = {"workflow": workflow, "subject": subject, "before": before, "limit": last}
        views = [_view(row) for row in operations.approvals(open_only=not all_, **wanted)]
    if json:
        common.print_json([view.to_json(personal=False) for view in views])
        return
    if not views:
        common.line("no request matches" if workflow or subject or before else _NOBODY[all_])
        return
    why = ("WHY",) if any(view.why for view in views) else ()
    common.id_table(
        ("APPROVAL", "STATUS", "AGREED", "WORKFLOW", "STEP", "TOOL", "REQUESTED BY", "TIME", *why),
        (
            (
                view.asked.id,
                str(view.status),
                f"{view.agreed} of {view.asked.quorum}",
                view.asked.workflow,
                view.asked.step,
                view.asked.tool,
                view.asked.requester or "-",
                remaining(view.until, view.now),
                *([view.why or "-"] if why else ()),
            )
            for view in views
        ),
    )
    if len(views) == last:
        common.line(f"at most {last}, the newest; the next page: --before {views[-1].asked.id}")


@app.command()
def show(
    approval: ApprovalId,
    ledger: LedgerOption = None,
    full: Annotated[bool, typer.Option("--full", help="Show long values whole.")] = False,
    json: JsonOption = False,
) -> None:
    """Show everything about one request: who asks, for which call, to where, until when.

    What is not printable ASCII is written \\u{XXXX}, runs of spaces \\s{COUNT}; a single backslash is never part of a
    value. Values that Tools calls personal are shown to those who are asked, and to nobody else.

    Example: agentguard approvals show a-5f0c
    """
    with common.operations(ledger) as operations:
        view = _find(operations, approval)
        words = operations.words(view.asked)
    personal, most = view.may_see(account()), 10**9 if full else display.MAX_SHOWN
    if json:
        common.print_json({**view.to_json(personal=personal), "words": dict(words)})
        return
    common.rows(view.rows(most, personal=personal))
    common.rows(("words", f"{display.shown(who)}: {display.value(said, most)}") for who, said in words.items())


@app.command()
def approve(approval: ApprovalId, ledger: LedgerOption = None, yes: Yes = False) -> None:
    """Agree to one call, as the account you are signed in with.

    Your answer is for exactly the call that is shown; the guard decides again before it runs. There is no flag to
    answer as somebody else.

    Example: agentguard approvals approve a-5f0c
    """
    _answer(approval, ledger, yes, agree=True)


@app.command()
def deny(
    approval: ApprovalId,
    ledger: LedgerOption = None,
    yes: Yes = False,
    why: Annotated[str, typer.Option("--why", help="Why, in your words; they stand in the record.")] = "",
) -> None:
    """Refuse one call, as the account you are signed in with. One refusal is final.

    Example: agentguard approvals deny a-5f0c --why "the ticket is closed"
    """
    _answer(approval, ledger, yes, agree=False, why=common.reason_given(why))


@app.command()
def cancel(
    approval: ApprovalId,
    ledger: LedgerOption = None,
    why: Annotated[str, typer.Option("--why", help="Why, for the record.")] = "",
) -> None:
    """Take back a call that was asked for you, as the account you are signed in with.

    Example: agentguard approvals cancel a-5f0c
    """
    person = account()
    with common.operations(ledger) as operations:
        _find(operations, approval)
        operations.cancel(approval, by=person, why=why)
    common.line(f"recorded: {person} takes it back; the call will not run unless it is asked for anew")


def _answer(approval: str, ledger: LedgerOption, yes: bool, *, agree: bool, why: str = "") -> None:
    person = account()
    with common.operations(ledger) as operations:
        view = _find(operations, approval)
        problem = view.why_not(person, agree=agree)
        if problem is not None:
            raise LedgerError(problem)
        common.rows(view.rows(personal=view.may_see(person)))
        if not yes:
            question = f"{'Agree to' if agree else 'Refuse'} this call as {person}?"
            if not typer.confirm(question, default=False):
                common.line("nothing was answered")
                raise typer.Exit(1)
        after = _view(operations.answer(approval, approver=person, approve=agree, why=why))
    told = f"{after.agreed} of {after.asked.quorum} have agreed" if agree else "the call will not run"
    common.line(f"recorded: {person} {'agrees' if agree else 'refuses'}; {told}")
    if agree:
        common.line("the guard decides again before the call runs")


def _find(operations: Operations, approval: str) -> ApprovalView:
    row = operations.approval(approval)
    if row is None:
        raise LedgerError(f"there is no approval `{approval}`; `agentguard approvals list --all` shows them")
    return _view(row)


def _view(row: ApprovalRow) -> ApprovalView:
    return ApprovalView(row.request, row.answers, row.life, common.now_utc())
