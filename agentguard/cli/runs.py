"""``agentguard runs``: what is under way, and the hand on its switch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard import display
from agentguard.approvals import account
from agentguard.approvals.view import moment
from agentguard.cli import common
from agentguard.cli.common import JsonOption, LedgerOption, WhyOption
from agentguard.cli.findings import told
from agentguard.core.credentials import cleaned
from agentguard.core.facts import RunStatus
from agentguard.core.values import Json, Risk
from agentguard.errors import ConfigurationError, LedgerError

if TYPE_CHECKING:
    from agentguard.core.facts import Observed, RunState
    from agentguard.guard import Operations

app = common.new_app("List runs, read one, stop it, or set how far it is trusted.")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="Its id, as `agentguard runs list` shows it.")]


@app.command("list")
def list_(
    ledger: LedgerOption = None,
    active: Annotated[bool, typer.Option("--active", help="Only those under way.")] = False,
    workflow: Annotated[str | None, typer.Option("--workflow", help="Only of this workflow.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Only of this workload.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only those opened by this key.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="Only those that this run delegated.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only active, ended or stopped.")] = None,
    before: Annotated[str | None, typer.Option("--before", help="The next page: only those before this run.")] = None,
    last: Annotated[int, typer.Option("--last", min=1, max=1_000_000, help="At most this many, the newest.")] = 100,
    json: JsonOption = False,
) -> None:
    """List runs, newest first. Of those under way it is shown which ones nobody is inside any more.

    `observed`: it began observed, so what would be refused in it runs. `waiting`: for a person. `gone`: the process
    ended and left it open. `left`: it was left open, and nobody went on with it. `open`: it goes on with its key.
    `over`: it lasted, or was idle, for longer than its workflow says.

    Example: agentguard runs list --active
    """
    if status is not None:
        common.choice(status, (str(word) for word in RunStatus), "--status")
    if active and status not in (None, "active"):
        raise ConfigurationError(f"--active and --status {status} exclude each other; leave one out")
    with common.operations(ledger) as operations:
        wanted = {
            "status": status,
            "workflow": workflow,
            "subject": subject,
            "before": before,
            "limit": last,
            "key": key,
            "parent": parent,
        }
        found = operations.runs(active_only=active, **wanted)
        where = operations.whereabouts(found)
    if json:
        common.print_json([to_json(run, where) for run in found])
        return
    if not found:
        common.line("no run is under way" if active else "no runs" if before is None else "no runs before that")
        return
    common.id_table(
        ("RUN", "STATUS", "RISK", "WORKFLOW", "SUBJECT", "REQUESTER", "KEY", "PARENT", "STARTED", "CALLS"),
        (
            (
                run.id,
                _standing(run, where),
                run.risk.word,
                run.workflow,
                run.subject,
                run.requester or "-",
                run.key or "-",
                (run.family and run.family.parent) or "-",
                moment(run.started_at),
                str(sum(run.counts.values())),
            )
            for run in found
        ),
    )
    if len(found) == last:
        common.line(f"at most {last}, the newest; the next page: --before {found[-1].id}")


@app.command()
def show(run: RunId, ledger: LedgerOption = None, json: JsonOption = False) -> None:
    """Show one run: whose it is, what it has done, and which of its calls have no outcome yet. Of an observed run also
    the newest calls that would have been refused, or put to people, and why.

    Example: agentguard runs show r-5f0c
    """
    with common.operations(ledger) as operations:
        state = operations.run(run)
        if state is None:
            raise LedgerError(f"there is no run `{run}` in this ledger; `agentguard runs list` shows them")
        waiting = [call for call in operations.open_calls() if call.get("run_id") == run]
        where = operations.whereabouts()
        unenforced = [] if state.observed is None else list(_unenforced(operations, run))
    if json:
        more = {} if state.observed is None else {"not_enforced": unenforced}
        calls = [call.get("decision_id") for call in waiting]
        common.print_json({**to_json(state, where), "open_calls": calls, **more})
        return
    pairs = [(name.replace("_", " "), what) for name, leaf in to_json(state, where).items() for what in [_text(leaf)]]
    pairs += [
        ("open call", f"{display.shown(str(c.get('tool')))} {display.shown(str(c.get('decision_id')))}")
        for c in waiting
    ]
    common.rows([*pairs, *((f"would {_WOULD[each['effect']]}", _why(each)) for each in unenforced)])


_WOULD = {"deny": "be refused", "escalate": "be asked"}
# Of the calls that would have been refused so many are shown; `agentguard audit list --run` shows all.
_MOST_SHOWN = 20


def _unenforced(operations: Operations, run: str) -> Iterator[dict[str, Any]]:
    """The newest calls of a run that ran though they were not permitted, oldest first."""
    from agentguard.ledger import RecordFilter

    found: list[dict[str, Any]] = []
    for effect in _WOULD:
        wanted = RecordFilter(run_id=run, kind="decision", effect=effect)
        newest = operations.records(wanted, limit=_MOST_SHOWN, newest=True)
        found += [data for data in newest if data.get("enforced") is False]
    names = ("seq", "time", "decision_id", "effect", "tool", "step", "reasons", "findings")
    for data in sorted(found, key=lambda data: int(data["seq"]))[-_MOST_SHOWN:]:
        yield {name: data.get(name) for name in names}


def _why(data: Mapping[str, Any]) -> str:
    """One call on a line: what, and what is wrong with it, under the nearest step."""
    findings = data["findings"] if isinstance(data["findings"], list) else []
    said = "; ".join(str(found) for found in told(findings, data["effect"]) if not isinstance(found, str))
    return f"{display.shown(str(data['tool']))} {display.shown(str(data['decision_id']))} {said}"


@app.command()
def stop(run: RunId, ledger: LedgerOption = None, why: WhyOption = "no reason given", json: JsonOption = False) -> None:
    """Stop a run: its very next call is refused, in every process that shares the ledger. This cannot be undone.

    A call that is being executed is not interrupted; its outcome will stand in the records.

    Example: agentguard runs stop r-5f0c --why "wrong ticket"
    """
    reason = common.reason_given(why)
    with common.operations(ledger) as operations:
        state = operations.stop_run(run, by=account(), why=reason)
    _done(state, json, f"stopped `{run}`; its next call is refused")


@app.command()
def free(run: RunId, ledger: LedgerOption = None, why: WhyOption = "no reason given", json: JsonOption = False) -> None:
    """Let the key of a stopped run open another. Until then it opens none, so that a stop is not undone by a retry.

    The next run of the key goes on counting where this one was stopped.

    Example: agentguard runs free r-5f0c --why "the ticket was put right"
    """
    reason = common.reason_given(why)
    with common.operations(ledger) as operations:
        state = operations.free_key(run, by=account(), why=reason)
    _done(state, json, f"the key of `{run}` may open another run")


@app.command()
def risk(
    run: RunId,
    level: Annotated[str, typer.Argument(metavar="LEVEL", help="low, medium or high.")],
    ledger: LedgerOption = None,
    why: WhyOption = "no reason given",
    json: JsonOption = False,
) -> None:
    """Set how far a run is trusted. By default `high` leaves it only reading, and `medium` lowers its reach by one.

    What streams and rules say stands beside it: the highest counts.

    Example: agentguard runs risk r-5f0c high --why "odd destinations"
    """
    common.choice(level, Risk.words(), "LEVEL")
    reason = common.reason_given(why)
    with common.operations(ledger) as operations:
        state = operations.set_risk(run, level, by=account(), why=reason)
    others = "" if state.risk.word == level else "; a stream, a rule or a word on its subject says more"
    _done(state, json, f"`{run}` is now of risk {state.risk.word}{others}")


@app.command()
def settle(
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="The call, as `agentguard runs show` names it.")],
    outcome: Annotated[str, typer.Option("--as", metavar="OUTCOME", help="succeeded or failed.")],
    ledger: LedgerOption = None,
    why: WhyOption = "no reason given",
    json: JsonOption = False,
) -> None:
    """Say how a call ended whose outcome is unknown: its process died, or was cancelled, while the tool ran.

    Until then its run is permitted nothing that rests on kept values or on where values come from. Look first at what
    the tool did. A call that succeeded counts for `after`; nothing is kept of it, and what it returned counts as never
    read. If the agent may have read it, stop the run instead.

    Example: agentguard runs settle d-5f0c --as failed --why "the bank has no such payment"
    """
    common.choice(outcome, ("succeeded", "failed"), "--as")
    reason = common.reason_given(why)
    with common.operations(ledger) as operations:
        state = operations.settle(decision, outcome, by=account(), why=reason)
    left = len(state.unsettled)
    more = f"; {left} more of its calls are unsettled" if left else ""
    _done(state, json, f"settled `{decision}` as {outcome} in run `{state.id}`{more}")


@app.command()
def sweep(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Only this one.")] = None,
    older_than: Annotated[str, typer.Option("--older-than", help="Only those begun so long ago, such as 12h.")] = "0s",
    ledger: LedgerOption = None,
    why: WhyOption = "no reason given",
    json: JsonOption = False,
) -> None:
    """End the runs that nobody will ever leave: their process is gone, they were left open and nobody went on with
    them, or they lasted or were idle for longer than their workflow says.

    A run that somebody is inside, or that waits for a person, is left alone; `agentguard runs stop` stops any run.
    One that goes on with its key is ended only where it is named.

    Example: agentguard runs sweep --older-than 12h
    """
    reason, age = common.reason_given(why), common.duration(older_than, "--older-than")
    with common.operations(ledger) as operations:
        swept = operations.sweep(run, older_than=age, by=account(), why=reason)
    if json:
        common.print_json([to_json(state) for state in swept])
        return
    for state in swept:
        common.line(f"ended `{state.id}` of `{state.workflow}`")
    if not swept:
        common.line("nothing to sweep")


def to_json(run: RunState, where: Mapping[str, str] | None = None) -> dict[str, Json]:
    """A run as a program reads it. What it keeps is listed by name: values may be private."""
    shown: dict[str, Json] = {} if where is None else {"whereabouts": where.get(run.id)}
    return {
        **shown,
        "id": run.id,
        "workflow": run.workflow,
        "workflow_digest": run.workflow_digest,
        "subject": run.subject,
        "requester": run.requester,
        "key": run.key,
        "goes_on_counting_from": run.carries,
        "parent": None if run.family is None else run.family.parent,
        "first_of_its_tree": None if run.family is None else run.family.root,
        "delegated_steps": _given(run),
        "open_below": list[Json](() if run.family is None else run.family.children),
        "status": str(run.status),
        "observed": None if run.observed is None else _observed(run.observed),
        "risk": run.risk.word,
        "subject_suspended": run.subject_suspended,
        "credential_refused": run.credential_refused,
        "issued_after": None if run.issued_after is None else moment(run.issued_after),
        "started_at": moment(run.started_at),
        "lasts": None if run.lasts is None else str(run.lasts),
        "idle": None if run.idle is None else str(run.idle),
        "last_call_at": None if run.last_call_at is None else moment(run.last_call_at),
        "inputs": cleaned(dict(run.inputs)),
        "kept": list[Json](sorted(run.kept)),
        "calls": {name or "(no step)": calls for name, calls in sorted(run.counts.items())},
        "succeeded": list[Json](sorted(name for name in run.succeeded if name)),
        "unsettled": list[Json](sorted(run.unsettled)),
        "spent_micros": dict(sorted(run.spent.items())),
        "high_water": None if run.high_water is None else run.high_water.word,
        "version": run.version,
    }


def _given(run: RunState) -> Json:
    """The steps that it was given, where it was given some and not all."""
    steps = None if run.family is None else run.family.steps
    return None if steps is None else list[Json](sorted(steps))


def _standing(run: RunState, where: Mapping[str, str]) -> str:
    """Where a run stands, and that nobody is inside it where that is so."""
    found = where.get(run.id, "inside")
    parts = [str(run.status), *([] if found == "inside" else [found]), *([] if run.observed is None else ["observed"])]
    return ", ".join(parts)


def _observed(observed: Observed) -> dict[str, Json]:
    """Until when, of which steps (null: all), and what would have come of it."""
    return {
        "until": str(observed.until),
        "steps": None if observed.steps is None else list[Json](sorted(observed.steps)),
        "would_be_refused": observed.refused,
        "would_be_asked": observed.asked,
    }


def _text(leaf: Json) -> str:
    return display.shown(leaf) if isinstance(leaf, str) else display.value(leaf)


def _done(state: RunState, json: bool, told: str) -> None:
    if json:
        common.print_json(to_json(state))
    else:
        common.line(told)
