"""One good bundle, and a way to break it in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

EXPORTER = "spiffe://corp.example/agent/exporter"

FILES: Mapping[str, str] = {
    "trust.yaml": """\
        apiVersion: agentguard/v1
        kind: Trust
        groups:
          data-stewards: [user:alice, user:bob]
        issuers:
          - name: local
            profile: local
            issuer: https://local.agentguard.example
            audience: spiffe://corp.example/agentguard
            max_age: 60s
            max_lifetime: 60s
            subjects: [spiffe://corp.example/agent/exporter]
          - name: corp
            profile: spiffe
            trust_domain: corp.example
            issuer: https://spire.corp.example
            audience: spiffe://corp.example/agentguard
            max_age: 5m
            max_lifetime: 1h
            skew: 0s
            keys_file: keys.json
            minimum_assurance: bearer
        streams:
          - name: quiet
            issuer: https://quiet.example
            audience: https://agentguard.corp.example
            keys_file: quiet.json
            max_silence: 1d
          - name: idp
            issuer: https://idp.corp.example
            audience: https://agentguard.corp.example
            keys_url: https://idp.corp.example/keys
            about: ["user:eli", "https://idp.corp.example#*"]
            poll_url: http://127.0.0.1:8080/poll
            authorization_env: IDP_AUTHORIZATION
            max_silence: 10m
            required_for: [restricted, secret]
        """,
    "tools.yaml": """\
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
            credentials: [warehouse]
            untrusted_results: [body]
            fingerprint: sha256:0000000000000000000000000000000000000000000000000000000000000000
            destinations:
              - {argument: target, kind: url}
              - {fixed: "postgresql://db.corp.example/orders", kind: dsn, dialect: postgres}
        """,
    "destinations.yaml": """\
        apiVersion: agentguard/v1
        kind: Destinations
        destinations:
          - {kind: url, pattern: "https://files.corp.example/*", sensitivity: internal, zone: office, owner: files}
        zones:
          office:
            subjects: [spiffe://corp.example/agent/exporter]
            reaches: {office: secret, prod: internal}
          prod: {}
        freshness: {restricted: 30s}
        assurance: {secret: call-bound}
        risk: {medium: {up_to: confidential}, high: {up_to: public}}
        """,
    # A workflow that uses most of the language; the same stands in docs/policy.md.
    "customer-export.yaml": """\
        apiVersion: agentguard/v1
        kind: Workflow
        metadata:
          name: customer-export
          version: 3
          owner: data-platform
          purpose: Export one customer's orders for a ticket that asked for it.
          review_by: 2027-06-30          # after that day this workflow permits nothing
        subjects:
          - spiffe://corp.example/agent/exporter
        identity:
          max_age: 60s
        inputs:                           # fixed when the run starts, by trusted code, never by the model
          ticket: {type: string, pattern: "EXP-[0-9]+"}
        steps:
          look-up:
            tool: tickets.get
            at_most: 5
            arguments:
              ticket_id: {type: string}
            require:
              - args.ticket_id == inputs.ticket
            keep:
              tables: result.tables       # what later steps may rely on
          export:
            tool: warehouse.export
            after: [look-up]
            at_most: 1
            arguments:                    # closed world
              table: {type: string}
              rows:  {type: integer, minimum: 1, maximum: 50000}
              target: {type: string}
            require:
              - args.table in kept.tables
            destinations: {up_to: confidential}
            approval:
              when: args.rows > 1000
              from: [group:data-stewards]
              quorum: 2
              within: 30m
        budgets:
          rows: {sum: args.rows, of: export, at_most: 100000, per: 1d}
        """,
}


@pytest.fixture
def bundle_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "policy"
    directory.mkdir()
    for name, text in FILES.items():
        (directory / name).write_text(dedent(text))
    return directory


@pytest.fixture
def broken(bundle_dir: Path) -> Callable[[str, str, str], Path]:
    """Replace one piece of text, which occurs once, in one file of the bundle."""

    def change(file: str, old: str, new: str) -> Path:
        path = bundle_dir / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))
        return bundle_dir

    return change
