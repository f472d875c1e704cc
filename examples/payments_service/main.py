"""Pays suppliers from a real PostgreSQL, asynchronously, while a risk engine watches its session."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
from starlette.routing import Mount

from agentguard import Guard, ToolCallDenied
from agentguard.server.push import push_app
from examples.support.bundle import bundle
from examples.support.checks import Checks, reasons
from examples.support.postgres import postgres, rows
from examples.support.serve import serving
from examples.support.timeline import Timeline
from examples.support.transmitter import Transmitter, transmitting

KEYS = "http://127.0.0.1:8941"
# What whoever watched it may do next.
NEXT = (
    "agentguard test workflows/payments_service",
    "python -m examples.incident_response",
)
ENGINE, AUDIENCE = "https://risk.corp.example", "https://payments.corp.example/signals"

_SCHEMA = """
create table accounts (name text primary key, cents bigint not null check (cents >= 0));
create table payments (id serial primary key, payer text not null, payee text not null, cents bigint not null);
insert into accounts values ('shop', 100000), ('baker', 0), ('miller', 0), ('mallory', 0);
"""


def run(timeline: Timeline, folder: Path, checks: Checks) -> None:
    """The whole example."""
    with postgres(folder / "database") as database, transmitting(ENGINE, AUDIENCE) as engine:
        policy = bundle("payments_service", folder / "policy", {KEYS: engine.url})
        with psycopg.connect(database) as connection:
            connection.execute(_SCHEMA.encode())
        with (
            Guard.load(policy, home=folder / "home", log=timeline) as guard,
            serving(Mount("/signals", push_app(guard.receiver()))) as receiver,
        ):
            asyncio.run(serve(timeline, guard, database, engine, f"{receiver}/signals/risk-engine"))
            records = list(guard.records())
        timeline.title("What really happened", "read from the database")
        check(checks, database, records)


async def serve(timeline: Timeline, guard: Guard, database: str, engine: Transmitter, receiver: str) -> None:
    """One run of the service, and what the risk engine says of it meanwhile."""

    async def balance(account: str) -> int:
        """The balance of an account, in cents."""
        async with await psycopg.AsyncConnection.connect(database) as connection:
            found = await connection.execute("select cents from accounts where name = %s", [account])
            row = await found.fetchone()
        return int(row[0]) if row else 0

    async def pay(payer: str, payee: str, cents: int) -> None:
        """Move money."""
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await connection.execute("update accounts set cents = cents - %s where name = %s", [cents, payer])
            await connection.execute("update accounts set cents = cents + %s where name = %s", [cents, payee])
            await connection.execute(
                "insert into payments (payer, payee, cents) values (%s, %s, %s)", [payer, payee, cents]
            )

    look, move = guard.wrap([balance, pay])

    async def attempt(payee: str, cents: int) -> None:
        try:
            await move("shop", payee, cents)
        except ToolCallDenied as refusal:
            timeline.say("service", str(refusal))

    timeline.title("As usual", "payees and the sum were fixed when the run started")
    async with guard.run("pay-suppliers", inputs={"payees": ["baker", "miller"]}) as run:

        async def says(level: str, why: str) -> None:
            session = {"format": "complex", "session": {"format": "opaque", "id": run.id}}
            said = {"principal": "SESSION", "current_level": level, "risk_reason": why}
            status = await asyncio.to_thread(engine.push, receiver, "risk-level-change", session, **said)
            timeline.say("risk-engine", f"pushes: this session is of risk {level}, {why} (answered {status})")

        await look("shop")
        await attempt("baker", 12_000)
        await attempt("mallory", 100)
        timeline.title("The session turns high-risk", "a signal from outside says so; the service was not told")
        await says("HIGH", "IMPOSSIBLE_TRAVEL")
        await look("shop")
        await attempt("miller", 8_000)
        timeline.title("The all-clear", "and the budget, which the refused payments did not use up")
        await says("LOW", "IT_WAS_A_VPN")
        await attempt("miller", 8_000)
        await attempt("miller", 1)


def check(checks: Checks, database: str, records: list[dict[str, Any]]) -> None:
    """Compare the database with what was promised."""
    paid = rows(database, "select payee, cents from payments order by id")
    checks.that("exactly the two permitted payments are booked", paid == [("baker", 12_000), ("miller", 8_000)], paid)
    left = rows(database, "select name, cents from accounts order by name")
    promised = [("baker", 12_000), ("mallory", 0), ("miller", 8_000), ("shop", 80_000)]
    checks.that("and the balances agree", left == promised, left)
    denied = reasons(records, "deny")
    expected = [["condition_false"], ["risk_too_high"], ["budget_exceeded"]]
    checks.that("refused: a payee of its own, the high risk, the budget", denied == expected, denied)
    signals = [(r["by"], r["outcome"], r["risk"]) for r in records if r["kind"] == "signal"]
    said = [("risk-engine/risk", "set_risk", "high"), ("risk-engine/risk", "set_risk", "low")]
    checks.that("both signals came from the risk engine, and are in the records", signals == said, signals)
    at_high = [r["effect"] for r in records if r["kind"] == "decision" and r["risk"] == "high"]
    checks.that("reading went on at high risk, writing did not", at_high == ["permit", "deny"], at_high)
