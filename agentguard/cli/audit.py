"""``agentguard audit``: read the records of what was decided and done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard import display
from agentguard.cli import common
from agentguard.cli.common import COLOURS, JsonOption, LedgerOption
from agentguard.cli.findings import told
from agentguard.core.values import RECORD_KINDS
from agentguard.errors import ConfigurationError, LedgerError

if TYPE_CHECKING:
    from rich.text import Text

    from agentguard.guard import Operations
    from agentguard.ledger import RecordFilter

app = common.new_app("Read the records of what was decided and done.")

POLL_SECONDS = 0.25
BATCH = 500

Run = Annotated[str | None, typer.Option("--run", help="Only of this run.")]
Subject = Annotated[str | None, typer.Option("--subject", help="Only of this workload.")]
Tool = Annotated[str | None, typer.Option("--tool", help="Only of this tool.")]
EffectOption = Annotated[str | None, typer.Option("--effect", help="Only permit, escalate or deny.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only those that give this reason.")]
Kind = Annotated[str | None, typer.Option("--kind", help=f"Only of this kind: {', '.join(RECORD_KINDS)}.")]
Since = Annotated[str | None, typer.Option("--since", help="From this time on: RFC 3339, or 10m for ten minutes ago.")]
Until = Annotated[str | None, typer.Option("--until", help="Up to this time.")]


@app.command("list")
def list_(
    ledger: LedgerOption = None,
    run: Run = None,
    subject: Subject = None,
    tool: Tool = None,
    effect: EffectOption = None,
    reason: ReasonOption = None,
    kind: Kind = None,
    since: Since = None,
    until: Until = None,
    last: Annotated[int, typer.Option("--last", min=1, max=1_000_000, help="At most this many, the newest.")] = 100,
    before: Annotated[
        int | None, typer.Option("--before", min=1, max=2**53, help="The page before: only records below this number.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List records, oldest first; with --json whole, one a line.

    Example: agentguard audit list --effect deny --since 1h
    """
    wanted = _wanted(run, subject, tool, effect, reason, kind, since, until)
    with common.operations(ledger) as operations:
        show_record = _printer(json)
        found = 0
        for data in operations.records(wanted, before=before, limit=last, newest=True):
            show_record(data)
            found += 1
    if not found and not json:
        common.line("no record matches")


@app.command()
def show(
    record: Annotated[str, typer.Argument(metavar="ID", help="A decision's id, or a record's number.")],
    ledger: LedgerOption = None,
    all_: Annotated[bool, typer.Option("--all", help="The findings of every step, and not of the nearest.")] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Also what lies beside the records: personal values, what was kept.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show every field of the records of one decision: what was decided and what came of it.

    Example: agentguard audit show d-5f0c
    """
    with common.operations(ledger) as operations:
        found = list(find(operations, record))
        if private:
            found = [{**data, "private": _beside(operations, data["seq"])} for data in found]
    if not found:
        raise LedgerError(f"no record has the id or number `{record}`; `agentguard audit list` shows them")
    for data in found:
        if json:
            common.print_json(data)
        else:
            common.rows(_rows(data, all_))
            typer.echo("")


@app.command()
def salts(
    record: Annotated[str, typer.Argument(metavar="ID", help="A decision's id, or a record's number.")],
    ledger: LedgerOption = None,
) -> None:
    """Print what opens the commitments of a record. Give it only to somebody who may see the secrets in it.

    A commitment is `sha256:` and the SHA-256 of the salt, a full stop, and the bytes it stands for: of
    `/arguments_digest` the canonical JSON (RFC 8785) of all arguments, of a destination its whole canonical id. Who has
    the salt can search for what a record left out; who has only the records cannot.

    Example: agentguard audit salts d-5f0c
    """
    with common.operations(ledger) as operations:
        seqs = [data["seq"] for data in find(operations, record)]
        opened = [{"seq": seq, "salts": dict(salts)} for seq in seqs if (salts := operations.salts(seq))]
    if not opened:
        raise LedgerError(f"there is no record `{record}` in this ledger that commits to anything")
    for one in opened:
        common.print_json(one)


@app.command()
def follow(
    ledger: LedgerOption = None,
    run: Run = None,
    subject: Subject = None,
    tool: Tool = None,
    effect: EffectOption = None,
    reason: ReasonOption = None,
    kind: Kind = None,
    last: Annotated[int, typer.Option("--last", min=0, max=1_000_000, help="Begin with this many older ones.")] = 10,
    json: JsonOption = False,
) -> None:
    """Show records as they are written, until Ctrl-C. None is missed and none comes twice.

    Example: agentguard audit follow --effect deny --json
    """
    wanted = _wanted(run, subject, tool, effect, reason, kind, None, None)
    try:
        with common.operations(ledger) as operations:
            show_record = _printer(json)
            for data in followed(operations, wanted, last, lambda: time.sleep(POLL_SECONDS)):
                show_record(data)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def followed(
    operations: Operations, wanted: RecordFilter, last: int, pause: Callable[[], None]
) -> Iterator[dict[str, Any]]:
    """The last few records, then every later one as it appears. ``pause`` is called whenever nothing is new."""
    # Records are numbered in the order they become durable, so everything after the newest number is new.
    newest = next((data["seq"] for data in operations.records(limit=1, newest=True)), 0)
    if last:
        for data in operations.records(wanted, limit=last, newest=True):
            if data["seq"] > newest:
                break
            yield data
    after = newest
    while True:
        seen = after
        for data in operations.records(wanted, after=after, limit=BATCH):
            after = data["seq"]
            yield data
        if after == seen:
            pause()


def find(operations: Operations, record: str) -> Iterator[dict[str, Any]]:
    """The records of one decision, or the record of one number."""
    from agentguard.ledger import RecordFilter

    if record.isascii() and record.isdigit() and len(record) <= 15:
        number = int(record)
        if number > 0:
            yield from (r for r in operations.records(after=number - 1, limit=1) if r["seq"] == number)
        return
    yield from operations.records(RecordFilter(decision_id=record))


def _rows(data: dict[str, Any], everything: bool) -> Iterator[tuple[str, str]]:
    """Every field, and each finding on a line of its own: of a refused call, those of the nearest step."""
    for name, value in data.items():
        if name != "findings" or not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            yield name, _field(value)
            continue
        yield name, str(len(value))
        for found in told(value, data.get("effect"), everything=everything):
            if isinstance(found, str):
                yield "", f"  {found}; --all shows them"
            else:
                yield "", f"  {display.shown(found.effect)} {found}"


def _wanted(
    run: str | None,
    subject: str | None,
    tool: str | None,
    effect: str | None,
    reason: str | None,
    kind: str | None,
    since: str | None,
    until: str | None,
) -> RecordFilter:
    """The filter. Raises ConfigurationError for a word that no record can hold, and where nothing can match."""
    from agentguard.guard.records import wanted

    now = common.now_utc()
    begin = None if since is None else common.moment(since, "--since", now)
    end = None if until is None else common.moment(until, "--until", now)
    if begin is not None and end is not None and begin > end:
        raise ConfigurationError("--since is later than --until, so nothing can match")
    return wanted(
        run_id=run, subject=subject, tool=tool, effect=effect, reason=reason, kind=kind, since=begin, until=end
    )


def _printer(json: bool) -> Callable[[dict[str, Any]], None]:
    if json:
        return common.print_json
    from rich.text import Text

    out = common.console()

    def print_one(data: dict[str, Any]) -> None:
        head, tail = line_of(data)
        # A terminal would break a long line anywhere, in the id too.
        broken = sys.stdout.isatty() and len(head) + len(tail) > out.width
        out.print(head + Text(f"\n{'':8}" if broken else "") + tail)

    return print_one


def line_of(data: dict[str, Any]) -> tuple[Text, Text]:
    """One record: what happened, and why to whom. Every text in it may come from anybody, so every text is escaped."""
    from rich.text import Text

    word = str(data.get("effect") or data.get("outcome") or "")
    what = data.get("tool") or data.get("workflow") or data.get("subject")
    codes = data.get("reasons")
    reasons = ",".join(map(str, codes if isinstance(codes, list) else [])) or data.get("why") or data.get("error") or ""
    who = data.get("decision_id") or data.get("approval_id") or data.get("run_id") or ""
    head = Text.assemble(
        (f"{_cell(data.get('seq')):>6}  ", "dim"),
        f"{_cell(data.get('time'))[:19]:<19}  ",
        f"{_cell(data.get('kind')):<9} ",
        (f"{_cell(word):<10} ", COLOURS.get(word, "")),
        f"{_cell(what):<24} ",
    )
    mark = ("not enforced  ", "yellow") if data.get("enforced") is False else ""
    return head, Text.assemble(mark, f"{_cell(reasons)}  " if reasons else "", (_cell(who), "dim"))


def _cell(text: Any) -> str:
    return display.shown("-" if text is None else str(text), 120)


def _beside(operations: Operations, seq: int) -> dict[str, Any]:
    """What lies beside a record, without the salts: those are another command's."""
    found = operations.private(seq)
    return {name: value for name, value in found.items() if name not in ("salt", "salts", "reached_salt", "cells")}


def _field(value: Any) -> str:
    return display.shown(value) if isinstance(value, str) else display.value(value, 4_000)
