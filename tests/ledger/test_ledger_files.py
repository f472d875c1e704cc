"""Files that cannot be a ledger, disks that are full, and everything else that must close, with a remedy."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ledger_kit import T0, a_closing, a_run, an_admission, child, got, record, run_now, seqs

from agentguard.errors import LedgerError
from agentguard.ledger import LogLedger, RecordFilter, engine, open_ledger
from agentguard.ledger.sqlite import schema

ROOT = os.geteuid() == 0


def a_ledger(path: Path, records: int = 3) -> Path:
    ledger = open_ledger(path)
    for _ in range(records):
        got(ledger.append(record()))
    ledger.shut()
    return path


def foreign(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements or ("CREATE TABLE theirs (x)", "INSERT INTO theirs VALUES (1)"):
        connection.execute(statement)
    connection.commit()
    connection.close()


def damaged(path: Path) -> None:
    """Every page but the first is noise."""
    a_ledger(path, 200)
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))


def emptied(path: Path) -> None:
    a_ledger(path)
    path.with_name(path.name + "-owners").mkdir(exist_ok=True)
    path.write_bytes(b"")


def twice_named(path: Path) -> None:
    """SQLite keeps a journal beside each name: what is recorded under one is not seen under the other."""
    a_ledger(path).with_name("y.sqlite3").hardlink_to(path)


def of_version(path: Path, version: int) -> None:
    a_ledger(path)
    foreign(path, f"PRAGMA user_version = {version}")


def without_table(path: Path) -> None:
    a_ledger(path)
    foreign(path, "DROP TABLE cells")


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a directory": (Path.mkdir, "is a directory; name a file in it"),
    "text": (lambda path: path.write_text("hello\n" * 100), "is not a ledger, or a damaged one"),
    "a few bytes": (lambda path: path.write_bytes(b"SQLite format 3\0"), "is not a ledger, or a damaged one"),
    "another application's database": (foreign, "another application's database"),
    "another application's empty database": (lambda path: foreign(path, "PRAGMA user_version = 1"), "another appl"),
    "another application's id": (lambda path: foreign(path, "PRAGMA application_id = 1"), "another application's"),
    "a newer ledger": (lambda path: of_version(path, schema.SCHEMA_VERSION + 1), "or a newer one"),
    "an older ledger": (lambda path: of_version(path, schema.SCHEMA_VERSION - 1), "name another path for new runs"),
    "a ledger of no version": (lambda path: of_version(path, 0), "has format 0"),
    "a damaged ledger": (damaged, "damaged"),
    "a ledger without a table": (without_table, "no table `cells`. Restore a backup"),
    "a ledger that was emptied": (emptied, "is empty, but was not"),
    "a ledger of two names": (twice_named, "has a second name"),
    "a fifo": (os.mkfifo, "not a regular file"),
    "a link to nowhere": (lambda path: path.symlink_to("/nonexistent/x"), "ledger"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_what_is_not_a_ledger_is_refused_and_left_as_it_is(tmp_path: Path, case: str) -> None:
    """One sentence with the remedy; not one byte is written."""
    make, message = BAD_FILES[case]
    path = tmp_path / "x.sqlite3"
    make(path)
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}

    with pytest.raises(LedgerError, match=message) as raised:
        open_ledger(path)

    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    assert {each: each.read_bytes() for each in before} == before


@pytest.mark.skipif(ROOT, reason="root may write anywhere")
def test_a_read_only_directory_is_refused(tmp_path: Path) -> None:
    """The message names the directory and what it must be."""
    folder = tmp_path / "ro"
    folder.mkdir(mode=0o500)
    with pytest.raises(LedgerError, match="must be a directory on a local disk that this user may write to"):
        open_ledger(folder / "x.sqlite3")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that every user may enter; those that pytest makes are private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


READ_ONLY = """
import os, sys
from agentguard.errors import LedgerError
from agentguard.ledger import open_ledger
os.setgid(65534); os.setuid(65534)
try:
    open_ledger(sys.argv[1])
except LedgerError as error:
    print(error)
"""


@pytest.mark.skipif(not ROOT, reason="needs root to become somebody who may not write")
@pytest.mark.parametrize("case", ["new file", "ledger of another user", "read-only ledger"])
def test_a_user_without_rights_is_told_so(open_folder: Path, case: str) -> None:
    """Nothing is created in a directory that is not theirs, and a ledger that cannot be written is not opened."""
    path = open_folder / "x.sqlite3"
    if case != "new file":
        a_ledger(path)
    if case == "read-only ledger":
        path.chmod(0o444)
    before = sorted(open_folder.rglob("*"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(Path.cwd())])}
    ran = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(path)], env=environment, capture_output=True, text=True, check=True
    )

    assert "may write to" in ran.stdout or "writable for this user" in ran.stdout
    assert sorted(open_folder.rglob("*")) == before


def test_the_file_is_private_and_so_is_its_directory(tmp_path: Path) -> None:
    """Records hold arguments; nobody else on the machine reads them."""
    path = tmp_path / "deep" / "down" / "ledger.sqlite3"
    old = os.umask(0)
    try:
        ledger = open_ledger(path)
        got(ledger.append(record()))
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.rglob("*")}
    finally:
        os.umask(old)
    ledger.shut()

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {name for name, mode in modes.items() if mode not in (0o600, 0o700)} == set()
    assert {"ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-owners"} <= modes.keys()


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    """It holds nothing that could be overwritten."""
    path = tmp_path / "made.sqlite3"
    path.touch()
    assert a_ledger(path).stat().st_size > 0


def test_a_name_with_every_odd_character_works(tmp_path: Path) -> None:
    """The name goes through a URI on its way to SQLite."""
    path = tmp_path / "a ?mode=memory#%41&é.sqlite3"
    a_ledger(path)
    assert path.stat().st_size > 0
    again = open_ledger(path)
    assert len(seqs(again)) == 3
    again.shut()


def test_many_processes_may_make_the_same_ledger_at_the_same_time(tmp_path: Path) -> None:
    """One of them makes it, the others find it."""
    script = Path(__file__).with_name("ledger_limit_child.py")
    for number in range(3):
        path = tmp_path / f"{number}.sqlite3"
        children = [child(script, path, 0, f"p{who}") for who in range(5)]
        for each in children:
            out, _ = each.communicate(b"go\n", timeout=60)
            assert (each.returncode, out) == (0, b"ready\n0 0\n")


def test_the_tables_stay_readable_by_anybody_with_sqlite(tmp_path: Path) -> None:
    """A reviewer needs no agentguard to look: the database is sound and the records are JSON."""
    connection = sqlite3.connect(a_ledger(tmp_path / "l.sqlite3"))
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("SELECT count(*) FROM records WHERE json_valid(CAST(body AS TEXT))").fetchone() == (3,)
    connection.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[LogLedger]:
    """A ledger with a run, which will soon meet the end of its disk."""
    ledger = open_ledger(tmp_path / "ledger.sqlite3")
    got(ledger.start_run(a_run(), record("run")))
    yield ledger
    with contextlib.suppress(LedgerError):
        ledger.shut()


def limit(ledger: LogLedger, pages: int) -> None:
    """What a full disk does, as SQLite sees it: no page more than these."""
    seqs(ledger, limit=1)
    ledger.engine.log.file.connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_refuses_and_leaves_no_half_state(small: LogLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every caller hears that nothing ran; when there is space again, everything goes on from where it was."""
    monkeypatch.setattr(engine, "RETRY_SECONDS", 0.01)
    limit(small, 40)
    version, admitted = 1, []
    error: BaseException | None = None
    while error is None:
        big = record(decision_id=f"d{version}", x="x" * 3000)
        future = small.admit(an_admission(f"d{version}", version, record=big), windows={})
        error = future.exception(60)
        if error is None:
            admitted.append(f"d{version}")
            version += 1
    assert isinstance(error, LedgerError)
    assert "no space left for the ledger; free some and repeat" in str(error)

    assert (run_now(small).version, run_now(small).counts) == (version, {"s": len(admitted)})
    assert [each["decision_id"] for each in small.records(RecordFilter(kind="decision"))] == admitted
    closing = a_closing(admitted[0], record=record("outcome", decision_id=admitted[0], x="x" * 5000))
    closed = small.close(closing)
    with pytest.raises(LedgerError, match="no space left"):
        got(small.append(record(x="x" * 5000)))
    limit_off = 1_000_000
    small.engine.log.file.connection.execute(f"PRAGMA max_page_count = {limit_off}")
    if closed.exception(60) is None:
        assert [each["decision_id"] for each in small.records(RecordFilter(kind="outcome"))] == [admitted[0]]
    assert got(small.admit(an_admission("after", run_now(small).version), windows={})).seq == len(seqs(small))
    assert seqs(small) == list(range(1, len(seqs(small)) + 1))
    small.shut()


def test_an_outcome_that_was_acknowledged_survives_a_disk_that_was_full(
    small: LogLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was answered before it was durable, so it is kept and stored as soon as that is possible."""
    monkeypatch.setattr(engine, "FLUSH_SECONDS", 60)
    monkeypatch.setattr(engine, "RETRY_SECONDS", 60)
    got(small.admit(an_admission("d1"), windows={}))
    limit(small, 1)
    assert got(small.close(a_closing("d1", kept={"x": 1}, record=record("outcome", decision_id="d1", x="x" * 9000))))
    for _ in range(3):
        with pytest.raises(LedgerError, match="no space left"):
            got(small.append(record()))
    small.engine.log.file.connection.execute("PRAGMA max_page_count = 1000000")

    assert run_now(small).kept == {"x": 1}
    got(small.append(record()))
    assert [each["kind"] for each in small.records(RecordFilter())] == ["run", "decision", "outcome", "decision"]
    small.shut()


def test_outcomes_that_can_never_be_stored_are_told_at_the_end(
    small: LogLedger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Shutting says so, and the call shows as unknown when there is space again."""
    monkeypatch.setattr(engine, "FLUSH_SECONDS", 60)
    got(small.admit(an_admission("d1"), windows={}))
    limit(small, 1)
    got(small.close(a_closing("d1", record=record("outcome", decision_id="d1", x="x" * 9000))))
    with pytest.raises(LedgerError, match="outcomes of the last 1 calls could not be stored"):
        small.shut()

    again = open_ledger(tmp_path / "ledger.sqlite3")
    assert [each["outcome"] for each in again.records(RecordFilter(kind="outcome"))] == ["unknown"]
    again.shut()


FULL_DISK = """
import resource, signal, sys
from agentguard.errors import LedgerError
from agentguard.ledger import RecordFilter, open_ledger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
ledger = open_ledger(sys.argv[1])
done = 0
try:
    while True:
        ledger.append({"kind": "decision", "x": "x" * 2000}).result(60)
        done += 1
except LedgerError as error:
    print(done, error)
print(len(list(ledger.records(RecordFilter()))))
"""


def test_a_file_that_may_not_grow_refuses_with_the_remedy(tmp_path: Path) -> None:
    """The same from the operating system's side: writes fail in the middle of a transaction."""
    path = tmp_path / "ledger.sqlite3"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(Path.cwd())])}
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    told, count = ran.stdout.splitlines()
    done = int(told.split()[0])

    assert done > 10
    assert "the disk failed, is full or is over quota; check it and repeat" in told or "no space left" in told
    assert int(count) == done
    assert ran.stderr == ""
    again = open_ledger(path)
    assert seqs(again) == list(range(1, done + 1)), "nothing acknowledged is lost, nothing refused is there"
    again.shut()


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_ledger_that_was_taken_away_while_in_use_refuses(small: LogLedger, tmp_path: Path, how: str) -> None:
    """What is written to a file without a name is lost, so nothing runs."""
    path = tmp_path / "ledger.sqlite3"
    path.rename(tmp_path / "elsewhere")
    if how == "replaced":
        a_ledger(tmp_path / "other.sqlite3").rename(path)
    with pytest.raises(LedgerError, match="moved, removed or replaced"):
        got(small.admit(an_admission("d1"), windows={}))
    with pytest.raises(LedgerError, match="moved, removed or replaced"):
        seqs(small)
    (tmp_path / "elsewhere").rename(path)
    assert got(small.admit(an_admission("d1"), windows={})).seq == 2
    small.shut()


JOURNAL_TROUBLE: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "moved": lambda path: path.rename(path.with_name("elsewhere")),
    "replaced by a copy": lambda path: (
        shutil.copy2(path, path.with_name("copy")) and os.replace(path.with_name("copy"), path)
    ),
    "given a second name": lambda path: path.with_name("second").hardlink_to(path),
}


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
@pytest.mark.parametrize("how", JOURNAL_TROUBLE)
def test_nothing_is_admitted_over_a_file_of_the_ledger_that_is_not_what_was_opened(
    small: LogLedger, tmp_path: Path, how: str, end: str
) -> None:
    """SQLite reads and writes three files; whoever comes later finds by name, and would not find what was recorded."""
    JOURNAL_TROUBLE[how](tmp_path / f"ledger.sqlite3{end}")

    for ask in (lambda: small.admit(an_admission("d1"), windows={}), lambda: small.run("r", at=T0, windows={})):
        with pytest.raises(LedgerError, match=f"ledger.sqlite3{end}` was moved, removed or replaced while in use"):
            got(ask())


LOOKS: dict[str, Callable[[LogLedger], object]] = {
    "runs": lambda ledger: got(ledger.runs()),
    "questions": lambda ledger: got(ledger.approvals(open_at=T0)),
    "calls": lambda ledger: got(ledger.open_calls()),
    "an admission that is refused": lambda ledger: got(ledger.admit(an_admission("d1", 99), windows={})),
    "an erasure that finds nothing": lambda ledger: got(ledger.erase(subject="nobody", record=record("operation"))),
    "the end of an erasure": lambda ledger: ledger.purge(),
}


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_is_told_of_a_journal_that_is_gone(small: LogLedger, tmp_path: Path, look: str) -> None:
    """What others recorded since then stands in another one: a list would be short, and what is erased would stay."""
    (tmp_path / "ledger.sqlite3-wal").unlink()

    with pytest.raises(LedgerError, match=r"ledger\.sqlite3-wal` was moved, removed or replaced while in use"):
        LOOKS[look](small)


def test_a_journal_that_goes_while_a_call_is_being_admitted_admits_nothing(small: LogLedger, tmp_path: Path) -> None:
    """Between the look and the end of the commit it may go, too; the tool starts after both."""
    turns = small.engine.log.file.turns  # type: ignore[attr-defined]
    take = turns.take

    def in_between() -> None:
        take()
        (tmp_path / "ledger.sqlite3-wal").unlink(missing_ok=True)

    turns.take = in_between
    with pytest.raises(LedgerError, match="while in use"):
        got(small.admit(an_admission("d1"), windows={}))


def test_a_ledger_in_use_may_be_read_by_others_and_from_another_folder(
    small: LogLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watching it is no reason to refuse honest work: SQLite's own tools, a second guard, another working directory."""
    monkeypatch.chdir(tmp_path)
    other = open_ledger("ledger.sqlite3")
    foreign(tmp_path / "ledger.sqlite3", "PRAGMA wal_checkpoint(TRUNCATE)")
    monkeypatch.chdir("/")
    assert got(other.append(record())) == 2
    other.shut()
    assert got(small.admit(an_admission("d1"), windows={})).seq == 3
    small.shut()


def test_a_ledger_damaged_while_in_use_refuses_and_answers_everybody(small: LogLedger, tmp_path: Path) -> None:
    """A torn page is an error with a remedy, not a wrong answer and not a hang."""
    for n in range(300):
        small.append(record(x="x" * 3000, run_id=f"r{n}"))
    small.shut()
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * (size - size // 2))
    with pytest.raises(LedgerError, match="damaged; keep the file as it is, and restore a backup"):
        list(ledger.records(RecordFilter()))
    ledger.shut()


def test_a_held_lock_is_waited_for_and_then_refused(
    small: LogLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that holds the file for too long closes ours, with a name for the trouble."""
    monkeypatch.setattr("agentguard.ledger.sqlite.store.BUSY_SECONDS", 0.05)
    other = sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="another process has been holding the ledger for too long"):
        got(small.admit(an_admission("d1"), windows={}))
    assert run_now(small).version == 1, "reading goes on"
    other.execute("ROLLBACK")
    assert got(small.admit(an_admission("d1"), windows={})).seq == 2
    other.close()
    small.shut()


def test_a_program_that_just_ends_stores_what_was_queued(tmp_path: Path) -> None:
    """Nobody has to remember to shut the ledger."""
    path = tmp_path / "ledger.sqlite3"
    code = "import sys; from agentguard.ledger import open_ledger\nledger = open_ledger(sys.argv[1])\n"
    code += "for _ in range(500): ledger.append({})"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(Path.cwd())])}
    subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=True)

    again = open_ledger(path)
    assert len(seqs(again)) == 500
    assert [each.name for each in (tmp_path / "ledger.sqlite3-owners").iterdir()] == [again.engine.log.file.owner_id]
    again.shut()


def test_a_ledger_that_a_group_may_write_lets_its_other_accounts_open_it(tmp_path: Path) -> None:
    """An approver has an account of their own; one lock file that is the agents' alone kept them out."""
    place = tmp_path / "ledger.sqlite3"
    first = open_ledger(place)
    (owner,) = (tmp_path / "ledger.sqlite3-owners").iterdir()
    assert owner.stat().st_mode & 0o777 == 0o600
    first.shut()
    place.chmod(0o660)
    shared = open_ledger(place)
    (owner,) = (tmp_path / "ledger.sqlite3-owners").iterdir()
    locks = [owner, tmp_path / "ledger.sqlite3-queue", tmp_path / "ledger.sqlite3-turn"]
    assert [each.stat().st_mode & 0o777 for each in locks] == [0o660] * 3
    shared.shut()


def test_the_disk_is_told_to_empty_its_cache_on_macos(tmp_path: Path) -> None:
    """There a plain fsync does not; the setting says nothing elsewhere, so it is asked for everywhere."""
    ledger = open_ledger(tmp_path / "ledger.sqlite3")
    try:
        for pragma in ("fullfsync", "checkpoint_fullfsync"):
            asked = ledger.engine.log.file.connection.execute(f"PRAGMA {pragma}").fetchone()  # type: ignore[attr-defined]
            assert asked == (1,)
    finally:
        ledger.shut()
