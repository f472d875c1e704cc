"""The ledger's tables and every statement that is run on them.

``records`` is the truth and only ever grows; ``seq`` has no gaps. ``run_states`` is small and rewritten by every
admission, so what is large or never changes stands apart in ``runs`` and ``run_values``. ``blocks`` and ``postings``
are an index over ``records`` that is filled behind, a block at a time: an admission dirties a handful of pages instead
of twenty, and a query reads the index as far as it goes and the records themselves after it.
Times are microseconds since 1970 UTC; amounts are millionths.
"""

from __future__ import annotations

# "agL1": tells our files from every other application's SQLite file (SQLite file format, section 1.3.19).
APPLICATION_ID = 0x61674C31
SCHEMA_VERSION = 4

TABLES = """
CREATE TABLE records (
    seq INTEGER PRIMARY KEY,
    time INTEGER,
    kind TEXT,
    run_id TEXT,
    subject TEXT,
    tool TEXT,
    effect TEXT,
    decision_id TEXT,
    reasons TEXT,           -- a JSON list of codes, or NULL where there are none
    body BLOB NOT NULL,     -- the record's canonical JSON (RFC 8785), byte for byte
    private BLOB            -- JSON: the salts of what the record only commits to, by JSON pointer; in no record or log
);

CREATE TABLE blocks (       -- stretches of BLOCK records; records are nearly, not quite, in time order
    block INTEGER PRIMARY KEY,
    earliest INTEGER,
    latest INTEGER
);

CREATE TABLE postings (     -- which blocks hold a record with this value in this field
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    block INTEGER NOT NULL,
    PRIMARY KEY (field, value, block)
) WITHOUT ROWID;

CREATE TABLE runs (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    workflow TEXT NOT NULL,
    workflow_digest TEXT NOT NULL,
    subject TEXT NOT NULL,
    requester TEXT,
    started_at INTEGER NOT NULL,
    salt TEXT NOT NULL,         -- of its request digests; in no record or log
    party TEXT NOT NULL,        -- who the subject is, and who the requester (core.people): what power is taken away by
    person TEXT,
    called TEXT                 -- the requester as it was written, with or without `user:`
);
CREATE INDEX runs_by_party ON runs (party);
CREATE INDEX runs_by_person ON runs (person);
CREATE INDEX runs_by_called ON runs (called);

CREATE TABLE run_states (
    n INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    status TEXT NOT NULL,
    risk INTEGER NOT NULL,
    high_water INTEGER,
    counts TEXT NOT NULL,       -- JSON: step to calls admitted
    succeeded TEXT NOT NULL,    -- JSON: steps with a call that succeeded
    spent TEXT NOT NULL,        -- JSON: per-run budget to millionths
    zones TEXT NOT NULL         -- JSON: zones its calls have been in
);

CREATE TABLE holders (          -- the ledger object in which somebody is inside an active run
    n INTEGER PRIMARY KEY,
    owner TEXT NOT NULL
);

CREATE TABLE run_values (
    n INTEGER NOT NULL,
    kind TEXT NOT NULL,         -- input or kept
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (n, kind, name)
) WITHOUT ROWID;

CREATE TABLE marks (            -- what a run has seen (core/provenance.py); gone when it ends
    n INTEGER NOT NULL,
    k INTEGER NOT NULL,
    source TEXT NOT NULL,       -- '' in the only row of a run where something was lost
    place INTEGER NOT NULL,
    digests BLOB NOT NULL,      -- SHA-256 of clean values, one after the other
    text TEXT NOT NULL,         -- what outsiders could write, without what a spelling can change
    PRIMARY KEY (n, k)
) WITHOUT ROWID;

CREATE TABLE spends (           -- what each call took of a budget with a time window
    n INTEGER PRIMARY KEY,
    workflow TEXT NOT NULL,
    budget TEXT NOT NULL,
    at INTEGER NOT NULL,
    amount INTEGER NOT NULL
);
CREATE INDEX spends_by_time ON spends (workflow, budget, at);

CREATE TABLE assertions (       -- SHA-256 of (issuer, jti) of every assertion already used
    key BLOB PRIMARY KEY,
    until INTEGER
) WITHOUT ROWID;

CREATE TABLE open_calls (       -- admitted, no outcome yet; seq is that of the decision record
    seq INTEGER PRIMARY KEY,
    decision_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    step TEXT NOT NULL,
    keeps TEXT NOT NULL,        -- JSON: what its step keeps of a call that succeeds
    owner TEXT NOT NULL
);

CREATE TABLE unsettled (        -- calls whose outcome is unknown, until a person says what it was
    decision_id TEXT PRIMARY KEY,
    n INTEGER NOT NULL,
    step TEXT NOT NULL,
    keeps TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX unsettled_by_run ON unsettled (n);

CREATE TABLE approvals (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    request_digest TEXT NOT NULL,
    policy_revision TEXT NOT NULL,
    run_id TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    consumed INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL
);
CREATE INDEX approvals_by_digest ON approvals (request_digest);
CREATE INDEX approvals_by_run ON approvals (run_id);

CREATE TABLE answers (
    approval INTEGER NOT NULL,
    approver TEXT NOT NULL,
    approve INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (approval, approver)
);

CREATE TABLE subjects (         -- as core.people says who is whom
    subject TEXT PRIMARY KEY,
    suspended INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE contacts (         -- what a subject has reached at least once, in any run
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,         -- zone or destination
    value TEXT NOT NULL,
    PRIMARY KEY (subject, kind, value)
) WITHOUT ROWID;

CREATE TABLE credentials (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE standings (        -- what each source says, apart: one never takes back what another said
    kind TEXT NOT NULL,         -- party (a subject or requester), run or credential
    about TEXT NOT NULL,
    source TEXT NOT NULL,
    risk INTEGER,
    risk_at INTEGER,
    refused INTEGER,
    refused_at INTEGER,
    newer INTEGER,              -- assertions issued before this are refused
    ended INTEGER,              -- runs started up to this are stopped
    PRIMARY KEY (kind, about, source)
) WITHOUT ROWID;

CREATE TABLE happenings (       -- what rules that raise risk count; seq is that of the decision record
    n INTEGER NOT NULL,
    what TEXT NOT NULL,
    at INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    call TEXT,                  -- which call it was, where the same one again soon is no other happening
    PRIMARY KEY (n, what, at, seq)
) WITHOUT ROWID;

CREATE TABLE heard (            -- SHA-256 of (issuer, jti, streams) of every signal that took effect; for ever
    key BLOB PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE streams (
    name TEXT PRIMARY KEY,
    heard_at INTEGER NOT NULL,
    status TEXT NOT NULL
) WITHOUT ROWID;
"""

BEGIN_WRITE = "BEGIN IMMEDIATE"
BEGIN_READ = "BEGIN"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"
DATA_VERSION = "PRAGMA data_version"

# --- records
LAST_SEQ = "SELECT coalesce(max(seq), 0) FROM records"
ADD_RECORDS = "INSERT INTO records VALUES"
DECISION_IN_BLOCKS = """
SELECT 1 FROM postings AS p JOIN records AS r ON r.seq BETWEEN p.block * 256 + 1 AND p.block * 256 + 256
WHERE p.field = 'decision_id' AND p.value = :decision_id AND r.decision_id = :decision_id LIMIT 1"""
PRIVATE = "SELECT private FROM records WHERE seq = ?"
DECISION_AFTER = "SELECT 1 FROM records WHERE seq > ? AND decision_id = ? LIMIT 1"

# --- the index over records, filled behind, a block at a time
# Block n holds the records n * BLOCK + 1 to n * BLOCK + BLOCK. Most values repeat within a block, so this is an eighth
# of an index with an entry for every record; a block is read in a fraction of a millisecond.
BLOCK = 256
BLOCKS = "SELECT coalesce(max(block) + 1, 0) FROM blocks"
ADD_BLOCK = """
INSERT INTO blocks SELECT :block, min(time), max(time) FROM records WHERE seq BETWEEN :first AND :last"""
ADD_POSTINGS = """
WITH stretch AS MATERIALIZED (
    SELECT decision_id, run_id, subject, tool, effect, kind, reasons FROM records
    WHERE seq BETWEEN :first AND :last
)
INSERT OR IGNORE INTO postings
SELECT 'decision_id', decision_id, :block FROM stretch WHERE decision_id IS NOT NULL
UNION ALL
SELECT 'run_id', run_id, :block FROM stretch WHERE run_id IS NOT NULL
UNION ALL
SELECT 'subject', subject, :block FROM stretch WHERE subject IS NOT NULL
UNION ALL
SELECT 'tool', tool, :block FROM stretch WHERE tool IS NOT NULL
UNION ALL
SELECT 'effect', effect, :block FROM stretch WHERE effect IS NOT NULL
UNION ALL
SELECT 'kind', kind, :block FROM stretch WHERE kind IS NOT NULL
UNION ALL
SELECT 'reason', r.value, :block FROM stretch, json_each(stretch.reasons) AS r"""
FIRST_BLOCK_REACHING = "SELECT min(block) FROM blocks WHERE latest >= ?"
LAST_BLOCK_FROM = "SELECT max(block) FROM blocks WHERE earliest <= ?"

# --- runs
ADD_RUN = """
INSERT INTO runs (id, workflow, workflow_digest, subject, requester, started_at, salt, party, person, called)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
ADD_RUN_STATE = "INSERT INTO run_states VALUES (?, 1, ?, ?, NULL, '{}', '[]', '{}', '[]')"
LOAD_RUN = """
SELECT r.n, r.workflow, r.workflow_digest, r.subject, r.requester, r.started_at, r.salt,
       s.version, s.status, s.risk, s.high_water, s.counts, s.succeeded, s.spent, s.zones, coalesce(j.suspended, 0)
FROM runs AS r JOIN run_states AS s ON s.n = r.n LEFT JOIN subjects AS j ON j.subject = r.party
WHERE r.id = ?"""
LOAD_RUN_VALUES = "SELECT kind, name, value FROM run_values WHERE n = ?"
PUT_RUN_VALUE = "INSERT OR REPLACE INTO run_values VALUES (?, ?, ?, ?)"
DROP_KEPT = "DELETE FROM run_values WHERE n = ? AND kind = 'kept' AND name = ?"
SAVE_RUN_STATES = "INSERT OR REPLACE INTO run_states VALUES"
RUN_IDS = """
SELECT r.id FROM runs AS r JOIN run_states AS s ON s.n = r.n WHERE s.status = 'active' OR NOT ? ORDER BY r.n DESC"""
HOLDER = "SELECT owner FROM holders WHERE n = ?"
HOLD = "INSERT OR REPLACE INTO holders VALUES (?, ?)"
LET_GO = "DELETE FROM holders WHERE n = ? AND owner = ?"
LEFT = "DELETE FROM holders WHERE n = ?"
HOLDERS = """
SELECT r.id, h.owner FROM holders AS h JOIN runs AS r ON r.n = h.n JOIN run_states AS s ON s.n = h.n
WHERE s.status = 'active'"""
BUMP_SUBJECT = """
UPDATE run_states SET version = version + 1
WHERE status = 'active' AND n IN (SELECT n FROM runs WHERE party = ?)"""
BUMP_ALL = "UPDATE run_states SET version = version + 1 WHERE status = 'active'"

# --- what runs have seen
MARKS = "SELECT source, place, digests, text FROM marks WHERE n = ? ORDER BY k"
ADD_MARK = "INSERT INTO marks VALUES (?, ?, ?, ?, ?, ?)"
FORGET_MARKS = "DELETE FROM marks WHERE n = ?"
FORGET_MARKS_OF_ENDED = "DELETE FROM marks WHERE (SELECT status FROM run_states AS s WHERE s.n = marks.n) <> 'active'"

# --- budgets with a time window
LAST_SPEND = "SELECT coalesce(max(n), 0) FROM spends"
ADD_SPENDS = "INSERT INTO spends VALUES"
SPENDS_SINCE = "SELECT at, amount FROM spends WHERE workflow = ? AND budget = ? AND at > ? ORDER BY at"
SPENDS_AFTER = "SELECT n, workflow, budget, at, amount FROM spends WHERE n > ? ORDER BY n"

# --- replay
USED_ASSERTIONS = "SELECT key FROM assertions WHERE key IN"
USE_ASSERTIONS = "INSERT INTO assertions VALUES"
FORGET_ASSERTIONS = "DELETE FROM assertions WHERE key >= ? AND key < ? AND until < ?"

# --- calls under way
ADD_OPEN_CALLS = "INSERT INTO open_calls VALUES"
FIND_OPEN_CALL = "SELECT seq, run_id, step, keeps FROM open_calls WHERE decision_id = ?"
END_OPEN_CALLS = "DELETE FROM open_calls WHERE seq IN"
OPEN_CALLS = "SELECT o.seq, r.body FROM open_calls AS o JOIN records AS r ON r.seq = o.seq ORDER BY o.seq"
OPEN_OWNERS = "SELECT DISTINCT owner FROM open_calls"
OPEN_CALLS_OF = """
SELECT o.decision_id, r.body FROM open_calls AS o JOIN records AS r ON r.seq = o.seq
WHERE o.owner = ? ORDER BY o.seq"""

# --- calls whose outcome is unknown
UNSETTLED = "SELECT decision_id FROM unsettled WHERE n = ?"
FIND_UNSETTLED = "SELECT r.id, u.step, u.keeps FROM unsettled AS u JOIN runs AS r ON r.n = u.n WHERE u.decision_id = ?"
ADD_UNSETTLED = "INSERT OR IGNORE INTO unsettled VALUES (?, ?, ?, ?)"
SETTLE = "DELETE FROM unsettled WHERE decision_id = ?"

# --- approvals
ADD_APPROVAL = """
INSERT INTO approvals (id, request_digest, policy_revision, run_id, requested_at, expires_at, body)
VALUES (?, ?, ?, ?, ?, ?, ?)"""
_APPROVAL = "SELECT n, id, run_id, requested_at, expires_at, consumed, body FROM approvals"
APPROVAL = f"{_APPROVAL} WHERE id = ?"
# A refusal stands for the request, also where it was asked again under another revision before somebody said no.
APPROVAL_FOR = f"""{_APPROVAL} WHERE request_digest = ?
ORDER BY EXISTS (SELECT 1 FROM answers WHERE approval = n AND NOT approve) DESC, n DESC LIMIT 1"""  # noqa: S608 - constants
APPROVALS = f"{_APPROVAL} ORDER BY n DESC"
OPEN_APPROVALS = f"{_APPROVAL} WHERE NOT consumed AND expires_at > ? ORDER BY n DESC"
OPEN_APPROVALS_OF = f"{_APPROVAL} WHERE run_id = ? AND NOT consumed AND expires_at > ? ORDER BY n DESC"
SAME_QUESTION = f"""{_APPROVAL}
WHERE request_digest = ? AND policy_revision = ? AND NOT consumed AND expires_at > ? ORDER BY n DESC LIMIT 1"""
ANSWERS = "SELECT approver, approve, at FROM answers WHERE approval = ? ORDER BY rowid"
ADD_ANSWER = "INSERT INTO answers VALUES (?, ?, ?, ?)"
CONSUME_APPROVAL = "UPDATE approvals SET consumed = 1 WHERE n = ?"

# --- what sources say
_OF_RUN = "(kind = 'party' AND about IN (:party, :person, :called)) OR (kind = 'run' AND about = :run_id)"
STANDING_OF_RUN = f"SELECT max(risk), max(refused), max(newer), max(ended) FROM standings WHERE {_OF_RUN}"  # noqa: S608 - constants
STANDING = """
SELECT risk, risk_at, refused, refused_at, newer, ended FROM standings WHERE kind = ? AND about = ? AND source = ?"""
PUT_STANDING = "INSERT OR REPLACE INTO standings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
CREDENTIAL_REFUSED = "SELECT max(refused) FROM standings WHERE kind = 'credential' AND about = ?"
BUMP_PARTY = """
UPDATE run_states SET version = version + 1
WHERE status = 'active' AND n IN (SELECT n FROM runs WHERE party = :about OR person = :about OR called = :about)"""
BUMP_RUN = """
UPDATE run_states SET version = version + 1
WHERE status = 'active' AND n = (SELECT n FROM runs WHERE id = :about)"""
STOP_PARTY = """
UPDATE run_states SET status = 'stopped', version = version + 1
WHERE status = 'active'
AND n IN (SELECT n FROM runs WHERE (party = :about OR person = :about OR called = :about) AND started_at <= :ended)"""
STOP_RUN = """
UPDATE run_states SET status = 'stopped', version = version + 1
WHERE status = 'active' AND n = (SELECT n FROM runs WHERE id = :about AND started_at <= :ended)"""
HEAR = "INSERT OR IGNORE INTO heard VALUES (?)"

# --- what rules that raise risk count
HAPPENINGS = "SELECT count(*) FROM happenings WHERE n = ? AND what = ? AND at > ?"
ADD_HAPPENING = "INSERT INTO happenings VALUES (?, ?, ?, ?, ?)"
SAME_HAPPENING = "SELECT 1 FROM happenings WHERE n = ? AND what = ? AND at > ? AND call = ?"
FORGET_HAPPENINGS = "DELETE FROM happenings WHERE n = ? AND what = ? AND at <= ?"
FORGET_ENDED_HAPPENINGS = """
DELETE FROM happenings WHERE n NOT IN (SELECT n FROM run_states WHERE status = 'active')"""
FORGET_RUN_HAPPENINGS = "DELETE FROM happenings WHERE n = ?"

# --- streams of signals
STREAMS = "SELECT name, heard_at, status FROM streams ORDER BY name"
STREAM = "SELECT heard_at, status FROM streams WHERE name = ?"
PUT_STREAM = "INSERT OR REPLACE INTO streams VALUES (?, ?, ?)"

# --- subjects and credentials
CONTACTS = "SELECT value FROM contacts WHERE subject = ? AND kind = 'zone'"
CONTACT = "SELECT 1 FROM contacts WHERE subject = ? AND kind = ? AND value = ?"
ADD_CONTACT = "INSERT OR IGNORE INTO contacts VALUES (?, ?, ?)"
PUT_SUBJECT = "INSERT OR REPLACE INTO subjects VALUES (?, ?)"
PUT_CREDENTIAL = "INSERT OR REPLACE INTO credentials VALUES (?, ?)"
CREDENTIAL = "SELECT state FROM credentials WHERE name = ?"
