"""`kill -9` at random points: nothing acknowledged is lost, nothing runs unrecorded, what is open shows as unknown."""

from __future__ import annotations

import collections
import fcntl
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_kit import T0, a_closing, a_run, an_admission, at, child, got, record, run_now, seqs

from agentguard.core.facts import RunState
from agentguard.ledger import Admitted, RecordFilter, open_ledger
from agentguard.ledger.sqlite.liveness import Owner

SCRIPT = Path(__file__).with_name("ledger_crash_child.py")


def read_some(process: subprocess.Popen[bytes], lines: int) -> list[str]:
    """Let a child get so far, kill it there, and take what it had said by then."""
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    process.kill()
    # Not communicate(): it reads past what readline() has buffered.
    rest = process.stdout.read()
    process.stdout.close()
    process.wait()
    # The last line may be cut off; what was not said to the end was not acknowledged.
    return [line.decode().strip() for line in said + rest.splitlines(keepends=True) if line.endswith(b"\n")]


def kill_rounds(folder: Path, rounds: int) -> None:
    path, side = folder / "ledger.sqlite3", folder / "side"
    chance = random.Random(20260901)
    acknowledged: set[str] = set()
    finished: set[str] = set()
    for number in range(rounds):
        # Two processes on one database; either may be in the middle of anything when both die.
        children = [child(SCRIPT, path, f"k{number}{who}", side) for who in "ab"]
        for each in children:
            for word, call in (line.split() for line in read_some(each, chance.randrange(1, 60))):
                (acknowledged if word == "A" else finished).add(call)
    # And one whose four calls are certainly in the middle.
    for word, call in (line.split() for line in read_some(child(SCRIPT, path, "k", side, "hold"), 4)):
        assert word == "A"
        acknowledged.add(call)

    ledger = open_ledger(path, at=T0)
    kinds: dict[str, list[str]] = collections.defaultdict(list)
    for each in ledger.records(RecordFilter()):
        if each["kind"] == "decision":
            kinds[each["decision_id"]].append("decision")
        elif each["kind"] == "outcome":
            kinds[each["decision_id"]].append(each["outcome"])
    ran = set(side.read_text().split())
    counted = sum(sum(run.counts.values()) for run in got(ledger.runs()))

    assert seqs(ledger) == list(range(1, len(seqs(ledger)) + 1))
    assert acknowledged <= kinds.keys(), "an admission that was acknowledged is on record"
    assert ran <= kinds.keys(), "a tool that ran has its decision on record"
    assert all(kinds[call] == ["decision", "succeeded"] for call in finished), "a durable outcome is on record"
    assert all(words in (["decision", "succeeded"], ["decision", "unknown"]) for words in kinds.values())
    held = [words for call, words in kinds.items() if call.startswith("k-")]
    assert held == [["decision", "unknown"]] * 4, "whoever died in the middle of a call is marked"
    assert counted == len(kinds), "steps were taken for exactly the calls on record"
    assert got(ledger.open_calls()) == []
    owners = folder / "ledger.sqlite3-owners"
    assert [each.name for each in owners.iterdir()] == [ledger.engine.log.file.owner_id], (
        "the dead leave nothing behind"
    )
    ledger.shut()


def test_nothing_is_lost_and_nothing_runs_unrecorded_through_kills(tmp_path: Path) -> None:
    """Twenty deaths, two at a time, on one database."""
    kill_rounds(tmp_path, 10)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_nothing_is_lost_and_nothing_runs_unrecorded_through_many_kills(tmp_path: Path) -> None:
    """Two hundred and more."""
    kill_rounds(tmp_path, 110)


def test_a_call_of_a_live_ledger_is_never_marked(tmp_path: Path) -> None:
    """However often others open the file, and in the same process too."""
    path = tmp_path / "ledger.sqlite3"
    alive = open_ledger(path)
    got(alive.start_run(a_run(), record("run")))
    got(alive.admit(an_admission("d1"), windows={}))
    for _ in range(3):
        other = open_ledger(path)
        assert got(other.recover(at=T0)) == []
        assert [call["decision_id"] for call in got(other.open_calls())] == ["d1"]
        other.shut()
    assert got(alive.recover(at=T0)) == []
    state = got(alive.close(a_closing("d1")))
    assert isinstance(state, RunState) and state.succeeded == {"s"}
    alive.shut()


@pytest.mark.parametrize("link", ["the file", "its directory"])
def test_a_call_of_a_live_ledger_is_not_marked_by_those_who_came_over_a_link(tmp_path: Path, link: str) -> None:
    """They looked for its owner beside the link, found nobody, and took the outcome of a call that was under way."""
    real, linked = tmp_path / "real", tmp_path / "linked"
    real.mkdir()
    if link == "its directory":
        linked.symlink_to("real")
    else:
        linked.mkdir()
        (linked / "ledger.sqlite3").symlink_to("../real/ledger.sqlite3")
    alive = open_ledger(real / "ledger.sqlite3")
    got(alive.start_run(a_run(), record("run")))
    got(alive.admit(an_admission("d1"), windows={}))
    other = open_ledger(linked / "ledger.sqlite3")
    assert [call["decision_id"] for call in got(other.open_calls())] == ["d1"]
    other.shut()
    state = got(alive.close(a_closing("d1")))
    assert isinstance(state, RunState) and state.succeeded == {"s"}
    alive.shut()


def test_a_file_that_is_just_being_made_is_not_taken_for_a_dead_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making its file and locking it, a new ledger object looks dead; it must not end up without a file."""
    older = Owner(tmp_path / "owners")
    lock = fcntl.flock
    swept: list[int] = []

    def sweep_first(fd: int, how: int) -> None:
        if how == fcntl.LOCK_EX and len(swept) < 3:
            swept.append(fd)
            older.sweep()
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    younger = Owner(tmp_path / "owners")

    assert len(swept) == 3
    assert not older.is_dead(younger.name)
    assert older.is_dead("0" * 32)
    younger.let_go()
    assert older.is_dead(younger.name)
    older.sweep()
    assert [each.name for each in (tmp_path / "owners").iterdir()] == [older.name]
    older.release()


def test_an_unknown_outcome_says_which_call_and_when_it_was_noticed(tmp_path: Path) -> None:
    """The words of its decision, without its arguments and reasons, and the time of noticing."""
    path = tmp_path / "ledger.sqlite3"
    first = open_ledger(path)
    got(first.start_run(a_run(), record("run")))
    decision = record(decision_id="d1", run_id="r", step="s", arguments={"x": 1}, findings=[1], outcome=None, seq=None)
    del decision["seq"]
    assert isinstance(got(first.admit(an_admission("d1", record=decision), windows={})), Admitted)
    before = run_now(first)
    first.shut()

    second = open_ledger(path, at=at(90))
    (written,) = second.records(RecordFilter(kind="outcome"))
    assert written == decision | {
        "kind": "outcome",
        "time": "2026-09-01T00:01:30.000000Z",
        "outcome": "unknown",
        "error": None,
        "arguments": None,
        "findings": [],
        "reasons": [],
        "why": "the process ended before the outcome was recorded",
        "changes": [["close", "d1", "r", "s", "unknown", []]],
        "seq": 3,
    }
    after = run_now(second)
    assert replace(after, unsettled=before.unsettled, version=before.version) == before, (
        "it may have happened: the step stays taken, and nothing was kept"
    )
    assert after.unsettled == {"d1"}, "its result may have reached somebody, so nothing may rest on what is known"
    assert after.version > before.version
    second.shut()


def test_a_call_that_was_marked_unknown_stays_so(tmp_path: Path) -> None:
    """At most once, and no second outcome."""
    path = tmp_path / "ledger.sqlite3"
    first = open_ledger(path)
    got(first.start_run(a_run(), record("run")))
    got(first.admit(an_admission("d1"), windows={}))
    first.shut()
    second = open_ledger(path)
    before = seqs(second)
    assert run_now(second).unsettled == {"d1"}

    assert got(second.close(a_closing("d1"))) == run_now(second)
    assert run_now(second).unsettled == {"d1"}
    assert seqs(second) == before
    second.shut()
