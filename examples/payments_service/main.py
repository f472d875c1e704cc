"""Pays suppliers from a real PostgreSQL, asynchronously, while its run's risk goes up and down."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg

from agentguard import Guard, ToolCallDenied
from examples.support.bundle import bundle
from examples.support.checks import Checks, reasons
from examples.support.postgres import postgres, rows
from examples.support.timeline import Timeline

_SCHEMA = """
create table accounts (name text primary key, cents bigint not null check (cents >= 0));
create table payments (id serial primary key, payer text not null, payee text not null, cents bigint not null);
insert into accounts values ('shop', 100000), ('baker', 0), ('miller', 0), ('mallory', 0);
"""


def run(timeline: Timeline, folder: Path, checks: Checks) -> None:
    """The whole example."""
    policy = bundle("payments_service", folder / "policy", {})
    with postgres(folder / "database") as database:
        with psycopg.connect(database) as connection:
            connection.execute(_SCHEMA.encode())
        with Guard.load(policy, home=folder / "home", log=timeline) as guard:
            asyncio.run(serve(timeline, guard, database))
            records = list(guard.records())
        timeline.title("What really happened", "read from the database")
        check(checks, database, records)


async def serve(timeline: Timeline, guard: Guard, database: str) -> None:
    """One run of the service."""

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

        async def set_risk(risk: str, why: str) -> None:
            await asyncio.to_thread(guard.operations.set_risk, run.id, risk, by="user:sam", why=why)
            timeline.say("user:sam", f"sets the run's risk to {risk}: {why}")

        await look("shop")
        await attempt("baker", 12_000)
        await attempt("mallory", 100)
        timeline.title("The session turns high-risk", "a person, or a signal, says so; the service was not told")
        await set_risk("high", "session seen from two countries")
        await look("shop")
        await attempt("miller", 8_000)
        timeline.title("The all-clear", "and the budget, which the refused payments did not use up")
        await set_risk("low", "it was a VPN")
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
    at_high = [r["effect"] for r in records if r["kind"] == "decision" and r["risk"] == "high"]
    checks.that("reading went on at high risk, writing did not", at_high == ["permit", "deny"], at_high)
