"""Ending and leaving a run is done whole, whatever interrupts it; a restart between any two steps changes nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from agentguard.errors import ApprovalPending, ToolCallDenied
from agentguard.guard import Guard
from agentguard.guard.run import RunContext

from .conftest import Clock, Tools

TICKET = {"ticket": "EXP-7"}
BIG = {"table": "orders", "rows": 2000, "target": "https://files.corp.example/x.csv"}
# Opens a key, calls a tool, and is killed in the tool, inside the run.
DIES = """
import os, signal, sys
from agentguard import Guard
guard = Guard.load(sys.argv[1], ledger=sys.argv[2], home=sys.argv[3])
def get_ticket(ticket_id: str) -> dict:
    "Look a ticket up."
    os.kill(os.getpid(), signal.SIGKILL)
look = guard.wrap(get_ticket)
with guard.run("customer-export", inputs={"ticket": "EXP-7"}, requester="user:ann", key="thread-42") as run:
    print(run.id, flush=True)
    look("EXP-7")
"""


def thread(guard: Guard) -> RunContext:
    return guard.run("customer-export", inputs=TICKET, requester="user:ann", key="thread-42")


@contextmanager
def loaded(bundle: Path, folder: Path, clock: Clock | None = None) -> Iterator[Guard]:
    more = {} if clock is None else {"clock": clock}
    with Guard.load(bundle, ledger=folder / "ledger.sqlite3", home=folder / "home", **more) as guard:  # type: ignore[arg-type]
        yield guard


class Interrupts:
    """Raises KeyboardInterrupt at one of the lines of what ends a run, counted from 0; ``hit`` where there were so
    many."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.hit = False

    def __enter__(self) -> Interrupts:
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, argument: object) -> Any:
        names = ("/guard/run.py", "/guard/drive.py")
        return self._line if frame.f_code.co_filename.endswith(names) else None

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line" and not self.hit:
            self.left -= 1
            if self.left < 0:
                self.hit = True
                raise KeyboardInterrupt
        return self._line


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize(("word", "standing", "said"), [("end", [], "ended"), ("leave", ["open", "left"], "left open")])
def test_ctrl_c_at_any_line_leaves_nothing_half_done(
    guard: Guard, word: str, standing: list[str], said: str, keyed: bool
) -> None:
    """Where the word was not carried out, leaving the block does it; it is on record once. Somebody else who is inside
    stays inside."""
    unsaid = ("open", "left open") if keyed else (None, "ended")
    for at in range(200):
        made = thread(guard) if keyed else guard.run("customer-export", inputs=TICKET)
        interrupts = Interrupts(at)
        with suppress(KeyboardInterrupt), made as run, interrupts:
            getattr(run, word)()
        where = [str(place) for place in guard.operations.whereabouts().values()]
        place = None if not standing else standing[0 if keyed else 1]
        if run._wish is None:  # the interruption came before the word was said
            place, outcome = unsaid
        else:
            outcome = said
        assert where == ([] if place is None else [place]), at
        records = [each["outcome"] for each in guard.records(run_id=run.id, kind="run")]
        assert records[-1] == outcome, at
        opened = records.count("started") + records.count("resumed")
        assert records.count("left open") + records.count("ended") == opened, at
        for each in guard.operations.runs(active_only=True):
            guard.operations.sweep(each.id, by="user:ops", why="the next")
        if not interrupts.hit:
            break
    assert at > 10
    assert not interrupts.hit


def test_a_run_whose_opener_was_killed_goes_on_with_its_key(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    """It is inside no more; what it was calling counts, and nobody knows what came of that."""
    command = [sys.executable, "-c", DIES, str(bundle), str(tmp_path / "ledger.sqlite3"), str(tmp_path / "home")]
    died = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=300)
    assert died.returncode == -9
    with loaded(bundle, tmp_path) as guard:
        assert list(guard.operations.whereabouts().values()) == ["open"]
        look = guard.wrap(tools.functions()[0])
        with thread(guard) as run:
            for _ in range(4):
                look("EXP-7")
            with pytest.raises(ToolCallDenied):
                look("EXP-7")
        state = guard.operations.run(run.id)

    assert run.id == died.stdout.strip()
    assert state is not None
    assert (state.counts, len(state.unsettled)) == ({"look-up": 5}, 1)


Step = Callable[[Guard, Tools], object]


def _looks(guard: Guard, tools: Tools) -> None:
    with thread(guard):
        guard.wrap(tools.functions()[0])("EXP-7")


def _exports(guard: Guard, tools: Tools) -> None:
    with suppress(ApprovalPending, ToolCallDenied), thread(guard):
        guard.wrap(tools.functions()[1])(**BIG)


def _agrees(person: str) -> Step:
    def agree(guard: Guard, _: Tools) -> None:
        for row in guard.operations.approvals():
            guard.operations.answer(row.request.id, approver=person, approve=True)

    return agree


def _ends(guard: Guard, _: Tools) -> None:
    with thread(guard) as run:
        run.end()


def _stops(guard: Guard, _: Tools) -> None:
    (active,) = guard.operations.runs(active_only=True)
    guard.operations.stop_run(active.id, by="user:ops", why="a drill")


def _is_refused(guard: Guard, _: Tools) -> None:
    with pytest.raises(ToolCallDenied), thread(guard):
        pytest.fail("entered")


def _frees(guard: Guard, _: Tools) -> None:
    guard.operations.free_key(guard.operations.runs()[0].id, by="user:ops", why="a drill")


STEPS: list[Step] = [
    _looks, _exports, _agrees("user:alice"), _agrees("user:bob"), _exports, _ends, _exports, _looks, _stops,
    _is_refused, _frees, _looks,
]  # fmt: skip


def _story(bundle: Path, folder: Path, clock: Clock, restart_after: int) -> list[Any]:
    """What stands in the ledger after all steps, without what is other on each run."""
    tools = Tools()
    for steps in (STEPS[:restart_after], STEPS[restart_after:]):
        with loaded(bundle, folder, clock) as guard:
            for step in steps:
                step(guard, tools)
            found = [
                (str(run.status), dict(run.counts), sorted(run.succeeded), run.key, run.carries is not None, run.kept)
                for run in guard.operations.runs()
            ]
            outcomes = [each["outcome"] for each in guard.records(kind="run")]
    return [found, outcomes, tools.ran]


@pytest.mark.parametrize("restart_after", range(1, len(STEPS)))
def test_a_restart_between_any_two_steps_changes_nothing(
    bundle: Path, tmp_path: Path, clock: Clock, restart_after: int
) -> None:
    for name in ("whole", "restarted"):
        (tmp_path / name).mkdir()
    whole = _story(bundle, tmp_path / "whole", clock, len(STEPS))

    assert _story(bundle, tmp_path / "restarted", clock, restart_after) == whole
    assert [run[0] for run in whole[0]] == ["active", "stopped", "ended"]
    assert whole[0][0][1] == {"look-up": 3, "export": 1}
