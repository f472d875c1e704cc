"""Carrying a ledger of format 2 over into the present one.

Its records are copied byte for byte. What its tables of state say becomes a snapshot record, because those records do
not say what they changed. All of that is written into a file of its own beside the ledger, read back and compared, and
only then put in its place. Until that moment nothing of the ledger is changed, and after it the old file stands beside.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from agentguard.core.facts import RunState
from agentguard.core.values import Sensitivity
from agentguard.errors import LedgerError
from agentguard.ledger.cells import RunCell, moment
from agentguard.ledger.entry import damaged, decode, encode, micros, written
from agentguard.ledger.format2 import Format2
from agentguard.ledger.log import Row
from agentguard.ledger.operations.outcomes import GONE, unknown_outcome
from agentguard.ledger.rebuild import Progress, fold_log
from agentguard.ledger.snapshot import snapshots
from agentguard.ledger.sqlite import open_ledger
from agentguard.ledger.sqlite.files import beside, check_is_path, explain, open_file, owners_of, read_version
from agentguard.ledger.sqlite.liveness import living
from agentguard.ledger.sqlite.schema import SCHEMA_VERSION, UPGRADED
from agentguard.ledger.sqlite.store import SqliteLog

_AT_ONCE = 4096
_KEPT_AS = f".format{UPGRADED}"
_WORKING = ".upgrading"


class Upgraded(NamedTuple):
    """What was carried over, and where the old file is."""

    records: int
    runs: int
    unknown: int
    old: Path


def upgrade_ledger(path: str | Path, *, at: datetime, by: str, progress: Progress | None = None) -> Upgraded:
    """Carry the ledger at ``path`` over, at that time. ``by`` stands in the record. Raises LedgerError; then, as after
    an interruption, the ledger is what it was."""
    check_is_path(Path(path))
    place = Path(os.path.realpath(path))
    old, new = Path(f"{place}{_KEPT_AS}"), Path(f"{place}{_WORKING}")
    try:
        _check(place, old)
        _remove(new)  # of an upgrade that was killed
        try:
            with contextlib.closing(_take(place)) as database:
                before = Format2(database)
                found = _carry(before, new, at, by, progress)
                _swap(place, old, new)
                return Upgraded(*found, old)
        finally:
            _remove(new)
    except sqlite3.Error as error:
        raise explain(error, str(place)) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise LedgerError(f"the ledger `{place}` cannot be upgraded: {reason}; nothing was changed") from None


def _check(place: Path, old: Path) -> None:
    version = read_version(place)
    if version == SCHEMA_VERSION:
        raise LedgerError(f"the ledger `{place}` has format {version} already; there is nothing to upgrade")
    if version != UPGRADED:
        raise LedgerError(
            f"the ledger `{place}` has format {version}, and only format {UPGRADED} can be carried over; keep it, and "
            "name another path for new runs"
        )
    if living(owners_of(place)):
        raise LedgerError(f"`{place}` is in use; end every process that has it open, and upgrade it then")
    if old.exists():
        if not old.samefile(place):
            raise LedgerError(f"`{old}` is there already, and the old ledger would be kept under that name; move it")
        old.unlink()  # an upgrade was killed just before its last step


def _take(place: Path) -> sqlite3.Connection:
    """The old file, with everything in it that its journal held, and locked for everybody else until it is closed."""
    database = sqlite3.connect(f"file:{quote(str(place))}?mode=rw", uri=True, isolation_level=None, timeout=5)
    try:
        if database.execute("PRAGMA journal_mode = DELETE").fetchone()[0] != "delete":
            raise LedgerError(f"`{place}` is in use; end every process that has it open, and upgrade it then")
        database.execute("BEGIN EXCLUSIVE")
        if database.execute("PRAGMA user_version").fetchone()[0] != UPGRADED:
            raise LedgerError(f"the ledger `{place}` is being upgraded by somebody else")
        if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise LedgerError(f"the ledger `{place}` is damaged; keep the file, and restore a backup beside it")
    except BaseException:
        database.close()
        raise
    return database


def _carry(before: Format2, new: Path, at: datetime, by: str, progress: Progress | None) -> tuple[int, int, int]:
    """Write the new file, read it back and compare. How many records, runs and calls of unknown outcome it has."""
    records, runs, calls = before.count("records"), before.count("runs"), before.count("open_calls")
    steps = 2 * records + runs

    def told(done: int) -> None:
        if progress is not None:
            progress(min(done, steps), steps)

    file = open_file(new)
    try:
        log = SqliteLog(file)
        written = 0
        rows = _rows(before, at, by)
        while part := list(islice(rows, _AT_ONCE)):
            log.enter(write=True)
            log.append(written + 1, part)
            log.leave()
            written += len(part)
            told(min(written, records))
        log.enter(write=True)
        fold_log(log, lambda done, _: told(records + min(done, records)))
        log.leave()
        more = True
        while more:
            log.enter(write=True)
            more = log.index()
            log.leave()
    finally:
        file.close()
    if written <= records + calls:
        raise LedgerError(f"`{new}` holds {written} records, fewer than were to be carried over; nothing was changed")
    _compare(before, new, lambda done: told(2 * records + done))
    return records, runs, calls


def _rows(before: Format2, at: datetime, by: str) -> Iterator[Row]:
    """Every record as it was, the outcomes of calls that nobody will ever close, and what it all added up to."""
    open_calls = {seq for seq, *_ in before.open_calls()}
    unknown: list[Row] = []
    expected = 1
    for seq, row in before.rows():
        if seq != expected:
            raise damaged(expected)
        expected += 1
        if seq in open_calls:
            unknown.append(encode(unknown_outcome(decode(seq, row.body), written(micros(at)), GONE)).row)
        yield row
    if len(unknown) != len(open_calls):
        raise damaged(min(open_calls))
    yield from unknown
    yield from snapshots(before.cells(), at, by=by, why=f"carried over from format {UPGRADED}")


def _compare(before: Format2, new: Path, told: Callable[[int], None]) -> None:
    """Open what was written as everybody will, and look at every run in it."""
    ledger = open_ledger(new)
    try:
        found = {state.id: state for state in ledger.runs().result()}
        for done, (run_id, run) in enumerate(before.runs(), 1):
            state = found.pop(run_id, None)
            if state is None or not _same(before, run_id, run, state):
                raise LedgerError(f"run `{run_id}` would be another after the upgrade; nothing was changed, report it")
            told(done)
        if found or len(ledger.approvals().result()) != before.count("approvals"):
            raise LedgerError("something would be lost by the upgrade; nothing was changed, report it")
    finally:
        ledger.shut()


def _same(before: Format2, run_id: str, run: RunCell, state: RunState) -> bool:
    """Whether a run is what it was; where two spellings mean one name now, less may be permitted than before."""
    was: tuple[object, ...] = (
        run.workflow, run.digest, run.subject, run.requester, moment(run.started), run.inputs, run.kept, run.counts,
        run.succeeded, run.spent, None if run.high_water is None else Sensitivity(run.high_water), run.zones, run.seen,
        run.unsettled,
    )  # fmt: skip
    now: tuple[object, ...] = (
        state.workflow, state.workflow_digest, state.subject, state.requester, state.started_at, dict(state.inputs),
        dict(state.kept), dict(state.counts), state.succeeded, dict(state.spent), state.high_water, state.zones,
        state.seen, state.unsettled,
    )  # fmt: skip
    risk = max(run.risk, before.worst_risk(run_id, run.subject, run.requester))
    stopped = str(state.status) == "stopped" and run.status == "active"
    if stopped:
        was, now = was[:-2], now[:-2]
    suspended = state.subject_suspended or not before.suspended(run.subject)
    return was == now and int(state.risk) >= risk and suspended and (stopped or str(state.status) == run.status)


def _swap(place: Path, old: Path, new: Path) -> None:
    """There is a ledger at ``place`` at every moment, the old one or the new one."""
    shutil.copymode(place, new)
    with contextlib.suppress(PermissionError):
        shutil.chown(new, place.stat().st_uid, place.stat().st_gid)
    _sync(new)
    os.link(place, old)
    try:
        new.replace(place)
    except BaseException:
        if old.samefile(place):
            old.unlink()
        raise
    _sync(place.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(new: Path) -> None:
    for path in (new, *beside(new)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
