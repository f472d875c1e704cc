"""The wall clock is believed as far as it can be right."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any

import pytest

from agentguard.core.reasons import Reason
from agentguard.core.values import Unavailable
from agentguard.errors import LedgerError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.guard.clock import WatchedClock, utc_now
from agentguard.ledger import memory_ledger

from .conftest import Clock, Tools

TICKET = {"ticket": "EXP-7"}
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Two:
    """A wall clock and a count of the seconds that passed, each moved by hand."""

    def __init__(self) -> None:
        self.wall, self.passed = NOON, 1000.0
        self.watched = WatchedClock(lambda: self.wall, lambda: self.passed)

    def move(self, wall: float, passed: float) -> str:
        self.wall += timedelta(seconds=wall)
        self.passed += passed
        now = self.watched.now()
        if isinstance(now, Unavailable):
            return now.reason.value
        assert now == self.wall
        return "believed"


BELIEVED, UNTRUSTED = "believed", "clock_untrusted"

# (wall seconds, seconds that really passed) moves, and what is said after each.
MOVES: dict[str, list[tuple[float, float, str]]] = {
    "in step": [(0, 0, BELIEVED), (5, 5, BELIEVED), (3600, 3600, BELIEVED)],
    "back, within the limit": [(0, 0, BELIEVED), (-60, 0, BELIEVED)],
    "back, past the limit": [(0, 0, BELIEVED), (-60.001, 0, UNTRUSTED)],
    "back step by step": [(0, 0, BELIEVED), (-25, 0, BELIEVED), (-25, 0, BELIEVED), (-25, 0, UNTRUSTED)],
    "back step by step, hidden by time": [(0, 0, BELIEVED), (5, 35, BELIEVED), (5, 36, UNTRUSTED)],
    "back, and right again": [(0, 0, BELIEVED), (-300, 0, UNTRUSTED), (300, 0, BELIEVED)],
    "standing still": [(0, 0, BELIEVED), (0, 60, BELIEVED), (0, 0.001, UNTRUSTED), (0, 1000, UNTRUSTED)],
    "standing still, looked at often": [(0, 0, BELIEVED), *[(0, 10, BELIEVED)] * 6, (0, 10, UNTRUSTED)],
    "at half speed": [(0, 0, BELIEVED), (60, 120, BELIEVED), (5, 10, UNTRUSTED)],
    "forwards": [(0, 0, BELIEVED), (86_400, 0, BELIEVED), (10, 10, BELIEVED)],
    "asleep": [(0, 0, BELIEVED), (30_000, 1, BELIEVED)],
    "forwards by mistake, and taken back": [(0, 0, BELIEVED), (3600, 0, BELIEVED), (-3600, 0, UNTRUSTED)],
    "taken back, and waited for": [(3600, 0, BELIEVED), (-3600, 0, UNTRUSTED), (3600, 3600, UNTRUSTED)],
}


@pytest.mark.parametrize("name", MOVES)
def test_a_clock_that_moves_like_this(name: str) -> None:
    """Back and standing still make assertions fresh for longer than anybody allowed; forwards never does."""
    clocks = Two()

    assert [clocks.move(wall, passed) for wall, passed, _ in MOVES[name]] == [said for *_, said in MOVES[name]]


def test_a_clock_without_company_may_not_go_back_step_by_step() -> None:
    """The latest moment counts, not the last: three small steps are one large one."""
    told = [NOON]
    watched = WatchedClock(lambda: told[0])
    found = []
    for back in (0, 25, 50, 75):
        told[0] = NOON - timedelta(seconds=back)
        found.append(isinstance(watched.now(), datetime))

    assert found == [True, True, True, False]


class _NoOffset(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None


class _Raises(tzinfo):
    def utcoffset(self, _: datetime | None) -> timedelta:
        raise RuntimeError("no zone")


NO_MOMENT: dict[str, Any] = {
    "naive": datetime(2026, 11, 24, 12, 0),
    "a zone without offset": datetime(2026, 11, 24, 12, 0, tzinfo=_NoOffset()),
    "a zone that raises": datetime(2026, 11, 24, 12, 0, tzinfo=_Raises()),
    "past the calendar": datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
    "before the calendar": datetime.min.replace(tzinfo=timezone(timedelta(hours=12))),
    "a day": NOON.date(),
    "seconds": NOON.timestamp(),
    "text": "2026-11-24T12:00:00Z",
    "nothing": None,
}


@pytest.mark.parametrize("name", NO_MOMENT)
def test_what_is_no_moment_in_utc_is_not_believed(name: str) -> None:
    """A naive time is read as local time: hours off, unnoticed."""
    now = WatchedClock(lambda: NO_MOMENT[name]).now()

    assert isinstance(now, Unavailable) and now.reason is Reason.CLOCK_UNTRUSTED


def test_another_zone_is_the_same_moment() -> None:
    """Records and comparisons are in UTC."""
    told = NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))

    now = WatchedClock(lambda: told).now()

    assert isinstance(now, datetime) and (now, now.utcoffset()) == (NOON, timedelta(0))


def test_a_clock_that_raises_is_unavailable() -> None:
    """It did not tell the time."""

    def broken() -> datetime:
        raise OSError("no clock")

    now = WatchedClock(broken).now()

    assert isinstance(now, Unavailable) and now.reason is Reason.CLOCK_UNAVAILABLE


def test_the_machines_own_clock_is_watched_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen clock of the machine is noticed by default; for one passed in, only where `elapsed` is passed in too."""
    passed = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: passed[0])
    own, given = WatchedClock(utc_now), WatchedClock(lambda: NOON)

    assert isinstance(own.now(), datetime)
    passed[0] = 3600.0
    assert isinstance(own.now(), Unavailable)
    assert [given.now() for passed[0] in (0.0, 3600.0)] == [NOON, NOON]


class Restarts:
    """One ledger, and the processes that use it one after the other, each with the clock the machine then has."""

    def __init__(self, bundle: Path, home: Path) -> None:
        self.bundle, self.home = bundle, home

    def call(self, tools: Tools, at: float) -> list[str]:
        """Why a run with one call is refused, ``at`` seconds after noon, by a process that was started just now."""
        clock = Clock()
        clock.at += timedelta(seconds=at)
        with Guard.load(self.bundle, home=self.home, clock=clock) as guard:
            look, _ = guard.wrap(tools.functions())
            with suppress(ToolCallDenied), guard.run("customer-export", inputs=TICKET):
                look("EXP-7")
            return [reason for data in guard.records() if data["effect"] == "deny" for reason in data["reasons"]]


@pytest.fixture
def restarts(bundle: Path, tmp_path: Path) -> Restarts:
    return Restarts(bundle, tmp_path / "home")


@pytest.mark.parametrize(
    ("back", "reasons"), [(60, []), (60.001, ["clock_untrusted"]), (86_400 * 400, ["clock_untrusted"])]
)
def test_a_clock_that_went_back_between_two_processes(
    back: float, reasons: list[str], restarts: Restarts, tools: Tools
) -> None:
    """A machine that wakes up in the past would find old assertions, budgets and overdue workflows fresh again."""
    assert restarts.call(tools, 0) == []

    assert restarts.call(tools, -back) == reasons


def test_a_person_ends_the_refusals_after_a_jump_forwards_that_was_recorded(restarts: Restarts, tools: Tools) -> None:
    """The newest record counts, not the latest: whoever stops the run that began tomorrow writes one of today."""
    assert restarts.call(tools, 86_400) == []
    assert restarts.call(tools, 0) == ["clock_untrusted"]
    with Guard.load(restarts.bundle, home=restarts.home, clock=Clock()) as guard:
        run = guard.operations.runs()[-1]
        guard.operations.stop_run(run.id, by="user:sam", why="begun by a wrong clock")

    assert restarts.call(tools, 1) == ["clock_untrusted"]  # the old one, and no new one
    assert len(tools.ran) == 2


@pytest.mark.parametrize("written", [b"null", b'"yesterday"', b'"2026-11-24T12:00:00"', b"1"])
def test_a_newest_record_whose_time_cannot_be_read_is_said_at_the_start(
    written: bytes, restarts: Restarts, tools: Tools
) -> None:
    """Somebody changed it: what else it says is worth no more."""
    restarts.call(tools, 0)
    with closing(sqlite3.connect(restarts.home / "ledger.sqlite3")) as connection, connection:
        seq, body = connection.execute("SELECT seq, body FROM records ORDER BY seq DESC LIMIT 1").fetchone()
        changed = re.sub(rb'"time":"[^"]*"', b'"time":' + written, body)
        connection.execute("UPDATE records SET body = ? WHERE seq = ?", (changed, seq))

    with pytest.raises(LedgerError, match="newest record"):
        restarts.call(tools, 1)


@pytest.mark.parametrize("told", [None, 5, NOON.replace(tzinfo=None), datetime.max.replace(tzinfo=UTC)], ids=str)
def test_a_run_is_stopped_by_hand_whatever_the_clock_does(
    told: Any, bundle: Path, tmp_path: Path, clock: Clock, tools: Tools
) -> None:
    """A stop takes power away, so it must not wait for a time that can be believed."""
    said: list[Any] = []
    with Guard.load(
        bundle, ledger=memory_ledger(), home=tmp_path / "home", clock=lambda: said[0] if said else clock.at
    ) as guard:
        look, _ = guard.wrap(tools.functions())
        with guard.run("customer-export", inputs=TICKET) as run:
            look("EXP-7")
            said.append(told)
            guard.operations.stop_run(run.id, by="user:sec", why="it looks wrong")
            said.clear()
            with pytest.raises(ToolCallDenied):
                look("EXP-7")
            assert "run_stopped" in list(guard.records(kind="decision"))[-1]["reasons"]
