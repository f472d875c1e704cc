"""A ledger of format 2 is carried over: records byte for byte, and every state as it was."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ledger_format2 import SEEN, old_ledger
from ledger_kit import T0, a_charge, an_admission, at, record, text

from agentguard.core.facts import RunStatus
from agentguard.core.provenance import Mark, Seen
from agentguard.core.signals import Signal, SignalEffect
from agentguard.core.values import Risk, Sensitivity
from agentguard.errors import LedgerError
from agentguard.ledger import Admitted, LogLedger, Outcome, RecordFilter, Refusal, Refused, open_ledger, upgrade
from agentguard.ledger.rebuild import rebuild_ledger
from agentguard.ledger.sqlite.liveness import Owner
from agentguard.ledger.upgrade import upgrade_ledger


def states(ledger: LogLedger) -> dict[str, Any]:
    return {state.id: state for state in ledger.runs().result()}


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as database, database:
        yield database


@pytest.fixture
def old(tmp_path: Path) -> Path:
    old_ledger(tmp_path / "l.sqlite3")
    return tmp_path / "l.sqlite3"


def test_records_stay_byte_for_byte_and_the_old_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite3"
    data = old_ledger(path)
    before = path.read_bytes()
    done = upgrade_ledger(path, at=at(5), by="user:ops")
    assert (done.records, done.runs, done.unknown) == (7, 5, 1)
    with raw(path) as database:
        found = [body for (body,) in database.execute("SELECT body FROM records ORDER BY seq")]
    assert found[: len(data)] == data
    assert [json.loads(body)["kind"] for body in found[len(data) :]] == ["outcome", "snapshot"]
    assert b"secret-id" not in b"".join(found)
    assert path.stat().st_mode & 0o777 == 0o640
    kept = done.old.read_bytes()
    assert [n for n, (a, b) in enumerate(zip(before, kept, strict=True)) if a != b and n >= 100] == []
    assert {each.name for each in tmp_path.iterdir()} <= {"l.sqlite3", "l.sqlite3.format2", "l.sqlite3-owners"}


def test_every_state_is_what_it_was(old: Path) -> None:
    upgrade_ledger(old, at=at(5), by="user:ops")
    ledger = open_ledger(old)
    try:
        found = states(ledger)
        run = ledger.run("r", at=at(1), windows={"daily": at(60) - T0}).result()
        assert run is not None
        assert (run.inputs, run.kept, run.counts) == ({"amount": 1.5}, {"id": "secret-id", "yes": True}, {"s": 2})
        assert (run.spent, run.succeeded, run.zones) == ({"b": 5, "daily": 90}, {"s"}, {"inside"})
        assert run.seen == Seen((Mark("crm", 1, frozenset({SEEN}), "what outsiders wrote"),))
        assert (run.risk, run.high_water, run.credential_refused) == (Risk.MEDIUM, Sensitivity(2), True)
        assert (run.issued_after, run.unsettled, run.version >= 7) == (T0, {"d-open"}, True)
        assert run.salt
        assert found["lost"].seen.overflowed
        assert (found["over"].status, found["asks"].status) == (RunStatus.ENDED, RunStatus.ACTIVE)
        assert [name for name, state in found.items() if state.subject_suspended] == ["held"]
        assert ledger.credential_states(["crm"]).result() == {"crm": "revoked"}
        assert {name: str(s.status) for name, s in ledger.streams().result().items()} == {"idp": "paused"}
        asked = ledger.approval("ask-1").result()
        assert asked is not None
        assert [answer.approver for answer in asked.answers] == ["user:bob"]
        assert asked.request.shown == {"a": 1}
        said = Signal("idp", "x", SignalEffect.SET_RISK, T0, about="user:alice", risk=Risk.LOW)
        for signals in ((), (said,)):  # whatever stream brought it
            assert not ledger.signal(("idp", "event"), signals, at=at(6), records=[record("signal")]).result()
        settled = ledger.settle("d-open", outcome=Outcome.SUCCEEDED, record=record("operation")).result()
        assert settled.kept == {}
    finally:
        ledger.shut()


def test_what_was_used_stays_used(old: Path) -> None:
    upgrade_ledger(old, at=at(5), by="user:ops")
    ledger = open_ledger(old)
    try:
        version = states(ledger)["asks"].version
        again = an_admission("d-1", version, run_id="asks", assertion_key=("idp", "used"), assertion_until=at(99))
        windows = {"daily": at(60) - T0}
        dear = an_admission(
            "d-2", version, run_id="asks", charges=(a_charge(11, 100, budget="daily", per=at(60) - T0),)
        )
        refused = [ledger.admit(each, windows=windows).result() for each in (again, dear)]
        assert [isinstance(r, Refused) and r.reason for r in refused] == [
            Refusal.ASSERTION_USED,
            Refusal.BUDGET_EXCEEDED,
        ]
        fits = an_admission(
            "d-3", version, run_id="asks", charges=(a_charge(10, 100, budget="daily", per=at(60) - T0),)
        )
        assert isinstance(ledger.admit(fits, windows=windows).result(), Admitted)
    finally:
        ledger.shut()


def test_the_upgraded_ledger_adds_up_to_the_same_again(old: Path) -> None:
    upgrade_ledger(old, at=at(5), by="user:ops")
    assert not rebuild_ledger(old).differs


def test_opening_an_old_ledger_says_to_upgrade_it(old: Path) -> None:
    with pytest.raises(LedgerError, match=r"format 2; .*`agentguard ledger upgrade .*` carries it over"):
        open_ledger(old)


def test_the_work_is_told_up_to_its_end(old: Path) -> None:
    told: list[tuple[int, int]] = []
    upgrade_ledger(old, at=at(5), by="user:ops", progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("where", ["snapshots", "fold_log", "_compare", "_sync"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_the_old_ledger_and_nothing_else(
    old: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: type[BaseException]
) -> None:
    before = sorted(each.name for each in old.parent.iterdir())

    def broken(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patched, pytest.raises(error):
        patched.setattr(upgrade, where, broken)
        upgrade_ledger(old, at=at(5), by="user:ops")
    assert sorted(each.name for each in old.parent.iterdir()) == before
    assert upgrade_ledger(old, at=at(5), by="user:ops").records == 7


def killed_before_the_last_step(path: Path) -> None:
    os.link(path, f"{path}.format2")


def killed_while_it_wrote(path: Path) -> None:
    path.with_name("l.sqlite3.upgrading").write_bytes(b"half")
    path.with_name("l.sqlite3.upgrading-wal").write_bytes(b"half")


@pytest.mark.parametrize("killed", [killed_before_the_last_step, killed_while_it_wrote])
def test_an_upgrade_that_was_killed_is_begun_again(old: Path, killed: Callable[[Path], None]) -> None:
    killed(old)
    assert upgrade_ledger(old, at=at(5), by="user:ops").records == 7
    assert old.stat().st_nlink == 1


def in_use(path: Path) -> Any:
    return Owner(Path(f"{path}-owners"))


def read_by_somebody(path: Path) -> Any:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN")
    database.execute("SELECT count(*) FROM records").fetchone()
    return database


def an_older_one_kept(path: Path) -> Any:
    return Path(f"{path}.format2").write_bytes(b"x")


def another_format(path: Path) -> Any:
    with raw(path) as database:
        database.execute("PRAGMA user_version = 4")


def a_record_missing(path: Path) -> Any:
    with raw(path) as database:
        database.execute("DELETE FROM records WHERE seq = 3")


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "open elsewhere": (in_use, "is in use"),
    "read elsewhere": (read_by_somebody, "another process has been holding"),
    "an old one kept already": (an_older_one_kept, "is there already"),
    "a format that nobody carries over": (another_format, "only format 2 can be carried over"),
    "a record missing": (a_record_missing, "record 3 is damaged"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_carried_over_stays_as_it_is(old: Path, case: str) -> None:
    spoil, says = REFUSED[case]
    held = spoil(old)
    with raw(old) as database:
        before = database.execute("SELECT count(*) FROM records").fetchone()
    with pytest.raises(LedgerError, match=says):
        upgrade_ledger(old, at=at(5), by="user:ops")
    with raw(old) as database:
        assert database.execute("SELECT count(*) FROM records").fetchone() == before
    del held


def test_a_ledger_of_this_format_needs_no_upgrade(tmp_path: Path) -> None:
    open_ledger(tmp_path / "l.sqlite3").shut()
    with pytest.raises(LedgerError, match="nothing to upgrade"):
        upgrade_ledger(tmp_path / "l.sqlite3", at=T0, by="user:ops")


def test_many_cells_are_several_records(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentguard.ledger.snapshot.MOST_CELLS", 3)
    upgrade_ledger(old, at=at(5), by="user:ops")
    ledger = open_ledger(old)
    assert len(list(ledger.records(RecordFilter(kind="snapshot")))) > 3
    assert states(ledger)["r"].kept == {"id": "secret-id", "yes": True}
    ledger.shut()


# --- adding up again


def a_ledger(path: Path) -> None:
    from ledger_kit import a_run

    ledger = open_ledger(path)
    ledger.start_run(a_run(), record("run", run_id="r", time=text(T0))).result()
    ledger.admit(an_admission("d-1"), windows={}).result()
    ledger.shut()


def test_adding_up_again_finds_nothing_where_nothing_was_touched(tmp_path: Path) -> None:
    a_ledger(tmp_path / "l.sqlite3")
    done = rebuild_ledger(tmp_path / "l.sqlite3")
    assert (done.differs, done.records) == (False, 2)


@pytest.mark.parametrize(
    ("statement", "word", "kind"),
    [
        ("UPDATE cells SET value = replace(CAST(value AS TEXT), 'active', 'x') WHERE kind = 'run'", "changed", "run"),
        ("DELETE FROM cells WHERE kind = 'call'", "new", "call"),
        ("INSERT INTO cells VALUES ('used', 'x', 0, NULL, 0, '[null]')", "gone", "used"),
    ],
)  # fmt: skip
def test_adding_up_again_says_what_differs_and_mends_it(tmp_path: Path, statement: str, word: str, kind: str) -> None:
    path = tmp_path / "l.sqlite3"
    a_ledger(path)
    with raw(path) as database:
        before = database.execute("SELECT kind, name, CAST(value AS TEXT) FROM cells ORDER BY kind, name").fetchall()
        database.execute(statement)
    done = rebuild_ledger(path)
    assert getattr(done, word) == {kind: 1}
    with raw(path) as database:
        after = database.execute("SELECT kind, name, CAST(value AS TEXT) FROM cells ORDER BY kind, name").fetchall()
    assert after == before


def test_nothing_is_added_up_again_while_somebody_has_it_open(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite3"
    ledger = open_ledger(path)
    with pytest.raises(LedgerError, match="in use by another process"):
        rebuild_ledger(path)
    ledger.shut()


def test_adding_up_again_that_is_interrupted_leaves_the_ledger_standing(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite3"
    a_ledger(path)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild_ledger(path, progress=stop)
    ledger = open_ledger(path)
    assert states(ledger)["r"].counts == {"s": 1}
    ledger.shut()


def test_what_was_carried_over_can_be_erased(old: Path) -> None:
    """Runs and questions of the old ledger lie in one record, all of them: what is another's stays."""
    upgrade_ledger(old, at=at(5), by="user:ops")
    ledger = open_ledger(old)
    try:
        done = ledger.erase(record("operation"), run_id="r").result()
        assert ledger.erase(record("operation"), run_id="asks").result().approvals == 1
        ledger.purge()
        found = states(ledger)
        assert (done.records, found["r"].erased, found["r"].kept) == (0, {"inputs", "kept"}, {})
        assert found["over"].erased == frozenset()
        assert ledger.approval("ask-1").result().request.erased  # type: ignore[union-attr]
        held = b"".join(
            each.read_bytes()
            for each in old.parent.glob(f"{old.name}*")
            if each.suffix != ".format2" and each.is_file()
        )
        assert [
            word for word in (b"secret-id", b"what outsiders wrote", b"https://known.example") if word in held
        ] == []
    finally:
        ledger.shut()
    assert not rebuild_ledger(old).differs
