"""The tables of a ledger in SQLite, and every statement that is run on them.

``records`` is the log: it only ever grows, and ``seq`` has no gaps. ``cells`` is a cache of what the log adds up to, up
to the record that ``kept`` names; it may be thrown away. ``blocks`` and ``postings`` are an index over ``records`` that
is filled behind, a block at a time: an append dirties a handful of pages instead of twenty, and a query reads the index
as far as it goes and the records themselves after it. Times are microseconds since 1970 UTC.
"""

from __future__ import annotations

# "agL1": tells our files from every other application's SQLite file (SQLite file format, section 1.3.19).
APPLICATION_ID = 0x61674C31
# Formats 2 to 4 kept tables of state; 5 and 6 are the log. No two builds may write one number and mean two things.
SCHEMA_VERSION = 6
UPGRADED = 2

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
    body BLOB NOT NULL,     -- the record's public bytes: canonical JSON (RFC 8785)
    private BLOB            -- its private parts that were not erased: JSON, name to [salt, value]
);

CREATE TABLE cells (        -- what the log adds up to
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    live INTEGER NOT NULL,  -- whether a list of what is still open shows it
    about TEXT,
    place INTEGER NOT NULL, -- where it stands in a list
    value BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE INDEX cells_in_order ON cells (kind, place) WHERE place > 0;
CREATE INDEX cells_live ON cells (kind, place) WHERE live AND kind IN ('run', 'approval');
CREATE INDEX cells_about ON cells (kind, about, place) WHERE about IS NOT NULL;

CREATE TABLE kept (         -- one row: up to which record the cells are the fold of the log
    one INTEGER PRIMARY KEY CHECK (one = 1),
    upto INTEGER NOT NULL
);
INSERT INTO kept VALUES (1, 0);

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
"""

BEGIN_WRITE = "BEGIN IMMEDIATE"
BEGIN_READ = "BEGIN"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"
DATA_VERSION = "PRAGMA data_version"

# --- records
LAST = "SELECT coalesce(max(seq), 0) FROM records"
ADD_RECORDS = "INSERT INTO records VALUES"
ROWS = "SELECT seq, body, private FROM records WHERE seq > ? ORDER BY seq LIMIT ?"
ROW = "SELECT body, private FROM records WHERE seq = ?"
ERASE = "UPDATE records SET private = ? WHERE seq = ?"
EMPTY_JOURNAL = "PRAGMA wal_checkpoint(TRUNCATE)"

# --- cells
KEPT = "SELECT upto FROM kept"
KEEP = "UPDATE kept SET upto = ?"
CELL = "SELECT value FROM cells WHERE kind = ? AND name = ?"
EQUAL_AT = " AND json_extract(CAST(value AS TEXT), ?) = ?"
ABOVE_AT = " AND json_extract(CAST(value AS TEXT), ?) > ?"
PUT_CELL = "INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?, ?)"
DROP_CELL = "DELETE FROM cells WHERE kind = ? AND name = ?"
FORGET_BEFORE = "DELETE FROM cells WHERE kind = ? AND place > 0 AND place < ?"
FORGET_ALL = "DELETE FROM cells"
_OF_CELLS = [each.strip() for each in TABLES.split(";\n") if " cells (" in each]
WRITE_CELLS_ANEW = (
    _OF_CELLS[0].replace(" cells (", " cells_anew ("),
    "INSERT INTO cells_anew SELECT * FROM cells ORDER BY kind, name",
    "DROP TABLE cells",
    "ALTER TABLE cells_anew RENAME TO cells",
    *_OF_CELLS[1:],
)

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
