"""Policy bundles of any size, and the same permissions as Cedar and Casbin policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SUBJECT = "spiffe://bench.example/agent"

_TRUST = f"""apiVersion: agentguard/v1
kind: Trust
issuers:
  - name: local
    profile: local
    issuer: urn:agentguard:local
    audience: agentguard
    max_age: 60s
    max_lifetime: 60s
    subjects: [{SUBJECT}]
"""
_TOOLS = """apiVersion: agentguard/v1
kind: Tools
tools:
  plain: {effect: read}
  strict: {effect: read}
  aplain: {effect: read}
  tool: {effect: read}
"""
_WORKFLOW = """apiVersion: agentguard/v1
kind: Workflow
metadata: {{name: wf-{number}, version: 1, owner: bench, review_by: 2099-12-31}}
subjects: [{subject}]
identity: {{max_age: 60s}}
inputs:
  ticket: {{type: string}}
steps:
  plain: {{tool: plain, arguments: {arguments}}}
  aplain: {{tool: aplain, arguments: {arguments}}}
  tool: {{tool: tool, arguments: {arguments}}}
  strict:
    tool: strict
    arguments: {arguments}
    require:
      - args.ticket == inputs.ticket
      - args.rows <= 1000
      - args.table == "orders"
"""
_ARGUMENTS = "{table: {type: string}, rows: {type: integer, minimum: 1, maximum: 50000}, ticket: {type: string}}"
ARGUMENTS: dict[str, Any] = {"table": "orders", "rows": 500, "ticket": "EXP-7"}

# One workflow with everything that a call may have to do with, but for people.
_FULL_TOOLS = """apiVersion: agentguard/v1
kind: Tools
tools:
  look: {effect: read, untrusted_results: [note]}
  fetch: {effect: read, destinations: [{argument: target, kind: url}]}
"""
_FULL_PLACES = """apiVersion: agentguard/v1
kind: Destinations
destinations:
  - {kind: url, pattern: "https://files.bench.example/*", sensitivity: internal}
"""
_FULL = f"""apiVersion: agentguard/v1
kind: Workflow
metadata: {{name: full, version: 1, owner: bench, review_by: 2099-12-31}}
subjects: [{SUBJECT}]
identity: {{max_age: 60s}}
inputs:
  ticket: {{type: string}}
steps:
  look:
    tool: look
    arguments: {{ticket: {{type: string, from: inputs.ticket}}}}
    keep: {{tables: result.tables}}
  fetch:
    tool: fetch
    after: [look]
    arguments:
      table: {{type: string, from: look}}
      rows: {{type: integer, minimum: 1, maximum: 50000}}
      target: {{type: string}}
      ticket: {{type: string}}
    destinations: {{up_to: internal}}
    require:
      - args.ticket == inputs.ticket
      - args.rows <= 1000
      - args.table in kept.tables
budgets:
  rows: {{sum: args.rows, of: fetch, at_most: 1000000000000, per: 1d}}
"""
FULL_ARGUMENTS = {**ARGUMENTS, "target": "https://files.bench.example/orders.csv"}


def write_full_bundle(folder: Path) -> Path:
    """A destination, three conditions, a budget with a window, and values that are kept and followed."""
    folder.mkdir(parents=True)
    (folder / "trust.yaml").write_text(_TRUST)
    (folder / "tools.yaml").write_text(_FULL_TOOLS)
    (folder / "destinations.yaml").write_text(_FULL_PLACES)
    (folder / "full.yaml").write_text(_FULL)
    return folder


CASBIN_MODEL = """[request_definition]
r = sub, obj, act, table, rows, ticket, input
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.obj == p.obj && r.sub == p.sub && r.act == p.act && r.ticket == r.input && r.rows <= 1000 && r.table == "orders"
"""


def write_bundle(folder: Path, workflows: int) -> Path:
    """A bundle with this many workflows of four steps, one of them with three conditions."""
    folder.mkdir(parents=True)
    (folder / "trust.yaml").write_text(_TRUST)
    (folder / "tools.yaml").write_text(_TOOLS)
    for number in range(workflows):
        text = _WORKFLOW.format(number=number, subject=SUBJECT, arguments=_ARGUMENTS)
        (folder / f"wf-{number}.yaml").write_text(text)
    return folder


def cedar_policies(workflows: int) -> str:
    """One Cedar policy a workflow, with the same three conditions."""
    return "\n".join(
        f'permit(principal == Agent::"{SUBJECT}", action == Action::"strict", resource == Workflow::"wf-{number}") '
        'when { context.ticket == context.input && context.rows <= 1000 && context.table == "orders" };'
        for number in range(workflows)
    )


def casbin_policies(workflows: int) -> list[list[str]]:
    """One Casbin rule a workflow; the conditions are in the matcher."""
    return [[SUBJECT, f"wf-{number}", "strict"] for number in range(workflows)]
