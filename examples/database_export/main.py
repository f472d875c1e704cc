"""Exports what ticket EXP-7 asks for; refuses the rest; asks a person about the large table; refuses a replay."""

from __future__ import annotations

import csv
import os
from datetime import timedelta
from pathlib import Path

from langchain_core.messages.tool import ToolCall
from langchain_core.tools import ToolException

from agentguard import Guard, ToolCallDenied
from agentguard.identity import CallableSource
from examples.database_export.agent import model, work
from examples.database_export.warehouse import LINES, ORDERS, fill, make_tools
from examples.support.bundle import bundle
from examples.support.checks import Checks, reasons
from examples.support.issuer import Issuer, issuing
from examples.support.people import answering
from examples.support.postgres import postgres, rows
from examples.support.timeline import Timeline

PLATFORM = "http://127.0.0.1:8931"
EXPORTER = "spiffe://corp.example/agent/exporter"
AUDIENCE = "agentguard"
INPUTS = {"ticket": "EXP-7"}
# What whoever watched it may do next.
NEXT = (
    "agentguard test workflows/customer_export",
    "open workflows/customer_export/customer-export.yaml, write `args.rows > 100`, and run this again",
)


def run(timeline: Timeline, folder: Path, checks: Checks) -> None:
    """The whole example."""
    share = folder / "share"
    with postgres(folder / "database") as database, issuing("https://platform.corp.example") as issuer:
        fill(database)
        policy = bundle("customer_export", folder / "policy", {PLATFORM: issuer.url})
        the_agent_at_work(timeline, folder, policy, database, share)
        a_copied_assertion(timeline, folder, policy, database, share, issuer)
        timeline.title("What really happened", "read from the disk and the database, not from the records")
        check(checks, folder, policy, database, share)


def the_agent_at_work(timeline: Timeline, folder: Path, policy: Path, database: str, share: Path) -> None:
    """An agent, a model and LangChain tools, guarded by two lines on embedded defaults."""
    timeline.title("An agent exports a ticket's data", "openai client, LangChain tools, PostgreSQL, embedded defaults")
    with Guard.load(policy, home=folder / "home", wait=timedelta(minutes=5), log=timeline) as guard:
        tools = guard.wrap(make_tools(database, share))
        with (
            answering(guard, folder / "home" / "ledger.sqlite3", "user:dana", timeline.say),
            model() as (client, name),
            guard.run("customer-export", inputs=INPUTS, requester="user:eli"),
        ):
            work(client, name, tools, "Export what ticket EXP-7 asks for.", lambda text: timeline.say("model", text))


def a_copied_assertion(
    timeline: Timeline, folder: Path, policy: Path, database: str, share: Path, issuer: Issuer
) -> None:
    """The same workload with assertions of a platform issuer: one call each, and only while fresh."""
    timeline.title("A copied assertion", "valid signature, right subject; used a second time, then ten minutes old")
    fresh, stale = (issuer.token({"sub": EXPORTER}, audience=AUDIENCE, age=age, lifetime=age + 60) for age in (0, 600))
    now = [issuer.token({"sub": EXPORTER}, audience=AUDIENCE)]
    source = CallableSource(lambda _: now[0])
    with Guard.load(policy, home=folder / "home", identity=source, issuer="platform", log=timeline) as guard:
        get_ticket, *_ = guard.wrap(make_tools(database, share))
        with guard.run("customer-export", inputs=INPUTS):
            for note, now[0] in (
                ("a fresh assertion", fresh),
                ("the same assertion again", fresh),
                ("one that is ten minutes old", stale),
            ):
                timeline.say("workload", note)
                get_ticket.invoke(ToolCall(type="tool_call", id="c", name="get_ticket", args={"ticket_id": "EXP-7"}))
        timeline.say("workload", "a call outside any run, past the tool's front door")
        now[0] = issuer.token({"sub": EXPORTER}, audience=AUDIENCE)
        try:
            get_ticket.func("EXP-7")
        except (ToolCallDenied, ToolException) as refusal:
            timeline.say("workload", str(refusal))


def check(checks: Checks, folder: Path, policy: Path, database: str, share: Path) -> None:
    """Compare the world with the records. With a real model only what holds for any model is asked."""
    with Guard.load(policy, home=folder / "home") as guard:
        records = list(guard.records())
    decisions = [r for r in records if r["kind"] == "decision"]
    exported = [d for d in decisions if d["effect"] == "permit" and d["tool"] == "warehouse.export"]
    files = {path.relative_to(share).as_posix(): path for path in sorted(share.rglob("*")) if path.is_file()}
    logged = rows(database, "select tbl, rows, target from exports order by id")

    permitted = {d["arguments"]["target"].removeprefix("/exports/") for d in exported}
    checks.that("the files on disk are the exports that were permitted", set(files) == permitted, sorted(files))
    checks.that("the database logged the same exports", len(logged) == len(exported), logged)
    checks.that("no card number left the database", not any("4000-" in path.read_text() for path in files.values()))
    ran = {r["decision_id"] for r in records if r["kind"] == "outcome" and r["outcome"] == "succeeded"}
    permits = {d["decision_id"] for d in decisions if d["effect"] == "permit"}
    checks.that("every permitted call ran, and its outcome is recorded", permits == ran)
    if os.environ.get("OPENAI_API_KEY"):
        return
    # At a terminal you may have played a person who says no.
    agreed = not any(r["kind"] == "approval" and r["outcome"] == "denied" for r in records)
    for name, expected in (("orders", ORDERS), ("order_lines", LINES if agreed else None)):
        found = _lines(files.get(f"EXP-7/{name}.csv"))
        promise = f"{name}.csv has {expected} rows" if expected else f"nobody agreed to {name}.csv, so it is not there"
        checks.that(promise, found == expected, found)
    asked = [(d["arguments"]["table"], d["approved_by"]) for d in exported if d["approved_by"]]
    checks.that(
        "the large table waited for user:dana, and ran only if she agreed",
        asked == ([("order_lines", ["user:dana"])] if agreed else []),
        asked,
    )
    denied = reasons(records, "deny")
    expected_reasons = ["condition_false", "assertion_replayed", "assertion_too_old", "no_run"]
    expected_reasons[1:1] = [] if agreed else ["approval_refused"]
    checks.that(
        "refused: the table nobody asked for, the replay, the stale assertion, the call outside a run",
        len(denied) == len(expected_reasons)
        and all(wanted in found for wanted, found in zip(expected_reasons, denied, strict=True)),
        denied,
    )


def _lines(path: Path | None) -> int | None:
    if path is None:
        return None
    with path.open(newline="") as file:
        return sum(1 for _ in csv.DictReader(file))
