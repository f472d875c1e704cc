"""Reading records: order, numbers, filters and pages, for every form of the ledger."""

from __future__ import annotations

import random
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ledger_kit import EVERYTHING, T0, at, got, record, seqs, text

from agentguard.errors import LedgerError
from agentguard.ledger import LogLedger, RecordFilter
from agentguard.ledger.log import SavedCell
from agentguard.ledger.sqlite.files import open_file
from agentguard.ledger.sqlite.schema import BLOCK
from agentguard.ledger.sqlite.store import SqliteLog

# Past one block, so that filters meet the index, the records after it, and several pages.
MANY = BLOCK * 4 + 100
RANDOM = random.Random(7)
RECORDS: list[dict[str, Any]] = [
    record(
        RANDOM.choice(["decision", "outcome", "run"]),
        time=text(at(n + RANDOM.randrange(-40, 40))),
        run_id=RANDOM.choice([None, "r1", "r2", f"once-{n}"]),
        subject=RANDOM.choice(["a", "b"]),
        tool=RANDOM.choice(["t", "t.get", None]),
        effect=RANDOM.choice(["permit", "deny"]),
        reasons=RANDOM.sample(["x", "y", "xy"], RANDOM.randrange(3)),
        decision_id=f"d{n // 2}",
    )
    for n in range(MANY)
]


@pytest.fixture
def full(ledger: LogLedger) -> LogLedger:
    futures = [ledger.append(each) for each in RECORDS]
    assert [got(future) for future in futures] == list(range(1, MANY + 1))
    return ledger


def slow(wanted: RecordFilter) -> list[int]:
    """The same question, by looking at every record."""
    found = []
    for n, each in enumerate(RECORDS, 1):
        plain = ("run_id", "subject", "tool", "effect", "kind", "decision_id")
        same = all(getattr(wanted, name) in (None, each.get(name)) for name in plain)
        reason = wanted.reason is None or wanted.reason in each["reasons"]
        since = wanted.since is None or each["time"] >= text(wanted.since)
        until = wanted.until is None or each["time"] <= text(wanted.until)
        if same and reason and since and until:
            found.append(n)
    return found


FILTERS = {
    "everything": EVERYTHING,
    "run": RecordFilter(run_id="r1"),
    "run once": RecordFilter(run_id=f"once-{next(n for n, r in enumerate(RECORDS) if r['run_id'] == f'once-{n}')}"),
    "run never": RecordFilter(run_id="r3"),
    "subject": RecordFilter(subject="b"),
    "tool": RecordFilter(tool="t"),
    "effect": RecordFilter(effect="deny"),
    "kind": RecordFilter(kind="run"),
    "decision": RecordFilter(decision_id="d5"),
    "decision in the tail": RecordFilter(decision_id=f"d{(MANY - 1) // 2}"),
    "reason": RecordFilter(reason="x"),
    "part of a reason": RecordFilter(reason="xyx"),
    "since": RecordFilter(since=at(500)),
    "until": RecordFilter(until=at(500)),
    "between": RecordFilter(since=at(300), until=at(301)),
    "after the end": RecordFilter(since=at(MANY + 100)),
    "before the start": RecordFilter(until=at(-100)),
    "several": RecordFilter(run_id="r2", effect="deny", reason="y", subject="a", tool="t.get", since=at(9)),
    "several and time": RecordFilter(kind="decision", reason="x", since=at(200), until=at(900)),
}


@pytest.mark.parametrize("case", FILTERS)
@pytest.mark.parametrize("indexed", [True, False])
def test_a_filter_finds_what_looking_at_every_record_finds(full: LogLedger, case: str, indexed: bool) -> None:
    """With the index filled, and with none; forwards, from a place, limited, and the newest."""
    if indexed:
        while full.engine.tidy():
            pass
    wanted, expected = FILTERS[case], slow(FILTERS[case])

    assert seqs(full, wanted) == expected
    assert seqs(full, wanted, after=600) == [n for n in expected if n > 600]
    assert seqs(full, wanted, limit=7) == expected[:7]
    assert seqs(full, wanted, limit=250, newest=True) == expected[-250:]
    assert seqs(full, wanted, after=600, limit=5, newest=True) == [n for n in expected if n > 600][-5:]
    assert seqs(full, wanted, limit=0) == seqs(full, wanted, limit=0, newest=True) == []


def test_records_come_back_as_they_were_written(full: LogLedger) -> None:
    """Each with its number, without gaps, in order."""
    assert list(full.records(EVERYTHING)) == [each | {"seq": n} for n, each in enumerate(RECORDS, 1)]


def test_the_index_is_filled_behind_by_itself(full: LogLedger) -> None:
    """In quiet moments, without anybody asking."""
    log = full.engine.log
    if not isinstance(log, SqliteLog):
        pytest.skip("a ledger in memory has no index")
    other = sqlite3.connect(log.place)
    for _ in range(1000):
        if MANY - other.execute("SELECT count(*) FROM blocks").fetchone()[0] * BLOCK < 2 * BLOCK:
            other.close()
            return
        threading.Event().wait(0.005)
    pytest.fail("the index did not grow")


def test_fractions_of_a_second_are_compared_as_times_not_as_text(ledger: LogLedger) -> None:
    """`…00Z` sorts after `…00.5Z` as text."""
    for moment in (T0, T0 + timedelta(milliseconds=500)):
        got(ledger.append(record(time=text(moment))))

    assert seqs(ledger, RecordFilter(until=T0)) == [1]
    assert seqs(ledger, RecordFilter(since=T0 + timedelta(milliseconds=1))) == [2]


def test_a_record_may_leave_out_every_field(ledger: LogLedger) -> None:
    """Missing is null: it is stored, and no filter on that field finds it."""
    got(ledger.append({}))
    assert list(ledger.records(EVERYTHING)) == [{"seq": 1}]
    assert seqs(ledger, RecordFilter(since=at(-(10**9)))) == []


def test_records_written_while_reading_are_not_missed_or_read_twice(ledger: LogLedger) -> None:
    """`audit follow` reads on where it stopped."""
    for _ in range(450):
        ledger.append(record())
    reading = ledger.records(EVERYTHING)
    first = [next(reading)["seq"] for _ in range(300)]
    got(ledger.append(record()))

    assert first + [each["seq"] for each in reading] == list(range(1, 452))


@pytest.mark.parametrize("how", [{"limit": -1}, {"limit": -1, "newest": True}])
def test_a_limit_below_nought_is_refused(ledger: LogLedger, how: dict[str, Any]) -> None:
    """SQLite would read it as no limit at all."""
    with pytest.raises(LedgerError, match="limit"):
        list(ledger.records(EVERYTHING, **how))


def test_a_list_of_cells_is_the_same_in_pages_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where many have one place: what a page begins with is told by place and name."""
    monkeypatch.setattr("agentguard.ledger.sqlite.store._PAGE", 3)
    file = open_file(tmp_path / "l")
    log = SqliteLog(file)
    log.enter(write=True)
    found = [SavedCell(("spend", f"n{n:02}"), b'["b",%d,1]' % n, True, "ab"[n % 2], 1 + n // 4) for n in range(20)]
    log.save(1, found)
    everything = [name for name, _ in log.list("spend")]
    assert everything == [f"n{n:02}" for n in reversed(range(20))]
    assert [name for name, _ in log.list("spend", about="a")] == everything[1::2]
    assert [name for name, _ in log.list("spend", before=4, after=2)] == ["n11", "n10", "n09", "n08"]
    assert [name for name, _ in log.list("spend", equal={(0,): "b"}, above={(1,): 15})] == everything[:4]
    assert list(log.list("spend", equal={(0,): "c"})) == []
    log.leave()
    log.close()
