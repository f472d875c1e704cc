"""A ledger as format 2 made it, from its own SQL."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from agentguard.ledger.cells import micros

# As format 2 made its tables, without its indexes.
TABLES = """
CREATE TABLE records (seq INTEGER PRIMARY KEY, time INTEGER, kind TEXT, run_id TEXT, subject TEXT, tool TEXT,
    effect TEXT, decision_id TEXT, reasons TEXT, body BLOB NOT NULL);
CREATE TABLE blocks (block INTEGER PRIMARY KEY, earliest INTEGER, latest INTEGER);
CREATE TABLE postings (field TEXT NOT NULL, value TEXT NOT NULL, block INTEGER NOT NULL,
    PRIMARY KEY (field, value, block)) WITHOUT ROWID;
CREATE TABLE runs (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, workflow TEXT NOT NULL,
    workflow_digest TEXT NOT NULL, subject TEXT NOT NULL, requester TEXT, started_at INTEGER NOT NULL);
CREATE TABLE run_states (n INTEGER PRIMARY KEY, version INTEGER NOT NULL, status TEXT NOT NULL, risk INTEGER NOT NULL,
    high_water INTEGER, counts TEXT NOT NULL, succeeded TEXT NOT NULL, spent TEXT NOT NULL, zones TEXT NOT NULL);
CREATE TABLE run_values (n INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (n, kind, name)) WITHOUT ROWID;
CREATE TABLE marks (n INTEGER NOT NULL, k INTEGER NOT NULL, source TEXT NOT NULL, place INTEGER NOT NULL,
    digests BLOB NOT NULL, text TEXT NOT NULL, PRIMARY KEY (n, k)) WITHOUT ROWID;
CREATE TABLE spends (n INTEGER PRIMARY KEY, workflow TEXT NOT NULL, budget TEXT NOT NULL, at INTEGER NOT NULL,
    amount INTEGER NOT NULL);
CREATE TABLE assertions (key BLOB PRIMARY KEY, until INTEGER) WITHOUT ROWID;
CREATE TABLE open_calls (seq INTEGER PRIMARY KEY, decision_id TEXT NOT NULL, run_id TEXT NOT NULL, step TEXT NOT NULL,
    owner TEXT NOT NULL);
CREATE TABLE approvals (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, request_digest TEXT NOT NULL,
    policy_revision TEXT NOT NULL, run_id TEXT NOT NULL, requested_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    consumed INTEGER NOT NULL DEFAULT 0, body BLOB NOT NULL);
CREATE TABLE answers (approval INTEGER NOT NULL, approver TEXT NOT NULL, approve INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (approval, approver));
CREATE TABLE subjects (subject TEXT PRIMARY KEY, suspended INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE contacts (subject TEXT NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (subject, kind, value)) WITHOUT ROWID;
CREATE TABLE credentials (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE standings (kind TEXT NOT NULL, about TEXT NOT NULL, source TEXT NOT NULL, risk INTEGER, risk_at INTEGER,
    refused INTEGER, refused_at INTEGER, newer INTEGER, ended INTEGER, PRIMARY KEY (kind, about, source)) WITHOUT ROWID;
CREATE TABLE happenings (n INTEGER NOT NULL, what TEXT NOT NULL, at INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (n, what, at, seq)) WITHOUT ROWID;
CREATE TABLE heard (key BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE streams (name TEXT PRIMARY KEY, heard_at INTEGER NOT NULL, status TEXT NOT NULL) WITHOUT ROWID;
"""
NOW = micros(datetime(2026, 9, 1, tzinfo=UTC))
BOB = {"request_digest": "sha256:q", "policy_revision": "sha256:p", "workflow": "w", "step": "s", "tool": "t.get"}
BOB |= {"run_id": "asks", "subject": "spiffe://x/a", "id": "ask-1"}
SEEN = sha256(b"clean").digest()


def record(kind: str, **fields: Any) -> dict[str, Any]:
    known = {"kind": kind, "time": "2026-09-01T00:00:00Z", "effect": "permit", "reasons": []}
    return known | {"subject": "spiffe://x/a", "tool": "t.get"} | fields


def key(issuer: str, jti: str) -> bytes:
    return sha256(b"%d:%b%b" % (len(issuer), issuer.encode(), jti.encode())).digest()


def old_ledger(path: Path) -> list[bytes]:
    """A ledger of format 2 with something in each of its tables. Its records' bytes."""
    bodies = [
        *(record("run", run_id=name) for name in ("r", "asks", "over", "held", "lost")),
        record("decision", decision_id="d-open", run_id="r"),
        record("approval", run_id="asks", approval_id="ask-1"),
    ]
    data = [json.dumps(body, sort_keys=True, separators=(",", ":")).encode() for body in bodies]
    database = sqlite3.connect(path)
    database.executescript(TABLES)
    for seq, (body, one) in enumerate(zip(bodies, data, strict=True), 1):
        row = (seq, NOW, body["kind"], body["run_id"], body["subject"], body["tool"], body["effect"])
        database.execute("INSERT INTO records VALUES (?,?,?,?,?,?,?,?,NULL,?)", (*row, body.get("decision_id"), one))
    for n, (name, status, subject) in enumerate(
        [("r", "active", "a"), ("asks", "active", "a"), ("over", "ended", "a"), ("held", "active", "b"),
         ("lost", "active", "a")], 1,
    ):  # fmt: skip
        database.execute(
            "INSERT INTO runs VALUES (?,?,'w','sha256:w',?,'alice',?)", (n, name, f"spiffe://x/{subject}", NOW)
        )
        database.execute(
            """INSERT INTO run_states VALUES (?,7,?,0,?,'{"s":2}','["s"]','{"b":5}','["inside"]')""", (n, status, 2)
        )
    values = [(1, "input", "amount", b"1.5"), (1, "kept", "id", b'"secret-id"'), (1, "kept", "yes", b"true")]
    database.executemany("INSERT INTO run_values VALUES (?,?,?,?)", values)
    database.execute("INSERT INTO marks VALUES (1,0,'crm',1,?,'what outsiders wrote')", (SEEN,))
    database.execute("INSERT INTO marks VALUES (5,0,'',0,x'','')")
    database.execute("INSERT INTO spends VALUES (1,'w','daily',?,90)", (NOW,))
    database.execute("INSERT INTO assertions VALUES (?,?)", (key("idp", "used"), NOW + 10**12))
    database.execute("INSERT INTO open_calls VALUES (6,'d-open','r','s','" + "0" * 32 + "')")
    body = json.dumps(BOB | {"requester": "alice", "approvers": ["user:bob"], "quorum": 1, "shown": {"a": 1}}).encode()
    asked = (1, "ask-1", "sha256:q", "sha256:p", "asks", NOW, NOW + 10**12, 0, body)
    database.execute("INSERT INTO approvals VALUES (?,?,?,?,?,?,?,?,?)", asked)
    database.execute("INSERT INTO answers VALUES (1,'user:bob',1,?)", (NOW,))
    database.execute("INSERT INTO subjects VALUES ('spiffe://x/b',1)")
    contacts = [("spiffe://x/a", "zone", "inside"), ("spiffe://x/a", "destination", "https://known.example")]
    database.executemany("INSERT INTO contacts VALUES (?,?,?)", contacts)
    database.execute("INSERT INTO credentials VALUES ('crm','revoked')")
    database.execute("INSERT INTO standings VALUES ('party','user:alice','idp',1,?,1,?,?,NULL)", (NOW, NOW, NOW))
    database.execute("INSERT INTO happenings VALUES (1,'denied',?,6)", (NOW,))
    database.execute("INSERT INTO heard VALUES (?)", (key("idp", "event"),))
    database.execute("INSERT INTO streams VALUES ('idp',?,'paused')", (NOW,))
    database.execute("PRAGMA application_id = 0x61674C31")
    database.execute("PRAGMA user_version = 2")
    database.commit()
    assert database.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    database.close()
    path.chmod(0o640)
    return data
