"""An exception may come between any two instructions: nothing is torn, done twice, or left behind, and nobody waits for
ever. The work is done in processes of their own, where nothing but the ledger is interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_kit import child, seqs

from agentguard.ledger import open_ledger

SCRIPT = Path(__file__).with_name("ledger_soak_child.py")


# The short form ends when there were so many interruptions, however long that takes on a busy machine.
ENOUGH, LONGEST = 40, 120


def soak(places: list[object], seconds: float, *, interrupt: bool, seed: int = 1, enough: int = 0) -> list[list[int]]:
    """For each process: how often it was interrupted, and how many calls each of its two threads closed."""
    word = "yes" if interrupt else "no"
    children = [child(SCRIPT, place, seconds, seed + n, f"p{n}", word, enough) for n, place in enumerate(places)]
    answers = []
    for each in children:
        out, _ = each.communicate(timeout=seconds + 90)
        assert each.returncode == 0, out
        answers.append(out.split())
    assert [words[0] for words in answers] == [b"ok"] * len(places)
    return [[int(word) for word in words[1:]] for words in answers]


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_interrupted_at_any_instruction_every_call_is_recorded_once_or_not_at_all(tmp_path: Path, kind: str) -> None:
    """Another thread goes on meanwhile, and never hears of it."""
    place: object = "memory" if kind == "memory" else tmp_path / "l"
    ((hits, _, others),) = soak([place], LONGEST, interrupt=True, enough=ENOUGH)
    assert hits >= ENOUGH
    assert others > 0


def test_processes_that_share_a_ledger_all_get_on_and_lose_nothing(tmp_path: Path) -> None:
    """One of them that is interrupted keeps nobody from their turn."""
    answers = soak([tmp_path / "l"] * 2, LONGEST, interrupt=True, enough=ENOUGH)
    assert all(others > 0 for _, _, others in answers)
    ledger = open_ledger(tmp_path / "l")
    found = seqs(ledger)
    assert found == list(range(1, len(found) + 1))
    ledger.shut()


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["memory", "file"])
def test_interrupted_for_minutes_nothing_is_torn(tmp_path: Path, kind: str) -> None:
    """The long form."""
    for seed in range(4):
        soak(["memory" if kind == "memory" else tmp_path / f"l{seed}"], 45, interrupt=True, seed=seed * 7)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("interrupt", [False, True])
def test_several_processes_for_minutes_all_get_on(tmp_path: Path, count: int, interrupt: bool) -> None:
    """The long form."""
    answers = soak([tmp_path / "l"] * count, 40, interrupt=interrupt)
    assert all(others > 20 for _, _, others in answers)
    assert interrupt or all(mine > 20 for _, mine, _ in answers)
