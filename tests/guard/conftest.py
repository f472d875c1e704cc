"""A small bundle, a guard over an in-memory ledger, and tools that count how often they really ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentguard.guard import Guard
from agentguard.ledger import memory_ledger

EXPORTER = "spiffe://corp.example/agent/exporter"

FILES = {
    "trust.yaml": f"""
apiVersion: agentguard/v1
kind: Trust
groups:
  data-stewards: ["user:alice", "user:bob"]
issuers:
  - name: local
    profile: local
    issuer: https://local.agentguard.example
    audience: spiffe://corp.example/agentguard
    max_age: 60s
    max_lifetime: 60s
    subjects: ["{EXPORTER}"]
""",
    "tools.yaml": """
apiVersion: agentguard/v1
kind: Tools
tools:
  tickets.get:
    effect: read
    aliases: [get_ticket]
  warehouse.export:
    effect: send
    aliases: [export_orders]
    secrets: [password]
    destinations:
      - {argument: target, kind: url}
  vault.read:
    effect: read
    aliases: [read_vault]
    credentials: [vault-token]
""",
    "destinations.yaml": """
apiVersion: agentguard/v1
kind: Destinations
destinations:
  - {kind: url, pattern: "https://files.corp.example/*", sensitivity: internal}
  - {kind: url, pattern: "https://vault.corp.example/*", sensitivity: secret}
""",
    "customer-export.yaml": f"""
apiVersion: agentguard/v1
kind: Workflow
metadata:
  name: customer-export
  version: 3
  owner: data-platform
  purpose: Export one customer's orders for a ticket that asked for it.
  review_by: 2027-06-30
subjects:
  - {EXPORTER}
identity:
  max_age: 60s
inputs:
  ticket: {{type: string, pattern: "EXP-[0-9]+"}}
steps:
  look-up:
    tool: tickets.get
    at_most: 5
    arguments:
      ticket_id: {{type: string}}
    require:
      - args.ticket_id == inputs.ticket
    keep:
      tables: result.tables
  export:
    tool: warehouse.export
    after: [look-up]
    at_most: 2
    arguments:
      table: {{type: string}}
      rows: {{type: integer, minimum: 1, maximum: 50000}}
      target: {{type: string}}
      password: {{type: string}}
    require:
      - args.table in kept.tables
    destinations: {{up_to: confidential}}
    approval:
      when: args.rows > 1000
      from: ["group:data-stewards"]
      quorum: 2
      within: 30m
  unlock:
    tool: vault.read
    arguments: {{}}
budgets:
  rows: {{sum: args.rows, of: export, at_most: 10000, per: 1d}}
""",
}


class Clock:
    """A wall clock that moves only when told to."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Tools:
    """Two plain tools, and what they were really called with."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, Any]] = []

    def functions(self) -> list[Callable[..., Any]]:
        def get_ticket(ticket_id: str) -> dict[str, Any]:
            """Look a ticket up."""
            self.ran.append(("get_ticket", ticket_id))
            return {"tables": ["orders"], "id": ticket_id}

        def export_orders(table: str, rows: int, target: str, password: str = "hunter2") -> str:
            """Export rows to a place."""
            self.ran.append(("export_orders", (table, rows, target, password)))
            return "done"

        return [get_ticket, export_orders]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = tmp_path / "policy"
    directory.mkdir()
    for name, text in FILES.items():
        (directory / name).write_text(text)
    return directory


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(bundle: Path, tmp_path: Path, clock: Clock) -> Iterator[Guard]:
    with Guard.load(bundle, ledger=memory_ledger(), home=tmp_path / "home", clock=clock) as made:
        yield made


@pytest.fixture
def tools() -> Tools:
    return Tools()
